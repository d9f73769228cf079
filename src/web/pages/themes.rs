//! One theme: whether it runs, who serves it, and how it does.

use std::time::Instant;

use chrono::TimeDelta;
use maud::{Markup, html};

use super::{
    layout::{Page, Place},
    parts::{Action, bar, empty, method_link, node_link, number, status, time, with_query},
    past::{self, Past, RATE_MINUTES, failure_share, method_of, per_minute, quantiles, runs},
    resizes::Resizes,
    view::{View, encoded},
};
use crate::{
    admin::{MethodInfo, ThemeInfo},
    domain::{ErrorsSince, Figures, GetHistory, TaskStatus},
    store::is_remote,
    web::{
        call::Call,
        permission::Permission,
        problem::Problem,
        themes::{self, ShownTheme},
    },
};

/// Tasks for a later time are counted up to this number.
const COUNTED: u64 = 10_000;

/// Everything that the page shows.
struct Seen {
    theme: ShownTheme,
    /// A node, a task or a setting names the theme.
    is_known: bool,
    resizes: Resizes,
    last_hour: Past,
}

pub(super) async fn show(mut call: Call, view: View) -> Result<Page, Problem> {
    let began = Instant::now();
    let is_counted = themes::wants_counts(&mut call.query);
    let since = call.query.value("since").unwrap_or(ErrorsSince::Hour);
    call.query.finish()?;
    let name = themes::theme(&call)?;
    let of_theme = |since| GetHistory {
        theme: Some(name.clone()),
        ..Past::of_all(&view, since)
    };
    let theme = themes::shown(&call, &name, is_counted).await?;
    let seen = Seen {
        is_known: theme.is_known(),
        resizes: Resizes::of(&call, vec![name.clone()]).await?,
        theme,
        last_hour: Past::read(&call, &view, ErrorsSince::Hour, of_theme(ErrorsSince::Hour)).await?,
    };
    let longer = match since {
        ErrorsSince::Hour => None,
        since => Some(Past::read(&call, &view, since, of_theme(since)).await?),
    };
    let path = format!("themes/{}", encoded(&name));
    let words = view.words;
    let body = html! {
        (head(&view, &seen.theme.info, &path))
        (notices(&view, &seen))
        (figures(&view, &seen))
        section.card {
            div.head {
                h2 { (words.ends_in_time) }
                (past::tabs(&view, since, |since| with_query(&path, &[("since", since)])))
            }
            (longer.as_ref().unwrap_or(&seen.last_hour).ends_chart(&view))
        }
        div.columns {
            section.card.flush {
                h2 { (words.workers_on_nodes) }
                (workers(&view, &seen))
            }
            section.card {
                h2 { (words.tasks_by_status) }
                (by_status(&view, &seen.theme, &path, since))
            }
        }
        section.card.flush {
            h2 { (words.methods) " – " (words.last_hour) }
            (methods(&view, &name, &seen))
        }
    };
    Ok(Page {
        title: name,
        place: Some(Place::Overview),
        body,
        is_live: !is_counted && past::is_cheap(began),
    })
}

fn head(view: &View, info: &ThemeInfo, path: &str) -> Markup {
    let words = view.words;
    let workers = info.workers.map(|workers| workers.to_string());
    let resize = Action {
        code: "theme.resize",
        to: format!("{path}/workers"),
        name: words.resize,
        about: &info.theme,
        question: Some((words.really)("theme.resize").to_owned()),
        is_dangerous: false,
        fields: html! {
            label { (words.workers_of_each_node) " – " (words.blank_is_own)
                input type="number" name="workers" min="0" max="100000" inputmode="numeric" value=[workers];
            }
        },
        back: None,
    };
    html! {
        div.head {
            h1 { (info.theme) }
            @match (info.paused, info.node_workers) {
                (true, _) => span.tag.warn { (words.paused) },
                (false, 0) => span.tag { (words.no_workers) },
                (false, _) => span.tag { (words.not_paused) },
            }
            div.actions {
                @if view.caller.may(Permission::Pause) { (pause_or_resume(view, info, path).button(view)) }
                @if view.caller.may(Permission::Resize) { (resize.button(view)) }
            }
        }
    }
}

fn pause_or_resume<'a>(view: &View, info: &'a ThemeInfo, path: &str) -> Action<'a> {
    let words = view.words;
    match info.paused {
        true => Action {
            code: "theme.resume",
            to: format!("{path}/resume"),
            name: words.resume,
            about: &info.theme,
            question: None,
            is_dangerous: false,
            fields: html! {},
            back: None,
        },
        false => Action {
            code: "theme.pause",
            to: format!("{path}/pause"),
            name: words.pause,
            about: &info.theme,
            question: Some((words.really)("theme.pause").to_owned()),
            is_dangerous: true,
            fields: html! {},
            back: None,
        },
    }
}

