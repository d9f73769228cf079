//! What the recorder does with writes that the database refuses: [`Refused`](crate::domain::Refused) says what to try next.
//!
//! They have a way of their own beside the flushes, so that nothing else waits for them. A run whose end is taken in no form
//! lets its task go: the row stays `Running` without a node, and nobody runs it again unless somebody says so.

use std::sync::Arc;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};

use super::{RecorderActor, lines};
use crate::{
    asynctask::batch::Batch,
    domain::{Form, Piece, Step},
    store::{Finished, RunKey, Store, StoreError, Writes, Written},
};

impl RecorderActor {
    /// A batch was refused for the first time.
    pub(super) fn add_refused(&mut self, batch: Batch, error: &StoreError, ctx: &mut Context<Self>) {
        self.counts.database_errors += 1;
        // If everything is refused, new outcomes are not tried as fast as they come.
        let wait = self.backoff.failed();
        self.wait(wait, ctx);
        let step = self.refused.add(batch, error.to_string());
        self.go_on(step, ctx);
    }

    /// Tries the next piece, one at a time.
    pub(super) fn try_refused(&mut self, ctx: &mut Context<Self>) {
        if self.tries_refused {
            return;
        }
        let Some(piece) = self.refused.next() else { return };
        self.tries_refused = true;
        self.in_flight += piece.unwritten();
        let writes = piece.work.in_form(piece.form, &piece.reason);
        let let_go = piece.let_go.then(|| run_of(&piece)).flatten();
        let write = write(self.store.clone(), Arc::clone(&writes), let_go);
        ctx.spawn(
            write
                .into_actor(self)
                .map(move |written, recorder, ctx| recorder.tried(piece, &writes, written, ctx)),
        );
    }

    fn tried(
        &mut self,
        piece: Piece<Batch>,
        writes: &Writes,
        written: Result<Written, StoreError>,
        ctx: &mut Context<Self>,
    ) {
        self.tries_refused = false;
        self.in_flight -= piece.unwritten();
        match written {
            Ok(written) => {
                if piece.form != Form::Apart {
                    self.taken();
                }
                self.counts.refused -= usize::from(piece.is_stubborn());
                self.written(piece.work, writes, written);
                self.flush(ctx);
            }
            Err(error) if error.is_refusal() => {
                self.counts.database_errors += 1;
                let step = self.refused.refused(piece, error.to_string());
                self.go_on(step, ctx);
            }
            Err(error) => {
                self.refused.put_back(piece);
                self.hold(&error, ctx);
            }
        }
    }

    fn go_on(&mut self, step: Step<Batch>, ctx: &mut Context<Self>) {
        match step {
            Step::Go => self.flush(ctx),
            Step::Pause(piece, pause) => {
                ctx.run_later(pause, |recorder, ctx| {
                    recorder.refused.resume(piece);
                    recorder.flush(ctx);
                });
                self.flush(ctx);
            }
            Step::Stubborn(piece) => self.give_up(piece, ctx),
        }
    }

    /// Beginnings and reports of progress are given up for good. Of an end, the task is let go.
    fn give_up(&mut self, mut piece: Piece<Batch>, ctx: &mut Context<Self>) {
        let Some(run) = run_of(&piece) else {
            for begin in piece.work.begins {
                // A receiver that is gone has no more use for it.
                let _ = begin.map(|begin| begin.send(Err(piece.reason.clone())));
            }
            for report in &piece.work.writes.progress {
                lines::log_lost_report(&self.theme, report, &piece.reason);
            }
            self.flush(ctx);
            return;
        };
        piece.work.keep_nobody_waiting();
        self.tries_refused = true;
        self.in_flight += piece.unwritten();
        let (store, why) = (self.store.clone(), lines::why_let_go(&piece));
        let let_go = async move { store.let_go(&run, &why).await };
        ctx.spawn(
            let_go
                .into_actor(self)
                .map(|let_go, recorder, ctx| recorder.let_go(piece, let_go, ctx)),
        );
    }

    fn let_go(&mut self, mut piece: Piece<Batch>, let_go: Result<bool, StoreError>, ctx: &mut Context<Self>) {
        self.tries_refused = false;
        self.in_flight -= piece.unwritten();
        if matches!(let_go, Ok(false)) {
            self.counts.refused -= usize::from(piece.is_stubborn());
            self.counts.stale += 1;
            self.flush(ctx);
            return;
        }
        piece.let_go = let_go.is_ok();
        if piece.is_news() {
            lines::log_refused(&self.theme, &piece, let_go.err().as_ref());
        }
        self.counts.refused += usize::from(!piece.is_stubborn());
        if let Some(rest) = self.refused.rest(&mut piece) {
            ctx.run_later(rest, |recorder, ctx| {
                recorder.refused.rested(piece);
                recorder.flush(ctx);
            });
        }
        self.flush(ctx);
    }
}

/// The run whose end this is, if it is one end.
fn run_of(piece: &Piece<Batch>) -> Option<RunKey> {
    piece.work.writes.finishes.first().map(|finish| finish.run.clone())
}

/// Writes; before that, gives the run its task back that was let go.
async fn write(store: Store, writes: Arc<Writes>, let_go: Option<RunKey>) -> Result<Written, StoreError> {
    if let Some(run) = let_go
        && !store.take_up(&run).await?
    {
        return Ok(Written {
            begins: Vec::new(),
            finishes: vec![Finished::Stale],
        });
    }
    store.write(writes).await
}
