//! What the recorder does with ends whose rows other sessions have locked: it sets them aside, writes the others immediately, and checks
//! the rows again until they are free.

use std::{collections::BTreeSet, time::Duration};

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};

use super::{Batch, Divisible, Flush, Ledger, Recorder};
use crate::{repeats::Repeats, run::SingleFlight, store::StoreError};

/// How long to wait before the next check whether the rows are free.
const CHECK_AFTER: Duration = Duration::from_millis(500);

/// Batches that are set aside.
pub(super) struct Locked<B> {
    batches: Vec<B>,
    /// A check of the rows is under way, or a timer for it is set.
    check: SingleFlight,
    said: Repeats<()>,
}

impl<B> Default for Locked<B> {
    fn default() -> Self {
        Self {
            batches: Vec::new(),
            check: SingleFlight::default(),
            said: Repeats::default(),
        }
    }
}

impl<B: Batch> Locked<B> {
    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    pub(super) fn outcomes(&self) -> usize {
        self.batches.iter().map(Divisible::outcomes).sum()
    }
}

impl<L: Ledger> Recorder<L> {
    /// A batch conflicted with other writes: perhaps some of its rows are locked. The batch counts as under way until that is known.
    pub(super) fn look_for_locks(&mut self, flush: Flush<L::Batch>, error: StoreError, ctx: &mut Context<Self>) {
        let (store, ids) = (self.ledger.store().clone(), flush.batch.ids());
        let check = async move { store.locked(L::ROWS, &ids).await };
        ctx.spawn(check.into_actor(self).map(|locked, recorder, ctx| {
            // No answer: the database is away, and the batch is kept whole.
            recorder.flushed(flush, Err(error), &locked.unwrap_or_default(), ctx);
        }));
    }

    pub(super) fn set_aside(&mut self, batch: L::Batch, locked: &BTreeSet<i64>, ctx: &mut Context<Self>) {
        self.database_errors += 1;
        let (held, free) = batch.divided(locked);
        if !free.is_empty() {
            self.kept.push_front(Flush::new(free));
        }
        self.locked.batches.push(held);
        let why = "another session has locked their rows; see what that session waits for, or end that session";
        if let Some(said) = self.locked.said.say((), why) {
            let (component, count) = (self.ledger.component(), self.locked.outcomes());
            say!(
                Error,
                "{component}: {count} outcomes wait until they can be written: {said}"
            );
        }
        self.check_later(ctx);
        self.flush(ctx);
    }

    fn check_later(&mut self, ctx: &mut Context<Self>) {
        if self.locked.check.begin() {
            ctx.run_later(CHECK_AFTER, Self::check_locked);
        }
    }

    fn check_locked(&mut self, ctx: &mut Context<Self>) {
        let ids: Vec<i64> = self.locked.batches.iter().flat_map(Batch::ids).collect();
        let store = self.ledger.store().clone();
        let check = async move { store.locked(L::ROWS, &ids).await };
        ctx.spawn(check.into_actor(self).map(|locked, recorder, ctx| {
            recorder.locked.check.end();
            match locked {
                Ok(locked) => recorder.take_free(&locked, ctx),
                Err(_) => recorder.check_later(ctx),
            }
        }));
    }

    /// Queues the entries whose rows are free. Batches that were set aside since this check began are not among the `locked`: they are tried
    /// like the free ones.
    fn take_free(&mut self, locked: &BTreeSet<i64>, ctx: &mut Context<Self>) {
        for batch in std::mem::take(&mut self.locked.batches) {
            let (held, free) = batch.divided(locked);
            self.kept.extend((!free.is_empty()).then(|| Flush::new(free)));
            self.locked.batches.extend((!held.is_empty()).then_some(held));
        }
        if self.locked.is_empty() {
            self.locked.said.over(&());
            let component = self.ledger.component();
            say!(Info, "{component}: no outcome waits for a locked row any more");
        } else {
            self.check_later(ctx);
        }
        self.flush(ctx);
    }
}
