//! One claimed run on its way through this node.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use actix::Addr;
use chrono::{DateTime, SubsecRound, Utc};
use tokio_util::sync::CancellationToken;

use super::recorder::JobRecorder;
use crate::{
    clock::Clock,
    domain::{OverlapPolicy, RetryPolicy, RunFlag, TEXT_LIMIT, Target, truncated},
    hook::HookClient,
    lease::{Hold, NodeLease, Term},
    registry::{CancelReason, Registry, RunFacts, TaskContext},
    repeats::Repeats,
    store::{ClaimedRun, RunEnd},
};

/// The error of a run that never began for lack of a thread.
const NO_THREAD: &str =
    "not run: for as long as the job's timeout the system gave this process no thread for its handler";

/// What runs of this process share.
pub(super) struct Shared {
    pub(super) node: Arc<str>,
    pub(super) clock: Clock,
    pub(super) lease: NodeLease,
    pub(super) registry: Registry,
    pub(super) hooks: HookClient,
    pub(super) cancel_grace: Duration,
    pub(super) recorder: Addr<JobRecorder>,
    /// By job: errors of attempts that were made again.
    pub(super) retries: Mutex<Repeats<i64>>,
}

impl Shared {
    /// What to say of an attempt that is made again, unless it has just been said.
    pub(super) fn say_retry(&self, job_id: i64, error: &str) -> Option<String> {
        let mut retries = self.retries.lock().unwrap_or_else(PoisonError::into_inner);
        retries.say(job_id, error)
    }
}

/// What to run, and within which limits.
#[derive(Clone)]
pub(super) struct Orders {
    pub(super) target: Target,
    pub(super) timeout: Duration,
    pub(super) max_retry: u32,
    pub(super) retry: RetryPolicy,
}

/// A claimed run and where it stands. It has one end, whoever brings it about: its actor, or the cron actor when the run's
/// own thread cannot.
pub(super) struct JobRun {
    pub(super) id: i64,
    pub(super) job_id: i64,
    pub(super) job_name: Arc<str>,
    pub(super) log_id: String,
    pub(super) scheduled_at: Option<DateTime<Utc>>,
    pub(super) orders: Orders,
    pub(super) overlap: OverlapPolicy,
    pub(super) shared: Arc<Shared>,
    hold: Hold,
    stop: CancellationToken,
    stage: Mutex<Stage>,
}

#[derive(Default)]
struct Stage {
    /// Who may run it: grows when it is taken from an actor whose thread is blocked.
    seat: u32,
    taken: bool,
    /// The actor that has it in this seat has come back from it.
    left: bool,
    /// Actors that have not come back from it.
    executing: u32,
    attempt: u32,
    /// What the handler of this attempt has been given.
    ctx: Option<TaskContext>,
    started_at: Option<DateTime<Utc>>,
    /// Reading of the clock when this attempt began.
    began: Option<Duration>,
    /// Reading of the clock before which no attempt begins.
    rests_until: Option<Duration>,
    /// Why it is to stop, and the reading of the clock when it was told.
    told: Option<(Stop, Duration)>,
    ended: bool,
}

/// Why a run is to stop before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// Somebody wants it cancelled, for this reason.
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
        /// Whether another attempt may help.
        retry: bool,
    },
    TimedOut,
    Stopped(Stop),
    /// There was no thread for a handler that blocks, or for looking up a hook's host.
    NoThread,
    /// The handler was not called, or nothing was sent: the run was not this node's any more by then.
    Withdrawn,
}

