//! Released runs: they were claimed and could not begin, because the lease of this node was over.
//!
//! A database that hangs holds up the heartbeat, too. A run that was claimed right before that, or while it hangs, must not begin: other
//! nodes may have ended it. But when the node beats again, the record of the run may still be open and name this node: then the run is
//! only late, and is judged like any late fire by the job's misfire policy.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Utc};

use super::{
    CronActor,
    runs::{Running, Unbegun},
    timetable::{LateFire, REPLACED_BY_LATER_FIRE},
};
use crate::{
    domain::{OverlapPolicy, RunFlag, is_missed},
    jobs::run::{Ended, JobRun, Stop},
    lease::Term,
    run::Record,
    store::{JobRunKey, OpenRun, RunEnd},
};

/// Released runs, by their ids.
#[derive(Default)]
pub(super) struct Released {
    runs: HashMap<i64, Arc<JobRun>>,
    /// A run was released since the last look at the records of released runs began.
    is_news: bool,
}

impl Released {
    pub(super) fn insert(&mut self, run: Arc<JobRun>) {
        self.runs.insert(run.id, run);
        self.is_news = true;
    }

    pub(super) fn contains(&self, id: i64) -> bool {
        self.runs.contains_key(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub(super) fn is_news(&self) -> bool {
        self.is_news
    }

    /// The ids of all released runs. The caller looks at their records now.
    pub(super) fn ask(&mut self) -> Vec<i64> {
        self.is_news = false;
        self.runs.keys().copied().collect()
    }

    fn take(&mut self, ids: &[i64]) -> Vec<Arc<JobRun>> {
        ids.iter().filter_map(|id| self.runs.remove(id)).collect()
    }
}

impl CronActor {
    /// Releases the runs for which `cannot_begin` is true and that have not begun.
    pub(super) fn release(&mut self, cannot_begin: impl Fn(&JobRun) -> bool) {
        let released: Vec<_> = self
            .runs()
            .filter(|run| cannot_begin(run) && run.release())
            .map(Arc::clone)
            .collect();
        for run in released {
            self.running.remove(&run.id);
            self.released.insert(run);
        }
    }

    /// Judges the released runs `asked`. The node has read its open runs, `open`, in this term.
    pub(super) fn settle_released(&mut self, asked: &[i64], open: &[OpenRun], term: Term) {
        let mut runs = self.released.take(asked);
        let open: HashMap<i64, &OpenRun> = open.iter().map(|open| (open.run_id, open)).collect();
        // Other nodes have ended the runs that are not open any more, as lost.
        runs.retain(|run| open.contains_key(&run.id));
        for run in &runs {
            self.settle(run, &runs, open[&run.id], term);
        }
    }

    fn settle(&mut self, run: &Arc<JobRun>, released: &[Arc<JobRun>], open: &OpenRun, term: Term) {
        let now = self.now();
        if run.term() < self.oldest_safe_term {
            let error = "lost: its node was taken for dead before the run had begun".to_owned();
            self.refuse((&**run).into(), RunFlag::Failed, error);
        } else if let Some(reason) = self.why_skipped(run, released, now) {
            self.refuse((&**run).into(), RunFlag::Skipped, reason);
        } else {
            self.begin_late(run, open, term, now);
        }
    }

    fn why_skipped(&self, run: &JobRun, released: &[Arc<JobRun>], now: DateTime<Utc>) -> Option<String> {
        // A run without a scheduled time was started by a caller, and is never too late.
        let fire = late_fire(run)?;
        let replaces_it =
            |other: LateFire| other.job_id == fire.job_id && other.at > fire.at && is_missed(other.at, now);
        let mut others = released.iter().filter_map(|run| late_fire(run));
        let is_replaced = is_missed(fire.at, now) && others.any(replaces_it);
        let why = self.timetable.why_skipped(&fire, now);
        why.or_else(|| is_replaced.then(|| REPLACED_BY_LATER_FIRE.to_owned()))
    }

    fn begin_late(&mut self, run: &JobRun, open: &OpenRun, term: Term, now: DateTime<Utc>) {
        let is_missed = run.scheduled_at.is_some_and(|at| is_missed(at, now));
        if is_missed && run.overlap == OverlapPolicy::Forbid {
            self.timetable.skip_missed(run.job_id, now);
        }
        let run = run.claimed_anew(term);
        if let Some(reason) = &open.cancel_reason {
            run.stop(Stop::Cancelled(reason.clone()));
        }
        self.spawn(run);
    }

    /// The process stops, and does not wait for its lease: ends the released runs.
    pub(super) fn cut_off_released(&mut self) {
        let ids = self.released.ask();
        for run in self.released.take(&ids) {
            let error = "cut off: its node stopped before the run had begun".to_owned();
            self.refuse((&*run).into(), RunFlag::Failed, error);
        }
    }

    /// Ends a run that never begins, and has the recorder write that.
    pub(super) fn refuse(&mut self, run: Unbegun, flag: RunFlag, error: String) {
        let Unbegun { info: run, overlap } = run;
        let (id, job_id) = (run.run_id, run.job_id);
        let holds_up = overlap != OverlapPolicy::Allow;
        self.running.insert(id, Running::Refused { job_id, holds_up });
        let end = RunEnd {
            run: JobRunKey {
                id,
                node: Arc::clone(&self.context.node),
            },
            job_id,
            flag,
            result: None,
            error: Some(error),
            attempt: 0,
            started_at: None,
            ended_at: self.now(),
        };
        let failure = None;
        self.context.recorder.do_send(Record(Ended { run, end, failure }));
    }
}

fn late_fire(run: &JobRun) -> Option<LateFire> {
    let at = run.scheduled_at?;
    Some(LateFire {
        job_id: run.job_id,
        at,
        overlap: run.overlap,
    })
}
