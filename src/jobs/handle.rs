//! The handle on jobs: every operation as an async method.

use std::time::{Duration, Instant};

use super::{
    change::{ChangeJobIf, JobChange},
    cron::{StartNow, Started},
    options::Settings,
    runtime::JobsSlot,
    status::JobsStatus,
};
use crate::{
    domain::{Job, JobDetail, JobRecord, JobRules, ListJobs, NewJob, Page, PageRequest},
    error::{Error, ask},
    schedule::{Language, Schedule, ScheduleError, Zone},
    store::{self, JobRow, Store},
    traces::Traces,
};

/// How many next fires a detail lists.
const NEXT_FIRES: usize = 5;

/// Cloneable handle on the jobs of a database.
///
/// It works in a process that runs jobs and in a process that only looks after them; only
/// [`execute_job_immediately`](Self::execute_job_immediately) needs a process that runs jobs. Changes take effect immediately in
/// this process and, on PostgreSQL, in others; on the other databases within 5 seconds. Changes by plain SQL take effect within 5 seconds.
///
/// It is an actor too: the same operations are messages to its [address](Self::addr).
///
#[cfg_attr(feature = "sqlite", doc = "```")]
#[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
/// use gaia_actors::{JobsOptions, NewJob, prelude::*};
///
/// # #[actix_rt::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let gaia = Gaia::builder()
///     .database("sqlite::memory:")
///     .handler("Report", "Daily", async_fn(async |_: TaskContext, _: serde_json::Value| Ok("done")))
///     .jobs(JobsOptions::default())
///     .start()
///     .await?;
/// let jobs = gaia.jobs();
/// let id = jobs.add_job(NewJob::cron_job("daily report", "0 0 1 * * *", "Report", "Daily")).await?;
///
/// let detail = jobs.get_job_detail(id).await?;
/// assert_eq!(detail.next_fires.len(), 5);
///
/// let run = jobs.execute_job_immediately(id).await?;
/// let run = jobs.wait_for_run(run.id, std::time::Duration::from_secs(10)).await?;
/// assert_eq!(run.run_result.as_deref(), Some("\"done\""));
/// # gaia.stop().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Jobs {
    store: Store,
    rules: JobRules,
    /// The environment of this process, if jobs must not run in it.
    banned: Option<String>,
    jobs_slot: JobsSlot,
    traces: Traces,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs")
            .field("rules", &self.rules)
            .field("runs", &self.jobs_slot.get().is_some())
            .finish_non_exhaustive()
    }
}

impl Jobs {
    pub(crate) fn new(store: Store, settings: &Settings, jobs_slot: JobsSlot, traces: Traces) -> Self {
        Self {
            store,
            rules: settings.rules.clone(),
            banned: settings.banned.clone(),
            jobs_slot,
            traces,
        }
    }

    /// The time zone in which expressions are read that name none.
    #[must_use]
    pub fn time_zone(&self) -> Zone {
        self.rules.zone.renewed()
    }

    pub(crate) fn rules(&self) -> &JobRules {
        &self.rules
    }

    /// Whether jobs must not run in the environment of this process.
    pub(crate) fn are_banned(&self) -> bool {
        self.banned.is_some()
    }

    /// The schedule of a job with this expression, in this zone or, without one, in the default one.
    pub(crate) fn schedule(&self, expr: &str, zone: Option<&str>) -> Result<Schedule, ScheduleError> {
        self.rules.schedule(expr, zone)
    }

    // ---- changing ----

    /// Adds a job; answers with its id.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every fault, [`Error::JobNameTaken`], [`Error::Store`]. After an error nothing is stored.
    pub async fn add_job(&self, job: NewJob) -> Result<i64, Error> {
        let job = job.or_overlap(&self.rules);
        job.define(&self.rules)?;
        let name = job.job_name.clone();
        match ask(&self.store, |store| async move { store.jobs().add(job).await }).await? {
            store::AddJob::Added(id) => {
                self.changed(id);
                Ok(id)
            }
            store::AddJob::NameTaken(holder) => Err(Error::JobNameTaken { name, holder }),
        }
    }

