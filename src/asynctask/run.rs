//! One claimed task on its way through this node.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use chrono::SubsecRound;

use super::{
    recorder::{Ended, ProgressChanged},
    theme::Theme,
};
use crate::{
    domain::{Json, Outcome},
    lease::Term,
    registry::{CancelReason, ProgressSink, RunFacts, TaskContext},
    store::{ClaimedTask, Progress, Room},
};

/// A claimed task and where it stands. Shared by the pool, the worker that runs it and the recorder.
///
/// It has one end, whoever brings it about: its worker, or the pool when the worker cannot.
pub(super) struct Run {
    pub(super) task: ClaimedTask,
    pub(super) ctx: TaskContext,
    theme: Arc<Theme>,
    stage: Mutex<Stage>,
    progress: Mutex<Option<(u8, String)>>,
}

struct Stage {
    /// The worker it was given to. A worker that it was taken from again cannot begin it.
    worker: Option<u64>,
    args: Args,
    /// Room in memory for arguments that its claim has left out, until it ends.
    room: Option<Room>,
    /// Reading of the clock when it began.
    began: Option<Duration>,
    /// Reading of the clock when it was told to stop.
    told: Option<Duration>,
    ended: bool,
}

/// Where the arguments of a run are.
enum Args {
    /// Its claim has left them in the database.
    LeftOut,
    BeingRead,
    Here(Json),
    /// With its handler, or nowhere: it has ended.
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

impl Run {
    pub(super) fn new(mut task: ClaimedTask, term: Term, theme: &Arc<Theme>) -> Arc<Self> {
        let facts = RunFacts {
            id: task.id,
            theme: Arc::clone(&theme.name),
            attempt: task.retry_time.unsigned_abs() + 1,
            max_attempts: task.max_retry_time.unsigned_abs().saturating_add(1),
            log_id: Arc::clone(&task.log_id),
            scheduled_at: None,
            hold: theme.lease.hold(term),
        };
        theme.ledger.enter(&task.log_id, task.token);
        let args = match task.left_out {
            Some(_) => Args::LeftOut,
            None => Args::Here(std::mem::replace(&mut task.args, Json::null())),
        };
        Arc::new_cyclic(|run: &Weak<Self>| Self {
            task,
            ctx: TaskContext::new(facts, Some(run.clone() as Weak<dyn ProgressSink>)),
            theme: Arc::clone(theme),
            stage: Mutex::new(Stage {
                worker: None,
                args,
                room: None,
                began: None,
                told: None,
                ended: false,
            }),
            progress: Mutex::default(),
        })
    }

    pub(super) fn assign(&self, worker: u64) {
        self.stage().worker = Some(worker);
    }

    /// The arguments, for the one worker that may run it; `None` if it was taken from that worker. Its time runs from here.
    pub(super) fn begin(&self, worker: u64) -> Option<Json> {
        let mut stage = self.stage();
        if stage.worker != Some(worker) {
            return None;
        }
        let args = stage.args.take()?;
        stage.began = Some(self.theme.clock.elapsed());
        Some(args)
    }

    pub(super) fn has_args(&self) -> bool {
        matches!(self.stage().args, Args::Here(_))
    }

    /// Whether its arguments are to be read and have no room in memory.
    pub(super) fn lacks_room(&self) -> bool {
        let stage = self.stage();
        matches!(stage.args, Args::LeftOut) && stage.room.is_none()
    }

    /// Keeps room for its arguments until it ends.
    pub(super) fn has_now(&self, room: Room) {
        let mut stage = self.stage();
        if !stage.ended {
            stage.room = Some(room);
        }
    }

    /// Whether its arguments are to be read now: they are not here, and no read of them is under way.
    pub(super) fn begin_read(&self) -> bool {
        let mut stage = self.stage();
        let is_to_be = matches!(stage.args, Args::LeftOut);
        if is_to_be {
            stage.args = Args::BeingRead;
        }
        is_to_be
    }

    pub(super) fn is_being_read(&self) -> bool {
        matches!(self.stage().args, Args::BeingRead)
    }

    pub(super) fn has_read(&self, args: Json) {
        let mut stage = self.stage();
        if !stage.ended {
            stage.args = Args::Here(args);
        }
    }

