//! What every actor and every run of one theme needs.

use std::sync::Arc;

use actix::Addr;
use tokio::sync::{Semaphore, oneshot};

use super::{
    SchedulerOptions,
    recorder::{Begins, Ended, RecorderActor},
    run::Run,
    strays::Strays,
};
use crate::{clock::Clock, lease::NodeLease, registry::Registry};

/// Outcomes that may wait for the database before workers wait too: a few flushes.
const BACKLOG: usize = 5_000;

/// Shared by the pool, the scanner, the workers and their runs.
pub(super) struct Theme {
    pub(super) name: Arc<str>,
    pub(super) options: SchedulerOptions,
    pub(super) clock: Clock,
    pub(super) registry: Registry,
    pub(super) recorder: Addr<RecorderActor>,
    pub(super) lease: NodeLease,
    pub(super) strays: Strays,
    backlog: Arc<Semaphore>,
}

impl Theme {
    pub(super) fn new(
        options: SchedulerOptions,
        clock: Clock,
        registry: Registry,
        recorder: Addr<RecorderActor>,
        lease: NodeLease,
    ) -> Self {
        Self {
            name: options.theme.as_str().into(),
            options,
            clock,
            registry,
            recorder,
            lease,
            strays: Strays::default(),
            backlog: Arc::new(Semaphore::new(BACKLOG)),
        }
    }

    /// Marks a run as begun in the database, and waits for that; false if it no longer holds its task. Only a task's last
    /// attempt needs it: if this process dies, it must be known whether that attempt was used.
    pub(super) async fn begin(&self, run: &Arc<Run>) -> bool {
        let (tell, told) = oneshot::channel();
        self.recorder.do_send(Begins {
            run: Arc::clone(run),
            written: tell,
        });
        told.await.unwrap_or(false)
    }

    /// Hands an end to the recorder; waits while its backlog is full.
    pub(super) async fn record(&self, mut ended: Ended) {
        // The semaphore is never closed.
        ended.permit = Arc::clone(&self.backlog).acquire_owned().await.ok();
        self.recorder.do_send(ended);
    }
}
