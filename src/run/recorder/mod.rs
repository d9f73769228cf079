//! The actor that writes how runs ended, many at a time.
//!
//! Natural batching: a flush takes everything that came in while the previous flush ran. There is no timer, so a single end is
//! written at once, and under load one commit serves hundreds. Ends that come in faster than one flush can write them go by a second
//! flush beside it; on SQLite the two may share a commit. While the database is away, batches are kept and tried again. The backlog
//! is bounded, since a run keeps its place among the running ones until its end is written, or its worker waits for a place in the
//! backlog. What the database refuses goes its own way ([`refusals`]), and no other end waits for it; nor for a row that another
//! session has locked ([`locked`]).
//!
//! Tasks and jobs have one recorder each. What differs between them is their [`Ledger`].

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

/// Flushes under way at most: more would only wait for each other, or for processors.
const FLUSHES: usize = 2;

/// So many ends must wait before they have a second flush, beside the one under way.
const SECOND_FLUSH_AT: usize = 200;

/// Beside a flush that has taken so long any number of ends has a second one: perhaps the first one waits for a lock.
const SLOW: Duration = Duration::from_millis(500);

/// Writes what the runs of one ledger hand in.
pub(crate) struct Recorder<L: Ledger> {
    ledger: L,
    /// Batches that could not be written yet: the database was away.
    kept: VecDeque<Flush<L::Batch>>,
    /// The last flush failed: next time the ledger comes before the batches that were kept.
    ledger_first: bool,
    refused: Refused<L::Batch>,
    /// A refused piece is being tried.
    tries_refused: SingleFlight,
    locked: Locked<L::Batch>,
    flushes: usize,
    /// When the flushes under way began, or when the last flush ended.
    flushing_since: Option<Instant>,
    /// A check whether the flush under way is slow will come.
    checks_slow: SingleFlight,
    /// Ends in the writes under way.
    in_flight: usize,
    /// Nothing is written before this moment: a write has failed, or rows are locked.
    not_before: Option<Instant>,
    backoff: Backoff,
    drained: Vec<oneshot::Sender<()>>,
    database_errors: u64,
    /// Ends that the database takes in no form.
    stubborn: usize,
}

/// A batch that has failed so often is suspect, even if the database has taken no other one since: there may be no other.
const FAILURES: u32 = 3;

/// A batch on its way to the database.
struct Flush<B> {
    batch: B,
    /// It could not be written while another batch was taken: something in it may be the reason.
    is_suspect: bool,
    /// How often it could not be written.
    failures: u32,
}

/// A run hands in its end, or something else that is to be written.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Enter<E: 'static>(pub(crate) E);

/// The process stops: an end that the database refuses in every form is not tried again. Answers when everything that was handed in
/// is written or let go.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Drain;

/// Asks for what the ledger and its recorder count.
#[derive(Message)]
#[rtype(result = "Recorded<C>")]
pub(crate) struct GetRecorded<C: Send + 'static>(PhantomData<C>);

