//! How a process runs jobs.

use std::{collections::BTreeMap, time::Duration};

use log::LevelFilter;

use crate::{
    config::{Compat, JobsConfig},
    domain::{Faults, JobRules, Json, OverlapPolicy, TaskError},
    hook::HookOptions,
    logs::KeepLogs,
    registry::{Layers, Next, TaskContext},
    schedule::{ScheduleForm, Zone, parse_zone},
};

/// Runs of one process at the same time at most: a guard against a slip of the finger.
const MOST_RUNS: usize = 100_000;

/// Characters of the name of a system at most.
const LONGEST_SYSTEM: usize = 64;

/// The variable that names the environment where the configuration does not.
const ENVIRONMENT: &str = "DeployEnvironment";

/// How a process runs jobs. The configuration's section `Jobs` has the rest.
///
#[cfg_attr(feature = "hooks", doc = "```")]
#[cfg_attr(not(feature = "hooks"), doc = "```ignore")]
/// use gaia_actors::{HookOptions, JobsOptions, ScheduleForm};
///
/// let options = JobsOptions::default()
///     .time_zone("Asia/Shanghai")
///     .form(ScheduleForm::SixFields)
///     .hooks(HookOptions::default().allow_private(false))
///     .max_running(500);
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "options do nothing until a Gaia is started with them"]
pub struct JobsOptions {
    zone: Option<String>,
    form: ScheduleForm,
    overlap: Option<OverlapPolicy>,
    /// `None`: as the node.
    compat: Option<Compat>,
    hooks: HookOptions,
    max_running: Option<usize>,
    cancel_grace: Option<Duration>,
    environment: Option<String>,
    banned: Option<Vec<String>>,
    system: Option<String>,
    logs: KeptLogs,
    layers: Layers,
}

/// Of which jobs the lines are kept.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeptLogs {
    all: Option<KeepLogs>,
    /// By name.
    some: BTreeMap<String, KeepLogs>,
}

impl KeptLogs {
    /// Which lines of this job are kept. `None`: none.
    pub(super) fn of(&self, job: &str) -> Option<KeepLogs> {
        let keep = self.some.get(job).copied().or(self.all);
        keep.filter(|keep| keep.level > LevelFilter::Off)
    }
}

/// Options that have passed their check.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) rules: JobRules,
    /// Whether the zone of the rules was chosen, and is not the default.
    pub(crate) names_zone: bool,
    pub(crate) hooks: HookOptions,
    pub(crate) max_running: usize,
    pub(crate) cancel_grace: Duration,
    /// The environment of this process, if jobs must not run in it.
    pub(crate) banned: Option<String>,
    /// The system whose jobs these are.
    pub(crate) system: String,
    pub(crate) logs: KeptLogs,
    pub(crate) layers: Layers,
}

impl JobsOptions {
    /// Name of the time zone in which expressions are read that name none. Default: the configuration's `TimeZone`, else
    /// UTC. It should be the same on all nodes.
    pub fn time_zone(self, name: impl Into<String>) -> Self {
        Self {
            zone: Some(name.into()),
            ..self
        }
    }

    /// Which expressions are taken. Default [`ScheduleForm::Any`]: five fields, or six with seconds first. A team that comes
    /// from the guide's `NewSecondJobs` may want [`ScheduleForm::SixFields`].
    pub fn form(self, form: ScheduleForm) -> Self {
        Self { form, ..self }
    }

    /// What a fire does while another run of its job is under way, if the job has no policy of its own
    /// ([`NewJob::overlap`](crate::NewJob::overlap)): jobs that this process adds get this one, and rows that have none (those of the Go framework
    /// among them) go by that of the process that claims their fires. Default: the configuration's `Jobs.Overlap`, else
    /// [`OverlapPolicy::Forbid`]; with [`Compat::Go`] [`OverlapPolicy::Delay`]. It should be the same on all nodes.
    pub fn overlap(self, policy: OverlapPolicy) -> Self {
        Self {
            overlap: Some(policy),
            ..self
        }
    }

    /// Whose defaults hold for jobs: see [`Compat`]. Default: those of [`GaiaBuilder::compat`](crate::GaiaBuilder::compat).
    ///
    /// ```
    /// use gaia_actors::{Compat, JobsOptions};
    ///
    /// // A fire waits for the end of the job's last run, as in the Go framework.
    /// let options = JobsOptions::default().compat(Compat::Go);
    /// ```
    pub fn compat(self, compat: Compat) -> Self {
        Self {
            compat: Some(compat),
            ..self
        }
    }