    /// Replaces the whole definition of a job; its schedule holds from now on. A hook's secret stays unless the new definition sets or removes
    /// it. Runs that are under way go on as they were. Answers how many jobs were changed: 1.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every fault, [`Error::JobNotFound`], [`Error::JobNameTaken`], [`Error::Store`]. After an error nothing is
    /// changed.
    pub async fn update_job(&self, id: i64, job: NewJob) -> Result<u64, Error> {
        self.update(id, job, None).await?;
        Ok(1)
    }

    async fn update(&self, id: i64, job: NewJob, version: Option<i64>) -> Result<(), Error> {
        let (job, overlap) = (job.or_overlap(&self.rules), self.rules.overlap);
        job.define(&self.rules)?;
        let name = job.job_name.clone();
        let edit = ask(&self.store, |store| async move {
            store.jobs().update(id, job, version, overlap).await
        });
        self.edited(id, version, edit.await?, name)
    }

    /// For jobs that a program declares when it starts: adds the job, or updates the job with this name if its definition differs. An unchanged
    /// job is not touched, so that its missed fires are still made up for. Whether an existing job is enabled is never changed. Many processes
    /// may call this at the same time. Answers with the job's id.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every fault, [`Error::Store`].
    pub async fn ensure_job(&self, job: NewJob) -> Result<i64, Error> {
        let job = job.or_overlap(&self.rules);
        match self.add_job(job.clone()).await {
            Err(Error::JobNameTaken { holder, .. }) => {
                let row = self.row(holder).await?;
                if !row.is_same_as(&job, &self.rules) {
                    self.update_job(holder, job.enabled(row.is_enabled())).await?;
                }
                Ok(holder)
            }
            added => added,
        }
    }

    /// Deletes a job. Its records stay, and runs that are under way go on.
    ///
    /// # Errors
    /// [`Error::JobNotFound`], [`Error::Store`].
    pub async fn remove_job(&self, id: i64) -> Result<(), Error> {
        self.remove(id, None).await
    }

    async fn remove(&self, id: i64, version: Option<i64>) -> Result<(), Error> {
        let edit = ask(
            &self.store,
            |store| async move { store.jobs().remove(id, version).await },
        );
        self.edited(id, version, edit.await?, String::new())
    }

    /// Enables or disables a job. Fires that would have been due while it was disabled are not made up for; runs that are under way go on.
    ///
    /// # Errors
    /// [`Error::JobNotFound`], [`Error::Store`].
    pub async fn toggle_job(&self, id: i64, enabled: bool) -> Result<(), Error> {
        self.toggle(id, enabled, None).await
    }

    async fn toggle(&self, id: i64, enabled: bool, version: Option<i64>) -> Result<(), Error> {
        let edit = ask(&self.store, |store| async move {
            store.jobs().set_enabled(id, enabled, version).await
        });
        self.edited(id, version, edit.await?, String::new())
    }

    /// Changes a job if its definition is of the version that the caller has read. Of two callers who have read the same version, one changes
    /// the job, and the other gets [`Error::JobChanged`].
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use gaia_actors::{Error, Gaia, NewJob, messages::{ChangeJobIf, JobChange}};
    ///
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gaia = Gaia::builder().database("sqlite::memory:").start().await?;
    /// let jobs = gaia.jobs();
    /// let id = jobs.add_job(NewJob::cron_job("report", "@daily", "Report", "Daily")).await?;
    /// let version = jobs.get_job_detail(id).await?.job.version;
    ///
    /// let disable = ChangeJobIf { id, version, change: JobChange::Disable };
    /// jobs.change_job_if(disable.clone()).await?;
    /// let late = ChangeJobIf { change: JobChange::Remove, ..disable };
    /// assert!(matches!(jobs.change_job_if(late).await, Err(Error::JobChanged { .. })));
    /// # gaia.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::JobChanged`], and the errors of the change without a version. After an error nothing is changed.
    pub async fn change_job_if(&self, change: ChangeJobIf) -> Result<(), Error> {
        let ChangeJobIf { id, version, change } = change;
        let version = Some(version);
        match change {
            JobChange::Update(job) => self.update(id, *job, version).await,
            JobChange::Enable => self.toggle(id, true, version).await,
            JobChange::Disable => self.toggle(id, false, version).await,
            JobChange::Remove => self.remove(id, version).await,
        }
    }

