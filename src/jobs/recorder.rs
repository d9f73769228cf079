//! The actor that writes how runs ended, many at a time.
//!
//! As with tasks: a flush takes everything that came in while the previous one ran. While the database is away the ends are
//! kept; they are bounded, since a run keeps its place among the running ones until its end is written. What the database
//! refuses goes its own way ([`refusals`]), and no other end waits for it; nor for a record that another session has locked
//! ([`locked`]).

mod lines;
mod locked;
mod refusals;

use std::{collections::VecDeque, time::Duration};

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult, ResponseFuture, WeakAddr, WrapFuture,
};
use tokio::sync::oneshot;

use self::{lines::Lines, locked::Locked, refusals::Ends};
use super::cron::{CronActor, Written};
use crate::{
    backoff::Backoff,
    domain::{Refused, RunFlag, fitting},
    repeats::Repeats,
    store::{self, RunEnd, Store, StoreError},
};

/// Ends in one transaction at most.
const BATCH: usize = 500;

/// When to look again at a job that somebody had locked: mostly another node that claims it.
const LOCKED: Duration = Duration::from_millis(50);

/// Writes the ends of runs.
pub(super) struct JobRecorder {
    store: Store,
    cron: WeakAddr<CronActor>,
    pending: VecDeque<Ended>,
    /// Jobs that somebody had locked when their runs ended.
    unsettled: Vec<i64>,
    /// Ends of runs whose records other sessions have locked.
    locked: Locked,
    busy: bool,
    /// Nothing is tried for a while.
    waits: bool,
    /// How many are tried at once: halved by each failure.
    batch: usize,
    /// Ends in the writes under way.
    in_flight: usize,
    /// What the database has refused.
    refused: Refused<Ends>,
    /// A piece of that is being tried.
    tries_refused: bool,
    /// Ends that are taken in no form.
    stubborn: usize,
    backoff: Backoff,
    outage: Repeats<()>,
    lines: Lines,
    drained: Vec<oneshot::Sender<()>>,
}

/// A run came to its end.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub(super) struct Ended {
    pub(super) end: RunEnd,
    pub(super) timed_out: bool,
}

/// The process stops. Answers when every end that was handed in is written or let go.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Drained;

/// How many ends are not written, and how many the database refuses in every form.
#[derive(Message)]
#[rtype(result = "(usize, usize)")]
pub(super) struct CountUnwritten;

impl JobRecorder {
    pub(super) fn new(store: Store, cron: WeakAddr<CronActor>) -> Self {
        Self {
            store,
            cron,
            pending: VecDeque::new(),
            unsettled: Vec::new(),
            locked: Locked::default(),
            busy: false,
            waits: false,
            batch: BATCH,
            in_flight: 0,
            refused: Refused::new(),
            tries_refused: false,
            stubborn: 0,
            backoff: Backoff::default(),
            outage: Repeats::default(),
            lines: Lines::default(),
            drained: Vec::new(),
        }
    }

    fn flush(&mut self, ctx: &mut Context<Self>) {
        if self.waits {
            return;
        }
        let is_idle = self.pending.is_empty() && self.unsettled.is_empty();
        if !self.busy && !is_idle {
            self.write_next(ctx);
        }
        self.try_refused(ctx);
        if !self.busy && !self.tries_refused && self.refused.is_empty() && self.locked.is_empty() {
            for drained in self.drained.drain(..) {
                // The caller may have given up.
                let _ = drained.send(());
            }
        }
    }

    fn write_next(&mut self, ctx: &mut Context<Self>) {
        self.busy = true;
        let count = fitting(&self.pending, self.batch, |ended| ended.end.bytes());
        let ends = Ends {
            ends: self.pending.drain(..count).collect(),
            jobs: std::mem::take(&mut self.unsettled),
        };
        self.in_flight += count;
        let (store, written, jobs) = (self.store.clone(), ends.run_ends(), ends.jobs.clone());
        let write = async move { store.end_runs(written, jobs).await };
        ctx.spawn(write.into_actor(self).map(move |written, recorder, ctx| match written {
            Err(error @ StoreError::Conflict(_)) => recorder.look_for_locks(ends, error, ctx),
            written => recorder.flushed(ends, written, ctx),
        }));
    }

