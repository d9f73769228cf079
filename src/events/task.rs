//! The events of tasks.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::{Failure, Outcome, TaskStatus, as_millis};

/// One run of a task: what names it in the database and in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TaskRunInfo {
    /// The task's theme.
    pub theme: Arc<str>,
    /// The task's id.
    pub task_id: i64,
    /// The service that the task calls.
    pub service: String,
    /// The method that the task calls.
    pub method: String,
    /// Which attempt of the task this is, from 1.
    pub attempt: u32,
    /// How many attempts the task has in all.
    pub max_attempts: u32,
    /// Names the run in every log line and in its execution record.
    pub log_id: Arc<str>,
    /// Since when the task waited: it was added, came due, or was put back then.
    pub due_at: DateTime<Utc>,
}

/// A worker begins an attempt of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TaskStarted {
    /// The run.
    #[serde(flatten)]
    pub run: Arc<TaskRunInfo>,
    /// From [`due_at`](TaskRunInfo::due_at) until the worker began.
    #[serde(rename = "waited_ms", serialize_with = "as_millis")]
    pub waited: Duration,
}

/// An attempt of a task has ended, and the database knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TaskEnded {
    /// The run.
    #[serde(flatten)]
    pub run: Arc<TaskRunInfo>,
    /// From [`due_at`](TaskRunInfo::due_at) until the worker began; `None` if no worker had begun.
    #[serde(rename = "waited_ms", serialize_with = "as_millis")]
    pub waited: Option<Duration>,
    /// How long the attempt took, 0 if no worker had begun.
    #[serde(rename = "ran_ms", serialize_with = "as_millis")]
    pub ran: Duration,
    /// How the attempt ended.
    pub outcome: TaskOutcome,
    /// The status of the task after it. `None`: the end was not recorded, because the task is in other hands: another node has taken
    /// it over, or plain SQL has changed its row.
    pub status: Option<TaskStatus>,
    /// When the task is due again; `None`: at once, or never if [`is_final`](Self::is_final).
    pub next_run_at: Option<DateTime<Utc>>,
    /// Why the attempt failed, as the record has it.
    pub error: Option<String>,
}

/// How an attempt of a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "failure")]
#[non_exhaustive]
pub enum TaskOutcome {
    /// The handler returned a result.
    Succeeded,
    /// The handler failed, panicked or ran out of time.
    Failed(Failure),
    /// The handler asked to run again later; no attempt is used.
    Snoozed,
    /// A caller has cancelled the task.
    Cancelled,
    /// This node gave the task back because it stops, is paused or has lost its lease, or could not read the task's arguments; no attempt
    /// is used.
    HandedBack,
    /// This node gave the task back because it has no handler for the method (any more); no attempt is used.
    NotServed,
}

impl TaskOutcome {
    pub(crate) fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Succeeded(_) => Self::Succeeded,
            Outcome::Failed { failure, .. } => Self::Failed(*failure),
            Outcome::Snoozed(_) => Self::Snoozed,
            Outcome::Cancelled => Self::Cancelled,
            Outcome::HandedBack { .. } | Outcome::Postponed { .. } => Self::HandedBack,
            Outcome::NotServed => Self::NotServed,
        }
    }
}

impl TaskEnded {
    /// Whether the task has ended with this attempt: it does not run again by itself.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.status.is_some_and(TaskStatus::is_finished)
    }

    /// Whether the attempt failed and the task is to be tried again.
    #[must_use]
    pub fn is_to_be_retried(&self) -> bool {
        matches!(self.outcome, TaskOutcome::Failed(_)) && self.status.is_some_and(|status| !status.is_finished())
    }
}
