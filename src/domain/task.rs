//! A task and its runs as they stand in the database.

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    HeldFields, WaitsFor,
    fields::{IntoField, as_args, as_last_result, as_result, from_json},
    text::as_millis,
    text_enum::text_enum,
};

text_enum! {
    /// The status of a task. The texts in the database are those in the integration guide, plus `Cancelled`.
    TaskStatus, "task status" {
        /// Waits for its first attempt.
        Wait = "Wait",
        /// Claimed by a node.
        Running = "Running",
        /// Ended well; never runs again.
        Success = "Success",
        /// Failed, and has no attempt left or would fail again.
        Failed = "Failed",
        /// Waits for another attempt.
        Retry = "Retry",
        /// Ended because a caller asked for it.
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

/// An action that a caller may take on a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ActionOnTask {
    /// Run the task again, with all its attempts.
    Retry,
    /// End the task.
    Cancel,
    /// Have the task run now, although it waits for a later time.
    RunNow,
    /// Delete the task with its records.
    Delete,
}

impl ActionOnTask {
    /// The statuses from which the action is allowed.
    #[must_use]
    pub const fn allowed_from(self) -> &'static [TaskStatus] {
        match self {
            Self::Retry => &[TaskStatus::Failed, TaskStatus::Cancelled],
            Self::Cancel => &[TaskStatus::Wait, TaskStatus::Retry, TaskStatus::Running],
            Self::RunNow => &[TaskStatus::Wait, TaskStatus::Retry],
            Self::Delete => &[TaskStatus::Success, TaskStatus::Failed, TaskStatus::Cancelled],
        }
    }
}

impl fmt::Display for ActionOnTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Retry => "retry",
            Self::Cancel => "cancel",
            Self::RunNow => "bring forward",
            Self::Delete => "delete",
        })
    }
}

/// The answer when a task is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
pub struct AddedTask {
    /// The task's id.
    pub id: i64,
    /// True if an unfinished task already had the same `unique_key`: then `id` is the id of that task, and nothing was added.
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
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct Task {
    /// Its id.
    pub id: i64,
    /// The theme to which it belongs (`system_name`).
    pub theme: String,
    /// The service that it calls.
    pub service: String,
    /// The method that it calls.
    pub method: String,
    /// Its name, for people.
    pub name: String,
    /// Its arguments as JSON text. Serialised as the value `args`, or as the text `args_text` if they are no JSON.
    #[serde(flatten, serialize_with = "as_args")]
    #[cfg_attr(feature = "web", schema(schema_with = super::schema::args))]
    pub arg: String,
    /// Its status.
    pub status: TaskStatus,
    /// How many retries it has used so far (not a time: the column has this name).
    pub retry_time: i32,
    /// The most retries that it may use.
    pub max_retry_time: i32,
    /// Tasks with a higher priority run first.
    pub priority: i32,
    /// It does not run before this time; `None` once it is due, and while it waits for other tasks.
    pub run_at: Option<DateTime<Utc>>,
    /// The tasks for which it waits. `None` if it waits for none, and once they have ended.
    pub waits_for: Option<WaitsFor>,
    /// The longest time that one attempt may take; `None`: the scheduler's timeout. Serialised as `timeout_ms`.
    #[serde(rename = "timeout_ms", serialize_with = "as_millis")]
    #[cfg_attr(feature = "web", schema(value_type = Option<u64>))]
    pub timeout: Option<Duration>,
    /// See [`NewTask::unique_key`](crate::NewTask::unique_key).
    pub unique_key: Option<String>,
    /// See [`NewTask::limit_key`](crate::NewTask::limit_key).
    pub limit_key: Option<String>,
    /// For whom it works (`tenant_id`), if a program of the Go framework has written that. This crate leaves it as it is.
    pub tenant_id: Option<String>,
    /// The node that runs it; `None` if no node does.
    pub node: Option<String>,
    /// Whether a caller has asked the running task to stop.
    pub cancel_requested: bool,
    /// The percentage that the handler last reported as done. Success leaves it at 100, whatever the handler has reported.
    pub progress: Option<i32>,
    /// The note that the handler last reported with its progress.
    pub progress_note: Option<String>,
    /// When the last run began.
    pub last_run_time: Option<DateTime<Utc>>,
    /// When the last run ended.
    pub last_run_end_time: Option<DateTime<Utc>>,
    /// How long the last run took. Serialised in milliseconds, as in the guide's column.
    #[serde(serialize_with = "as_millis")]
    #[cfg_attr(feature = "web", schema(value_type = u64))]
    pub last_run_duration: Duration,
    /// JSON text of the last result. A result beyond 1 MiB is cut, and its end says so. Serialised as the value `last_result`, or as the
    /// text `last_result_text` if it is no JSON.
    #[serde(flatten, serialize_with = "as_last_result")]
    #[cfg_attr(feature = "web", schema(schema_with = super::schema::last_result))]
    pub last_result: Option<String>,
    /// Error of the last run.
    pub last_error: Option<String>,
    /// Names the last run in every log line about it.
    pub log_id: Option<String>,
    /// See [`NewTask::traceparent`](crate::NewTask::traceparent).
    pub traceparent: Option<String>,
    /// When it was added.
    pub create_time: Option<DateTime<Utc>>,
    /// When its row last changed.
    pub update_time: Option<DateTime<Utc>>,
}

impl Task {
    pub(crate) fn held_fields(&mut self) -> HeldFields<'_> {
        HeldFields {
            id: self.id,
            run_at: &mut self.run_at,
            waits_for: &mut self.waits_for,
        }
    }
}

from_json!(Task {
    id, theme, service, method, name, status, retry_time, max_retry_time, priority, run_at, waits_for, unique_key, limit_key, tenant_id, node,
    cancel_requested, progress, progress_note, last_run_time, last_run_end_time, last_error, log_id, traceparent,
    create_time, update_time,
} millis { timeout: "timeout_ms", last_run_duration: "last_run_duration" } texts { arg: "args", last_result: "last_result" });

/// The record of one run of a task: a row of `asynctask_exec_row`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct ExecRecord {
    /// Its id.
    pub id: i64,
    /// The task that ran.
    pub task_id: i64,
    /// The task's status after the run, as text: the Go framework may have written statuses that [`TaskStatus`] does not have.
    pub status: String,
    /// 1 for the first attempt.
    pub attempt: Option<i32>,
    /// The node on which it ran.
    pub node: Option<String>,
    /// Grows with every claim of the task.
    pub lease_token: Option<i64>,
    /// JSON text of the result. Serialised as the value `result`, or as the text `result_text` if it is no JSON.
    #[serde(flatten, serialize_with = "as_result")]
    #[cfg_attr(feature = "web", schema(schema_with = super::schema::result))]
    pub result: Option<String>,
    /// The error.
    pub error: Option<String>,
    /// When the run began.
    pub run_time: Option<DateTime<Utc>>,
    /// When it ended.
    pub end_time: Option<DateTime<Utc>>,
    /// How long it took. Serialised as `duration_ms`.
    #[serde(rename = "duration_ms", serialize_with = "as_millis")]
    #[cfg_attr(feature = "web", schema(value_type = u64))]
    pub duration: Duration,
    /// Names the run in every log line about it.
    pub log_id: Option<String>,
}

from_json!(ExecRecord {
    id, task_id, status, attempt, node, lease_token, error, run_time, end_time, log_id,
} millis { duration: "duration_ms" } texts { result: "result" });
