//! The state machine of a task: `(retries used, outcome, retry policy) → what to write`.
//!
//! ```text
//!              claim                 Succeeded
//!   ┌─► Wait ────────► Running ──────────────────► Success
//!   │    ▲ │            │ │ │ └── Failed, none left ─► Failed ──┐
//!   │    │ └─ cancel ─┐ │ │ └──── Cancelled ─► Cancelled ───────┤
//!   │    └─ Snoozed, ─┼─┘ │                        ▲            │ retry by hand
//!   │      HandedBack,│   └ Failed, attempts left  │            │
//!   │      NotServed, └────────────┬───────────────┤            │
//!   │      Postponed               │               │            │
//!   │                              ▼               │            │
//!   │                            Retry ── cancel ──┘            │
//!   │                              └── claim ─► Running         │
//!   └───────────────────────────────────────────────────────────┘
//! ```
//!
//! Three rules are not in the diagram:
//!
//! - A failure that is not [retryable](Failure::is_retryable) ends as Failed even if attempts are left.
//! - Snoozed, HandedBack, NotServed and Postponed lead to Retry, not to Wait, if the task has used an attempt before.
//! - If a caller has asked to cancel a running task and its run would put it back into the queue, it ends as Cancelled
//!   ([`Next::cancelled_instead`]).

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Failure, Json, RetryPolicy, TaskStatus};

/// How one run of a task ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// The handler returned; its result as JSON.
    Succeeded(Json),
    /// The handler failed, panicked or ran out of time, or its process died.
    Failed {
        /// Why, in words for people.
        error: String,
        /// The kind of the failure; it decides whether the task may be tried again.
        failure: Failure,
    },
    /// The handler asked to run again after this time; no attempt is used.
    Snoozed(Duration),
    /// A caller cancelled the task while it ran.
    Cancelled,
    /// This node does not bring the run to its end, and the task goes back to the queue; no attempt is used.
    ///
    /// If the handler was called, the node stopped or lost its lease. If it was not called, there are more possible reasons: the theme was
    /// paused or got 0 workers, no worker took a task for a second, the node holds more tasks than its workers can run soon, or there was
    /// no thread for a handler that blocks.
    HandedBack {
        /// Whether the handler had been called.
        started: bool,
    },
    /// This node had a handler for the method when it claimed the task, but has none when the run is to begin: the task waits for another
    /// node, or for a handler that is registered later. No attempt is used, and no record is written.
    NotServed,
    /// The run could not begin, because this node had no room in memory for the task's arguments or could not read them: the task waits
    /// until this time. No attempt is used, and no record is written.
    Postponed {
        /// When the task is due again.
        until: DateTime<Utc>,
    },
}

impl Outcome {
    /// Whether a run with this outcome has a record, unless its task is in other hands. That of a run that is handed back may be missing.
    pub(crate) fn has_record(&self) -> bool {
        !matches!(self, Self::HandedBack { .. } | Self::NotServed | Self::Postponed { .. })
    }

    /// The number of bytes of the result or the error text.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Succeeded(result) => result.as_str().len(),
            Self::Failed { error, .. } => error.len(),
            _ => 0,
        }
    }
}

/// The columns about retries of the task that ran, as the state machine needs them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetryState {
    /// The number of retries used so far (not a time: the column has this name).
    pub(crate) retry_time: i32,
    /// The most retries that the task may use (not a time either).
    pub(crate) max_retry_time: i32,
    /// The task's own delay before its first retry.
    pub(crate) retry_delay: Option<Duration>,
}

/// What to write about a task whose run ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Next {
    pub(crate) status: TaskStatus,
    pub(crate) retry_time: i32,
    /// `None`: the task is due immediately, or finished.
    pub(crate) run_at: Option<DateTime<Utc>>,
    pub(crate) result: Option<String>,
    pub(crate) error: Option<String>,
    /// Whether an execution record of the run is written.
    pub(crate) record: bool,
}

