//! Rows as the tables hold them, and the values of the domain they become.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::prelude::*;

use super::schema::{asynctask_exec_row, asynctasks, gaia_nodes};
use crate::domain::{Attempt, ExecRecord, Json, NewTask, Next, Outcome, RetryPolicy, Task, TaskStatus, next};

/// The guide's default where a row holds none.
const DEFAULT_MAX_RETRY: i32 = 3;

#[derive(Queryable, Selectable)]
#[diesel(table_name = asynctasks)]
pub(super) struct TaskRow {
    id: i64,
    system_name: String,
    service_name: String,
    method_name: String,
    task_name: String,
    arg: Option<String>,
    task_status: Option<String>,
    retry_time: Option<i32>,
    max_retry_time: Option<i32>,
    priority: i32,
    run_at: Option<NaiveDateTime>,
    timeout_ms: Option<i64>,
    unique_key: Option<String>,
    lease_owner: Option<String>,
    cancel_requested: i32,
    progress: Option<i32>,
    progress_note: Option<String>,
    last_run_time: Option<NaiveDateTime>,
    last_run_end_time: Option<NaiveDateTime>,
    last_run_duration: Option<i64>,
    last_result: Option<String>,
    last_err_msg: Option<String>,
    log_id: Option<String>,
    create_time: Option<NaiveDateTime>,
    update_time: Option<NaiveDateTime>,
}

impl From<TaskRow> for Task {
    fn from(row: TaskRow) -> Self {
        Self {
            id: row.id,
            theme: row.system_name,
            service: row.service_name,
            method: row.method_name,
            name: row.task_name,
            arg: Json::from_column(row.arg).into_string(),
            status: status_of(row.task_status.as_deref()),
            retry_time: row.retry_time.unwrap_or(0),
            max_retry_time: row.max_retry_time.unwrap_or(DEFAULT_MAX_RETRY),
            priority: row.priority,
            run_at: row.run_at.map(|at| at.and_utc()),
            timeout: row.timeout_ms.and_then(millis),
            unique_key: row.unique_key,
            node: row.lease_owner,
            cancel_requested: row.cancel_requested != 0,
            progress: row.progress,
            progress_note: row.progress_note,
            last_run_time: row.last_run_time.map(|at| at.and_utc()),
            last_run_end_time: row.last_run_end_time.map(|at| at.and_utc()),
            last_run_duration: row.last_run_duration.and_then(millis).unwrap_or_default(),
            last_result: row.last_result,
            last_error: row.last_err_msg,
            log_id: row.log_id,
            create_time: row.create_time.map(|at| at.and_utc()),
            update_time: row.update_time.map(|at| at.and_utc()),
        }
    }
}

/// A status written by somebody else that we do not know is shown as Failed: it is not run, and can be retried by hand.
pub(super) fn status_of(text: Option<&str>) -> TaskStatus {
    text.and_then(|text| text.parse().ok()).unwrap_or(TaskStatus::Failed)
}

fn millis(value: i64) -> Option<Duration> {
    u64::try_from(value).ok().map(Duration::from_millis)
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = asynctask_exec_row)]
pub(super) struct RecordRow {
    id: i64,
    task_id: i64,
    task_status: Option<String>,
    attempt: Option<i32>,
    node_id: Option<String>,
    lease_token: Option<i64>,
    last_result: Option<String>,
    last_err_msg: Option<String>,
    last_run_time: Option<NaiveDateTime>,
    last_run_end_time: Option<NaiveDateTime>,
    last_run_duration: Option<i64>,
    log_id: Option<String>,
}

impl From<RecordRow> for ExecRecord {
    fn from(row: RecordRow) -> Self {
        Self {
            id: row.id,
            task_id: row.task_id,
            status: row.task_status.unwrap_or_default(),
            attempt: row.attempt,
            node: row.node_id,
            lease_token: row.lease_token,
            result: row.last_result,
            error: row.last_err_msg,
            run_time: row.last_run_time.map(|at| at.and_utc()),
            end_time: row.last_run_end_time.map(|at| at.and_utc()),
            duration: row.last_run_duration.and_then(millis).unwrap_or_default(),
            log_id: row.log_id,
        }
    }
}

#[derive(Insertable, Clone)]
#[diesel(table_name = asynctasks)]
pub(crate) struct NewTaskRow {
    pub(super) system_name: String,
    service_name: String,
    method_name: String,
    task_name: String,
    arg: String,
    max_retry_time: i32,
    task_status: &'static str,
    create_time: NaiveDateTime,
    update_time: NaiveDateTime,
    priority: i32,
    run_at: Option<NaiveDateTime>,
    timeout_ms: Option<i64>,
    retry_delay_ms: Option<i64>,
    pub(super) unique_key: Option<String>,
}

