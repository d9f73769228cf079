//! What has become of tasks in this process.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    families::Families,
    labels::{each_failure, each_outcome, method, theme},
};
use crate::{
    asynctask::SchedulerStatus,
    domain::HistoryKind,
    events::{Sums, ThemeSums, Totals},
    registry::MethodName,
};

/// The most methods of themes that are told before anything of them has ended.
const MOST_AWAITED: usize = 500;

pub(super) fn sums(
    families: &mut Families,
    totals: &Totals,
    sums: &Sums,
    themes: &BTreeMap<String, SchedulerStatus>,
    served: &[MethodName],
) {
    let mut of_theme = |name, help, of: fn(&ThemeSums) -> u64| {
        let mut family = families.counter(name, help);
        for (theme, sums) in &sums.themes {
            family.count(&[("theme", theme)], of(sums));
        }
    };
    of_theme(
        "gaia_tasks_added_total",
        "Tasks that this process has added. Those that a caller adds in a transaction of its own are not counted.",
        |sums| sums.added,
    );
    of_theme(
        "gaia_tasks_claimed_total",
        "Tasks that this process has claimed.",
        |sums| sums.claimed,
    );
    of_theme(
        "gaia_tasks_handed_back_total",
        "Claimed tasks that this process gave back: it stopped, was paused, had lost its lease, or had no handler any more.",
        |sums| sums.handed_back,
    );
    of_theme(
        "gaia_task_ends_stale_total",
        "Ends of runs that were not written because the task was in other hands by then.",
        |sums| sums.stale,
    );
    let mut claims = families.histogram(
        "gaia_task_claim_duration_seconds",
        "How long claims took that found tasks.",
    );
    for (theme, sums) in &sums.themes {
        claims.times(&[("theme", theme)], &sums.claims);
    }
    let named = || {
        totals
            .of(HistoryKind::Task)
            .filter(|(series, _)| !series.method.is_empty())
    };
    let mut rescued = families.counter(
        "gaia_tasks_rescued_total",
        "Tasks of dead nodes that this process has put back, or has ended because it was their last attempt.",
    );
    for (theme, count) in rescues(totals, &sums.themes, themes) {
        rescued.count(&[("theme", theme)], count);
    }
    let mut runs = families.counter(
        "gaia_task_runs_total",
        "Attempts that ended in this process, by outcome. Failed: the task has failed for good; retried: it is tried again.",
    );
    for (series, figures) in named() {
        each_outcome(figures, |outcome, count| {
            runs.count(
                &[theme(series), ("method", &method(series)), ("outcome", outcome)],
                count,
            );
        });
    }
    // Prometheus sees no increase of a series that begins with its first failures, so each series is there before.
    let known: BTreeSet<_> = named().map(|(series, _)| (&*series.theme, method(series))).collect();
    let awaited = themes
        .keys()
        .flat_map(|theme| served.iter().map(move |method| (&**theme, method.to_string())));
    for (theme, method) in awaited.filter(|series| !known.contains(series)).take(MOST_AWAITED) {
        for outcome in ["succeeded", "failed"] {
            runs.count(&[("theme", theme), ("method", &method), ("outcome", outcome)], 0);
        }
    }
    let mut failures = families.counter(
        "gaia_task_failures_total",
        "Attempts that failed in this process, for good or not, by the kind of failure.",
    );
    for ([theme, service, method], sums) in &sums.task_failures {
        let method = format!("{service}.{method}");
        each_failure(sums, |kind, count| {
            failures.count(&[("theme", theme), ("method", &method), ("error_type", kind)], count);
        });
    }
    let mut waited = families.histogram(
        "gaia_task_wait_duration_seconds",
        "From when a task was due until a worker of this process began.",
    );
    for (series, figures) in named() {
        waited.times(&[theme(series), ("method", &method(series))], &figures.waited);
    }
    let mut ran = families.histogram(
        "gaia_task_run_duration_seconds",
        "How long attempts took in this process.",
    );
    for (series, figures) in named() {
        ran.times(&[theme(series), ("method", &method(series))], &figures.ran);
    }
}

/// How many tasks of dead nodes each theme has got, also the themes of this process that have got none.
fn rescues<'a>(
    totals: &'a Totals,
    sums: &'a BTreeMap<Arc<str>, ThemeSums>,
    themes: &'a BTreeMap<String, SchedulerStatus>,
) -> BTreeMap<&'a str, u64> {
    let known = themes
        .keys()
        .map(String::as_str)
        .chain(sums.keys().map(|theme| &**theme));
    let mut rescues: BTreeMap<&str, u64> = known.map(|theme| (theme, 0)).collect();
    for (series, figures) in totals.of(HistoryKind::Task) {
        *rescues.entry(&series.theme).or_default() += figures.lost;
    }
    rescues
}