/// The answer to [`GetRecorded`].
#[derive(Debug, Clone)]
pub(crate) struct Recorded<C> {
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
            checks_slow: SingleFlight::default(),
            in_flight: 0,
            not_before: None,
            backoff: Backoff::default(),
            drained: Vec::new(),
            database_errors: 0,
            stubborn: 0,
        }
    }

    fn flush(&mut self, ctx: &mut Context<Self>) {
        if self.not_before.is_some_and(|moment| Instant::now() < moment) {
            return;
        }
        if let Some(flush) = self.take_flush() {
            self.write(flush, ctx);
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

    /// Gives the entries that wait behind a flush which turns out to be slow a second flush, even if nothing comes after them.
    fn flush_if_slow(&mut self, ctx: &mut Context<Self>) {
        if self.has_work() && self.flushes > 0 && self.checks_slow.begin() {
            ctx.run_later(SLOW, |recorder, ctx| {
                recorder.checks_slow.end();
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
            self.ledger.events().tell_observers(|| Event::OutcomesWritten {
                component: self.ledger.component().clone(),
                outcomes,
                took,
            });
        }
    }

    fn take_flush(&mut self) -> Option<Flush<L::Batch>> {
        match self.flushes {
            0 => self.take_kept_or_next(),
            flushes if flushes < FLUSHES && self.is_worth_another_flush() => self.take_kept_or_next(),
            _ => None,
        }
    }

    fn is_worth_another_flush(&self) -> bool {
        let is_slow = || self.flushing_since.is_some_and(|since| since.elapsed() >= SLOW);
        (self.ledger.waiting() >= SECOND_FLUSH_AT && self.kept.is_empty()) || is_slow()
    }

    /// Takes kept batches first; but after a failure the ledger has its turn, so that a batch which is never taken holds up no other.
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

    /// `locked`: the ids of rows that other sessions have locked.
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
                self.taken();
                let writes = batch.in_form(Form::Whole, "");
                self.ledger.written(flush.batch, &writes, written);
                self.go_on(ctx);
            }
            Err(error) if error.is_refusal() => self.add_refused(flush.batch, &error, ctx),
            Err(_) if !locked.is_empty() => self.set_aside(flush.batch, locked, ctx),
            Err(error) => {
                self.keep(flush);
                self.hold(&error, ctx);
            }
        }
    }

    /// Halves a batch that could not be written although the database takes others, until the entry that is the reason is alone.
    /// While the database is away this makes no more pieces than there are tries.
    fn keep(&mut self, mut flush: Flush<L::Batch>) {
        self.ledger_first = true;
        flush.failures += 1;
        if !flush.is_suspect && flush.failures < FAILURES {
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

    /// Writes the rest, at once or after the ledger's pause.
    fn go_on(&mut self, ctx: &mut Context<Self>) {
        match self.ledger.pause() {
            Some(pause) if self.kept.is_empty() => self.wait(pause, ctx),
            _ => self.flush(ctx),
        }
    }

    /// The database takes ends.
    fn taken(&mut self) {
        self.backoff.succeeded();
        self.refused.others_taken();
        let (events, component) = (self.ledger.events(), self.ledger.component());
        events.succeeded(component, DatabaseWork::WriteOutcomes);
        for kept in &mut self.kept {
            kept.is_suspect = true;
        }
    }

    /// The database is away, or may be: nothing is tried for a while.
    fn hold(&mut self, error: &StoreError, ctx: &mut Context<Self>) {
        self.database_errors += 1;
        let wait = self.backoff.failed();
        let (events, component) = (self.ledger.events(), self.ledger.component());
        events.failed(component, DatabaseWork::WriteOutcomes, error);
        self.wait(wait, ctx);
    }

    fn wait(&mut self, wait: Duration, ctx: &mut Context<Self>) {
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

impl<C: Send + 'static> GetRecorded<C> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<L: Ledger> Actor for Recorder<L> {
    type Context = Context<Self>;
}

impl<L: Ledger> Handler<Enter<L::Entry>> for Recorder<L> {
    type Result = ();

    fn handle(&mut self, Enter(entry): Enter<L::Entry>, ctx: &mut Context<Self>) {
        self.ledger.enter(entry);
        self.flush(ctx);
    }
}

impl<L: Ledger> Handler<Drain> for Recorder<L> {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, ctx: &mut Context<Self>) -> Self::Result {
        self.refused.close();
        let (tx, rx) = oneshot::channel();
        self.drained.push(tx);
        self.flush(ctx);
        Box::pin(async move {
            // The sender is dropped unsent with the actor alone, and then there is nothing to wait for.
            let _ = rx.await;
        })
    }
}

impl<L: Ledger> Handler<GetRecorded<L::Counts>> for Recorder<L> {
    type Result = MessageResult<GetRecorded<L::Counts>>;

    fn handle(&mut self, _: GetRecorded<L::Counts>, _: &mut Context<Self>) -> Self::Result {
        MessageResult(Recorded {
            counts: self.ledger.counts(),
            unwritten: self.unwritten(),
            refused: self.stubborn,
            database_errors: self.database_errors,
        })
    }
}
