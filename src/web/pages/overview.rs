//! The first page: what needs attention, and how each theme does.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};

use super::{
    layout::{Page, Place},
    parts::{Ended, bar, empty, number, share, spark, theme_link, time},
    view::{View, encoded},
};
use crate::{
    admin::{GetMethods, Overview, ThemeState},
    domain::GetHistory,
    web::{call::Call, problem::Problem},
};

/// How far back the bars go, in steps of a minute.
const MINUTES: u32 = 60;

/// For at most so many themes the page looks whether a node serves the due tasks: each takes a query.
const CHECKED: usize = 50;

/// A problem, and where to look.
struct Worry {
    text: Markup,
    is_bad: bool,
}

pub(super) async fn show(mut call: Call, view: View) -> Result<Page, Problem> {
    call.query.finish()?;
    let admin = call.gaia().admin();
    let overview = admin.overview().await?;
    let themes: Vec<&ThemeState> = overview
        .themes
        .iter()
        .filter(|state| call.caller.sees_theme(&state.info.theme))
        .collect();
    let mut ended = ended_by_theme(&call, &view).await?;
    let mut worries = worries(&overview, &themes, &view);
    let worked_on =
        |state: &&&ThemeState| state.unfinished.due > 0 && state.info.node_workers > 0 && !state.info.paused;
    for state in themes.iter().filter(worked_on).take(CHECKED) {
        let theme = Some(state.info.theme.clone());
        let methods = admin.methods(GetMethods { theme }).await?;
        let unserved: u64 = methods
            .iter()
            .filter(|method| method.nodes.is_empty())
            .filter_map(|method| method.due)
            .sum();
        if unserved > 0 {
            worries.push(Worry {
                is_bad: true,
                text: html! { (theme_link(&view, &state.info.theme)) ": " ((view.words.nobody_serves)(unserved)) },
            });
        }
    }
    let body = html! {
        div.head { h1 { (view.words.overview) } }
        (attention(&view, &worries))
        section.card.flush {
            @if themes.is_empty() {
                (empty(view.words.no_themes, view.words.no_themes_hint))
            } @else {
                div.scroll { table {
                    thead { tr {
                        th scope="col" { (view.words.theme) }
                        th.n scope="col" { (view.words.due) }
                        th.n scope="col" { (view.words.running) }
                        th scope="col" { (view.words.busy_of_all) }
                        th.n scope="col" { (view.words.rate) }
                        th.n scope="col" { (view.words.failure_share) }
                        th scope="col" { (view.words.last_hour) }
                    } }
                    tbody {
                        @for state in &themes {
                            (row(&view, state, &ended.remove(&state.info.theme).unwrap_or_default()))
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
        .filter(|state| state.unfinished.due > 0 && state.info.node_workers == 0 && !state.info.paused)
        .map(|state| Worry {
            is_bad: true,
            text: html! { (theme_link(view, &state.info.theme)) ": " ((words.nobody_works)(state.unfinished.due)) },
        });
    let silent = overview.nodes.iter().filter(|node| !node.alive).map(|node| Worry {
        is_bad: false,
        text: html! {
            a.mono href=(view.to(&format!("nodes/{}", encoded(&node.id)))) { (node.id) } ": " (words.silent) ", "
            (words.last_beat) " " (time(view, node.last_beat))
        },
    });
    idle.chain(paused).chain(silent).collect()
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

fn row(view: &View, state: &ThemeState, ended: &[Ended]) -> Markup {
    let (words, info) = (view.words, &state.info);
    let total = |count: fn(&Ended) -> u64| ended.iter().map(count).sum::<u64>();
    let (good, retried, bad) = (
        total(|step| step.good),
        total(|step| step.retried),
        total(|step| step.bad),
    );
    let recent = &ended[ended.len().saturating_sub(5)..];
    let of_recent: u64 = recent.iter().map(|step| step.good + step.retried + step.bad).sum();
    html! {
        tr id={ "theme-" (encoded(&info.theme)) } {
            td {
                (theme_link(view, &info.theme))
                @if info.paused { " " span.tag.warn { (words.paused) } }
                @if info.node_workers == 0 { " " span.tag { (words.no_workers) } }
            }
            td.n { (number(state.unfinished.due)) }
            td.n { (number(info.running as u64)) }
            td.nowrap { (bar(info.running, info.node_workers)) " " (number(info.running as u64)) " / " (number(info.node_workers as u64)) }
            td.n { ((words.per_minute)(per_minute(of_recent, recent.len()))) }
            td.n { (share(bad + retried, good + bad + retried)) }
            td { (spark(ended, &(words.ended_per_step)(&(words.lasting)(std::time::Duration::from_secs(60))))) }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn per_minute(count: u64, minutes: usize) -> f64 {
    count as f64 / minutes.max(1) as f64
}

/// The attempts that ended in each minute of the last hour, of each theme.
async fn ended_by_theme(call: &Call, view: &View) -> Result<BTreeMap<String, Vec<Ended>>, Problem> {
    let from = view.now - TimeDelta::minutes(i64::from(MINUTES) - 1);
    let get = GetHistory {
        by_method: true,
        ..GetHistory::between(from, view.now)
    };
    let _turn = call.search().await?;
    let history = call.gaia().admin().history(get).await?;
    let mut ended: BTreeMap<String, Vec<Ended>> = BTreeMap::new();
    for point in history.points {
        let Some(theme) = point.theme else { continue };
        let steps = ended
            .entry(theme)
            .or_insert_with(|| vec![Ended::default(); MINUTES as usize]);
        if let Some(step) = minute(from, point.at).and_then(|at| steps.get_mut(at)) {
            step.good += point.succeeded;
            step.retried += point.retried;
            step.bad += point.failed + point.lost;
        }
    }
    Ok(ended)
}

/// The place of a point among the steps that begin with this time.
fn minute(from: DateTime<Utc>, at: DateTime<Utc>) -> Option<usize> {
    usize::try_from(at.timestamp() / 60 - from.timestamp() / 60).ok()
}
