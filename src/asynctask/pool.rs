//! The actor that owns the workers: starts, feeds, resizes and replaces them.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, MessageResult, ResponseFuture};
use tokio::sync::{Notify, oneshot};

use super::{
    execution::cut_off,
    gate::{Gate, GateChange},
    machine::Theme,
    pace::Pace,
    run::Run,
    worker::{Start, WorkerActor},
};
use crate::{
    arbiters::{Thread, Threads},
    domain::{Failure, Outcome},
    registry::CancelReason,
};

/// How often workers and their threads are looked after.
const LOOK_AFTER: Duration = Duration::from_millis(500);

/// A worker that should have ended its run (out of time, or told to stop and its grace over) gets this much more before
/// the pool records the end in its place. Only a blocked thread ever takes so long.
const PATIENCE: Duration = Duration::from_secs(2);

/// Supervises the workers of one theme.
pub(super) struct WorkerPool {
    theme: Arc<Theme>,
    threads: Threads,
    wake: Arc<Notify>,
    target: usize,
    workers: HashMap<u64, Worker>,
    idle: Vec<u64>,
    next_id: u64,
    buffer: VecDeque<Arc<Run>>,
    pace: Pace,
    gate: Gate,
    /// The scanner was told that there is no room, and wants to hear when there is.
    scanner_waits: bool,
    stopped: Vec<oneshot::Sender<()>>,
    counts: Counts,
}

struct Worker {
    addr: Addr<WorkerActor>,
    thread: Arc<Thread>,
    run: Option<Arc<Run>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    pushed: u64,
    pulled: u64,
    replaced: u64,
}

/// Claimed tasks from the scanner.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Dispatch(pub(super) Vec<Arc<Run>>);

/// A worker is free again.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Idle(pub(super) u64);

/// How many tasks can be taken now. After an answer of 0 the wake is rung when that changes.
#[derive(Message)]
#[rtype(result = "usize")]
pub(super) struct GetRoom;

/// Have this many workers.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Resize(pub(super) usize);

/// Stop the run of this task, if it is here. Answers whether it is.
#[derive(Message)]
#[rtype(result = "bool")]
pub(super) struct CancelRun(pub(super) i64);

/// Take nothing more, hand back what has not begun, let runs end within `grace`, then cut them off. Answers when no run is
/// left.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct StopWork {
    pub(super) grace: Duration,
}

#[derive(Message)]
#[rtype(result = "PoolSnapshot")]
pub(super) struct GetPoolSnapshot;

#[derive(Debug, Clone, Copy)]
pub(super) struct PoolSnapshot {
    pub(super) gate: Gate,
    pub(super) pushed: u64,
    pub(super) pulled: u64,
    pub(super) replaced: u64,
    pub(super) running: usize,
    pub(super) workers: usize,
    pub(super) queued: usize,
}

