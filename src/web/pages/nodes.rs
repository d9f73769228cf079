//! Nodes: which processes work, on what, and how much they have done.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::{
    layout::{Page, Place},
    parts::{bar, empty, hash, method_link, node_link, number, theme_link, time, with_query},
    past::{attempts_failed, quantile, runs},
    resizes::Resizes,
    themes::{alive, resize_node},
    view::View,
};
use crate::{
    asynctask::{SchedulerStatus, UnservedMethod},
    domain::Figures,
    error::Error,
    jobs::JobsStatus,
    node::{NodeInfo, NodeStatus, NodeTheme},
    web::{
        call::Call,
        nodes::{seen, shown},
        problem::Problem,
        watch::NODE_MINUTES,
    },
};

/// What ended on each node in the last minutes, of the themes that the caller sees. `None`: there is more than one look reads.
type Lately = Option<BTreeMap<String, Figures>>;

async fn lately(call: &Call) -> Result<Lately, Problem> {
    let on_nodes = call.watch().on_nodes().await.ok_or(Error::Stopped)?;
    let Some(found) = on_nodes.found.as_ref().map_err(Problem::clone)? else {
        return Ok(None);
    };
    let mut by_node: BTreeMap<String, Figures> = BTreeMap::new();
    for one in found.iter().filter(|one| call.caller.sees_theme(&one.theme)) {
        by_node.entry(one.node.clone()).or_default().add(&one.figures);
    }
    Ok(Some(by_node))
}

fn ended_lately(view: &View) -> String {
    let time = Duration::from_secs(NODE_MINUTES.unsigned_abs() * 60);
    (view.words.ended_lately)(&(view.words.lasting)(time))
}

pub(super) async fn list(mut call: Call, view: View) -> Result<Page, Problem> {
    call.query.finish()?;
    let nodes = seen(&call).await?;
    let lately = lately(&call).await?;
    let (words, me) = (view.words, call.gaia().node_id());
    let body = html! {
        div.head { h1 { (words.nodes) } }
        @if lately.is_none() { p.notice.warn { (words.too_many_counts) } }
        section.card.flush {
            @if nodes.is_empty() {
                (empty(words.no_nodes, words.no_nodes_hint))
            } @else {
                div.scroll { table.cards {
                    thead {
                        tr {
                            th scope="col" rowspan="2" { (words.node) }
                            th scope="col" rowspan="2" { (words.status) }
                            th scope="col" rowspan="2" { (words.last_beat) }
                            th scope="col" rowspan="2" { (words.load) ", " (words.busy_of_all) }
                            th.n scope="colgroup" colspan="4" { (ended_lately(&view)) }
                            th scope="col" rowspan="2" { (words.themes) }
                            th.wide-only scope="col" rowspan="2" { (words.up_since) }
                            th scope="col" rowspan="2" { (words.host) }
                            th.n.wide-only scope="col" rowspan="2" { (words.process) }
                            th.wide-only scope="col" rowspan="2" { (words.version) }
                        }
                        tr { @for name in [words.runs, words.failure_share, "p50", "p95"] { th.n scope="col" { (name) } } }
                    }
                    tbody { @for node in &nodes { (row(&view, node, node.id == me, lately.as_ref())) } }
                } }
            }
        }
    };
    Ok(Page {
        title: words.nodes.to_owned(),
        place: Some(Place::Nodes),
        body,
        is_live: true,
    })
}

fn row(view: &View, node: &NodeInfo, is_me: bool, lately: Option<&BTreeMap<String, Figures>>) -> Markup {
    let words = view.words;
    let figures = lately
        .and_then(|lately| lately.get(&node.id))
        .copied()
        .unwrap_or_default();
    html! {
        tr id={ "node-" (hash(&node.id)) } {
            td.lead { (node_link(view, &node.id)) @if is_me { " " span.tag { (words.answered_by) } } }
            td.lead { (alive(view, node.alive)) }
            td data-label=(words.last_beat) { (stored_time(view, node.last_beat)) }
            td.nowrap data-label=(words.load) { (load(node.running, node.workers)) }
            td.n data-label=(ended_lately(view)) { (number(runs(&figures))) }
            td.n data-label=(words.failure_share) { (attempts_failed(&figures)) }
            td.n data-label="p50" { (quantile(view, &figures.ran, 0.5)) }
            td.n data-label="p95" { (quantile(view, &figures.ran, 0.95)) }
            td data-label=(words.themes) { @for works in &node.themes { div.nowrap { (theme_link(view, &works.theme)) " " span.faint { (number(works.running)) " / " (number(works.workers)) } } } }
            td.wide-only { (stored_time(view, node.started_at)) }
            td data-label=(words.host) { (node.host) }
            td.n.wide-only { @if !node.is_remote() { (node.pid) } }
            td.wide-only { (node.version) }
        }
    }
}

