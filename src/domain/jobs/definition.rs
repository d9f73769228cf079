//! Jobs that have passed the check. The same check serves jobs that callers hand in and rows of the table.

use std::{collections::BTreeMap, time::Duration};

use super::{JobType, MisfirePolicy, NewJob, OverlapPolicy, SecretChange};
use crate::{
    domain::{
        Faults, HookMethod, HookSecret, InvalidInput, Json, MAX_NAME_CHARS, RetryPolicy, check_hook_headers,
        check_hook_url, check_json, without_user,
    },
    schedule::{Schedule, ScheduleError, ScheduleForm, Zone, parse_zone},
};

/// Longest expression, in characters: the width of the guide's `cron_expr`.
const MAX_CRON_CHARS: usize = 100;

/// The most retries of one run: more than any job needs.
const MAX_RETRY: i64 = 1_000;

/// The rules for all jobs of a runner: the time zone and the overlap policy of jobs that name none, and the form of their expressions.
#[derive(Debug, Clone)]
pub(crate) struct JobRules {
    pub(crate) zone: Zone,
    pub(crate) form: ScheduleForm,
    pub(crate) overlap: OverlapPolicy,
}

/// A job that can fire and run.
#[derive(Debug, Clone)]
pub(crate) struct Definition {
    pub(crate) schedule: Schedule,
    pub(crate) target: Target,
    pub(crate) timeout: Duration,
    pub(crate) max_retry: u32,
    pub(crate) retry: RetryPolicy,
}

/// What a job calls.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Service {
        service: String,
        method: String,
        args: Json,
    },
    Hook(Hook),
}

/// The request of a hook. Its headers may hold secrets.
#[derive(Clone)]
pub(crate) struct Hook {
    pub(crate) method: HookMethod,
    pub(crate) url: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
    pub(crate) secret: Option<HookSecret>,
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hook")
            .field("method", &self.method)
            .field("url", &without_user(&self.url))
            .finish_non_exhaustive()
    }
}

impl JobRules {
    /// The schedule of a job with this expression, in this zone or, without one, in the runner's.
    pub(crate) fn schedule(&self, expr: &str, zone: Option<&str>) -> Result<Schedule, ScheduleError> {
        let zone = match zone.filter(|zone| !zone.trim().is_empty()) {
            Some(zone) => parse_zone(zone)?,
            // The zone's rules are read again: the system may have been updated since this process started.
            None => self.zone.renewed(),
        };
        Schedule::parse_in(expr, zone, self.form)
    }
}

impl NewJob {
    /// The job, with the overlap policy of the runner unless it names one.
    pub(crate) fn or_overlap(self, rules: &JobRules) -> Self {
        let default = || rules.overlap.to_string();
        Self {
            overlap_policy: Some(self.overlap_policy.unwrap_or_else(default)),
            ..self
        }
    }

    /// Checks everything; the error names every fault.
    pub(crate) fn define(&self, rules: &JobRules) -> Result<Definition, InvalidInput> {
        let mut faults = Faults::default();
        faults.label("job_name", &self.job_name, MAX_NAME_CHARS);
        let schedule = faults.take(self.schedule(rules));
        let target = self.target(&mut faults);
        let timeout = seconds(&mut faults, "timeout", self.timeout, 1);
        // The policies and the grace are only checked here: they are read again where they are needed.
        seconds(&mut faults, "misfire_grace", self.misfire_grace, 0);
        faults.take(self.overlap_policy.as_deref().map_or(Ok(rules.overlap), str::parse));
        faults.take(self.misfire_policy.parse::<MisfirePolicy>());
        faults.require((0..=MAX_RETRY).contains(&self.max_retry), || {
            format!("max_retry is {}, expected 0 to {MAX_RETRY}", self.max_retry)
        });
        faults.require(self.retry_delay_ms >= 0, || {
            format!("retry_delay_ms is {}, expected 0 or more", self.retry_delay_ms)
        });
        let (Some(schedule), Some(target)) = (schedule, target) else {
            return Err(faults.into_error());
        };
        faults.into_result()?;
        Ok(Definition {
            schedule,
            target,
            timeout,
            max_retry: u32::try_from(self.max_retry).unwrap_or(0),
            retry: RetryPolicy {
                base: Duration::from_millis(self.retry_delay_ms.unsigned_abs()),
                ..RetryPolicy::default()
            },
        })
    }

    fn schedule(&self, rules: &JobRules) -> Result<Schedule, String> {
        let chars = self.cron_expr.chars().count();
        if chars > MAX_CRON_CHARS {
            return Err(format!(
                "cron_expr has {chars} characters, at most {MAX_CRON_CHARS} fit its column"
            ));
        }
        rules
            .schedule(&self.cron_expr, self.time_zone.as_deref())
            .map_err(|error| format!("cron_expr: {error}"))
    }

    fn target(&self, faults: &mut Faults) -> Option<Target> {
        let args = faults.take(
            self.args
                .as_ref()
                .map_err(|error| format!("the arguments cannot be serialised to JSON: {error}")),
        )?;
        // Arguments may be missing: then a method gets `null`, and a request has no body.
        if !args.trim().is_empty() {
            check_json(faults, args);
        }
        match faults.take(self.job_type.parse::<JobType>())? {
            JobType::CronJob => Some(self.service(faults, args)),
            JobType::CronHook => self.hook(faults, args),
        }
    }

    fn service(&self, faults: &mut Faults, args: &str) -> Target {
        let name = |text: &Option<String>| text.clone().unwrap_or_default();
        let (service, method) = (name(&self.service_name), name(&self.service_method));
        faults.name("service_name (which a cron_job needs)", &service, MAX_NAME_CHARS);
        faults.name("service_method (which a cron_job needs)", &method, MAX_NAME_CHARS);
        Target::Service {
            service,
            method,
            args: Json::from_column(Some(args.to_owned())),
        }
    }

    fn hook(&self, faults: &mut Faults, args: &str) -> Option<Target> {
        let url = self.hook_url.as_deref().unwrap_or_default();
        if url.trim().is_empty() {
            faults.require(false, || "hook_url is empty, a cron_hook needs one".to_owned());
        } else {
            faults.take(check_hook_url(url));
        }
        faults.take(check_hook_headers(&self.hook_headers));
        let method = faults.take(self.hook_method.parse::<HookMethod>())?;
        let secret = match &self.hook_secret {
            SecretChange::Set(text) => Some(faults.take(HookSecret::parse(text))?),
            SecretChange::Keep | SecretChange::Remove => None,
        };
        Some(Target::Hook(Hook {
            method,
            url: url.to_owned(),
            headers: self.hook_headers.clone(),
            body: args.to_owned(),
            secret,
        }))
    }
}

fn seconds(faults: &mut Faults, what: &str, seconds: f64, least: i32) -> Duration {
    let fits = seconds.fract() == 0.0 && (f64::from(least)..=f64::from(i32::MAX)).contains(&seconds);
    faults.require(fits, || {
        format!(
            "{what} is {seconds} s, expected whole seconds from {least} to {}",
            i32::MAX
        )
    });
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
