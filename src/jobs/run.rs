//! One claimed run of a job on its way through this node.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use actix::Recipient;
use chrono::{DateTime, SubsecRound, Utc};
use tokio_util::sync::CancellationToken;

use super::options::KeptLogs;
use crate::{
    clock::Clock,
    domain::{Failure, OverlapPolicy, RetryPolicy, RunFlag, TEXT_LIMIT, Target, truncated},
    events::{Event, Events, HookCalled, JobRetried, JobRunInfo, JobStarted},
    hook::HookClient,
    lease::{Hold, NodeLease, Term},
    logs::{LogScope, RunLines},
    registry::{CancelReason, Layers, Registry, RunFacts, RunKind, TaskContext},
    run::{Lifecycle, Overdue, Record, StoppableRun},
    store::{ClaimedRun, JobRunKey, RunEnd},
    traces::Traces,
};

/// The error of a run that never began for lack of a thread.
const NO_THREAD: &str =
    "not run: for as long as the job's timeout the system gave this process no thread for its handler";

/// The error of an attempt that is out of time, where another one follows.
pub(super) const ATTEMPT_TIMED_OUT: &str = "timed out";

/// The context that all runs of this process share.
pub(super) struct JobsContext {
    pub(super) node: Arc<str>,
    pub(super) clock: Clock,
    pub(super) lease: NodeLease,
    pub(super) registry: Registry,
    pub(super) hooks: HookClient,
    pub(super) cancel_grace: Duration,
    /// The overlap policy of jobs that have none.
    pub(super) overlap: OverlapPolicy,
    pub(super) events: Events,
    pub(super) recorder: Recipient<Record<Ended>>,
    /// Which lines of handlers are kept, and who writes them.
    pub(super) logs: (KeptLogs, Arc<LogScope>),
    pub(super) traces: Traces,
    /// What is around the calls of handlers.
    pub(super) layers: Layers,
}

/// The end of a run, for the recorder.
pub(super) struct Ended {
    pub(super) run: Arc<JobRunInfo>,
    pub(super) end: RunEnd,
    /// Why it failed, if it did.
    pub(super) failure: Option<Failure>,
}

/// What to run, and within which limits.
#[derive(Clone)]
pub(super) struct RunSpec {
    pub(super) target: Target,
    pub(super) timeout: Duration,
    pub(super) max_retry: u32,
    pub(super) retry: RetryPolicy,
}

/// A claimed run of a job and its state on this node. Its actor ends the run; the cron actor does if the actor's thread is blocked.
pub(super) struct JobRun {
    pub(super) id: i64,
    pub(super) job_id: i64,
    pub(super) job_name: Arc<str>,
    pub(super) log_id: Arc<str>,
    pub(super) info: Arc<JobRunInfo>,
    pub(super) scheduled_at: Option<DateTime<Utc>>,
    pub(super) spec: RunSpec,
    pub(super) overlap: OverlapPolicy,
    pub(super) context: Arc<JobsContext>,
    hold: Hold,
    /// What its handler logs, in all attempts, if that is kept.
    lines: Option<Arc<RunLines>>,
    /// The span of the caller who asked for the run, and its trace.
    traceparent: Option<Arc<str>>,
    stop: CancellationToken,
    state: Mutex<State>,
}

/// The state of a run. If an actor's thread is blocked, the cron actor gives the run to another actor: a new generation.
///
/// | the run | `started_by_current` | `current_has_returned` | `life.attempt_began` |
/// |---|---|---|---|
/// | waits for the actor of the present generation | false | false | `None` |
/// | is in an attempt | true | false | `Some` |
/// | waits for its next attempt | true | false | `None` |
/// | could not begin; the cron actor will release it | true | true | `None` |
/// | has ended (`life`) | any | any | any |
#[derive(Default)]
struct State {
    /// The generation of the actor that may run it. It grows by 1 when the run is given to another actor.
    generation: u32,
    /// The actor of this generation has started the run.
    started_by_current: bool,
    /// The actor of this generation has returned from the run.
    current_has_returned: bool,
    /// How many actors, of any generation, have started the run and not returned from it.
    actors_inside: u32,
    /// The number of attempts that were begun.
    attempt: u32,
    /// The last attempt whose start observers have heard of.
    told_attempt: u32,
    /// The context that the handler of the present attempt got.
    ctx: Option<TaskContext>,
    started_at: Option<DateTime<Utc>>,
    /// The reading of the clock before which the next attempt must not begin.
    next_attempt_from: Option<Duration>,
    /// The stop and the end are those of the run; the time since `attempt_began` is that of the present attempt.
    life: Lifecycle<Stop>,
}

