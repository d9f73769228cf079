//! Events for the facade `metrics`, for applications that have an exporter of their own.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, UNIX_EPOCH},
};

use metrics::{Counter, Histogram, Label, counter, gauge, histogram};

use super::{
    Component, Event, JobEnded, TaskEnded, TaskOutcome, TaskRunInfo,
    tally::{MOST_JOBS, MOST_METHODS, Names},
};
use crate::domain::{Failure, HistoryKind, RunFlag, Series, TaskStatus};

/// An observer that gives each event to the recorder of the facade [`metrics`]: counters and histograms with the names and labels of
/// [`GET /metrics`](https://github.com/gaia-actors/gaia-actors/blob/main/docs/monitoring.md), durations in seconds. Gauges of the database's state
/// are no events: `GET /metrics` has them, and [`Gaia::all_scheduler_status`](crate::Gaia::all_scheduler_status) those of this process.
///
/// The application installs its recorder before the first event: a counter that was made without one counts nothing for ever. Labels are
/// bounded as there: 500 methods and 200 jobs have labels of their own.
///
/// ```
/// use gaia_actors::{Gaia, events::to_metrics};
///
/// let builder = Gaia::builder().observe(to_metrics());
/// # drop(builder);
/// ```
#[must_use = "it is given to `GaiaBuilder::observe`"]
pub fn to_metrics() -> impl Fn(&Event) + Send + Sync + 'static {
    let facade = Facade::default();
    move |event| facade.note(event)
}

#[derive(Default)]
struct Facade(Mutex<Known>);

/// The counters and histograms of what ends again and again: to look them up by their labels each time would cost more than to count.
struct Known {
    methods: Names,
    jobs: Names,
    /// Where the series stand in `all`.
    places: HashMap<Arc<Series>, usize>,
    all: Vec<OfSeries>,
    /// The task whose run ended last, and the place of its series: mostly many runs of one method end one after the other.
    last: Option<(Arc<TaskRunInfo>, usize)>,
}

/// Of a method, or of a job.
#[derive(Clone)]
struct OfSeries {
    kind: HistoryKind,
    labels: Vec<Label>,
    /// By [`End`].
    ends: [Option<Counter>; 5],
    waited: Histogram,
    ran: Histogram,
}

/// How a run, or an attempt of it, ended.
#[derive(Clone, Copy)]
enum End {
    Succeeded,
    Failed,
    Cancelled,
    Snoozed,
    Retried,
}

impl End {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Snoozed => "snoozed",
            Self::Retried => "retried",
        }
    }
}

impl Default for Known {
    fn default() -> Self {
        Self {
            methods: Names::new(HistoryKind::Task, MOST_METHODS),
            jobs: Names::new(HistoryKind::Job, MOST_JOBS),
            places: HashMap::new(),
            all: Vec::new(),
            last: None,
        }
    }
}

impl Facade {
    fn note(&self, event: &Event) {
        match event {
            Event::TaskEnded(ended) => self.note_task(ended),
            Event::JobEnded(ended) => self.note_job(ended),
            Event::JobRetried(retried) => {
                let mut known = self.known();
                let series = known.job(retried.run.job_name.as_deref());
                series.end(End::Retried);
                series.fail(None);
            }
            Event::JobFired(fired) => {
                if let Some(late) = fired.late {
                    let labels = self.known().job(fired.run.job_name.as_deref()).labels.clone();
                    seconds(&histogram!("gaia_job_fire_delay_seconds", labels), late);
                }
            }
            Event::HookCalled(called) => counter!("gaia_hook_responses_total", "class" => called.class()).increment(1),
            Event::JobSkipped(skipped) => {
                counter!("gaia_job_fires_skipped_total", "policy" => skipped.policy.as_str()).increment(1);
            }
            Event::JobRunsLost { runs } => counter!("gaia_job_runs_lost_total").increment(count(*runs)),
            Event::TasksClaimed { theme, tasks, took } => {
                let theme = theme.to_string();
                counter!("gaia_tasks_claimed_total", "theme" => theme.clone()).increment(count(*tasks));
                seconds(&histogram!("gaia_task_claim_duration_seconds", "theme" => theme), *took);
            }
            Event::TasksRescued { theme, tasks } => {
                counter!("gaia_tasks_rescued_total", "theme" => theme.to_string()).increment(*tasks);
            }
            Event::OutcomesWritten {
                component,
                outcomes,
                took,
            } => {
                let labels = of_component(component);
                counter!("gaia_outcomes_written_total", labels.clone()).increment(count(*outcomes));
                seconds(&histogram!("gaia_outcome_write_duration_seconds", labels), *took);
            }
            Event::OutcomeRefused { component, .. } => {
                counter!("gaia_outcomes_refused_total", of_component(component)).increment(1);
            }
            Event::DatabaseFailed(failure) => {
                let mut labels = of_component(&failure.component);
                labels.push(Label::from_static_parts("work", failure.work.as_str()));
                counter!("gaia_database_errors_total", labels).increment(1);
            }
            Event::NodeLost { .. } => counter!("gaia_nodes_lost_total").increment(1),
            Event::LeaseLost { .. } => counter!("gaia_leases_lost_total").increment(1),
            Event::ThreadReplaced { .. } => counter!("gaia_threads_replaced_total").increment(1),
            // An end follows, a failure came before, or the rescue is told.
            Event::TaskLost { .. } | Event::TaskStarted(_) | Event::JobStarted(_) | Event::DatabaseRecovered(_) => {}
        }
    }

