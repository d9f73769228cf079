//! The actor that writes how runs ended, many at a time.
//!
//! As with tasks: a flush takes everything that came in while the previous one ran. While the database is away the ends are
//! kept; they are bounded, since a run keeps its place among the running ones until its end is written.

use std::{collections::VecDeque, time::Duration};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseFuture, WeakAddr, WrapFuture};
use tokio::sync::oneshot;

use super::cron::{CronActor, Written};
use crate::{
    backoff::Backoff,
    domain::RunFlag,
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
    busy: bool,
    /// How many are tried at once: halved by each refusal, so that one that is never taken ends up alone.
    batch: usize,
    backoff: Backoff,
    drained: Vec<oneshot::Sender<()>>,
}

/// A run came to its end.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub(super) struct Ended {
    pub(super) end: RunEnd,
    pub(super) timed_out: bool,
}

/// Answers when everything that was handed in is written.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Drained;

/// How many ends are not written.
#[derive(Message)]
#[rtype(result = "usize")]
pub(super) struct CountUnwritten;

impl JobRecorder {
    pub(super) fn new(store: Store, cron: WeakAddr<CronActor>) -> Self {
        Self {
            store,
            cron,
            pending: VecDeque::new(),
            unsettled: Vec::new(),
            busy: false,
            batch: BATCH,
            backoff: Backoff::default(),
            drained: Vec::new(),
        }
    }

    fn flush(&mut self, ctx: &mut Context<Self>) {
        if self.busy {
            return;
        }
        if self.pending.is_empty() && self.unsettled.is_empty() {
            for drained in self.drained.drain(..) {
                // Whoever asked may have given up.
                let _ = drained.send(());
            }
            return;
        }
        self.busy = true;
        let count = self.pending.len().min(self.batch);
        let ends: Vec<RunEnd> = self.pending.iter().take(count).map(|ended| ended.end.clone()).collect();
        let (store, unsettled) = (self.store.clone(), self.unsettled.clone());
        let write = async move { store.end_runs(ends, unsettled).await };
        ctx.spawn(
            write
                .into_actor(self)
                .map(move |written, recorder, ctx| recorder.flushed(count, written, ctx)),
        );
    }

    fn flushed(&mut self, count: usize, written: Result<store::Ended, StoreError>, ctx: &mut Context<Self>) {
        match written {
            Ok(written) => {
                self.unsettled = written.unsettled;
                self.batch = (self.batch * 2).min(BATCH);
                if self.backoff.succeeded() {
                    log::info!("jobs: ends of runs are written again");
                }
                let ends: Vec<Ended> = self.pending.drain(..count).collect();
                self.tell(ends, &written.runs);
                self.go_on(ctx);
            }
            Err(error) => self.failed(count, &error, ctx),
        }
    }

    /// Jobs that others have locked are looked at again soon, or with the next ends.
    fn go_on(&mut self, ctx: &mut Context<Self>) {
        if self.pending.is_empty() && !self.unsettled.is_empty() {
            ctx.run_later(LOCKED, |recorder, ctx| {
                recorder.busy = false;
                recorder.flush(ctx);
            });
        } else {
            self.busy = false;
            self.flush(ctx);
        }
    }

    /// Keeps `busy` until the wait is over, so that nothing is tried before.
    fn failed(&mut self, count: usize, error: &StoreError, ctx: &mut Context<Self>) {
        let wait = self.backoff.failed();
        log::error!("jobs: cannot write {count} ends of runs, will try again in {wait:.1?}: {error}");
        self.batch = (count / 2).max(1);
        // Others go first next time.
        self.pending.rotate_left(count);
        if let Some(cron) = self.cron.upgrade() {
            cron.do_send(Written::failed());
        }
        ctx.run_later(wait, |recorder, ctx| {
            recorder.busy = false;
            recorder.flush(ctx);
        });
    }

    fn tell(&self, ends: Vec<Ended>, written: &[i64]) {
        let mut told = Written::default();
        for Ended { end, timed_out } in ends {
            let stale = !written.contains(&end.run_id);
            log_end(&end, stale);
            match end.flag {
                _ if stale => told.stale += 1,
                RunFlag::Success => told.succeeded += 1,
                RunFlag::Cancelled => told.cancelled += 1,
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
}

/// One line for each run, with the log id that its record has.
fn log_end(end: &RunEnd, stale: bool) {
    let level = match end.flag {
        _ if stale => log::Level::Warn,
        RunFlag::Success | RunFlag::Skipped => log::Level::Debug,
        RunFlag::Cancelled => log::Level::Info,
        RunFlag::Failed => log::Level::Warn,
    };
    let became = if stale {
        "not written, others have ended it"
    } else {
        end.flag.as_str()
    };
    let error = end.error.as_deref().unwrap_or_default();
    log::log!(
        level,
        "job {} run {} log_id={}: {became} after {} attempts: {}",
        end.job_id,
        end.run_id,
        end.log_id,
        end.attempt,
        &error[..error.floor_char_boundary(300)]
    );
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
        let (tell, told) = oneshot::channel();
        self.drained.push(tell);
        self.flush(ctx);
        Box::pin(async move {
            let _ = told.await;
        })
    }
}

impl Handler<CountUnwritten> for JobRecorder {
    type Result = usize;

    fn handle(&mut self, _: CountUnwritten, _: &mut Context<Self>) -> usize {
        self.pending.len()
    }
}
