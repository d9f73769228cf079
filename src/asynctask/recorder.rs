//! The actor that writes outcomes, many at a time.
//!
//! Natural batching: a flush takes everything that came in while the previous flush ran. There is no timer, so a single
//! outcome is written at once, and under load one commit serves hundreds. What comes in faster than one flush can write it
//! goes by a second one beside it; on SQLite the two may share a commit. While the database is away the batch is kept and
//! tried again; the backlog is bounded by the theme's permits, so in the end the workers wait. What the database refuses goes
//! its own way ([`refusals`]), and no other outcome waits for it; nor for a task whose row another session has locked ([`locked`]).

mod lines;
mod locked;
mod refusals;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult, ResponseFuture, WrapFuture,
};
use chrono::{DateTime, Utc};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use self::locked::Locked;
use super::{
    batch::{Batch, Begun, Kind},
    completion::Completions,
    run::Run,
    wake::Wake,
};
use crate::{
    backoff::Backoff,
    domain::{Divisible, Failure, Outcome, Refused, RetryPolicy, TaskStatus, fitting},
    repeats::Repeats,
    store::{Finished, Store, StoreError, Writes, Written},
};

/// Outcomes in one transaction at most: beyond this a commit is a small part of the cost, and a batch only gets later.
const BATCH: usize = 1_000;

/// Flushes under way at most: more would only wait for each other, or for processors.
const FLUSHES: usize = 2;

/// So many ends must wait before they have a flush of their own beside another one.
const BESIDE: usize = 200;

/// Beside a flush that has taken so long any number of ends has a flush of its own: perhaps the first one waits for a lock.
const SLOW: Duration = Duration::from_millis(500);

/// Writes the ends of runs and the progress of running ones.
#[expect(clippy::struct_excessive_bools, reason = "each says something of its own")]
pub(super) struct RecorderActor {
    theme: Arc<str>,
    store: Store,
    policy: RetryPolicy,
    wake: Arc<Wake>,
    completions: Completions,
    pending: VecDeque<Ended>,
    begins: Vec<Begins>,
    progress: Vec<Arc<Run>>,
    /// Batches that could not be written yet: the database was away.
    kept: VecDeque<Batch>,
    turn_of_others: bool,
    /// What the database has refused.
    refused: Refused<Batch>,
    /// A piece of that is being tried.
    tries_refused: bool,
    /// Runs whose tasks' rows other sessions have locked.
    locked: Locked,
    flushes: usize,
    /// Since when the flushes under way have been begun and none has ended.
    flushing_since: Option<Instant>,
    /// There will be a look whether the flush under way is slow.
    looks_for_slow: bool,
    /// Ends in the writes under way.
    in_flight: usize,
    /// One of the flushes under way writes progress. Another one beside it might overtake it.
    writes_progress: bool,
    /// After a failure nothing is tried for a while.
    waits: bool,
    backoff: Backoff,
    /// Errors of the database that are said.
    outage: Repeats<()>,
    drained: Vec<oneshot::Sender<()>>,
    counts: RecorderSnapshot,
}

/// The row of a task is to say that its run goes on.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Begins {
    pub(super) run: Arc<Run>,
    /// The handler of the task's last attempt waits for the note: told when it is in the database, or is refused for good. `None`: the
    /// run has begun, and people who read the table are to see it.
    pub(super) written: Option<oneshot::Sender<Begun>>,
}

/// A run came to its end.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Ended {
    pub(super) run: Arc<Run>,
    pub(super) outcome: Outcome,
    pub(super) started_at: DateTime<Utc>,
    pub(super) ended_at: DateTime<Utc>,
    pub(super) duration: Duration,
    /// Its place in the bounded backlog, free again when this is dropped.
    pub(super) permit: Option<OwnedSemaphorePermit>,
    /// Told when the end is in the database (dropped if it was stale).
    pub(super) written: Option<oneshot::Sender<()>>,
}

