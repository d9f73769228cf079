//! Fires, and the results of claiming them.

use crate::store::time::StoredTime;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::rows::JobRow;
use crate::domain::OverlapPolicy;

/// Fires that a node wants to claim.
#[derive(Debug)]
pub(crate) struct FireClaim {
    pub(crate) node: String,
    pub(crate) now: DateTime<Utc>,
    /// The overlap policy of jobs that have none.
    pub(crate) overlap: OverlapPolicy,
    pub(crate) fires: Vec<Fire>,
}

#[cfg(feature = "sqlite")]
impl FireClaim {
    pub(super) fn rows(&self) -> usize {
        self.fires.len()
    }
}

/// A fire: a job at one second at which it is due, or now because a caller asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fire {
    pub(crate) job_id: i64,
    pub(crate) kind: FireKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FireKind {
    Scheduled {
        at: DateTime<Utc>,
        /// The expression and the time zone by which it is due. If the job has others by now, the fire is not claimed.
        by: Arc<(String, Option<String>)>,
        /// The fire was missed (late by more than 10 s). If a later fire of the job was claimed already, this one is not claimed.
        missed: bool,
        /// `Some`: the fire is recorded as skipped, for this reason.
        skip: Option<String>,
    },
    Manual,
}

/// A run that this node has claimed.
pub(crate) struct ClaimedRun {
    pub(crate) id: i64,
    pub(crate) log_id: String,
    pub(crate) scheduled_at: Option<DateTime<Utc>>,
    /// Runs of the same job, on any node, that this run replaces: their records ask them to stop, for the reason [`REPLACED`].
    pub(crate) replaced: Vec<i64>,
    /// The job as it is now.
    pub(crate) job: JobRow,
}

/// The result of claiming a fire.
pub(crate) enum Fired {
    Run(Box<ClaimedRun>),
    /// Recorded as skipped, with the reason.
    Skipped(String),
    /// The job is gone, disabled, or has another schedule by now.
    Changed,
    /// Another node has claimed it, or a later fire instead of it.
    Taken,
    /// Another session has locked the job: another node that claims it, or plain SQL. Or its arguments are too long to be claimed together
    /// with the arguments of the jobs before it.
    Locked,
    /// A run of the job is under way, and the job's overlap policy delays fires until its end.
    Waits,
}

impl Fire {
    /// Whether the fire was missed, and the job's misfire policy has it skipped.
    pub(crate) fn is_not_made_up_for(&self) -> bool {
        matches!(self.kind, FireKind::Scheduled { skip: Some(_), .. })
    }

    /// Its second. `None`: a caller asked for it.
    pub(crate) fn at(&self) -> Option<DateTime<Utc>> {
        match &self.kind {
            FireKind::Scheduled { at, .. } => Some(*at),
            FireKind::Manual => None,
        }
    }

    pub(super) fn scheduled_at(&self) -> Option<StoredTime> {
        self.at().map(StoredTime::from)
    }

    pub(super) fn is_missed(&self) -> bool {
        matches!(self.kind, FireKind::Scheduled { missed: true, .. })
    }

    pub(super) fn is_of(&self, job: &JobRow) -> bool {
        match &self.kind {
            FireKind::Scheduled { by, .. } => {
                job.is_enabled() && job.cron_expr.0 == by.0 && job.time_zone() == by.1.as_deref()
            }
            FireKind::Manual => true,
        }
    }
}

/// The reason in the record of a run that a newer run has replaced.
pub(crate) const REPLACED: &str = "cancelled: a newer run has replaced it, as the job's overlap policy says";
