//! The actor that writes the outcomes of runs, many in one transaction. An *end* is the outcome of one run, with its times.
//!
//! Natural batching: a flush takes everything that came in while the previous flush ran. There is no timer, so a single end is
//! written immediately, and under load one commit serves hundreds. If ends come in faster than one flush can write them, a second flush
//! runs beside the first; on SQLite the two may share a commit. While the database is away, batches are kept and tried again.
//!
//! The backlog is bounded. A job's run counts as running until its end is written, and the node limits how many jobs run. A task's worker
//! waits until the backlog has room for its end.
//!
//! No end waits for an end that the database refuses ([`refusals`]), nor for an end whose row another session has locked ([`locked`]).
//!
//! Each theme has a recorder, and the jobs have one. They differ in their [`Ledger`], which queues the ends, writes a batch and tells
//! the callers who wait.

mod ledger;
mod locked;
mod refusals;
mod refused;

use std::{
    collections::{BTreeSet, VecDeque},
    marker::PhantomData,
    time::{Duration, Instant},
};

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult, ResponseFuture, WrapFuture,
};
use tokio::sync::oneshot;

pub(crate) use self::{
    ledger::{Batch, Ledger, RefusedEnd},
    refused::Divisible,
};
use self::{locked::Locked, refused::Refused};
use crate::{
    backoff::Backoff,
    domain::Form,
    events::{DatabaseWork, Event},
    run::SingleFlight,
    store::StoreError,
};

/// The most flushes under way at the same time. More would only wait for each other, or for processors.
const MAX_FLUSHES: usize = 2;

/// If a flush is under way, a second one begins once so many ends wait.
const SECOND_FLUSH_AT: usize = 200;

/// If a flush takes longer than this, a second one begins even for a single waiting end: the first one may be waiting for a lock.
const SLOW_FLUSH: Duration = Duration::from_millis(500);

/// Writes what the runs of one ledger hand in.
pub(crate) struct Recorder<L: Ledger> {
    ledger: L,
    /// Batches that could not be written yet, and are tried again. Mostly the database was away.
    kept: VecDeque<Flush<L::Batch>>,
    /// The last flush failed: the next one takes entries of the ledger, not a kept batch.
    ledger_first: bool,
    refused: Refused<L::Batch>,
    /// A refused piece is being tried.
    tries_refused: SingleFlight,
    locked: Locked<L::Batch>,
    flushes: usize,
    /// Since when flushes have been under way without one that ended. `None`: none is under way.
    flushing_since: Option<Instant>,
    /// A timer is set that checks whether the flush under way is slow.
    slow_check: SingleFlight,
    /// Ends in the writes under way.
    in_flight: usize,
    /// Nothing is written before this moment: a write has failed, or rows are locked.
    not_before: Option<Instant>,
    backoff: Backoff,
    /// The senders of [`Drain`], who wait for its answer.
    drain_waiters: Vec<oneshot::Sender<()>>,
    database_errors: u64,
    /// How many ends the database refuses in every form.
    refused_ends: usize,
}

/// A batch that has failed so often in a row is suspect, even if the database has accepted no other batch since: there may be no other.
const SUSPECT_AFTER: u32 = 3;

/// A batch on its way to the database.
struct Flush<B> {
    batch: B,
    /// The database accepted another batch while this one could not be written, or this one is a part of a batch that was suspect: an
    /// entry of this batch may be the reason.
    is_suspect: bool,
    /// How often it could not be written.
    failures: u32,
}

/// A run hands in its end, a note that it is running, or its progress. The recorder writes it.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Record<E: 'static>(pub(crate) E);

/// The process stops: an end that the database refuses in every form is not tried again. Answers when each entry that was handed in is
/// written, or its row is let go: marked as ended without an outcome.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Drain;

/// Asks for the counters of the ledger and its recorder.
#[derive(Message)]
#[rtype(result = "RecorderCounts<C>")]
pub(crate) struct GetRecorderCounts<C: Send + 'static>(PhantomData<C>);

/// The answer to [`GetRecorderCounts`].
#[derive(Debug, Clone)]
pub(crate) struct RecorderCounts<C> {
    pub(crate) counts: C,
    /// Ends that wait to be written, or are being written, without those that are refused in every form.
    pub(crate) unwritten: usize,
    /// Ends that the database refuses in every form.
    pub(crate) refused: usize,
    pub(crate) database_errors: u64,
}

