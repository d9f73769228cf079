//! The runs of this process.

use std::sync::Arc;

use actix::Context;
use chrono::TimeDelta;

use super::CronActor;
use crate::{
    arbiters::Thread,
    domain::{Definition, InvalidInput, RunFlag, Target},
    jobs::{
        exec::{JobExecActor, end},
        recorder::Ended,
        run::{JobRun, Orders, Stop},
    },
    lease::Term,
    store::{ClaimedRun, Fired, OpenRun, RunEnd},
};

/// How long after its end was due a run is given to end by itself.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(300);

/// An open run of this node that nobody here knows of, claimed this long ago, is a claim whose answer was lost.
const STRAY: TimeDelta = TimeDelta::seconds(60);

/// A run, and the thread it is on, which lives as long.
pub(super) struct Running {
    pub(super) run: Option<Arc<JobRun>>,
    _thread: Option<Arc<Thread>>,
}

impl CronActor {
    pub(super) fn fired(&mut self, fired: Fired, term: Term, ctx: &mut Context<Self>) {
        match fired {
            Fired::Run(claimed) => self.start(&claimed, term, ctx),
            Fired::Skipped(_) => self.counts.skipped += 1,
            Fired::Declined => self.counts.declined += 1,
        }
    }

    pub(super) fn start(&mut self, claimed: &ClaimedRun, term: Term, _: &mut Context<Self>) {
        // A claim that was made twice, since the answer to the first was lost, is one run.
        if self.running.contains_key(&claimed.id) {
            return;
        }
        self.counts.fired += 1;
        match claimed.job.define(&self.plan.rules) {
            Ok(definition) => {
                warn_of_name(claimed, &definition);
                let run = JobRun::new(claimed, definition.into(), term, Arc::clone(&self.shared));
                let thread = self.threads.pick();
                JobExecActor::spawn(Arc::clone(&run), &thread);
                self.keep(claimed.id, Some(run), Some(thread));
            }
            Err(fault) => self.refuse(claimed, &fault),
        }
    }

    fn keep(&mut self, id: i64, run: Option<Arc<JobRun>>, thread: Option<Arc<Thread>>) {
        self.running.insert(id, Running { run, _thread: thread });
    }

    /// A row that plain SQL has spoilt cannot run, and its record says so.
    fn refuse(&mut self, claimed: &ClaimedRun, fault: &InvalidInput) {
        self.keep(claimed.id, None, None);
        let error = format!("the job cannot run: {fault}");
        self.record_failure(claimed.id, claimed.job.id, &claimed.log_id, error);
    }

    fn record_failure(&self, run_id: i64, job_id: i64, log_id: &str, error: String) {
        let now = self.now();
        let end = RunEnd {
            run_id,
            job_id,
            node: self.shared.node.to_string(),
            log_id: log_id.to_owned(),
            flag: RunFlag::Failed,
            result: None,
            error: Some(error),
            attempt: 0,
            started_at: None,
            ended_at: now,
        };
        self.shared.recorder.do_send(Ended { end, timed_out: false });
    }

    /// Ends runs whose threads do not, and replaces threads that are blocked.
    pub(super) fn look_after_runs(&mut self) {
        if !self.running.is_empty() && self.threads.replace_stalled() {
            log::error!(
                "jobs: a worker thread was blocked for 2 s and is replaced; handlers that block belong into `blocking_fn`"
            );
        }
        for run in self.running.values().filter_map(|running| running.run.as_ref()) {
            if let Some(verdict) = run.overdue(PATIENCE) {
                end(run, verdict);
            }
        }
        self.tell_if_stopped();
    }

    pub(super) fn stop_all(&self, why: &Stop) {
        for run in self.running.values().filter_map(|running| running.run.as_ref()) {
            run.stop(why.clone());
        }
    }

    /// Does what others want of the runs of this node.
    pub(super) fn obey(&mut self, open: &[OpenRun]) {
        let now = self.now().naive_utc();
        for OpenRun { run_id, job_id, claimed_at, cancel_reason } in open {
            match (self.running.get(run_id), cancel_reason) {
                (Some(Running { run: Some(run), .. }), Some(reason)) => run.stop(Stop::Cancelled(reason.clone())),
                (None, _) if !self.claiming && claimed_at.is_some_and(|at| now - at > STRAY) => {
                    let error = "lost: the database claimed it for this node, whose connection broke before it learned of that";
                    self.record_failure(*run_id, *job_id, "", error.to_owned());
                }
                _ => {}
            }
        }
    }

    pub(super) fn tell_if_stopped(&mut self) {
        let mut runs = self.running.values().filter_map(|running| running.run.as_ref());
        if self.stopping && !self.claiming && runs.all(|run| run.has_ended()) {
            for stopped in self.stopped.drain(..) {
                // Whoever asked may have given up.
                let _ = stopped.send(());
            }
        }
    }
}

/// The registry finds it at its call, too; a log line beforehand costs nothing.
fn warn_of_name(claimed: &ClaimedRun, definition: &Definition) {
    let what = match &definition.target {
        Target::Service { service, method, .. } => format!("{service}.{method}"),
        Target::Hook(hook) => hook.url.clone(),
    };
    log::debug!(
        "job {} run {} log_id={}: calls {what}",
        claimed.job.id,
        claimed.id,
        claimed.log_id
    );
}

impl From<Definition> for Orders {
    fn from(definition: Definition) -> Self {
        Self {
            target: definition.target,
            timeout: definition.timeout,
            max_retry: definition.max_retry,
            retry: definition.retry,
        }
    }
}
