//! The actors of the jobs put together, and where the rest of the process finds them.

use std::{
    sync::{Arc, OnceLock, mpsc},
    time::Duration,
};

use actix::{Actor, Addr, AsyncContext};

use super::{
    Settings,
    cron::{CronActor, Disown, GetCronSnapshot, Look, Refresh, Retire, StartNow, Started, StopJobs},
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
    registry::Registry,
    run::{Drain, GateChange, GetRecorderCounts, Recorder, RecorderCounts},
    store::Store,
    threads::{Control, Threads},
};

/// What the machine is built from.
pub(crate) struct JobsRuntimeConfig {
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    pub(crate) events: Events,
    pub(crate) registry: Registry,
    pub(crate) node: Arc<str>,
    pub(crate) lease: NodeLease,
    pub(crate) control: Arc<Control>,
    pub(crate) threads: Threads,
}

/// The running actors of the jobs.
#[derive(Clone)]
pub(crate) struct JobsRuntime {
    cron: Addr<CronActor>,
    recorder: Addr<Recorder<JobLedger>>,
}

/// The machine of this process, once and if it has one. Shared by the handle, the node and the runtime.
#[derive(Clone, Default)]
pub(crate) struct JobsSlot(Arc<OnceLock<JobsRuntime>>);

impl JobsSlot {
    pub(crate) fn set(&self, machine: JobsRuntime) {
        // It is set once, when the process starts.
        let _ = self.0.set(machine);
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
        } = parts;
        let mut faults = Faults::default();
        let hooks = faults.take(HookClient::new(&settings.hooks));
        let Some(hooks) = hooks else {
            return Err(faults.into_error().into());
        };
        let on = control.handle();
        let (tell, told) = mpsc::channel();
        let clock = store.clock().clone();
        let recorder_store = store.clone();
        let cron = CronActor::start_in_arbiter(&on, move |ctx| {
            let ledger = JobLedger::new(recorder_store, events.clone(), ctx.address().downgrade().recipient());
            let recorder = Recorder::new(ledger).start();
            let context = JobsContext {
                node,
                clock,
                lease,
                registry,
                hooks,
                cancel_grace: settings.cancel_grace,
                events,
                recorder: recorder.clone().recipient(),
            };
            // The caller of `start` waits for it.
            let _ = tell.send(recorder);
            CronActor::new(store, threads, settings, Arc::new(context))
        });
        let recorder = told.recv().map_err(|_| Error::Stopped)?;
        Ok(Self { cron, recorder })
    }

    /// A job was changed in this process.
    pub(super) fn refresh(&self, id: i64) {
        self.cron.do_send(Refresh(id));
    }

    /// There may be something new in the tables.
    pub(crate) fn look(&self) {
        self.cron.do_send(Look);
    }

    pub(crate) fn change_gate(&self, change: GateChange) {
        self.cron.do_send(change);
    }

    /// The node was taken for dead.
    pub(crate) fn disown(&self) {
        self.cron.do_send(Disown);
    }

    pub(super) async fn start_now(&self, job_id: i64) -> Result<Started, Error> {
        self.cron.send(StartNow(job_id)).await?
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

    /// Looks after nothing any more.
    pub(crate) fn retire(&self) {
        self.cron.do_send(Retire);
    }

    pub(super) async fn status(&self) -> Result<JobsStatus, Error> {
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
