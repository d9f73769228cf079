//! Stopping without losing anything.

use std::time::Duration;

use futures_util::future::join_all;

use super::Gaia;
use crate::{error::Error, node::Retire};

/// How long the last outcomes may take to get into the database once nothing runs any more. What is not written by then
/// is taken over by other nodes and runs again.
const FLUSH: Duration = Duration::from_secs(20);

/// What a graceful stop left behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StopReport {
    /// Claimed tasks that were given back: not begun, or cut off after the grace period.
    pub handed_back: u64,
    /// Outcomes that could not be written: the database was away. Their tasks will run again.
    pub unwritten: usize,
}

impl Gaia {
    /// Stops gracefully: claims nothing more, lets running tasks end within the grace period, cancels the rest and hands it
    /// back as not run, writes every outcome, and leaves the cluster. Whoever calls it meanwhile waits for the same stop.
    ///
    /// # Errors
    /// [`Error::Store`] if the node's row could not be removed: others will find it dead.
    pub async fn stop(&self) -> Result<StopReport, Error> {
        self.stop_within(self.0.grace).await
    }

    /// [`stop`](Self::stop) with a grace period of its own.
    ///
    /// # Errors
    /// As for [`stop`](Self::stop).
    pub async fn stop_within(&self, grace: Duration) -> Result<StopReport, Error> {
        if self.0.stopped.initialized() {
            return Ok(self.0.stopped.get().copied().unwrap_or_default());
        }
        let stop = self.0.stopped.get_or_try_init(async || {
            let report = self.stop_machines(grace).await;
            let retired = self.0.node.send(Retire).await;
            self.0.machines.clear();
            retired??;
            Ok::<_, Error>(report)
        });
        stop.await.copied()
    }

    /// Cuts a stop that is under way short: what still runs is told to end now.
    pub(super) async fn hurry(&self) {
        let machines = self.0.machines.all();
        join_all(machines.iter().map(|machine| machine.stop_work(Duration::ZERO))).await;
    }

    async fn stop_machines(&self, grace: Duration) -> StopReport {
        let machines = self.0.machines.all();
        join_all(machines.iter().map(|machine| machine.stop_work(grace))).await;
        let written = join_all(machines.iter().map(super::Machine::drained));
        let in_time = tokio::time::timeout(FLUSH, written).await.is_ok();
        let mut report = StopReport::default();
        for machine in &machines {
            if let Ok(status) = machine.status_at_stop().await {
                report.handed_back += status.0;
                report.unwritten += status.1;
            }
        }
        if !in_time {
            log::error!(
                "{} outcomes could not be written in {FLUSH:?}; their tasks will be taken over and run again",
                report.unwritten
            );
        }
        report
    }
}
