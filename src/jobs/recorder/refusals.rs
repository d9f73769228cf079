//! What the recorder does with ends that the database refuses: [`Refused`](crate::domain::Refused) says what to try next.
//!
//! They have a way of their own beside the flushes, so that nothing else waits for them. A run whose end is taken in no form
//! lets its record go: the record has no node, so that it is not open any more, and its job fires on.

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};

use super::{Ended, JobRecorder, lines};
use crate::{
    domain::{Divisible, Form, Piece, Step},
    jobs::cron::Written,
    store::{self, RunEnd, Store, StoreError},
};

/// Ends of runs, and jobs that may have no open run any more.
#[derive(Debug, Default)]
pub(super) struct Ends {
    pub(super) ends: Vec<Ended>,
    pub(super) jobs: Vec<i64>,
}

impl Ends {
    pub(super) fn run_ends(&self) -> Vec<RunEnd> {
        self.ends.iter().map(|ended| ended.end.clone()).collect()
    }

    /// The same ends in this form, since the database refused the whole for this reason.
    fn in_form(&self, form: Form, reason: &str) -> Vec<Ended> {
        let ended = |ended: &Ended| match form {
            Form::Whole => ended.clone(),
            _ => Ended {
                end: ended.end.in_form(form, reason),
                ..*ended
            },
        };
        self.ends.iter().map(ended).collect()
    }
}

impl Divisible for Ends {
    fn split(mut self) -> Result<(Self, Self), Self> {
        let (ends, jobs) = (self.ends.len(), self.jobs.len());
        if ends + jobs < 2 {
            return Err(self);
        }
        let (ends, jobs) = if jobs == 0 || ends == 0 {
            (ends / 2, jobs / 2)
        } else {
            (ends, 0)
        };
        let rest = Self {
            ends: self.ends.split_off(ends),
            jobs: self.jobs.split_off(jobs),
        };
        Ok((self, rest))
    }

    fn plainer(&self, form: Form) -> Option<Form> {
        form.plainer(self.ends.first()?.end.texts())
    }

    fn outcomes(&self) -> usize {
        self.ends.len()
    }
}

impl JobRecorder {
    /// Ends were refused for the first time.
    pub(super) fn add_refused(&mut self, ends: Ends, error: &StoreError, ctx: &mut Context<Self>) {
        self.count_error();
        // If everything is refused, new ends are not tried as fast as they come.
        let wait = self.backoff.failed();
        self.wait(wait, ctx);
        let step = self.refused.add(ends, error.to_string());
        self.go_on_with(step, ctx);
    }

    /// Tries the next piece, one at a time.
    pub(super) fn try_refused(&mut self, ctx: &mut Context<Self>) {
        if self.tries_refused {
            return;
        }
        let Some(piece) = self.refused.next() else { return };
        self.tries_refused = true;
        self.in_flight += piece.unwritten();
        let ends = piece.work.in_form(piece.form, &piece.reason);
        let write = write(self.store.clone(), &piece, &ends);
        ctx.spawn(
            write
                .into_actor(self)
                .map(move |written, recorder, ctx| recorder.tried(piece, ends, written, ctx)),
        );
    }

    fn tried(
        &mut self,
        piece: Piece<Ends>,
        ends: Vec<Ended>,
        written: Result<store::Ended, StoreError>,
        ctx: &mut Context<Self>,
    ) {
        self.tries_refused = false;
        self.in_flight -= piece.unwritten();
        match written {
            Ok(written) => {
                if piece.form != Form::Apart {
                    self.taken();
                }
                self.stubborn -= usize::from(piece.is_stubborn());
                self.unsettled.extend(written.unsettled);
                self.tell(ends, &written.runs);
                self.flush(ctx);
            }
            Err(error) if error.is_refusal() => {
                self.count_error();
                let step = self.refused.refused(piece, error.to_string());
                self.go_on_with(step, ctx);
            }
            Err(error) => {
                self.refused.put_back(piece);
                self.hold(&error, ctx);
            }
        }
    }

    fn go_on_with(&mut self, step: Step<Ends>, ctx: &mut Context<Self>) {
        match step {
            Step::Go => {}
            Step::Pause(piece, pause) => {
                ctx.run_later(pause, |recorder, ctx| {
                    recorder.refused.resume(piece);
                    recorder.flush(ctx);
                });
            }
            Step::Stubborn(piece) => self.give_up(piece, ctx),
        }
        self.flush(ctx);
    }

    /// A job whose status cannot be set is left to the look at jobs that are said to run. Of an end, the record is let go.
    fn give_up(&mut self, piece: Piece<Ends>, ctx: &mut Context<Self>) {
        let Some(ended) = piece.work.ends.first() else {
            for id in &piece.work.jobs {
                say!(
                    Warn,
                    "job {id}: the database refuses to note that it waits again: {}",
                    piece.reason
                );
            }
            return;
        };
        self.tries_refused = true;
        self.in_flight += piece.unwritten();
        let (store, end, why) = (self.store.clone(), ended.end.clone(), lines::why_let_go(&piece));
        let let_go = async move { store.let_go_run(&end, &why).await };
        ctx.spawn(
            let_go
                .into_actor(self)
                .map(|let_go, recorder, ctx| recorder.let_go(piece, let_go, ctx)),
        );
    }

    fn let_go(&mut self, mut piece: Piece<Ends>, let_go: Result<bool, StoreError>, ctx: &mut Context<Self>) {
        self.tries_refused = false;
        self.in_flight -= piece.unwritten();
        if matches!(let_go, Ok(false)) {
            self.stubborn -= usize::from(piece.is_stubborn());
            self.tell(piece.work.ends, &[]);
            self.flush(ctx);
            return;
        }
        piece.let_go = let_go.is_ok();
        if piece.is_news() {
            lines::log_refused(&piece, let_go.err().as_ref());
        }
        if !piece.is_stubborn() {
            self.stubborn += 1;
            self.tell_refused(&piece.work);
        }
        if let Some(rest) = self.refused.rest(&mut piece) {
            ctx.run_later(rest, |recorder, ctx| {
                recorder.refused.rested(piece);
                recorder.flush(ctx);
            });
        }
        self.flush(ctx);
    }

    /// These runs take no place among the running ones any more, and their jobs wait again.
    fn tell_refused(&mut self, ends: &Ends) {
        self.unsettled.extend(ends.ends.iter().map(|ended| ended.end.job_id));
        if let Some(cron) = self.cron.upgrade() {
            let refused = ends.ends.iter().map(|ended| ended.end.run_id);
            cron.do_send(Written {
                refused: refused.collect(),
                ..Written::default()
            });
        }
    }
}

/// Writes a piece; before that, gives a run its record back that was let go.
fn write(
    store: Store,
    piece: &Piece<Ends>,
    ends: &[Ended],
) -> impl Future<Output = Result<store::Ended, StoreError>> + use<> {
    let ends: Vec<RunEnd> = ends.iter().map(|ended| ended.end.clone()).collect();
    let (let_go, form, jobs) = (piece.let_go, piece.form, piece.work.jobs.clone());
    async move {
        if let (true, Some(end)) = (let_go, ends.first())
            && !store.take_up_run(end).await?
        {
            return Ok(store::Ended::default());
        }
        match form {
            Form::Apart => store.end_runs_apart(ends).await,
            _ => store.end_runs(ends, jobs).await,
        }
    }
}
