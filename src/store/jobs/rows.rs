//! Rows of `job_center` and `job_record`, and the values of the domain they become.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::prelude::{AsChangeset, Identifiable, Insertable, Queryable, Selectable};

use crate::{
    domain::{
        Definition, HookMethod, InvalidInput, Job, JobRecord, JobRules, MisfirePolicy, NewJob, OverlapPolicy,
        RunStatus, SecretChange,
    },
    store::schema::{job_center, job_record},
};

/// A job as it is now.
#[derive(Clone, Queryable, Selectable, Identifiable)]
#[diesel(table_name = job_center)]
pub(crate) struct JobRow {
    pub(crate) id: i64,
    pub(crate) job_name: String,
    pub(crate) job_type: String,
    pub(crate) cron_expr: String,
    pub(super) hook_url: Option<String>,
    pub(super) service_name: Option<String>,
    pub(super) service_method: Option<String>,
    pub(super) args: Option<String>,
    timeout: Option<i32>,
    pub(super) enabled: Option<i32>,
    run_status: Option<String>,
    last_run_time: Option<NaiveDateTime>,
    create_time: Option<NaiveDateTime>,
    update_time: Option<NaiveDateTime>,
    pub(super) time_zone: Option<String>,
    pub(super) overlap_policy: Option<String>,
    pub(super) misfire_policy: Option<String>,
    misfire_grace: Option<i32>,
    max_retry: Option<i32>,
    retry_delay_ms: Option<i64>,
    hook_method: Option<String>,
    hook_headers: Option<String>,
    hook_secret: Option<String>,
    pub(super) scheduled_from: Option<NaiveDateTime>,
}

impl JobRow {
    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled.is_some_and(|enabled| enabled != 0)
    }

    /// The zone that is its own.
    pub(crate) fn time_zone(&self) -> Option<&str> {
        self.time_zone.as_deref()
    }

    /// The row as somebody might have handed it in, with defaults where it holds NULL.
    fn as_new_job(&self) -> Result<NewJob, InvalidInput> {
        let defaults = NewJob::default();
        let secret = self.hook_secret.clone().filter(|secret| !secret.is_empty());
        Ok(NewJob {
            job_name: self.job_name.clone(),
            job_type: self.job_type.clone(),
            cron_expr: self.cron_expr.clone(),
            hook_url: self.hook_url.clone(),
            service_name: self.service_name.clone(),
            service_method: self.service_method.clone(),
            args: Ok(self.args.clone().unwrap_or_default()),
            timeout: f64::from(self.timeout_or_default()),
            enabled: self.is_enabled(),
            time_zone: self.time_zone.clone(),
            overlap_policy: self.overlap_policy.clone().unwrap_or(defaults.overlap_policy),
            misfire_policy: self.misfire_policy.clone().unwrap_or(defaults.misfire_policy),
            misfire_grace: self.misfire_grace.map_or(defaults.misfire_grace, f64::from),
            max_retry: self.max_retry.map_or(defaults.max_retry, i64::from),
            retry_delay_ms: self.retry_delay_ms.unwrap_or(defaults.retry_delay_ms),
            hook_method: self.hook_method.clone().unwrap_or(defaults.hook_method),
            hook_headers: self.headers()?,
            hook_secret: secret.map_or(SecretChange::Keep, SecretChange::Set),
        })
    }

    /// Whether the row is what updating it to `job` would make of it. Whether it is enabled is left out.
    pub(crate) fn is_same_as(&self, job: &NewJob) -> bool {
        self.as_new_job().is_ok_and(|known| {
            let secret = match (&job.hook_secret, &known.hook_secret) {
                // One that is not mentioned stays; one that is not there need not be removed.
                (SecretChange::Keep, _) | (SecretChange::Remove, SecretChange::Keep) => known.hook_secret.clone(),
                (secret, _) => secret.clone(),
            };
            let wanted = NewJob {
                enabled: known.enabled,
                hook_secret: secret,
                ..job.clone()
            };
            wanted == known
        })
    }

    /// The job if it can run, else every fault.
    pub(crate) fn define(&self, rules: JobRules) -> Result<Definition, InvalidInput> {
        self.as_new_job()?.define(rules)
    }

    /// The job as people see it.
    pub(crate) fn job(self, rules: JobRules, now: DateTime<Utc>) -> Job {
        let (error, next_run_time) = match self.define(rules) {
            Ok(definition) if self.is_enabled() => (None, definition.schedule.next_after(now)),
            Ok(_) => (None, None),
            Err(error) => (Some(error.to_string()), None),
        };
        let or = |text: Option<String>, default: &str| text.unwrap_or_else(|| default.to_owned());
        Job {
            id: self.id,
            timeout: self.timeout_or_default(),
            enabled: self.is_enabled(),
            run_status: or(self.run_status, RunStatus::Waiting.as_str()),
            last_run_time: self.last_run_time.map(|at| at.and_utc()),
            hook_headers: parsed(self.hook_headers.as_deref()).unwrap_or_default(),
            job_name: self.job_name,
            job_type: self.job_type,
            cron_expr: self.cron_expr,
            hook_url: self.hook_url,
            service_name: self.service_name,
            service_method: self.service_method,
            args: self.args,
            time_zone: self.time_zone,
            overlap_policy: or(self.overlap_policy, OverlapPolicy::Forbid.as_str()),
            misfire_policy: or(self.misfire_policy, MisfirePolicy::FireOnce.as_str()),
            misfire_grace: self.misfire_grace.unwrap_or(NewJob::DEFAULT_MISFIRE_GRACE),
            max_retry: self.max_retry.unwrap_or(0),
            retry_delay: millis(self.retry_delay_ms.unwrap_or(NewJob::DEFAULT_RETRY_DELAY_MS)),
            hook_method: or(self.hook_method, HookMethod::Post.as_str()),
            has_hook_secret: self.hook_secret.is_some_and(|secret| !secret.is_empty()),
            error,
            next_run_time,
            create_time: self.create_time.map(|at| at.and_utc()),
            update_time: self.update_time.map(|at| at.and_utc()),
        }
    }

    fn timeout_or_default(&self) -> i32 {
        self.timeout.unwrap_or(NewJob::DEFAULT_TIMEOUT)
    }

    fn headers(&self) -> Result<BTreeMap<String, String>, InvalidInput> {
        parsed(self.hook_headers.as_deref()).map_err(|error| {
            InvalidInput::one(format!(
                "hook_headers are no JSON object of texts, as in {{\"x-team\": \"data\"}}: {error}"
            ))
        })
    }
}

