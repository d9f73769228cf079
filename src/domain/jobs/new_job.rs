//! Jobs that callers hand in.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{Job, JobType, MisfirePolicy, OverlapPolicy};
use crate::{
    config::nearest,
    domain::{
        HookMethod, HookSecret,
        fields::{Fields, as_new_args},
    },
};

/// A job to be added, or the new state of a job.
///
/// These methods check nothing: [`Jobs::add_job`](crate::Jobs::add_job) checks the job, and its error names every fault at once.
///
/// ```
/// use std::time::Duration;
/// use gaia_actors::{NewJob, OverlapPolicy};
///
/// let report = NewJob::cron_job("每日报表生成", "0 0 1 * * *", "ReportService", "GenerateDailyReport")
///     .args(&serde_json::json!({ "date": "auto" }))
///     .time_zone("Asia/Shanghai")
///     .timeout(Duration::from_secs(300));
/// let sync = NewJob::cron_hook("数据同步通知", "0 */5 * * * *", "http://localhost:8080/api/sync")
///     .args(&serde_json::json!({ "type": "full" }))
///     .header("x-team", "data")
///     .overlap(OverlapPolicy::Replace);
/// ```
///
/// It can be read from JSON, whose keys are the columns of `job_center`; a missing key has its default. The JSON of a [`Job`] can be
/// changed and handed in again: keys for the job's state are ignored, other unknown keys are refused. Written as JSON it shows its secret,
/// which the program that reads the JSON needs.
///
/// ```
/// use gaia_actors::NewJob;
///
/// let job: NewJob = serde_json::from_str(
///     r#"{"job_name": "sync", "job_type": "cron_hook", "cron_expr": "@hourly",
///         "hook_url": "http://localhost:8080/api/sync", "args": {"type": "full"}, "timeout": 60}"#,
/// )?;
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Serialize)]
#[must_use = "a job does nothing until it is added"]
pub struct NewJob {
    pub(crate) job_name: String,
    pub(crate) job_type: String,
    pub(crate) cron_expr: String,
    pub(crate) hook_url: Option<String>,
    pub(crate) service_name: Option<String>,
    pub(crate) service_method: Option<String>,
    #[serde(flatten, serialize_with = "as_new_args")]
    pub(crate) args: Result<String, String>,
    /// Seconds.
    pub(crate) timeout: f64,
    pub(crate) enabled: bool,
    pub(crate) time_zone: Option<String>,
    pub(crate) overlap_policy: Option<String>,
    pub(crate) misfire_policy: String,
    /// Seconds.
    pub(crate) misfire_grace: f64,
    pub(crate) max_retry: i64,
    pub(crate) retry_delay_ms: i64,
    pub(crate) hook_method: String,
    pub(crate) hook_headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "SecretChange::is_keep")]
    pub(crate) hook_secret: SecretChange,
}

/// The change of a hook's secret. A secret cannot be read back, so an update that does not mention it keeps it.
#[derive(Clone, Default, PartialEq)]
pub(crate) enum SecretChange {
    #[default]
    Keep,
    Remove,
    Set(String),
}

impl Default for NewJob {
    fn default() -> Self {
        Self {
            job_name: String::new(),
            job_type: String::new(),
            cron_expr: String::new(),
            hook_url: None,
            service_name: None,
            service_method: None,
            args: Ok(String::new()),
            timeout: f64::from(Self::DEFAULT_TIMEOUT),
            enabled: true,
            time_zone: None,
            overlap_policy: None,
            misfire_policy: MisfirePolicy::FireOnce.to_string(),
            misfire_grace: f64::from(Self::DEFAULT_MISFIRE_GRACE),
            max_retry: 0,
            retry_delay_ms: Self::DEFAULT_RETRY_DELAY_MS,
            hook_method: HookMethod::Post.to_string(),
            hook_headers: BTreeMap::new(),
            hook_secret: SecretChange::Keep,
        }
    }
}

impl NewJob {
    /// In seconds, as in the integration guide.
    pub(crate) const DEFAULT_TIMEOUT: i32 = 300;
    pub(crate) const DEFAULT_MISFIRE_GRACE: i32 = 3_600;
    pub(crate) const DEFAULT_RETRY_DELAY_MS: i64 = 1_000;

