//! What has become of jobs in this process.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{
    families::Families,
    labels::{each_failure, each_outcome, job},
};
use crate::{
    domain::HistoryKind,
    events::{JobSums, SkipPolicy, Sums, Totals},
};

pub(super) fn sums(families: &mut Families, totals: &Totals, sums: &Sums) {
    let named = || {
        totals
            .of(HistoryKind::Job)
            .filter(|(series, _)| !series.theme.is_empty())
    };
    let mut runs = families.counter(
        "gaia_job_runs_total",
        "Runs of jobs that ended in this process, by outcome; retried: an attempt failed and another one followed.",
    );
    for (series, figures) in named() {
        each_outcome(figures, |outcome, count| {
            runs.count(&[job(series), ("outcome", outcome)], count);
        });
    }
    let mut failures = families.counter(
        "gaia_job_failures_total",
        "Attempts of jobs that failed, by the kind of failure.",
    );
    for (name, sums) in &sums.jobs {
        each_failure(&sums.failures, |kind, count| {
            failures.count(&[("job", name), ("error_type", kind)], count);
        });
    }
    let mut ran = families.histogram(
        "gaia_job_run_duration_seconds",
        "How long runs of jobs took in this process.",
    );
    for (series, figures) in named() {
        ran.times(&[job(series)], &figures.ran);
    }
    let mut late = families.histogram(
        "gaia_job_fire_delay_seconds",
        "From the second for which a job was due until this process had claimed the run.",
    );
    for (name, sums) in &sums.jobs {
        late.times(&[("job", name)], &sums.late);
    }
    let mut last = |name: &str, help: &str, of: fn(&JobSums) -> Option<DateTime<Utc>>| {
        let mut gauge = families.gauge(name, help);
        for (name, sums) in &sums.jobs {
            if let Some(at) = of(sums) {
                let seconds = Duration::from_millis(u64::try_from(at.timestamp_millis()).unwrap_or(0)).as_secs_f64();
                gauge.value(&[("job", name)], seconds);
            }
        }
    };
    last(
        "gaia_job_last_success_timestamp_seconds",
        "When the last run of a job ended well in this process, in seconds since 1970.",
        |sums| sums.last_success,
    );
    last(
        "gaia_job_last_failure_timestamp_seconds",
        "When the last run of a job failed in this process, in seconds since 1970.",
        |sums| sums.last_failure,
    );
    let mut answers = families.counter(
        "gaia_hook_responses_total",
        "Calls of hooks by this process, by the class of the answer; none: there was no answer.",
    );
    for (class, count) in &sums.hook_answers {
        answers.count(&[("class", class)], *count);
    }
    let mut skipped = families.counter(
        "gaia_job_fires_skipped_total",
        "Fires that this process has recorded as skipped, by the policy of the job that forbids the run: overlap or misfire.",
    );
    for policy in [SkipPolicy::Overlap, SkipPolicy::Misfire].map(SkipPolicy::as_str) {
        let count = sums.fires_skipped.get(policy).copied().unwrap_or_default();
        skipped.count(&[("policy", policy)], count);
    }
    let lost = totals.of(HistoryKind::Job).map(|(_, figures)| figures.lost).sum();
    for (name, help, count) in [
        (
            "gaia_job_runs_lost_total",
            "Runs of dead nodes that this process has ended.",
            lost,
        ),
        (
            "gaia_job_ends_stale_total",
            "Ends of runs that were not written because others had ended the run.",
            sums.job_ends_stale,
        ),
    ] {
        families.counter(name, help).count(&[], count);
    }
}
