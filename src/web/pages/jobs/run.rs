//! Runs of jobs: as marks in a row, as a table, and each on its own page.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::{folded, schedule_of};
use crate::{
    domain::{Job, JobRecord, RunFlag},
    error::Error,
    schedule::Schedule,
    web::{
        call::Call,
        pages::{
            layout::{Page, Place},
            parts::{empty, lasting, lines_link, method_name, node_link, time, time_or_none},
            view::View,
        },
        problem::Problem,
        redact::Shown,
        runs,
    },
};

/// How a run stands: the class of its colour and shape, and a word.
fn standing<'a>(view: &'a View, run: &'a JobRecord) -> (&'static str, &'a str) {
    let words = view.words;
    let Some(text) = &run.job_result_flag else {
        return match run.is_open() {
            true => ("Running", words.running),
            false => ("off", words.none),
        };
    };
    let Ok(flag) = text.parse() else {
        return ("off", text);
    };
    let class = match flag {
        RunFlag::Success => "Success",
        RunFlag::Failed => "Failed",
        RunFlag::Skipped => "skipped",
        RunFlag::Cancelled => "Cancelled",
    };
    (class, (words.run_flags)(flag))
}

fn path(run: &JobRecord) -> String {
    format!("runs/{}", run.id)
}

/// A mark for each of the last runs, the newest last. Each leads to its run.
pub(super) fn strip<'a>(view: &View, newest_first: impl DoubleEndedIterator<Item = &'a JobRecord>) -> Markup {
    let mark = |run: &JobRecord| {
        let (class, word) = standing(view, run);
        let what = (view.words.run_so)(run.id, word);
        html! {
            a class={ "status " (class) } href=(view.to(&path(run))) title=(what) aria-label=(what) {}
        }
    };
    let marks: Vec<Markup> = newest_first.rev().map(mark).collect();
    html! {
        @if marks.is_empty() { span.faint { "–" } }
        @else { span.strip { @for mark in marks { (mark) } } }
    }
}

/// Since when fires were missed for which a run stands. Of an expression that the job has no more, nothing is known.
fn missed_since(run: &JobRecord, schedule: Option<&Schedule>) -> Option<DateTime<Utc>> {
    let (schedule, at) = (schedule?, run.scheduled_at?);
    let next = schedule.next_after(run.previous_at?)?;
    (run.cron_expr == schedule.to_string() && next < at).then_some(next)
}

/// The runs of a job with this schedule.
pub(super) fn table(view: &View, schedule: Option<&Schedule>, runs: Vec<Shown<JobRecord>>) -> Markup {
    let words = view.words;
    html! {
        @if runs.is_empty() {
            (empty(words.no_runs, ""))
        } @else {
            div.scroll { table {
                thead { tr {
                    th.n scope="col" { (words.id) }
                    th scope="col" { (words.status) }
                    th scope="col" { (words.scheduled_for) }
                    th scope="col" { (words.started) }
                    th.n scope="col" { (words.duration) }
                    th.n scope="col" { (words.attempts) }
                    th scope="col" { (words.node) }
                    th scope="col" { (words.log_id) }
                    th scope="col" { (words.result) }
                } }
                tbody {
                    @for run in runs {
                        @let (run, is_hidden) = run.into_parts();
                        (row(view, &run, missed_since(&run, schedule), is_hidden))
                    }
                }
            } }
        }
    }
}

fn row(view: &View, run: &JobRecord, missed: Option<DateTime<Utc>>, is_hidden: bool) -> Markup {
    let words = view.words;
    let (class, word) = standing(view, run);
    html! {
        tr id={ "run-" (run.id) } {
            td.n { a.mono href=(view.to(&path(run))) { (run.id) } }
            td {
                span class={ "status " (class) } { (word) }
                @if let Some(reason) = stop_reason(run) { div.faint { (words.stop_requested) ": " (reason) } }
            }
            td { (fire(view, run, missed)) }
            td { (time_or_none(view, run.started_at)) }
            td.n { @match run.duration { Some(duration) => (lasting(view, duration)), None => span.faint { "–" } } }
            td.n { @match run.attempt { Some(attempt) => (attempt), None => span.faint { "–" } } }
            td { @match &run.node_id {
                Some(node) => (node_link(view, node)),
                None => span.faint { "–" },
            } }
            td { (log_id(view, run)) }
            td {
                @if let Some(error) = &run.run_err { (folded(&format!("error-of-run-{}", run.id), words.error, error, true)) }
                @if let Some(result) = &run.run_result { (folded(&format!("result-of-run-{}", run.id), words.result, result, false)) }
                @else if is_hidden && run.job_result_flag.as_deref() == Some(RunFlag::Success.as_str()) { span.faint { (words.hidden) } }
            }
        }
    }
}

/// Why a run that is under way shall stop.
fn stop_reason(run: &JobRecord) -> Option<&str> {
    run.cancel_reason.as_deref().filter(|_| run.is_open())
}