impl WorkerPool {
    pub(super) fn new(theme: Arc<Theme>, threads: Threads, wake: Arc<Notify>, paused: bool) -> Self {
        Self {
            target: theme.options.worker_num,
            theme,
            threads,
            wake,
            workers: HashMap::new(),
            idle: Vec::new(),
            next_id: 0,
            buffer: VecDeque::new(),
            pace: Pace::new(Instant::now()),
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
    fn fit(&mut self, ctx: &Context<Self>) {
        while self.workers.len() < self.target {
            let id = self.next_id;
            self.next_id += 1;
            let thread = self.threads.pick();
            let pool = ctx.address().downgrade();
            let worker = Worker {
                addr: WorkerActor::spawn(id, &thread, Arc::clone(&self.theme), pool),
                thread,
                run: None,
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
            self.hand_back_buffer();
        }
        self.feed();
    }

    /// Gives buffered tasks to idle workers, and lets the scanner know when there is room again.
    fn feed(&mut self) {
        while !self.buffer.is_empty()
            && let Some(id) = self.idle.pop()
        {
            let Some(worker) = self.workers.get_mut(&id) else {
                continue;
            };
            if let Some(run) = self.buffer.pop_front() {
                run.assign(id);
                worker.run = Some(Arc::clone(&run));
                worker.addr.do_send(Start(run));
                self.counts.pulled += 1;
            }
        }
        if self.scanner_waits && self.room() > 0 {
            self.scanner_waits = false;
            self.wake.notify_one();
        }
    }

    fn became_idle(&mut self, id: u64, ctx: &Context<Self>) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        worker.run = None;
        self.pace.finished_one(Instant::now());
        if worker.thread.is_stalled() || self.workers.len() > self.target {
            self.workers.remove(&id);
            self.fit(ctx);
        } else {
            self.idle.push(id);
            self.feed();
        }
        self.report_if_stopped();
    }

    fn look_after(&mut self, ctx: &Context<Self>) {
        if self.threads.replace_stalled() {
            log::error!(
                "theme {}: a worker thread was blocked for 2 s and is replaced; handlers that block belong into `blocking_fn`",
                self.theme.name
            );
        }
        let unwell: Vec<u64> = self
            .workers
            .iter()
            .filter_map(|(id, worker)| Self::needs_replacing(worker).then_some(*id))
            .collect();
        for id in unwell {
            self.give_up(id);
        }
        self.fit(ctx);
        self.report_if_stopped();
    }

    fn needs_replacing(worker: &Worker) -> bool {
        if !worker.addr.connected() {
            return true;
        }
        // A run that has begun stays with its blocked thread, and keeps its place among the workers, until it ends or
        // should have ended.
        let movable = |run: &Arc<Run>| run.withdraw() || run.overdue(PATIENCE).is_some();
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
            self.buffer.push_front(run);
            return;
        }
        let outcome = match run.overdue(PATIENCE) {
            Some(reason) => cut_off(reason, run.timeout()),
            None => Outcome::Failed {
                error: "its worker died: the thread that ran it was stopped".to_owned(),
                failure: Failure::Lost,
            },
        };
        log::error!(
            "theme {} task {} {}.{} log_id={}: given up, its worker is dead or blocked",
            self.theme.name,
            run.task.id,
            run.task.service,
            run.task.method,
            run.ctx.log_id()
        );
        self.end(&run, outcome);
    }

    fn end(&self, run: &Arc<Run>, outcome: Outcome) {
        if let Some(ended) = run.end(outcome) {
            self.theme.recorder.do_send(ended);
        }
    }

    // ---- work ----

    /// Free workers, and as many tasks in advance as half a second takes. To keep claims large, nothing is asked for while
    /// more than half of that advance is still there.
    fn room(&self) -> usize {
        if !self.gate.is_open() || self.target == 0 {
            return 0;
        }
        let idle = self.idle.len().min(self.target);
        let most = self.theme.options.task_id_chan_length;
        let ahead = self.pace.ahead(Instant::now(), most);
        if self.buffer.len() * 2 > ahead {
            return 0;
        }
        (idle + ahead).saturating_sub(self.buffer.len())
    }

    fn dispatch(&mut self, runs: Vec<Arc<Run>>) {
        self.counts.pushed += runs.len() as u64;
        self.buffer.extend(runs);
        if self.gate.is_open() && self.target > 0 {
            self.feed();
        } else {
            self.hand_back_buffer();
        }
    }

    fn hand_back_buffer(&mut self) {
        for run in std::mem::take(&mut self.buffer) {
            self.end(&run, Outcome::HandedBack { started: false });
        }
    }

    fn change(&mut self, change: GateChange) {
        self.gate.change(change);
        if !self.gate.is_open() {
            self.hand_back_buffer();
        }
        if let GateChange::Fenced(true) = change {
            self.cancel_all();
        }
        self.feed();
    }

    fn cancel_run(&mut self, task_id: i64) -> bool {
        let buffered = self.buffer.iter().position(|run| run.task.id == task_id);
        if let Some(run) = buffered.and_then(|at| self.buffer.remove(at)) {
            self.end(&run, Outcome::Cancelled);
            return true;
        }
        let running = self
            .workers
            .values()
            .filter_map(|worker| worker.run.as_ref())
            .find(|run| run.task.id == task_id);
        if let Some(run) = running {
            run.cancel(CancelReason::Request);
        }
        running.is_some()
    }

    // ---- stop ----

    fn cancel_all(&self) {
        for run in self.workers.values().filter_map(|worker| worker.run.as_ref()) {
            run.cancel(CancelReason::Node);
        }
    }

    fn stop_work(&mut self, grace: Duration, ctx: &mut Context<Self>) {
        self.gate.stopping = true;
        self.hand_back_buffer();
        let told = grace + self.theme.options.cancel_grace + PATIENCE;
        ctx.run_later(grace, |pool, _| pool.cancel_all());
        ctx.run_later(told, |pool, _| pool.cut_off_all());
        self.report_if_stopped();
    }

    /// The last resort against threads that are blocked for good.
    fn cut_off_all(&mut self) {
        for worker in std::mem::take(&mut self.workers).into_values() {
            if let Some(run) = worker.run {
                self.end(&run, cut_off(CancelReason::Node, None));
            }
        }
        self.idle.clear();
        self.target = 0;
        self.report_if_stopped();
    }

    fn report_if_stopped(&mut self) {
        if self.gate.stopping && self.workers.values().all(|worker| worker.run.is_none()) {
            for stopped in self.stopped.drain(..) {
                // Whoever asked may have given up.
                let _ = stopped.send(());
            }
        }
    }
}

impl Actor for WorkerPool {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.fit(ctx);
        ctx.run_interval(LOOK_AFTER, |pool, ctx| pool.look_after(ctx));
    }
}

