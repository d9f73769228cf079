//! The actor that owns the workers: starts, feeds, resizes and replaces them.

mod buffer;
mod messages;
mod reading;
mod room;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Addr, AsyncContext, Context};
use tokio::sync::oneshot;

pub(super) use messages::{CancelRun, Dispatch, GetPoolSnapshot, GetRoom, Reserve, Resize, StopWork};

use buffer::Buffer;
pub(super) use room::Room;

use super::{
    execution::{cut_off, overdue},
    run::{Run, Stop},
    theme::ThemeContext,
    throughput::{Costs, Throughput},
    wake::Wake,
    worker::{Start, WorkerActor},
};
use crate::{
    domain::{Failure, Outcome},
    repeats::Repeats,
    run::{Gate, GateChange},
    threads::{Thread, Threads},
};

/// How often workers and their threads are looked after.
const LOOK_AFTER: Duration = Duration::from_millis(500);

/// Tasks that wait in memory for longer than this, because every worker is busy with something long, go back to the
/// database, where other nodes can take them.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// A run that lasts for longer than this is noted in its task's row, where claims do not note it (half a second later at most).
const NOTED_AFTER: Duration = Duration::from_millis(250);

/// A worker that should have ended its run (out of time, or told to stop and its grace over) gets this much more before
/// the pool records the end in its place. Only a blocked thread ever takes so long.
const STOP_MARGIN: Duration = Duration::from_secs(2);

/// Supervises the workers of one theme.
pub(super) struct WorkerPool {
    theme: Arc<ThemeContext>,
    threads: Threads,
    wake: Arc<Wake>,
    target: usize,
    workers: HashMap<u64, Worker>,
    idle: Vec<u64>,
    /// Idle workers that tasks are about to be added for.
    reserved: usize,
    next_id: u64,
    buffer: Buffer,
    /// Runs that wait for room in memory, by their log ids.
    waiting: HashMap<Arc<str>, Arc<Run>>,
    /// Tasks whose arguments cannot be read.
    unreadable: Repeats<i64>,
    last_pull: Instant,
    throughput: Throughput,
    costs: Costs,
    gate: Gate,
    /// The scanner knows that there is no room, and wants to hear when there is.
    scanner_waits: bool,
    stopped: Vec<oneshot::Sender<()>>,
    counts: Counts,
}

struct Worker {
    addr: Addr<WorkerActor>,
    thread: Arc<Thread>,
    run: Option<Arc<Run>>,
    /// When it got its run.
    since: Instant,
    /// The row of the task says that it runs, or will.
    is_noted: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    pushed: u64,
    pulled: u64,
    replaced: u64,
}

impl Worker {
    fn has(&self, run: &Arc<Run>) -> bool {
        self.run.as_ref().is_some_and(|had| Arc::ptr_eq(had, run))
    }
}

impl WorkerPool {
    pub(super) fn new(
        theme: Arc<ThemeContext>,
        threads: Threads,
        wake: Arc<Wake>,
        workers: usize,
        paused: bool,
    ) -> Self {
        Self {
            target: workers,
            theme,
            threads,
            wake,
            workers: HashMap::new(),
            idle: Vec::new(),
            reserved: 0,
            next_id: 0,
            buffer: Buffer::default(),
            waiting: HashMap::new(),
            unreadable: Repeats::default(),
            last_pull: Instant::now(),
            throughput: Throughput::new(Instant::now()),
            costs: Costs::default(),
            gate: Gate {
                paused,
                ..Gate::default()
            },
            scanner_waits: false,
            stopped: Vec::new(),
            counts: Counts::default(),
        }
    }

    // ---- workers ----