fn parsed(headers: Option<&str>) -> serde_json::Result<BTreeMap<String, String>> {
    match headers.filter(|text| !text.trim().is_empty()) {
        Some(text) => serde_json::from_str(text),
        None => Ok(BTreeMap::new()),
    }
}

fn millis(value: i64) -> Duration {
    Duration::from_millis(u64::try_from(value).unwrap_or(0))
}

/// What decides when an enabled job is due.
#[derive(Debug, Clone, Queryable, Selectable, Hash)]
#[diesel(table_name = job_center)]
pub(crate) struct ScheduleRow {
    pub(crate) id: i64,
    pub(crate) cron_expr: String,
    pub(crate) time_zone: Option<String>,
    pub(crate) misfire_policy: Option<String>,
    pub(crate) misfire_grace: Option<i32>,
    pub(crate) scheduled_from: Option<NaiveDateTime>,
}

/// What the definition of a job writes, new or changed.
#[derive(Clone, Insertable, AsChangeset)]
#[diesel(table_name = job_center, treat_none_as_null = true)]
pub(super) struct DefinedRow {
    pub(super) job_name: String,
    pub(super) job_type: String,
    pub(super) cron_expr: String,
    pub(super) hook_url: Option<String>,
    pub(super) service_name: Option<String>,
    pub(super) service_method: Option<String>,
    pub(super) args: Option<String>,
    pub(super) timeout: Option<i32>,
    pub(super) enabled: Option<i32>,
    pub(super) update_time: Option<NaiveDateTime>,
    pub(super) time_zone: Option<String>,
    pub(super) overlap_policy: Option<String>,
    pub(super) misfire_policy: Option<String>,
    pub(super) misfire_grace: Option<i32>,
    pub(super) max_retry: Option<i32>,
    pub(super) retry_delay_ms: Option<i64>,
    pub(super) hook_method: Option<String>,
    pub(super) hook_headers: Option<String>,
    pub(super) scheduled_from: Option<NaiveDateTime>,
    pub(super) unique_name: Option<String>,
}

