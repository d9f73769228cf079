//! Runs of jobs as they stand in the database.

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::{
    as_millis,
    fields::{IntoField, as_args, as_run_result, from_json},
    without_user,
};

/// One run of a job: a row of `job_record`, with the job's name, schedule, target and arguments at that time.
///
/// Serialised with the names of the columns.
#[derive(Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct JobRecord {
    /// The id of the run.
    pub id: i64,
    /// The id of the job; `None` in a record that another framework has written and whose job is gone.
    pub job_id: Option<i64>,
    /// The job's name at that time.
    pub job_name: String,
    /// `cron_job` or `cron_hook`.
    pub job_type: String,
    /// The job's expression at that time.
    pub cron_expr: String,
    /// The URL that the run of a hook called.
    pub hook_url: Option<String>,
    /// The service whose method the run called.
    pub service_name: Option<String>,
    /// The method that the run called.
    pub service_method: Option<String>,
    /// The arguments of the call. Serialised as the value `args`, or as the text `args_text` if they are no JSON.
    #[serde(flatten, serialize_with = "as_args")]
    #[cfg_attr(feature = "web", schema(schema_with = crate::domain::schema::args))]
    pub args: Option<String>,
    /// `None` while the run is under way; else `success`, `failed`, `skipped` or `cancelled` (see [`RunFlag`](crate::RunFlag)).
    pub job_result_flag: Option<String>,
    /// The answer of the handler or the hook. An answer beyond 1 MiB is cut, and its end says so. Serialised as the value `run_result`, or
    /// as the text `run_result_text` if it is no JSON.
    #[serde(flatten, serialize_with = "as_run_result")]
    #[cfg_attr(feature = "web", schema(schema_with = crate::domain::schema::run_result))]
    pub run_result: Option<String>,
    /// Why it failed, was skipped or was cancelled.
    pub run_err: Option<String>,
    /// The second for which it was due; `None` for a run that a caller asked for.
    pub scheduled_at: Option<DateTime<Utc>>,
    /// The second that was claimed before this one. Fires in between were missed: no node claimed them in time, and the
    /// misfire policy made this record stand for them.
    pub previous_at: Option<DateTime<Utc>>,
    /// When its first attempt began; before that, when the run was claimed.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// How long it took. Serialised as `duration_ms`.
    #[serde(rename = "duration_ms", serialize_with = "as_millis")]
    #[cfg_attr(feature = "web", schema(value_type = Option<u64>))]
    pub duration: Option<Duration>,
    /// How many attempts were made: 1, or more with `max_retry`.
    pub attempt: Option<i32>,
    /// The node on which it ran.
    pub node_id: Option<String>,
    /// Names the run in every log line about it.
    pub log_id: Option<String>,
    /// Why the run shall stop: a caller's request, or a newer run.
    pub cancel_reason: Option<String>,
    /// When the row was made.
    pub create_time: Option<DateTime<Utc>>,
    /// When the row last changed.
    pub update_time: Option<DateTime<Utc>>,
}

from_json!(JobRecord {
    id, job_id, job_name, job_type, cron_expr, hook_url, service_name, service_method, job_result_flag, run_err,
    scheduled_at, previous_at, started_at, ended_at, attempt, node_id, log_id, cancel_reason, create_time, update_time,
} millis { duration: "duration_ms" } texts { args: "args", run_result: "run_result" });

impl JobRecord {
    /// Whether the run is under way.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.job_result_flag.is_none() && self.node_id.is_some()
    }
}

/// A password in the URL is not shown: plain SQL may have written one.
impl fmt::Debug for JobRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobRecord")
            .field("id", &self.id)
            .field("job_id", &self.job_id)
            .field("job_name", &self.job_name)
            .field("job_type", &self.job_type)
            .field("cron_expr", &self.cron_expr)
            .field("hook_url", &self.hook_url.as_deref().map(without_user))
            .field("service_name", &self.service_name)
            .field("service_method", &self.service_method)
            .field("args", &self.args)
            .field("job_result_flag", &self.job_result_flag)
            .field("run_result", &self.run_result)
            .field("run_err", &self.run_err)
            .field("scheduled_at", &self.scheduled_at)
            .field("previous_at", &self.previous_at)
            .field("started_at", &self.started_at)
            .field("ended_at", &self.ended_at)
            .field("attempt", &self.attempt)
            .field("node_id", &self.node_id)
            .field("log_id", &self.log_id)
            .field("cancel_reason", &self.cancel_reason)
            .finish_non_exhaustive()
    }
}
