//! Methods: which nodes serve them, how often they fail, and how long they take.

use std::{collections::BTreeMap, time::Instant};

use maud::{Markup, html};

use super::{
    layout::{Page, Place},
    limits,
    parts::{empty, method_link, node_link, number, task_link, theme_link, time_or_none, with_query},
    past::{self, Past, bad, failure_share, method_of, quantile, quantiles, runs, theme_choice},
    view::View,
};
use crate::{
    admin::{GetMethods, MethodInfo, MethodLimit, SearchTasks},
    domain::{ErrorsSince, Figures, GetHistory, TaskFilter, TaskStatus, TaskSummary, Times, check_theme},
    error::Error,
    registry::MethodName,
    web::{call::Call, problem::Problem, redact::Shown, themes},
};

/// At most so many rows have bars.
const SPARKS: usize = 100;

/// How many failed tasks of a method are shown.
const FAILED: u32 = 10;

/// What a page of methods was asked for.
struct Asked {
    theme: Option<String>,
    service: Option<String>,
    method: Option<String>,
    since: ErrorsSince,
}

impl Asked {
    fn history(&self, view: &View) -> GetHistory {
        GetHistory {
            theme: self.theme.clone(),
            service: self.service.clone(),
            method: self.method.clone(),
            ..Past::of_all(view, self.since)
        }
    }

    /// The page with this path, of another time.
    fn url(&self, since: &str) -> String {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        with_query(
            "methods",
            &[
                ("theme", &text(&self.theme)),
                ("service", &text(&self.service)),
                ("method", &text(&self.method)),
                ("since", since),
            ],
        )
    }

    /// Whether a method meets the conditions.
    fn has(&self, service: &str, method: &str) -> bool {
        self.service.as_deref().is_none_or(|asked| asked == service)
            && self.method.as_deref().is_none_or(|asked| asked == method)
    }
}

/// A method, and how many of its due tasks no node serves.
struct Served {
    info: MethodInfo,
    unserved: u64,
}

/// What the page of one method shows.
struct Seen<'a> {
    served: &'a [Served],
    past: &'a Past,
    limit: Option<&'a MethodLimit>,
}

/// A method, as a row of the table shows it.
struct Row {
    info: MethodInfo,
    unserved: u64,
    figures: Figures,
}

pub(super) async fn show(mut call: Call, view: View) -> Result<Page, Problem> {
    let began = Instant::now();
    let query = &mut call.query;
    query.drop_blank();
    let asked = Asked {
        theme: query.text("theme"),
        service: query.text("service"),
        method: query.text("method"),
        since: query.value("since").unwrap_or(ErrorsSince::Hour),
    };
    query.finish()?;
    if let Some(theme) = &asked.theme {
        check_theme(theme)?;
        call.caller.needs_theme(theme)?;
    }
    let known = themes::seen(&call).await?;
    let known: Vec<String> = known.into_iter().map(|info| info.theme).collect();
    let served = served(&call, asked.theme.as_deref()).await?;
    let past = Past::read(&call, &view, asked.since, asked.history(&view)).await?;
    let limits = limits::seen(&call).await?;
    let limits: Vec<&MethodLimit> = limits
        .iter()
        .filter(|limit| asked.has(&limit.service, &limit.method))
        .collect();
    let body = if let (Some(service), Some(method)) = (&asked.service, &asked.method) {
        let seen = Seen {
            served: &served,
            past: &past,
            limit: limits.first().copied(),
        };
        one(&call, &view, &asked, (service, method), &seen).await?
    } else {
        html! {
            (all(&view, &asked, &known, served, &past))
            @if !limits.is_empty() { (limits::card(&view, &limits)) }
        }
    };
    Ok(Page {
        title: match (&asked.service, &asked.method) {
            (Some(service), Some(method)) => format!("{service}.{method}"),
            _ => view.words.methods.to_owned(),
        },
        place: Some(Place::Methods),
        body,
        is_live: past::is_cheap(began),
    })
}

