//! What callers ask of an [`Admin`](super::Admin): each of these is a message, too.

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use crate::domain::{
    BulkTasks, EndAudit, FindJobs, FindRuns, GetErrors, GetHistory, ListAlerts, ListAudit, ListBulkOperations,
    NewAudit, SearchTasks,
};
use crate::domain::{TaskFilter, as_millis, millis};

/// For how long an operator waits for another process unless told otherwise.
const WAIT: Duration = Duration::from_secs(10);

fn wait() -> Duration {
    WAIT
}

/// A task of any theme: [`Admin::task`](super::Admin::task).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetTask(pub i64);

/// Queue a task of any theme again: [`Admin::retry_task`](super::Admin::retry_task).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryTaskById(pub i64);

/// Cancel a task of any theme: [`Admin::cancel_task`](super::Admin::cancel_task).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelTaskById(pub i64);

/// Have a task run now that waits for a later time: [`Admin::run_task_now`](super::Admin::run_task_now).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunTaskNow(pub i64);

/// Delete a finished task: [`Admin::delete_task`](super::Admin::delete_task).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteTask(pub i64);

/// How many tasks meet a filter: [`Admin::count_tasks`](super::Admin::count_tasks).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CountTasks {
    /// Which tasks.
    pub filter: TaskFilter,
    /// Count up to so many tasks; `None`: all.
    pub up_to: Option<u64>,
}

/// A page of whole tasks: [`Admin::export_tasks`](super::Admin::export_tasks).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExportTasks(pub SearchTasks);

/// What a bulk operation would change: [`Admin::preview_bulk`](super::Admin::preview_bulk).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreviewBulk(pub BulkTasks);

/// A bulk operation: [`Admin::bulk_operation`](super::Admin::bulk_operation).
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct GetBulkOperation(pub i64);

/// End a bulk operation that is under way: [`Admin::cancel_bulk`](super::Admin::cancel_bulk).
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct CancelBulk(pub i64);

/// One run of a job: [`Admin::run`](super::Admin::run).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetRun(pub i64);

/// What the handler of a task has logged: [`Admin::task_log`](super::Admin::task_log).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetTaskLog {
    /// The id of the task.
    pub id: i64,
    /// In which of its runs: the `log_id` of a record. `None`, as if JSON leaves it out: in the last one.
    #[serde(default)]
    pub log_id: Option<String>,
}

/// What the handler of a job has logged in one run: [`Admin::run_log`](super::Admin::run_log).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetRunLog(pub i64);

/// Run a job now, on this node or on another: [`Admin::run_job`](super::Admin::run_job).
///
/// ```
/// use gaia_actors::admin::RunJob;
///
/// let run = RunJob { reason: Some("the night's run had no data".to_owned()), ..RunJob::new(17) };
/// assert_eq!(run, serde_json::from_str(r#"{"job_id": 17, "reason": "the night's run had no data"}"#)?);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunJob {
    /// Which job.
    pub job_id: i64,
    /// Who asks, at most 100 characters. JSON may leave it out.
    #[serde(default)]
    pub by: Option<String>,
    /// Why, at most 500 characters. JSON may leave it out.
    #[serde(default)]
    pub reason: Option<String>,
    /// For how long to wait for the answer, 1 to 120 s. Serialised as `timeout_ms`; JSON may leave it out: then 10 s.
    #[serde(
        rename = "timeout_ms",
        default = "wait",
        serialize_with = "as_millis",
        deserialize_with = "millis"
    )]
    pub timeout: Duration,
}

impl RunJob {
    /// Without author and reason; waits for 10 s.
    #[must_use]
    pub fn new(job_id: i64) -> Self {
        Self {
            job_id,
            by: None,
            reason: None,
            timeout: WAIT,
        }
    }
}

/// Have this many workers of a theme on one node: [`Admin::resize_node`](super::Admin::resize_node).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResizeNode {
    /// The id of the node.
    pub node: String,
    /// The theme.
    pub theme: String,
    /// How many workers, at most 100,000. With 0 the node takes no work of the theme.
    pub workers: usize,
    /// Who asks, at most 100 characters. JSON may leave it out.
    #[serde(default)]
    pub by: Option<String>,
    /// Why, at most 500 characters. JSON may leave it out.
    #[serde(default)]
    pub reason: Option<String>,
    /// For how long to wait for the answer, 1 to 120 s. Serialised as `timeout_ms`; JSON may leave it out: then 10 s.
    #[serde(
        rename = "timeout_ms",
        default = "wait",
        serialize_with = "as_millis",
        deserialize_with = "millis"
    )]
    pub timeout: Duration,
}

impl ResizeNode {
    /// Without author and reason; waits for 10 s.
    #[must_use]
    pub fn new(node: impl Into<String>, theme: impl Into<String>, workers: usize) -> Self {
        Self {
            node: node.into(),
            theme: theme.into(),
            workers,
            by: None,
            reason: None,
            timeout: WAIT,
        }
    }
}

/// A node with its counters: [`Admin::node`](super::Admin::node).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetNode(pub String);

/// The methods that nodes serve: [`Admin::methods`](super::Admin::methods).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GetMethods {
    /// What nodes serve for this theme, and what its due tasks call. `None`: what nodes serve for any theme.
    pub theme: Option<String>,
}

/// The themes of the database: [`Admin::themes`](super::Admin::themes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetThemes;

/// One theme: [`Admin::theme`](super::Admin::theme).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetTheme(pub String);

/// Take no tasks of the theme on any node: [`Admin::pause_theme`](super::Admin::pause_theme).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseTheme {
    /// The theme.
    pub theme: String,
    /// Who pauses it, at most 100 characters. JSON may leave it out.
    #[serde(default)]
    pub by: Option<String>,
    /// Why, at most 500 characters. JSON may leave it out.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Take tasks of the theme again: [`Admin::resume_theme`](super::Admin::resume_theme).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResumeTheme {
    /// The theme.
    pub theme: String,
    /// Who resumes it, at most 100 characters. JSON may leave it out.
    #[serde(default)]
    pub by: Option<String>,
    /// Why, at most 500 characters. JSON may leave it out.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Have this many workers of a theme on every node: [`Admin::resize_theme`](super::Admin::resize_theme).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResizeTheme {
    /// The theme.
    pub theme: String,
    /// How many workers, at most 100,000; `None`: as many as each process says for itself. JSON must say it, `null` too.
    #[serde(deserialize_with = "said")]
    pub workers: Option<usize>,
    /// Who resizes it, at most 100 characters. JSON may leave it out.
    #[serde(default)]
    pub by: Option<String>,
    /// Why, at most 500 characters. JSON may leave it out.
    #[serde(default)]
    pub reason: Option<String>,
}

/// A field that may be `null` and must not be missing: a message that forgets it must not resize anything.
fn said<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    Option::deserialize(deserializer)
}