    /// A job that calls `method` of `service`. Its handler is registered in the same way as a handler of tasks.
    pub fn cron_job(
        name: impl Into<String>,
        cron_expr: impl Into<String>,
        service: impl Into<String>,
        method: impl Into<String>,
    ) -> Self {
        Self {
            service_name: Some(service.into()),
            service_method: Some(method.into()),
            ..Self::of(JobType::CronJob, name.into(), cron_expr.into())
        }
    }

    /// A job that sends a request to `url`.
    pub fn cron_hook(name: impl Into<String>, cron_expr: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            hook_url: Some(url.into()),
            ..Self::of(JobType::CronHook, name.into(), cron_expr.into())
        }
    }

    /// Its name, unique among jobs, at most 255 characters.
    pub fn name(self, name: impl Into<String>) -> Self {
        Self {
            job_name: name.into(),
            ..self
        }
    }

    /// When it is due: see [`Schedule`](crate::Schedule). At most 100 characters.
    pub fn cron_expr(self, expr: impl Into<String>) -> Self {
        Self {
            cron_expr: expr.into(),
            ..self
        }
    }

    fn of(job_type: JobType, job_name: String, cron_expr: String) -> Self {
        Self {
            job_name,
            job_type: job_type.to_string(),
            cron_expr,
            ..Self::default()
        }
    }

    /// The arguments of the method, or the body of the request, serialised to JSON here. Default: none.
    pub fn args(self, args: &impl Serialize) -> Self {
        let args = serde_json::to_string(args).map_err(|error| error.to_string());
        Self { args, ..self }
    }

    /// The arguments of the method, or the body of the request, as JSON text, at most 8 MiB.
    pub fn raw_args(self, json: impl Into<String>) -> Self {
        Self {
            args: Ok(json.into()),
            ..self
        }
    }

    /// The longest time that one attempt may take, in whole seconds from 1. Default 300 s. An attempt that takes longer is cut off.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self {
            timeout: timeout.as_secs_f64(),
            ..self
        }
    }

    /// Whether it fires by its schedule. Default true. [`execute_job_immediately`](crate::Jobs::execute_job_immediately)
    /// runs it either way.
    pub fn enabled(self, enabled: bool) -> Self {
        Self { enabled, ..self }
    }

    /// The name of the time zone in which the expression is read, such as `Asia/Shanghai`. Default: the runner's zone. A `CRON_TZ=` in
    /// front of the expression wins.
    pub fn time_zone(self, name: impl Into<String>) -> Self {
        Self {
            time_zone: Some(name.into()),
            ..self
        }
    }

    /// What a fire does while another run is under way. Default: as the process says that adds the job
    /// ([`JobsOptions::overlap`](crate::JobsOptions::overlap)), [`OverlapPolicy::Forbid`] unless that is set.
    pub fn overlap(self, policy: OverlapPolicy) -> Self {
        Self {
            overlap_policy: Some(policy.to_string()),
            ..self
        }
    }

    /// What becomes of fires that no node claimed in time. Default [`MisfirePolicy::FireOnce`].
    pub fn misfire(self, policy: MisfirePolicy) -> Self {
        Self {
            misfire_policy: policy.to_string(),
            ..self
        }
    }

    /// The greatest age at which a missed fire still runs late, in whole seconds. Default an hour.
    pub fn misfire_grace(self, grace: Duration) -> Self {
        Self {
            misfire_grace: grace.as_secs_f64(),
            ..self
        }
    }

    /// How often a failed run is tried again before it counts as failed. Default 0; at most 1000. All attempts are one run, with one
    /// record; each attempt has the whole timeout.
    pub fn max_retry(self, times: i64) -> Self {
        Self {
            max_retry: times,
            ..self
        }
    }

    /// The delay before the first retry, in whole milliseconds. It doubles with each further retry, up to ten minutes; a delay that is
    /// longer than this stays as it is. Default a second.
    pub fn retry_delay(self, delay: Duration) -> Self {
        Self {
            retry_delay_ms: i64::try_from(delay.as_millis()).unwrap_or(i64::MAX),
            ..self
        }
    }

    /// The method of the request. Default POST.
    pub fn hook_method(self, method: HookMethod) -> Self {
        Self {
            hook_method: method.to_string(),
            ..self
        }
    }

    /// Adds a header to the request; it replaces a header that was added with the same name.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.hook_headers.insert(name.into(), value.into());
        self
    }

    /// Signs each request with this secret, as [Standard Webhooks](https://www.standardwebhooks.com) define it. If an update names no
    /// secret, the job keeps the secret that it has.
    pub fn secret(self, secret: &HookSecret) -> Self {
        Self {
            hook_secret: SecretChange::Set(secret.as_str().to_owned()),
            ..self
        }
    }

    /// Requests are not signed. An update removes the job's secret.
    pub fn without_secret(self) -> Self {
        Self {
            hook_secret: SecretChange::Remove,
            ..self
        }
    }
}

