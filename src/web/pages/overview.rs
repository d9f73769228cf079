//! The first page: what needs attention, and how each theme does.

use chrono::TimeDelta;
use maud::{Markup, html};

use super::{
    layout::{Page, Place},
    parts::{bar, empty, node_link, number, theme_link, time},
    past::{Past, RATE_MINUTES, failure_share, per_minute, runs},
    view::{View, encoded},
};
use crate::{
    admin::{Overview, ThemeState},
    domain::{AlertSeverity, Counted, ErrorsSince, OpenAlert},
    error::Error,
    web::{call::Call, problem::Problem},
};

/// A problem, and where to look.
struct Worry {
    text: Markup,
    is_bad: bool,
}

pub(super) async fn show(mut call: Call, view: View) -> Result<Page, Problem> {
    call.query.finish()?;
    let state = call.watch().state().await.ok_or(Error::Stopped)?;
    let overview = state.found.as_ref().map_err(Problem::clone)?;
    let last_hour = Past::shared_hour(&call, &view).await?;
    let sees = |state: &&ThemeState| call.caller.sees_theme(&state.info.theme);
    let themes: Vec<&ThemeState> = overview.themes.iter().filter(sees).collect();
    let mut worries = worries(overview, &themes, &view);
    worries.extend(open_alerts(&call, overview, &view));
    let body = html! {
        div.head { h1 { (view.words.overview) } }
        (attention(&view, &worries))
        section.card.flush {
            @if themes.is_empty() {
                (empty(view.words.no_themes, view.words.no_themes_hint))
            } @else {
                div.scroll { table.cards {
                    thead { tr {
                        th scope="col" { (view.words.theme) }
                        th.n scope="col" { (view.words.due) }
                        th scope="col" { (view.words.oldest_due) }
                        th.n.wide-only scope="col" { (view.words.running) }
                        th scope="col" { (view.words.busy_of_all) }
                        th.n scope="col" { (view.words.rate) }
                        th.n scope="col" { (view.words.failure_share) }
                        th scope="col" { (view.words.last_hour) }
                    } }
                    tbody {
                        @for state in &themes {
                            (row(&view, state, &last_hour))
                        }
                    }
                } }
            }
        }
    };
    Ok(Page {
        title: view.words.overview.to_owned(),
        place: Some(Place::Overview),
        body,
        is_live: true,
    })
}

/// How many alerts are open that the caller may see.
fn open_alerts(call: &Call, overview: &Overview, view: &View) -> Option<Worry> {
    let sees = |alert: &&OpenAlert| match &alert.theme {
        Some(theme) => call.caller.sees_theme(theme),
        None => call.caller.sees_all_themes(),
    };
    let seen: Vec<&OpenAlert> = overview.alerts.iter().filter(sees).collect();
    let is_bad = seen.iter().any(|alert| alert.severity == AlertSeverity::Page);
    (!seen.is_empty()).then(|| Worry {
        text: html! { a href=(view.to("alerts")) { ((view.words.open_alerts)(seen.len() as u64)) } },
        is_bad,
    })
}

fn worries(overview: &Overview, themes: &[&ThemeState], view: &View) -> Vec<Worry> {
    let words = view.words;
    let paused = themes.iter().filter(|state| state.info.paused).map(|state| {
        let note = state.info.pause.as_ref();
        let by = note.and_then(|note| note.by.as_deref());
        let reason = note.and_then(|note| note.reason.as_deref());
        Worry {
            is_bad: false,
            text: html! {
                (theme_link(view, &state.info.theme)) ": " ((words.paused_by)(by, reason))
                @if let Some(note) = note { " (" (time(view, note.at)) ")" }
            },
        }
    });
    let idle = themes
        .iter()
        .filter(|state| state.unfinished.due > 0 && state.info.node_workers == 0)
        .map(|state| Worry {
            is_bad: !state.info.paused,
            text: html! { (theme_link(view, &state.info.theme)) ": " ((words.nobody_works)(state.unfinished.due)) },
        });
    let unserved = themes
        .iter()
        .filter(|state| state.unfinished.unserved > 0 && state.info.node_workers > 0)
        .map(|state| Worry {
            is_bad: !state.info.paused,
            text: html! { (theme_link(view, &state.info.theme)) ": " ((words.nobody_serves)(state.unfinished.unserved)) },
        });
    let silent = overview.nodes.iter().filter(|node| !node.alive).map(|node| Worry {
        is_bad: false,
        text: html! {
            (node_link(view, &node.id)) ": " (words.silent) ", "
            (words.last_beat) " " (time(view, node.last_beat))
        },
    });
    idle.chain(unserved).chain(paused).chain(silent).collect()
}

fn attention(view: &View, worries: &[Worry]) -> Markup {
    html! {
        @if worries.is_empty() {
            p.notice.good { (view.words.all_well) }
        } @else {
            section aria-label=(view.words.needs_attention) {
                ul.list { @for worry in worries { li.notice.bad[worry.is_bad].warn[!worry.is_bad] { (worry.text) } } }
            }
        }
    }
}

fn row(view: &View, state: &ThemeState, last_hour: &Past) -> Markup {
    let (words, info) = (view.words, &state.info);
    let is_of_theme = |counted: &Counted| counted.series.theme == info.theme;
    let lately = view.now - TimeDelta::minutes(RATE_MINUTES);
    let recent = runs(&last_hour.sum(|counted| is_of_theme(counted) && counted.at >= lately));
    html! {
        tr id={ "theme-" (encoded(&info.theme)) } {
            td.lead {
                (theme_link(view, &info.theme))
                @if info.paused { " " span.tag.warn { (words.paused) } }
                @if info.node_workers == 0 { " " span.tag { (words.no_workers) } }
            }
            td.n data-label=(words.due) { (number(state.unfinished.due)) }
            td.nowrap data-label=(words.oldest_due) {
                @match state.unfinished.oldest_due {
                    Some(since) => (time(view, since)),
                    None => span.faint { "–" },
                }
            }
            td.n.wide-only { (number(info.running as u64)) }
            td.nowrap data-label=(words.busy_of_all) { (bar(info.running, info.node_workers)) " " (number(info.running as u64)) " / " (number(info.node_workers as u64)) }
            td.n data-label=(words.rate) { ((words.per_minute)(per_minute(recent))) }
            td.n data-label=(words.failure_share) { (failure_share(view, &last_hour.sum(is_of_theme), &info.theme, ErrorsSince::Hour)) }
            td data-label=(words.last_hour) { (last_hour.spark(view, is_of_theme)) }
        }
    }
}
