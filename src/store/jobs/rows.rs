//! Rows of `job_center` and `job_record`, and their conversion into the values of the domain.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::{AsChangeset, Identifiable, Insertable, Queryable, Selectable};

use crate::{
    domain::{
        Definition, HookMethod, InvalidInput, Job, JobRecord, JobRules, MisfirePolicy, NewJob, OverlapPolicy,
        RunStatus, SecretChange,
    },
    store::{
        lenient::{AnyInt, AnyText, AnyTime, is_set, narrow, number, text, time},
        schema::{job_center, job_record},
        statement::lists::is_cut,
        time::StoredTime,
    },
};

/// A job as it is now. In a page, its arguments may be cut.
#[derive(Clone, Queryable, Selectable, Identifiable)]
#[diesel(table_name = job_center)]
pub(crate) struct JobRow {
    pub(crate) id: i64,
    pub(crate) job_name: AnyText,
    pub(crate) job_type: AnyText,
    pub(crate) cron_expr: AnyText,
    pub(super) hook_url: Option<AnyText>,
    pub(super) service_name: Option<AnyText>,
    pub(super) service_method: Option<AnyText>,
    pub(super) args: Option<AnyText>,
    timeout: Option<AnyInt>,
    pub(super) enabled: Option<AnyInt>,
    run_status: Option<AnyText>,
    last_run_time: Option<AnyTime>,
    create_time: Option<AnyTime>,
    update_time: Option<AnyTime>,
    pub(super) time_zone: Option<AnyText>,
    overlap_policy: Option<AnyText>,
    pub(super) misfire_policy: Option<AnyText>,
    misfire_grace: Option<AnyInt>,
    max_retry: Option<AnyInt>,
    retry_delay_ms: Option<AnyInt>,
    hook_method: Option<AnyText>,
    hook_headers: Option<AnyText>,
    hook_secret: Option<AnyText>,
    pub(super) scheduled_from: Option<AnyTime>,
    pub(crate) version: AnyInt,
    pub(super) system_name: AnyText,
    lease_owner: AnyText,
    lease_expire_at: Option<AnyTime>,
}

impl JobRow {
    /// How often the definition has changed.
    pub(crate) fn version(&self) -> i64 {
        number(Some(self.version)).unwrap_or(0)
    }

    pub(crate) fn is_enabled(&self) -> bool {
        is_set(self.enabled)
    }

    /// The job's own time zone. `None`: the time zone of the process that runs jobs.
    pub(crate) fn time_zone(&self) -> Option<&str> {
        self.time_zone.as_ref().map(|zone| zone.0.as_str())
    }

    /// Whether the row says that a run is open.
    pub(crate) fn is_running(&self) -> bool {
        let status = self.run_status.as_ref();
        status.is_some_and(|status| status.0 == RunStatus::Running.as_str())
    }

    /// The process of another program that runs the job now, and until when it holds the job.
    pub(super) fn held_by_another(&self, now: DateTime<Utc>) -> Option<(&str, DateTime<Utc>)> {
        let until = time(self.lease_expire_at).filter(|until| *until > now)?;
        let owner = self.lease_owner.0.as_str();
        (self.is_running() && !owner.is_empty() && !is_of_this_crate(owner)).then_some((owner, until))
    }

    /// When another program has begun the last run. Nodes find their own runs by their records.
    pub(super) fn last_run_elsewhere(&self) -> Option<DateTime<Utc>> {
        time(self.last_run_time).filter(|_| !is_of_this_crate(&self.lease_owner.0))
    }

    /// Whether it has an overlap policy of its own.
    pub(super) fn has_overlap(&self) -> bool {
        self.overlap_policy.is_some()
    }

    /// What happens if the job is due while a run of it is open. An unknown policy counts as `Forbid`; the run then fails and says that the
    /// row is bad.
    pub(crate) fn overlap(&self, default: OverlapPolicy) -> OverlapPolicy {
        match &self.overlap_policy {
            Some(text) => text.0.parse().unwrap_or(OverlapPolicy::Forbid),
            None => default,
        }
    }

