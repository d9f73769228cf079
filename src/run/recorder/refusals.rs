//! What the recorder does with writes that the database refuses: [`Refused`](super::refused::Refused) says what to try next.
//!
//! They are tried one at a time, beside the flushes, so that nothing else waits for them. If the database refuses an end in every form,
//! the run lets go of its row: the row is marked as ended without an outcome, and no node takes it over.

use std::{sync::Arc, time::Instant};

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};

use super::{
    Batch, Divisible, Ledger, Recorder,
    refused::{Piece, Step},
};
use crate::{
    domain::Form,
    events::Event,
    store::{Store, StoreError},
};

impl<L: Ledger> Recorder<L> {
    /// A batch was refused for the first time.
    pub(super) fn add_refused(&mut self, batch: L::Batch, error: &StoreError, ctx: &mut Context<Self>) {
        self.database_errors += 1;
        // If the database refuses everything, the recorder does not try new outcomes as fast as they come in.
        let wait = self.backoff.failed();
        self.pause(wait, ctx);
        let step = self.refused.add(batch, error.to_string());
        self.next_step(step, ctx);
    }

    /// Tries the next refused piece, unless another one is being tried.
    pub(super) fn try_refused(&mut self, ctx: &mut Context<Self>) {
        if self.tries_refused.is_under_way() {
            return;
        }
        let Some(piece) = self.refused.next() else { return };
        self.begin_try(&piece);
        let writes = piece.work.in_form(piece.form, &piece.reason);
        let let_go = piece.let_go.then(|| piece.work.run()).flatten();
        let write = write::<L>(self.ledger.store().clone(), Arc::clone(&writes), let_go);
        let began = Instant::now();
        ctx.spawn(write.into_actor(self).map(move |written, recorder, ctx| {
            if let Ok(Some(_)) = written {
                recorder.tell_written(piece.work.outcomes(), began.elapsed());
            }
            let written = written.map(|written| written.unwrap_or_else(L::stale));
            recorder.tried(piece, &writes, written, ctx);
        }));
    }

    fn begin_try(&mut self, piece: &Piece<L::Batch>) {
        self.tries_refused.begin();
        self.in_flight += piece.unwritten();
    }

    fn end_try(&mut self, piece: &Piece<L::Batch>) {
        self.tries_refused.end();
        self.in_flight -= piece.unwritten();
    }

    fn tried(
        &mut self,
        piece: Piece<L::Batch>,
        writes: &<L::Batch as Batch>::Writes,
        written: Result<L::Written, StoreError>,
        ctx: &mut Context<Self>,
    ) {
        self.end_try(&piece);
        match written {
            Ok(written) => {
                if piece.form != Form::Apart {
                    self.database_accepted();
                }
                self.refused_ends -= usize::from(piece.was_refused_in_every_form());
                self.ledger.written(piece.work, writes, written);
                self.go_on(ctx);
            }
            Err(error) if error.is_refusal() => {
                self.database_errors += 1;
                let step = self.refused.refused(piece, error.to_string());
                self.next_step(step, ctx);
            }
            Err(error) => {
                self.refused.put_back(piece);
                self.pause_after_failure(&error, ctx);
            }
        }
    }

    fn next_step(&mut self, step: Step<L::Batch>, ctx: &mut Context<Self>) {
        match step {
            Step::Queued => self.flush(ctx),
            Step::RetryAfter(piece, pause) => {
                ctx.run_later(pause, |recorder, ctx| {
                    recorder.refused.resume(piece);
                    recorder.flush(ctx);
                });
                self.flush(ctx);
            }
            Step::RefusedInEveryForm(piece) => self.give_up(piece, ctx),
        }
    }

    /// The database refuses this piece in every form. If it is an end, its run lets go of the row. Anything else (a note that a run is running,
    /// a report of progress, the status of a job) is given up for good.
    fn give_up(&mut self, mut piece: Piece<L::Batch>, ctx: &mut Context<Self>) {
        let Some(run) = piece.work.run() else {
            self.ledger.give_up(piece.work, &piece.reason);
            self.flush(ctx);
            return;
        };
        self.begin_try(&piece);
        piece.work.let_workers_go();
        let why = L::why_let_go(&piece.work, &piece.reason);
        let let_go = L::let_go(self.ledger.store().clone(), run, why);
        ctx.spawn(
            let_go
                .into_actor(self)
                .map(|let_go, recorder, ctx| recorder.let_go(piece, let_go, ctx)),
        );
    }

    fn let_go(&mut self, mut piece: Piece<L::Batch>, let_go: Result<bool, StoreError>, ctx: &mut Context<Self>) {
        self.end_try(&piece);
        if matches!(let_go, Ok(false)) {
            self.refused_ends -= usize::from(piece.was_refused_in_every_form());
            let writes = piece.work.in_form(Form::Whole, "");
            self.ledger.written(piece.work, &writes, L::stale());
            self.flush(ctx);
            return;
        }
        piece.let_go = let_go.is_ok();
        if piece.should_report() {
            self.tell_refused(&piece, let_go.err().as_ref());
        }
        if !piece.was_refused_in_every_form() {
            self.refused_ends += 1;
            self.ledger.refused(&piece.work);
        }
        if let Some(delay) = self.refused.delay_retry(&mut piece) {
            ctx.run_later(delay, |recorder, ctx| {
                recorder.refused.delay_over(piece);
                recorder.flush(ctx);
            });
        }
        self.flush(ctx);
    }
}

impl<L: Ledger> Recorder<L> {
    /// `error`: why the row could not be let go either.
    fn tell_refused(&self, piece: &Piece<L::Batch>, error: Option<&StoreError>) {
        let Some(end) = self.ledger.refusal(&piece.work) else {
            return;
        };
        let reason = &piece.reason;
        self.ledger.events().tell(&Event::OutcomeRefused {
            component: self.ledger.component().clone(),
            id: end.id,
            job_id: end.job_id,
            log_id: end.log_id,
            ended_as: end.ended_as,
            error: match error {
                Some(error) => format!("{reason}; and its row: {error}"),
                None => reason.clone(),
            },
            let_go: error.is_none(),
        });
    }
}

/// Writes a piece. If its run had let go of the row, the run takes the row up again first. `None`: the row belongs to another run by now,
/// and nothing was written.
async fn write<L: Ledger>(
    store: Store,
    writes: Arc<<L::Batch as Batch>::Writes>,
    let_go: Option<<L::Batch as Batch>::Run>,
) -> Result<Option<L::Written>, StoreError> {
    if let Some(run) = let_go
        && !L::take_up(store.clone(), run).await?
    {
        return Ok(None);
    }
    L::write(store, writes).await.map(Some)
}
