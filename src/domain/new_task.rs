//! Tasks that callers add, and the check that refuses bad tasks.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    fields::{json_args, read_args},
    text::{as_millis, from_millis},
    traceparent::check_traceparent,
    validate::{Faults, InvalidInput, MAX_LIMIT_KEY_CHARS, MAX_NAME_CHARS, MAX_THEME_CHARS, check_json},
};

/// A task to be added: which method of which service to call, with which arguments, and how.
///
/// ```
/// use std::time::Duration;
/// use gaia_actors::NewTask;
///
/// let task = NewTask::new("OrderService", "AsyncCreateOrder")
///     .name("create order 17")
///     .args(&serde_json::json!({ "order": 17 }))
///     .max_retry(5)
///     .timeout(Duration::from_secs(30))
///     .unique_key("order-17");
/// ```
///
/// It can be read from JSON and written as JSON. Only `service` and `method` are required; an unknown key is refused.
///
/// ```
/// use gaia_actors::NewTask;
///
/// let task: NewTask = serde_json::from_str(
///     r#"{"service": "OrderService", "method": "AsyncCreateOrder", "args": {"order": 17},
///         "max_retry": 5, "timeout_ms": 30000, "unique_key": "order-17"}"#,
/// )?;
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[must_use = "a task does nothing until it is added"]
pub struct NewTask {
    /// The service that the task calls.
    #[cfg_attr(feature = "web", schema(min_length = 1, max_length = 255))]
    pub(crate) service: String,
    /// The method that the task calls.
    #[cfg_attr(feature = "web", schema(min_length = 1, max_length = 255))]
    pub(crate) method: String,
    /// The name that people see in lists. Without one the name is made from service and method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "web", schema(min_length = 1, max_length = 255))]
    pub(crate) name: Option<String>,
    #[serde(
        default = "no_args",
        rename = "args",
        serialize_with = "json_args",
        deserialize_with = "read_args"
    )]
    /// `Ok`: the arguments as JSON. `Err`: why they could not be serialised, which `check` reports.
    #[cfg_attr(feature = "web", schema(schema_with = super::schema::json))]
    pub(crate) arg: Result<String, String>,
    /// How often the task is tried again, at most. Without it: as the process that adds the task says, 3 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "web", schema(minimum = 0, maximum = 2_147_483_646))]
    pub(crate) max_retry: Option<i64>,
    /// Tasks with a higher priority run first.
    #[serde(default)]
    #[cfg_attr(feature = "web", schema(default = 0))]
    pub(crate) priority: i32,
    /// The task does not run before this time, in the years 1970 to 9999. Without one it is due immediately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) run_at: Option<DateTime<Utc>>,
    /// The longest one attempt may take. Without it: the timeout of the process that runs the task.
    #[serde(
        default,
        rename = "timeout_ms",
        skip_serializing_if = "Option::is_none",
        serialize_with = "as_millis",
        deserialize_with = "from_millis"
    )]
    #[cfg_attr(feature = "web", schema(value_type = Option<u64>, minimum = 1, maximum = 9_223_372_036_854_775_807_u64))]
    pub(crate) timeout: Option<Duration>,
    /// The delay before the first retry; it doubles with each further retry.
    #[serde(
        default,
        rename = "retry_delay_ms",
        skip_serializing_if = "Option::is_none",
        serialize_with = "as_millis",
        deserialize_with = "from_millis"
    )]
    #[cfg_attr(feature = "web", schema(value_type = Option<u64>, maximum = 9_223_372_036_854_775_807_u64))]
    pub(crate) retry_delay: Option<Duration>,
    /// If an unfinished task of the same theme has this key, nothing is added, and the answer names that task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "web", schema(min_length = 1, max_length = 255))]
    pub(crate) unique_key: Option<String>,
    /// If the method has a limit for each key, the task counts among those with this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "web", schema(min_length = 1, max_length = 100))]
    pub(crate) limit_key: Option<String>,
    /// The trace to which the task belongs, and the span that has caused it, as the W3C's Trace Context writes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "web",
        schema(
            pattern = "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
            example = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        )
    )]
    pub(crate) traceparent: Option<String>,
}

#[expect(clippy::unnecessary_wraps, reason = "the type of the field")]
fn no_args() -> Result<String, String> {
    Ok("null".to_owned())
}

