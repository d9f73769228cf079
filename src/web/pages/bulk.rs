//! The question before many tasks are changed.

use std::str::FromStr;

use maud::{Markup, html};

use super::{
    layout::{Page, Place},
    parts::{empty, reason},
    tasks::{allowed, query, table},
    view::{self, View},
    words::Words,
};
use crate::{
    domain::{BulkAction, BulkTasks, TaskFilter},
    web::{
        call::Call,
        filter,
        operations::{self, Preview},
        problem::{Fault, Problem},
    },
};

/// A filter with more ids has no link: the address would be too long.
const LINKED_IDS: usize = 200;

pub(super) async fn ask(mut call: Call, view: View) -> Result<Page, Problem> {
    call.query.drop_blank();
    let action: Option<BulkAction> = call.query.value("action");
    let back = call.query.text("back").filter(|back| view::is_place(back));
    let found_all = call.query.value::<FoundAll>("found").is_some();
    let asked = filter::read(&mut call);
    call.query.finish()?;
    let action = action.ok_or_else(|| Problem::bad_query(vec![Fault::parameter("action", "action is missing")]))?;
    call.caller.needs(operations::permission(action))?;
    let bulk = BulkTasks {
        all: found_all && asked.filter.is_empty(),
        ..BulkTasks::new(action, asked.filter)
    };
    let back = back.unwrap_or_else(|| "tasks".to_owned());
    let is_nothing = bulk.filter.is_empty() && !bulk.all;
    let statuses = &bulk.filter.statuses;
    let is_impossible = !statuses.is_empty() && allowed(action, statuses).next().is_none();
    let preview = match is_nothing || is_impossible {
        true => None,
        false => Some(operations::previewed(&call, bulk.clone()).await?),
    };
    let name = (view.words.bulk_actions)(action);
    let body = html! {
        div.head { h1 { @match &preview {
            Some(preview) if preview.tasks > 0 => ((view.words.bulk_this)(action, preview.tasks, preview.more)),
            _ => (name),
        } } }
        @match &preview {
            None if is_nothing => (nothing(&view, &back, view.words.nothing_selected, view.words.nothing_selected_hint)),
            None => (nothing(&view, &back, view.words.nothing_to_do, &changes_only(&view, action))),
            Some(preview) if preview.tasks == 0 && !preview.more => {
                (nothing(&view, &back, view.words.nothing_to_do, &changes_only(&view, action)))
            }
            Some(preview) => (question(&view, &bulk, preview, &back)?),
        }
    };
    Ok(Page {
        title: name.to_owned(),
        place: Some(Place::Tasks),
        body,
        is_live: false,
    })
}

/// The parameter that says that a filter without a condition is meant.
struct FoundAll;

impl FromStr for FoundAll {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self),
            _ => Err("expected all"),
        }
    }
}

fn nothing(view: &View, back: &str, what: &str, hint: &str) -> Markup {
    html! {
        section.card {
            (empty(what, hint))
            p.centred { a.button href=(view.to(back)) { (view.words.back_to_list) } }
        }
    }
}

fn changes_only(view: &View, action: BulkAction) -> String {
    let statuses: Vec<&str> = action
        .allowed_from()
        .iter()
        .map(|status| (view.words.statuses)(*status))
        .collect();
    (view.words.bulk_changes_only)(&statuses.join(view.words.comma))
}

fn question(view: &View, bulk: &BulkTasks, preview: &Preview, back: &str) -> Result<Markup, Problem> {
    let words = view.words;
    let (is_of_ids, statuses) = (!bulk.filter.ids.is_empty(), &bulk.filter.statuses);
    let is_plain = !statuses.is_empty() && allowed(bulk.action, statuses).count() == statuses.len();
    let stored = serde_json::to_string(bulk).map_err(|error| Problem::unwritable(&error))?;
    Ok(html! {
        @if bulk.all {
            p.notice.bad role="status" { strong {
                @if view.caller.sees_all_themes() { (words.bulk_every) } @else { (words.bulk_every_seen) }
            } }
        }
        section.card {
            p { ((words.bulk_means)(bulk.action)) @if !is_plain { " " (changes_only(view, bulk.action)) } }
            dl.facts {
                dt { (words.which_tasks) }
                dd.mono { (which(view, &bulk.filter)) }
                dt { (words.tasks) }
                dd { ((words.tasks_or_more)(preview.tasks, preview.more)) }
            }
            @if !is_of_ids { p.sub { (words.bulk_when_it_runs) } }
            form.question method="post" action=(view.to("tasks/bulk")) {
                input type="hidden" name="bulk" value=(stored);
                input type="hidden" name="back" value=(back);
                (reason(view))
                div.actions {
                    button.main.danger[bulk.action == BulkAction::Delete] { ((words.bulk_this)(bulk.action, preview.tasks, preview.more)) }
                    a.button href=(view.to(back)) { (words.back_to_list) }
                }
            }
        }
        section.card.flush {
            h2 { (words.samples) }
            (table(view, &preview.samples, false))
        }
    })
}

/// A filter as its readers would type it.
pub(super) fn told(words: &Words, filter: &TaskFilter) -> String {
    match filter.is_empty() {
        true => words.every_task.to_owned(),
        false => filter::line_of(filter),
    }
}

/// The same, as a link to the tasks that meet it now.
pub(super) fn which(view: &View, filter: &TaskFilter) -> Markup {
    let line = told(view.words, filter);
    html! {
        @match filter.ids.len() <= LINKED_IDS {
            true => a href=(view.to(&query("tasks", &filter::parameters(filter)))) { (line) },
            false => (line),
        }
    }
}