    fn note_task(&self, ended: &TaskEnded) {
        let run = &ended.run;
        let theme = || run.theme.to_string();
        let Some(status) = ended.status else {
            counter!("gaia_task_ends_stale_total", "theme" => theme()).increment(1);
            return;
        };
        if matches!(ended.outcome, TaskOutcome::HandedBack | TaskOutcome::NotServed) && !status.is_finished() {
            counter!("gaia_tasks_handed_back_total", "theme" => theme()).increment(1);
            return;
        }
        let mut known = self.known();
        let series = known.method(run);
        series.end(match (status, ended.outcome) {
            (TaskStatus::Success, _) => End::Succeeded,
            (TaskStatus::Failed, _) => End::Failed,
            (TaskStatus::Cancelled, _) => End::Cancelled,
            (_, TaskOutcome::Snoozed) => End::Snoozed,
            _ => End::Retried,
        });
        if let TaskOutcome::Failed(failure) = ended.outcome {
            series.fail(Some(failure));
        }
        if let Some(waited) = ended.waited {
            seconds(&series.waited, waited);
            seconds(&series.ran, ended.ran);
        }
    }

    fn note_job(&self, ended: &JobEnded) {
        if !ended.recorded {
            counter!("gaia_job_ends_stale_total").increment(1);
            return;
        }
        let outcome = match ended.flag {
            RunFlag::Success => End::Succeeded,
            RunFlag::Failed => End::Failed,
            RunFlag::Cancelled => End::Cancelled,
            RunFlag::Skipped => return,
        };
        let mut known = self.known();
        let series = known.job(ended.run.job_name.as_deref());
        series.end(outcome);
        let (now, labels) = (
            UNIX_EPOCH.elapsed().unwrap_or_default().as_secs_f64(),
            series.labels.clone(),
        );
        match ended.flag {
            RunFlag::Failed => {
                series.fail(ended.failure);
                gauge!("gaia_job_last_failure_timestamp_seconds", labels).set(now);
            }
            RunFlag::Success => gauge!("gaia_job_last_success_timestamp_seconds", labels).set(now),
            RunFlag::Cancelled | RunFlag::Skipped => {}
        }
        if let Some(ran) = ended.ran {
            seconds(&series.ran, ran);
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn method(&mut self, run: &Arc<TaskRunInfo>) -> &mut OfSeries {
        let known = self.last.as_ref().filter(|(last, _)| is_same_method(last, run));
        if let Some(&(_, place)) = known {
            return &mut self.all[place];
        }
        let series = self.methods.get([&run.theme, &run.service, &run.method]);
        let place = self.place(series, |series| {
            let method = format!("{}.{}", series.service, series.method);
            let labels = vec![Label::new("theme", series.theme.clone()), Label::new("method", method)];
            OfSeries::new(HistoryKind::Task, labels)
        });
        self.last = Some((Arc::clone(run), place));
        &mut self.all[place]
    }

    fn job(&mut self, name: Option<&str>) -> &mut OfSeries {
        let series = self.jobs.get([name.unwrap_or_default(), "", ""]);
        let place = self.place(series, |series| {
            OfSeries::new(HistoryKind::Job, vec![Label::new("job", series.theme.clone())])
        });
        &mut self.all[place]
    }

    fn place(&mut self, series: Arc<Series>, make: impl FnOnce(&Series) -> OfSeries) -> usize {
        let all = &mut self.all;
        *self.places.entry(series).or_insert_with_key(|series| {
            all.push(make(series));
            all.len() - 1
        })
    }
}

fn is_same_method(one: &TaskRunInfo, other: &TaskRunInfo) -> bool {
    one.method == other.method && one.service == other.service && one.theme == other.theme
}

impl OfSeries {
    fn new(kind: HistoryKind, labels: Vec<Label>) -> Self {
        let (waited, ran) = match kind {
            HistoryKind::Task => (
                histogram!("gaia_task_wait_duration_seconds", labels.clone()),
                histogram!("gaia_task_run_duration_seconds", labels.clone()),
            ),
            HistoryKind::Job => (
                Histogram::noop(),
                histogram!("gaia_job_run_duration_seconds", labels.clone()),
            ),
        };
        Self {
            kind,
            labels,
            ends: [const { None }; 5],
            waited,
            ran,
        }
    }

    fn with(&self, name: &'static str, value: &'static str) -> Vec<Label> {
        let mut labels = self.labels.clone();
        labels.push(Label::from_static_parts(name, value));
        labels
    }

    fn end(&mut self, end: End) {
        if let Some(counter) = &self.ends[end as usize] {
            counter.increment(1);
            return;
        }
        let labels = self.with("outcome", end.as_str());
        let counter = match self.kind {
            HistoryKind::Task => counter!("gaia_task_runs_total", labels),
            HistoryKind::Job => counter!("gaia_job_runs_total", labels),
        };
        counter.increment(1);
        self.ends[end as usize] = Some(counter);
    }

    fn fail(&self, failure: Option<Failure>) {
        let labels = self.with("error_type", failure.map_or("error", Failure::as_str));
        match self.kind {
            HistoryKind::Task => counter!("gaia_task_failures_total", labels),
            HistoryKind::Job => counter!("gaia_job_failures_total", labels),
        }
        .increment(1);
    }
}

fn of_component(component: &Component) -> Vec<Label> {
    let (component, theme) = match component {
        Component::Theme(theme) => ("tasks", theme.to_string()),
        Component::Jobs => ("jobs", String::new()),
        Component::Node(_) => ("node", String::new()),
    };
    vec![
        Label::from_static_parts("component", component),
        Label::new("theme", theme),
    ]
}

fn seconds(histogram: &Histogram, duration: Duration) {
    histogram.record(duration.as_secs_f64());
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
