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

pub(super) use messages::{CancelRun, CaughtUp, Dispatch, GetPoolSnapshot, GetRoom, Reserve, Resize, StopWork};

use buffer::Buffer;
pub(super) use room::Room;

use super::{
    execution::{cut_off, overdue},
    run::{Run, Stop},
    theme::ThemeContext,
    throughput::{MeanDurations, Throughput},
    wake::{Wake, WakeSnapshot},
    worker::{Start, WorkerActor},
};
use crate::{
    domain::{Failure, Outcome},
    repeats::Repeats,
    run::{Gate, GateChange},
    threads::{Thread, Threads},
};

/// How often the pool checks its workers, their threads and its buffer.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// How many workers the pool starts at a time. Starting 100,000 takes seconds: between two times the control thread has room for heartbeats,
/// and worker threads for signs of life, without which they would count as blocked.
const STARTED_AT_A_TIME: usize = 500;
const START_PAUSE: Duration = Duration::from_millis(10);

/// If no worker has taken a task for this long, because all are busy with long runs, the whole buffer goes back to the database, where
/// other nodes can take the tasks.
const STUCK_AFTER: Duration = Duration::from_secs(1);

/// A claim leaves the row of a task as it is: Wait or Retry. If the run lasts longer than this, the pool has the row say Running (it checks
/// every half second).
const NOTE_RUNNING_AFTER: Duration = Duration::from_millis(250);

/// A worker whose run is out of time, or was asked to stop and its grace is over, gets this much more time. Then the pool records the end of
/// the run itself. That happens only if the thread is blocked.
const STOP_MARGIN: Duration = Duration::from_secs(2);

/// Supervises the workers of one theme.
pub(super) struct WorkerPool {
    theme: Arc<ThemeContext>,
    threads: Threads,
    wake: Arc<Wake>,
    /// How many workers the pool should have.
    target: usize,
    workers: HashMap<u64, Worker>,
    idle: Vec<u64>,
    /// More workers start after a pause.
    starts_more: bool,
    /// The state in which the last scan began that took all due tasks. As long as it lasts, a task that is added overtakes no other, as far as
    /// this process knows.
    caught_up: Option<WakeSnapshot>,
    /// How many idle workers are reserved for tasks that are about to be added.
    reserved: usize,
    next_id: u64,
    buffer: Buffer,
    /// Runs that wait for memory for their arguments, by log id.
    waiting_for_memory: HashMap<Arc<str>, Arc<Run>>,
    /// Tasks whose arguments cannot be read.
    unreadable: Repeats<i64>,
    /// When a worker was last given a run.
    last_assigned: Instant,
    /// How many runs end per second.
    throughput: Throughput,
    /// How long a run of each method lasts on average.
    mean_durations: MeanDurations,
    gate: Gate,
    /// The pool has told the scanner that there is no room: ring the wake when there is.
    scanner_waits: bool,
    /// The senders of [`StopWork`], who wait for its answer.
    stop_waiters: Vec<oneshot::Sender<()>>,
    counts: Counts,
}

struct Worker {
    addr: Addr<WorkerActor>,
    thread: Arc<Thread>,
    run: Option<Arc<Run>>,
    /// When the worker got its run.
    since: Instant,
    /// The pool has asked the recorder to have the task's row say Running.
    note_requested: bool,
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
    pub(super) fn new(theme: Arc<ThemeContext>, threads: Threads, wake: Arc<Wake>, workers: usize, gate: Gate) -> Self {
        Self {
            target: workers,
            theme,
            threads,
            wake,
            workers: HashMap::new(),
            idle: Vec::new(),
            starts_more: false,
            caught_up: None,
            reserved: 0,
            next_id: 0,
            buffer: Buffer::default(),
            waiting_for_memory: HashMap::new(),
            unreadable: Repeats::default(),
            last_assigned: Instant::now(),
            throughput: Throughput::new(Instant::now()),
            mean_durations: MeanDurations::default(),
            gate,
            scanner_waits: false,
            stop_waiters: Vec::new(),
            counts: Counts::default(),
        }
    }

    // ---- workers ----