    /// Takes it from the worker it was given to; false if that worker has begun.
    pub(super) fn withdraw(&self) -> bool {
        let mut stage = self.stage();
        if stage.began.is_none() {
            stage.worker = None;
        }
        stage.began.is_none()
    }

    /// Tells the handler to stop, if the run has not ended.
    pub(super) fn cancel(&self, reason: CancelReason) {
        let mut stage = self.stage();
        if !stage.ended {
            stage.told.get_or_insert_with(|| self.theme.clock.elapsed());
            drop(stage);
            self.ctx.cancel(reason);
        }
    }

    /// The reading of the clock at which a handler that was told to stop is dropped.
    pub(super) fn end_of_grace(&self) -> Duration {
        let told = self.stage().told.unwrap_or_else(|| self.theme.clock.elapsed());
        told.saturating_add(self.theme.options.cancel_grace)
    }

    /// The limit of this run.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.task.timeout.or(self.theme.options.timeout)
    }

    /// What to write for a run whose worker should have ended it long ago, because it ran out of time or was told to stop.
    pub(super) fn overdue(&self, patience: Duration) -> Option<CancelReason> {
        let stage = self.stage();
        let now = self.theme.clock.elapsed();
        let since_out_of_time = stage
            .began
            .zip(self.timeout())
            .and_then(|(began, timeout)| now.checked_sub(began.saturating_add(timeout)));
        let since_told = stage.told.and_then(|told| now.checked_sub(told));
        let patience_for_told = patience.saturating_add(self.theme.options.cancel_grace);
        if stage.ended || stage.began.is_none() {
            None
        } else if since_told.is_some_and(|since| since > patience_for_told) {
            self.ctx.cancel_reason()
        } else if since_out_of_time.is_some_and(|since| since > patience) {
            Some(CancelReason::Timeout)
        } else {
            None
        }
    }

    /// Marks the end and makes the message for the recorder; `None` if the run had ended before.
    pub(super) fn end(self: &Arc<Self>, outcome: Outcome) -> Option<Ended> {
        let mut stage = self.stage();
        if std::mem::replace(&mut stage.ended, true) {
            return None;
        }
        // A handler that blocks its thread may have its arguments still. Nobody knows for how long.
        (stage.args, stage.room) = (Args::Gone, None);
        let clock = &self.theme.clock;
        let duration = stage
            .began
            .map(|began| clock.elapsed().saturating_sub(began))
            .unwrap_or_default();
        let ended_at = clock.now();
        // Databases keep microseconds.
        let started_at = chrono::TimeDelta::from_std(duration)
            .ok()
            .and_then(|duration| ended_at.checked_sub_signed(duration))
            .unwrap_or(ended_at)
            .trunc_subsecs(6);
        drop(stage);
        Some(Ended {
            run: Arc::clone(self),
            outcome,
            started_at,
            ended_at,
            duration,
            permit: None,
            written: None,
        })
    }

    /// The last report of progress that has not been taken yet.
    pub(super) fn take_progress(&self) -> Option<Progress> {
        let (percent, note) = self.progress.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(Progress {
            run: self.task.key(),
            percent: i32::from(percent),
            note,
        })
    }

    fn stage(&self) -> std::sync::MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is not written by now never will be by this run.
impl Drop for Run {
    fn drop(&mut self) {
        self.theme.ledger.strike(&self.task.log_id, self.task.token);
    }
}

/// For log lines.
impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (theme, task) = (&self.theme.name, &self.task);
        let (id, service, method, log_id) = (task.id, &task.service, &task.method, &task.log_id);
        write!(f, "{service}.{method} of task {id} (theme {theme}, log_id={log_id})")
    }
}

/// Reports replace each other until the recorder takes the last one: a handler that reports in a tight loop costs one
/// message for each flush.
impl ProgressSink for Run {
    fn report(self: Arc<Self>, percent: u8, note: String) {
        let before = self
            .progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace((percent, note));
        if before.is_none() {
            let recorder = self.theme.recorder.clone();
            recorder.do_send(ProgressChanged(self));
        }
    }
}
