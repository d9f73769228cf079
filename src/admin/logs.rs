//! What handlers have logged while they served a run.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Admin, GetTaskLog};
use crate::{
    domain::Faults,
    error::{Error, ask},
    logs::{JOBS, LogLine, MOST_LINES, RunLog, read},
};

/// The lines of a run are written so long after its end at the latest, unless the database is away.
const SETTLED: TimeDelta = TimeDelta::seconds(2);

/// The longest log id, in characters: the width of its column.
const MAX_LOG_ID_CHARS: usize = 100;

impl Admin {
    /// What the handler of a task has logged in one run, if its scheduler [keeps logs](crate::SchedulerOptions::keep_logs). Lines of a run
    /// that goes on are there within a second and a half.
    ///
    /// Lines are kept as long as the records of their theme. A task that was deleted by hand leaves its lines.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use gaia_actors::{admin::GetTaskLog, logs::KeepLogs, prelude::*};
    ///
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// // The application has installed a `gaia_actors::logs::LogCapture`.
    /// let gaia = Gaia::builder()
    ///     .database("sqlite::memory:")
    ///     .scheduler(SchedulerOptions::new("orders").keep_logs(KeepLogs::default()))
    ///     .start()
    ///     .await?;
    /// # let orders = gaia.scheduler("orders")?;
    /// # let id = orders.add_task(NewTask::new("Order", "Pay")).await?.id;
    /// let log = gaia.admin().task_log(GetTaskLog { id, log_id: None }).await?;
    /// for line in log.lines {
    ///     println!("{} {} {}", line.at, line.level, line.message);
    /// }
    /// # gaia.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::TaskNotFound`], [`Error::Invalid`] for a log id that no run can have, [`Error::Store`].
    pub async fn task_log(&self, get: GetTaskLog) -> Result<RunLog, Error> {
        let mut faults = Faults::default();
        if let Some(log_id) = &get.log_id {
            faults.label("log_id", log_id, MAX_LOG_ID_CHARS);
        }
        faults.into_result()?;
        let task = self.task(get.id).await?;
        let Some(log_id) = get.log_id.or(task.log_id.clone()) else {
            // No run has begun.
            return Ok(RunLog::of(String::new(), false, &[]));
        };
        let (id, theme) = (get.id, task.theme.clone());
        let name = log_id.clone();
        let read = ask(&self.store, |store| async move {
            let ended_at = store.cluster().end_of_run(id, &name).await?;
            let contents = store.cluster().logs_of(&theme, &name, ended_at).await?;
            Ok((ended_at, contents))
        });
        let (ended_at, contents) = read.await?;
        let is_over = match ended_at {
            Some(ended_at) => self.is_settled(ended_at),
            // A run without a record is under way, or has been lost.
            None => task.log_id.as_deref() != Some(&*log_id) || task.status.is_finished(),
        };
        Ok(RunLog::of(log_id, is_over, &contents))
    }

    /// What the handler of a job has logged in one run, in all its attempts, if its runner [keeps logs](crate::JobsOptions::keep_logs): as
    /// [`task_log`](Self::task_log).
    ///
    /// # Errors
    /// [`Error::RunNotFound`], [`Error::Store`].
    pub async fn run_log(&self, run_id: i64) -> Result<RunLog, Error> {
        let run = self.run(run_id).await?;
        let Some(log_id) = run.log_id.clone() else {
            return Ok(RunLog::of(String::new(), true, &[]));
        };
        let (name, ended_at) = (log_id.clone(), run.ended_at);
        let contents = ask(&self.store, |store| async move {
            store.cluster().logs_of(JOBS, &name, ended_at).await
        });
        let is_over = ended_at.is_some_and(|ended_at| self.is_settled(ended_at));
        Ok(RunLog::of(log_id, is_over, &contents.await?))
    }

    fn is_settled(&self, ended_at: DateTime<Utc>) -> bool {
        self.store.clock().now() - ended_at >= SETTLED
    }
}

impl RunLog {
    fn of(log_id: String, is_over: bool, contents: &[Vec<u8>]) -> Self {
        let lines = contents.iter().flat_map(|content| read(&log_id, content));
        let mut lines: Vec<LogLine> = lines.take(MOST_LINES).collect();
        // The row that ends a run may have been made before the last one that was written while it ran.
        lines.sort_by_key(|line| line.at);
        Self { log_id, is_over, lines }
    }
}