/// Why a run is asked to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// A caller wants it cancelled, for this reason.
    Cancelled(String),
    /// The node stops, or has lost its lease.
    Node,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Succeeded(String),
    Failed {
        error: String,
        failure: Failure,
    },
    TimedOut,
    Stopped(Stop),
    /// There was no thread for a handler that blocks, or for looking up a hook's host.
    NoThread,
    /// The handler was not called, or the request of the hook was not sent: this node did not own the run any more.
    Withdrawn,
}

impl JobsContext {
    fn lines(&self, run: &JobRunInfo) -> Option<Arc<RunLines>> {
        let (kept, scope) = &self.logs;
        let keep = kept.of(run.job_name.as_deref()?)?;
        Some(scope.begin(Arc::clone(&run.log_id), keep))
    }
}

impl JobRun {
    pub(super) fn new(
        claimed: &ClaimedRun,
        info: Arc<JobRunInfo>,
        spec: RunSpec,
        term: Term,
        traceparent: Option<Arc<str>>,
        context: Arc<JobsContext>,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: claimed.id,
            job_id: claimed.job.id,
            job_name: claimed.job.job_name.0.as_str().into(),
            log_id: Arc::clone(&info.log_id),
            lines: context.lines(&info),
            traceparent,
            info,
            scheduled_at: claimed.scheduled_at,
            spec,
            overlap: claimed.job.overlap(context.overlap),
            hold: context.lease.hold(term),
            context,
            stop: CancellationToken::new(),
            state: Mutex::default(),
        })
    }

    /// The proof that this node owns the run.
    pub(super) fn hold(&self) -> &Hold {
        &self.hold
    }

    /// The term in which it was claimed.
    pub(super) fn term(&self) -> Term {
        self.hold.term()
    }

    /// Whether this node still owns the run: other nodes end the runs of a node without heartbeat.
    pub(super) fn is_ours(&self) -> bool {
        self.hold.is_valid()
    }

    pub(super) fn generation(&self) -> u32 {
        self.state().generation
    }

    /// Starts the run for the actor of this generation. False: the run was given to another actor, or this one has started it already.
    pub(super) fn start(&self, generation: u32) -> bool {
        let mut state = self.state();
        let is_free = state.generation == generation && !state.started_by_current;
        if is_free {
            (state.started_by_current, state.current_has_returned) = (true, false);
            state.actors_inside += 1;
        }
        is_free
    }

    /// The actor of this generation has returned from the run.
    pub(super) fn actor_returned(&self, generation: u32) {
        let mut state = self.state();
        state.actors_inside = state.actors_inside.saturating_sub(1);
        state.current_has_returned |= state.generation == generation;
    }

    pub(super) fn is_any_actor_inside(&self) -> bool {
        self.state().actors_inside > 0
    }

    /// Takes the run from an actor that does not return from an attempt that is out of time by more than `patience`. The next attempt begins
    /// immediately. False: the actor has returned, or the run has ended.
    pub(super) fn give_up_attempt(&self, patience: Duration) -> bool {
        let mut state = self.state();
        if self.limit_passed(&state, patience) != Some(Overdue::Time) {
            return false;
        }
        let attempt = state.attempt;
        state.generation += 1;
        (state.started_by_current, state.current_has_returned) = (false, false);
        state.life.attempt_over();
        let ctx = state.ctx.take();
        drop(state);
        if let Some(ctx) = ctx {
            ctx.cancel(CancelReason::Timeout);
        }
        self.tell_retry(attempt, ATTEMPT_TIMED_OUT, Duration::ZERO);
        true
    }

    /// Takes the run from an actor that makes no attempt now: it has not begun, or waits for the next one. False: it makes an attempt, or the
    /// run has ended.
    pub(super) fn withdraw(&self) -> bool {
        let mut state = self.state();
        let makes_none = state.life.attempt_began().is_none() && !state.life.has_ended();
        if makes_none {
            state.generation += 1;
            (state.started_by_current, state.current_has_returned) = (false, false);
        }
        makes_none
    }

    /// Begins the next attempt for the actor of this generation. `None`: it must not begin.
    pub(super) fn begin(&self, generation: u32) -> Option<TaskContext> {
        let mut state = self.state();
        // A node whose lease has expired begins no attempt: other nodes may have ended this run.
        let may_not = state.life.has_ended() || state.life.why().is_some();
        if may_not || state.generation != generation || !self.hold.is_valid() {
            return None;
        }
        state.attempt += 1;
        let facts = RunFacts {
            kind: RunKind::Job,
            id: self.id,
            // What the handler of a job sees as the theme is the name of the job.
            theme: Arc::clone(&self.job_name),
            attempt: state.attempt,
            max_attempts: self.spec.max_retry.saturating_add(1),
            log_id: Arc::clone(&self.log_id),
            scheduled_at: self.scheduled_at,
            hold: self.hold.clone(),
            lines: self.lines.clone(),
            traceparent: self.traceparent.clone(),
            shared: self.context.registry.shared().clone(),
        };
        let ctx = TaskContext::new(facts, None);
        ctx.set_deadline(&self.context.clock, self.spec.timeout);
        state.started_at.get_or_insert_with(|| self.context.clock.now());
        state.life.begin(self.context.clock.elapsed());
        state.ctx = Some(ctx.clone());
        Some(ctx)
    }

    /// Whether the actor of this generation may still run it.
    pub(super) fn is_run_by(&self, generation: u32) -> bool {
        self.state().generation == generation
    }

    /// How many attempts were made before the last one. `None`: no attempt is left.
    pub(super) fn retries_so_far(&self) -> Option<u32> {
        let attempt = self.state().attempt;
        (attempt <= self.spec.max_retry).then(|| attempt.saturating_sub(1))
    }

    /// The attempt of the actor of this generation could not begin, and does not count.
    pub(super) fn take_back_attempt(&self, generation: u32) {
        let mut state = self.state();
        if state.generation != generation || state.life.has_ended() {
            return;
        }
        state.attempt = state.attempt.saturating_sub(1);
        state.life.attempt_over();
        state.ctx = None;
        if state.attempt == 0 {
            state.started_at = None;
        }
    }

    /// The actor of this generation, or another one to which the run is given in between, makes the next attempt after this pause. No time limit
    /// runs during the pause. False: the run was given to another actor before.
    pub(super) fn pause_before_next(&self, generation: u32, pause: Duration) -> bool {
        let until = self.context.clock.elapsed().saturating_add(pause);
        let mut state = self.state();
        let is_current = state.generation == generation;
        if is_current {
            state.life.attempt_over();
            state.next_attempt_from = Some(until);
        }
        is_current
    }

    /// Tells that an attempt starts. An attempt that could not begin begins again, on this thread or on another: it is told once.
    pub(super) fn tell_start(&self, attempt: u32) {
        let told = std::mem::replace(&mut self.state().told_attempt, attempt);
        if told != attempt {
            self.context.events.tell_observers(|| {
                let run = Arc::clone(&self.info);
                Event::JobStarted(JobStarted { run, attempt })
            });
        }
    }

    /// Tells that its hook was called, and with which status it has answered.
    pub(super) fn tell_hook(&self, status: Option<u16>, took: Duration) {
        self.context.events.tell(&Event::HookCalled(HookCalled {
            run: Arc::clone(&self.info),
            status,
            took,
        }));
    }

    /// Tells that an attempt has failed and another one follows.
    pub(super) fn tell_retry(&self, attempt: u32, error: &str, delay: Duration) {
        self.context.events.tell(&Event::JobRetried(JobRetried {
            run: Arc::clone(&self.info),
            attempt,
            error: error.to_owned(),
            delay,
        }));
    }

    /// The reading of the clock before which the next attempt must not begin.
    pub(super) fn next_attempt_from(&self) -> Option<Duration> {
        self.state().next_attempt_from
    }

    /// Asks the run to stop. The first reason stays.
    pub(super) fn stop(&self, why: Stop) {
        let reason = match why {
            Stop::Cancelled(_) => CancelReason::Request,
            Stop::Node => CancelReason::Node,
        };
        let mut state = self.state();
        if !state.life.request_stop(why, self.context.clock.elapsed()) {
            return;
        }
        let ctx = state.ctx.clone();
        drop(state);
        if let Some(ctx) = ctx {
            ctx.cancel(reason);
        }
        self.stop.cancel();
    }

    /// The limit that the run has passed by more than `patience`, if any.
    pub(super) fn overdue(&self, patience: Duration) -> Option<Overdue<Stop>> {
        self.limit_passed(&self.state(), patience)
    }

    fn limit_passed(&self, state: &State, patience: Duration) -> Option<Overdue<Stop>> {
        let (now, grace) = (self.context.clock.elapsed(), self.context.cancel_grace);
        state.life.overdue(now, Some(self.spec.timeout), grace, patience)
    }

    /// Whether an attempt was begun.
    pub(super) fn has_begun(&self) -> bool {
        self.state().attempt > 0
    }

    /// Whether its actor has returned without having begun or ended the run.
    pub(super) fn returned_unbegun(&self) -> bool {
        let state = self.state();
        let is_cancelled = matches!(state.life.why(), Some(Stop::Cancelled(_)));
        state.current_has_returned && state.attempt == 0 && !is_cancelled && !state.life.has_ended()
    }

    /// Releases the run if it has not begun: this value counts as ended, and no end is written. False: it has begun or ended.
    pub(super) fn release(&self) -> bool {
        let mut state = self.state();
        state.attempt == 0 && state.life.end()
    }

    /// A released run again, as if it had been claimed in this term.
    pub(super) fn claimed_anew(&self, term: Term) -> Arc<Self> {
        Arc::new(Self {
            id: self.id,
            job_id: self.job_id,
            job_name: Arc::clone(&self.job_name),
            log_id: Arc::clone(&self.log_id),
            info: Arc::clone(&self.info),
            scheduled_at: self.scheduled_at,
            spec: self.spec.clone(),
            overlap: self.overlap,
            context: Arc::clone(&self.context),
            hold: self.context.lease.hold(term),
            lines: self.context.lines(&self.info),
            traceparent: self.traceparent.clone(),
            stop: CancellationToken::new(),
            state: Mutex::default(),
        })
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state().life.has_ended()
    }

    /// Ends the run, and has the recorder write that; does nothing if the run had ended before.
    pub(super) fn end(&self, verdict: Verdict) {
        let mut state = self.state();
        if !state.life.end() {
            return;
        }
        let (attempt, started_at) = (state.attempt, state.started_at);
        let ctx = state.ctx.take();
        // A blocking function goes on: cancel its context, so that it can notice.
        if let (Some(ctx), Verdict::TimedOut) = (ctx, &verdict) {
            ctx.cancel(CancelReason::Timeout);
        }
        let failure = verdict.failure();
        let (flag, result, error) = verdict.into_columns(self.spec.timeout);
        let end = RunEnd {
            run: JobRunKey {
                id: self.id,
                node: Arc::clone(&self.context.node),
            },
            job_id: self.job_id,
            flag,
            result: result.map(|text| truncated(text, TEXT_LIMIT)),
            error: error.map(|text| truncated(text, TEXT_LIMIT)),
            attempt: i32::try_from(attempt).unwrap_or(i32::MAX),
            started_at: started_at.map(|at| at.trunc_subsecs(6)),
            ended_at: self.context.clock.now(),
        };
        if let Some(lines) = &self.lines {
            lines.end(end.ended_at, true);
        }
        let run = Arc::clone(&self.info);
        self.context.recorder.do_send(Record(Ended { run, end, failure }));
        // A stop that sees no run any more asks the recorder next: this end must be there before.
        drop(state);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For log lines.
impl std::fmt::Display for JobRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.spec.target {
            Target::Service { service, method, .. } => write!(f, "{service}.{method}")?,
            Target::Hook(_) => f.write_str("the hook")?,
        }
        let (job_id, name, id, log_id) = (self.job_id, &self.job_name, self.id, &self.log_id);
        write!(f, " of job {job_id} ({name}, run {id}, log_id={log_id})")
    }
}