/// A run has something to say of its progress.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ProgressChanged(pub(super) Arc<Run>);

/// Answers when everything that was handed in is written.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Drained {
    /// The process stops: an outcome that the database refuses in every form is not tried again.
    pub(super) stops: bool,
}

#[derive(Message)]
#[rtype(result = "RecorderSnapshot")]
pub(super) struct GetRecorderSnapshot;

/// The recorder's counters, with the meanings of [`SchedulerStatus`](super::SchedulerStatus).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RecorderSnapshot {
    pub(super) executed: u64,
    pub(super) succeeded: u64,
    pub(super) failed: u64,
    pub(super) retried: u64,
    pub(super) panicked: u64,
    pub(super) timed_out: u64,
    pub(super) cancelled: u64,
    pub(super) snoozed: u64,
    pub(super) handed_back: u64,
    pub(super) stale: u64,
    pub(super) database_errors: u64,
    pub(super) unwritten: usize,
    pub(super) refused: usize,
}

impl RecorderActor {
    pub(super) fn new(
        theme: Arc<str>,
        store: Store,
        policy: RetryPolicy,
        wake: Arc<Wake>,
        completions: Completions,
    ) -> Self {
        Self {
            theme,
            store,
            policy,
            wake,
            completions,
            pending: VecDeque::new(),
            begins: Vec::new(),
            progress: Vec::new(),
            kept: VecDeque::new(),
            turn_of_others: false,
            refused: Refused::new(),
            tries_refused: false,
            locked: Locked::default(),
            flushes: 0,
            flushing_since: None,
            looks_for_slow: false,
            in_flight: 0,
            writes_progress: false,
            waits: false,
            backoff: Backoff::default(),
            outage: Repeats::default(),
            drained: Vec::new(),
            counts: RecorderSnapshot::default(),
        }
    }

    fn flush(&mut self, ctx: &mut Context<Self>) {
        if self.waits {
            return;
        }
        if let Some(batch) = self.take_batch() {
            self.write(batch, ctx);
        }
        self.flush_if_slow(ctx);
        self.try_refused(ctx);
        if self.is_idle() {
            for drained in self.drained.drain(..) {
                // The caller may have given up.
                let _ = drained.send(());
            }
        }
    }

    /// What waits behind a flush that turns out to be slow is to have a flush of its own, also if nothing comes after it.
    fn flush_if_slow(&mut self, ctx: &mut Context<Self>) {
        let waits = !self.pending.is_empty() || !self.begins.is_empty() || !self.kept.is_empty();
        if waits && self.flushes > 0 && !std::mem::replace(&mut self.looks_for_slow, true) {
            ctx.run_later(SLOW, |recorder, ctx| {
                recorder.looks_for_slow = false;
                recorder.flush(ctx);
            });
        }
    }

    fn is_idle(&self) -> bool {
        let is_writing = self.flushes > 0 || self.tries_refused;
        let waits = !self.pending.is_empty() || !self.begins.is_empty() || !self.kept.is_empty();
        !is_writing && !waits && self.locked.is_empty() && self.refused.is_empty()
    }

    fn write(&mut self, batch: Batch, ctx: &mut Context<Self>) {
        self.flushing_since.get_or_insert_with(Instant::now);
        self.flushes += 1;
        self.in_flight += batch.ends.len();
        self.writes_progress |= !batch.writes.progress.is_empty();
        let (store, writes) = (self.store.clone(), Arc::clone(&batch.writes));
        let write = async move { store.write(writes).await };
        ctx.spawn(write.into_actor(self).map(|written, recorder, ctx| match written {
            Err(error @ StoreError::Conflict(_)) => recorder.look_for_locks(batch, error, ctx),
            written => recorder.flushed(batch, written, &BTreeSet::new(), ctx),
        }));
    }

    fn take_batch(&mut self) -> Option<Batch> {
        match self.flushes {
            0 => self.take_kept_or_next(),
            flushes if flushes < FLUSHES && self.is_worth_another_flush() => self.take_kept_or_next(),
            _ => None,
        }
    }

