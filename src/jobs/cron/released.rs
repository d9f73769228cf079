//! Runs that were claimed and could not begin, because the lease of this node was over.
//!
//! A database that hangs holds up the heartbeat, too. What was claimed right before that, or meanwhile, must not begin: other
//! nodes may have ended it. But its record may still be open and this node's when the node beats again: then the run is late, no
//! more, and is judged as any late fire by the job's misfire policy.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Utc};

use super::{CronActor, runs::Running};
use crate::{
    domain::RunFlag,
    jobs::{exec::JobExecActor, run::JobRun, run::Stop},
    lease::Term,
    store::{OpenRun, RunEnd},
};

/// Such runs by their ids.
pub(super) type Released = HashMap<i64, Arc<JobRun>>;

impl CronActor {
    /// Takes runs that have not begun and cannot begin any more from their actors.
    pub(super) fn release(&mut self, cannot_begin: impl Fn(&JobRun) -> bool) {
        let released: Vec<_> = self
            .runs()
            .filter(|run| cannot_begin(run) && run.release())
            .map(Arc::clone)
            .collect();
        for run in released {
            self.running.remove(&run.id);
            self.released.insert(run.id, run);
        }
    }

    /// What released runs come to, now that the node has read its open runs in this term. `asked` were released before.
    pub(super) fn settle_released(&mut self, asked: &[i64], open: &[OpenRun], term: Term) {
        for id in asked {
            let Some(run) = self.released.remove(id) else { continue };
            // Others have ended the other ones, as lost.
            if let Some(open) = open.iter().find(|open| open.run_id == *id) {
                self.settle(&run, open, term);
            }
        }
    }

    fn settle(&mut self, run: &Arc<JobRun>, open: &OpenRun, term: Term) {
        let (job_id, now) = (run.job_id, self.now());
        let skip = |at: DateTime<Utc>| self.timetable.why_skipped(job_id, at, now);
        if let Some(reason) = run.scheduled_at.and_then(skip) {
            self.record(run.id, job_id, &run.log_id, RunFlag::Skipped, reason);
            self.running.insert(run.id, Running::Refused);
            return;
        }
        let run = run.again(term);
        if let Some(reason) = &open.cancel_reason {
            run.stop(Stop::Cancelled(reason.clone()));
        }
        let thread = self.threads.pick();
        JobExecActor::spawn(Arc::clone(&run), &thread);
        self.running.insert(run.id, Running::On(run, thread));
    }

    /// The process stops: no lease will be waited for.
    pub(super) fn cut_off_released(&mut self) {
        for run in std::mem::take(&mut self.released).into_values() {
            let error = "cut off: its node stopped before the run had begun".to_owned();
            self.record(run.id, run.job_id, &run.log_id, RunFlag::Failed, error);
            self.running.insert(run.id, Running::Refused);
        }
    }

    /// Has the end of a run that never began written.
    pub(super) fn record(&self, run_id: i64, job_id: i64, log_id: &str, flag: RunFlag, error: String) {
        let end = RunEnd {
            run_id,
            job_id,
            node: self.shared.node.to_string(),
            log_id: log_id.to_owned(),
            flag,
            result: None,
            error: Some(error),
            attempt: 0,
            started_at: None,
            ended_at: self.now(),
        };
        let timed_out = false;
        self.shared
            .recorder
            .do_send(crate::jobs::recorder::Ended { end, timed_out });
    }
}
