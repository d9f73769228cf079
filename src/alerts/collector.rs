//! The events of this process, summed until the actor looks. A run that ends well costs a comparison here, and no lock.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};

use super::cause::{Cause, Job, Method, Process};
use crate::{
    clock::Clock,
    domain::{AlertKind, Failure, MOST_ALERTS, RunFlag, TaskStatus},
    events::{Component, DatabaseFailure, DatabaseRecovery, DatabaseWork, Event, JobEnded, TaskEnded},
};

/// Hears events. Cloning is cheap.
#[derive(Clone)]
pub(super) struct Collector(Arc<Shared>);

struct Shared {
    clock: Clock,
    process: Process,
    kinds: BTreeSet<AlertKind>,
    sums: Mutex<Sums>,
    /// Whether an alert of a failed job is open: then its next success matters.
    notes_successes: AtomicBool,
}

/// The events since the last look, and the failures that go on.
#[derive(Default)]
struct Sums {
    happened: BTreeMap<String, Happened>,
    succeeded: BTreeSet<String>,
    /// The work at the database that fails at present.
    failing: HashMap<(Component, DatabaseWork), Failing>,
    lease_lost: Option<Duration>,
}

/// Something that has happened, perhaps more than once.
#[derive(Debug, Clone)]
pub(super) struct Happened {
    /// The last time.
    pub(super) cause: Cause,
    pub(super) times: u64,
    pub(super) last: DateTime<Utc>,
}

/// Work at the database that fails.
#[derive(Debug, Clone)]
pub(super) struct Failing {
    /// By the elapsed time of the clock.
    pub(super) since: Duration,
    pub(super) error: String,
}

/// The sums that the actor takes at a look.
pub(super) struct Taken {
    pub(super) happened: Vec<Happened>,
    /// The names of jobs that have run well.
    pub(super) succeeded: BTreeSet<String>,
    pub(super) failing: HashMap<(Component, DatabaseWork), Failing>,
    /// The node has lost its lease since the last look, after so long without a heartbeat.
    pub(super) lease_lost: Option<Duration>,
}

impl Collector {
    pub(super) fn new(clock: Clock, process: Process, kinds: BTreeSet<AlertKind>) -> Self {
        Self(Arc::new(Shared {
            clock,
            process,
            kinds,
            sums: Mutex::default(),
            notes_successes: AtomicBool::new(false),
        }))
    }

    pub(super) fn note(&self, event: &Event) {
        match event {
            Event::TaskEnded(ended) if ended.status == Some(TaskStatus::Failed) => self.task_failed(ended),
            Event::TaskLost {
                theme,
                task_id,
                service,
                method,
                error,
            } => self.happened(Cause::TaskFailed {
                method: Method {
                    theme: theme.to_string(),
                    service: service.clone(),
                    method: method.clone(),
                },
                task: *task_id,
                error: error.clone(),
            }),
            Event::JobEnded(ended) => self.job_ended(ended),
            Event::NodeLost { node } => self.happened(Cause::NodeDead { node: node.clone() }),
            Event::LeaseLost { silent, .. } => self.sums().lease_lost = Some(*silent),
            Event::OutcomeRefused {
                component, id, error, ..
            } => self.happened(Cause::OutcomeRefused {
                process: self.0.process.clone(),
                theme: theme_of(component),
                component: component.to_string(),
                id: *id,
                error: error.clone(),
            }),
            Event::DatabaseFailed(failure) if matters(failure.work) => self.failed(failure),
            Event::DatabaseRecovered(recovery) if matters(recovery.work) => self.recovered(recovery),
            _ => {}
        }
    }

    /// Takes the sums since the last look.
    pub(super) fn take(&self) -> Taken {
        let mut sums = self.sums();
        Taken {
            happened: std::mem::take(&mut sums.happened).into_values().collect(),
            succeeded: std::mem::take(&mut sums.succeeded),
            failing: sums.failing.clone(),
            lease_lost: sums.lease_lost.take(),
        }
    }

    /// Gives back sums that could not be written: the next look takes them, with later events.
    pub(super) fn give_back(&self, happened: Vec<Happened>, succeeded: BTreeSet<String>) {
        let mut sums = self.sums();
        sums.succeeded.extend(succeeded);
        for old in happened {
            let key = old.cause.key();
            match sums.happened.get_mut(&key) {
                Some(newer) => newer.times += old.times,
                None => drop(sums.happened.insert(key, old)),
            }
        }
    }

    pub(super) fn note_successes(&self, note: bool) {
        self.0.notes_successes.store(note, Ordering::Relaxed);
    }

    fn task_failed(&self, ended: &TaskEnded) {
        let run = &ended.run;
        self.happened(Cause::TaskFailed {
            method: Method {
                theme: run.theme.to_string(),
                service: run.service.clone(),
                method: run.method.clone(),
            },
            task: run.task_id,
            error: ended.error.clone().unwrap_or_default(),
        });
    }