/// The fire for which a run stands.
fn fire(view: &View, run: &JobRecord, missed: Option<DateTime<Utc>>) -> Markup {
    html! {
        @match run.scheduled_at { Some(at) => (time(view, at)), None => span.faint { (view.words.by_hand) } }
        @if let Some(at) = missed { div.faint { (view.words.missed_since) " " (time(view, at)) } }
    }
}

// ---- one run ----

pub(in crate::web::pages) async fn show(mut call: Call, view: View) -> Result<Page, Problem> {
    call.query.finish()?;
    let (run, is_hidden) = runs::shown(&call).await?.into_parts();
    let job = job_of(&call, &run).await?;
    let schedule = job
        .as_ref()
        .and_then(|job| schedule_of(&call, &job.cron_expr, job.time_zone.as_deref()).ok());
    let (class, word) = standing(&view, &run);
    let title = format!("{} {}", view.words.run, run.id);
    let body = html! {
        div.head {
            h1 { (title) }
            @match &job {
                Some(job) => a href=(view.to(&format!("jobs/{}", job.id))) { (run.job_name) },
                None => span.sub { (run.job_name) },
            }
            span class={ "status " (class) } { (word) }
        }
        @if let Some(reason) = stop_reason(&run) { p.notice.warn role="status" { (view.words.stop_requested) ": " (reason) } }
        @if let Some(error) = &run.run_err { section.card { h2 { (view.words.error) } pre tabindex="0" { (error) } } }
        div.columns {
            section.card { h2 { (view.words.facts) } (facts(&view, &run, missed_since(&run, schedule.as_ref()))) }
            section.card.texts {
                h2 { (view.words.args) }
                (text(&view, run.args.as_deref(), is_hidden))
                h2 { (view.words.result) }
                (text(&view, run.run_result.as_deref(), is_hidden))
            }
        }
    };
    Ok(Page {
        title: format!("{title} · {}", run.job_name),
        place: Some(Place::Jobs),
        body,
        is_live: run.is_open(),
    })
}

/// The job of a run; `None`: it is deleted.
async fn job_of(call: &Call, run: &JobRecord) -> Result<Option<Job>, Problem> {
    let Some(id) = run.job_id else {
        return Ok(None);
    };
    match call.gaia().jobs().get_job_detail(id).await {
        Ok(detail) => Ok(Some(detail.job)),
        Err(Error::JobNotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Its log id, and the way to its lines.
fn log_id(view: &View, run: &JobRecord) -> Markup {
    html! {
        @match &run.log_id {
            Some(log) => { span.mono { (log) } (lines_link(view, &format!("runs/{}/log", run.id))) }
            None => span.faint { "–" },
        }
    }
}

fn facts(view: &View, run: &JobRecord, missed: Option<DateTime<Utc>>) -> Markup {
    let words = view.words;
    let nothing = || html! { span.faint { "–" } };
    let name = |text: &Option<String>| text.clone().unwrap_or_default();
    html! {
        dl.facts.tight {
            dt { (words.calls) }
            dd { @match &run.hook_url {
                Some(url) => span.mono { (url) },
                None => (method_name(&name(&run.service_name), &name(&run.service_method))),
            } }
            dt { (words.schedule) } dd { code { (run.cron_expr) } }
            dt { (words.scheduled_for) } dd { (fire(view, run, missed)) }
            dt { (words.started) } dd { (time_or_none(view, run.started_at)) }
            dt { (words.ended) } dd { (time_or_none(view, run.ended_at)) }
            dt { (words.duration) } dd { @match run.duration { Some(duration) => (lasting(view, duration)), None => (nothing()) } }
            dt { (words.attempts) } dd { @match run.attempt { Some(attempt) => (attempt), None => (nothing()) } }
            dt { (words.node) } dd { @match &run.node_id { Some(node) => (node_link(view, node)), None => (nothing()) } }
            dt { (words.log_id) } dd { (log_id(view, run)) }
        }
    }
}

fn text(view: &View, text: Option<&str>, is_hidden: bool) -> Markup {
    html! {
        @match text.filter(|text| !text.trim().is_empty()) {
            None if is_hidden => p.faint { (view.words.hidden) },
            None => p.faint { (view.words.none) },
            Some(text) => pre tabindex="0" { (text) },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fires_were_missed_if_some_lie_between_the_claimed_ones() {
        let schedule: Schedule = "@hourly".parse().expect("is good");
        for (expr, previous, missed) in [
            ("@hourly", "08:00:00", None),
            ("@hourly", "08:30:00", None),
            ("@hourly", "06:30:00", Some("07:00:00")),
            ("@daily", "06:30:00", None),
        ] {
            let at = |time: &str| format!("2026-03-01T{time}Z");
            let run = json!({"id": 1, "job_name": "a", "job_type": "cron_job", "cron_expr": expr,
                "scheduled_at": at("09:00:00"), "previous_at": at(previous)});
            let run: JobRecord = serde_json::from_value(run).expect("is a run");
            let expected = missed.map(|time| at(time).parse().expect("is a time"));
            assert_eq!(missed_since(&run, Some(&schedule)), expected, "{expr} {previous}");
        }
    }
}
