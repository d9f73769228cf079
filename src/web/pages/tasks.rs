//! To be written.

use maud::html;

use super::{
    layout::{Page, Place},
    view::View,
};
use crate::web::{call::Call, problem::Problem};

pub(super) async fn show(mut call: Call, view: View) -> Result<Page, Problem> {
    call.query.finish()?;
    Ok(Page {
        title: view.words.tasks.to_owned(),
        place: Some(Place::Tasks),
        body: html! { h1 { (view.words.tasks) } },
        is_live: true,
    })
}

pub(super) async fn ask(mut call: Call, view: View) -> Result<Page, Problem> {
    call.query.finish()?;
    Ok(Page {
        title: view.words.tasks.to_owned(),
        place: Some(Place::Tasks),
        body: html! { h1 { (view.words.tasks) } },
        is_live: true,
    })
}