    /// Starts workers up to the target; ends idle ones beyond it. Busy ones beyond it end when they become idle.
    fn fit(&mut self, ctx: &mut Context<Self>) {
        while self.workers.len() < self.target {
            let id = self.next_id;
            self.next_id += 1;
            let thread = self.threads.pick();
            let pool = ctx.address().downgrade().recipient();
            let worker = Worker {
                addr: WorkerActor::spawn(id, &thread, Arc::clone(&self.theme), pool),
                thread,
                run: None,
                since: Instant::now(),
                is_noted: false,
            };
            self.workers.insert(id, worker);
            self.idle.push(id);
        }
        while self.workers.len() > self.target
            && let Some(id) = self.idle.pop()
        {
            self.workers.remove(&id);
        }
        if self.target == 0 {
            self.hand_back(ctx);
        }
        self.feed(ctx);
    }

    /// Gives buffered tasks to idle workers, and lets the scanner know when there is room again.
    fn feed(&mut self, ctx: &mut Context<Self>) {
        while self.gate.is_open()
            && !self.idle.is_empty()
            && let Some(run) = self.buffer.pop()
        {
            match self.has_room(&run) {
                true => self.assign(run, ctx),
                false => self.wait_for_room(run, ctx),
            }
        }
        if self.scanner_waits && self.free() > 0 {
            self.scanner_waits = false;
            self.wake.ring();
        }
    }

    /// Gives a run to an idle worker, which begins it once its arguments are here.
    fn assign(&mut self, run: Arc<Run>, ctx: &mut Context<Self>) {
        let Some((id, worker)) = self.idle.pop().and_then(|id| Some((id, self.workers.get_mut(&id)?))) else {
            self.buffer.push_back_in(run, &self.costs);
            return;
        };
        run.assign(id);
        (worker.run, worker.since) = (Some(Arc::clone(&run)), Instant::now());
        worker.is_noted = false;
        self.counts.pulled += 1;
        self.last_pull = Instant::now();
        match run.has_args() {
            true => worker.addr.do_send(Start(run)),
            false => self.read(&run, ctx),
        }
    }

