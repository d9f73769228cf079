//! One claimed task on its way through this node.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

#[cfg(all(feature = "hooks", feature = "web"))]
use std::sync::atomic::{AtomicBool, Ordering};

use actix::Recipient;
use chrono::{DateTime, SubsecRound, Utc};
#[cfg(all(feature = "hooks", feature = "web"))]
use futures_util::future::LocalBoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

#[cfg(all(feature = "hooks", feature = "web"))]
use super::parking::Parking;
use super::{
    SchedulerOptions,
    limits::{Limits, Permit},
};
use crate::{
    clock::Clock,
    domain::{Json, Outcome},
    events::{Component, Event, Events, TaskEnded, TaskRunInfo, TaskStarted},
    held_runs::HeldRuns,
    lease::{NodeLease, Term},
    logs::{KeepLogs, LogScope, LogWriter, RunLines},
    registry::{CancelReason, RunFacts, RunKind, RunOfContext, Shared, TaskContext},
    run::{Lifecycle, Overdue, Record, StoppableRun, run_info},
    store::{ArgsMemory, ClaimedTask, Progress},
};
#[cfg(all(feature = "hooks", feature = "web"))]
use crate::{
    domain::TaskError,
    registry::{InvokeError, Ticket},
    store::Store,
};

/// The permits of the backlog. A worker takes permits for each end that it records, and waits while there are none: after a few flushes.
/// Ends that the pool or the scanner records take none.
const BACKLOG: usize = 5_000;

/// Each 16 KiB of the outcome's text takes one more permit of the backlog, so that at most about 80 MB of text wait.
const BYTES_PER_PERMIT: usize = 16 << 10;

/// The most further permits for one end: a longer text is cut before it is written.
const MAX_EXTRA_PERMITS: u32 = 1_000;

/// What the runs of one theme have in common.
pub(super) struct RunContext {
    pub(super) theme: Arc<str>,
    pub(super) component: Component,
    /// The time limit of runs whose tasks set none.
    timeout: Option<Duration>,
    cancel_grace: Duration,
    pub(super) clock: Clock,
    pub(super) lease: NodeLease,
    pub(super) held: HeldRuns,
    pub(super) limits: Limits,
    pub(super) events: Events,
    recorder: Recipient<Record<Entry>>,
    backlog: Arc<Semaphore>,
    /// Which lines of handlers are kept, and who writes them. `None`: none.
    logs: Option<(KeepLogs, Arc<LogScope>)>,
    /// What all handlers of the process share.
    shared: Shared,
    #[cfg(all(feature = "hooks", feature = "web"))]
    store: Store,
}

/// What a [`RunContext`] takes from its process.
pub(super) struct RunParts {
    pub(super) clock: Clock,
    pub(super) lease: NodeLease,
    pub(super) held: HeldRuns,
    pub(super) limits: Limits,
    pub(super) events: Events,
    pub(super) logs: LogWriter,
    pub(super) shared: Shared,
    #[cfg(all(feature = "hooks", feature = "web"))]
    pub(super) store: Store,
}

/// What a run hands to the recorder of its theme.
pub(super) enum Entry {
    NoteRunning(NoteRunning),
    Ended(Ended),
    /// The run has a report of its progress.
    Progress(Arc<Run>),
}

/// Asks the recorder to have the task's row say that the task is Running.
pub(super) struct NoteRunning {
    pub(super) run: Arc<Run>,
    /// This is the task's last attempt, and its handler is not called before the note is in the database, or is refused for good
    /// (model: task::NotedLastAttempt). `None`: no worker waits. The run goes on for a while already, and people who read the table are to see
    /// it.
    pub(super) written: Option<oneshot::Sender<NoteAnswer>>,
}

/// Whether the run still held its task when the note was written; or why the database refuses the note.
pub(super) type NoteAnswer = Result<bool, String>;

/// A run came to its end.
pub(super) struct Ended {
    pub(super) run: Arc<Run>,
    pub(super) outcome: Outcome,
    pub(super) started_at: DateTime<Utc>,
    pub(super) ended_at: DateTime<Utc>,
    pub(super) duration: Duration,
    /// From the time when the task was due until the run began. `None`: it did not begin.
    pub(super) waited: Option<Duration>,
    /// Its permits of the backlog, which return when this is dropped.
    pub(super) permit: Option<OwnedSemaphorePermit>,
    /// Gets the event when the end is in the database; dropped if the end was stale.
    pub(super) written: Option<oneshot::Sender<TaskEnded>>,
}

