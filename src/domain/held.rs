//! Tasks that wait until other tasks have ended.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{AddedTask, NewTask, Task, TaskStatus, TaskSummary, text_enum::text_enum, validate::Faults};

/// The most tasks of a chain: the end of each is a separate step.
pub(crate) const MAX_CHAIN: usize = 1_000;

text_enum! {
    /// What a task does when the tasks for which it waits have ended.
    WaitKind, "kind of wait" {
        /// It runs if they succeed, and is cancelled if one of them does not.
        Chain = "chain",
        /// It runs in any case.
        Batch = "batch",
    }
}

/// How many tasks a task waits for, and how those have ended that have.
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

impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.unfinished, self.task) {
            (0, _) => f.write_str("the tasks for which it waited have ended"),
            (_, Some(id)) => write!(f, "waits for task {id}"),
            (unfinished, None) => write!(f, "waits for {unfinished} of {} tasks", self.total),
        }
    }
}

/// A task for which another one has waited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Predecessor {
    /// Its id.
    pub id: i64,
    /// How it ended. If it was queued again by hand after that, this does not change.
    pub status: TaskStatus,
    /// JSON text of its result. `None` if it has none, or if the task does not exist any more.
    pub result: Option<String>,
    /// Its error.
    pub error: Option<String>,
}

/// The answer when a batch is added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct AddedBatch {
    /// The id of the callback's task, which waits until all tasks of the batch have ended. It names the batch.
    pub id: i64,
    /// The tasks of the batch, in the order in which they were handed in.
    pub tasks: Vec<AddedTask>,
}

/// Fields of a task in a list, which are read in two steps: first the time for which the task is scheduled.
pub(crate) struct HeldFields<'a> {
    pub(crate) id: i64,
    pub(crate) run_at: &'a mut Option<DateTime<Utc>>,
    pub(crate) waits_for: &'a mut Option<WaitsFor>,
}

impl Task {
    pub(crate) fn held_fields(&mut self) -> HeldFields<'_> {
        HeldFields {
            id: self.id,
            run_at: &mut self.run_at,
            waits_for: &mut self.waits_for,
        }
    }
}

impl TaskSummary {
    pub(crate) fn held_fields(&mut self) -> HeldFields<'_> {
        HeldFields {
            id: self.id,
            run_at: &mut self.run_at,
            waits_for: &mut self.waits_for,
        }
    }
}

impl NewTask {
    /// Notes what a task may not have that waits for others.
    pub(crate) fn check_held(&self, faults: &mut Faults, what: &str, may_have_key: bool) {
        faults.require(self.run_at.is_none(), || {
            format!("{what}: a task that waits for others is due when they have ended; leave run_at out")
        });
        faults.require(may_have_key || self.unique_key.is_none(), || {
            format!("{what}: a task that waits for others in the same call has no unique key; give one to the tasks before it, or leave it out")
        });
    }
}