/// Who has paused it or set its workers, and what nobody serves.
fn notices(view: &View, seen: &Seen) -> Markup {
    let (words, info) = (view.words, &seen.theme.info);
    let pause = info.pause.as_ref().filter(|_| info.paused);
    let resize = info.resize.as_ref().filter(|_| info.workers.is_some());
    // Without a worker nobody serves anything, so the methods are not at fault.
    let is_idle = info.node_workers == 0 && seen.theme.unfinished.due > 0;
    let unserved: Vec<&MethodInfo> = seen
        .theme
        .methods
        .iter()
        .filter(|method| !is_idle && method.nodes.is_empty() && method.due > Some(0))
        .collect();
    let due = unserved.iter().filter_map(|method| method.due).sum();
    html! {
        @if info.paused {
            @let (by, reason) = (pause.and_then(|note| note.by.as_deref()), pause.and_then(|note| note.reason.as_deref()));
            p.notice.warn {
                ((words.paused_by)(by, reason))
                @if let Some(note) = pause { " (" (time(view, note.at)) ")" }
                @if let Some(first) = &info.first_pause {
                    br;
                    ((words.first_paused_by)(first.by.as_deref(), first.reason.as_deref())) " (" (time(view, first.at)) ")"
                }
            }
        }
        @if let Some(note) = resize {
            p.notice {
                ((words.resized_by)(note.by.as_deref(), note.reason.as_deref())) " (" (time(view, note.at)) ")"
            }
        }
        @if is_idle {
            p.notice.bad[!info.paused].warn[info.paused] {
                ((words.nobody_works)(seen.theme.unfinished.due)) " – "
                a href=(view.to(&with_query("audit", &[("theme", &info.theme)]))) { (words.changes_of_it) }
            }
        }
        @if !seen.is_known { p.notice.warn { (words.no_such_theme) } }
        @if !unserved.is_empty() {
            section.notice.bad aria-label=(words.unserved) {
                strong { ((words.nobody_serves)(due)) }
                p { (words.unserved_hint) }
                ul.list {
                    @for method in unserved {
                        li {
                            (method_link(view, Some(&info.theme), &method.service, &method.method)) ": "
                            ((words.these_tasks)(method.due.unwrap_or_default()))
                        }
                    }
                }
            }
        }
    }
}

fn figures(view: &View, seen: &Seen) -> Markup {
    let (words, info) = (view.words, &seen.theme.info);
    let lately = view.now - TimeDelta::minutes(RATE_MINUTES);
    let recent = runs(&seen.last_hour.sum(|counted| counted.at >= lately));
    let hour = seen.last_hour.sum(|_| true);
    html! {
        dl.figures {
            div {
                dt { (words.due) }
                dd {
                    (number(seen.theme.unfinished.due))
                    @if let Some(since) = seen.theme.unfinished.oldest_due {
                        small { (words.oldest_due) ": " (time(view, since)) }
                    }
                }
            }
            div {
                dt { (words.scheduled) }
                dd {
                    @match seen.theme.unfinished.scheduled {
                        None => span.faint { "–" },
                        Some(scheduled) if scheduled >= COUNTED => ((words.more_than)(COUNTED)),
                        Some(scheduled) => (number(scheduled)),
                    }
                }
            }
            div { dt { (words.running) } dd { (number(info.running)) } }
            div {
                dt { (words.workers) }
                dd {
                    (number(info.running)) " / " (number(info.node_workers)) " " (bar(info.running, info.node_workers))
                    small {
                        @match info.workers {
                            Some(workers) => { (words.workers_of_each_node) ": " (number(workers)) }
                            None if info.node_workers == 0 => {}
                            None => (words.workers_own),
                        }
                    }
                }
            }
            div { dt { (words.rate) } dd { ((words.per_minute)(per_minute(recent))) } }
            div { dt { (words.failure_share) " – " (words.last_hour) } dd { (failure_share(view, &hour, &info.theme, ErrorsSince::Hour)) } }
        }
    }
}

fn workers(view: &View, seen: &Seen) -> Markup {
    let words = view.words;
    let (theme, on_nodes) = (&seen.theme.info.theme, &seen.theme.on_nodes);
    let all = seen.theme.info.resize.as_ref().map(|note| note.at);
    html! {
        @if on_nodes.is_empty() {
            (empty(words.no_node_works, words.no_node_works_hint))
        } @else {
            div.scroll { table {
                thead { tr {
                    th scope="col" { (words.node) }
                    th scope="col" { (words.status) }
                    th scope="col" { (words.busy_of_all) }
                    th scope="col" { span.visually-hidden { (words.action) } }
                } }
                tbody {
                    @for works in on_nodes {
                        tr id={ "node-" (encoded(&works.node)) } {
                            td { (node_link(view, &works.node)) }
                            td { (alive(view, works.alive)) }
                            td {
                                span.nowrap { (bar(works.running, works.workers)) " " (number(works.running)) " / " (number(works.workers)) }
                                (seen.resizes.note(view, &works.node, theme, works.workers, all))
                            }
                            td { @if works.alive { (resize_node(view, &works.node, theme, works.workers)) } }
                        }
                    }
                }
            } }
        }
    }
}