    fn is_worth_another_flush(&self) -> bool {
        let is_slow = || self.flushing_since.is_some_and(|since| since.elapsed() >= SLOW);
        (self.pending.len() >= BESIDE && self.kept.is_empty()) || is_slow()
    }

    /// Old batches first; but after a failure something else has its turn, so that a batch that is never taken holds up no
    /// other.
    fn take_kept_or_next(&mut self) -> Option<Batch> {
        if std::mem::take(&mut self.turn_of_others) {
            self.next_batch().or_else(|| self.kept.pop_front())
        } else {
            self.kept.pop_front().or_else(|| self.next_batch())
        }
    }

    fn next_batch(&mut self) -> Option<Batch> {
        let begins = std::mem::take(&mut self.begins);
        let progress = match self.writes_progress {
            true => Vec::new(),
            false => std::mem::take(&mut self.progress),
        };
        let count = fitting(&self.pending, BATCH, |ended| ended.outcome.bytes());
        let batch = Batch::new(begins, self.pending.drain(..count), progress, self.policy);
        (!batch.is_empty()).then_some(batch)
    }

    /// `locked`: the tasks whose rows other sessions have locked.
    fn flushed(
        &mut self,
        batch: Batch,
        written: Result<Written, StoreError>,
        locked: &BTreeSet<i64>,
        ctx: &mut Context<Self>,
    ) {
        self.flushes -= 1;
        self.flushing_since = (self.flushes > 0).then(Instant::now);
        self.in_flight -= batch.ends.len();
        if !batch.writes.progress.is_empty() {
            self.writes_progress = false;
        }
        match written {
            Ok(written) => {
                self.taken();
                let writes = Arc::clone(&batch.writes);
                self.written(batch, &writes, written);
                self.flush(ctx);
            }
            Err(error) if error.is_refusal() => self.add_refused(batch, &error, ctx),
            Err(_) if !locked.is_empty() => self.set_aside(batch, locked, ctx),
            Err(error) => {
                self.put_back(batch);
                self.hold(&error, ctx);
            }
        }
    }

    /// The database takes outcomes.
    fn taken(&mut self) {
        self.backoff.succeeded();
        self.refused.others_taken();
        if let Some(failures) = self.outage.over(&()) {
            say!(
                Info,
                "theme {}: outcomes are written again, after {failures} failures",
                self.theme
            );
        }
        for kept in &mut self.kept {
            kept.suspect = true;
        }
    }

    /// The database is away, or may be: nothing is tried for a while.
    fn hold(&mut self, error: &StoreError, ctx: &mut Context<Self>) {
        self.counts.database_errors += 1;
        let wait = self.backoff.failed();
        if let Some(said) = self.outage.say((), &error.to_string()) {
            say!(
                Error,
                "theme {}: cannot write {} outcomes, will try again and again: {said}",
                self.theme,
                self.unwritten()
            );
        }
        self.wait(wait, ctx);
    }

    fn wait(&mut self, wait: Duration, ctx: &mut Context<Self>) {
        self.waits = true;
        ctx.run_later(wait, |recorder, ctx| {
            recorder.waits = false;
            recorder.flush(ctx);
        });
    }

    /// A batch that could not be written although the database takes others is halved, until what is the reason is alone.
    fn put_back(&mut self, batch: Batch) {
        self.turn_of_others = true;
        if !batch.suspect {
            self.kept.push_front(batch);
            return;
        }
        match batch.split() {
            Ok((half, rest)) => self.kept.extend([half, rest]),
            Err(single) => self.kept.push_back(single),
        }
    }