impl<L: Ledger> Recorder<L> {
    pub(crate) fn new(ledger: L) -> Self {
        Self {
            ledger,
            kept: VecDeque::new(),
            ledger_first: false,
            refused: Refused::new(),
            tries_refused: SingleFlight::default(),
            locked: Locked::default(),
            flushes: 0,
            flushing_since: None,
            slow_check: SingleFlight::default(),
            in_flight: 0,
            not_before: None,
            backoff: Backoff::default(),
            drain_waiters: Vec::new(),
            database_errors: 0,
            refused_ends: 0,
        }
    }

    fn flush(&mut self, ctx: &mut Context<Self>) {
        if self.not_before.is_some_and(|moment| Instant::now() < moment) {
            return;
        }
        if let Some(flush) = self.take_flush() {
            self.write(flush, ctx);
        }
        self.schedule_slow_check(ctx);
        self.try_refused(ctx);
        if self.is_idle() {
            for waiter in self.drain_waiters.drain(..) {
                // The caller may have given up.
                let _ = waiter.send(());
            }
        }
    }

    /// If entries wait while a flush is under way, looks after [`SLOW_FLUSH`] whether they need a second flush, even if no entry comes in
    /// until then.
    fn schedule_slow_check(&mut self, ctx: &mut Context<Self>) {
        if self.has_work() && self.flushes > 0 && self.slow_check.begin() {
            ctx.run_later(SLOW_FLUSH, |recorder, ctx| {
                recorder.slow_check.end();
                recorder.flush(ctx);
            });
        }
    }

    fn has_work(&self) -> bool {
        !self.ledger.is_empty() || !self.kept.is_empty()
    }

    fn is_idle(&self) -> bool {
        let is_writing = self.flushes > 0 || self.tries_refused.is_under_way();
        !is_writing && !self.has_work() && self.locked.is_empty() && self.refused.is_empty()
    }

    fn write(&mut self, flush: Flush<L::Batch>, ctx: &mut Context<Self>) {
        self.flushing_since.get_or_insert_with(Instant::now);
        self.flushes += 1;
        self.in_flight += flush.batch.outcomes();
        let write = L::write(self.ledger.store().clone(), flush.batch.in_form(Form::Whole, ""));
        let began = Instant::now();
        ctx.spawn(write.into_actor(self).map(move |written, recorder, ctx| match written {
            Err(error @ StoreError::Conflict(_)) => recorder.look_for_locks(flush, error, ctx),
            written => {
                if written.is_ok() {
                    recorder.tell_written(flush.batch.outcomes(), began.elapsed());
                }
                recorder.flushed(flush, written, &BTreeSet::new(), ctx);
            }
        }));
    }

    pub(super) fn tell_written(&self, outcomes: usize, took: Duration) {
        if outcomes > 0 {
            self.ledger.events().tell(&Event::OutcomesWritten {
                component: self.ledger.component().clone(),
                outcomes,
                took,
            });
        }
    }

    fn take_flush(&mut self) -> Option<Flush<L::Batch>> {
        match self.flushes {
            0 => self.take_kept_or_next(),
            flushes if flushes < MAX_FLUSHES && self.is_worth_another_flush() => self.take_kept_or_next(),
            _ => None,
        }
    }

    fn is_worth_another_flush(&self) -> bool {
        let is_slow = || self.flushing_since.is_some_and(|since| since.elapsed() >= SLOW_FLUSH);
        (self.ledger.waiting() >= SECOND_FLUSH_AT && self.kept.is_empty()) || is_slow()
    }

    /// Takes kept batches first. After a failure it takes entries of the ledger first, so that a batch that always fails holds up no other.
    fn take_kept_or_next(&mut self) -> Option<Flush<L::Batch>> {
        let is_turn_of_ledger = std::mem::take(&mut self.ledger_first);
        let kept = match is_turn_of_ledger {
            true => None,
            false => self.kept.pop_front(),
        };
        let next = |ledger: &mut L| ledger.next_batch().map(Flush::new);
        kept.or_else(|| next(&mut self.ledger))
            .or_else(|| self.kept.pop_front())
    }

    /// Handles the answer to a flush. `locked`: the ids of rows that other sessions have locked.
    fn flushed(
        &mut self,
        flush: Flush<L::Batch>,
        written: Result<L::Written, StoreError>,
        locked: &BTreeSet<i64>,
        ctx: &mut Context<Self>,
    ) {
        let batch = &flush.batch;
        self.flushes -= 1;
        self.flushing_since = (self.flushes > 0).then(Instant::now);
        self.in_flight -= batch.outcomes();
        match written {
            Ok(written) => {
                self.database_accepted();
                let writes = batch.in_form(Form::Whole, "");
                self.ledger.written(flush.batch, &writes, written);
                self.go_on(ctx);
            }
            Err(error) if error.is_refusal() => self.add_refused(flush.batch, &error, ctx),
            Err(_) if !locked.is_empty() => self.set_aside(flush.batch, locked, ctx),
            Err(error) => {
                self.keep(flush);
                self.pause_after_failure(&error, ctx);
            }
        }
    }

