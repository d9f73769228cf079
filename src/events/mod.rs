//! What happens in this process, told as it happens: actors give events to `Events`, which writes log lines of them, counts them for the
//! history, and calls the observers.

mod database;
#[cfg(feature = "metrics")]
mod facade;
#[cfg(feature = "web")]
mod instruments;
mod job;
mod lines;
mod tally;
mod task;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::Serialize;

pub(crate) use self::database::Outages;
#[cfg(feature = "metrics")]
pub use self::facade::to_metrics;
#[cfg(feature = "web")]
pub(crate) use self::instruments::{FailureSums, Instruments, JobSums, Sums, ThemeSums};
use self::lines::Lines;
pub(crate) use self::tally::Tally;
#[cfg(feature = "web")]
pub(crate) use self::tally::{OTHER, Totals};
pub use self::{
    database::{Component, DatabaseFailure, DatabaseRecovery, DatabaseWork},
    job::{HookCalled, JobEnded, JobFired, JobRetried, JobRunInfo, JobSkipped, JobStarted, SkipPolicy},
    task::{TaskEnded, TaskOutcome, TaskRunInfo, TaskStarted},
};
use crate::{domain::as_millis, panic_text::panic_text, repeats::Repeats};

/// Something that happened in this process: a task started, a fire was claimed, the database failed.
///
/// [`GaiaBuilder::observe`](crate::GaiaBuilder::observe) has each event given to a function. Log lines about runs are written from the
/// same events, and [`SchedulerStatus`](crate::SchedulerStatus) and [`JobsStatus`](crate::JobsStatus) count them. As JSON an event has
/// its name in `event`; durations are whole milliseconds.
///
/// ```
/// use gaia_actors::{Event, Gaia};
///
/// # fn main() {
/// let builder = Gaia::builder().observe(|event: &Event| match event {
///     Event::TaskEnded(ended) if ended.is_final() => {
///         println!("{}.{} ended as {:?}", ended.run.service, ended.run.method, ended.outcome);
///     }
///     Event::DatabaseFailed(failure) => println!("{}: {}", failure.component, failure.error),
///     _ => {}
/// });
/// # drop(builder);
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The scanner, or an insert for a free worker, has claimed tasks for this node.
    #[non_exhaustive]
    TasksClaimed {
        /// The theme of the tasks.
        theme: Arc<str>,
        /// How many tasks were claimed.
        tasks: usize,
        /// How long the database took.
        #[serde(rename = "took_ms", serialize_with = "as_millis")]
        took: Duration,
    },
    /// A worker begins an attempt of a task.
    TaskStarted(TaskStarted),
    /// An attempt of a task has ended, and the database knows.
    TaskEnded(TaskEnded),
    /// This node has put tasks of dead nodes back, or has ended those whose last attempt had begun.
    #[non_exhaustive]
    TasksRescued {
        /// The theme of the tasks.
        theme: Arc<str>,
        /// How many tasks.
        tasks: u64,
    },
    /// A task of a dead node has failed for good: its last attempt had begun there.
    #[non_exhaustive]
    TaskLost {
        /// The theme of the task.
        theme: Arc<str>,
        /// The task's id.
        task_id: i64,
        /// The service that the task calls.
        service: String,
        /// The method that the task calls.
        method: String,
        /// Why the task has failed, as the record has it.
        error: String,
    },
    /// This node has claimed a run of a job: a fire was due, or a caller asked for the run.
    JobFired(JobFired),
    /// This node has recorded a fire as skipped.
    JobSkipped(JobSkipped),
    /// An attempt of a job's run begins.
    JobStarted(JobStarted),
    /// An attempt of a job's run has failed, and another one follows.
    JobRetried(JobRetried),
    /// The hook of a job was called. A call that is cut off, because its time is over or its run is to stop, is no event.
    HookCalled(HookCalled),
    /// A run of a job has ended, and the database knows.
    JobEnded(JobEnded),
    /// This node has ended runs of jobs whose nodes are dead.
    #[non_exhaustive]
    JobRunsLost {
        /// How many runs.
        runs: usize,
    },
    /// The recorder has written outcomes in one transaction.
    #[non_exhaustive]
    OutcomesWritten {
        /// Whose outcomes.
        component: Component,
        /// How many outcomes.
        outcomes: usize,
        /// How long the database took.
        #[serde(rename = "took_ms", serialize_with = "as_millis")]
        took: Duration,
    },
    /// The database refuses an outcome in every form. The outcome stays in memory and is tried again from time to time; its task or
    /// run does not run again by itself.
    #[non_exhaustive]
    OutcomeRefused {
        /// Whose outcome.
        component: Component,
        /// The id of the task, or of the job's run.
        id: i64,
        /// The job, if it is a run of one.
        job_id: Option<i64>,
        /// The log id of the run.
        log_id: Arc<str>,
        /// What the run has ended as: a task's status, or a run's flag.
        ended_as: &'static str,
        /// What the database says.
        error: String,
        /// Whether the row could be marked as ended without an outcome. If not, it stays as it is, under this node.
        let_go: bool,
    },
    /// This node has found another node dead, and takes its work over.
    #[non_exhaustive]
    NodeLost {
        /// The dead node.
        node: String,
    },
    /// This node has lost its lease: it has cancelled its runs, and claims nothing until its heart beats again.
    #[non_exhaustive]
    LeaseLost {
        /// This node.
        node: Arc<str>,
        /// How long the node could not beat.
        #[serde(rename = "silent_ms", serialize_with = "as_millis")]
        silent: Duration,
        /// The length of the lease.
        #[serde(rename = "lease_ms", serialize_with = "as_millis")]
        lease: Duration,
        /// Whether other nodes have declared this node dead, and may have taken its work.
        declared_dead: bool,
    },
    /// A worker thread is blocked, or has ended. This process has replaced it.
    #[non_exhaustive]
    ThreadReplaced {
        /// The runs that were being polled on the thread, with service and method.
        runs: String,
        /// How long the thread has been blocked; `None`: it has ended.
        #[serde(rename = "blocked_ms", serialize_with = "as_millis")]
        blocked: Option<Duration>,
    },
    /// A statement or connection has failed.
    DatabaseFailed(DatabaseFailure),
    /// What had failed works again.
    DatabaseRecovered(DatabaseRecovery),
}