    /// The row as the definition that a caller would have given, with defaults for NULL.
    fn as_new_job(&self) -> Result<NewJob, InvalidInput> {
        let defaults = NewJob::default();
        let own = |column: &Option<AnyText>| text(column.clone());
        let or = |column, default| own(column).unwrap_or(default);
        let secret = own(&self.hook_secret).filter(|secret| !secret.is_empty());
        Ok(NewJob {
            job_name: self.job_name.0.clone(),
            job_type: self.job_type.0.clone(),
            cron_expr: self.cron_expr.0.clone(),
            hook_url: own(&self.hook_url),
            service_name: own(&self.service_name),
            service_method: own(&self.service_method),
            args: Ok(own(&self.args).unwrap_or_default()),
            timeout: narrow(known("timeout", self.timeout)?).map_or(defaults.timeout, f64::from),
            enabled: self.is_enabled(),
            time_zone: own(&self.time_zone),
            overlap_policy: own(&self.overlap_policy),
            misfire_policy: or(&self.misfire_policy, defaults.misfire_policy),
            misfire_grace: narrow(known("misfire_grace", self.misfire_grace)?)
                .map_or(defaults.misfire_grace, f64::from),
            max_retry: number(known("max_retry", self.max_retry)?).unwrap_or(defaults.max_retry),
            retry_delay_ms: number(known("retry_delay_ms", self.retry_delay_ms)?).unwrap_or(defaults.retry_delay_ms),
            hook_method: or(&self.hook_method, defaults.hook_method),
            hook_headers: self.headers()?,
            hook_secret: secret.map_or(SecretChange::Keep, SecretChange::Set),
        })
    }