    fn flushed(&mut self, ends: Ends, written: Result<store::Ended, StoreError>, ctx: &mut Context<Self>) {
        self.busy = false;
        self.in_flight -= ends.ends.len();
        match written {
            Ok(written) => {
                self.batch = (self.batch * 2).min(BATCH);
                self.taken();
                self.unsettled.extend(written.unsettled);
                self.tell(ends.ends, &written.runs);
                self.go_on(ctx);
            }
            Err(error) if error.is_refusal() => self.add_refused(ends, &error, ctx),
            Err(error) => {
                // Others go first next time.
                self.batch = (ends.ends.len() / 2).max(1);
                self.pending.extend(ends.ends);
                self.unsettled.extend(ends.jobs);
                self.hold(&error, ctx);
            }
        }
    }

    /// The database takes ends.
    fn taken(&mut self) {
        self.backoff.succeeded();
        self.refused.others_taken();
        if let Some(failures) = self.outage.over(&()) {
            say!(Info, "jobs: ends of runs are written again, after {failures} failures");
        }
    }

    /// Jobs that others have locked are looked at again soon, or with the next ends.
    fn go_on(&mut self, ctx: &mut Context<Self>) {
        if self.pending.is_empty() && !self.unsettled.is_empty() {
            self.wait(LOCKED, ctx);
        } else {
            self.flush(ctx);
        }
    }

    /// The database is away, or may be: nothing is tried for a while.
    fn hold(&mut self, error: &StoreError, ctx: &mut Context<Self>) {
        if let Some(said) = self.outage.say((), &error.to_string()) {
            let count = self.unwritten();
            say!(
                Error,
                "jobs: cannot write {count} ends of runs, will try again and again: {said}"
            );
        }
        self.count_error();
        let wait = self.backoff.failed();
        self.wait(wait, ctx);
    }

    fn count_error(&self) {
        if let Some(cron) = self.cron.upgrade() {
            cron.do_send(Written::failed());
        }
    }

    fn wait(&mut self, wait: Duration, ctx: &mut Context<Self>) {
        self.waits = true;
        ctx.run_later(wait, |recorder, ctx| {
            recorder.waits = false;
            recorder.flush(ctx);
        });
    }

    fn tell(&mut self, ends: Vec<Ended>, written: &[i64]) {
        let mut told = Written::default();
        for Ended { end, timed_out } in ends {
            let stale = !written.contains(&end.run_id);
            self.lines.log_end(&end, stale);
            match end.flag {
                _ if stale => told.stale += 1,
                RunFlag::Success => told.succeeded += 1,
                RunFlag::Cancelled => told.cancelled += 1,
                RunFlag::Skipped => told.skipped += 1,
                _ => {
                    told.failed += 1;
                    told.timed_out += u64::from(timed_out);
                }
            }
            told.runs.push(end.run_id);
        }
        if let Some(cron) = self.cron.upgrade() {
            cron.do_send(told);
        }
    }

    fn unwritten(&self) -> usize {
        self.pending.len() + self.locked.outcomes() + self.in_flight + self.refused.unwritten()
    }
}

impl Actor for JobRecorder {
    type Context = Context<Self>;
}

impl Handler<Ended> for JobRecorder {
    type Result = ();

    fn handle(&mut self, ended: Ended, ctx: &mut Context<Self>) {
        self.pending.push_back(ended);
        self.flush(ctx);
    }
}

impl Handler<Drained> for JobRecorder {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drained, ctx: &mut Context<Self>) -> Self::Result {
        self.refused.close();
        let (tell, told) = oneshot::channel();
        self.drained.push(tell);
        self.flush(ctx);
        Box::pin(async move {
            let _ = told.await;
        })
    }
}

impl Handler<CountUnwritten> for JobRecorder {
    type Result = MessageResult<CountUnwritten>;

    fn handle(&mut self, _: CountUnwritten, _: &mut Context<Self>) -> Self::Result {
        MessageResult((self.unwritten(), self.stubborn))
    }
}