/// Whether a node has beaten within its lease: a colour, a shape and a word.
pub(super) fn alive(view: &View, is_alive: bool) -> Markup {
    html! {
        @match is_alive {
            true => span.status.good { (view.words.alive) },
            false => span.status.bad { (view.words.silent) },
        }
    }
}

/// Sets the workers of one node for one theme, or takes them all away.
pub(super) fn resize_node(view: &View, node: &str, theme: &str, workers: usize) -> Markup {
    let words = view.words;
    let to = format!("nodes/{}/themes/{}/workers", encoded(node), encoded(theme));
    let about = format!("{theme} – {node}");
    let resize = Action {
        code: "node.resize",
        to: to.clone(),
        name: words.resize,
        about: &about,
        question: Some((words.really)("node.resize").to_owned()),
        is_dangerous: false,
        fields: html! {
            label { (words.workers) " – " (theme)
                input type="number" name="workers" min="0" max="100000" inputmode="numeric" required value=(workers);
            }
        },
        back: None,
    };
    // Its own code: the two questions of a row need two ids.
    let drain = Action {
        code: "node.drain",
        to,
        name: words.drain,
        about: &about,
        question: Some((words.really)("node.drain").to_owned()),
        is_dangerous: true,
        fields: html! { input type="hidden" name="workers" value="0"; },
        back: None,
    };
    html! {
        @if is_remote(node) {
            span.faint { (words.remote_worker) }
        } @else if view.caller.may(Permission::Resize) {
            div.actions {
                (resize.button(view))
                @if workers > 0 { (drain.button(view)) }
            }
        }
    }
}

fn by_status(view: &View, theme: &ShownTheme, path: &str, since: ErrorsSince) -> Markup {
    let words = view.words;
    let name = theme.info.theme.as_str();
    let link = |status: &str| view.to(&with_query("tasks", &[("theme", name), ("status", status)]));
    html! {
        ul.many {
            @for one in TaskStatus::ALL {
                li {
                    a href=(link(one.as_str())) { (status(view, one)) }
                    @if let Some(counts) = &theme.tasks {
                        " " (number(counts.get(&one).copied().unwrap_or_default()))
                    }
                }
            }
        }
        div.actions.below {
            a.button href=(view.to(&with_query("tasks", &[("theme", name)]))) { (words.tasks) }
            a.button href=(view.to(&with_query("errors", &[("theme", name)]))) { (words.errors) }
            @if theme.tasks.is_none() {
                a href=(view.to(&with_query(path, &[("since", since.as_str()), ("count", "exact")]))) { (words.count_tasks) }
                span.sub { (words.count_reads_all) }
            }
        }
    }
}

fn methods(view: &View, theme: &str, seen: &Seen) -> Markup {
    let words = view.words;
    html! {
        @if seen.theme.methods.is_empty() {
            (empty(words.no_methods, words.no_methods_hint))
        } @else {
            div.scroll { table {
                thead { tr {
                    th scope="col" { (words.method) }
                    th.n scope="col" { (words.due) }
                    th.n scope="col" { (words.runs) }
                    th.n scope="col" { (words.failure_share) }
                    @for part in ["p50", "p95", "p99"] { th.n scope="col" { (part) } }
                    th scope="col" { (words.served_by) }
                } }
                tbody {
                    @for method in &seen.theme.methods {
                        (method_row(view, theme, method, &seen.last_hour))
                    }
                }
            } }
        }
    }
}

fn method_row(view: &View, theme: &str, method: &MethodInfo, last_hour: &Past) -> Markup {
    let words = view.words;
    let name = (method.service.as_str(), method.method.as_str());
    let figures: Figures = last_hour.sum(|counted| method_of(&counted.series) == Some(name));
    html! {
        tr id={ "method-" (encoded(name.0)) "-" (encoded(name.1)) } {
            td { (method_link(view, Some(theme), name.0, name.1)) }
            td.n { (number(method.due.unwrap_or_default())) }
            td.n { (number(runs(&figures))) }
            td.n { (failure_share(view, &figures, theme, ErrorsSince::Hour)) }
            (quantiles(view, &figures.ran))
            td.nowrap {
                @match method.nodes.as_slice() {
                    [] if method.due > Some(0) => span.tag.bad { (words.nobody) },
                    [] => span.faint { (words.nobody) },
                    [node] => (node_link(view, node)),
                    nodes => { (number(nodes.len())) " " (words.nodes) },
                }
            }
        }
    }
}