impl Handler<Dispatch> for WorkerPool {
    type Result = ();

    fn handle(&mut self, Dispatch(runs): Dispatch, _: &mut Context<Self>) {
        self.dispatch(runs);
    }
}

impl Handler<Idle> for WorkerPool {
    type Result = ();

    fn handle(&mut self, Idle(id): Idle, ctx: &mut Context<Self>) {
        self.became_idle(id, ctx);
    }
}

impl Handler<GetRoom> for WorkerPool {
    type Result = usize;

    fn handle(&mut self, _: GetRoom, _: &mut Context<Self>) -> usize {
        let room = self.room();
        self.scanner_waits = room == 0;
        room
    }
}

impl Handler<Resize> for WorkerPool {
    type Result = ();

    fn handle(&mut self, Resize(target): Resize, ctx: &mut Context<Self>) {
        if !self.gate.stopping {
            self.target = target;
            self.fit(ctx);
        }
    }
}

impl Handler<CancelRun> for WorkerPool {
    type Result = bool;

    fn handle(&mut self, CancelRun(task_id): CancelRun, _: &mut Context<Self>) -> bool {
        self.cancel_run(task_id)
    }
}

impl Handler<GateChange> for WorkerPool {
    type Result = ();

    fn handle(&mut self, change: GateChange, _: &mut Context<Self>) {
        self.change(change);
    }
}

impl Handler<StopWork> for WorkerPool {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, StopWork { grace }: StopWork, ctx: &mut Context<Self>) -> Self::Result {
        let (tell, told) = oneshot::channel();
        self.stopped.push(tell);
        self.stop_work(grace, ctx);
        Box::pin(async move {
            // Never dropped unsent but with the actor itself, and then nothing runs any more.
            let _ = told.await;
        })
    }
}

impl Handler<GetPoolSnapshot> for WorkerPool {
    type Result = MessageResult<GetPoolSnapshot>;

    fn handle(&mut self, _: GetPoolSnapshot, _: &mut Context<Self>) -> Self::Result {
        let running = |worker: &&Worker| worker.run.is_some();
        MessageResult(PoolSnapshot {
            gate: self.gate,
            pushed: self.counts.pushed,
            pulled: self.counts.pulled,
            replaced: self.counts.replaced,
            running: self.workers.values().filter(running).count(),
            workers: self.workers.len(),
            queued: self.buffer.len(),
        })
    }
}