    /// What hooks may reach, and how.
    #[cfg(feature = "hooks")]
    pub fn hooks(self, hooks: HookOptions) -> Self {
        Self { hooks, ..self }
    }

    /// Runs of this process at the same time. Default 5,000. A node that has so many claims nothing more: others do, or the
    /// fires wait.
    pub fn max_running(self, runs: usize) -> Self {
        Self {
            max_running: Some(runs),
            ..self
        }
    }

    /// How long a handler may take to end after a stop, before it is dropped. Default 5 s. A run that is out of
    /// time has no such grace.
    pub fn cancel_grace(self, grace: Duration) -> Self {
        Self {
            cancel_grace: Some(grace),
            ..self
        }
    }

    /// The environment of this process. Default: the configuration's `Environment`, else the variable `DeployEnvironment`.
    pub fn environment(self, name: impl Into<String>) -> Self {
        Self {
            environment: Some(name.into()),
            ..self
        }
    }

    /// Environments in which jobs must not run. Default: the configuration's `BanEnvList`.
    pub fn ban_env_list<T: Into<String>>(self, names: impl IntoIterator<Item = T>) -> Self {
        Self {
            banned: Some(names.into_iter().map(Into::into).collect()),
            ..self
        }
    }

    /// The system whose jobs this process sees, adds and runs: those whose `system_name` is this one. Names of jobs are unique in a system.
    /// Default: the configuration's `Jobs.SystemName`, else the jobs that have none, as this crate adds them. Programs of the Go framework write
    /// their `SystemEnName` there, at most 64 characters: until a process names that system here, no process of this crate runs their jobs.
    ///
    /// ```
    /// use gaia_actors::JobsOptions;
    ///
    /// let options = JobsOptions::default().system_name("shop");
    /// ```
    pub fn system_name(self, name: impl Into<String>) -> Self {
        Self {
            system: Some(name.into()),
            ..self
        }
    }

    /// Keeps what the handlers of all jobs log, with each run: see [`logs`](crate::logs). All attempts of a run are one log. Default: lines
    /// are not kept.
    pub fn keep_logs(mut self, keep: KeepLogs) -> Self {
        self.logs.all = Some(keep);
        self
    }

    /// Keeps what the handlers of the job with this name log, instead of what [`keep_logs`](Self::keep_logs) says of all jobs;
    /// [`LevelFilter::Off`] keeps nothing of it.
    pub fn keep_logs_of(mut self, job: impl Into<String>, keep: KeepLogs) -> Self {
        self.logs.some.insert(job.into(), keep);
        self
    }

    /// Calls this function around each attempt of jobs that call methods, by the rules of
    /// [`SchedulerOptions::layer`](crate::SchedulerOptions::layer): the first that is added is the outermost, and each is within the job's
    /// timeout. Hooks are no handlers, and have no layers.
    ///
    /// ```
    /// use gaia_actors::{JobsOptions, Next, TaskContext};
    ///
    /// let options = JobsOptions::default().layer(async |ctx: TaskContext, next: Next| {
    ///     let job = ctx.theme().to_owned(); // the name of the job
    ///     let answer = next.run(ctx).await;
    ///     if let Err(error) = &answer {
    ///         log::warn!("{job}: {error}");
    ///     }
    ///     answer
    /// });
    /// ```
    pub fn layer<F>(mut self, layer: F) -> Self
    where
        F: AsyncFn(TaskContext, Next) -> Result<Json, TaskError> + Send + Sync + 'static,
    {
        self.layers.add_fn(layer);
        self
    }

