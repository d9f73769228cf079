//! For which tasks a task waits.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::text_enum::text_enum;

text_enum! {
    /// What a task does when the tasks for which it waits have ended.
    WaitKind, "kind of wait" {
        /// It runs if they succeed, and is cancelled if one of them does not.
        Chain = "chain",
        /// It runs in any case.
        Batch = "batch",
        /// It waits for no certain tasks, but until fewer tasks with its [limit key](crate::NewTask::limit_key) run, or more may start.
        Limit = "limit",
    }
}

/// How many tasks a task waits for, and how those have ended that have. All numbers are 0 if it waits for its limit key.
///
/// A task that does not exist any more when its end is to be counted counts as cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct WaitsFor {
    /// What the task does when they have ended.
    pub kind: WaitKind,
    /// How many tasks.
    pub total: u64,
    /// How many of them have not ended, or have ended so lately that this is not counted yet.
    pub unfinished: u64,
    /// How many have succeeded.
    pub succeeded: u64,
    /// How many have failed.
    pub failed: u64,
    /// How many were cancelled.
    pub cancelled: u64,
    /// That task, if it waits for one alone.
    pub task: Option<i64>,
}

impl WaitsFor {
    /// Until fewer tasks with its key run.
    pub(crate) const fn limit() -> Self {
        Self {
            kind: WaitKind::Limit,
            total: 0,
            unfinished: 0,
            succeeded: 0,
            failed: 0,
            cancelled: 0,
            task: None,
        }
    }
}

impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.unfinished, self.task) {
            _ if self.kind == WaitKind::Limit => {
                f.write_str("waits until fewer tasks with its limit key run, or more of them may start")
            }
            (0, _) => f.write_str("the tasks for which it waited have ended"),
            (_, Some(id)) => write!(f, "waits for task {id}"),
            (unfinished, None) => write!(f, "waits for {unfinished} of {} tasks", self.total),
        }
    }
}

/// Fields of a task in a list, which are read in two steps: first the time for which the task is scheduled.
pub(crate) struct HeldFields<'a> {
    pub(crate) id: i64,
    pub(crate) run_at: &'a mut Option<DateTime<Utc>>,
    pub(crate) waits_for: &'a mut Option<WaitsFor>,
}
