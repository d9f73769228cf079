//! Bulk operations: one action on many tasks, by whom, and how far it has come.

use maud::{Markup, html};

use super::{
    bulk::{told, which},
    layout::{Page, Place},
    parts::{Action, empty, node_link, number, time, time_or_none, with_query},
    view::View,
};
use crate::{
    domain::{BulkOperation, BulkState},
    web::{call::Call, operations, problem::Problem},
};

pub(super) async fn list(mut call: Call, view: View) -> Result<Page, Problem> {
    let words = view.words;
    let listed = operations::listed(&mut call).await?;
    let next = listed.next_cursor.as_deref();
    let next = next.map(|cursor| view.to(&with_query("operations", &[("cursor", cursor)])));
    let body = html! {
        div.head {
            h1 { (words.operations) }
            div.actions { a href=(view.to("tasks")) { (words.tasks) } }
        }
        section.card.flush aria-label=(words.operations) {
            @if listed.operations.is_empty() && next.is_none() {
                (empty(words.no_operations, words.no_operations_hint))
            } @else {
                (table(&view, &listed.operations))
            }
            @if let Some(next) = &next {
                nav.pager aria-label=(words.operations) { a.button href=(next) { (words.older) " »" } }
            }
        }
    };
    Ok(Page {
        title: words.operations.to_owned(),
        place: Some(Place::Tasks),
        body,
        is_live: true,
    })
}

fn table(view: &View, operations: &[BulkOperation]) -> Markup {
    let words = view.words;
    html! {
        div.scroll tabindex="0" role="region" aria-label=(words.operations) { table {
            thead { tr {
                th.n scope="col" { (words.id) }
                th scope="col" { (words.action) }
                th scope="col" { (words.status) }
                th scope="col" { (words.which_tasks) }
                th.n scope="col" { (words.changed) }
                th scope="col" { (words.left_as_they_were) }
                th scope="col" { (words.author) }
                th scope="col" { (words.reason) }
                th scope="col" { (words.at) }
            } }
            tbody { @for operation in operations { (row(view, operation)) } }
        } }
    }
}

fn row(view: &View, operation: &BulkOperation) -> Markup {
    let words = view.words;
    html! {
        tr id={ "operation-" (operation.id) } {
            td.n { (link(view, operation)) }
            td { ((words.bulk_actions)(operation.action)) }
            td { (state(view, operation.state)) }
            td.mono { div.one-line title=(told(words, &operation.filter)) { (which(view, &operation.filter)) } }
            td.n { (number(operation.changed)) }
            td { (skipped(view, operation)) }
            td { (operation.author.as_deref().unwrap_or("–")) }
            td { (operation.reason.as_deref().unwrap_or("–")) }
            td { (time(view, operation.created_at)) }
        }
    }
}

fn link(view: &View, operation: &BulkOperation) -> Markup {
    html! { a.mono href=(view.to(&format!("operations/{}", operation.id))) { (operation.id) } }
}

fn state(view: &View, state: BulkState) -> Markup {
    let class = match state {
        BulkState::Running => "Running",
        BulkState::Done => "good",
        BulkState::Cancelled => "off",
        BulkState::Failed => "bad",
    };
    html! { span class={ "status " (class) } { ((view.words.bulk_states)(state)) } }
}

/// How many tasks were left as they were, and why.
fn skipped(view: &View, operation: &BulkOperation) -> Markup {
    html! {
        @if operation.skipped.values().all(|tasks| *tasks == 0) {
            span.faint { "0" }
        } @else {
            ul.plain {
                @for (why, tasks) in &operation.skipped { li { (number(*tasks)) " " ((view.words.skip_reasons)(*why)) } }
            }
        }
    }
}

pub(super) async fn show(mut call: Call, view: View) -> Result<Page, Problem> {
    call.query.finish()?;
    let words = view.words;
    let operation = operations::shown(operations::find(&call).await?);
    let is_running = operation.state == BulkState::Running;
    let title = format!("{} {}", words.operation, operation.id);
    let body = html! {
        div.head {
            h1 { (title) }
            (state(&view, operation.state))
            div.actions {
                a href=(view.to("operations")) { (words.operations) }
                @if is_running && view.caller.may(operations::permission(operation.action)) {
                    (cancel(&view, &operation))
                }
            }
        }
        @if let Some(error) = &operation.error { p.notice.bad role="status" { (words.fault(error)) } }
        (figures(&view, &operation))
        section.card { (facts(&view, &operation)) }
    };
    Ok(Page {
        title,
        place: Some(Place::Tasks),
        body,
        is_live: is_running,
    })
}

fn cancel(view: &View, operation: &BulkOperation) -> Markup {
    let about = format!("#{}", operation.id);
    let action = Action {
        code: "operation.cancel",
        to: format!("operations/{}/cancel", operation.id),
        name: view.words.cancel,
        about: &about,
        question: Some((view.words.really)("operation.cancel").to_owned()),
        is_dangerous: false,
        fields: html! {},
        back: None,
    };
    action.button(view)
}

/// How far it has come.
fn figures(view: &View, operation: &BulkOperation) -> Markup {
    let words = view.words;
    let skipped: u64 = operation.skipped.values().sum();
    let is_under_way = operation.state == BulkState::Running && operation.changed + skipped > 0;
    html! {
        dl.figures {
            div { dt { (words.changed) } dd { (number(operation.changed)) } }
            div { dt { (words.left_as_they_were) } dd { (number(skipped)) } }
        }
        @if is_under_way { p.notice role="status" { ((words.done_down_to)(operation.below)) } }
    }
}

fn facts(view: &View, operation: &BulkOperation) -> Markup {
    let words = view.words;
    html! {
        dl.facts.tight {
            dt { (words.action) } dd { ((words.bulk_actions)(operation.action)) ": " ((words.bulk_means)(operation.action)) }
            dt { (words.which_tasks) }
            dd.mono { (which(view, &operation.filter)) }
            @if let Some(most) = operation.most { dt { (words.at_most) } dd { (number(most)) } }
            dt { (words.left_as_they_were) } dd { (skipped(view, operation)) }
            dt { (words.author) } dd { (operation.author.as_deref().unwrap_or("–")) }
            dt { (words.reason) } dd { (operation.reason.as_deref().unwrap_or("–")) }
            dt { (words.created) } dd { (time(view, operation.created_at)) }
            dt { (words.ended) } dd { (time_or_none(view, operation.ended_at)) }
            dt { (words.node) }
            dd { @match &operation.node { Some(node) => (node_link(view, node)), None => span.faint { "–" } } }
        }
    }
}