impl NewTaskRow {
    /// The row of a task that has passed its check.
    pub(crate) fn new(theme: &str, task: NewTask, now: DateTime<Utc>) -> Self {
        let as_millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self {
            system_name: theme.to_owned(),
            service_name: task.service,
            method_name: task.method,
            task_name: task.name,
            arg: task.arg.unwrap_or_default(),
            max_retry_time: i32::try_from(task.max_retry).unwrap_or(i32::MAX),
            task_status: TaskStatus::Wait.as_str(),
            create_time: now.naive_utc(),
            update_time: now.naive_utc(),
            priority: task.priority,
            run_at: task.run_at.filter(|at| *at > now).map(|at| at.naive_utc()),
            timeout_ms: task.timeout.map(as_millis),
            retry_delay_ms: task.retry_delay.map(as_millis),
            unique_key: task.unique_key,
        }
    }
}

#[derive(Debug, QueryableByName, Queryable, Selectable)]
#[diesel(table_name = asynctasks)]
pub(super) struct ClaimedRow {
    id: i64,
    service_name: String,
    method_name: String,
    arg: Option<String>,
    retry_time: Option<i32>,
    max_retry_time: Option<i32>,
    priority: i32,
    timeout_ms: Option<i64>,
    retry_delay_ms: Option<i64>,
    lease_owner: Option<String>,
    lease_token: i64,
    log_id: Option<String>,
    last_run_time: Option<NaiveDateTime>,
}

/// A task that a node holds: what it needs to run it, and what every later write about the run must name.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClaimedTask {
    /// The task.
    pub id: i64,
    /// The service to call.
    pub service: String,
    /// The method to call.
    pub method: String,
    /// The arguments.
    pub args: Json,
    /// Attempts used by failures before this one.
    pub retry_time: i32,
    /// How often it may be tried again.
    pub max_retry_time: i32,
    /// Higher runs first.
    pub priority: i32,
    /// The task's own limit for one run.
    pub timeout: Option<Duration>,
    /// The task's own first delay before a retry.
    pub retry_delay: Option<Duration>,
    /// The node that holds it.
    pub owner: String,
    /// Grows with every claim of this task.
    pub token: i64,
    /// Names this run in every log line about it.
    pub log_id: String,
    /// When it was claimed.
    pub claimed_at: DateTime<Utc>,
}

impl ClaimedTask {
    /// Whether a failure of this run would be the task's last.
    pub(crate) fn is_last_attempt(&self) -> bool {
        self.retry_time >= self.max_retry_time
    }

    pub(crate) fn attempt(&self) -> Attempt {
        Attempt {
            retry_time: self.retry_time,
            max_retry_time: self.max_retry_time,
            retry_delay: self.retry_delay,
        }
    }
}

impl From<ClaimedRow> for ClaimedTask {
    fn from(row: ClaimedRow) -> Self {
        Self {
            id: row.id,
            service: row.service_name,
            method: row.method_name,
            args: Json::from_column(row.arg),
            retry_time: row.retry_time.unwrap_or(0).max(0),
            max_retry_time: row.max_retry_time.unwrap_or(DEFAULT_MAX_RETRY).max(0),
            priority: row.priority,
            timeout: row.timeout_ms.and_then(millis).filter(|timeout| !timeout.is_zero()),
            retry_delay: row.retry_delay_ms.and_then(millis),
            owner: row.lease_owner.unwrap_or_default(),
            token: row.lease_token,
            log_id: row.log_id.unwrap_or_default(),
            claimed_at: row.last_run_time.unwrap_or_default().and_utc(),
        }
    }
}

/// The end of one run, to be written if the run still holds its task.
#[derive(Debug, Clone)]
pub(crate) struct Finish {
    pub(crate) task_id: i64,
    pub(crate) owner: String,
    pub(crate) token: i64,
    pub(crate) attempt: i32,
    pub(crate) log_id: String,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) ended_at: DateTime<Utc>,
    pub(crate) duration: Duration,
    pub(crate) next: Next,
}

/// What the recorder writes in one transaction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Writes {
    pub(crate) begins: Vec<Begin>,
    pub(crate) finishes: Vec<Finish>,
    pub(crate) progress: Vec<Progress>,
}

/// What became of [`Writes`]: whether each beginning, and how each end, was written.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) begins: Vec<bool>,
    pub(crate) finishes: Vec<Finished>,
}

