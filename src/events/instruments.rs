//! What happened in this process since it began, summed for metrics. The [`Tally`](super::Tally) sums what ended.
//!
//! Nothing here is counted for each run that ends well: claims, writes and failures are.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, Utc};

use super::{
    Component, DatabaseWork, Event, JobEnded, TaskEnded, TaskOutcome,
    tally::{MOST_JOBS, MOST_METHODS, OTHER},
};
use crate::{
    clock::Clock,
    domain::{Failure, RunFlag, Times},
};

/// The sums of one process.
#[derive(Debug)]
pub(crate) struct Instruments {
    clock: Clock,
    sums: Mutex<Sums>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Sums {
    pub(crate) themes: BTreeMap<Arc<str>, ThemeSums>,
    /// By theme, service and method.
    pub(crate) task_failures: BTreeMap<[Arc<str>; 3], FailureSums>,
    pub(crate) jobs: BTreeMap<Arc<str>, JobSums>,
    pub(crate) writes: HashMap<Component, WriteSums>,
    pub(crate) database_errors: HashMap<(Component, DatabaseWork), u64>,
    /// Answers of hooks by class.
    pub(crate) hook_answers: BTreeMap<&'static str, u64>,
    /// Changes that callers of the API have asked for, by action and result.
    pub(crate) admin_actions: BTreeMap<[&'static str; 2], u64>,
    /// Fires that were skipped, by policy.
    pub(crate) fires_skipped: BTreeMap<&'static str, u64>,
    pub(crate) job_ends_stale: u64,
    pub(crate) nodes_lost: u64,
    pub(crate) leases_lost: u64,
    pub(crate) threads_replaced: u64,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct ThemeSums {
    pub(crate) added: u64,
    pub(crate) claims: Times,
    pub(crate) claimed: u64,
    pub(crate) handed_back: u64,
    pub(crate) stale: u64,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct JobSums {
    pub(crate) late: Times,
    pub(crate) failures: FailureSums,
    pub(crate) last_success: Option<DateTime<Utc>>,
    pub(crate) last_failure: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct WriteSums {
    pub(crate) writes: Times,
    pub(crate) outcomes: u64,
    pub(crate) refused: u64,
}

pub(crate) type FailureSums = BTreeMap<&'static str, u64>;

impl Instruments {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            sums: Mutex::default(),
        }
    }

    /// All sums at this moment.
    pub(crate) fn read(&self) -> Sums {
        self.sums().clone()
    }

    pub(super) fn added(&self, theme: &Arc<str>, tasks: u64) {
        self.sums().theme(theme).added += tasks;
    }

    /// A caller of the API has asked for a change.
    pub(super) fn admin_action(&self, action: &'static str, result: &'static str) {
        *self.sums().admin_actions.entry([action, result]).or_default() += 1;
    }

    pub(super) fn note(&self, event: &Event) {
        match event {
            Event::TasksClaimed { theme, tasks, took } => {
                let mut sums = self.sums();
                let theme = sums.theme(theme);
                theme.claims.note(*took);
                theme.claimed += count(*tasks);
            }
            Event::TaskEnded(ended) => self.note_task(ended),
            Event::JobFired(fired) => {
                if let Some(late) = fired.late {
                    self.sums().job(fired.run.job_name.as_ref()).late.note(late);
                }
            }
            Event::HookCalled(called) => *self.sums().hook_answers.entry(called.class()).or_default() += 1,
            Event::JobSkipped(skipped) => {
                *self.sums().fires_skipped.entry(skipped.policy.as_str()).or_default() += 1;
            }
            Event::JobEnded(ended) => self.note_job(ended),
            Event::JobRetried(retried) => {
                let mut sums = self.sums();
                fail(&mut sums.job(retried.run.job_name.as_ref()).failures, None);
            }
            Event::OutcomesWritten {
                component,
                outcomes,
                took,
            } => {
                let mut sums = self.sums();
                let sums = sums.writes_of(component);
                sums.writes.note(*took);
                sums.outcomes += count(*outcomes);
            }
            Event::OutcomeRefused { component, .. } => self.sums().writes_of(component).refused += 1,
            Event::DatabaseFailed(failure) => {
                let key = (failure.component.clone(), failure.work);
                *self.sums().database_errors.entry(key).or_default() += 1;
            }
            Event::NodeLost { .. } => self.sums().nodes_lost += 1,
            Event::LeaseLost { .. } => self.sums().leases_lost += 1,
            Event::ThreadReplaced { .. } => self.sums().threads_replaced += 1,
            // The tally counts these, or nothing is to be counted.
            Event::TaskStarted(_)
            | Event::TasksRescued { .. }
            | Event::TaskLost { .. }
            | Event::JobStarted(_)
            | Event::JobRunsLost { .. }
            | Event::DatabaseRecovered(_) => {}
        }
    }

    fn note_task(&self, ended: &TaskEnded) {
        let run = &ended.run;
        match (ended.status, ended.outcome) {
            (None, _) => self.sums().theme(&run.theme).stale += 1,
            (_, TaskOutcome::HandedBack | TaskOutcome::NotServed) => self.sums().theme(&run.theme).handed_back += 1,
            (_, TaskOutcome::Failed(failure)) => {
                let mut sums = self.sums();
                fail(sums.failures_of(&run.theme, &run.service, &run.method), Some(failure));
            }
            _ => {}
        }
    }

    fn note_job(&self, ended: &JobEnded) {
        let now = self.clock.now();
        let mut sums = self.sums();
        if !ended.recorded {
            sums.job_ends_stale += 1;
            return;
        }
        match ended.flag {
            RunFlag::Success => sums.job(ended.run.job_name.as_ref()).last_success = Some(now),
            RunFlag::Failed => {
                let job = sums.job(ended.run.job_name.as_ref());
                job.last_failure = Some(now);
                fail(&mut job.failures, ended.failure);
            }
            RunFlag::Cancelled | RunFlag::Skipped => {}
        }
    }

    fn sums(&self) -> MutexGuard<'_, Sums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sums {
    /// A producer may name any number of themes: beyond as many as methods they count together.
    fn theme(&mut self, theme: &Arc<str>) -> &mut ThemeSums {
        let is_known = self.themes.len() < MOST_METHODS || self.themes.contains_key(theme);
        let theme = if is_known { Arc::clone(theme) } else { OTHER.into() };
        self.themes.entry(theme).or_default()
    }

    fn writes_of(&mut self, component: &Component) -> &mut WriteSums {
        self.writes.entry(component.clone()).or_default()
    }

    /// Runs whose jobs this process does not know by name count together.
    fn job(&mut self, name: Option<&Arc<str>>) -> &mut JobSums {
        let is_known = |name: &&Arc<str>| self.jobs.len() < MOST_JOBS || self.jobs.contains_key(*name);
        let name = name.filter(is_known).map_or_else(|| OTHER.into(), Arc::clone);
        self.jobs.entry(name).or_default()
    }

    fn failures_of(&mut self, theme: &Arc<str>, service: &str, method: &str) -> &mut FailureSums {
        let mut key = [Arc::clone(theme), service.into(), method.into()];
        if self.task_failures.len() >= MOST_METHODS && !self.task_failures.contains_key(&key) {
            key = [Arc::clone(theme), OTHER.into(), OTHER.into()];
        }
        self.task_failures.entry(key).or_default()
    }
}

/// `None`: it is not known which kind of failure it was.
fn fail(failures: &mut FailureSums, failure: Option<Failure>) {
    *failures.entry(failure.map_or("error", Failure::as_str)).or_default() += 1;
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
