//! What the recorder does with runs whose tasks' rows other sessions have locked: such runs are set aside, the others are written
//! at once, and the rows are looked at until they are free.

use std::{collections::BTreeSet, time::Duration};

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};

use super::RecorderActor;
use crate::{
    asynctask::batch::Batch,
    repeats::Repeats,
    store::{Rows, StoreError},
};

/// When to look again whether a row is free.
const LOOK: Duration = Duration::from_millis(500);

/// What is set aside.
#[derive(Default)]
pub(super) struct Locked {
    batches: Vec<Batch>,
    /// A look at the rows is under way, or will be.
    looks: bool,
    said: Repeats<()>,
}

impl Locked {
    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    pub(super) fn outcomes(&self) -> usize {
        self.batches.iter().map(|batch| batch.ends.len()).sum()
    }
}

impl RecorderActor {
    /// A batch met others: perhaps some of its rows are locked. The batch counts as under way until that is known.
    pub(super) fn look_for_locks(&mut self, batch: Batch, error: StoreError, ctx: &mut Context<Self>) {
        let (store, ids) = (self.store.clone(), batch.task_ids());
        let look = async move { store.locked(Rows::Tasks, &ids).await };
        ctx.spawn(look.into_actor(self).map(|locked, recorder, ctx| {
            // Without an answer the database is away: the batch is kept as a whole.
            recorder.flushed(batch, Err(error), &locked.unwrap_or_default(), ctx);
        }));
    }

    pub(super) fn set_aside(&mut self, batch: Batch, locked: &BTreeSet<i64>, ctx: &mut Context<Self>) {
        self.counts.database_errors += 1;
        let (held, free) = batch.divided(locked);
        if !free.is_empty() {
            self.kept.push_front(free);
        }
        self.locked.batches.push(held);
        let why =
            "another session has locked the rows of their tasks; see what that session waits for, or end that session";
        if let Some(said) = self.locked.said.say((), why) {
            let count = self.locked.outcomes();
            say!(
                Error,
                "theme {}: {count} outcomes wait until they can be written: {said}",
                self.theme
            );
        }
        self.look_later(ctx);
        self.flush(ctx);
    }

    fn look_later(&mut self, ctx: &mut Context<Self>) {
        if !std::mem::replace(&mut self.locked.looks, true) {
            ctx.run_later(LOOK, Self::look_at_locked);
        }
    }

    fn look_at_locked(&mut self, ctx: &mut Context<Self>) {
        let ids: Vec<i64> = self.locked.batches.iter().flat_map(Batch::task_ids).collect();
        let store = self.store.clone();
        let look = async move { store.locked(Rows::Tasks, &ids).await };
        ctx.spawn(look.into_actor(self).map(|locked, recorder, ctx| {
            recorder.locked.looks = false;
            match locked {
                Ok(locked) => recorder.take_free(&locked, ctx),
                Err(_) => recorder.look_later(ctx),
            }
        }));
    }

    /// What was set aside since the look began is not among the `locked`, and is tried like the rest.
    fn take_free(&mut self, locked: &BTreeSet<i64>, ctx: &mut Context<Self>) {
        for batch in std::mem::take(&mut self.locked.batches) {
            let (held, free) = batch.divided(locked);
            self.kept.extend((!free.is_empty()).then_some(free));
            self.locked.batches.extend((!held.is_empty()).then_some(held));
        }
        if self.locked.is_empty() {
            self.locked.said.over(&());
            say!(Info, "theme {}: no outcome waits for a locked row any more", self.theme);
        } else {
            self.look_later(ctx);
        }
        self.flush(ctx);
    }
}