/// The methods that living nodes serve, and those that due tasks call.
async fn served(call: &Call, theme: Option<&str>) -> Result<Vec<Served>, Problem> {
    let Some(theme) = theme else {
        return of_all_themes(call).await;
    };
    let theme = Some(theme.to_owned());
    let methods = call.gaia().admin().methods(GetMethods { theme }).await?;
    let served = methods.into_iter().map(|info| Served {
        unserved: info.due.filter(|_| info.nodes.is_empty()).unwrap_or_default(),
        info,
    });
    Ok(served.collect())
}

/// Methods do not say for which theme they are, so a caller who is limited to themes sees those of the nodes that work on these themes.
async fn of_all_themes(call: &Call) -> Result<Vec<Served>, Problem> {
    let state = call.watch().state().await.ok_or(Error::Stopped)?;
    let overview = state.found.as_ref().map_err(Problem::clone)?;
    let themes = overview.themes.iter().map(|state| state.info.theme.as_str());
    let themes: Vec<&str> = themes.filter(|theme| call.caller.sees_theme(theme)).collect();
    let limited = (!call.caller.sees_all_themes()).then_some(themes.as_slice());
    let served = |info| Served { info, unserved: 0 };
    let mut methods: BTreeMap<MethodName, Served> = overview
        .methods(limited)
        .into_iter()
        .map(|(name, info)| (name, served(info)))
        .collect();
    for one in overview.due.iter().filter(|one| call.caller.sees_theme(&one.theme)) {
        let method = methods
            .entry(one.name.clone())
            .or_insert_with_key(|name| served(MethodInfo::of(name)));
        let due = method.info.due.unwrap_or_default();
        method.info.due = Some(due + one.due);
        method.unserved += if one.is_served { 0 } else { one.due };
    }
    Ok(methods.into_values().collect())
}

// ---- all methods ----

fn all(view: &View, asked: &Asked, known: &[String], served: Vec<Served>, past: &Past) -> Markup {
    let words = view.words;
    let rows = rows(asked, served, past);
    html! {
        div.head {
            h1 { (words.methods) }
            (past::tabs(view, asked.since, |since| asked.url(since)))
            div.actions { (theme_choice(view, "methods", known, asked.theme.as_deref(), &[("since", asked.since.as_str())])) }
        }
        @if past.is_too_much { p.notice.warn { (words.too_many_counts) } }
        section.card.flush {
            @if rows.is_empty() {
                (empty(words.no_methods, words.no_methods_hint))
            } @else {
                div.scroll { table {
                    thead {
                        tr {
                            th scope="col" rowspan="2" { (words.method) }
                            th.n scope="col" rowspan="2" { (words.due) }
                            th.n scope="col" rowspan="2" { (words.runs) }
                            th.n scope="col" rowspan="2" { (words.failure_share) }
                            th.n scope="col" rowspan="2" { (words.retried) }
                            th.n scope="colgroup" colspan="3" { (words.running_time) }
                            th.n scope="colgroup" colspan="3" { (words.waiting_time) }
                            th scope="col" rowspan="2" { (words.ends_in_time) }
                            th scope="col" rowspan="2" { (words.served_by) }
                        }
                        tr { @for _ in 0..2 { @for part in ["p50", "p95", "p99"] { th.n scope="col" { (part) } } } }
                    }
                    tbody {
                        @for (at, row) in rows.iter().enumerate() {
                            (table_row(view, asked, row, past, at < SPARKS))
                        }
                    }
                } }
            }
        }
    }
}