/// A claimed task and its state on this node. The pool, the worker that runs it and the recorder share it.
///
/// The worker ends the run; the pool does if the worker cannot.
pub(super) struct Run {
    pub(super) task: ClaimedTask,
    /// Whether its method had a limit when it was claimed.
    is_limited: bool,
    pub(super) info: Arc<TaskRunInfo>,
    pub(super) ctx: TaskContext,
    context: Arc<RunContext>,
    state: Mutex<State>,
    progress: Mutex<Option<(u8, String)>>,
    /// Its service has the task, and will end it.
    #[cfg(all(feature = "hooks", feature = "web"))]
    is_parked: AtomicBool,
}

struct State {
    /// The worker that has the run. A worker from which the pool has taken the run cannot begin it.
    worker: Option<u64>,
    args: Args,
    /// Memory for arguments that the claim has left in the database, until the run ends.
    memory: Option<ArgsMemory>,
    /// The leave to run, until the run ends, if its method has a limit.
    permit: Option<Permit>,
    life: Lifecycle<Stop>,
}

/// Why a run is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// Its task was cancelled.
    Request,
    /// The node stops, or has lost its lease.
    Node,
}

/// Where the arguments of a run are.
enum Args {
    /// The claim has left them in the database.
    LeftOut,
    BeingRead,
    Here(Json),
    /// The handler has them, or the run has ended.
    Gone,
}

impl Args {
    fn take(&mut self) -> Option<Json> {
        match std::mem::replace(self, Self::Gone) {
            Self::Here(args) => Some(args),
            other => {
                *self = other;
                None
            }
        }
    }
}

impl RunContext {
    pub(super) fn new(options: &SchedulerOptions, parts: RunParts, recorder: Recipient<Record<Entry>>) -> Self {
        let RunParts {
            clock,
            lease,
            held,
            limits,
            events,
            logs,
            shared,
            #[cfg(all(feature = "hooks", feature = "web"))]
            store,
        } = parts;
        let theme: Arc<str> = options.theme.as_str().into();
        let scope = LogScope::new(Arc::clone(&theme), clock.clone(), logs);
        Self {
            component: Component::Theme(Arc::clone(&theme)),
            theme,
            timeout: options.timeout,
            cancel_grace: options.cancel_grace,
            clock,
            lease,
            held,
            limits,
            events,
            recorder,
            backlog: Arc::new(Semaphore::new(BACKLOG)),
            logs: options.keep_logs.map(|keep| (keep, scope)),
            shared,
            #[cfg(all(feature = "hooks", feature = "web"))]
            store,
        }
    }

    /// Hands the end of one of its runs to the recorder; waits while the backlog is full.
    pub(super) async fn record(&self, mut ended: Ended) {
        let permits = u32::try_from(ended.outcome.bytes() / BYTES_PER_PERMIT).unwrap_or(MAX_EXTRA_PERMITS);
        let permits = 1 + permits.min(MAX_EXTRA_PERMITS);
        // The semaphore is never closed.
        ended.permit = Arc::clone(&self.backlog).acquire_many_owned(permits).await.ok();
        self.enter(Entry::Ended(ended));
    }

    pub(super) fn tell_claimed(&self, tasks: usize, took: Duration) {
        self.events.tell(&Event::TasksClaimed {
            theme: Arc::clone(&self.theme),
            tasks,
            took,
        });
    }

    fn lines(&self, log_id: &Arc<str>) -> Option<Arc<RunLines>> {
        let (keep, scope) = self.logs.as_ref()?;
        Some(scope.begin(Arc::clone(log_id), *keep))
    }

    fn enter(&self, entry: Entry) {
        self.recorder.do_send(Record(entry));
    }
}

impl Run {
    pub(super) fn new(
        mut task: ClaimedTask,
        permit: Option<Permit>,
        term: Term,
        context: &Arc<RunContext>,
    ) -> Arc<Self> {
        let info = Arc::new(run_info(&context.theme, &task));
        let facts = RunFacts {
            kind: RunKind::Task,
            id: task.id,
            theme: Arc::clone(&info.theme),
            attempt: info.attempt,
            max_attempts: info.max_attempts,
            log_id: Arc::clone(&info.log_id),
            scheduled_at: None,
            hold: context.lease.hold(term),
            lines: context.lines(&info.log_id),
            traceparent: task.traceparent.take(),
            shared: context.shared.clone(),
        };
        context.held.add_run(&task.log_id, task.token);
        let args = match task.left_out {
            Some(_) => Args::LeftOut,
            None => Args::Here(std::mem::replace(&mut task.args, Json::null())),
        };
        Arc::new_cyclic(|run: &Weak<Self>| Self {
            task,
            is_limited: permit.is_some(),
            info,
            ctx: TaskContext::new(facts, Some(run.clone() as Weak<dyn RunOfContext>)),
            context: Arc::clone(context),
            state: Mutex::new(State {
                worker: None,
                args,
                memory: None,
                permit,
                life: Lifecycle::default(),
            }),
            progress: Mutex::default(),
            #[cfg(all(feature = "hooks", feature = "web"))]
            is_parked: AtomicBool::new(false),
        })
    }

