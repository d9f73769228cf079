//! What every actor and every run of one theme needs.

use std::{sync::Arc, time::Duration};

use actix::Addr;
use tokio::sync::{Semaphore, oneshot};

use super::{
    SchedulerOptions,
    recorder::{Begins, Ended, RecorderActor},
    run::Run,
    status::UnservedMethod,
    unserved::Unserved,
};
use crate::{
    clock::Clock,
    config::MissingHandler,
    domain::{Failure, Outcome, RetryPolicy},
    lease::NodeLease,
    ledger::Ledger,
    registry::{InvokeError, MethodName, Registry, RegistryError, Route},
    store::{ClaimedTask, Store},
};

/// Outcomes that may wait for the database before workers wait too: a few flushes.
const BACKLOG: usize = 5_000;

/// Bytes of a text for which an outcome takes a further place of these: 80 MB in all.
const PLACE: usize = 16 << 10;

/// What is larger is cut by the recorder.
const MOST_PLACES: u32 = 1_000;

/// How long a task waits whose arguments have no room in memory or cannot be read: longer each time.
const POSTPONED: RetryPolicy = RetryPolicy {
    base: Duration::from_secs(1),
    max: Duration::from_secs(30),
    jitter: 0.2,
};

/// Shared by the pool, the scanner, the workers and their runs.
pub(super) struct Theme {
    pub(super) name: Arc<str>,
    pub(super) options: SchedulerOptions,
    pub(super) clock: Clock,
    pub(super) registry: Registry,
    pub(super) recorder: Addr<RecorderActor>,
    pub(super) lease: NodeLease,
    pub(super) ledger: Ledger,
    pub(super) store: Store,
    pub(super) unserved: Unserved,
    backlog: Arc<Semaphore>,
}

impl Theme {
    pub(super) fn new(
        options: SchedulerOptions,
        clock: Clock,
        registry: Registry,
        recorder: Addr<RecorderActor>,
        lease: NodeLease,
        ledger: Ledger,
        store: Store,
    ) -> Self {
        Self {
            name: options.theme.as_str().into(),
            options,
            clock,
            registry,
            recorder,
            lease,
            ledger,
            store,
            unserved: Unserved::default(),
            backlog: Arc::new(Semaphore::new(BACKLOG)),
        }
    }

    /// Whether this node runs tasks that call this method: it serves the method, or lets such tasks fail.
    pub(super) fn takes(&self, service: &str, method: &str) -> bool {
        self.options.missing_handler == MissingHandler::Fail || self.registry.serves(service, method)
    }

    /// The way to the handler of a task.
    pub(super) fn route(&self, task: &ClaimedTask) -> Result<Route, InvokeError> {
        let route = self.registry.serving(&task.service, &task.method);
        route.map_err(InvokeError::Missing)
    }

    /// Puts back what this node has claimed and does not serve.
    pub(super) fn put_back(&self, runs: &[Arc<Run>]) {
        for run in runs {
            if let Some(ended) = run.end(Outcome::NotServed) {
                self.recorder.do_send(ended);
            }
        }
    }

    pub(super) fn list_unserved(&self) -> Vec<UnservedMethod> {
        self.unserved.list(&self.registry)
    }

    /// The methods that this node claims; `None`: all.
    pub(super) fn claimed_methods(&self) -> Option<Vec<MethodName>> {
        match self.options.missing_handler {
            MissingHandler::Wait => Some(self.registry.served()),
            MissingHandler::Fail => None,
        }
    }

    /// The end of a run whose handler is not there (any more).
    pub(super) fn without_handler(&self, error: &RegistryError) -> Outcome {
        match self.options.missing_handler {
            MissingHandler::Wait => Outcome::NotServed,
            MissingHandler::Fail => Outcome::Failed {
                error: error.to_string(),
                failure: Failure::Error,
            },
        }
    }

    /// The end of a run that could not begin for want of its arguments.
    pub(super) fn postponed(&self, task: &ClaimedTask) -> Outcome {
        let delay = POSTPONED.delay(self.store.claimed_in_vain(task), fastrand::f64() * 2.0 - 1.0);
        Outcome::Postponed {
            until: self.clock.now() + delay,
        }
    }

    /// Marks a run as begun in the database, and waits for that; false if it no longer holds its task. Only a task's last
    /// attempt needs it: if this process dies, it must be known whether that attempt was used. An error: the database refuses
    /// the mark for good, for this reason.
    pub(super) async fn begin(&self, run: &Arc<Run>) -> Result<bool, String> {
        let (tell, told) = oneshot::channel();
        self.recorder.do_send(Begins {
            run: Arc::clone(run),
            written: Some(tell),
        });
        told.await.unwrap_or(Ok(false))
    }

    /// Hands an end to the recorder; waits while its backlog is full.
    pub(super) async fn record(&self, mut ended: Ended) {
        let places = u32::try_from(ended.outcome.bytes() / PLACE).unwrap_or(MOST_PLACES);
        let places = 1 + places.min(MOST_PLACES);
        // The semaphore is never closed.
        ended.permit = Arc::clone(&self.backlog).acquire_many_owned(places).await.ok();
        self.recorder.do_send(ended);
    }
}
