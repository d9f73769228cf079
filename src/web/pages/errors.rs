//! Errors in groups, and a way to retry each group.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use chrono::{DateTime, SecondsFormat, Utc};
use maud::{Markup, html};

use super::{
    layout::{Page, Place},
    parts::{empty, errors_path, hash, method_link, number, task_link, theme_link, time_or_none, with_query},
    past::{self, Past, bad, theme_choice},
    view::View,
};
use crate::{
    domain::{ErrorAttempts, ErrorGroup, ErrorsSince, GetErrors, check_theme},
    web::{
        call::Call,
        errors::{GROUPS, Grouped, ShownGroup, grouped},
        permission::Permission,
        problem::Problem,
        themes,
    },
};

/// The most themes on the page.
const THEMES: usize = 20;

/// How long the page looks for errors before it leaves out the themes that are left. Each theme takes at most half a second.
const LOOK_FOR: Duration = Duration::from_secs(1);

/// The fewest bytes of a text by which a group is found again: less would find other errors, too.
const TOLD_BY: usize = 4;

/// Stands in a group for the parts that differ.
const GAP: char = '…';

/// Which errors are looked for. The theme may be any.
#[derive(Clone, Copy)]
struct Asked {
    since: ErrorsSince,
    attempts: ErrorAttempts,
}

impl Asked {
    fn url(self, theme: &str) -> String {
        errors_path(theme, self.since.as_str(), self.attempts.as_str())
    }
}

/// The errors of the themes that were looked at, and the themes that were not.
#[derive(Default)]
struct Looked {
    found: Vec<(String, Grouped)>,
    left: Vec<String>,
}

pub(super) async fn show(mut call: Call, view: View) -> Result<Page, Problem> {
    let began = Instant::now();
    call.query.drop_blank();
    let theme = call.query.text("theme");
    let since: ErrorsSince = call.query.value("since").unwrap_or_default();
    let attempts: ErrorAttempts = call.query.value("attempts").unwrap_or_default();
    let wanted = Asked { since, attempts };
    call.query.finish()?;
    if let Some(theme) = &theme {
        check_theme(theme)?;
        call.caller.needs_theme(theme)?;
    }
    let known = themes::seen(&call).await?;
    let known: Vec<String> = known.into_iter().map(|info| info.theme).collect();
    let asked = match &theme {
        Some(theme) => vec![theme.clone()],
        None => worst_first(&call, &view, since, &known).await?,
    };
    let looked = look(&call, asked, wanted, began).await?;
    let words = view.words;
    let chosen = theme.as_deref().unwrap_or_default();
    let body = html! {
        div.head {
            h1 { (words.errors) }
            (past::tabs(&view, since, |since| errors_path(chosen, since, attempts.as_str())))
            div.actions {
                (theme_choice(&view, "errors", &known, theme.as_deref(), &[("since", since.as_str()), ("attempts", attempts.as_str())]))
            }
        }
        (choice(&view, chosen, wanted))
        @if looked.found.is_empty() && looked.left.is_empty() {
            section.card { (nothing(&view, attempts)) }
        }
        @for (theme, errors) in looked.found {
            (of_theme(&view, &theme, errors, wanted))
        }
        @if !looked.left.is_empty() {
            section.notice.warn {
                p { (words.not_looked_at) }
                ul.list {
                    @for theme in &looked.left {
                        li { a href=(view.to(&wanted.url(theme))) { (theme) } }
                    }
                }
            }
        }
    };
    Ok(Page {
        title: words.errors.to_owned(),
        place: Some(Place::Errors),
        body,
        is_live: past::is_cheap(began),
    })
}

