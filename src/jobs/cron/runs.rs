//! The runs of jobs in this process.

use std::{collections::HashSet, sync::Arc, time::Duration};

use actix::Context;
use chrono::{DateTime, TimeDelta, Utc};

use super::CronActor;
use crate::{
    domain::{Definition, OverlapPolicy, RunFlag, Target},
    events::{Event, JobFired, JobRunInfo, JobSkipped, SkipPolicy},
    jobs::{
        exec::JobExecActor,
        run::{JobRun, RunSpec, Stop, Verdict},
    },
    lease::Term,
    run::Overdue,
    store::{ClaimedRun, Fire, Fired, OpenRun, REPLACED},
    threads::Thread,
};

/// A run that is out of time, or was asked to stop and its grace is over, gets this much more time to end by itself.
const STOP_MARGIN: Duration = Duration::from_millis(300);

/// If an open run names this node, this process does not know it, and it was claimed so long ago, the answer to its claim was lost.
const LOST_CLAIM_AFTER: TimeDelta = TimeDelta::seconds(60);

/// A run whose end is not written yet.
pub(super) enum Running {
    /// The run is given to an actor on this thread, which is kept alive as long.
    On(Arc<JobRun>, Arc<Thread>),
    /// The run never begins. `holds_up`: the job's runs may not overlap. Then no fire of the job is claimed until the end of this run is
    /// written: while this run is open, the claim would skip the fire.
    Refused { job_id: i64, holds_up: bool },
}

impl Running {
    pub(super) fn job_id(&self) -> i64 {
        match self {
            Self::On(run, _) => run.job_id,
            Self::Refused { job_id, .. } => *job_id,
        }
    }
}

/// A run that never begins.
pub(super) struct Unbegun {
    pub(super) info: Arc<JobRunInfo>,
    pub(super) overlap: OverlapPolicy,
}

impl From<&JobRun> for Unbegun {
    fn from(run: &JobRun) -> Self {
        Self {
            info: Arc::clone(&run.info),
            overlap: run.overlap,
        }
    }
}

impl CronActor {
    pub(super) fn fired(&mut self, fire: Fire, fired: Fired, term: Term) {
        match fired {
            Fired::Locked => self.keep_locked(fire),
            Fired::Run(claimed) => {
                self.said.over(&fire.job_id);
                self.timetable.begun(fire.job_id, self.now());
                self.start(&claimed, term, None);
            }
            Fired::Skipped(reason) => {
                self.counts.skipped += 1;
                self.timetable.begun(fire.job_id, self.now());
                self.tell_skipped(&fire, reason);
            }
            Fired::Taken => {
                self.counts.taken += 1;
                // If it has waited here, the fires after it may be another node's by now, too.
                self.timetable.begun(fire.job_id, self.now());
                self.timetable.resume(fire.job_id, self.now());
            }
            Fired::Waits => self.timetable.hold(&fire),
            // The job was changed since: the next look reads all schedules again.
            Fired::Changed => self.seen = None,
        }
    }

    /// Keeps a fire that cannot be claimed at this moment. If it has waited for a run, later fires of its job do not go before it.
    pub(super) fn keep_locked(&mut self, fire: Fire) {
        match self.timetable.has_waited(fire.job_id) {
            true => self.timetable.hold(&fire),
            false => self.locked.push(fire),
        }
    }

    pub(super) fn start(&mut self, claimed: &ClaimedRun, term: Term, traceparent: Option<Arc<str>>) {
        // The run is known: its claim was made twice, because the answer to the first one was lost, or because an earlier fire of its job was
        // put back.
        let is_known = self.running.contains_key(&claimed.id) || self.released.contains(claimed.id);
        if is_known || self.refused.contains(&claimed.id) || self.claiming.is_outdated(claimed.id) {
            return;
        }
        self.counts.fired += 1;
        self.replace(&claimed.replaced);
        let runnable = self.runnable(claimed);
        let info = info(claimed, runnable.as_ref().ok());
        self.tell_fired(&info);
        match runnable {
            Ok(definition) => {
                let run = JobRun::new(
                    claimed,
                    info,
                    definition.into(),
                    term,
                    traceparent,
                    Arc::clone(&self.context),
                );
                // The lease expired before the claim was answered.
                if !self.cut_off && !run.is_ours() {
                    self.released.insert(run);
                    return;
                }
                // The grace of the stop was over before the claim was answered.
                if self.cut_off {
                    run.stop(Stop::Node);
                }
                self.spawn(run);
            }
            Err(error) => {
                let overlap = claimed.job.overlap(self.settings.rules.overlap);
                self.refuse(Unbegun { info, overlap }, RunFlag::Failed, error);
            }
        }
    }

    fn tell_fired(&self, run: &Arc<JobRunInfo>) {
        let late = |at: DateTime<Utc>| (self.now() - at).to_std().unwrap_or_default();
        self.context.events.tell(&Event::JobFired(JobFired {
            late: run.scheduled_at.map(late),
            run: Arc::clone(run),
        }));
    }

    fn tell_skipped(&self, fire: &Fire, reason: String) {
        self.context.events.tell(&Event::JobSkipped(JobSkipped {
            job_id: fire.job_id,
            scheduled_at: fire.at(),
            policy: match fire.is_not_made_up_for() {
                true => SkipPolicy::Misfire,
                false => SkipPolicy::Overlap,
            },
            reason,
        }));
    }

    pub(super) fn spawn(&mut self, run: Arc<JobRun>) {
        let thread = self.threads.pick();
        JobExecActor::spawn(Arc::clone(&run), &thread);
        self.running.insert(run.id, Running::On(run, thread));
    }