/// The methods that are served, due or have run: those with due tasks that nobody serves first, then those with the most failures, then those
/// with the most runs.
fn rows(asked: &Asked, served: Vec<Served>, past: &Past) -> Vec<Row> {
    let mut ran: BTreeMap<MethodName, Figures> = BTreeMap::new();
    for counted in &past.counted {
        if let Some((service, method)) = method_of(&counted.series) {
            ran.entry(name_of(service, method)).or_default().add(&counted.figures);
        }
    }
    let mut rows: Vec<Row> = served
        .into_iter()
        .filter(|Served { info, .. }| asked.has(&info.service, &info.method))
        .map(|Served { info, unserved }| Row {
            figures: ran.remove(&name_of(&info.service, &info.method)).unwrap_or_default(),
            info,
            unserved,
        })
        .collect();
    rows.extend(ran.into_iter().map(|(name, figures)| Row {
        info: MethodInfo::of(&name),
        unserved: 0,
        figures,
    }));
    let failed = |row: &Row| bad(&row.figures) + row.figures.retried;
    rows.sort_by_key(|row| std::cmp::Reverse((row.unserved > 0, failed(row), runs(&row.figures))));
    rows
}

fn table_row(view: &View, asked: &Asked, row: &Row, past: &Past, has_bars: bool) -> Markup {
    let Row { info, figures, .. } = row;
    let name = (info.service.as_str(), info.method.as_str());
    let theme = asked.theme.as_deref().unwrap_or_default();
    let tasks = with_query("tasks", &[("theme", theme), ("service", name.0), ("method", name.1)]);
    html! {
        tr id={ "method-" (super::parts::hash(&format!("{}\n{}", name.0, name.1))) } {
            td {
                (method_link(view, asked.theme.as_deref(), name.0, name.1))
                div.sub { a href=(view.to(&tasks)) { (view.words.tasks) } }
            }
            td.n { (number(info.due.unwrap_or_default())) }
            td.n { (number(runs(figures))) }
            td.n { (failure_share(view, figures, theme, asked.since)) }
            td.n { (number(figures.retried)) }
            (quantiles(view, &figures.ran))
            (quantiles(view, &figures.waited))
            td { @if has_bars { (past.spark(view, |counted| method_of(&counted.series) == Some(name))) } }
            td { (served_by(view, row)) }
        }
    }
}

fn served_by(view: &View, row: &Row) -> Markup {
    let words = view.words;
    html! {
        @match row.info.nodes.as_slice() {
            [] if row.unserved > 0 => span.tag.bad { (words.nobody) },
            [] => span.tag { (words.nobody) },
            nodes => {
                @for node in nodes { div.nowrap { (node_link(view, node)) } }
                // Its node does not work on the theme of these tasks.
                @if row.unserved > 0 { span.tag.bad { (words.unserved_due) " " (number(row.unserved)) } }
            }
        }
    }
}

// ---- one method ----

async fn one(
    call: &Call,
    view: &View,
    asked: &Asked,
    (service, method): (&str, &str),
    seen: &Seen<'_>,
) -> Result<Markup, Problem> {
    let (words, past) = (view.words, seen.past);
    let theme = asked.theme.as_deref();
    let failed = failed(call, asked).await?;
    let info = seen
        .served
        .iter()
        .map(|served| &served.info)
        .find(|info| (&*info.service, &*info.method) == (service, method));
    let tasks = [
        ("theme", theme.unwrap_or_default()),
        ("service", service),
        ("method", method),
    ];
    Ok(html! {
        div.head {
            h1.mono { (service) "." (method) }
            @if let Some(theme) = theme { span.tag { (words.theme) " " (theme_link(view, theme)) } }
            (past::tabs(view, asked.since, |since| asked.url(since)))
            div.actions {
                (limits::buttons(view, (service, method), seen.limit))
                a.button href=(view.to(&with_query("tasks", &tasks))) { (words.tasks) }
            }
        }
        (figures(view, asked, info, seen))
        section.card { h2 { (words.ends_in_time) } (past.ends_chart(view)) }
        div.columns {
            section.card { h2 { (words.times_in_time) } (past.times_chart(view, "ran-table", words.times_in_time, ran)) }
            section.card { h2 { (words.waits_in_time) } (past.times_chart(view, "waited-table", words.waits_in_time, waited)) }
        }
        div.columns {
            section.card { h2 { (words.spread) } (past::histogram(view, &past.sum(|_| true).ran)) }
            section.card {
                h2 { (words.served_by) }
                @match info.map(|info| info.nodes.as_slice()) {
                    None | Some([]) => {
                        p.notice.bad { (words.nobody) }
                        p.sub { (words.unserved_hint) }
                    }
                    Some(nodes) => { ul.list { @for node in nodes { li { (node_link(view, node)) } } } }
                }
            }
        }
        section.card.flush {
            h2 { (words.latest_failed) }
            (failed_table(view, failed))
        }
    })
}

