//! Runs of jobs: as marks in a row, and as a table.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::folded;
use crate::{
    domain::{JobRecord, RunFlag},
    schedule::Schedule,
    web::{
        pages::{
            parts::{empty, lasting, node_link, time, time_or_none},
            view::View,
        },
        redact::Shown,
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

/// A mark for each of the last runs, the newest last. Each leads to its run on the job's page.
pub(super) fn strip<'a>(view: &View, newest_first: impl DoubleEndedIterator<Item = &'a JobRecord>) -> Markup {
    let mark = |run: &JobRecord, job: i64| {
        let (class, word) = standing(view, run);
        let what = (view.words.run_so)(run.id, word);
        html! {
            a class={ "status " (class) } href=(view.to(&format!("jobs/{job}#run-{}", run.id))) title=(what) aria-label=(what) {}
        }
    };
    let marks: Vec<Markup> = newest_first
        .rev()
        .filter_map(|run| Some(mark(run, run.job_id?)))
        .collect();
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
            td {
                span class={ "status " (class) } { (word) }
                @if let Some(reason) = run.cancel_reason.as_ref().filter(|_| run.is_open()) {
                    div.faint { (words.stop_requested) ": " (reason) }
                }
            }
            td {
                @match run.scheduled_at { Some(at) => (time(view, at)), None => span.faint { (words.by_hand) } }
                @if let Some(at) = missed { div.faint { (words.missed_since) " " (time(view, at)) } }
            }
            td { (time_or_none(view, run.started_at)) }
            td.n { @match run.duration { Some(duration) => (lasting(view, duration)), None => span.faint { "–" } } }
            td.n { @match run.attempt { Some(attempt) => (attempt), None => span.faint { "–" } } }
            td { @match &run.node_id {
                Some(node) => (node_link(view, node)),
                None => span.faint { "–" },
            } }
            td.mono.nowrap { (run.log_id.as_deref().unwrap_or("–")) }
            td {
                @if let Some(error) = &run.run_err { (folded(&format!("error-of-run-{}", run.id), words.error, error, true)) }
                @if let Some(result) = &run.run_result { (folded(&format!("result-of-run-{}", run.id), words.result, result, false)) }
                @else if is_hidden && run.job_result_flag.as_deref() == Some(RunFlag::Success.as_str()) { span.faint { (words.hidden) } }
            }
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