    /// What the caller hears of an edit. `name`: the name that the caller wants the job to have.
    fn edited(&self, id: i64, version: Option<i64>, edit: store::EditJob, name: String) -> Result<(), Error> {
        match edit {
            store::EditJob::Done => {
                self.changed(id);
                Ok(())
            }
            store::EditJob::NotFound => Err(Error::JobNotFound { id }),
            store::EditJob::NameTaken(holder) => Err(Error::JobNameTaken { name, holder }),
            store::EditJob::Changed => Err(Error::JobChanged {
                id,
                version: version.unwrap_or_default(),
            }),
        }
    }

    fn changed(&self, id: i64) {
        if let Some(runtime) = self.jobs_slot.get() {
            runtime.refresh(id);
        }
        self.store.cluster().announce_requests();
    }

    // ---- running ----

    /// Whether this process runs jobs.
    pub(crate) fn run_here(&self) -> bool {
        self.jobs_slot.get().is_some()
    }

    /// Runs a job now, in this process, whether it is enabled or not; answers with the run as it begins. Its overlap policy
    /// holds. A process without jobs asks another one: [`Admin::run_job`](crate::Admin::run_job). The run belongs to the trace of the caller's
    /// span, if the application says what that is (`GaiaBuilder::tracing`).
    ///
    /// # Errors
    /// [`Error::JobNotFound`], [`Error::JobIsBad`], [`Error::JobIsRunning`] if another run is under way and its overlap policy is
    /// [`Forbid`](crate::OverlapPolicy::Forbid) or [`Delay`](crate::OverlapPolicy::Delay) (only fires of the schedule wait),
    /// [`Error::JobIsLocked`], [`Error::JobsNotRunHere`], [`Error::JobsBanned`], [`Error::Fenced`], [`Error::Stopped`], [`Error::Store`].
    pub async fn execute_job_immediately(&self, id: i64) -> Result<JobRecord, Error> {
        let runtime = match (self.jobs_slot.get(), &self.banned) {
            (Some(runtime), _) => runtime,
            (None, Some(environment)) => {
                return Err(Error::JobsBanned {
                    environment: environment.clone(),
                });
            }
            (None, None) => return Err(Error::JobsNotRunHere),
        };
        if let Err(fault) = self.row(id).await?.define(&self.rules) {
            return Err(Error::JobIsBad { id, fault });
        }
        let start = StartNow {
            job_id: id,
            traceparent: self.traces.current().map(Into::into),
        };
        match runtime.start_now(start).await? {
            Started::Run(run_id) => self.get_run(run_id).await,
            Started::Skipped(reason) => Err(Error::JobIsRunning { id, reason }),
            Started::Locked => Err(Error::JobIsLocked { id }),
            Started::NotFound => Err(Error::JobNotFound { id }),
        }
    }

    /// Cancels the runs of a job that are under way, on all nodes; answers how many there are. Their handlers are asked to stop, and dropped if
    /// they do not end within the cancel grace; the requests of hooks are dropped immediately. On another node this takes up to 5 seconds.
    ///
    /// # Errors
    /// [`Error::JobNotFound`] if there is neither such a job nor a run of it, [`Error::Store`].
    pub async fn cancel_job(&self, id: i64) -> Result<usize, Error> {
        const REASON: &str = "cancelled by request";
        let told = ask(&self.store, |store| async move {
            store.jobs().cancel_runs(id, REASON).await
        });
        let told = told.await?;
        if told == 0 {
            self.row(id).await?;
            return Ok(0);
        }
        if let Some(runtime) = self.jobs_slot.get() {
            runtime.poll();
        }
        self.store.cluster().announce_requests();
        Ok(told)
    }