/// The present state of a job, to be changed and handed to [`Jobs::update_job`](crate::Jobs::update_job). The job keeps its secret, which
/// cannot be read back.
///
/// ```
/// # async fn later(jobs: gaia_actors::Jobs, id: i64) -> Result<(), gaia_actors::Error> {
/// let job = jobs.get_job_detail(id).await?.job;
/// jobs.update_job(id, gaia_actors::NewJob::from(job).cron_expr("0 30 2 * * *")).await?;
/// # Ok(())
/// # }
/// ```
impl From<Job> for NewJob {
    fn from(job: Job) -> Self {
        Self {
            job_name: job.job_name,
            job_type: job.job_type,
            cron_expr: job.cron_expr,
            hook_url: job.hook_url,
            service_name: job.service_name,
            service_method: job.service_method,
            args: Ok(job.args.unwrap_or_default()),
            timeout: f64::from(job.timeout),
            enabled: job.enabled,
            time_zone: job.time_zone,
            overlap_policy: Some(job.overlap_policy),
            misfire_policy: job.misfire_policy,
            misfire_grace: f64::from(job.misfire_grace),
            max_retry: i64::from(job.max_retry),
            retry_delay_ms: i64::try_from(job.retry_delay.as_millis()).unwrap_or(i64::MAX),
            hook_method: job.hook_method,
            hook_headers: job.hook_headers,
            hook_secret: SecretChange::Keep,
        }
    }
}

/// Shows neither the secret nor the values of headers.
impl std::fmt::Debug for NewJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewJob")
            .field("job_name", &self.job_name)
            .field("job_type", &self.job_type)
            .field("cron_expr", &self.cron_expr)
            .field("hook_headers", &self.hook_headers.keys())
            .finish_non_exhaustive()
    }
}

impl SecretChange {
    fn is_keep(&self) -> bool {
        *self == Self::Keep
    }
}

/// The keys in the JSON of a job that name its state. An update does not change them.
const READ_ONLY: [&str; 12] = [
    "id",
    "version",
    "run_status",
    "last_run_time",
    "next_run_time",
    "has_hook_secret",
    "error",
    "create_time",
    "update_time",
    "next_fires",
    "description",
    "description_zh",
];

/// The JSON from which a [`NewJob`] is read, for the description of the HTTP API.
#[cfg(feature = "web")]
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct NewJobKeys {
    /// Its name, unique among jobs.
    #[schema(min_length = 1, max_length = 255)]
    job_name: String,
    /// What it calls: a method of a service, or an HTTP endpoint.
    job_type: JobType,
    /// When it is due: a cron expression.
    #[schema(min_length = 1, max_length = 100)]
    cron_expr: String,
    /// The URL that a `cron_hook` calls.
    hook_url: Option<String>,
    /// The service that a `cron_job` calls.
    #[schema(max_length = 255)]
    service_name: Option<String>,
    /// The method that a `cron_job` calls.
    #[schema(max_length = 255)]
    service_method: Option<String>,
    /// The arguments of the method, or the body of the request.
    #[schema(schema_with = crate::domain::schema::json)]
    args: (),
    /// Stands for `args`, as JSON text.
    args_text: Option<String>,
    /// The longest time that one attempt may take, in whole seconds.
    #[schema(minimum = 1, default = 300)]
    timeout: i32,
    /// Whether it fires by its schedule.
    #[schema(default = true)]
    enabled: bool,
    /// The name of the time zone in which `cron_expr` is read. Without one: the zone of the process that runs jobs.
    time_zone: Option<String>,
    /// What a fire does while another run is under way. Without it: as the process that adds the job says, `forbid` by default.
    overlap_policy: Option<OverlapPolicy>,
    /// What becomes of fires that no node claimed in time.
    misfire_policy: MisfirePolicy,
    /// The greatest age, in whole seconds, at which a missed fire still runs late.
    #[schema(minimum = 0, default = 3_600)]
    misfire_grace: i32,
    /// How often a failed run is tried again, at most.
    #[schema(minimum = 0, maximum = 1_000, default = 0)]
    max_retry: i32,
    /// The delay before the first retry.
    #[schema(minimum = 0, default = 1_000)]
    retry_delay_ms: i64,
    /// The method of a hook's request.
    hook_method: HookMethod,
    /// Headers of a hook's request. The value `(hidden)` keeps the value that the job has.
    hook_headers: BTreeMap<String, String>,
    /// Signs each request, as Standard Webhooks define it. `null` removes the secret, and without this key the job keeps the secret that it
    /// has.
    hook_secret: Option<String>,
}

