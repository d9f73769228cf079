//! Who has changed what, when and why.

use maud::{Markup, html};
use serde_json::Value;

use super::{
    layout::{Page, Place},
    parts::{empty, theme_link, time, with_query},
    view::{View, encoded},
};
use crate::{
    domain::{AuditChange, AuditEntry},
    web::{
        audit::{Asked, Listed, asked, found},
        call::Call,
        problem::Problem,
        routes::ROUTES,
        themes,
    },
};

/// The conditions as the form has them.
struct Conditions {
    theme: String,
    author: String,
    action: String,
}

impl Conditions {
    fn of(asked: &Asked) -> Self {
        Self {
            theme: asked.themes.first().cloned().unwrap_or_default(),
            author: asked.author.clone().unwrap_or_default(),
            action: asked.action.clone().unwrap_or_default(),
        }
    }

    fn are_none(&self) -> bool {
        self.theme.is_empty() && self.author.is_empty() && self.action.is_empty()
    }
}

pub(super) async fn show(mut call: Call, view: View) -> Result<Page, Problem> {
    call.query.drop_blank();
    let asked = asked(&mut call.query);
    call.query.finish()?;
    let conditions = Conditions::of(&asked);
    let is_first_page = asked.cursor.is_none();
    let known = themes::seen(&call).await?;
    let known: Vec<String> = known.into_iter().map(|info| info.theme).collect();
    let listed = found(&call, asked).await?;
    let words = view.words;
    let body = html! {
        div.head { h1 { (words.audit) } }
        (form(&view, &conditions, &known))
        section.card.flush {
            @match (listed.entries.is_empty(), conditions.are_none()) {
                (true, true) => (empty(words.no_audit, words.no_audit_hint)),
                (true, false) => (empty(words.no_audit_found, "")),
                (false, _) => (table(&view, &listed.entries)),
            }
            (pager(&view, &conditions, &listed, is_first_page))
        }
    };
    Ok(Page {
        title: words.audit.to_owned(),
        place: Some(Place::Audit),
        body,
        // Others people read at their leisure, and the form holds typed text.
        is_live: is_first_page && conditions.are_none(),
    })
}

/// Every action that the audit may have, each once.
fn actions() -> Vec<&'static str> {
    let mut actions: Vec<&str> = ROUTES.iter().filter_map(|route| route.action).collect();
    actions.sort_unstable();
    actions.dedup();
    actions
}

fn form(view: &View, conditions: &Conditions, known: &[String]) -> Markup {
    let words = view.words;
    let actions = actions();
    let is_unknown = !conditions.action.is_empty() && !actions.contains(&&*conditions.action);
    html! {
        form.search method="get" action=(view.to("audit")) {
            label { (words.theme)
                input type="text" name="theme" value=(conditions.theme) list="known-themes" autocomplete="off" placeholder=(words.all_themes);
            }
            datalist #known-themes { @for theme in known { option value=(theme) {} } }
            label { (words.author)
                input type="text" name="author" value=(conditions.author) autocomplete="off";
            }
            label { (words.action)
                select name="action" {
                    option value="" { (words.all_actions) }
                    @if is_unknown { option value=(conditions.action) selected { (conditions.action) } }
                    @for action in actions {
                        option value=(action) selected[action == conditions.action] { (named(view, action)) }
                    }
                }
            }
            div.actions.bottom {
                button.main { (words.search) }
                @if !conditions.are_none() { a.button href=(view.to("audit")) { (words.clear_filter) } }
            }
        }
    }
}

/// The name of an action. An action that this version does not know keeps its code.
fn named<'a>(view: &View, action: &'a str) -> &'a str {
    (view.words.actions)(action).unwrap_or(action)
}

fn table(view: &View, entries: &[AuditEntry]) -> Markup {
    let words = view.words;
    html! {
        div.scroll { table {
            thead { tr {
                th scope="col" { (words.at) }
                th scope="col" { (words.author) }
                th scope="col" { (words.action) }
                th scope="col" { (words.target) }
                th scope="col" { (words.theme) }
                th scope="col" { (words.reason) }
                th scope="col" { (words.result) }
            } }
            tbody {
                @for entry in entries {
                    tr id={ "entry-" (entry.id) } {
                        td { (time(view, entry.at)) }
                        td.nowrap { a href=(view.to(&with_query("audit", &[("author", &entry.author)]))) { (entry.author) } }
                        td.nowrap title=(entry.action) { (named(view, &entry.action)) }
                        td.what { (target(view, entry)) }
                        td { @if let Some(theme) = &entry.theme { (theme_link(view, theme)) } }
                        td.what { @if let Some(reason) = &entry.reason { (reason) } }
                        td { (result(view, entry.result.as_deref())) }
                    }
                }
            }
        } }
    }
}

/// On what: a link where it has a page.
fn target(view: &View, entry: &AuditEntry) -> Markup {
    let is_id = entry.target.parse::<i64>().is_ok();
    let kind = entry.action.split('.').next().unwrap_or_default();
    let folder = match (kind, is_id) {
        ("task", true) => Some("tasks"),
        ("job", true) => Some("jobs"),
        ("operation", true) => Some("operations"),
        ("theme", _) => Some("themes"),
        ("node", _) => Some("nodes"),
        _ => None,
    };
    html! {
        @match folder {
            Some(folder) => a.mono href=(view.to(&format!("{folder}/{}", encoded(&entry.target)))) { (entry.target) },
            None => span.mono { (entry.target) },
        }
        @if let Some(name) = &entry.target_name { " " (name) }
        @for change in &entry.changes {
            div.sub { code { (change.field) } ": " (values(view, change)) }
        }
    }
}

/// The earlier and the new value. Where neither is written down, the field has changed.
fn values(view: &View, change: &AuditChange) -> Markup {
    let shown = |value: &Option<Value>| match value {
        None => "–".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    html! {
        @match (&change.from, &change.to) {
            (from, to) if from == to => (view.words.value_not_told),
            (None, to) => (shown(to)),
            (from, to) => { (shown(from)) " → " (shown(to)) },
        }
    }
}

fn result(view: &View, result: Option<&str>) -> Markup {
    let words = view.words;
    let Some(result) = result else {
        return html! { span.status.Wait { (words.pending) } };
    };
    let (result, code) = result.split_once(": ").unwrap_or((result, ""));
    html! {
        @match result {
            "done" => span.status.good { (words.change_done) },
            "refused" => span.status.off { (words.change_refused) },
            "failed" => span.status.bad { (words.change_failed) },
            other => (other),
        }
        @if !code.is_empty() { div.sub { code { (code) } } }
    }
}

fn pager(view: &View, conditions: &Conditions, listed: &Listed, is_first_page: bool) -> Markup {
    let words = view.words;
    let url = |cursor: &str| {
        let Conditions { theme, author, action } = conditions;
        with_query(
            "audit",
            &[
                ("theme", theme),
                ("author", author),
                ("action", action),
                ("cursor", cursor),
            ],
        )
    };
    html! {
        @if !is_first_page || listed.next_cursor.is_some() {
            nav.pager aria-label=(words.audit) {
                @if !is_first_page { a.button href=(view.to(&url(""))) { (words.newer) } }
                @if let Some(cursor) = &listed.next_cursor { a.button href=(view.to(&url(cursor))) { (words.older) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::pages::words::Language;

    #[test]
    fn every_action_has_a_name_in_every_language() {
        for language in Language::ALL {
            for action in actions() {
                assert!((language.words().actions)(action).is_some(), "{language:?}: {action}");
            }
        }
    }
}