    /// Whether it has a slot of its method while it waits for a worker.
    pub(super) fn is_limited(&self) -> bool {
        self.is_limited
    }

    pub(super) fn assign(&self, worker: u64) {
        self.state().worker = Some(worker);
    }

    /// Begins the run: gives the arguments to this worker, and starts the time limit. `None`: the pool has taken the run from the worker, its
    /// arguments are not in memory, or it has ended.
    pub(super) fn begin(&self, worker: u64) -> Option<Json> {
        let mut state = self.state();
        if state.worker != Some(worker) {
            return None;
        }
        let args = state.args.take()?;
        state.life.begin(self.context.clock.elapsed());
        Some(args)
    }

    pub(super) fn has_args(&self) -> bool {
        matches!(self.state().args, Args::Here(_))
    }

    /// Whether its arguments must be read and it has no memory for them.
    pub(super) fn lacks_memory(&self) -> bool {
        let state = self.state();
        matches!(state.args, Args::LeftOut) && state.memory.is_none()
    }

    /// Keeps memory for its arguments until the run ends.
    pub(super) fn set_memory(&self, memory: ArgsMemory) {
        let mut state = self.state();
        if !state.life.has_ended() {
            state.memory = Some(memory);
        }
    }

    /// True if the caller must read the arguments now: they are not in memory, and are not being read.
    pub(super) fn begin_read(&self) -> bool {
        let mut state = self.state();
        let is_to_be = matches!(state.args, Args::LeftOut);
        if is_to_be {
            state.args = Args::BeingRead;
        }
        is_to_be
    }

    pub(super) fn is_being_read(&self) -> bool {
        matches!(self.state().args, Args::BeingRead)
    }

    pub(super) fn set_args(&self, args: Json) {
        let mut state = self.state();
        if !state.life.has_ended() {
            state.args = Args::Here(args);
        }
    }

    /// Takes the run from its worker. False: the worker has begun it.
    pub(super) fn withdraw(&self) -> bool {
        let mut state = self.state();
        if state.life.attempt_began().is_none() {
            state.worker = None;
        }
        state.life.attempt_began().is_none()
    }

    /// Asks the handler to stop, if the run has not ended. The first reason stays.
    pub(super) fn stop(&self, why: Stop) {
        if self.state().life.request_stop(why, self.context.clock.elapsed()) {
            self.ctx.cancel(match why {
                Stop::Request => CancelReason::Request,
                Stop::Node => CancelReason::Node,
            });
        }
    }

    /// Whether its service has the task, and will end it.
    #[cfg(all(feature = "hooks", feature = "web"))]
    pub(super) fn is_parked(&self) -> bool {
        self.is_parked.load(Ordering::Relaxed)
    }

