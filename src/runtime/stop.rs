//! Stopping without losing anything.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use futures_util::future::{join, join_all};
use serde::{Deserialize, Serialize};

use super::Gaia;
use crate::{
    asynctask::ThemeRuntime,
    error::Error,
    node::{Retire, StopPruning},
};

/// How long the last outcomes may take to get into the database once nothing runs any more, at least and at most: what runs
/// leave of their time is added. Tasks whose ends are not written by then are taken over by other nodes and run again.
const FLUSH: Duration = Duration::from_secs(5);
const LONGEST_FLUSH: Duration = Duration::from_secs(20);

/// How long after its cancel grace a run on a blocked thread is given up.
const BLOCKED: Duration = Duration::from_secs(2);

/// How long this node's row may take to be removed. If the database is away others find the node dead.
const LEAVE: Duration = Duration::from_secs(2);

/// What a graceful stop left behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StopReport {
    /// Claimed tasks that this stop gave back: not begun, or cut off after the grace period.
    pub handed_back: u64,
    /// Outcomes of tasks, and ends of jobs' runs, that could not be written, or of which it is not known: the database was
    /// away, or gave no answer in time. Those tasks run again, and those runs are recorded as lost.
    pub unwritten: usize,
    /// Outcomes of tasks, and ends of jobs' runs, that the database refuses in every form. Those tasks stay Running without a
    /// node and do not run again by themselves; see [`SchedulerStatus::refused`](crate::SchedulerStatus::refused).
    pub refused: usize,
}

impl Gaia {
    /// Stops gracefully: claims nothing more, lets running tasks and jobs end within the grace period, cancels the rest
    /// (tasks are handed back as not run, runs of jobs recorded as cut off), writes every outcome, and leaves the cluster. A caller that asks for it again waits for the same stop.
    ///
    /// It takes at most the grace (10 s), the longest [cancel grace](crate::SchedulerOptions::cancel_grace) of handlers that do not
    /// listen (5 s), 2 s for handlers that block their threads, 5 s for outcomes that the database does not take at once, and 2 s
    /// for the node's row: 24 s by default, below the 30 s after which orchestrators kill. If nothing runs for so long, outcomes
    /// may take the rest of that time, at most 20 s.
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

    /// Takes nothing more, and goes on serving runs: nothing is claimed, no job fires here, and tasks that wait in memory are handed
    /// back for other nodes. The heartbeat goes on, and so do the operations: tasks can be added, for others or for later. It
    /// lasts until the process ends. For an application that stops a web server, or another part of their process, before
    /// [`stop`](Self::stop).
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

    /// Cuts a stop that is under way short: runs have to end now.
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

    /// Other nodes need not wait for the lease to end before they take over runs that may be left.
    async fn leave(&self) -> Result<(), Error> {
        self.0.node.send(Retire).await?;
        if let Some(jobs) = self.0.jobs_slot.get() {
            jobs.retire();
        }
        if let Some(pruner) = &self.0.pruner {
            pruner.send(StopPruning).await?;
        }
        let reason = match tokio::time::timeout(LEAVE, self.0.store.cluster().retire_node(&self.0.node_id)).await {
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
