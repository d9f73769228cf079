//! Work for programs that are no nodes: they take tasks through the HTTP API and say by a token how each run went; or they are services that
//! have parked a run.
//!
//! Their runs go through the same state machine and the same fenced writes as those of nodes. What differs is who keeps a task: not the
//! heartbeat of a node, but the lease of the claim, which any sign of life of the worker renews. Nodes look after leases that are over.

mod claim;
mod ends;
mod runs;
mod workers;

use std::{sync::Arc, time::Duration};

use self::workers::Workers;
pub(crate) use self::{
    claim::{ClaimTasks, ClaimedRun},
    ends::{End, Ended},
    runs::{RemoteLine, Run, RunState},
};
use crate::{
    asynctask::ThemeRuntimes,
    domain::TaskStatus,
    events::Events,
    node::{Said, SettledClaims},
    store::{Store, StoreError},
};

/// The shortest and the longest lease that a worker may ask for, and the usual one.
pub(crate) const SHORTEST_LEASE: Duration = Duration::from_secs(1);
pub(crate) const LONGEST_LEASE: Duration = Duration::from_secs(3_600);
pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// The handle on what remote workers do in this process. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Remote {
    store: Store,
    events: Events,
    themes: ThemeRuntimes,
    settled: SettledClaims,
    said: Said,
    workers: Workers,
}

impl Remote {
    pub(crate) fn new(store: Store, node: &str, events: Events, themes: ThemeRuntimes, settled: SettledClaims) -> Self {
        Self {
            said: Said::new(events.clone(), node),
            store,
            events,
            themes,
            settled,
            workers: Workers::default(),
        }
    }

    /// Does `work` whatever becomes of the caller. `None`: the process stops.
    pub(crate) async fn drive<T, W>(&self, work: impl FnOnce(Self) -> W) -> Option<T>
    where
        T: Send + 'static,
        W: Future<Output = T> + Send + 'static,
    {
        let remote = self.clone();
        self.store.drive(|_| work(remote)).await
    }

    /// Whether this process may get to know one more worker of this name.
    pub(crate) fn has_room(&self, asked: &ClaimTasks) -> bool {
        self.workers.has_room(&asked.owner())
    }

    /// Tells callers and scanners of this process that tasks have ended, or wait again.
    fn tell(&self, theme: &Arc<str>, statuses: &[(i64, TaskStatus)]) {
        let requeued = statuses.iter().filter(|(_, status)| !status.is_finished()).count();
        if requeued > 0 {
            self.themes.ring(theme);
            self.store.cluster().announce_tasks(theme, requeued);
        }
        let Some(runtime) = self.themes.get(theme) else {
            return;
        };
        if requeued > 0 {
            runtime.wake();
        }
        for (id, _) in statuses.iter().filter(|(_, status)| status.is_finished()) {
            runtime.ended_by_caller(*id);
        }
    }

    /// A worker that a failed note of its life must not keep from its work: its leases are what counts.
    async fn note_alive(&self, worker: &str, runs: usize) {
        if let Err(error) = self.workers.holds(&self.store, worker, runs).await {
            say!(Debug, "cannot note that {worker} lives: {error}");
        }
    }
}

/// An error of the database, which a caller may repeat.
type Done<T> = Result<T, StoreError>;
