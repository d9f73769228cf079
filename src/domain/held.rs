//! Tasks that wait until other tasks have ended.

use serde::{Deserialize, Serialize};

use super::{AddedTask, TaskStatus};

/// The most tasks of a chain: the end of each is a separate step.
pub(crate) const MAX_CHAIN: usize = 1_000;

/// The most existing tasks behind which one is added.
pub(crate) const MAX_AFTER: usize = 1_000;

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
#[cfg_attr(feature = "web", derive(utoipa::ToSchema), schema(as = AddedWithCallback))]
#[non_exhaustive]
pub struct AddedBatch {
    /// The id of the callback's task, which waits until all tasks of the batch have ended. It names the batch.
    pub id: i64,
    /// The tasks of the batch, in the order in which they were handed in.
    pub tasks: Vec<AddedTask>,
}