    /// Keeps a batch that could not be written, for a further try.
    ///
    /// - The database may be away: the batch is kept whole, before the other kept batches.
    /// - The batch is suspect (the database accepted another one, or this one has failed [`SUSPECT_AFTER`] times): it is halved, and so are its
    ///   halves, until the entry that is the reason is alone. While the database is away, this makes no more pieces than there are tries.
    fn keep(&mut self, mut flush: Flush<L::Batch>) {
        self.ledger_first = true;
        flush.failures += 1;
        if !flush.is_suspect && flush.failures < SUSPECT_AFTER {
            self.kept.push_front(flush);
            return;
        }
        let suspect = |batch| Flush {
            is_suspect: true,
            ..Flush::new(batch)
        };
        match flush.batch.split() {
            Ok((half, rest)) => self.kept.extend([suspect(half), suspect(rest)]),
            Err(single) => self.kept.push_back(suspect(single)),
        }
    }

    /// Writes the next batch, immediately or after the ledger's pause.
    fn go_on(&mut self, ctx: &mut Context<Self>) {
        match self.ledger.pause() {
            Some(pause) if self.kept.is_empty() => self.pause(pause, ctx),
            _ => self.flush(ctx),
        }
    }

    /// The database has accepted a whole batch, so it is up: a kept batch that fails again may have a fault of its own.
    fn database_accepted(&mut self) {
        self.backoff.succeeded();
        self.refused.others_accepted();
        let (events, component) = (self.ledger.events(), self.ledger.component());
        events.succeeded(component, DatabaseWork::WriteOutcomes);
        for kept in &mut self.kept {
            kept.is_suspect = true;
        }
    }

    /// The database is away, or may be: writes nothing for a while.
    fn pause_after_failure(&mut self, error: &StoreError, ctx: &mut Context<Self>) {
        self.database_errors += 1;
        let wait = self.backoff.failed();
        let (events, component) = (self.ledger.events(), self.ledger.component());
        events.failed(component, DatabaseWork::WriteOutcomes, error);
        self.pause(wait, ctx);
    }

    fn pause(&mut self, wait: Duration, ctx: &mut Context<Self>) {
        // A shorter wait does not end a longer one.
        self.not_before = self.not_before.max(Some(Instant::now() + wait));
        ctx.run_later(wait, Self::flush);
    }

    fn unwritten(&self) -> usize {
        let kept: usize = self.kept.iter().map(|kept| kept.batch.outcomes()).sum();
        self.ledger.waiting() + kept + self.locked.outcomes() + self.in_flight + self.refused.unwritten()
    }
}

impl<B> Flush<B> {
    fn new(batch: B) -> Self {
        Self {
            batch,
            is_suspect: false,
            failures: 0,
        }
    }
}

impl<C: Send + 'static> GetRecorderCounts<C> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<L: Ledger> Actor for Recorder<L> {
    type Context = Context<Self>;
}

impl<L: Ledger> Handler<Record<L::Entry>> for Recorder<L> {
    type Result = ();

    fn handle(&mut self, Record(entry): Record<L::Entry>, ctx: &mut Context<Self>) {
        self.ledger.enter(entry);
        self.flush(ctx);
    }
}

impl<L: Ledger> Handler<Drain> for Recorder<L> {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, ctx: &mut Context<Self>) -> Self::Result {
        self.refused.close();
        let (tx, rx) = oneshot::channel();
        self.drain_waiters.push(tx);
        self.flush(ctx);
        Box::pin(async move {
            // The sender is dropped without sending only if the actor is dropped, and then there is nothing to wait for.
            let _ = rx.await;
        })
    }
}

impl<L: Ledger> Handler<GetRecorderCounts<L::Counts>> for Recorder<L> {
    type Result = MessageResult<GetRecorderCounts<L::Counts>>;

    fn handle(&mut self, _: GetRecorderCounts<L::Counts>, _: &mut Context<Self>) -> Self::Result {
        MessageResult(RecorderCounts {
            counts: self.ledger.counts(),
            unwritten: self.unwritten(),
            refused: self.refused_ends,
            database_errors: self.database_errors,
        })
    }
}