    fn became_idle(&mut self, id: u64, ctx: &mut Context<Self>) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        let now = Instant::now();
        if let Some(run) = worker.run.take() {
            let took = now.saturating_duration_since(worker.since);
            self.costs.took(&run.task.service, &run.task.method, took);
        }
        self.throughput.finished_one(now);
        if worker.thread.is_stalled() || self.workers.len() > self.target {
            self.workers.remove(&id);
            self.fit(ctx);
        } else {
            self.idle.push(id);
            self.feed(ctx);
        }
        self.report_if_stopped();
    }

    fn look_after(&mut self, ctx: &mut Context<Self>) {
        let unwell: Vec<u64> = self
            .workers
            .iter()
            .filter_map(|(id, worker)| Self::needs_replacing(worker).then_some(*id))
            .collect();
        for id in unwell {
            self.give_up(id);
        }
        self.fit(ctx);
        self.note_runs();
        if !self.gate.is_open() {
            self.hand_back(ctx);
        } else if self.last_pull.elapsed() > LONGEST_WAIT {
            self.hand_back_buffer();
        } else if self.buffer.time() > 2 * self.budget() {
            // The methods take longer than it seemed when these tasks were claimed.
            self.hand_back_beyond();
        }
        self.report_if_stopped();
    }

    /// Has the rows of tasks that have been running for a while say so: claims leave that out where it pays, and most runs are over
    /// before people could see it.
    fn note_runs(&mut self) {
        for worker in self.workers.values_mut().filter(|worker| !worker.is_noted) {
            if let Some(run) = worker.run.as_ref().filter(|_| worker.since.elapsed() >= NOTED_AFTER) {
                worker.is_noted = true;
                run.note_running();
            }
        }
    }

    fn needs_replacing(worker: &Worker) -> bool {
        if !worker.addr.connected() {
            return true;
        }
        // A run that has begun stays with its blocked thread, and keeps its place among the workers, until it ends or
        // should have ended.
        let movable = |run: &Arc<Run>| run.withdraw() || run.overdue(STOP_MARGIN).is_some();
        worker.thread.is_stalled() && worker.run.as_ref().is_none_or(movable)
    }

    /// Ends a worker that is dead or blocked. A run it had not begun goes to another; for one it had, the end is recorded.
    fn give_up(&mut self, id: u64) {
        let Some(worker) = self.workers.remove(&id) else {
            return;
        };
        self.idle.retain(|idle| *idle != id);
        self.counts.replaced += 1;
        let Some(run) = worker.run else { return };
        if run.withdraw() {
            self.buffer.push_back_in(run, &self.costs);
            return;
        }
        let outcome = match run.overdue(STOP_MARGIN) {
            Some(why) => overdue(why, run.timeout()),
            None => Outcome::Failed {
                error: "its worker died: the thread that ran it was stopped".to_owned(),
                failure: Failure::Lost,
            },
        };
        say!(
            Error,
            "theme {} task {} {}.{} log_id={}: given up, its worker is dead or blocked",
            self.theme.name(),
            run.task.id,
            run.task.service,
            run.task.method,
            run.ctx.log_id()
        );
        run.end(outcome);
    }

    // ---- work ----

    /// Keeps an idle worker for a task that is about to be added, if nothing waits that should come before it.
    fn reserve(&mut self) -> bool {
        let idle = self.idle.len().min(self.target);
        let may = self.gate.is_open() && self.buffer.is_empty() && idle > self.reserved && self.wake.caught_up();
        self.reserved += usize::from(may);
        may
    }

    /// The task has been dispatched, or is not coming.
    fn release(&mut self, ctx: &mut Context<Self>) {
        self.reserved = self.reserved.saturating_sub(1);
        self.feed(ctx);
        self.report_if_stopped();
    }

    fn dispatch(&mut self, runs: Vec<Arc<Run>>, ctx: &mut Context<Self>) {
        self.counts.pushed += runs.len() as u64;
        for run in runs {
            self.buffer.push(run, &self.costs);
        }
        self.feed(ctx);
        if !self.gate.is_open() || self.target == 0 {
            self.hand_back_buffer();
        }
    }

    fn hand_back_buffer(&mut self) {
        for run in self.buffer.take_all() {
            run.end(Outcome::HandedBack { started: false });
        }
    }

    fn change(&mut self, change: GateChange, ctx: &mut Context<Self>) {
        self.gate.change(change);
        if !self.gate.is_open() {
            self.hand_back(ctx);
        }
        if let GateChange::Fenced(true) = change {
            self.cancel_all();
        }
        self.feed(ctx);
    }

    fn cancel_run(&mut self, task_id: i64, ctx: &mut Context<Self>) {
        self.cancel_unread(task_id, ctx);
        for run in self.buffer.take_if(|run| run.task.id == task_id) {
            run.end(Outcome::Cancelled);
        }
        // More than one, if an older run of the task was taken for lost and has not ended yet.
        for run in self.running().filter(|run| run.task.id == task_id) {
            run.stop(Stop::Request);
        }
    }

    fn running(&self) -> impl Iterator<Item = &Arc<Run>> {
        self.workers.values().filter_map(|worker| worker.run.as_ref())
    }

    // ---- stop ----

    fn cancel_all(&self) {
        for run in self.running() {
            run.stop(Stop::Node);
        }
    }

    fn stop_work(&mut self, grace: Duration, ctx: &mut Context<Self>) {
        self.gate.stopping = true;
        self.hand_back(ctx);
        let told = grace
            .saturating_add(self.theme.options.cancel_grace)
            .saturating_add(STOP_MARGIN);
        ctx.run_later(grace, |pool, _| pool.cancel_all());
        ctx.run_later(told, |pool, _| pool.cut_off_all());
        self.report_if_stopped();
    }

    /// The last resort against threads that are blocked for good.
    fn cut_off_all(&mut self) {
        for worker in std::mem::take(&mut self.workers).into_values() {
            if let Some(run) = worker.run {
                run.end(cut_off(Stop::Node));
            }
        }
        self.idle.clear();
        self.reserved = 0;
        self.target = 0;
        self.report_if_stopped();
    }

    fn report_if_stopped(&mut self) {
        if self.gate.stopping && self.reserved == 0 && self.running().next().is_none() {
            for stopped in self.stopped.drain(..) {
                // The caller may have given up.
                let _ = stopped.send(());
            }
        }
    }
}