    /// Starts workers up to the target, many of them in several steps; ends idle ones beyond it. Busy workers beyond it end when they become
    /// idle.
    fn fit_to_target(&mut self, ctx: &mut Context<Self>) {
        let missing = self.target.saturating_sub(self.workers.len());
        for _ in 0..missing.min(STARTED_AT_A_TIME) {
            self.start_worker(ctx);
        }
        if missing > STARTED_AT_A_TIME && !self.starts_more {
            self.starts_more = true;
            ctx.run_later(START_PAUSE, |pool, ctx| {
                pool.starts_more = false;
                pool.fit_to_target(ctx);
            });
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

    fn start_worker(&mut self, ctx: &mut Context<Self>) {
        let id = self.next_id;
        self.next_id += 1;
        let thread = self.threads.pick();
        let pool = ctx.address().downgrade().recipient();
        let worker = Worker {
            addr: WorkerActor::spawn(id, &thread, Arc::clone(&self.theme), pool),
            thread,
            run: None,
            since: Instant::now(),
            note_requested: false,
        };
        self.workers.insert(id, worker);
        self.idle.push(id);
    }

    /// Gives buffered runs to idle workers, and rings the wake if the scanner waits for room and there is some.
    fn feed(&mut self, ctx: &mut Context<Self>) {
        while self.gate.is_open()
            && !self.idle.is_empty()
            && let Some(run) = self.buffer.pop()
        {
            match self.has_memory(&run) {
                true => self.assign(run, ctx),
                false => self.wait_for_memory(run, ctx),
            }
        }
        if self.scanner_waits && self.free() > 0 {
            self.scanner_waits = false;
            self.wake.ring();
        }
    }

    /// Gives a run to an idle worker. The worker begins it once the arguments are in memory.
    fn assign(&mut self, run: Arc<Run>, ctx: &mut Context<Self>) {
        let Some((id, worker)) = self.idle.pop().and_then(|id| Some((id, self.workers.get_mut(&id)?))) else {
            self.buffer.push_back_in(run, &self.mean_durations);
            return;
        };
        run.assign(id);
        (worker.run, worker.since) = (Some(Arc::clone(&run)), Instant::now());
        worker.note_requested = false;
        self.counts.pulled += 1;
        self.last_assigned = Instant::now();
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
            self.mean_durations.took(&run.task.service, &run.task.method, took);
        }
        self.throughput.finished_one(now);
        if worker.thread.is_stalled() || self.workers.len() > self.target {
            self.workers.remove(&id);
            self.fit_to_target(ctx);
        } else {
            self.idle.push(id);
            self.feed(ctx);
        }
        self.report_if_stopped();
    }

    fn check_workers(&mut self, ctx: &mut Context<Self>) {
        let stuck: Vec<Worker> = self
            .workers
            .extract_if(|_, worker| Self::withdraw_if_stuck(worker))
            .map(|(_, worker)| worker)
            .collect();
        if !stuck.is_empty() {
            self.idle.retain(|id| self.workers.contains_key(id));
        }
        for worker in stuck {
            self.give_up(worker);
        }
        self.fit_to_target(ctx);
        self.note_runs();
        if !self.gate.is_open() {
            self.hand_back(ctx);
        } else if self.last_assigned.elapsed() > STUCK_AFTER {
            self.hand_back_buffer();
        } else if self.buffer.time() > 2 * self.budget() {
            // Runs of these methods take longer than they did when the tasks were claimed.
            self.hand_back_beyond();
        }
        self.report_if_stopped();
    }

    /// Has the rows of tasks that have been running for a while say Running. Claims leave that out to save a write: most runs are over before
    /// people could see it.
    fn note_runs(&mut self) {
        for worker in self.workers.values_mut().filter(|worker| !worker.note_requested) {
            if let Some(run) = worker
                .run
                .as_ref()
                .filter(|_| worker.since.elapsed() >= NOTE_RUNNING_AFTER)
            {
                worker.note_requested = true;
                run.note_running();
            }
        }
    }

    /// Whether the worker must be replaced: its actor has died, or its thread is blocked and no run has to stay with it. A run that has not
    /// begun is taken from a worker with a blocked thread by this call.
    fn withdraw_if_stuck(worker: &Worker) -> bool {
        if !worker.addr.connected() {
            return true;
        }
        // A run that has begun stays with its blocked thread, which counts as a worker, until the run ends or is overdue.
        let movable = |run: &Arc<Run>| run.withdraw() || run.overdue(STOP_MARGIN).is_some();
        worker.thread.is_stalled() && worker.run.as_ref().is_none_or(movable)
    }

    /// Counts a worker that was dead or blocked, and was removed. If it had not begun its run, another worker gets the run. If it had, the
    /// pool records the end of the run.
    fn give_up(&mut self, worker: Worker) {
        self.counts.replaced += 1;
        let Some(run) = worker.run else { return };
        if run.withdraw() {
            self.buffer.push_back_in(run, &self.mean_durations);
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

    /// Reserves an idle worker for a task that is about to be added, if no task waits that should come before it.
    fn reserve(&mut self) -> bool {
        let idle = self.idle.len().min(self.target);
        let may = self.gate.is_open()
            && self.buffer.is_empty()
            && idle > self.reserved
            && self.caught_up == Some(self.wake.snapshot());
        self.reserved += usize::from(may);
        may
    }

    /// Ends a reservation: its task was dispatched, or is not coming.
    fn release(&mut self, ctx: &mut Context<Self>) {
        self.reserved = self.reserved.saturating_sub(1);
        self.feed(ctx);
        self.report_if_stopped();
    }

    fn dispatch(&mut self, runs: Vec<Arc<Run>>, ctx: &mut Context<Self>) {
        self.counts.pushed += runs.len() as u64;
        for run in runs {
            self.buffer.push(run, &self.mean_durations);
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
        // There is more than one run of the task if an older one was taken for lost and has not ended yet.
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
        let cut_off_after = grace
            .saturating_add(self.theme.options.cancel_grace)
            .saturating_add(STOP_MARGIN);
        ctx.run_later(grace, |pool, _| pool.cancel_all());
        ctx.run_later(cut_off_after, |pool, _| pool.cut_off_all());
        self.report_if_stopped();
    }

    /// Ends all runs that are left. Only those whose threads are blocked have not ended by now.
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
            for waiter in self.stop_waiters.drain(..) {
                // The caller may have given up.
                let _ = waiter.send(());
            }
        }
    }
}
