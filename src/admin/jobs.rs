//! Jobs, as operators run them from any process.

use serde::{Deserialize, Serialize};

use super::{Admin, FindJobs, FindRuns, FoundJobs, FoundRuns, RunJob, requests::not_followed};
use crate::{
    domain::{Answer, Asked, Faults, InvalidInput, JobRecord, Note, check_wait},
    error::{Error, ask},
};

/// A run of a job that has begun: the answer of [`Admin::run_job`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct JobBegun {
    /// The id of the run, for [`Jobs::get_run`](crate::Jobs::get_run) and [`Jobs::wait_for_run`](crate::Jobs::wait_for_run).
    pub run_id: i64,
    /// The node that runs it.
    pub node: String,
}

impl JobBegun {
    pub(super) fn new(run_id: i64, node: String) -> Self {
        Self { run_id, node }
    }
}

impl Admin {
    /// Finds jobs, newest first, a page at a time. A job that cannot fire says why.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a limit out of range, or a text that no name can contain; [`Error::Store`].
    pub async fn find_jobs(&self, find: FindJobs) -> Result<FoundJobs, Error> {
        find.check()?;
        let limit = find.limit;
        let rows = ask(&self.store, |store| async move { store.jobs().find(&find).await }).await?;
        Ok(FoundJobs::new(self.jobs.listed(rows), limit))
    }

    /// Finds runs of all jobs or of one, newest first, a page at a time. A page costs as much beside a million runs as beside a hundred, however
    /// far the caller has turned the pages.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use gaia_actors::{Gaia, admin::{FindRuns, RunState}};
    ///
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gaia = Gaia::builder().database("sqlite::memory:").start().await?;
    /// let find = FindRuns { state: Some(RunState::Open), ..FindRuns::default() };
    /// let found = gaia.admin().find_runs(find).await?;
    /// assert!(found.runs.is_empty());
    /// assert_eq!(found.next, None);
    /// # gaia.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] for a limit out of range, [`Error::Store`].
    pub async fn find_runs(&self, find: FindRuns) -> Result<FoundRuns, Error> {
        find.check()?;
        let limit = find.limit;
        let runs = ask(&self.store, |store| async move { store.jobs().find_runs(&find).await });
        Ok(FoundRuns::new(runs.await?, limit))
    }

    /// The last runs of each of these jobs, newest first, without arguments, results and errors.
    #[cfg(feature = "web")]
    pub(crate) async fn last_runs(&self, jobs: Vec<i64>, each: u32) -> Result<Vec<JobRecord>, Error> {
        ask(
            &self.store,
            |store| async move { store.jobs().last_runs(&jobs, each).await },
        )
        .await
    }

    /// One run of a job, with its texts whole.
    ///
    /// # Errors
    /// [`Error::RunNotFound`], [`Error::Store`].
    pub async fn run(&self, id: i64) -> Result<JobRecord, Error> {
        self.jobs.get_run(id).await
    }

    /// Runs a job now, whether it is enabled or not, and answers once the run has begun. A process that runs jobs begins it itself, as
    /// [`Jobs::execute_job_immediately`](crate::Jobs::execute_job_immediately) does. Any other process leaves a request in the database, and a node that runs jobs takes it within
    /// 3 s (on PostgreSQL: at once). The overlap policy of the job holds.
    ///
    /// A request is taken by one node. If none takes it within the timeout, or within 60 s, it is withdrawn: it never runs later by surprise.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use gaia_actors::{JobsOptions, NewJob, admin::RunJob, prelude::*};
    ///
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gaia = Gaia::builder()
    ///     .database("sqlite::memory:")
    ///     .handler("Report", "Daily", async_fn(async |_: TaskContext, _: serde_json::Value| Ok("done")))
    ///     .jobs(JobsOptions::default())
    ///     .start()
    ///     .await?;
    /// let id = gaia.jobs().add_job(NewJob::cron_job("daily report", "0 0 1 * * *", "Report", "Daily")).await?;
    ///
    /// let begun = gaia.admin().run_job(RunJob { by: Some("night shift".to_owned()), ..RunJob::new(id) }).await?;
    /// let run = gaia.jobs().wait_for_run(begun.run_id, std::time::Duration::from_secs(10)).await?;
    /// assert_eq!(run.run_result.as_deref(), Some("\"done\""));
    /// # gaia.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] for a text that is too long or holds a control character, or a timeout out of range; [`Error::NotTaken`] if no node
    /// that runs jobs has taken the request; [`Error::NotAnswered`] if the node that took it has died or is silent;
    /// [`Error::NotFollowed`]; [`Error::JobNotFound`], [`Error::JobIsBad`], [`Error::JobIsRunning`], [`Error::JobIsLocked`],
    /// [`Error::Fenced`], [`Error::Stopped`]; [`Error::Store`], after which the job may have begun.
    pub async fn run_job(&self, run: RunJob) -> Result<JobBegun, Error> {
        let RunJob {
            job_id,
            by,
            reason,
            timeout,
        } = run;
        let mut faults = Faults::default();
        let note = Note::checked(&mut faults, by, reason);
        check_wait(&mut faults, timeout);
        faults.into_result()?;
        if self.jobs.run_here() {
            let run = self.jobs.execute_job_immediately(job_id).await?;
            return Ok(JobBegun::new(run.id, self.node.to_string()));
        }
        let (node, answer) = self.request(None, Asked::RunJob { job_id }, note, timeout).await?;
        begun(job_id, node, answer)
    }
}

/// The answer of a node that was to run a job.
fn begun(job_id: i64, node: String, answer: Answer) -> Result<JobBegun, Error> {
    Err(match answer {
        Answer::Begun { run_id } => return Ok(JobBegun::new(run_id, node)),
        Answer::JobNotFound => Error::JobNotFound { id: job_id },
        Answer::JobIsBad { faults } => Error::JobIsBad {
            id: job_id,
            fault: InvalidInput::one(faults.join("; ")),
        },
        Answer::JobIsRunning { reason } => Error::JobIsRunning { id: job_id, reason },
        Answer::JobIsLocked => Error::JobIsLocked { id: job_id },
        answer => not_followed(node, answer),
    })
}