impl Next {
    /// Whether the task goes back to the queue.
    pub(crate) fn requeues(&self) -> bool {
        !self.status.is_finished()
    }

    /// What to write instead if a caller has asked to cancel the task: the task ends as Cancelled and does not go back to the queue
    /// (model: task::CancelledInstead).
    pub(crate) fn cancelled_instead(self) -> Self {
        Self {
            status: TaskStatus::Cancelled,
            run_at: None,
            // The task ends here, so a record is written even if the run had not begun.
            record: true,
            error: Some(match self.error {
                Some(error) => format!("{CANCELLED}; the run had ended with: {error}"),
                None => CANCELLED.to_owned(),
            }),
            ..self
        }
    }
}

const CANCELLED: &str = "cancelled on request";

/// The state after `outcome`. `spread` is a random number from -1 to 1; it picks the delay of a retry inside the policy's jitter.
pub(crate) fn next(state: RetryState, outcome: Outcome, policy: RetryPolicy, now: DateTime<Utc>, spread: f64) -> Next {
    let finished = |status, result, error| Next {
        status,
        retry_time: state.retry_time,
        run_at: None,
        result,
        error,
        record: true,
    };
    match outcome {
        Outcome::Succeeded(result) => finished(TaskStatus::Success, Some(result.into_string()), None),
        Outcome::Cancelled => finished(TaskStatus::Cancelled, None, Some(CANCELLED.to_owned())),
        Outcome::Failed { error, failure } if failure.is_retryable() && state.retry_time < state.max_retry_time => {
            let retries = u32::try_from(state.retry_time).unwrap_or(0);
            let delay = policy.with_base(state.retry_delay).delay(retries, spread);
            Next {
                status: TaskStatus::Retry,
                retry_time: state.retry_time + 1,
                run_at: after(now, delay),
                ..finished(TaskStatus::Retry, None, Some(error))
            }
        }
        Outcome::Failed { error, .. } => finished(TaskStatus::Failed, None, Some(error)),
        Outcome::Snoozed(delay) => Next {
            run_at: after(now, delay),
            ..finished(waiting(state), None, None)
        },
        Outcome::HandedBack { started } => Next {
            record: started,
            ..finished(
                waiting(state),
                None,
                started.then(|| "interrupted by the stop of its node; handed back".to_owned()),
            )
        },
        Outcome::NotServed => Next {
            record: false,
            ..finished(waiting(state), None, None)
        },
        Outcome::Postponed { until } => Next {
            run_at: Some(until),
            record: false,
            ..finished(waiting(state), None, None)
        },
    }
}

/// The status of a task that goes back to the queue without using an attempt.
fn waiting(state: RetryState) -> TaskStatus {
    if state.retry_time > 0 {
        TaskStatus::Retry
    } else {
        TaskStatus::Wait
    }
}