    fn job_ended(&self, ended: &JobEnded) {
        let run = &ended.run;
        let name = || {
            let name = run.job_name.as_ref();
            name.map_or_else(|| run.job_id.to_string(), ToString::to_string)
        };
        match ended.flag {
            _ if !ended.recorded => {}
            RunFlag::Failed => {
                self.note_successes(true);
                let name = name();
                self.sums().succeeded.remove(&name);
                self.happened(Cause::JobFailed {
                    job: Job { id: run.job_id, name },
                    run: run.run_id,
                    timed_out: ended.failure == Some(Failure::TimedOut),
                    error: ended.error.clone().unwrap_or_default(),
                });
            }
            RunFlag::Success if self.0.notes_successes.load(Ordering::Relaxed) => {
                let mut sums = self.sums();
                if sums.succeeded.len() < MOST_ALERTS {
                    sums.succeeded.insert(name());
                }
            }
            RunFlag::Success | RunFlag::Cancelled | RunFlag::Skipped => {}
        }
    }

    fn happened(&self, cause: Cause) {
        let kind = cause.kind();
        if !self.0.kinds.contains(&kind) {
            return;
        }
        let (last, key) = (self.0.clock.now(), cause.key());
        let mut sums = self.sums();
        let is_full = sums.happened.len() >= MOST_ALERTS && !sums.happened.contains_key(&key);
        let (key, cause) = match is_full {
            true => (Cause::Others(kind).key(), Cause::Others(kind)),
            false => (key, cause),
        };
        let times = sums.happened.get(&key).map_or(0, |happened| happened.times) + 1;
        sums.happened.insert(key, Happened { cause, times, last });
    }

    fn failed(&self, failure: &DatabaseFailure) {
        let since = self.0.clock.elapsed();
        let mut sums = self.sums();
        let key = (failure.component.clone(), failure.work);
        let since = sums.failing.get(&key).map_or(since, |failing| failing.since);
        let error = failure.error.clone();
        sums.failing.insert(key, Failing { since, error });
    }

    fn recovered(&self, recovery: &DatabaseRecovery) {
        let key = (recovery.component.clone(), recovery.work);
        self.sums().failing.remove(&key);
    }

    fn sums(&self) -> MutexGuard<'_, Sums> {
        self.0.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether alerts tell that this work fails.
const fn matters(work: DatabaseWork) -> bool {
    matches!(work, DatabaseWork::Beat | DatabaseWork::WriteOutcomes)
}

fn theme_of(component: &Component) -> Option<String> {
    match component {
        Component::Theme(theme) => Some(theme.to_string()),
        Component::Jobs | Component::Node(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Events, Tally};

    fn collector() -> Collector {
        let clock = Clock::manual(DateTime::<Utc>::UNIX_EPOCH);
        let process = Process {
            node: "me".into(),
            host: "host".into(),
            pid: 1,
        };
        Collector::new(clock, process, AlertKind::ALL.into())
    }

    fn lost(collector: &Collector, node: impl std::fmt::Display) {
        collector.note(&Event::NodeLost { node: node.to_string() });
    }

    #[test]
    fn what_happens_again_is_summed_and_what_is_given_back_is_added() {
        let collector = collector();
        for node in ["a", "b", "a"] {
            lost(&collector, node);
        }
        let taken = collector.take().happened;
        assert_eq!(taken.iter().map(|one| one.times).collect::<Vec<_>>(), [2, 1]);
        lost(&collector, "a");
        collector.give_back(taken, BTreeSet::new());
        let again = collector.take().happened;
        assert_eq!(again.iter().map(|one| one.times).collect::<Vec<_>>(), [3, 1]);
        assert!(collector.take().happened.is_empty());
    }

    #[test]
    fn names_without_end_count_together() {
        let collector = collector();
        for node in 0..3 * MOST_ALERTS {
            lost(&collector, node);
        }
        lost(&collector, 0);
        let taken = collector.take().happened;
        assert_eq!(taken.len(), MOST_ALERTS + 1);
        let others = taken.iter().find(|one| one.cause == Cause::Others(AlertKind::NodeDead));
        assert_eq!(others.map(|others| others.times), Some(2 * MOST_ALERTS as u64));
    }

    #[test]
    fn work_fails_from_its_first_failure_until_it_succeeds() {
        let (collector, clock) = (collector(), Clock::manual(DateTime::<Utc>::UNIX_EPOCH));
        let hears = collector.clone();
        let hear = Box::new(move |event: &Event| hears.note(event));
        let events = Events::new(Vec::new(), Tally::new(clock), Some(hear));
        let jobs = Component::Jobs;
        for error in ["first", "second"] {
            events.failed(&jobs, DatabaseWork::WriteOutcomes, &error);
            events.failed(&jobs, DatabaseWork::ClaimFires, &error);
            collector.0.clock.advance(Duration::from_secs(7));
        }
        let failing = collector.take().failing;
        let failing: Vec<_> = failing.values().map(|one| (one.since, one.error.as_str())).collect();
        assert_eq!(failing, [(Duration::ZERO, "second")]);
        events.succeeded(&jobs, DatabaseWork::WriteOutcomes);
        assert!(collector.take().failing.is_empty());
    }
}