fn load(running: usize, workers: usize) -> Markup {
    html! { (bar(running, workers)) " " (number(running)) " / " (number(workers)) }
}

/// A time of a node's row, which is 1970 if the row has none.
fn stored_time(view: &View, at: DateTime<Utc>) -> Markup {
    html! {
        @match at == DateTime::UNIX_EPOCH {
            true => span.faint { "–" },
            false => (time(view, at)),
        }
    }
}

// ---- one node ----

pub(super) async fn show(mut call: Call, view: View) -> Result<Page, Problem> {
    call.query.finish()?;
    let shown = shown(&call).await?;
    let lately = lately(&call).await?;
    let figures = lately.as_ref().and_then(|lately| lately.get(&shown.node.id)).copied();
    let (words, node) = (view.words, &shown.node);
    let is_me = node.id == call.gaia().node_id();
    let on = node.themes.iter().map(|works| works.theme.clone()).collect();
    let resizes = Resizes::of(&call, on).await?;
    let body = html! {
        div.head {
            h1.mono { (node.id) }
            (alive(&view, node.alive))
            @if is_me { span.tag { (words.answered_by) } }
            div.actions {
                a.button href=(view.to(&with_query("tasks", &[("node", &node.id)]))) { (words.tasks_of_node) }
            }
        }
        (lately_figures(&view, &figures.unwrap_or_default(), lately.is_none()))
        (facts(&view, node))
        section.card.flush {
            h2 { (words.themes) }
            (themes(&view, node, &resizes))
        }
        @match &shown.status {
            Some(status) => (counters(&view, status)),
            None => section.card { h2 { (words.counters) } p.faint { (words.no_counters) } },
        }
        section.card {
            h2 { (words.methods) }
            @if node.methods.is_empty() {
                p.faint { (words.none) }
            } @else {
                ul.many { @for name in &node.methods { li { (method_link(&view, None, &name.service, &name.method)) } } }
            }
        }
    };
    Ok(Page {
        title: node.id.clone(),
        place: Some(Place::Nodes),
        body,
        is_live: true,
    })
}

/// How many attempts have ended on the node in the last minutes, and how long they ran.
fn lately_figures(view: &View, figures: &Figures, is_too_much: bool) -> Markup {
    let words = view.words;
    html! {
        @if is_too_much { p.notice.warn { (words.too_many_counts) } }
        @else {
            dl.figures {
                div { dt { (ended_lately(view)) } dd { (number(runs(figures))) } }
                div { dt { (words.failure_share) } dd { (attempts_failed(figures)) } }
                div {
                    dt { (words.running_time) ", p50" }
                    dd { (quantile(view, &figures.ran, 0.5)) small { "p95 " (quantile(view, &figures.ran, 0.95)) } }
                }
            }
        }
    }
}

fn facts(view: &View, node: &NodeInfo) -> Markup {
    let words = view.words;
    html! {
        section.card {
            dl.facts {
                dt { (words.last_beat) }
                dd { (stored_time(view, node.last_beat)) " " span.sub { ((words.lease)(&(words.lasting)(node.lease))) } }
                dt { (words.up_since) } dd { (stored_time(view, node.started_at)) }
                dt { (words.load) } dd { (load(node.running, node.workers)) }
                dt { (words.host) } dd { (node.host) }
                @if !node.is_remote() { dt { (words.process) } dd { (node.pid) } }
                dt { (words.version) } dd { (node.version) }
            }
        }
    }
}

fn themes(view: &View, node: &NodeInfo, resizes: &Resizes) -> Markup {
    let words = view.words;
    html! {
        @if node.themes.is_empty() {
            div.empty { (words.no_themes_here) }
        } @else {
            div.scroll { table {
                thead { tr {
                    th scope="col" { (words.theme) }
                    th scope="col" { (words.busy_of_all) }
                    th scope="col" { span.visually-hidden { (words.action) } }
                } }
                tbody {
                    @for NodeTheme { theme, workers, running } in &node.themes {
                        tr id={ "theme-" (hash(theme)) } {
                            td { (theme_link(view, theme)) }
                            td {
                                span.nowrap { (load(*running, *workers)) }
                                (resizes.note(view, &node.id, theme, *workers, None))
                            }
                            td { @if node.alive { (resize_node(view, &node.id, theme, *workers)) } }
                        }
                    }
                }
            } }
        }
    }
}

