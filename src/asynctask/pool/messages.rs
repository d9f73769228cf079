//! The messages of the pool.

use std::{sync::Arc, time::Duration};

use actix::{Actor, AsyncContext, Context, Handler, Message, MessageResult, ResponseFuture, WeakAddr};
use tokio::sync::oneshot;

use super::{CHECK_INTERVAL, Room, WorkerPool};
use crate::{
    asynctask::{run::Run, wake::WakeSnapshot, worker::Idle},
    registry::MethodName,
    run::{Gate, GateChange},
};

/// Claimed tasks from the scanner.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::asynctask) struct Dispatch(pub(in crate::asynctask) Vec<Arc<Run>>);

/// The scan that began in this state has taken all due tasks. Follows the [`Dispatch`] of these tasks, so that no task that is added gets
/// their worker.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::asynctask) struct CaughtUp(pub(in crate::asynctask) WakeSnapshot);

/// How many tasks of these methods (`None`: of all) may be claimed now. If the answer is nothing, or urgent tasks only, the pool rings the
/// wake when it has room for more.
#[derive(Message)]
#[rtype(result = "Option<Room>")]
pub(in crate::asynctask) struct GetRoom(pub(in crate::asynctask) Option<Vec<MethodName>>);

/// Reserve a worker for a task that is about to be added and claimed by its insert. `None`: no worker is free, or tasks wait that come
/// first.
#[derive(Message)]
#[rtype(result = "Option<Reservation>")]
pub(in crate::asynctask) struct Reserve;

/// A reserved worker, until this is dropped: after the task was dispatched, or when it is not coming.
pub(in crate::asynctask) struct Reservation(WeakAddr<WorkerPool>);

#[derive(Message)]
#[rtype(result = "()")]
struct Release;

/// Have this many workers.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::asynctask) struct Resize(pub(in crate::asynctask) usize);

/// Stop the run of this task, if it is here.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::asynctask) struct CancelRun(pub(in crate::asynctask) i64);

/// Take nothing more, hand back runs that have not begun, let the others end within `grace`, then ask them to stop, and at last cut them
/// off. Answers when no run is left.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::asynctask) struct StopWork {
    pub(in crate::asynctask) grace: Duration,
}

#[derive(Message)]
#[rtype(result = "PoolSnapshot")]
pub(in crate::asynctask) struct GetPoolSnapshot;

#[derive(Debug, Clone, Copy)]
pub(in crate::asynctask) struct PoolSnapshot {
    pub(in crate::asynctask) gate: Gate,
    pub(in crate::asynctask) pushed: u64,
    pub(in crate::asynctask) pulled: u64,
    pub(in crate::asynctask) replaced: u64,
    pub(in crate::asynctask) running: usize,
    pub(in crate::asynctask) workers: usize,
    pub(in crate::asynctask) queued: usize,
}

impl Actor for WorkerPool {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.fit_to_target(ctx);
        ctx.run_interval(CHECK_INTERVAL, Self::check_workers);
    }
}

impl Handler<Dispatch> for WorkerPool {
    type Result = ();

    fn handle(&mut self, Dispatch(runs): Dispatch, ctx: &mut Context<Self>) {
        self.dispatch(runs, ctx);
    }
}

impl Handler<CaughtUp> for WorkerPool {
    type Result = ();

    fn handle(&mut self, CaughtUp(seen): CaughtUp, _: &mut Context<Self>) {
        self.caught_up = Some(seen);
    }
}

impl Handler<Idle> for WorkerPool {
    type Result = ();

    fn handle(&mut self, Idle(id): Idle, ctx: &mut Context<Self>) {
        self.became_idle(id, ctx);
    }
}

impl Handler<GetRoom> for WorkerPool {
    type Result = MessageResult<GetRoom>;

    fn handle(&mut self, GetRoom(methods): GetRoom, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.room(methods))
    }
}

impl Handler<Reserve> for WorkerPool {
    type Result = MessageResult<Reserve>;

    fn handle(&mut self, _: Reserve, ctx: &mut Context<Self>) -> Self::Result {
        let reserved = self.reserve();
        MessageResult(reserved.then(|| Reservation(ctx.address().downgrade())))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(pool) = self.0.upgrade() {
            pool.do_send(Release);
        }
    }
}

impl Handler<Release> for WorkerPool {
    type Result = ();

    fn handle(&mut self, _: Release, ctx: &mut Context<Self>) {
        self.release(ctx);
    }
}

impl Handler<Resize> for WorkerPool {
    type Result = ();

    fn handle(&mut self, Resize(target): Resize, ctx: &mut Context<Self>) {
        if !self.gate.stopping {
            self.target = target;
            self.fit_to_target(ctx);
        }
    }
}

impl Handler<CancelRun> for WorkerPool {
    type Result = ();

    fn handle(&mut self, CancelRun(task_id): CancelRun, ctx: &mut Context<Self>) {
        self.cancel_run(task_id, ctx);
    }
}

impl Handler<GateChange> for WorkerPool {
    type Result = ();

    fn handle(&mut self, change: GateChange, ctx: &mut Context<Self>) {
        self.change(change, ctx);
    }
}

impl Handler<StopWork> for WorkerPool {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, StopWork { grace }: StopWork, ctx: &mut Context<Self>) -> Self::Result {
        let (tx, rx) = oneshot::channel();
        self.stop_waiters.push(tx);
        self.stop_work(grace, ctx);
        Box::pin(async move {
            // The sender is dropped without sending only if the actor is dropped, and then nothing runs any more.
            let _ = rx.await;
        })
    }
}

impl Handler<GetPoolSnapshot> for WorkerPool {
    type Result = MessageResult<GetPoolSnapshot>;

    fn handle(&mut self, _: GetPoolSnapshot, _: &mut Context<Self>) -> Self::Result {
        MessageResult(PoolSnapshot {
            gate: self.gate,
            pushed: self.counts.pushed,
            pulled: self.counts.pulled,
            replaced: self.counts.replaced,
            running: self.running().count(),
            workers: self.workers.len(),
            queued: self.buffer.len() + self.waiting_for_memory.len(),
        })
    }
}
