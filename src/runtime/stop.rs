//! Stops a Gaia without losing outcomes.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use futures_util::future::{join, join_all};
use serde::{Deserialize, Serialize};

use super::Gaia;
use crate::{
    admin::StopBulk,
    asynctask::{StopRelease, ThemeRuntime},
    error::Error,
    node::{Retire, StopLogs, StopPruning, write_history},
};

/// The least and the most time that the last outcomes have to get into the database once nothing runs any more: they get the time that the
/// runs have not used, too. Other nodes take over tasks whose ends are not written by then, and run them again.
const FLUSH: Duration = Duration::from_secs(5);
const LONGEST_FLUSH: Duration = Duration::from_secs(20);

/// How long after the cancel grace a run on a blocked thread is given up.
const BLOCKED: Duration = Duration::from_secs(2);

/// How long the removal of this node's row may take, and the write of the last counts beside it. If the database is away, other nodes find
/// this node dead.
const LEAVE: Duration = Duration::from_secs(2);

/// How many tasks and outcomes a graceful stop has left behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StopReport {
    /// Claimed tasks that this stop handed back: tasks that had not begun, and tasks that were cut off after the grace period.
    pub handed_back: u64,
    /// Outcomes of tasks, and ends of jobs' runs, that were not written, or perhaps not: the database was away, or gave no answer in time.
    /// Those tasks run again, and those runs are recorded as lost.
    pub unwritten: usize,
    /// Outcomes of tasks, and ends of jobs' runs, that the database refuses in every form. Those tasks stay Running without a
    /// node and do not run again by themselves; see [`SchedulerStatus::refused`](crate::SchedulerStatus::refused).
    pub refused: usize,
}

impl Gaia {
    /// Stops gracefully: claims nothing more, lets running tasks and jobs end within the grace period, cancels the rest (tasks are handed
    /// back as not run, runs of jobs are recorded as cut off), writes every outcome, and removes this node's row. A second call waits for
    /// the same stop.
    ///
    /// A stop takes at most the sum of the grace (10 s), the longest [cancel grace](crate::SchedulerOptions::cancel_grace) of a theme for
    /// handlers that ignore their cancellation (5 s), 2 s for handlers that block their threads, 5 s for outcomes that the database does
    /// not take immediately, and 2 s for the node's row: 24 s by default, less than the 30 s after which orchestrators kill a process. If
    /// runs end sooner, outcomes may take the rest of their time, at most 20 s.
    ///
    /// # Errors
    /// [`Error::Stopped`] if the actors are gone without having been stopped.
    pub async fn stop(&self) -> Result<StopReport, Error> {
        self.stop_within(self.0.grace).await
    }

    /// [`stop`](Self::stop) with another grace period.
    ///
    /// # Errors
    /// As for [`stop`](Self::stop).
    pub async fn stop_within(&self, grace: Duration) -> Result<StopReport, Error> {
        self.0.stopping.store(true, Ordering::SeqCst);
        let stop = self.0.stopped.get_or_try_init(async || {
            let report = self.stop_machines(grace).await?;
            self.leave().await?;
            self.0.themes.clear();
            self.0.registry.clear().await?;
            Ok::<_, Error>(report)
        });
        stop.await.copied()
    }

    /// Claims nothing more, and lets runs go on: no job fires here, and tasks that wait in memory are handed back for other nodes. The
    /// heartbeat goes on, and the operations still work: tasks can be added, for other nodes or for later. This lasts until the process
    /// ends. It is for an application that stops a web server, or another part of its process, before it calls [`stop`](Self::stop).
    ///
    /// ```no_run
    /// # struct Server; impl Server { async fn stop(&self) {} }
    /// # async fn shut_down(gaia: gaia_actors::Gaia, server: Server) -> Result<(), gaia_actors::Error> {
    /// gaia.drain().await?;
    /// server.stop().await;
    /// gaia.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Stopped`] if the actors are gone.
    pub async fn drain(&self) -> Result<(), Error> {
        self.0.draining.store(true, Ordering::SeqCst);
        for runtime in self.0.themes.all() {
            runtime.drain().await?;
        }
        if let Some(jobs) = self.0.jobs_slot.get() {
            jobs.drain();
        }
        Ok(())
    }