impl JobRun {
    pub(super) fn new(claimed: &ClaimedRun, orders: Orders, term: Term, shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self {
            id: claimed.id,
            job_id: claimed.job.id,
            job_name: claimed.job.job_name.0.as_str().into(),
            log_id: claimed.log_id.clone(),
            scheduled_at: claimed.scheduled_at,
            orders,
            overlap: claimed.job.overlap(),
            hold: shared.lease.hold(term),
            shared,
            stop: CancellationToken::new(),
            stage: Mutex::default(),
        })
    }

    /// What makes it this node's.
    pub(super) fn hold(&self) -> &Hold {
        &self.hold
    }

    /// The term in which it was claimed.
    pub(super) fn term(&self) -> Term {
        self.hold.term()
    }

    /// Whether it is still this node's: others end the runs of a silent one.
    pub(super) fn is_ours(&self) -> bool {
        self.hold.is_good()
    }

    pub(super) fn seat(&self) -> u32 {
        self.stage().seat
    }

    /// Takes it for the actor in this seat, for good; false if it is another's by now.
    pub(super) fn take(&self, seat: u32) -> bool {
        let mut stage = self.stage();
        let is_free = stage.seat == seat && !stage.taken;
        if is_free {
            (stage.taken, stage.left) = (true, false);
            stage.executing += 1;
        }
        is_free
    }

    /// The actor in this seat has come back from it.
    pub(super) fn leave(&self, seat: u32) {
        let mut stage = self.stage();
        stage.executing = stage.executing.saturating_sub(1);
        stage.left |= stage.seat == seat;
    }

    pub(super) fn is_being_executed(&self) -> bool {
        self.stage().executing > 0
    }

    /// Takes it from an actor that does not come back from an attempt that is out of time.
    pub(super) fn give_up_attempt(&self) -> bool {
        let mut stage = self.stage();
        stage.seat += 1;
        (stage.taken, stage.left, stage.began) = (false, false, None);
        if let Some(ctx) = stage.ctx.take() {
            drop(stage);
            ctx.cancel(CancelReason::Timeout);
        }
        true
    }

    /// Takes it from an actor that makes no attempt now: it has not begun, or rests between two. False if it makes one.
    pub(super) fn withdraw(&self) -> bool {
        let mut stage = self.stage();
        let makes_none = stage.began.is_none() && !stage.ended;
        if makes_none {
            stage.seat += 1;
            (stage.taken, stage.left) = (false, false);
        }
        makes_none
    }

    /// Begins the next attempt of the actor in this seat; `None` if there must be none.
    pub(super) fn begin(&self, seat: u32) -> Option<TaskContext> {
        let mut stage = self.stage();
        // A process that was silent for too long begins nothing: others may have ended this run.
        if stage.ended || stage.told.is_some() || stage.seat != seat || !self.hold.is_good() {
            return None;
        }
        stage.attempt += 1;
        let facts = RunFacts {
            id: self.id,
            theme: Arc::clone(&self.job_name),
            attempt: stage.attempt,
            max_attempts: self.orders.max_retry.saturating_add(1),
            log_id: self.log_id.as_str().into(),
            scheduled_at: self.scheduled_at,
            hold: self.hold.clone(),
        };
        let ctx = TaskContext::new(facts, None);
        ctx.set_deadline(&self.shared.clock, self.orders.timeout);
        stage.started_at.get_or_insert_with(|| self.shared.clock.now());
        stage.began = Some(self.shared.clock.elapsed());
        stage.ctx = Some(ctx.clone());
        Some(ctx)
    }

    /// Whether the actor in this seat is still the one that runs it.
    pub(super) fn is_run_by(&self, seat: u32) -> bool {
        self.stage().seat == seat
    }

    /// How many attempts have failed before, if there may be another.
    pub(super) fn retries_so_far(&self) -> Option<u32> {
        let attempt = self.stage().attempt;
        (attempt <= self.orders.max_retry).then(|| attempt.saturating_sub(1))
    }

    /// The attempt of the actor in this seat could not begin, and is none.
    pub(super) fn take_back_attempt(&self, seat: u32) {
        let mut stage = self.stage();
        if stage.seat != seat || stage.ended {
            return;
        }
        stage.attempt = stage.attempt.saturating_sub(1);
        (stage.began, stage.ctx) = (None, None);
        if stage.attempt == 0 {
            stage.started_at = None;
        }
    }

    /// The actor in this seat, or the actor that has taken its place by then, makes the next attempt after this pause. Until then no
    /// time runs out.
    pub(super) fn rest(&self, seat: u32, pause: Duration) {
        let until = self.shared.clock.elapsed().saturating_add(pause);
        let mut stage = self.stage();
        if stage.seat == seat {
            (stage.began, stage.rests_until) = (None, Some(until));
        }
    }

    /// The reading of the clock until which it rests.
    pub(super) fn rests_until(&self) -> Option<Duration> {
        self.stage().rests_until
    }

    /// Tells it to stop. The first reason stays.
    pub(super) fn stop(&self, why: Stop) {
        let mut stage = self.stage();
        if stage.ended || stage.told.is_some() {
            return;
        }
        let reason = match why {
            Stop::Cancelled(_) => CancelReason::Request,
            Stop::Node => CancelReason::Node,
        };
        stage.told = Some((why, self.shared.clock.elapsed()));
        let ctx = stage.ctx.clone();
        drop(stage);
        if let Some(ctx) = ctx {
            ctx.cancel(reason);
        }
        self.stop.cancel();
    }

    /// Ends when it is told to stop.
    pub(super) async fn told(&self) -> Stop {
        self.stop.cancelled().await;
        self.why().unwrap_or(Stop::Node)
    }

    /// Why it was told to stop.
    pub(super) fn why(&self) -> Option<Stop> {
        self.stage().told.as_ref().map(|(why, _)| why.clone())
    }

    /// The reading of the clock when it was told to stop; now, if it was not.
    pub(super) fn told_at(&self) -> Duration {
        let told = self.stage().told.as_ref().map(|(_, at)| *at);
        told.unwrap_or_else(|| self.shared.clock.elapsed())
    }

    /// The end of a run whose own thread should have ended it long ago, because it ran out of time or was told to stop.
    pub(super) fn overdue(&self, patience: Duration) -> Option<Verdict> {
        let stage = self.stage();
        let now = self.shared.clock.elapsed();
        if stage.ended {
            return None;
        }
        let deadline = |since: Duration, limit: Duration| since.saturating_add(limit).saturating_add(patience);
        if let Some((why, told)) = &stage.told
            && now > deadline(*told, self.shared.cancel_grace)
        {
            return Some(Verdict::Stopped(why.clone()));
        }
        let began = stage.began?;
        (now > deadline(began, self.orders.timeout)).then_some(Verdict::TimedOut)
    }

    /// Whether its first attempt was begun.
    pub(super) fn has_begun(&self) -> bool {
        self.stage().attempt > 0
    }

    /// Whether its actor has come back from it without having begun or ended it.
    pub(super) fn was_left(&self) -> bool {
        let stage = self.stage();
        let is_cancelled = matches!(stage.told, Some((Stop::Cancelled(_), _)));
        stage.left && stage.attempt == 0 && !is_cancelled && !stage.ended
    }

    /// Marks it as ended, without an end to write, if it has not begun.
    pub(super) fn release(&self) -> bool {
        let mut stage = self.stage();
        let is_released = stage.attempt == 0 && !stage.ended;
        stage.ended |= is_released;
        is_released
    }

    /// The same run, as if it had been claimed in this term. It was released.
    pub(super) fn again(&self, term: Term) -> Arc<Self> {
        Arc::new(Self {
            id: self.id,
            job_id: self.job_id,
            job_name: Arc::clone(&self.job_name),
            log_id: self.log_id.clone(),
            scheduled_at: self.scheduled_at,
            orders: self.orders.clone(),
            overlap: self.overlap,
            shared: Arc::clone(&self.shared),
            hold: self.shared.lease.hold(term),
            stop: CancellationToken::new(),
            stage: Mutex::default(),
        })
    }

    pub(super) fn has_ended(&self) -> bool {
        self.stage().ended
    }

    /// Marks the end and answers with what to write; `None` if it had ended before.
    pub(super) fn end(&self, verdict: Verdict) -> Option<RunEnd> {
        let mut stage = self.stage();
        if std::mem::replace(&mut stage.ended, true) {
            return None;
        }
        let (attempt, started_at) = (stage.attempt, stage.started_at);
        let ctx = stage.ctx.take();
        drop(stage);
        // A blocking function goes on: it is told at least.
        if let (Some(ctx), Verdict::TimedOut) = (ctx, &verdict) {
            ctx.cancel(CancelReason::Timeout);
        }
        let (flag, result, error) = verdict.into_columns(self.orders.timeout);
        Some(RunEnd {
            run_id: self.id,
            job_id: self.job_id,
            node: self.shared.node.to_string(),
            log_id: self.log_id.clone(),
            flag,
            result: result.map(|text| truncated(text, TEXT_LIMIT)),
            error: error.map(|text| truncated(text, TEXT_LIMIT)),
            attempt: i32::try_from(attempt).unwrap_or(i32::MAX),
            started_at: started_at.map(|at| at.trunc_subsecs(6)),
            ended_at: self.shared.clock.now(),
        })
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For log lines.
impl std::fmt::Display for JobRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.orders.target {
            Target::Service { service, method, .. } => write!(f, "{service}.{method}")?,
            Target::Hook(_) => f.write_str("the hook")?,
        }
        let (job_id, name, id, log_id) = (self.job_id, &self.job_name, self.id, &self.log_id);
        write!(f, " of job {job_id} ({name}, run {id}, log_id={log_id})")
    }
}

impl Verdict {
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
