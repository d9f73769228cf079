//! What a configuration names: themes, remote services, limits of methods, and jobs that are declared.

use std::time::Duration;

use super::{Gaia, services::NamedService};
use crate::{
    admin::SetLimit,
    asynctask::SchedulerOptions,
    config::{AsyncTaskConfig, Config, DeclaredJob, KeepLogsLevel, LimitConfig},
    domain::{Faults, JobRules, Limit, NewJob, Pace},
    error::Error,
    jobs::JobsOptions,
    logs::KeepLogs,
};

fn keep(level: KeepLogsLevel) -> KeepLogs {
    log::LevelFilter::from(level).into()
}

/// The options of a scheduler with these settings.
pub(super) fn scheduler(theme: &str, tasks: &AsyncTaskConfig) -> SchedulerOptions {
    let options = SchedulerOptions::new(theme)
        .worker_num(tasks.worker_num)
        .scan_interval(Duration::from_secs_f64(tasks.scan_task_interval))
        .shortest_scan_interval(Duration::from_secs_f64(tasks.shortest_scan_interval))
        .task_id_chan_length(tasks.task_id_chan_length)
        .scan_task_num(tasks.scan_task_num);
    SchedulerOptions {
        timeout: tasks.timeout.map(Duration::from_secs_f64),
        missing_handler: tasks.missing_handler,
        max_retry: tasks.max_retry,
        retry_succeeded: tasks.retry_succeeded,
        ..options
    }
}

/// The options of each theme of the section `Themes`.
pub(super) fn schedulers(config: &Config) -> Vec<SchedulerOptions> {
    let themes = config.themes.iter().map(|(theme, own)| {
        let options = scheduler(theme, &own.over(&config.async_task));
        match own.keep_logs {
            Some(level) => options.keep_logs(keep(level)),
            None => options,
        }
    });
    themes.collect()
}

/// How the section `Jobs` has jobs run.
pub(super) fn jobs(config: &Config) -> Option<JobsOptions> {
    let options = match config.jobs.keep_logs {
        Some(level) => JobsOptions::default().keep_logs(keep(level)),
        None => JobsOptions::default(),
    };
    config.jobs.run.then_some(options)
}

/// The jobs of `Jobs.Declared`. Faults name the job and the key.
pub(super) fn declared(config: &Config, rules: &JobRules, faults: &mut Faults) -> Vec<NewJob> {
    let all = &config.jobs.declared;
    let jobs = all.iter().enumerate().filter_map(|(at, declared)| {
        let name = declared.name();
        let place = format!("Jobs.Declared[{at}] ({name:?})");
        let twice = all[..at].iter().any(|other| other.name() == name);
        faults.require(!twice, || format!("{place}: an earlier job has this job_name, too"));
        let job = faults.take(read(declared).map_err(|fault| format!("{place}: {fault}")))?;
        let checked = job.define(rules).map_err(|input| {
            let faults = input.faults().iter().map(|fault| format!("{place}: {fault}"));
            faults.collect::<Vec<_>>().join("; ")
        });
        faults.take(checked).map(|_| job)
    });
    jobs.collect()
}

fn read(DeclaredJob(keys): &DeclaredJob) -> Result<NewJob, String> {
    let read = serde_path_to_error::deserialize(serde_json::Value::Object(keys.clone()));
    read.map_err(|error| {
        let (path, fault) = (error.path().to_string(), error.inner());
        match path.as_str() {
            "." => fault.to_string(),
            path => format!("{path}: {fault}"),
        }
    })
}

/// The limits of the section `Limits`. Faults name the place and the method.
pub(super) fn limits(config: &Config, faults: &mut Faults) -> Vec<SetLimit> {
    let all = &config.limits;
    let limits = all.iter().enumerate().map(|(at, own)| {
        let LimitConfig { service, method, .. } = own;
        let place = format!("Limits[{at}] ({service}.{method})");
        let is_twice = all[..at]
            .iter()
            .any(|other| (&other.service, &other.method) == (service, method));
        faults.require(!is_twice, || {
            format!("{place}: an earlier limit is of this method, too")
        });
        for (starts, per_ms, [count, time]) in [
            (own.starts, own.per_ms, ["Starts", "PerMs"]),
            (own.starts_per_key, own.per_key_ms, ["StartsPerKey", "PerKeyMs"]),
        ] {
            faults.require(starts.is_some() == per_ms.is_some(), || {
                format!("{place}: one of {count} and {time} alone says nothing; give both, or none of them")
            });
        }
        let set = SetLimit::new(service, method, limit(own));
        faults.include(set.check().map_err(|faults| faults.of(&place)));
        set
    });
    limits.collect()
}