    /// Whether an update to `job` would change nothing, apart from whether the job is enabled.
    pub(crate) fn is_same_as(&self, job: &NewJob, rules: &JobRules) -> bool {
        self.as_new_job().is_ok_and(|known| {
            let known = known.or_overlap(rules);
            let secret = match (&job.hook_secret, &known.hook_secret) {
                // Both leave the secret as it is: `Keep`, and `Remove` if the job has no secret.
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
    pub(crate) fn define(&self, rules: &JobRules) -> Result<Definition, InvalidInput> {
        self.as_new_job()?.define(rules)
    }

    /// The job as people see it.
    pub(crate) fn job(self, rules: &JobRules, now: DateTime<Utc>) -> Job {
        let definition = self.define(rules);
        self.shown(definition, rules, now)
    }

    /// The job as a page shows it. Arguments that are cut are not checked.
    pub(crate) fn listed(mut self, rules: &JobRules, now: DateTime<Utc>) -> Job {
        let cut = self.args.take_if(|args| is_cut(args));
        let definition = self.define(rules);
        self.args = self.args.or(cut);
        self.shown(definition, rules, now)
    }

    fn shown(self, definition: Result<Definition, InvalidInput>, rules: &JobRules, now: DateTime<Utc>) -> Job {
        let (error, next_run_time) = match definition {
            Ok(definition) if self.is_enabled() => (None, definition.schedule.next_after(now)),
            Ok(_) => (None, None),
            Err(error) => (Some(error.to_string()), None),
        };
        let or = |column, default: &str| text(column).unwrap_or_else(|| default.to_owned());
        Job {
            id: self.id,
            version: self.version(),
            timeout: narrow(self.timeout).unwrap_or(NewJob::DEFAULT_TIMEOUT),
            enabled: self.is_enabled(),
            hook_headers: self.parsed_headers().unwrap_or_default(),
            run_status: or(self.run_status, RunStatus::Waiting.as_str()),
            last_run_time: time(self.last_run_time),
            job_name: self.job_name.0,
            job_type: self.job_type.0,
            cron_expr: self.cron_expr.0,
            hook_url: text(self.hook_url),
            service_name: text(self.service_name),
            service_method: text(self.service_method),
            args: text(self.args),
            time_zone: text(self.time_zone),
            overlap_policy: or(self.overlap_policy, rules.overlap.as_str()),
            misfire_policy: or(self.misfire_policy, MisfirePolicy::FireOnce.as_str()),
            misfire_grace: narrow(self.misfire_grace).unwrap_or(NewJob::DEFAULT_MISFIRE_GRACE),
            max_retry: narrow(self.max_retry).unwrap_or(0),
            retry_delay: millis(number(self.retry_delay_ms).unwrap_or(NewJob::DEFAULT_RETRY_DELAY_MS)),
            hook_method: or(self.hook_method, HookMethod::Post.as_str()),
            has_hook_secret: self.hook_secret.is_some_and(|secret| !secret.0.is_empty()),
            error,
            next_run_time,
            create_time: time(self.create_time),
            update_time: time(self.update_time),
        }
    }

    fn headers(&self) -> Result<BTreeMap<String, String>, InvalidInput> {
        self.parsed_headers().map_err(|error| {
            InvalidInput::one(format!(
                "hook_headers are no JSON object of texts, as in {{\"x-team\": \"data\"}}: {error}"
            ))
        })
    }

    fn parsed_headers(&self) -> serde_json::Result<BTreeMap<String, String>> {
        match self.hook_headers.as_ref().filter(|text| !text.0.trim().is_empty()) {
            Some(text) => serde_json::from_str(&text.0),
            None => Ok(BTreeMap::new()),
        }
    }
}

/// How the column `lease_owner` names nodes: with this in front.
macro_rules! node {
    ($id:literal) => {
        concat!("gaia:", $id)
    };
}

/// The owner of the lease of a job that a node runs.
pub(super) fn lease_owner(node: &str) -> String {
    format!(node!("{}"), node)
}

fn is_of_this_crate(owner: &str) -> bool {
    owner.starts_with(node!(""))
}

/// The leases that nodes hold.
pub(super) const LEASES_OF_NODES: &str = node!("%");

/// How long a node holds a job for programs of the Go framework. It is renewed every 30 s.
pub(super) const LEASE: TimeDelta = TimeDelta::seconds(90);

/// The column, or an error if it holds something that is no whole number.
fn known(name: &str, column: Option<AnyInt>) -> Result<Option<AnyInt>, InvalidInput> {
    match column {
        Some(AnyInt::Odd) => Err(InvalidInput::one(format!(
            "{name} holds no whole number; set it to one, or to NULL for the default"
        ))),
        column => Ok(column),
    }
}

fn millis(value: i64) -> Duration {
    Duration::from_millis(u64::try_from(value).unwrap_or(0))
}

/// The columns that decide when an enabled job is due.
#[derive(Debug, Clone, Queryable, Selectable, Hash)]
#[diesel(table_name = job_center)]
pub(crate) struct ScheduleRow {
    pub(crate) id: i64,
    pub(crate) cron_expr: AnyText,
    pub(crate) time_zone: Option<AnyText>,
    pub(crate) misfire_policy: Option<AnyText>,
    pub(crate) misfire_grace: Option<AnyInt>,
    pub(crate) scheduled_from: Option<AnyTime>,
    pub(crate) scheduled_by: Option<AnyText>,
}

impl ScheduleRow {
    /// For how many seconds a missed fire is made up for.
    pub(crate) fn misfire_grace(&self) -> Result<i32, InvalidInput> {
        let seconds = narrow(known("misfire_grace", self.misfire_grace)?);
        Ok(seconds.unwrap_or(NewJob::DEFAULT_MISFIRE_GRACE))
    }

    /// Whether another program has written it, and it names no time zone: this crate notes for each job what it has scheduled.
    pub(crate) fn is_new_and_names_no_zone(&self) -> bool {
        self.scheduled_by.is_none() && self.time_zone.is_none()
    }

    /// Since when its schedule holds. `None`: that was not noted for this expression and time zone.
    pub(crate) fn holds_from(&self) -> Option<DateTime<Utc>> {
        let zone = self.time_zone.as_ref().map(|zone| zone.0.as_str());
        let noted = self.scheduled_by.as_ref()?.0 == scheduled_by(&self.cron_expr.0, zone);
        time(self.scheduled_from).filter(|_| noted)
    }
}

/// The text of the column `scheduled_by`: the expression and time zone for which `scheduled_from` was noted. `begin_schedules` writes the
/// same text by SQL.
fn scheduled_by(expr: &str, zone: Option<&str>) -> String {
    format!("{expr}|{}", zone.unwrap_or_default())
}

/// The columns that adding a job or changing its definition writes.
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
    pub(super) update_time: Option<StoredTime>,
    pub(super) time_zone: Option<String>,
    pub(super) overlap_policy: Option<String>,
    pub(super) misfire_policy: Option<String>,
    pub(super) misfire_grace: Option<i32>,
    pub(super) max_retry: Option<i32>,
    pub(super) retry_delay_ms: Option<i64>,
    pub(super) hook_method: Option<String>,
    pub(super) hook_headers: Option<String>,
    pub(super) scheduled_from: Option<StoredTime>,
    pub(super) scheduled_by: Option<String>,
}

impl DefinedRow {
    /// The row of a job that has passed its check. Its schedule holds from `now` on.
    pub(super) fn new(job: NewJob, now: StoredTime) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "checked: whole seconds that fit")]
        let seconds = |seconds: f64| Some(seconds as i32);
        let headers = (!job.hook_headers.is_empty()).then(|| serde_json::json!(job.hook_headers).to_string());
        Self {
            scheduled_by: Some(scheduled_by(&job.cron_expr, job.time_zone.as_deref())),
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
            overlap_policy: job.overlap_policy,
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
    #[diesel(embed)]
    facts: RunFacts,
    args: Option<AnyText>,
    run_result: Option<AnyText>,
    run_err: Option<AnyText>,
}

/// The record of a run without its long texts.
#[derive(Queryable, Selectable)]
#[diesel(table_name = job_record)]
pub(super) struct RunFacts {
    id: i64,
    job_name: AnyText,
    job_type: AnyText,
    cron_expr: AnyText,
    hook_url: Option<AnyText>,
    service_name: Option<AnyText>,
    service_method: Option<AnyText>,
    job_result_flag: Option<AnyText>,
    create_time: Option<AnyTime>,
    update_time: Option<AnyTime>,
    job_id: Option<AnyInt>,
    scheduled_at: Option<AnyTime>,
    previous_at: Option<AnyTime>,
    started_at: Option<AnyTime>,
    ended_at: Option<AnyTime>,
    duration_ms: Option<AnyInt>,
    attempt: Option<AnyInt>,
    node_id: Option<AnyText>,
    log_id: Option<AnyText>,
    cancel_reason: Option<AnyText>,
}

/// Arguments, result and error of a run.
pub(super) type RunTexts = [Option<AnyText>; 3];

impl From<RunRow> for JobRecord {
    fn from(row: RunRow) -> Self {
        row.facts
            .with([text(row.args), text(row.run_result), text(row.run_err)])
    }
}

impl RunFacts {
    /// The record with its texts as a list shows them.
    pub(super) fn listed(self, texts: RunTexts) -> JobRecord {
        self.with(texts.map(text))
    }

    fn with(self, [args, run_result, run_err]: [Option<String>; 3]) -> JobRecord {
        JobRecord {
            id: self.id,
            job_id: number(self.job_id),
            job_name: self.job_name.0,
            job_type: self.job_type.0,
            cron_expr: self.cron_expr.0,
            hook_url: text(self.hook_url),
            service_name: text(self.service_name),
            service_method: text(self.service_method),
            args,
            job_result_flag: text(self.job_result_flag),
            run_result,
            run_err,
            scheduled_at: time(self.scheduled_at),
            previous_at: time(self.previous_at),
            started_at: time(self.started_at),
            ended_at: time(self.ended_at),
            duration: number(self.duration_ms).map(millis),
            attempt: narrow(self.attempt),
            node_id: text(self.node_id),
            log_id: text(self.log_id),
            cancel_reason: text(self.cancel_reason),
            create_time: time(self.create_time),
            update_time: time(self.update_time),
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
    pub(super) create_time: Option<StoredTime>,
    pub(super) update_time: Option<StoredTime>,
    pub(super) scheduled_at: Option<StoredTime>,
    pub(super) previous_at: Option<StoredTime>,
    pub(super) started_at: Option<StoredTime>,
    pub(super) ended_at: Option<StoredTime>,
    pub(super) node_id: Option<String>,
    pub(super) log_id: Option<String>,
    pub(super) system_name: String,
}
