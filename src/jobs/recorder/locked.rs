//! What the recorder does with ends of runs whose records other sessions have locked: such ends are set aside, the others are
//! written at once, and the records are looked at until they are free.

use std::{collections::BTreeSet, time::Duration};

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};

use super::{Ended, JobRecorder, refusals::Ends};
use crate::{
    repeats::Repeats,
    store::{Rows, StoreError},
};

/// When to look again whether a record is free.
const LOOK: Duration = Duration::from_millis(500);

/// What is set aside.
#[derive(Default)]
pub(super) struct Locked {
    ends: Vec<Ended>,
    /// A look at the records is under way, or will be.
    looks: bool,
    said: Repeats<()>,
}

impl Locked {
    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn outcomes(&self) -> usize {
        self.ends.len()
    }
}

impl JobRecorder {
    /// Ends met others: perhaps some of their records are locked. The ends count as under way until that is known.
    pub(super) fn look_for_locks(&mut self, ends: Ends, error: StoreError, ctx: &mut Context<Self>) {
        let look = self.look(&ends.ends);
        ctx.spawn(look.into_actor(self).map(|locked, recorder, ctx| match locked {
            Ok(locked) if !locked.is_empty() => recorder.set_aside(ends, &locked, ctx),
            // Without an answer the database is away: the ends are kept as a whole.
            _ => recorder.flushed(ends, Err(error), ctx),
        }));
    }

    fn look(&self, ends: &[Ended]) -> impl Future<Output = Result<BTreeSet<i64>, StoreError>> + use<> {
        let ids: Vec<i64> = ends.iter().map(|ended| ended.end.run_id).collect();
        let store = self.store.clone();
        async move { store.locked(Rows::JobRecords, &ids).await }
    }

    fn set_aside(&mut self, ends: Ends, locked: &BTreeSet<i64>, ctx: &mut Context<Self>) {
        self.busy = false;
        self.in_flight -= ends.ends.len();
        self.count_error();
        self.unsettled.extend(ends.jobs);
        self.divide(ends.ends, locked);
        let why = "another session has locked their records; see what that session waits for, or end that session";
        if let Some(said) = self.locked.said.say((), why) {
            let count = self.locked.outcomes();
            say!(
                Error,
                "jobs: {count} ends of runs wait until they can be written: {said}"
            );
        }
        self.look_later(ctx);
        self.flush(ctx);
    }

    fn divide(&mut self, ends: Vec<Ended>, locked: &BTreeSet<i64>) {
        let ends = ends.into_iter();
        let (held, free): (Vec<_>, Vec<_>) = ends.partition(|ended| locked.contains(&ended.end.run_id));
        self.locked.ends.extend(held);
        self.pending.extend(free);
    }

    fn look_later(&mut self, ctx: &mut Context<Self>) {
        if !std::mem::replace(&mut self.locked.looks, true) {
            ctx.run_later(LOOK, Self::look_at_locked);
        }
    }

    fn look_at_locked(&mut self, ctx: &mut Context<Self>) {
        let look = self.look(&self.locked.ends);
        ctx.spawn(look.into_actor(self).map(|locked, recorder, ctx| {
            recorder.locked.looks = false;
            match locked {
                Ok(locked) => recorder.take_free(&locked, ctx),
                Err(_) => recorder.look_later(ctx),
            }
        }));
    }

    fn take_free(&mut self, locked: &BTreeSet<i64>, ctx: &mut Context<Self>) {
        let ends = std::mem::take(&mut self.locked.ends);
        self.divide(ends, locked);
        if self.locked.is_empty() {
            self.locked.said.over(&());
            say!(Info, "jobs: no end of a run waits for a locked record any more");
        } else {
            self.look_later(ctx);
        }
        self.flush(ctx);
    }
}