/// How often a task is tried again, at most, by default.
pub(crate) const DEFAULT_MAX_RETRY: i32 = 3;

impl NewTask {
    /// A task that calls `method` of `service` with `null` as its argument. Unless [`name`](Self::name) gives it a name, its name is
    /// `service.method`; if that has more than 255 characters, `...` replaces its middle. The task is retried
    /// up to 3 times, unless [`max_retry`](Self::max_retry) or the options of its theme say otherwise.
    pub fn new(service: impl Into<String>, method: impl Into<String>) -> Self {
        Self {
            name: None,
            service: service.into(),
            method: method.into(),
            arg: no_args(),
            max_retry: None,
            priority: 0,
            run_at: None,
            timeout: None,
            retry_delay: None,
            unique_key: None,
            limit_key: None,
            traceparent: None,
        }
    }

    /// The name that people see in lists, at most 255 characters.
    pub fn name(self, name: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            ..self
        }
    }

    /// The arguments, serialised to JSON here; a value that cannot be serialised is reported when the task is added.
    pub fn args(self, args: &impl Serialize) -> Self {
        let arg = serde_json::to_string(args).map_err(|error| error.to_string());
        Self { arg, ..self }
    }

    /// The arguments as JSON text, at most 8 MiB. Text that is not JSON is refused when the task is added.
    pub fn raw_args(self, json: impl Into<String>) -> Self {
        Self {
            arg: Ok(json.into()),
            ..self
        }
    }

    /// How often the task is tried again, at most, after its first attempt fails. 0 to 2³¹ - 2. Default: as the
    /// process says that adds the task ([`SchedulerOptions::max_retry`](crate::SchedulerOptions::max_retry)), 3 unless that is set.
    pub fn max_retry(self, times: i64) -> Self {
        Self {
            max_retry: Some(times),
            ..self
        }
    }

    /// Tasks with a higher priority run first. Default 0.
    pub fn priority(self, priority: i32) -> Self {
        Self { priority, ..self }
    }

    /// The task does not run before this time. Default: it is due immediately.
    pub fn run_at(self, at: DateTime<Utc>) -> Self {
        Self {
            run_at: Some(at),
            ..self
        }
    }

    /// The longest one attempt may take. Default: the [`timeout`](crate::SchedulerOptions::timeout) of the process that runs the task.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self {
            timeout: Some(timeout),
            ..self
        }
    }

    /// The delay before the first retry. It doubles with each further retry, up to the maximum of the [`RetryPolicy`](crate::RetryPolicy) of the
    /// process that runs the task; a delay that is longer than this maximum stays as it is. Zero: the task is due immediately, and the next
    /// scan finds it. Default: the `base` of that policy.
    pub fn retry_delay(self, delay: Duration) -> Self {
        Self {
            retry_delay: Some(delay),
            ..self
        }
    }

    /// If an unfinished task of the same theme (a theme is a queue) has this key, adding the task stores nothing and answers with the id of
    /// that unfinished task.
    pub fn unique_key(self, key: impl Into<String>) -> Self {
        Self {
            unique_key: Some(key.into()),
            ..self
        }
    }

    /// For whom the task works, such as a tenant or an account: 1 to 100 characters. If its method has a limit for each key
    /// ([`Limit::and_running_per_key`](crate::Limit::and_running_per_key)), the tasks with one key wait for each other, and pass those with
    /// other keys. Without such a limit it means nothing. Default: none, and then the task waits for no key.
    ///
    /// ```
    /// use gaia_actors::NewTask;
    ///
    /// let task = NewTask::new("Mail", "Send").args(&"ann@example.com").limit_key("tenant-17");
    /// ```
    pub fn limit_key(self, key: impl Into<String>) -> Self {
        Self {
            limit_key: Some(key.into()),
            ..self
        }
    }

    /// The trace to which the task belongs, and the span that has caused it: the header `traceparent` of the W3C's
    /// [Trace Context](https://www.w3.org/TR/trace-context/), version 00. Another text is refused when the task is added. The handler
    /// reads it as [`TaskContext::traceparent`](crate::TaskContext::traceparent), in each attempt; with the feature `tracing` the spans of
    /// the attempts are its children. Default: none, or the present span if [`GaiaBuilder::tracing`](crate::GaiaBuilder) was called.
    ///
    /// ```
    /// use gaia_actors::NewTask;
    ///
    /// let task = NewTask::new("OrderService", "AsyncCreateOrder")
    ///     .traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    /// ```
    pub fn traceparent(self, traceparent: impl Into<String>) -> Self {
        Self {
            traceparent: Some(traceparent.into()),
            ..self
        }
    }

    /// The task, with this trace unless the task names one.
    pub(crate) fn or_traceparent(self, traceparent: impl FnOnce() -> Option<String>) -> Self {
        Self {
            traceparent: self.traceparent.or_else(traceparent),
            ..self
        }
    }

    /// Notes what a task may not have that waits for others.
    pub(crate) fn check_held(&self, faults: &mut Faults, what: &str, may_have_key: bool) {
        faults.require(self.run_at.is_none(), || {
            format!("{what}: a task that waits for others is due when they have ended; leave run_at out")
        });
        faults.require(may_have_key || self.unique_key.is_none(), || {
            format!("{what}: a task that waits for others in the same call has no unique key; give one to the tasks before it, or leave it out")
        });
    }

    /// Takes the given name; without one, `service.method`, shortened so that it fits the column.
    pub(crate) fn take_name(&mut self) -> String {
        let derived = || shortened(format!("{}.{}", self.service, self.method));
        self.name.take().unwrap_or_else(derived)
    }

    pub(crate) fn check(&self) -> Result<(), InvalidInput> {
        let mut faults = Faults::default();
        self.check_into(&mut faults);
        faults.into_result()
    }

    /// The check of a task that has a theme.
    pub(crate) fn check_of_theme(&self, theme: &str) -> Result<(), InvalidInput> {
        let mut faults = Faults::default();
        faults.name("theme", theme, MAX_THEME_CHARS);
        self.check_into(&mut faults);
        faults.into_result()
    }

    fn check_into(&self, faults: &mut Faults) {
        faults.name("service", &self.service, MAX_NAME_CHARS);
        faults.name("method", &self.method, MAX_NAME_CHARS);
        if let Some(name) = &self.name {
            faults.name("task name", name, MAX_NAME_CHARS);
        }
        if let Some(key) = &self.unique_key {
            faults.name("unique key", key, MAX_NAME_CHARS);
        }
        if let Some(key) = &self.limit_key {
            faults.name("limit key", key, MAX_LIMIT_KEY_CHARS);
        }
        if let Some(traceparent) = &self.traceparent {
            check_traceparent(faults, traceparent);
        }
        match &self.arg {
            Ok(arg) => check_json(faults, arg),
            Err(error) => faults.require(false, || format!("the arguments cannot be serialised to JSON: {error}")),
        }
        faults.include(self.max_retry.map_or(Ok(()), check_max_retry));
        faults.require(self.timeout.is_none_or(fits_millis), || {
            "timeout must be at least 1 ms and at most 2^63 - 1 ms".to_owned()
        });
        faults.require(
            self.retry_delay
                .is_none_or(|delay| delay.is_zero() || fits_millis(delay)),
            || "retry_delay must be zero, or at least 1 ms and at most 2^63 - 1 ms".to_owned(),
        );
        let years = self.run_at.map(|at| chrono::Datelike::year(&at));
        faults.require(years.is_none_or(|year| (1970..=9999).contains(&year)), || {
            "run_at must lie in the years 1970 to 9999".to_owned()
        });
    }
}

/// Checks that the column can hold the number.
pub(crate) fn check_max_retry(times: i64) -> Result<(), InvalidInput> {
    let mut faults = Faults::default();
    faults.require((0..i64::from(i32::MAX)).contains(&times), || {
        format!("max_retry is {times}, expected 0 to 2147483646")
    });
    faults.into_result()
}

/// The name, or if it is too long its beginning and its end with `...` between them.
fn shortened(name: String) -> String {
    const GAP: &str = "...";
    let chars = name.chars().count();
    if chars <= MAX_NAME_CHARS {
        return name;
    }
    let kept = (MAX_NAME_CHARS - GAP.len()) / 2;
    let (head, tail) = (name.chars().take(kept), name.chars().skip(chars - kept));
    head.chain(GAP.chars()).chain(tail).collect()
}

/// Whether a column can hold the duration. The columns hold whole milliseconds, and a duration must not be rounded down to 0.
fn fits_millis(duration: Duration) -> bool {
    duration >= Duration::from_millis(1) && i64::try_from(duration.as_millis()).is_ok()
}
