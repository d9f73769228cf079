//! Runs whose arguments their claim has left in the database.
//!
//! A run waits for memory without a worker, so that tasks with short arguments run in between. Once it has memory, it gets a worker
//! like any other, and the pool reads its arguments on its own thread: a handler that blocks the worker's thread holds up no read, and the
//! run moves to another worker.

use std::sync::Arc;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};

use super::WorkerPool;
use crate::{
    asynctask::{run::Run, worker::Start},
    domain::{Json, Outcome},
    store::{ArgsMemory, StoreError},
};

/// The most runs that wait for memory. When there are so many, the scanner claims nothing more, and further runs go back immediately.
pub(super) const MAX_WAITING: usize = 100;

impl WorkerPool {
    /// Whether the run may have a worker: its arguments are in memory, or it gets memory for them now.
    pub(super) fn has_memory(&self, run: &Run) -> bool {
        if !run.lacks_memory() {
            return true;
        }
        let memory = self.theme.store.tasks().args_memory_now(&run.task);
        memory.map(|memory| run.set_memory(memory)).is_some()
    }

    /// Has a run wait for memory, while others go on.
    pub(super) fn wait_for_memory(&mut self, run: Arc<Run>, ctx: &mut Context<Self>) {
        if self.waiting_for_memory.len() >= MAX_WAITING {
            run.end(self.theme.postponed(&run.task));
            return;
        }
        let (store, waiting) = (self.theme.store.clone(), Arc::clone(&run));
        let wait = async move { store.tasks().args_memory_soon(&waiting.task).await };
        let log_id = Arc::clone(&run.task.log_id);
        self.waiting_for_memory.insert(Arc::clone(&log_id), run);
        ctx.spawn(
            wait.into_actor(self)
                .map(move |memory, pool, ctx| pool.has_waited(&log_id, memory, ctx)),
        );
    }

    /// `None`: there was no memory for too long.
    fn has_waited(&mut self, log_id: &str, memory: Option<ArgsMemory>, ctx: &mut Context<Self>) {
        // If the run is not there any more, it was handed back or cancelled: other runs may have the memory.
        let Some(run) = self.waiting_for_memory.remove(log_id) else {
            return;
        };
        match memory {
            Some(memory) => {
                run.set_memory(memory);
                self.buffer.push_back_in(run, &self.mean_durations);
            }
            None => run.end(self.theme.postponed(&run.task)),
        }
        self.feed(ctx);
    }

    /// Reads the arguments of a run that has a worker, unless they are being read since it had another worker.
    pub(super) fn read(&self, run: &Arc<Run>, ctx: &mut Context<Self>) {
        if run.begin_read() {
            let (store, run) = (self.theme.store.clone(), Arc::clone(run));
            let reading = Arc::clone(&run);
            let read = async move { store.tasks().args_of(&reading.task).await };
            ctx.spawn(
                read.into_actor(self)
                    .map(move |args, pool, ctx| pool.was_read(&run, args, ctx)),
            );
        }
    }

    /// `Ok(None)`: the node does not hold the task any more.
    fn was_read(&mut self, run: &Arc<Run>, args: Result<Option<Json>, StoreError>, ctx: &mut Context<Self>) {
        match args {
            Ok(Some(args)) => {
                self.unreadable.over(&run.task.id);
                run.set_args(args);
                let worker = self.workers.values().find(|worker| worker.has(run));
                if let Some(worker) = worker {
                    worker.addr.do_send(Start(Arc::clone(run)));
                }
            }
            Ok(None) => self.end_unread(run, Outcome::HandedBack { started: false }, ctx),
            Err(error) => {
                self.warn_unreadable(run, &error);
                self.end_unread(run, self.theme.postponed(&run.task), ctx);
            }
        }
    }

    /// Warns of a task whose arguments cannot be read. It is claimed again and again, until they can be read or a caller cancels it.
    fn warn_unreadable(&mut self, run: &Run, error: &StoreError) {
        let what = "its arguments cannot be read, so it cannot run, uses no attempt, and is tried again and again";
        match self.unreadable.say(run.task.id, &error.to_string()) {
            Some(said) => say!(Warn, "{run}: {what}: {said}"),
            None => say!(Debug, "{run}: {what}: {error}"),
        }
    }

    /// Ends a run whose arguments are not in memory. A worker that was waiting for it is idle again.
    fn end_unread(&mut self, run: &Arc<Run>, outcome: Outcome, ctx: &mut Context<Self>) {
        run.end(outcome);
        self.buffer.take_if(|buffered| Arc::ptr_eq(buffered, run));
        let mut workers = self.workers.iter();
        let kept = workers.find_map(|(id, worker)| worker.has(run).then_some(*id));
        if let Some(id) = kept {
            self.became_idle(id, ctx);
        }
    }

    /// Hands back all runs that have not begun, except those whose `Start` is on its way to a worker.
    pub(super) fn hand_back(&mut self, ctx: &mut Context<Self>) {
        self.hand_back_buffer();
        for run in std::mem::take(&mut self.waiting_for_memory).into_values() {
            run.end(Outcome::HandedBack { started: false });
        }
        for run in self.unread(|_| true) {
            self.end_unread(&run, Outcome::HandedBack { started: false }, ctx);
        }
    }

    /// Cancels the runs of a task whose arguments are not in memory.
    pub(super) fn cancel_unread(&mut self, task_id: i64, ctx: &mut Context<Self>) {
        let waiting = self.waiting_for_memory.extract_if(|_, run| run.task.id == task_id);
        for (_, run) in waiting.collect::<Vec<_>>() {
            run.end(Outcome::Cancelled);
        }
        for run in self.unread(|run| run.task.id == task_id) {
            self.end_unread(&run, Outcome::Cancelled, ctx);
        }
    }

    /// Runs that have a worker and whose arguments are being read.
    fn unread(&self, which: impl Fn(&Run) -> bool) -> Vec<Arc<Run>> {
        let unread = self.running().filter(|run| run.is_being_read() && which(run));
        unread.cloned().collect()
    }
}
