//! What Prometheus reads: sums of this process since it began, the state of its actors, and the state of everything in the database.

mod families;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use actix_web::{
    HttpResponse,
    http::{StatusCode, header::CONTENT_TYPE},
};
use chrono::{DateTime, Utc};
use tokio::time::timeout;

use self::families::{Families, Label, TEXT};
use super::{call::Call, problem::Problem, watch::State};
use crate::{
    admin::{Overview, ThemeState},
    asynctask::SchedulerStatus,
    domain::{Figures, HistoryKind, Series},
    error::Error,
    events::{Component, FailureSums, JobSums, OTHER, SkipPolicy, Sums, ThemeSums, Totals},
    jobs::JobsStatus,
    registry::MethodName,
};

/// How long an answer waits for the state of the database. Prometheus itself waits for 10 s unless it is told otherwise.
const PATIENCE: Duration = Duration::from_secs(3);

/// The most methods of themes that are told before anything of them has ended.
const MOST_AWAITED: usize = 500;

pub(super) async fn metrics(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    call.caller.needs_all_themes()?;
    let gaia = call.gaia();
    let themes = gaia.all_scheduler_status().await?;
    let jobs = gaia.jobs().status().await?;
    let watch = call.watch();
    let state = match timeout(PATIENCE, watch.state()).await {
        Ok(state) => Some(state.ok_or(Error::Stopped)?),
        Err(_) => None,
    };
    let (totals, sums) = gaia.events().totals();
    let mut families = Families::default();
    this_process(&mut families, &call);
    everything(&mut families, state.as_deref());
    workers(&mut families, &themes);
    schedules(&mut families, &jobs);
    tasks(&mut families, &totals, &sums, &themes, &gaia.registry().served());
    runs_of_jobs(&mut families, &totals, &sums);
    database(&mut families, &sums, &themes, &jobs);
    let text = families.text().map_err(|error| Problem::unwritable(&error))?;
    let mut response = HttpResponse::build(StatusCode::OK);
    response.insert_header((CONTENT_TYPE, TEXT));
    Ok(response.body(text))
}