fn counters(view: &View, status: &NodeStatus) -> Markup {
    let words = view.words;
    html! {
        section.card {
            div.head {
                h2 { (words.counters) }
                span.sub { (words.written_at) " " (stored_time(view, status.written_at)) }
            }
            @for theme in &status.themes {
                h3 {
                    (theme_link(view, &theme.theme))
                    @if theme.shared { " " span.tag.warn { (words.shared) } }
                    (states(view, theme.paused, theme.fenced, theme.draining))
                }
                (figures(view, &of_theme(theme)))
                (unserved(view, theme))
            }
            @if status.themes_left_out > 0 { p.sub { ((words.themes_left_out)(status.themes_left_out as u64)) } }
            @if let Some(jobs) = &status.jobs {
                h3 {
                    (words.jobs)
                    (states(view, false, jobs.fenced, jobs.draining))
                    @if let Some(environment) = &jobs.banned { " " span.tag.warn { (words.disabled) ": " (environment) } }
                }
                (figures(view, &of_jobs(jobs)))
            }
            @if status.themes.is_empty() && status.jobs.is_none() { p.faint { (words.none) } }
        }
    }
}

/// Why nothing is taken.
fn states(view: &View, is_paused: bool, is_fenced: bool, is_draining: bool) -> Markup {
    let words = view.words;
    html! {
        @if is_paused { " " span.tag.warn { (words.paused) } }
        @if is_fenced { " " span.tag.bad { (words.fenced) } }
        @if is_draining { " " span.tag.warn { (words.draining) } }
    }
}

fn figures(view: &View, counters: &[(&str, u64)]) -> Markup {
    html! {
        dl.figures.small {
            @for (name, count) in counters { div { dt { ((view.words.counter)(name)) } dd { (number(*count)) } } }
        }
    }
}

/// The methods that tasks call and the node does not serve.
fn unserved(view: &View, theme: &SchedulerStatus) -> Markup {
    let words = view.words;
    html! {
        @if !theme.unserved.is_empty() {
            p.sub { (words.unserved_here) }
            ul.list {
                @for UnservedMethod { service, method, handler_died, served_elsewhere, waiting } in &theme.unserved {
                    li {
                        (method_link(view, Some(&theme.theme), service, method)) ": " ((words.these_tasks)(*waiting))
                        @if *handler_died { " " span.tag.bad { (words.handler_died) } }
                        @match served_elsewhere {
                            true => { " " span.tag { (words.served_elsewhere) } }
                            false => { " " span.tag.bad { (words.nobody) } }
                        }
                    }
                }
            }
        }
    }
}

/// The counters in the order in which work goes through a theme. Its workers are shown elsewhere.
fn of_theme(status: &SchedulerStatus) -> [(&'static str, u64); 19] {
    [
        ("executed", status.executed),
        ("succeeded", status.succeeded),
        ("failed", status.failed),
        ("retried", status.retried),
        ("panicked", status.panicked),
        ("timed_out", status.timed_out),
        ("cancelled", status.cancelled),
        ("snoozed", status.snoozed),
        ("scans", status.scans),
        ("pushed", status.pushed),
        ("pulled", status.pulled),
        ("queue_depth", status.queue_depth as u64),
        ("handed_back", status.handed_back),
        ("rescued", status.rescued),
        ("replaced_workers", status.replaced_workers),
        ("unwritten", status.unwritten as u64),
        ("stale", status.stale),
        ("refused", status.refused as u64),
        ("database_errors", status.database_errors),
    ]
}

fn of_jobs(status: &JobsStatus) -> [(&'static str, u64); 15] {
    [
        ("jobs_scheduled", status.scheduled as u64),
        ("jobs_bad", status.bad as u64),
        ("jobs_running", status.running as u64),
        ("jobs_fired", status.fired),
        ("jobs_taken", status.taken),
        ("jobs_skipped", status.skipped),
        ("succeeded", status.succeeded),
        ("failed", status.failed),
        ("panicked", status.panicked),
        ("timed_out", status.timed_out),
        ("cancelled", status.cancelled),
        ("unwritten", status.unwritten as u64),
        ("stale", status.stale),
        ("refused", status.refused as u64),
        ("database_errors", status.database_errors),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::pages::words::Language;

    #[test]
    fn every_counter_has_a_name_in_every_language() {
        let (theme, jobs) = (of_theme(&SchedulerStatus::default()), of_jobs(&JobsStatus::default()));
        for language in Language::ALL {
            for (name, _) in theme.iter().chain(&jobs) {
                assert!(!(language.words().counter)(name).is_empty(), "{language:?}: {name}");
            }
        }
    }
}