    /// With the configuration's word where these say nothing.
    pub(crate) fn settings(self, config: &JobsConfig, compat: Compat, faults: &mut Faults) -> Settings {
        let zone = self.zone.as_ref().unwrap_or(&config.time_zone);
        let names_zone = !zone.is_empty();
        let zone = match zone.is_empty() {
            true => Some(Zone::UTC),
            false => faults.take(parse_zone(zone)),
        };
        let configured = match config.overlap.as_str() {
            "" => None,
            text => faults.take(text.parse().map_err(|fault: String| format!("Jobs.Overlap: {fault}"))),
        };
        let default = match self.compat.unwrap_or(compat) {
            Compat::Go => OverlapPolicy::Delay,
            Compat::Off => OverlapPolicy::Forbid,
        };
        let max_running = self.max_running.unwrap_or(5_000);
        faults.require((1..=MOST_RUNS).contains(&max_running), || {
            format!("max_running is {max_running}, expected 1 to {MOST_RUNS}")
        });
        if let Some(keep) = self.logs.all {
            keep.check("jobs", faults);
        }
        for (job, keep) in &self.logs.some {
            keep.check(&format!("job {job:?}"), faults);
        }
        let environment = self
            .environment
            .or_else(|| Some(config.environment.clone()).filter(|name| !name.is_empty()))
            .or_else(|| std::env::var(ENVIRONMENT).ok());
        let system = self.system.unwrap_or_else(|| config.system_name.clone());
        let is_good = system.chars().count() <= LONGEST_SYSTEM && system.trim() == system && !system.contains('\0');
        faults.require(is_good, || {
            format!(
                "the system of the jobs is {system:?}, expected at most {LONGEST_SYSTEM} characters, without blanks around them"
            )
        });
        let banned = self.banned.as_ref().unwrap_or(&config.ban_env_list);
        Settings {
            rules: JobRules {
                zone: zone.unwrap_or(Zone::UTC),
                form: self.form,
                overlap: self.overlap.or(configured).unwrap_or(default),
            },
            names_zone,
            hooks: self.hooks,
            max_running,
            cancel_grace: self.cancel_grace.unwrap_or(Duration::from_secs(5)),
            banned: environment.filter(|name| is_listed(banned, name)),
            system,
            logs: self.logs,
            layers: self.layers,
        }
    }
}

/// In any case, and whatever stands around the name.
fn is_listed(banned: &[String], name: &str) -> bool {
    let name = name.trim();
    !name.is_empty() && banned.iter().any(|banned| banned.trim().eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(options: JobsOptions, config: &JobsConfig) -> Result<Settings, String> {
        let mut faults = Faults::default();
        let settings = options.settings(config, Compat::Off, &mut faults);
        faults
            .into_result()
            .map(|()| settings)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn an_environment_that_is_listed_is_banned_whatever_its_case() {
        let config = JobsConfig {
            ban_env_list: vec!["test".to_owned(), " Local ".to_owned()],
            environment: "LOCAL".to_owned(),
            ..JobsConfig::default()
        };
        let banned = |options| settings(options, &config).expect("is good").banned;
        assert_eq!(banned(JobsOptions::default()).as_deref(), Some("LOCAL"));
        assert_eq!(banned(JobsOptions::default().environment("prod")), None);
        assert_eq!(banned(JobsOptions::default().ban_env_list(["prod"])), None);
    }

    #[test]
    fn the_overlap_policy_is_that_of_the_code_then_of_the_configuration_then_of_the_switch() {
        let configured = |overlap: &str| JobsConfig {
            overlap: overlap.to_owned(),
            ..JobsConfig::default()
        };
        let overlap = |options: JobsOptions, overlap: &str| {
            let settings = settings(options, &configured(overlap));
            settings.map(|settings| settings.rules.overlap)
        };
        let plain = JobsOptions::default;
        assert_eq!(overlap(plain(), ""), Ok(OverlapPolicy::Forbid));
        assert_eq!(overlap(plain().compat(Compat::Go), ""), Ok(OverlapPolicy::Delay));
        assert_eq!(overlap(plain().compat(Compat::Go), "allow"), Ok(OverlapPolicy::Allow));
        let own = plain().overlap(OverlapPolicy::Replace).compat(Compat::Go);
        assert_eq!(overlap(own, "allow"), Ok(OverlapPolicy::Replace));
        let fault = overlap(plain(), "Delay").expect_err("is bad");
        assert!(
            fault.contains(
                "Jobs.Overlap: unknown overlap_policy \"Delay\", expected one of forbid, allow, replace, delay"
            ),
            "{fault}"
        );
    }

    #[test]
    fn bad_options_are_named() {
        let options = JobsOptions::default().time_zone("Asia/Shangai").max_running(0);
        let faults = settings(options, &JobsConfig::default()).expect_err("is bad");
        assert!(
            faults.contains("Asia/Shanghai") && faults.contains("max_running is 0"),
            "{faults}"
        );
    }
}