/// What observers are.
pub(crate) type Observer = Box<dyn Fn(&Event) + Send + Sync>;

/// The way from the actors of one process to its log and its observers. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Events(Arc<Hub>);

struct Hub {
    lines: Lines,
    tally: Tally,
    #[cfg(feature = "web")]
    instruments: Instruments,
    observers: Vec<Observer>,
    /// Hears events for alerts, except events that only observers hear.
    alerts: Option<Observer>,
    outages: Outages,
    /// Panics of observers that are logged, by the place of the observer.
    panics: Mutex<Repeats<usize>>,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let observers = self.0.observers.len();
        f.debug_struct("Events")
            .field("observers", &observers)
            .finish_non_exhaustive()
    }
}

impl Events {
    pub(crate) fn new(observers: Vec<Observer>, tally: Tally, alerts: Option<Observer>) -> Self {
        Self(Arc::new(Hub {
            lines: Lines::default(),
            #[cfg(feature = "web")]
            instruments: Instruments::new(tally.clock().clone()),
            tally,
            observers,
            alerts,
            outages: Outages::default(),
            panics: Mutex::default(),
        }))
    }

    /// Logs and counts the event and gives it to the observers, on the thread of the caller.
    pub(crate) fn tell(&self, event: &Event) {
        self.0.lines.log(event);
        self.0.tally.note(event);
        #[cfg(feature = "web")]
        self.0.instruments.note(event);
        if let Some(alerts) = &self.0.alerts {
            alerts(event);
        }
        self.call_observers(event);
    }