    /// The jobs whose fires wait until the end of a run that never begins is written.
    pub(super) fn held_up(&self) -> HashSet<i64> {
        let job = |running: &Running| match running {
            Running::Refused { job_id, holds_up } => holds_up.then_some(*job_id),
            Running::On(..) => None,
        };
        self.running.values().filter_map(job).collect()
    }

    /// What to run, or why not: plain SQL has spoilt the row, or an earlier run of the job still blocks its thread (further runs would block
    /// one thread after the other).
    fn runnable(&self, claimed: &ClaimedRun) -> Result<Definition, String> {
        if let Some(blocking) = self.blocking.get(&claimed.job.id) {
            return Err(format!(
                "not run: the handler of run {}, which is out of time, still blocks its thread; \
                 handlers that block belong into `blocking_fn`",
                blocking.id
            ));
        }
        let definition = claimed.job.define(&self.settings.rules);
        definition.map_err(|fault| format!("the job cannot run: {fault}"))
    }

    /// Stops the runs that a new run replaces. Other nodes find the request in the records of their runs.
    fn replace(&self, replaced: &[i64]) {
        for id in replaced {
            match self.running.get(id) {
                Some(Running::On(run, _)) => run.stop(Stop::Cancelled(REPLACED.to_owned())),
                _ => self.store.cluster().announce_requests(),
            }
        }
    }

    /// Ends runs that are overdue because their threads are blocked, and gives runs that make no attempt now to other threads if theirs are
    /// blocked.
    pub(super) fn look_after_runs(&mut self, ctx: &mut Context<Self>) {
        self.release(JobRun::returned_unbegun);
        for running in self.running.values_mut() {
            let Running::On(run, thread) = running else { continue };
            let moves = match run.overdue(STOP_MARGIN) {
                // Its thread is blocked: the next attempt is made on another thread.
                Some(Overdue::Time) if run.retries_so_far().is_some() => run.give_up_attempt(STOP_MARGIN),
                Some(why) => {
                    self.blocking.insert(run.job_id, Arc::clone(run));
                    run.end(match why {
                        Overdue::Stop(why) => Verdict::Stopped(why),
                        Overdue::Time => Verdict::TimedOut,
                    });
                    false
                }
                None => thread.is_stalled() && run.withdraw(),
            };
            if moves {
                *thread = self.threads.pick();
                JobExecActor::spawn(Arc::clone(run), thread);
            }
        }
        self.blocking.retain(|_, run| run.is_any_actor_inside());
        if self.gate.is_closed_for_good() {
            self.cut_off_released();
        } else if self.released.is_news() && !self.is_fenced() {
            self.poll(ctx);
        }
        self.tell_if_stopped();
    }

    pub(super) fn stop_all(&self, why: &Stop) {
        for run in self.runs() {
            run.stop(why.clone());
        }
    }

    /// Follows the requests to stop runs of this node, and ends open runs that name this node and that this process does not know
    /// (model: fires::ComparedRuns).
    pub(super) fn apply_requests(&mut self, open: &[OpenRun]) {
        let now = self.now();
        for open in open {
            let is_refused = self.refused.contains(&open.run_id);
            if is_refused || self.released.contains(open.run_id) || self.looks_at_runs.is_outdated(open.run_id) {
                continue;
            }
            match (self.running.get(&open.run_id), &open.cancel_reason) {
                (Some(Running::On(run, _)), Some(reason)) => run.stop(Stop::Cancelled(reason.clone())),
                (None, _)
                    if !self.claiming.is_under_way()
                        && open.claimed_at.is_some_and(|at| now - at > LOST_CLAIM_AFTER) =>
                {
                    let error = "lost: it was claimed for this node, which did not learn of that in time";
                    let info = Arc::new(JobRunInfo {
                        job_id: open.job_id,
                        job_name: None,
                        run_id: open.run_id,
                        service: None,
                        method: None,
                        log_id: "".into(),
                        scheduled_at: None,
                    });
                    let overlap = OverlapPolicy::Forbid;
                    self.refuse(Unbegun { info, overlap }, RunFlag::Failed, error.to_owned());
                }
                _ => {}
            }
        }
    }

    pub(super) fn tell_if_stopped(&mut self) {
        if self.gate.stopping
            && !self.claiming.is_under_way()
            && self.starting == 0
            && self.released.is_empty()
            && self.runs().all(|run| run.has_ended())
        {
            for waiter in self.stop_waiters.drain(..) {
                // The caller may have given up.
                let _ = waiter.send(());
            }
        }
    }

    pub(super) fn runs(&self) -> impl Iterator<Item = &Arc<JobRun>> {
        self.running.values().filter_map(|running| match running {
            Running::On(run, _) => Some(run),
            Running::Refused { .. } => None,
        })
    }
}

fn info(claimed: &ClaimedRun, definition: Option<&Definition>) -> Arc<JobRunInfo> {
    let (service, method) = match definition.map(|definition| &definition.target) {
        Some(Target::Service { service, method, .. }) => (Some(service.clone()), Some(method.clone())),
        Some(Target::Hook(_)) | None => (None, None),
    };
    Arc::new(JobRunInfo {
        job_id: claimed.job.id,
        job_name: Some(claimed.job.job_name.0.as_str().into()),
        run_id: claimed.id,
        service,
        method,
        log_id: claimed.log_id.as_str().into(),
        scheduled_at: claimed.scheduled_at,
    })
}

impl From<Definition> for RunSpec {
    fn from(definition: Definition) -> Self {
        Self {
            target: definition.target,
            timeout: definition.timeout,
            max_retry: definition.max_retry,
            retry: definition.retry,
        }
    }
}
