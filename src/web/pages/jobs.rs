//! To be written.

use maud::html;

use super::{
    layout::{Page, Place},
    view::View,
};
use crate::web::{call::Call, problem::Problem, query::Query};

pub(super) async fn list(mut call: Call, view: View) -> Result<Page, Problem> {
    call.query.finish()?;
    Ok(Page {
        title: view.words.jobs.to_owned(),
        place: Some(Place::Jobs),
        body: html! { h1 { (view.words.jobs) } },
        is_live: true,
    })
}

pub(super) async fn new(mut call: Call, view: View) -> Result<Page, Problem> {
    call.query.finish()?;
    Ok(Page {
        title: view.words.jobs.to_owned(),
        place: Some(Place::Jobs),
        body: html! { h1 { (view.words.jobs) } },
        is_live: true,
    })
}

pub(super) async fn show(mut call: Call, view: View) -> Result<Page, Problem> {
    call.query.finish()?;
    Ok(Page {
        title: view.words.jobs.to_owned(),
        place: Some(Place::Jobs),
        body: html! { h1 { (view.words.jobs) } },
        is_live: true,
    })
}

pub(super) async fn edit(mut call: Call, view: View) -> Result<Page, Problem> {
    call.query.finish()?;
    Ok(Page {
        title: view.words.jobs.to_owned(),
        place: Some(Place::Jobs),
        body: html! { h1 { (view.words.jobs) } },
        is_live: true,
    })
}

pub(super) fn definition(_: &mut Query) -> Result<serde_json::Value, Problem> {
    Ok(serde_json::Value::Null)
}