#[cfg(feature = "web")]
impl utoipa::PartialSchema for NewJob {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        use utoipa::openapi::{RefOr, Schema, schema::AdditionalProperties};
        let mut schema = NewJobKeys::schema();
        if let RefOr::T(Schema::Object(object)) = &mut schema {
            object.required = vec!["job_type".to_owned(), "cron_expr".to_owned()];
            object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
            // What was read can be changed and handed in again.
            for key in READ_ONLY {
                let ignored = utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::SchemaType::AnyValue)
                    .description(Some("Ignored: it belongs to the state of a job that was read."));
                object.properties.insert(key.to_owned(), ignored.into());
            }
        }
        schema
    }
}

#[cfg(feature = "web")]
impl utoipa::ToSchema for NewJob {
    fn schemas(schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>) {
        NewJobKeys::schemas(schemas);
    }
}

impl<'de> Deserialize<'de> for NewJob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Fields::deserialize(deserializer)?;
        for key in READ_ONLY {
            fields.remove(key);
        }
        // A text that is no JSON is refused when the job is handed in. A blank one means that there are no arguments.
        let args = fields.take_text("args")?.filter(|text| !text.trim().is_empty());
        let default = Self::default();
        let job = Self {
            args: Ok(args.unwrap_or_default()),
            job_name: fields.take_or("job_name", default.job_name)?,
            job_type: fields.take_or("job_type", default.job_type)?,
            cron_expr: fields.take_or("cron_expr", default.cron_expr)?,
            hook_url: fields.take("hook_url")?,
            service_name: fields.take("service_name")?,
            service_method: fields.take("service_method")?,
            timeout: fields.take_or("timeout", default.timeout)?,
            enabled: fields.take_or("enabled", default.enabled)?,
            time_zone: fields.take("time_zone")?,
            overlap_policy: fields.take("overlap_policy")?,
            misfire_policy: fields.take_or("misfire_policy", default.misfire_policy)?,
            misfire_grace: fields.take_or("misfire_grace", default.misfire_grace)?,
            max_retry: fields.take_or("max_retry", default.max_retry)?,
            retry_delay_ms: fields.take_or("retry_delay_ms", default.retry_delay_ms)?,
            hook_method: fields.take_or("hook_method", default.hook_method)?,
            hook_headers: fields.take_secret_or("hook_headers", "an object of texts", default.hook_headers)?,
            hook_secret: fields.take_secret_or("hook_secret", "a text or null", default.hook_secret)?,
        };
        match fields.keys().next() {
            Some(key) => Err(D::Error::custom(unknown_key(key))),
            None => Ok(job),
        }
    }
}

fn unknown_key(key: &str) -> String {
    let fault = format!("unknown key {key:?}; a job has the columns of job_center");
    let all = serde_json::to_value(NewJob::default().args(&())).unwrap_or_default();
    let known = all
        .as_object()
        .into_iter()
        .flat_map(|all| all.keys().map(String::as_str));
    let known: Vec<&str> = known.chain(["hook_secret"]).collect();
    match nearest(key, &known) {
        Some(known) => format!("{fault}; the nearest known is {known}"),
        None => fault,
    }
}

impl Serialize for SecretChange {
    /// The caller leaves out a [`Keep`](Self::Keep).
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Set(secret) => serializer.serialize_str(secret),
            Self::Keep | Self::Remove => serializer.serialize_none(),
        }
    }
}

/// A JSON `null` removes the secret, a text sets it.
impl<'de> Deserialize<'de> for SecretChange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        Ok(text.map_or(Self::Remove, Self::Set))
    }
}
