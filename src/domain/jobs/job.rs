//! Jobs as they stand in the database.

use std::{collections::BTreeMap, fmt, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};

use crate::domain::{
    as_millis,
    fields::{Fields, IntoField, as_args, from_json},
    without_user,
};

/// A job: a row of `job_center`, whether the job can fire or not. Serialised with the names of the columns.
///
/// The texts are those of the row, since plain SQL may have written anything; [`error`](Self::error) names the faults.
#[derive(Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct Job {
    /// Its id.
    pub id: i64,
    /// Which version of its definition this is: every change of the definition by [`Jobs`](crate::Jobs) adds 1. Plain SQL that changes a
    /// definition should add 1 to this column, too.
    pub version: i64,
    /// Its name.
    pub job_name: String,
    /// `cron_job` or `cron_hook`: see [`JobType`](crate::JobType).
    pub job_type: String,
    /// The expression that says when it is due.
    pub cron_expr: String,
    /// The URL that a hook calls.
    pub hook_url: Option<String>,
    /// The service that a `cron_job` calls.
    pub service_name: Option<String>,
    /// The method that a `cron_job` calls.
    pub service_method: Option<String>,
    /// Arguments as JSON text. Serialised as the value `args`, or as the text `args_text` if they are no JSON.
    #[serde(flatten, serialize_with = "as_args")]
    #[cfg_attr(feature = "web", schema(schema_with = crate::domain::schema::args))]
    pub args: Option<String>,
    /// The longest time that one attempt may take, in seconds.
    pub timeout: i32,
    /// Whether it fires by its schedule.
    pub enabled: bool,
    /// `待运行` or `运行中`: see [`RunStatus`](crate::RunStatus).
    pub run_status: String,
    /// When its last run was claimed.
    pub last_run_time: Option<DateTime<Utc>>,
    /// The name of the time zone in which `cron_expr` is read; `None`: the runner's zone.
    pub time_zone: Option<String>,
    /// See [`OverlapPolicy`](crate::OverlapPolicy).
    pub overlap_policy: String,
    /// See [`MisfirePolicy`](crate::MisfirePolicy).
    pub misfire_policy: String,
    /// The greatest age, in seconds, at which a missed fire still runs late.
    pub misfire_grace: i32,
    /// How often a failed run is tried again, at most.
    pub max_retry: i32,
    /// The delay before the first retry. Serialised as `retry_delay_ms`.
    #[serde(rename = "retry_delay_ms", serialize_with = "as_millis")]
    #[cfg_attr(feature = "web", schema(value_type = u64))]
    pub retry_delay: Duration,
    /// The method of a hook's request.
    pub hook_method: String,
    /// Headers of a hook's request. Serialised with their values, which may be credentials: show them only to people who may know these
    /// credentials.
    pub hook_headers: BTreeMap<String, String>,
    /// Whether a hook's request is signed. The secret itself is never shown.
    pub has_hook_secret: bool,
    /// Why the job cannot fire; `None` if it can.
    pub error: Option<String>,
    /// When it is due next; `None` if it is disabled or bad.
    pub next_run_time: Option<DateTime<Utc>>,
    /// When it was added.
    pub create_time: Option<DateTime<Utc>>,
    /// When its row last changed.
    pub update_time: Option<DateTime<Utc>>,
}

from_json!(Job {
    id, version, job_name, job_type, cron_expr, hook_url, service_name, service_method, timeout, enabled, run_status,
    last_run_time, time_zone, overlap_policy, misfire_policy, misfire_grace, max_retry, hook_method, hook_headers,
    has_hook_secret, error, next_run_time, create_time, update_time,
} millis { retry_delay: "retry_delay_ms" } texts { args: "args" });

/// A job, its next fires, and its schedule in words.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct JobDetail {
    /// The job.
    #[serde(flatten)]
    pub job: Job,
    /// The next five times of its schedule, whether the job is enabled or not; empty if the job is bad.
    pub next_fires: Vec<DateTime<Utc>>,
    /// The schedule in English.
    pub description: Option<String>,
    /// The schedule in Chinese.
    pub description_zh: Option<String>,
}

impl<'de> Deserialize<'de> for JobDetail {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Fields::deserialize(deserializer)?;
        Ok(Self {
            next_fires: fields.take("next_fires")?,
            description: fields.take("description")?,
            description_zh: fields.take("description_zh")?,
            job: Job::from_fields(&mut fields)?,
        })
    }
}

/// Shows only the names of headers, since their values may be secrets, and no password in the URL.
impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("id", &self.id)
            .field("version", &self.version)
            .field("job_name", &self.job_name)
            .field("job_type", &self.job_type)
            .field("cron_expr", &self.cron_expr)
            .field("hook_url", &self.hook_url.as_deref().map(without_user))
            .field("service_name", &self.service_name)
            .field("service_method", &self.service_method)
            .field("enabled", &self.enabled)
            .field("run_status", &self.run_status)
            .field("hook_headers", &self.hook_headers.keys())
            .field("next_run_time", &self.next_run_time)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}
