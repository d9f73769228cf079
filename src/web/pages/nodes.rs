//! To be written.

use maud::html;

use super::{
    layout::{Page, Place},
    view::View,
};
use crate::web::{call::Call, problem::Problem};

pub(super) async fn list(mut call: Call, view: View) -> Result<Page, Problem> {
    call.query.finish()?;
    Ok(Page {
        title: view.words.nodes.to_owned(),
        place: Some(Place::Nodes),
        body: html! { h1 { (view.words.nodes) } },
        is_live: true,
    })
}

pub(super) async fn show(mut call: Call, view: View) -> Result<Page, Problem> {
    call.query.finish()?;
    Ok(Page {
        title: view.words.nodes.to_owned(),
        place: Some(Place::Nodes),
        body: html! { h1 { (view.words.nodes) } },
        is_live: true,
    })
}
