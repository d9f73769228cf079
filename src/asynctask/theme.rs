//! What every actor and every run of one theme needs.

use std::{sync::Arc, time::Duration};

use super::{SchedulerOptions, limits::Limits, run::RunContext, status::UnservedMethod, unserved::Unserved};
use crate::{
    clock::Clock,
    config::MissingHandler,
    domain::{Failure, Outcome, RetryPolicy},
    events::{Component, Events},
    held_runs::HeldRuns,
    lease::NodeLease,
    registry::{InvokeError, Layers, MethodName, Registry, RegistryError, Route},
    store::{ClaimedTask, Store},
    traces::Traces,
};

/// How long a task waits if there was no memory for its arguments, or they could not be read: longer each time.
const POSTPONED: RetryPolicy = RetryPolicy {
    base: Duration::from_secs(1),
    max: Duration::from_secs(30),
    jitter: 0.2,
};

/// Shared by the pool, the scanner, the workers and their runs.
pub(super) struct ThemeContext {
    pub(super) options: SchedulerOptions,
    /// What its runs have in common.
    pub(super) runs: Arc<RunContext>,
    pub(super) registry: Registry,
    pub(super) store: Store,
    pub(super) unserved: Unserved,
    pub(super) traces: Traces,
    /// The layers around its runs.
    pub(super) layers: Layers,
}

impl ThemeContext {
    pub(super) fn new(
        options: SchedulerOptions,
        runs: Arc<RunContext>,
        registry: Registry,
        store: Store,
        traces: Traces,
    ) -> Self {
        Self {
            layers: options.around(),
            options,
            runs,
            registry,
            store,
            unserved: Unserved::default(),
            traces,
        }
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.runs.theme
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.runs.clock
    }

    pub(super) fn lease(&self) -> &NodeLease {
        &self.runs.lease
    }

    pub(super) fn held(&self) -> &HeldRuns {
        &self.runs.held
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.runs.limits
    }

    pub(super) fn component(&self) -> &Component {
        &self.runs.component
    }

    pub(super) fn events(&self) -> &Events {
        &self.runs.events
    }

    /// Whether this node runs tasks that call this method: it serves the method, or lets such tasks fail.
    pub(super) fn takes(&self, service: &str, method: &str) -> bool {
        self.options.missing() == MissingHandler::Fail || self.registry.serves(service, method)
    }

    /// The route to the handler of a task.
    pub(super) fn route(&self, task: &ClaimedTask) -> Result<Route, InvokeError> {
        let route = self.registry.serving(&task.service, &task.method);
        route.map_err(InvokeError::Missing)
    }

    pub(super) fn list_unserved(&self) -> Vec<UnservedMethod> {
        self.unserved.list(&self.registry)
    }

    /// The methods that this node claims; `None`: all.
    pub(super) fn claimed_methods(&self) -> Option<Vec<MethodName>> {
        match self.options.missing() {
            MissingHandler::Wait => Some(self.registry.served()),
            MissingHandler::Fail => None,
        }
    }

    /// The outcome of a run whose method has no handler (any more).
    pub(super) fn without_handler(&self, error: &RegistryError) -> Outcome {
        match self.options.missing() {
            MissingHandler::Wait => Outcome::NotServed,
            MissingHandler::Fail => Outcome::Failed {
                error: error.to_string(),
                failure: Failure::Error,
            },
        }
    }

    /// The outcome of a run that could not begin because its arguments are not in memory.
    pub(super) fn postponed(&self, task: &ClaimedTask) -> Outcome {
        let delay = POSTPONED.delay(self.store.tasks().claimed_in_vain(task), fastrand::f64() * 2.0 - 1.0);
        Outcome::Postponed {
            until: self.clock().now() + delay,
        }
    }
}