/// The time after a delay. `None` if the delay is zero: the task is due immediately. A delay that ends after the year 9999 ends with its
/// last second.
fn after(now: DateTime<Utc>, delay: Duration) -> Option<DateTime<Utc>> {
    if delay.is_zero() {
        return None;
    }
    let end_of_calendar = DateTime::<Utc>::from_timestamp(253_402_300_799, 0);
    chrono::TimeDelta::from_std(delay)
        .ok()
        .and_then(|delay| now.checked_add_signed(delay))
        .filter(|at| Some(*at) <= end_of_calendar)
        .or(end_of_calendar)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(failure: Failure) -> Outcome {
        Outcome::Failed {
            error: "no".to_owned(),
            failure,
        }
    }

    /// Every outcome at every place of the attempt counter: status after, attempts used after, delay in seconds, record.
    #[test]
    fn the_table() {
        use TaskStatus::{Cancelled, Failed, Retry, Success, Wait};
        let ok = || Outcome::Succeeded(Json::null());
        let error = || failed(Failure::Error);
        let snooze = || Outcome::Snoozed(Duration::from_secs(7));
        let back = |started| Outcome::HandedBack { started };
        let until = DateTime::<Utc>::UNIX_EPOCH + chrono::TimeDelta::seconds(9);
        let not_served = || Outcome::NotServed;
        let postponed = || Outcome::Postponed { until };
        #[rustfmt::skip]
        let table = [
            // used, of, outcome,                  status,    used, delay, record
            (0, 3, ok(),                           Success,   0, None,    true),
            (3, 3, ok(),                           Success,   3, None,    true),
            (0, 3, error(),                        Retry,     1, Some(1), true),
            (2, 3, error(),                        Retry,     3, Some(4), true),
            (3, 3, error(),                        Failed,    3, None,    true),
            (0, 0, error(),                        Failed,    0, None,    true),
            (0, 3, failed(Failure::Discarded),     Failed,    0, None,    true),
            (0, 3, failed(Failure::Panicked),      Retry,     1, Some(1), true),
            (0, 3, failed(Failure::TimedOut),      Retry,     1, Some(1), true),
            (0, 3, failed(Failure::Lost),          Retry,     1, Some(1), true),
            (3, 3, failed(Failure::Lost),          Failed,    3, None,    true),
            (0, 3, snooze(),                       Wait,      0, Some(7), true),
            (3, 3, snooze(),                       Retry,     3, Some(7), true),
            (0, 3, Outcome::Cancelled,             Cancelled, 0, None,    true),
            (0, 3, back(false),                    Wait,      0, None,    false),
            (2, 3, back(false),                    Retry,     2, None,    false),
            (0, 3, back(true),                     Wait,      0, None,    true),
            (1, 3, back(true),                     Retry,     1, None,    true),
            (0, 0, not_served(),                   Wait,      0, None,    false),
            (3, 3, not_served(),                   Retry,     3, None,    false),
            (0, 0, postponed(),                    Wait,      0, Some(9), false),
            (3, 3, postponed(),                    Retry,     3, Some(9), false),
        ];
        let now = DateTime::<Utc>::UNIX_EPOCH;
        for (retry_time, max_retry_time, outcome, status, used, delay, record) in table {
            let state = RetryState {
                retry_time,
                max_retry_time,
                retry_delay: None,
            };
            let next = next(state, outcome.clone(), RetryPolicy::default(), now, 0.0);
            let got = (next.status, next.retry_time, next.run_at, next.record);
            let run_at = delay.map(|delay| now + chrono::TimeDelta::seconds(delay));
            assert_eq!(
                got,
                (status, used, run_at, record),
                "{retry_time} of {max_retry_time}, {outcome:?}"
            );
        }
    }

    #[test]
    fn a_tasks_own_delay_wins_over_the_schedulers() {
        let state = RetryState {
            retry_time: 0,
            max_retry_time: 3,
            retry_delay: Some(Duration::ZERO),
        };
        let now = DateTime::<Utc>::UNIX_EPOCH;
        let next = next(state, failed(Failure::Error), RetryPolicy::default(), now, 0.0);
        assert_eq!((next.status, next.run_at), (TaskStatus::Retry, None));
    }

    #[test]
    fn a_requeue_of_a_cancelled_task_becomes_a_cancel_and_keeps_its_error() {
        let state = RetryState {
            retry_time: 0,
            max_retry_time: 3,
            retry_delay: None,
        };
        let now = DateTime::<Utc>::UNIX_EPOCH;
        let next = next(state, failed(Failure::Error), RetryPolicy::default(), now, 0.0).cancelled_instead();
        assert_eq!((next.status, next.run_at), (TaskStatus::Cancelled, None));
        assert!(next.error.is_some_and(|error| error.ends_with("no")));
    }

    #[test]
    fn a_delay_beyond_the_calendar_is_its_last_day() {
        let at = after(DateTime::<Utc>::UNIX_EPOCH, Duration::MAX);
        assert_eq!(at.map(|at| at.timestamp()), Some(253_402_300_799));
    }
}