    /// `writes` is what was written of the batch.
    fn written(&mut self, batch: Batch, writes: &Writes, written: Written) {
        // A receiver that is gone has no more use for it.
        for (begin, begun) in batch.begins.into_iter().zip(written.begins) {
            let _ = begin.map(|begin| begin.send(Ok(begun)));
        }
        let is_end = |finished: &Finished| matches!(finished, Finished::Written(status) if status.is_finished());
        let ended = batch.ends.iter().zip(&written.finishes);
        self.completions.tell(
            ended
                .filter(|(_, finished)| is_end(finished))
                .map(|(end, _)| end.run.task.id),
        );
        let (mut requeued, mut handed_back) = (false, 0);
        let finishes = writes.finishes.iter().zip(written.finishes);
        for (end, (finish, finished)) in batch.ends.into_iter().zip(finishes) {
            lines::log_end(&self.theme, &end, finish, finished);
            match finished {
                Finished::Written(status) => {
                    // What no handler here serves is no work for the scanner of this node.
                    requeued |= !status.is_finished() && end.kind != Kind::NotServed;
                    handed_back += usize::from(matches!(end.kind, Kind::HandedBack | Kind::NotServed));
                    self.counts.add(status, end.kind);
                    if let Some(written) = end.written {
                        let _ = written.send(());
                    }
                }
                Finished::Stale => self.counts.stale += 1,
            }
        }
        if requeued {
            self.wake.ring();
        }
        // This node could not run them: other nodes may take what is due at once.
        if handed_back > 0 {
            self.store.announce_tasks(&self.theme, handed_back);
        }
    }

    fn unwritten(&self) -> usize {
        let kept: usize = self.kept.iter().map(|batch| batch.ends.len()).sum();
        self.pending.len() + kept + self.locked.outcomes() + self.in_flight + self.refused.unwritten()
    }
}

impl RecorderSnapshot {
    fn add(&mut self, status: TaskStatus, kind: Kind) {
        match kind {
            Kind::HandedBack if !status.is_finished() => {
                self.handed_back += 1;
                return;
            }
            Kind::NotServed if !status.is_finished() => return,
            Kind::Snoozed => self.snoozed += 1,
            Kind::Failed(Failure::Panicked) => self.panicked += 1,
            Kind::Failed(Failure::TimedOut) => self.timed_out += 1,
            _ => {}
        }
        self.executed += 1;
        match status {
            TaskStatus::Success => self.succeeded += 1,
            TaskStatus::Failed => self.failed += 1,
            TaskStatus::Cancelled => self.cancelled += 1,
            TaskStatus::Retry if kind != Kind::Snoozed => self.retried += 1,
            _ => {}
        }
    }
}

impl Actor for RecorderActor {
    type Context = Context<Self>;
}

impl Handler<Begins> for RecorderActor {
    type Result = ();

    fn handle(&mut self, begins: Begins, ctx: &mut Context<Self>) {
        self.begins.push(begins);
        self.flush(ctx);
    }
}

impl Handler<Ended> for RecorderActor {
    type Result = ();

    fn handle(&mut self, ended: Ended, ctx: &mut Context<Self>) {
        self.pending.push_back(ended);
        self.flush(ctx);
    }
}

impl Handler<ProgressChanged> for RecorderActor {
    type Result = ();

    fn handle(&mut self, ProgressChanged(run): ProgressChanged, ctx: &mut Context<Self>) {
        self.progress.push(run);
        self.flush(ctx);
    }
}

impl Handler<Drained> for RecorderActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Drained { stops }: Drained, ctx: &mut Context<Self>) -> Self::Result {
        if stops {
            self.refused.close();
        }
        let (tell, told) = oneshot::channel();
        self.drained.push(tell);
        self.flush(ctx);
        Box::pin(async move {
            // Never dropped unsent but with the actor itself, and then there is nobody to ask.
            let _ = told.await;
        })
    }
}

impl Handler<GetRecorderSnapshot> for RecorderActor {
    type Result = MessageResult<GetRecorderSnapshot>;

    fn handle(&mut self, _: GetRecorderSnapshot, _: &mut Context<Self>) -> Self::Result {
        MessageResult(RecorderSnapshot {
            unwritten: self.unwritten(),
            ..self.counts
        })
    }
}
