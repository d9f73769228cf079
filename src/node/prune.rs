//! The actor that removes what has been finished for long.

use std::time::{Duration, Instant};

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture};
use chrono::TimeDelta;

use crate::store::{Store, StoreError};

/// How often there is a look for old rows, unless they are kept for so short a time that there would be many by then.
const EVERY: Duration = Duration::from_secs(300);
const SHORTEST: Duration = Duration::from_secs(1);

/// Rows in one transaction.
const BATCH: i64 = 500;

/// Deletes finished tasks, and records of tasks and jobs, older than the retention. Every node has one; they do not get in each other's way.
pub(crate) struct PruneActor {
    store: Store,
    retention: TimeDelta,
    every: Duration,
}

/// Delete nothing more.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StopPruning;

impl PruneActor {
    pub(crate) fn new(store: Store, retention: Duration) -> Self {
        Self {
            store,
            retention: TimeDelta::from_std(retention).unwrap_or(TimeDelta::MAX),
            every: (retention / 10).clamp(SHORTEST, EVERY),
        }
    }

    fn prune_after(&self, wait: Duration, ctx: &mut Context<Self>) {
        let (store, retention) = (self.store.clone(), self.retention);
        let pruned = async move {
            store.clock().sleep(wait).await;
            prune(&store, retention).await
        };
        ctx.spawn(pruned.into_actor(self).map(|pruned, pruner, ctx| {
            match pruned {
                Ok(0) => {}
                Ok(rows) => log::info!("{rows} rows older than {} were deleted", pruner.retention),
                Err(error) => log::error!("cannot delete old rows: {error}"),
            }
            pruner.prune_after(pruner.every, ctx);
        }));
    }
}

/// Deletes all there is to delete, batch after batch; answers how many rows there were.
async fn prune(store: &Store, retention: TimeDelta) -> Result<usize, StoreError> {
    let Some(before) = store.clock().now().naive_utc().checked_sub_signed(retention) else {
        return Ok(0);
    };
    let mut pruned = 0;
    loop {
        let began = Instant::now();
        let tasks = store.prune_tasks(before, BATCH).await?;
        let records = store.prune_records(before, BATCH).await?;
        let runs = store.prune_job_records(before, BATCH).await?;
        if tasks + records + runs == 0 {
            return Ok(pruned);
        }
        pruned += tasks + records + runs;
        // Half of the time is for others.
        actix_rt::time::sleep(began.elapsed()).await;
    }
}

impl Actor for PruneActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Nodes that were started together do not look together.
        self.prune_after(self.every.mul_f64(fastrand::f64()), ctx);
    }
}

impl Handler<StopPruning> for PruneActor {
    type Result = ();

    fn handle(&mut self, _: StopPruning, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}