fn this_process(families: &mut Families, call: &Call) {
    let lease = call.gaia().lease();
    families
        .gauge("gaia_build_info", "The version of the crate. Its value is always 1.")
        .count(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    families
        .gauge(
            "gaia_heartbeat_age_seconds",
            "How long ago the last heartbeat of this node began that succeeded.",
        )
        .value(&[], lease.silence().as_secs_f64());
    families
        .gauge(
            "gaia_fenced",
            "1 if this node has not beaten for its lease: it has cancelled its runs and claims nothing.",
        )
        .count(&[], lease.has_expired().into());
}

/// The same on every process of a database.
fn everything(families: &mut Families, state: Option<&State>) {
    families
        .gauge(
            "gaia_database_up",
            "Whether the database could be read, at most 2 s ago.",
        )
        .count(&[], state.is_some_and(|state| state.found.is_ok()).into());
    let Some(State {
        found: Ok(overview),
        at: now,
        ..
    }) = state
    else {
        return;
    };
    let mut tasks = families.gauge(
        "gaia_tasks",
        "Unfinished tasks. Status due: they wait for a worker; scheduled: they wait for a later time, counted up to 10,000 of each theme; \
         running: a node has claimed them. Every process of a database tells the same.",
    );
    for theme in &overview.themes {
        let mut count = |status, count| tasks.count(&[("theme", &theme.info.theme), ("status", status)], count);
        count("due", theme.unfinished.due);
        count("running", number(theme.info.running));
        if let Some(scheduled) = theme.unfinished.scheduled {
            count("scheduled", scheduled);
        }
    }
    let mut unserved = families.gauge(
        "gaia_tasks_unserved",
        "Due tasks that no living node serves: none has workers for the theme, or none of those has a handler for the method.",
    );
    each_theme(overview, |theme, state| {
        unserved.count(theme, state.unfinished.unserved);
    });
    let mut oldest = families.gauge(
        "gaia_task_oldest_due_seconds",
        "How long the oldest due task of a theme has been due; 0 if none is due. Every process of a database tells the same.",
    );
    each_theme(overview, |theme, state| {
        let since = state.unfinished.oldest_due;
        let age = since.and_then(|since| (*now - since).to_std().ok()).unwrap_or_default();
        oldest.value(theme, age.as_secs_f64());
    });
    let mut paused = families.gauge("gaia_theme_paused", "1 if a theme is paused.");
    each_theme(overview, |theme, state| paused.count(theme, state.info.paused.into()));
    let mut workers = families.gauge("gaia_theme_workers", "The workers for a theme on all living nodes.");
    each_theme(overview, |theme, state| {
        workers.count(theme, number(state.info.node_workers));
    });
    let mut nodes = families.gauge(
        "gaia_nodes",
        "The nodes of the database. State silent: no heartbeat for longer than the lease.",
    );
    let alive = overview.nodes.iter().filter(|node| node.alive).count();
    nodes.count(&[("state", "alive")], number(alive));
    nodes.count(&[("state", "silent")], number(overview.nodes.len() - alive));
}

fn each_theme(overview: &Overview, mut tell: impl FnMut(&[Label<'_>], &ThemeState)) {
    for theme in &overview.themes {
        tell(&[("theme", &theme.info.theme)], theme);
    }
}

fn workers(families: &mut Families, themes: &BTreeMap<String, SchedulerStatus>) {
    let mut workers = families.gauge("gaia_workers", "The workers of this process.");
    for (theme, status) in themes {
        let idle = status.all_workers.saturating_sub(status.running_workers);
        workers.count(&[("theme", theme), ("state", "busy")], number(status.running_workers));
        workers.count(&[("theme", theme), ("state", "idle")], number(idle));
    }
    let mut of_theme = |name, help, of: fn(&SchedulerStatus) -> u64| {
        let mut family = match name {
            "gaia_tasks_buffered" => families.gauge(name, help),
            _ => families.counter(name, help),
        };
        for (theme, status) in themes {
            family.count(&[("theme", theme)], of(status));
        }
    };
    of_theme(
        "gaia_tasks_buffered",
        "Tasks that this process has claimed and that wait in its memory for a worker.",
        |status| number(status.queue_depth),
    );
    of_theme(
        "gaia_workers_replaced_total",
        "Workers of this process that were replaced because they, or their thread, died or were blocked.",
        |status| status.replaced_workers,
    );
    of_theme(
        "gaia_scans_total",
        "How often this process has looked for due tasks.",
        |status| status.scans,
    );
}

fn schedules(families: &mut Families, status: &JobsStatus) {
    let mut jobs = families.gauge(
        "gaia_jobs",
        "The enabled jobs that this process schedules. State bad: their schedule cannot be read, and they never fire.",
    );
    jobs.count(&[("state", "scheduled")], number(status.scheduled));
    jobs.count(&[("state", "bad")], number(status.bad));
    families
        .gauge(
            "gaia_job_runs_open",
            "Runs of jobs of this process that are not written as ended yet.",
        )
        .count(&[], number(status.running));
}

fn tasks(
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

fn runs_of_jobs(families: &mut Families, totals: &Totals, sums: &Sums) {
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

fn database(families: &mut Families, sums: &Sums, themes: &BTreeMap<String, SchedulerStatus>, jobs: &JobsStatus) {
    let mut unwritten = families.gauge(
        "gaia_outcomes_unwritten",
        "Ends of runs that wait in the memory of this process to be written. They are lost if it dies.",
    );
    for (theme, status) in themes {
        unwritten.count(&[("component", "tasks"), ("theme", theme)], number(status.unwritten));
    }
    unwritten.count(&[("component", "jobs"), ("theme", "")], number(jobs.unwritten));
    let mut writes: Vec<_> = sums
        .writes
        .iter()
        .map(|(component, sums)| (labels(component), sums))
        .collect();
    writes.sort_by(|one, other| one.0.cmp(&other.0));
    let mut actions = families.counter(
        "gaia_admin_actions_total",
        "Changes that callers of the API and the dashboard have asked of this process, by action and result.",
    );
    for ([action, result], count) in &sums.admin_actions {
        actions.count(&[("action", action), ("result", result)], *count);
    }
    let mut written = families.counter(
        "gaia_outcomes_written_total",
        "Ends of runs that this process has written.",
    );
    for (labels, sums) in &writes {
        written.count(labels, sums.outcomes);
    }
    let mut refused = families.counter(
        "gaia_outcomes_refused_total",
        "Ends of runs that the database refused in every form. They stay in memory and are tried again.",
    );
    for (labels, sums) in &writes {
        refused.count(labels, sums.refused);
    }
    let mut took = families.histogram(
        "gaia_outcome_write_duration_seconds",
        "How long this process took to write ends of runs, many in one transaction.",
    );
    for (labels, sums) in &writes {
        took.times(labels, &sums.writes);
    }
    let mut errors = families.counter("gaia_database_errors_total", "Errors of the database, by what failed.");
    let by_work = sums.database_errors.iter();
    let mut by_work: Vec<_> = by_work
        .map(|((component, work), count)| (labels(component), work.as_str(), count))
        .collect();
    by_work.sort_unstable();
    for ([component, theme], work, count) in by_work {
        errors.count(&[component, theme, ("work", work)], *count);
    }
    for (name, help, count) in [
        (
            "gaia_nodes_lost_total",
            "Dead nodes whose work this process has taken over.",
            sums.nodes_lost,
        ),
        (
            "gaia_leases_lost_total",
            "How often this node has lost its lease.",
            sums.leases_lost,
        ),
        (
            "gaia_threads_replaced_total",
            "Threads of this process that were replaced because a handler blocked them, or because they ended.",
            sums.threads_replaced,
        ),
    ] {
        families.counter(name, help).count(&[], count);
    }
}

/// A node's id is no label: it is another one after each start.
fn labels(component: &Component) -> [Label<'_>; 2] {
    let (component, theme) = match component {
        Component::Theme(theme) => ("tasks", &**theme),
        Component::Jobs => ("jobs", ""),
        Component::Node(_) => ("node", ""),
    };
    [("component", component), ("theme", theme)]
}

fn theme(series: &Series) -> Label<'_> {
    ("theme", &series.theme)
}

fn job(series: &Series) -> Label<'_> {
    ("job", &series.theme)
}

fn method(series: &Series) -> String {
    match series.service == series.method {
        // What counts together.
        true if series.method == OTHER => OTHER.to_owned(),
        _ => format!("{}.{}", series.service, series.method),
    }
}

fn each_outcome(figures: &Figures, mut tell: impl FnMut(&'static str, u64)) {
    for (outcome, count) in [
        ("succeeded", figures.succeeded),
        ("failed", figures.failed),
        ("retried", figures.retried),
        ("snoozed", figures.snoozed),
        ("cancelled", figures.cancelled),
    ] {
        tell(outcome, count);
    }
}

fn each_failure(sums: &FailureSums, mut tell: impl FnMut(&'static str, u64)) {
    for (kind, count) in sums {
        tell(kind, *count);
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

pub(super) mod described {
    use utoipa::openapi::{Content, ObjectBuilder, Type};

    use crate::web::openapi::Described;

    pub(in crate::web) fn metrics() -> Described {
        let text = ObjectBuilder::new().schema_type(Type::String).description(Some(
            "The text format of Prometheus. docs/monitoring.md names each metric.",
        ));
        Described::new().answer_content(200, "text/plain", Content::new(Some(text)), "The metrics.")
    }
}