/// The themes that the caller sees, those with the most failures in this time first. Those that have nothing but finished tasks are known by
/// their history alone.
async fn worst_first(call: &Call, view: &View, since: ErrorsSince, known: &[String]) -> Result<Vec<String>, Problem> {
    let past = Past::read(call, view, since, Past::of_all(view, since)).await?;
    let mut failures: BTreeMap<&str, u64> = known.iter().map(|theme| (theme.as_str(), 0)).collect();
    for counted in &past.counted {
        *failures.entry(&counted.series.theme).or_default() += bad(&counted.figures) + counted.figures.retried;
    }
    let mut themes: Vec<(&str, u64)> = failures.into_iter().collect();
    themes.sort_by_key(|(_, failures)| std::cmp::Reverse(*failures));
    let named = themes.into_iter().map(|(theme, _)| theme.to_owned());
    // Plain SQL may have written a theme that has no name.
    Ok(named.filter(|theme| check_theme(theme).is_ok()).collect())
}

async fn look(call: &Call, themes: Vec<String>, asked: Asked, began: Instant) -> Result<Looked, Problem> {
    let mut looked = Looked::default();
    for theme in themes {
        if looked.found.len() >= THEMES || began.elapsed() > LOOK_FOR {
            looked.left.push(theme);
            continue;
        }
        let get = GetErrors {
            theme: theme.clone(),
            since: asked.since,
            attempts: asked.attempts,
            limit: GROUPS,
        };
        let errors = grouped(call, get).await?;
        if !errors.groups.is_empty() || errors.searched_from.is_some() {
            looked.found.push((theme, errors));
        }
    }
    Ok(looked)
}

/// Whether the last attempts of tasks are shown, or all that have failed.
fn choice(view: &View, theme: &str, chosen: Asked) -> Markup {
    html! {
        nav.tabs aria-label=(view.words.attempts) {
            @for attempts in ErrorAttempts::ALL {
                a href=(view.to(&Asked { attempts, ..chosen }.url(theme))) aria-current=[(attempts == chosen.attempts).then_some("true")] {
                    ((view.words.error_attempts)(attempts))
                }
            }
        }
    }
}

fn nothing(view: &View, attempts: ErrorAttempts) -> Markup {
    let words = view.words;
    match attempts {
        ErrorAttempts::All => empty(words.no_failed_attempts, words.no_failed_attempts_hint),
        ErrorAttempts::Last => empty(words.no_errors, words.no_errors_hint),
    }
}

fn of_theme(view: &View, theme: &str, errors: Grouped, asked: Asked) -> Markup {
    let words = view.words;
    let from = view.now.checked_sub_signed(asked.since.length()).unwrap_or(view.now);
    let are_all = asked.attempts == ErrorAttempts::All;
    html! {
        section.card.flush id={ "errors-" (hash(theme)) } {
            h2 { (theme_link(view, theme)) }
            @if errors.groups.is_empty() {
                (nothing(view, asked.attempts))
            } @else {
                div.scroll { table.cards {
                    thead { tr {
                        th scope="col" { (words.error) }
                        th scope="col" { (words.method) }
                        @if are_all { th.n scope="col" { (words.attempts) } }
                        th.n scope="col" { (words.tasks) }
                        @if are_all { th.n scope="col" { (words.succeeded_since) } }
                        th.n scope="col" { (words.retrying) }
                        th scope="col" { (words.first_seen) }
                        th scope="col" { (words.last_seen) }
                        th scope="col" { (words.newest) }
                        @if !are_all { th scope="col" { span.visually-hidden { (words.action) } } }
                    } }
                    tbody { @for group in errors.groups { (row(view, theme, group, from, are_all)) } }
                } }
            }
            @if errors.more_groups > 0 || errors.searched_from.is_some() {
                p.pager.sub {
                    @if errors.more_groups > 0 { span { ((words.more_groups)(errors.more_groups)) } }
                    @if let Some(to) = &errors.searched_from {
                        span { ((words.searched_back_to)(to.id)) " " (time_or_none(view, to.create_time)) }
                    }
                }
            }
        }
    }
}

