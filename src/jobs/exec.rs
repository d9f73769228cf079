//! The actor of one run.

use std::sync::Arc;

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, WrapFuture};

use super::{execution::execute, run::JobRun};
use crate::threads::{Desk, Thread};

/// Lives for one run of one job, on one of the worker threads: it makes the attempts, each within the job's timeout, hands
/// the verdict to the recorder, and ends.
pub struct JobExecActor {
    run: Arc<JobRun>,
    /// The generation of the run that this actor may run. If the run has a later one, the cron actor has given it to another actor.
    generation: u32,
    desk: Desk,
}

impl std::fmt::Debug for JobExecActor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobExecActor")
            .field("job", &self.run.job_id)
            .field("run", &self.run.id)
            .finish_non_exhaustive()
    }
}

impl JobExecActor {
    pub(super) fn spawn(run: Arc<JobRun>, thread: &Thread) {
        let generation = run.generation();
        let desk = thread.desk().clone();
        Self::start_in_arbiter(&thread.handle(), move |_| Self { run, generation, desk });
    }
}

impl Actor for JobExecActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let (run, generation, desk) = (Arc::clone(&self.run), self.generation, self.desk.clone());
        let work = async move { desk.at_work(Arc::clone(&run) as _, work(run, generation)).await };
        ctx.spawn(work.into_actor(self).map(|(), _, ctx| ctx.stop()));
    }
}

async fn work(run: Arc<JobRun>, generation: u32) {
    if !run.start(generation) {
        return;
    }
    // The run is not ended here if its thread was blocked and another actor has it, nor if it could not begin: the cron actor looks after it.
    if let Some(verdict) = execute(&run, generation).await
        && run.is_run_by(generation)
    {
        run.end(verdict);
    }
    run.actor_returned(generation);
}