    /// Ends the grace period of a stop that is under way: runs are cancelled now.
    pub(super) async fn cut_short(&self) {
        let themes = self.0.themes.all();
        self.stop_work(&themes, Duration::ZERO).await;
    }

    async fn stop_work(&self, themes: &[ThemeRuntime], grace: Duration) {
        let tasks = join_all(themes.iter().map(|runtime| runtime.stop_work(grace)));
        let jobs = async {
            if let Some(jobs) = self.0.jobs_slot.get() {
                jobs.stop_work(grace).await;
            }
        };
        join(tasks, jobs).await;
    }

    async fn drained(&self, themes: &[ThemeRuntime]) {
        let tasks = join_all(themes.iter().map(ThemeRuntime::drained));
        let jobs = async {
            if let Some(jobs) = self.0.jobs_slot.get() {
                jobs.drained().await;
            }
        };
        join(tasks, jobs).await;
    }

    async fn stop_machines(&self, grace: Duration) -> Result<StopReport, Error> {
        let began = Instant::now();
        let themes = self.0.themes.all();
        let before = count(&themes).await?;
        self.stop_work(&themes, grace).await;
        let cancel_grace = themes.iter().map(ThemeRuntime::cancel_grace).max().unwrap_or_default();
        let all = [cancel_grace, BLOCKED, FLUSH]
            .into_iter()
            .fold(grace, Duration::saturating_add);
        let flush = all.saturating_sub(began.elapsed()).clamp(FLUSH, LONGEST_FLUSH);
        if tokio::time::timeout(flush, self.drained(&themes)).await.is_err() {
            say!(
                Error,
                "some outcomes could not be written in {flush:?}; their tasks will be taken over and run again"
            );
        }
        let after = count(&themes).await?;
        let mut report = StopReport {
            handed_back: after.handed_back - before.handed_back,
            ..after
        };
        if let Some(jobs) = self.0.jobs_slot.get() {
            let runs = jobs.recorded().await?;
            report.unwritten += runs.unwritten;
            report.refused += runs.refused;
        }
        Ok(report)
    }

    /// Writes the last counts of the history, and removes this node's row, so that other nodes need not wait for the end of the lease before
    /// they take over runs that are left.
    async fn leave(&self) -> Result<(), Error> {
        self.0.node.send(Retire).await?;
        if let Some(jobs) = self.0.jobs_slot.get() {
            jobs.retire();
        }
        self.0.pruner.send(StopPruning).await?;
        self.0.bulk.send(StopBulk).await?;
        let lines = tokio::time::timeout(LEAVE, self.0.log_actor.send(StopLogs));
        let ends = tokio::time::timeout(LEAVE, self.0.release.send(StopRelease));
        let (lines, ends) = join(lines, ends).await;
        if lines.is_err() {
            say!(
                Warn,
                "the last lines of runs are lost: the database has not answered in {LEAVE:?}"
            );
        }
        if ends.is_err() {
            say!(
                Warn,
                "tasks that wait for the last ends of this process are left to other nodes: the database has not answered in {LEAVE:?}"
            );
        }
        if let Some(alerts) = &self.0.alerts {
            alerts.stop().await;
        }
        let cluster = self.0.store.cluster();
        let retired = tokio::time::timeout(LEAVE, cluster.retire_node(&self.0.node_id));
        let counted = write_history(&self.0.store, &self.0.tally, &self.0.node_id, true);
        let (retired, counted) = join(retired, tokio::time::timeout(LEAVE, counted)).await;
        let lost = match counted {
            Ok(counted) => counted.err().map(|error| error.to_string()),
            Err(_) => Some(format!("the database has not answered in {LEAVE:?}")),
        };
        if let Some(reason) = lost {
            say!(Warn, "the last counts of this node's history are lost: {reason}");
        }
        let reason = match retired {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("the database has not answered in {LEAVE:?}"),
        };
        say!(
            Warn,
            "this node's row could not be removed, others will find it dead: {reason}"
        );
        Ok(())
    }
}

async fn count(themes: &[ThemeRuntime]) -> Result<StopReport, Error> {
    let mut report = StopReport::default();
    for runtime in themes {
        let recorded = runtime.recorded().await?;
        report.handed_back += recorded.counts.handed_back;
        report.unwritten += recorded.unwritten;
        report.refused += recorded.refused;
    }
    Ok(report)
}
