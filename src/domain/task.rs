//! A task and its runs as they stand in the database.

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    fields::{IntoField, as_args, as_last_result, as_result, from_json},
    text::as_millis,
    text_enum::text_enum,
};

text_enum! {
    /// Where a task stands. The texts in the database are the ones in the integration guide, plus `Cancelled`.
    TaskStatus, "task status" {
        /// Waits for its first attempt.
        Wait = "Wait",
        /// Claimed by a node.
        Running = "Running",
        /// Ended well; never runs again.
        Success = "Success",
        /// Out of attempts, or not worth another.
        Failed = "Failed",
        /// Waits for another attempt.
        Retry = "Retry",
        /// Ended by a request.
        Cancelled = "Cancelled",
    }
}

impl TaskStatus {
    /// Whether the task has come to an end (which [`retry_task`](crate::Scheduler::retry_task) can undo for `Failed` and
    /// `Cancelled`).
    #[must_use]
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Success | Self::Failed | Self::Cancelled)
    }
}

/// What people may do to a task by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ActionOnTask {
    /// Run it again from the start.
    Retry,
    /// End it.
    Cancel,
}

impl ActionOnTask {
    /// The statuses from which the action is allowed.
    #[must_use]
    pub const fn allowed_from(self) -> &'static [TaskStatus] {
        match self {
            Self::Retry => &[TaskStatus::Failed, TaskStatus::Cancelled],
            Self::Cancel => &[TaskStatus::Wait, TaskStatus::Retry, TaskStatus::Running],
        }
    }
}

impl fmt::Display for ActionOnTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Retry => "retry",
            Self::Cancel => "cancel",
        })
    }
}

/// Answer to adding a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedTask {
    /// The task's id.
    pub id: i64,
    /// True if an unfinished task with the same `unique_key` was there already: `id` is that task's, and nothing was added.
    pub duplicate: bool,
}

impl AddedTask {
    pub(crate) fn new(id: i64) -> Self {
        Self { id, duplicate: false }
    }

    pub(crate) fn duplicate_of(id: i64) -> Self {
        Self { id, duplicate: true }
    }
}

/// A task as it stands in the database.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Task {
    /// Its id.
    pub id: i64,
    /// The theme it belongs to (`system_name`).
    pub theme: String,
    /// The service it calls.
    pub service: String,
    /// The method it calls.
    pub method: String,
    /// The name people gave it.
    pub name: String,
    /// Its arguments as JSON text. Serialised as the value `args`; as the text `args_text` if they are no JSON.
    #[serde(flatten, serialize_with = "as_args")]
    pub arg: String,
    /// Where it stands.
    pub status: TaskStatus,
    /// Attempts used by failures so far.
    pub retry_time: i32,
    /// How often it may be tried again.
    pub max_retry_time: i32,
    /// Higher runs first.
    pub priority: i32,
    /// Not before this time; `None` once it is due.
    pub run_at: Option<DateTime<Utc>>,
    /// The longest one attempt may take; `None`: the scheduler's. Serialised as `timeout_ms`.
    #[serde(rename = "timeout_ms", serialize_with = "as_millis")]
    pub timeout: Option<Duration>,
    /// See [`NewTask::unique_key`](crate::NewTask::unique_key).
    pub unique_key: Option<String>,
    /// The node that runs it.
    pub node: Option<String>,
    /// A caller asked the running task to stop.
    pub cancel_requested: bool,
    /// Percent done, as the handler last reported it.
    pub progress: Option<i32>,
    /// What the handler last said of its progress.
    pub progress_note: Option<String>,
    /// When the last run began.
    pub last_run_time: Option<DateTime<Utc>>,
    /// When the last run ended.
    pub last_run_end_time: Option<DateTime<Utc>>,
    /// How long the last run took. Serialised in milliseconds, as in the guide's column.
    #[serde(serialize_with = "as_millis")]
    pub last_run_duration: Duration,
    /// JSON text of the last result; beyond 1 MiB it is cut, which its end says. Serialised as a value; as the text `last_result_text` if it
    /// is no JSON.
    #[serde(flatten, serialize_with = "as_last_result")]
    pub last_result: Option<String>,
    /// Error of the last run.
    pub last_error: Option<String>,
    /// Names the last run in every log line about it.
    pub log_id: Option<String>,
    /// When it was added.
    pub create_time: Option<DateTime<Utc>>,
    /// When its row last changed.
    pub update_time: Option<DateTime<Utc>>,
}

from_json!(Task {
    id, theme, service, method, name, status, retry_time, max_retry_time, priority, run_at, unique_key, node,
    cancel_requested, progress, progress_note, last_run_time, last_run_end_time, last_error, log_id, create_time,
    update_time,
} millis { timeout: "timeout_ms", last_run_duration: "last_run_duration" } texts { arg: "args", last_result: "last_result" });

/// What one run of a task left behind: a row of `asynctask_exec_row`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ExecRecord {
    /// Its id.
    pub id: i64,
    /// The task that ran.
    pub task_id: i64,
    /// The task's status after the run, as text (the Go framework may have written others).
    pub status: String,
    /// 1 for the first attempt.
    pub attempt: Option<i32>,
    /// The node on which it ran.
    pub node: Option<String>,
    /// Grows with every claim of the task.
    pub lease_token: Option<i64>,
    /// JSON text of the result. Serialised as a value; as the text `result_text` if it is no JSON.
    #[serde(flatten, serialize_with = "as_result")]
    pub result: Option<String>,
    /// The error.
    pub error: Option<String>,
    /// When the run began.
    pub run_time: Option<DateTime<Utc>>,
    /// When it ended.
    pub end_time: Option<DateTime<Utc>>,
    /// How long it took. Serialised as `duration_ms`.
    #[serde(rename = "duration_ms", serialize_with = "as_millis")]
    pub duration: Duration,
    /// Names the run in every log line about it.
    pub log_id: Option<String>,
}

from_json!(ExecRecord {
    id, task_id, status, attempt, node, lease_token, error, run_time, end_time, log_id,
} millis { duration: "duration_ms" } texts { result: "result" });