fn limit(own: &LimitConfig) -> Limit {
    Limit {
        running: own.running,
        starts: pace(own.starts, own.per_ms),
        running_per_key: own.running_per_key,
        starts_per_key: pace(own.starts_per_key, own.per_key_ms),
    }
}

/// Where half of a pace is missing, its other half is still checked.
fn pace(starts: Option<u32>, per_ms: Option<u64>) -> Option<Pace> {
    (starts.is_some() || per_ms.is_some()).then(|| Pace {
        count: starts.unwrap_or(1),
        per: Duration::from_millis(per_ms.unwrap_or(1)),
    })
}

impl Gaia {
    /// Takes over the changes of a configuration that can be made while the process runs: starts themes that are new in `Themes`, changes
    /// how many workers this process has for the themes whose number has changed (until the theme is
    /// [resized](crate::Scheduler::resize_theme)), registers the services that are new in `Services`, replaces those that have changed and removes
    /// those that are gone, limits methods of the section `Limits` that have no limit, and adds or updates the jobs of `Jobs.Declared`. `before` is the configuration with which
    /// the process was started, or the last one that was taken over. Other changes need a new start of the process. A theme whose options were
    /// given in code, and that the configuration names, too, is resized like the others; so is a service replaced.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use gaia_actors::{Config, Gaia};
    ///
    /// let before = Config::from_json(r#"{"Databases": {"default": "sqlite::memory:"}, "Themes": {"mail": {"WorkerNum": 2}}}"#)?;
    /// let gaia = Gaia::builder().config(before.clone()).configured().start().await?;
    ///
    /// let after = Config::from_json(r#"{"Databases": {"default": "sqlite::memory:"}, "Themes": {"mail": {"WorkerNum": 5}}}"#)?;
    /// gaia.reconfigure(&before, &after).await?;
    /// assert_eq!(gaia.scheduler("mail")?.status().await?.all_workers, 5);
    /// # gaia.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] and [`Error::Invalid`] with every fault of the new configuration: nothing is changed. [`Error::Store`] if the
    /// database is away, [`Error::Registry`] for a service whose name has handlers in this process, and [`Error::Stopped`]: a part may be
    /// changed, and another call makes the rest.
    pub async fn reconfigure(&self, before: &Config, after: &Config) -> Result<(), Error> {
        // The database stays: it may be of the builder, and not of a configuration.
        let check = Self::builder().config(after.clone()).database(self.0.store.url());
        check.configured().check()?;
        let mut faults = Faults::default();
        let declared = declared(after, self.0.jobs.rules(), &mut faults);
        let limits = limits(after, &mut faults);
        faults.into_result()?;
        self.keep_limits(limits).await?;
        self.take_over_services(before, after).await?;
        for options in schedulers(after) {
            self.take_over(before, options).await?;
        }
        self.declare(declared).await
    }

    async fn take_over_services(&self, before: &Config, after: &Config) -> Result<(), Error> {
        let registry = self.registry();
        for name in before.services.keys() {
            if !after.services.contains_key(name) {
                registry.remove_whole(name).await?;
            }
        }
        for service in NamedService::configured(after) {
            if before.services.get(&service.name) != after.services.get(&service.name) {
                service.replace(registry).await?;
            }
        }
        Ok(())
    }

    async fn take_over(&self, before: &Config, options: SchedulerOptions) -> Result<(), Error> {
        match before.themes.get(&options.theme) {
            None => match self.start_scheduler(options.clone()).await {
                // An earlier call has started it.
                Err(Error::AlreadyScheduled { theme }) => {
                    self.scheduler(&theme)?.resize_workers(options.worker_num).await
                }
                started => started.map(drop),
            },
            Some(own) if own.over(&before.async_task).worker_num != options.worker_num => {
                self.scheduler(&options.theme)?.resize_workers(options.worker_num).await
            }
            Some(_) => Ok(()),
        }
    }

    /// Adds these jobs, or updates those that differ.
    pub(super) async fn declare(&self, jobs: Vec<NewJob>) -> Result<(), Error> {
        for job in jobs {
            self.jobs().ensure_job(job).await?;
        }
        Ok(())
    }
}