    /// Waits until a run has ended, on whichever node, and answers with it.
    ///
    /// # Errors
    /// [`Error::RunNotFound`], [`Error::RunWaitTimedOut`], [`Error::Store`].
    pub async fn wait_for_run(&self, run_id: i64, timeout: Duration) -> Result<JobRecord, Error> {
        const LONGEST: Duration = Duration::from_millis(500);
        let (began, mut pause) = (Instant::now(), Duration::from_millis(5));
        loop {
            let run = self.get_run(run_id).await?;
            if !run.is_open() {
                return Ok(run);
            }
            let left = timeout.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Err(Error::RunWaitTimedOut {
                    run_id,
                    waited: timeout,
                });
            }
            tokio::time::sleep(pause.min(left)).await;
            pause = (pause * 2).min(LONGEST);
        }
    }

    // ---- looking ----

    /// Jobs, newest first. A job that cannot fire says why.
    ///
    /// Long arguments of a long page are cut, and say so. On a page of n jobs, arguments are cut if they are longer than 16 MB / n; then their
    /// first 4,000,000 / n characters are shown. So a page of 20 jobs shows arguments of up to 800 kB whole.
    /// [`get_job_detail`](Self::get_job_detail) shows them whole, and tells whether they are JSON.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Store`].
    pub async fn list_jobs(&self, list: ListJobs) -> Result<Page<Job>, Error> {
        list.page.check()?;
        let page = ask(&self.store, |store| async move { store.jobs().list(&list).await }).await?;
        Ok(Page {
            items: self.listed(page.items),
            total: page.total,
            page: page.page,
            page_size: page.page_size,
        })
    }

    /// Rows of a page, as jobs.
    pub(crate) fn listed(&self, rows: Vec<JobRow>) -> Vec<Job> {
        let now = self.store.clock().now();
        rows.into_iter().map(|row| row.listed(&self.rules, now)).collect()
    }

    /// One job, its next five fires, and its schedule in words.
    ///
    /// # Errors
    /// [`Error::JobNotFound`], [`Error::Store`].
    pub async fn get_job_detail(&self, id: i64) -> Result<JobDetail, Error> {
        let row = self.row(id).await?;
        let now = self.store.clock().now();
        let schedule = self.rules.schedule(&row.cron_expr.0, row.time_zone()).ok();
        let words = |language| schedule.as_ref().map(|schedule| schedule.describe(language));
        Ok(JobDetail {
            next_fires: schedule
                .iter()
                .flat_map(|schedule| schedule.iter_after(now).take(NEXT_FIRES))
                .collect(),
            description: words(Language::English),
            description_zh: words(Language::Chinese),
            job: row.job(&self.rules, now),
        })
    }

    /// The runs of a job, newest first, those it had under another name among them. Long texts of a long page are cut, and say so:
    /// as in a page of [`list_jobs`](Self::list_jobs).
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Store`]. The records of a job that was deleted are still there.
    pub async fn get_job_records(&self, id: i64, page: PageRequest) -> Result<Page<JobRecord>, Error> {
        page.check()?;
        ask(&self.store, |store| async move { store.jobs().records(id, page).await }).await
    }

    /// One run.
    ///
    /// # Errors
    /// [`Error::RunNotFound`], [`Error::Store`].
    pub async fn get_run(&self, run_id: i64) -> Result<JobRecord, Error> {
        let run = ask(&self.store, |store| async move { store.jobs().run(run_id).await }).await?;
        run.ok_or(Error::RunNotFound { run_id })
    }

    /// The runs that are under way, on all nodes, oldest first. If they are many their long texts are cut, as in a page of
    /// [`list_jobs`](Self::list_jobs).
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn get_running_jobs(&self) -> Result<Vec<JobRecord>, Error> {
        ask(&self.store, |store| async move { store.jobs().running().await }).await
    }

    /// The counters of this process. In a process that runs no jobs, all are zero.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn status(&self) -> Result<JobsStatus, Error> {
        match self.jobs_slot.get() {
            Some(runtime) => runtime.status().await,
            None => Ok(JobsStatus {
                banned: self.banned.clone(),
                ..JobsStatus::default()
            }),
        }
    }

    /// The job with this name.
    #[cfg(feature = "web")]
    pub(crate) async fn find_named(&self, name: &str) -> Result<Option<Job>, Error> {
        let name = name.to_owned();
        let id = ask(&self.store, |store| async move { store.jobs().named(&name).await }).await?;
        let Some(id) = id else {
            return Ok(None);
        };
        match self.row(id).await {
            Ok(row) => Ok(Some(row.job(&self.rules, self.store.clock().now()))),
            Err(Error::JobNotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn row(&self, id: i64) -> Result<JobRow, Error> {
        let row = ask(&self.store, |store| async move { store.jobs().get(id).await }).await?;
        row.ok_or(Error::JobNotFound { id })
    }
}
