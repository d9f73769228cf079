//! The actors that run jobs in this process, put together, and the slot where the rest of the process finds them.

use std::{
    sync::{Arc, OnceLock, mpsc},
    time::Duration,
};

use actix::{Actor, Addr, AsyncContext};

use super::{
    Settings,
    cron::{CronActor, DeclaredDead, GetCronSnapshot, Poll, Refresh, Retire, StartNow, Started, StopJobs},
    ledger::{JobCounts, JobLedger},
    run::JobsContext,
    status::JobsStatus,
};
use crate::{
    domain::Faults,
    error::Error,
    events::Events,
    hook::HookClient,
    lease::NodeLease,
    logs::{JOBS, LogScope, LogWriter},
    registry::Registry,
    run::{Drain, GateChange, GetRecorderCounts, Recorder, RecorderCounts},
    store::Store,
    threads::{Control, Threads},
    traces::Traces,
};

/// What a [`JobsRuntime`] is built from.
pub(crate) struct JobsRuntimeConfig {
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    pub(crate) events: Events,
    pub(crate) registry: Registry,
    pub(crate) node: Arc<str>,
    pub(crate) lease: NodeLease,
    pub(crate) control: Arc<Control>,
    pub(crate) threads: Threads,
    pub(crate) logs: LogWriter,
    pub(crate) traces: Traces,
}

/// The running actors of the jobs.
#[derive(Clone)]
pub(crate) struct JobsRuntime {
    cron: Addr<CronActor>,
    recorder: Addr<Recorder<JobLedger>>,
}

/// The [`JobsRuntime`] of this process, if it runs jobs: empty until they are started. The handle, the node and the `Gaia` share it.
#[derive(Clone, Default)]
pub(crate) struct JobsSlot(Arc<OnceLock<JobsRuntime>>);

impl JobsSlot {
    pub(crate) fn set(&self, runtime: JobsRuntime) {
        // It is set once, when the process starts.
        let _ = self.0.set(runtime);
    }

    pub(crate) fn get(&self) -> Option<&JobsRuntime> {
        self.0.get()
    }
}

impl JobsRuntime {
    /// Starts cron actor and recorder on the control thread; runs are spread over the others.
    pub(crate) fn start(parts: JobsRuntimeConfig) -> Result<Self, Error> {
        let JobsRuntimeConfig {
            settings,
            store,
            events,
            registry,
            node,
            lease,
            control,
            threads,
            logs,
            traces,
        } = parts;
        let mut faults = Faults::default();
        let Some(hooks) = faults.take(HookClient::new(&settings.hooks)) else {
            return Err(faults.into_error().into());
        };
        let hooks = hooks.traced(traces.clone());
        let on = control.handle();
        let (tx, rx) = mpsc::channel();
        let clock = store.clock().clone();
        let recorder_store = store.clone();
        let cron = CronActor::start_in_arbiter(&on, move |ctx| {
            let ledger = JobLedger::new(recorder_store, events.clone(), ctx.address().downgrade().recipient());
            let recorder = Recorder::new(ledger).start();
            let scope = LogScope::new(JOBS.into(), clock.clone(), logs);
            let context = JobsContext {
                node,
                clock,
                lease,
                registry,
                hooks,
                cancel_grace: settings.cancel_grace,
                overlap: settings.rules.overlap,
                events,
                recorder: recorder.clone().recipient(),
                logs: (settings.logs.clone(), scope),
                traces,
                layers: settings.layers.clone(),
            };
            // The caller of `start` waits for it.
            let _ = tx.send(recorder);
            CronActor::new(store, threads, settings, Arc::new(context))
        });
        let recorder = rx.recv().map_err(|_| Error::Stopped)?;
        Ok(Self { cron, recorder })
    }

    /// A job was changed in this process.
    pub(super) fn refresh(&self, id: i64) {
        self.cron.do_send(Refresh(id));
    }

    /// Has the cron actor look for requests and for changed schedules.
    pub(crate) fn poll(&self) {
        self.cron.do_send(Poll);
    }

    pub(crate) fn change_gate(&self, change: GateChange) {
        self.cron.do_send(change);
    }

    /// Tells the cron actor that other nodes have declared this node dead.
    pub(crate) fn declared_dead(&self) {
        self.cron.do_send(DeclaredDead);
    }

    pub(super) async fn start_now(&self, start: StartNow) -> Result<Started, Error> {
        self.cron.send(start).await?
    }

    /// Claims nothing more; runs go on.
    pub(crate) fn drain(&self) {
        self.change_gate(GateChange::Draining);
    }

    /// Claims nothing more; runs may end within `grace`. Answers when nothing runs; the ends may not be written yet.
    pub(crate) async fn stop_work(&self, grace: Duration) {
        // An actor that is gone runs nothing.
        let _ = self.cron.send(StopJobs { grace }).await;
    }

    /// Answers when every end is written.
    pub(crate) async fn drained(&self) {
        let _ = self.recorder.send(Drain).await;
    }

    /// What the recorder has written, and has not.
    pub(crate) async fn recorded(&self) -> Result<RecorderCounts<JobCounts>, Error> {
        Ok(self.recorder.send(GetRecorderCounts::new()).await?)
    }

    /// Stops the cron actor.
    pub(crate) fn retire(&self) {
        self.cron.do_send(Retire);
    }

    pub(crate) async fn status(&self) -> Result<JobsStatus, Error> {
        let cron = self.cron.send(GetCronSnapshot).await?;
        let recorder = self.recorded().await?;
        let counts = recorder.counts;
        Ok(JobsStatus {
            succeeded: counts.succeeded,
            failed: counts.failed,
            panicked: counts.panicked,
            timed_out: counts.timed_out,
            cancelled: counts.cancelled,
            skipped: cron.skipped + counts.skipped,
            stale: counts.stale,
            unwritten: recorder.unwritten,
            database_errors: cron.database_errors + recorder.database_errors,
            ..cron
        })
    }
}