impl StoppableRun for JobRun {
    type Why = Stop;

    fn clock(&self) -> &Clock {
        &self.context.clock
    }

    fn time_limit(&self) -> Option<Duration> {
        Some(self.spec.timeout)
    }

    async fn stop_requested(&self) -> Stop {
        self.stop.cancelled().await;
        self.why().unwrap_or(Stop::Node)
    }

    fn why(&self) -> Option<Stop> {
        self.state().life.why().cloned()
    }

    /// A hook's request cannot be asked to stop: it is dropped immediately.
    fn end_of_grace(&self) -> Duration {
        match self.spec.target {
            Target::Service { .. } => {
                let (now, grace) = (self.context.clock.elapsed(), self.context.cancel_grace);
                self.state().life.end_of_grace(now, grace)
            }
            Target::Hook(_) => Duration::ZERO,
        }
    }
}

impl Verdict {
    /// Which kind of failure it is.
    fn failure(&self) -> Option<Failure> {
        match self {
            Self::Failed { failure, .. } => Some(*failure),
            Self::TimedOut => Some(Failure::TimedOut),
            Self::Succeeded(_) | Self::Stopped(_) | Self::NoThread | Self::Withdrawn => None,
        }
    }

    /// Flag, result and error.
    fn into_columns(self, timeout: Duration) -> (RunFlag, Option<String>, Option<String>) {
        match self {
            Self::Succeeded(result) => (RunFlag::Success, Some(result), None),
            Self::Failed { error, .. } => (RunFlag::Failed, None, Some(error)),
            Self::TimedOut => (RunFlag::Failed, None, Some(format!("timed out after {timeout:?}"))),
            Self::NoThread => (RunFlag::Failed, None, Some(NO_THREAD.to_owned())),
            Self::Stopped(Stop::Cancelled(reason)) => (RunFlag::Cancelled, None, Some(reason)),
            Self::Stopped(Stop::Node) | Self::Withdrawn => (
                RunFlag::Failed,
                None,
                Some("cut off: its node stopped, or lost its lease, before the run had ended".to_owned()),
            ),
        }
    }
}