/// The handler of a task's last attempt is about to be called.
#[derive(Debug, Clone)]
pub(crate) struct Begin {
    pub(crate) task_id: i64,
    pub(crate) owner: String,
    pub(crate) token: i64,
}

/// What became of a [`Finish`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finished {
    /// Written; the task has this status now.
    Written(TaskStatus),
    /// The task is in other hands since: nothing was written.
    Stale,
}

#[derive(AsChangeset)]
#[diesel(table_name = asynctasks, treat_none_as_null = true)]
pub(super) struct FinishedTask<'a> {
    task_status: &'static str,
    retry_time: i32,
    run_at: Option<NaiveDateTime>,
    last_run_time: NaiveDateTime,
    last_run_end_time: NaiveDateTime,
    last_run_duration: i64,
    last_result: Option<&'a str>,
    last_err_msg: Option<&'a str>,
    update_time: NaiveDateTime,
    lease_owner: Option<&'a str>,
    cancel_requested: i32,
}

/// A claim that is given back as if it had not been made.
#[derive(AsChangeset)]
#[diesel(table_name = asynctasks, treat_none_as_null = true)]
pub(super) struct ReleasedTask<'a> {
    task_status: &'static str,
    update_time: NaiveDateTime,
    lease_owner: Option<&'a str>,
}

#[derive(Insertable)]
#[diesel(table_name = asynctask_exec_row)]
pub(super) struct NewRecord<'a> {
    task_id: i64,
    task_status: &'static str,
    last_result: Option<&'a str>,
    last_err_msg: Option<&'a str>,
    last_run_time: NaiveDateTime,
    last_run_end_time: NaiveDateTime,
    last_run_duration: i64,
    log_id: &'a str,
    create_time: NaiveDateTime,
    attempt: i32,
    node_id: &'a str,
    lease_token: i64,
}

impl Finish {
    /// The end of a run that nobody timed: it lasted from its claim until now.
    pub(crate) fn without_run(task: ClaimedTask, outcome: Outcome, policy: RetryPolicy, now: DateTime<Utc>) -> Self {
        let spread = fastrand::f64() * 2.0 - 1.0;
        Self {
            task_id: task.id,
            attempt: task.retry_time.saturating_add(1),
            next: next(task.attempt(), outcome, policy, now, spread),
            started_at: task.claimed_at,
            ended_at: now,
            duration: (now - task.claimed_at).to_std().unwrap_or_default(),
            owner: task.owner,
            token: task.token,
            log_id: task.log_id,
        }
    }

    fn duration_ms(&self) -> i64 {
        i64::try_from(self.duration.as_millis()).unwrap_or(i64::MAX)
    }

    pub(super) fn task(&self) -> FinishedTask<'_> {
        FinishedTask {
            task_status: self.next.status.as_str(),
            retry_time: self.next.retry_time,
            run_at: self.next.run_at.map(|at| at.naive_utc()),
            last_run_time: self.started_at.naive_utc(),
            last_run_end_time: self.ended_at.naive_utc(),
            last_run_duration: self.duration_ms(),
            last_result: self.next.result.as_deref(),
            last_err_msg: self.next.error.as_deref(),
            update_time: self.ended_at.naive_utc(),
            lease_owner: None,
            cancel_requested: 0,
        }
    }

    pub(super) fn release(&self) -> ReleasedTask<'_> {
        ReleasedTask {
            task_status: self.next.status.as_str(),
            update_time: self.ended_at.naive_utc(),
            lease_owner: None,
        }
    }

    pub(super) fn record(&self) -> NewRecord<'_> {
        NewRecord {
            task_id: self.task_id,
            task_status: self.next.status.as_str(),
            last_result: self.next.result.as_deref(),
            last_err_msg: self.next.error.as_deref(),
            last_run_time: self.started_at.naive_utc(),
            last_run_end_time: self.ended_at.naive_utc(),
            last_run_duration: self.duration_ms(),
            log_id: &self.log_id,
            create_time: self.ended_at.naive_utc(),
            attempt: self.attempt,
            node_id: &self.owner,
            lease_token: self.token,
        }
    }
}

/// What a running task last said of its progress.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    pub(crate) task_id: i64,
    pub(crate) owner: String,
    pub(crate) token: i64,
    pub(crate) percent: i32,
    pub(crate) note: String,
}

#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = gaia_nodes)]
pub(crate) struct NodeRow {
    pub(crate) id: String,
    pub(crate) host: String,
    pub(crate) pid: i64,
    pub(crate) version: String,
    pub(crate) started_at: NaiveDateTime,
    pub(crate) heartbeat: NaiveDateTime,
    pub(crate) beat: i64,
    pub(crate) lease_ms: i64,
    pub(crate) themes: String,
}