fn ran(figures: &Figures) -> &Times {
    &figures.ran
}

fn waited(figures: &Figures) -> &Times {
    &figures.waited
}

fn figures(view: &View, asked: &Asked, info: Option<&MethodInfo>, seen: &Seen<'_>) -> Markup {
    let words = view.words;
    let figures = seen.past.sum(|_| true);
    html! {
        dl.figures {
            @if let Some(due) = info.and_then(|info| info.due) { div { dt { (words.due) } dd { (number(due)) } } }
            @if let Some(limit) = seen.limit { (limits::figure(view, limit)) }
            div { dt { (words.runs) } dd { (number(runs(&figures))) } }
            div { dt { (words.failure_share) } dd { (failure_share(view, &figures, asked.theme.as_deref().unwrap_or_default(), asked.since)) } }
            div { dt { (words.failed) } dd { (number(bad(&figures))) } }
            div { dt { (words.retried) } dd { (number(figures.retried)) } }
            @for (name, times) in [(words.running_time, &figures.ran), (words.waiting_time, &figures.waited)] {
                div {
                    dt { (name) ", p50" }
                    dd { (quantile(view, times, 0.5)) small { "p95 " (quantile(view, times, 0.95)) ", p99 " (quantile(view, times, 0.99)) } }
                }
            }
        }
    }
}

/// The newest tasks of the method that have failed, as the caller may see them.
async fn failed(call: &Call, asked: &Asked) -> Result<Vec<Shown<TaskSummary>>, Problem> {
    let filter = call.caller.limit(TaskFilter {
        themes: asked.theme.clone().into_iter().collect(),
        statuses: vec![TaskStatus::Failed],
        service: asked.service.clone(),
        method: asked.method.clone(),
        ..TaskFilter::default()
    })?;
    let search = SearchTasks {
        filter,
        limit: FAILED,
        before: None,
    };
    let _turn = call.search().await?;
    let found = call.gaia().admin().search_tasks(search).await?;
    let eyes = call.eyes();
    Ok(found.tasks.into_iter().map(|task| eyes.summary(task)).collect())
}

fn failed_table(view: &View, tasks: Vec<Shown<TaskSummary>>) -> Markup {
    let words = view.words;
    html! {
        @if tasks.is_empty() {
            div.empty { (words.none_failed) }
        } @else {
            div.scroll { table {
                thead { tr {
                    th scope="col" { (words.task) }
                    th scope="col" { (words.theme) }
                    th scope="col" { (words.ended) }
                    th scope="col" { (words.error) }
                } }
                tbody {
                    @for (task, _) in tasks.into_iter().map(Shown::into_parts) {
                        tr id={ "task-" (task.id) } {
                            td { (task_link(view, task.id)) }
                            td { (theme_link(view, &task.theme)) }
                            td { (time_or_none(view, task.last_run_end_time)) }
                            td.what { @if let Some(error) = &task.last_error { span.error { (error.text) @if error.is_cut() { "…" } } } }
                        }
                    }
                }
            } }
        }
    }
}

fn name_of(service: &str, method: &str) -> MethodName {
    MethodName {
        service: service.to_owned(),
        method: method.to_owned(),
    }
}