    /// Counts tasks that this process has added.
    #[cfg_attr(
        not(feature = "web"),
        expect(clippy::unused_self, reason = "the HTTP API tells metrics")
    )]
    pub(crate) fn added(&self, theme: &Arc<str>, tasks: usize) {
        #[cfg(feature = "web")]
        self.0.instruments.added(theme, tasks as u64);
        #[cfg(not(feature = "web"))]
        let _ = (theme, tasks);
    }

    /// Counts a change that a caller of the API has asked for.
    #[cfg(feature = "web")]
    pub(crate) fn admin_action(&self, action: &'static str, result: &'static str) {
        self.0.instruments.admin_action(action, result);
    }

    /// All that was counted since this process began.
    #[cfg(feature = "web")]
    pub(crate) fn totals(&self) -> (Totals, Sums) {
        (self.0.tally.totals(), self.0.instruments.read())
    }

    /// Gives an event that nothing counts and of which the log has no line to the observers. It is made only if there are observers: such
    /// events come with each run.
    pub(crate) fn tell_observers(&self, event: impl FnOnce() -> Event) {
        if !self.0.observers.is_empty() {
            self.call_observers(&event());
        }
    }

    fn call_observers(&self, event: &Event) {
        for (place, observer) in self.0.observers.iter().enumerate() {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| observer(event))) {
                self.observer_panicked(place, &*payload);
            }
        }
    }

    fn observer_panicked(&self, place: usize, payload: &(dyn std::any::Any + Send)) {
        let text = panic_text(payload);
        let said = self
            .0
            .panics
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .say(place, &text);
        if let Some(said) = said {
            say!(Error, "observer {} panicked, and is called on: {said}", place + 1);
        }
    }

    /// Tells of a failure of the database.
    pub(crate) fn failed(&self, component: &Component, work: DatabaseWork, error: &impl std::fmt::Display) {
        self.tell(&Event::DatabaseFailed(self.0.outages.failed(component, work, error)));
    }

    /// Tells that work succeeds again, if it had failed before.
    pub(crate) fn succeeded(&self, component: &Component, work: DatabaseWork) {
        if let Some(recovery) = self.0.outages.succeeded(component, work) {
            self.tell(&Event::DatabaseRecovered(recovery));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::clock::Clock;

    fn events(observers: Vec<Observer>) -> Events {
        Events::new(observers, Tally::new(Clock::system()), None)
    }

    #[test]
    fn a_panic_of_an_observer_reaches_neither_the_caller_nor_the_other_observers() {
        static HEARD: AtomicUsize = AtomicUsize::new(0);
        let events = events(vec![
            Box::new(|_| panic!("on purpose")),
            Box::new(|_| {
                HEARD.fetch_add(1, Ordering::SeqCst);
            }),
        ]);
        for _ in 0..2 {
            events.tell(&Event::JobRunsLost { runs: 1 });
        }
        assert_eq!(HEARD.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn work_recovers_once_and_only_after_a_failure() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&heard);
        let events = events(vec![Box::new(move |event| {
            list.lock().expect("is not poisoned").push(event.clone());
        })]);
        let (jobs, node) = (Component::Jobs, Component::Node("a".into()));
        events.succeeded(&jobs, DatabaseWork::ClaimFires);
        events.failed(&jobs, DatabaseWork::ClaimFires, &"away");
        events.failed(&jobs, DatabaseWork::ClaimFires, &"away");
        events.failed(&node, DatabaseWork::Beat, &"away");
        events.succeeded(&jobs, DatabaseWork::WriteOutcomes);
        events.succeeded(&jobs, DatabaseWork::ClaimFires);
        events.succeeded(&jobs, DatabaseWork::ClaimFires);
        let recovered: Vec<_> = heard
            .lock()
            .expect("is not poisoned")
            .iter()
            .filter_map(|event| match event {
                Event::DatabaseRecovered(recovery) => Some((recovery.component.clone(), recovery.failures)),
                _ => None,
            })
            .collect();
        assert_eq!(recovered, [(jobs, 2)]);
    }
}