    /// The time limit of this run.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.task.timeout.or(self.context.timeout)
    }

    /// The limit that the run has passed by more than `patience`, if any.
    pub(super) fn overdue(&self, patience: Duration) -> Option<Overdue<Stop>> {
        let (now, grace) = (self.context.clock.elapsed(), self.context.cancel_grace);
        self.state().life.overdue(now, self.timeout(), grace, patience)
    }

    /// Notes in the database that the run begins, and waits for that. False: the run no longer holds its task. An error: the database refuses
    /// the note for good, for this reason. Only a task's last attempt needs the note: if this process dies, other nodes must know whether
    /// that attempt was used.
    pub(super) async fn note_last_attempt(self: &Arc<Self>) -> NoteAnswer {
        let (tx, rx) = oneshot::channel();
        self.enter_note(Some(tx));
        rx.await.unwrap_or(Ok(false))
    }

    /// Has the row of its task say that the task is Running.
    pub(super) fn note_running(self: &Arc<Self>) {
        self.enter_note(None);
    }

    fn enter_note(self: &Arc<Self>, written: Option<oneshot::Sender<NoteAnswer>>) {
        let run = Arc::clone(self);
        self.context.enter(Entry::NoteRunning(NoteRunning { run, written }));
    }

    /// Tells observers that the run begins.
    pub(super) fn tell_started(&self) {
        self.context.events.tell_observers(|| {
            Event::TaskStarted(TaskStarted {
                run: Arc::clone(&self.info),
                waited: self.waited(self.context.clock.now()),
            })
        });
    }

    fn waited(&self, until: DateTime<Utc>) -> Duration {
        (until - self.task.due_at).to_std().unwrap_or_default()
    }

    /// Ends the run, and has the recorder write that; does nothing if the run had ended before.
    pub(super) fn end(self: &Arc<Self>, outcome: Outcome) {
        if let Some(ended) = self.finish(outcome) {
            self.context.enter(Entry::Ended(ended));
        }
    }

    /// Marks the run as ended and answers with its entry for the recorder; `None` if it had ended before.
    pub(super) fn finish(self: &Arc<Self>, outcome: Outcome) -> Option<Ended> {
        let mut state = self.state();
        if !state.life.end() {
            return None;
        }
        // The memory is given back even though a handler that blocks its thread may still have the arguments, for an unknown time. So is the
        // permit: by the record, the task does not run any more.
        (state.args, state.memory) = (Args::Gone, None);
        let mut permit = state.permit.take();
        let clock = &self.context.clock;
        let began = state.life.attempt_began();
        drop(state);
        if let Some(permit) = permit.as_mut().filter(|_| began.is_some()) {
            permit.note_start();
        }
        drop(permit);
        let duration = began.map_or(Duration::ZERO, |began| clock.elapsed().saturating_sub(began));
        let ended_at = clock.now();
        // Databases keep microseconds.
        let started_at = chrono::TimeDelta::from_std(duration)
            .ok()
            .and_then(|duration| ended_at.checked_sub_signed(duration))
            .unwrap_or(ended_at)
            .trunc_subsecs(6);
        if let Some(lines) = self.ctx.lines() {
            lines.end(ended_at, outcome.has_record());
        }
        Some(Ended {
            waited: began.map(|_| self.waited(started_at)),
            run: Arc::clone(self),
            outcome,
            started_at,
            ended_at,
            duration,
            permit: None,
            written: None,
        })
    }

    /// Takes the last report of progress, if no earlier call has taken it.
    pub(super) fn take_progress(&self) -> Option<Progress> {
        let (percent, note) = self.progress.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(Progress {
            run: self.task.key(),
            percent: i32::from(percent),
            note,
        })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The recorder keeps the run (an `Arc`) until its last write is done. When the run is dropped, no write about it is pending, so that
/// [`HeldRuns`] can forget it.
impl Drop for Run {
    fn drop(&mut self) {
        self.context.held.remove_run(&self.task.log_id, self.task.token);
    }
}

/// For log lines.
impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (theme, task) = (&self.context.theme, &self.task);
        let (id, service, method, log_id) = (task.id, &task.service, &task.method, &task.log_id);
        write!(f, "{service}.{method} of task {id} (theme {theme}, log_id={log_id})")
    }
}

/// A report replaces the one before it until the recorder takes it: a handler that reports in a tight loop costs one message for each flush.
impl RunOfContext for Run {
    fn report(self: Arc<Self>, percent: u8, note: String) {
        let before = self
            .progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace((percent, note));
        if before.is_none() {
            let context = Arc::clone(&self.context);
            context.enter(Entry::Progress(self));
        }
    }

    #[cfg(all(feature = "hooks", feature = "web"))]
    fn token(&self, ticket: &Ticket) -> String {
        crate::run::sealed(&ticket.mark, &ticket.secret, &self.task)
    }

    #[cfg(all(feature = "hooks", feature = "web"))]
    fn park(self: Arc<Self>, ticket: Ticket, lease: Option<Duration>) -> LocalBoxFuture<'static, InvokeError> {
        Box::pin(async move {
            let parking = Parking {
                store: &self.context.store,
                clock: &self.context.clock,
                theme: &self.context.theme,
                task: &self.task,
                deadline: self.ctx.deadline(),
                run: &*self,
            };
            match parking.park(&ticket, lease).await {
                Ok(true) => {
                    self.is_parked.store(true, Ordering::Relaxed);
                    let permit = self.state().permit.take();
                    self.context
                        .limits
                        .hand_over(permit.into_iter().collect(), &ticket.mark);
                    InvokeError::Parked(ticket, lease)
                }
                Ok(false) => InvokeError::Withdrawn,
                Err(reason) => InvokeError::Handler(TaskError::failed(format!(
                    "the service has parked the run, but the database refuses to note that: {reason}"
                ))),
            }
        })
    }
}

impl StoppableRun for Run {
    type Why = Stop;

    fn clock(&self) -> &Clock {
        &self.context.clock
    }

    fn time_limit(&self) -> Option<Duration> {
        self.timeout()
    }

    async fn stop_requested(&self) -> Stop {
        self.ctx.cancelled().await;
        self.why().unwrap_or(Stop::Node)
    }

    fn why(&self) -> Option<Stop> {
        self.state().life.why().copied()
    }

    fn end_of_grace(&self) -> Duration {
        let (now, grace) = (self.context.clock.elapsed(), self.context.cancel_grace);
        self.state().life.end_of_grace(now, grace)
    }
}