impl DefinedRow {
    /// The row of a job that has passed its check. Its schedule holds from `now` on.
    pub(super) fn new(job: NewJob, now: NaiveDateTime) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "checked: whole seconds that fit")]
        let seconds = |seconds: f64| Some(seconds as i32);
        let headers = (!job.hook_headers.is_empty()).then(|| serde_json::json!(job.hook_headers).to_string());
        Self {
            unique_name: Some(job.job_name.clone()),
            job_name: job.job_name,
            job_type: job.job_type,
            cron_expr: job.cron_expr,
            hook_url: job.hook_url,
            service_name: job.service_name,
            service_method: job.service_method,
            args: job.args.ok().filter(|args| !args.is_empty()),
            timeout: seconds(job.timeout),
            enabled: Some(i32::from(job.enabled)),
            update_time: Some(now),
            time_zone: job.time_zone,
            overlap_policy: Some(job.overlap_policy),
            misfire_policy: Some(job.misfire_policy),
            misfire_grace: seconds(job.misfire_grace),
            max_retry: i32::try_from(job.max_retry).ok(),
            retry_delay_ms: Some(job.retry_delay_ms),
            hook_method: Some(job.hook_method),
            hook_headers: headers,
            scheduled_from: Some(now),
        }
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = job_record)]
pub(super) struct RunRow {
    id: i64,
    job_name: String,
    job_type: String,
    cron_expr: String,
    hook_url: Option<String>,
    service_name: Option<String>,
    service_method: Option<String>,
    args: Option<String>,
    job_result_flag: Option<String>,
    run_result: Option<String>,
    run_err: Option<String>,
    create_time: Option<NaiveDateTime>,
    update_time: Option<NaiveDateTime>,
    job_id: Option<i64>,
    scheduled_at: Option<NaiveDateTime>,
    previous_at: Option<NaiveDateTime>,
    started_at: Option<NaiveDateTime>,
    ended_at: Option<NaiveDateTime>,
    duration_ms: Option<i64>,
    attempt: Option<i32>,
    node_id: Option<String>,
    log_id: Option<String>,
    cancel_reason: Option<String>,
}

impl From<RunRow> for JobRecord {
    fn from(row: RunRow) -> Self {
        let utc = |at: Option<NaiveDateTime>| at.map(|at| at.and_utc());
        Self {
            id: row.id,
            job_id: row.job_id,
            job_name: row.job_name,
            job_type: row.job_type,
            cron_expr: row.cron_expr,
            hook_url: row.hook_url,
            service_name: row.service_name,
            service_method: row.service_method,
            args: row.args,
            job_result_flag: row.job_result_flag,
            run_result: row.run_result,
            run_err: row.run_err,
            scheduled_at: utc(row.scheduled_at),
            previous_at: utc(row.previous_at),
            started_at: utc(row.started_at),
            ended_at: utc(row.ended_at),
            duration: row.duration_ms.map(millis),
            attempt: row.attempt,
            node_id: row.node_id,
            log_id: row.log_id,
            cancel_reason: row.cancel_reason,
            create_time: utc(row.create_time),
            update_time: utc(row.update_time),
        }
    }
}

/// The record of a run that begins, or of a fire that is skipped.
#[derive(Debug, Insertable)]
#[diesel(table_name = job_record)]
pub(super) struct NewRun {
    pub(super) job_id: Option<i64>,
    pub(super) job_name: String,
    pub(super) job_type: String,
    pub(super) cron_expr: String,
    pub(super) hook_url: Option<String>,
    pub(super) service_name: Option<String>,
    pub(super) service_method: Option<String>,
    pub(super) args: Option<String>,
    pub(super) job_result_flag: Option<&'static str>,
    pub(super) run_err: Option<String>,
    pub(super) create_time: Option<NaiveDateTime>,
    pub(super) update_time: Option<NaiveDateTime>,
    pub(super) scheduled_at: Option<NaiveDateTime>,
    pub(super) previous_at: Option<NaiveDateTime>,
    pub(super) started_at: Option<NaiveDateTime>,
    pub(super) ended_at: Option<NaiveDateTime>,
    pub(super) node_id: Option<String>,
    pub(super) log_id: Option<String>,
}