/// `are_all`: the group counts all attempts. The last errors of tasks, by which tasks are found, are not among them if a task has succeeded.
fn row(view: &View, theme: &str, group: ShownGroup, from: DateTime<Utc>, are_all: bool) -> Markup {
    let words = view.words;
    // A text that is shown in place of the error finds nothing, and the error itself must not be shown.
    let is_whole = group.is_whole();
    let (group, _) = group.into_parts();
    let told_by = told_by(&group.error).filter(|_| is_whole);
    let id = format!(
        "error-{}",
        hash(&format!(
            "{theme}\n{}\n{}\n{}",
            group.service, group.method, group.error
        ))
    );
    html! {
        tr id=(id) {
            td.what {
                @match group.error.is_empty() {
                    true => span.faint { (words.no_error_text) },
                    false => span.error { (group.error) },
                }
                @if let Some(sample) = group.sample.as_ref().filter(|sample| !sample.text.is_empty()) {
                    details.fold id={ (id) "-sample" } {
                        summary { (words.sample) }
                        pre tabindex="0" { (sample.text) @if sample.is_cut() { "…" } }
                    }
                }
            }
            td data-label=(words.method) { (method_link(view, Some(theme), &group.service, &group.method)) }
            @if are_all {
                td.n data-label=(words.attempts) { (number(group.attempts)) }
                td.n data-label=(words.tasks) { (number(group.tasks)) }
                td.n data-label=(words.succeeded_since) { (number(group.succeeded)) }
            } @else {
                td.n data-label=(words.tasks) { a href=(view.to(&tasks_of(theme, &group, told_by, from))) { (number(group.tasks)) } }
            }
            td.n data-label=(words.retrying) { (number(group.retrying)) }
            td data-label=(words.first_seen) { (time_or_none(view, group.first)) }
            td data-label=(words.last_seen) { (time_or_none(view, group.last)) }
            td data-label=(words.newest) { @for id in &group.newest { (task_link(view, *id)) " " } }
            @if !are_all {
                td {
                    @if let (true, true, Some(text)) = (view.caller.may(Permission::Retry), group.tasks > group.retrying, told_by) {
                        a.button href=(view.to(&retry(view, theme, &group, text, from))) { (words.retry_group) "…" }
                    }
                }
            }
        }
    }
}

fn moment(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The tasks of a group. Without a text that tells it from others: all failed tasks of its method.
fn tasks_of(theme: &str, group: &ErrorGroup, told_by: Option<&str>, from: DateTime<Utc>) -> String {
    with_query(
        "tasks",
        &[
            ("theme", theme),
            ("status", "Failed,Retry"),
            ("service", &group.service),
            ("method", &group.method),
            ("error", told_by.unwrap_or_default()),
            ("ended_from", &moment(from)),
        ],
    )
}

/// The question whether to retry the tasks of a group.
fn retry(view: &View, theme: &str, group: &ErrorGroup, error: &str, from: DateTime<Utc>) -> String {
    with_query(
        "tasks/bulk",
        &[
            ("action", "retry"),
            ("theme", theme),
            ("status", "Failed"),
            ("service", &group.service),
            ("method", &group.method),
            ("error", error),
            ("ended_from", &moment(from)),
            ("back", &view.here),
        ],
    )
}

/// The longest piece of a group's text that all of its errors hold as it stands. `None`: no piece tells the group from others.
fn told_by(error: &str) -> Option<&str> {
    let pieces: BTreeSet<(usize, &str)> = error
        .split([GAP, '\0'])
        .map(|piece| (piece.trim().len(), piece.trim()))
        .collect();
    let (length, piece) = pieces.last()?;
    (*length >= TOLD_BY).then_some(*piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_its_longest_piece() {
        for (error, piece) in [
            ("order … is gone, after … s.", Some("is gone, after")),
            ("connection refused (…)", Some("connection refused (")),
            ("订单 … 不存在：“甲”", Some("不存在：“甲”")),
            ("… … …", None),
            ("E…", None),
            ("", None),
        ] {
            assert_eq!(told_by(error), piece, "{error}");
        }
    }
}
