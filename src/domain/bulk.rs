//! Actions on many tasks at once.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    ActionOnTask, TaskStatus, TaskSummary,
    fields::object,
    search::TaskFilter,
    text_enum::text_enum,
    validate::{Faults, InvalidInput},
};

/// The longest author and the longest reason of an operation, in characters.
const MAX_AUTHOR_CHARS: usize = 100;
const MAX_REASON_CHARS: usize = 500;

/// The most operations on a page of a list.
const MAX_LISTED: u32 = 200;

text_enum! {
    /// What a bulk operation does with each of its tasks.
    BulkAction, "bulk action" {
        /// Ends tasks that wait, and asks the nodes that run the others to stop: Wait, Retry, Running.
        Cancel = "cancel",
        /// Queues tasks again, with all their attempts: Failed, Cancelled.
        Retry = "retry",
        /// Has tasks that wait for a later time run now: Wait, Retry.
        RunNow = "run_now",
        /// Deletes finished tasks with their records: Success, Failed, Cancelled.
        Delete = "delete",
    }
}

text_enum! {
    /// How far a bulk operation has come.
    BulkState, "state of a bulk operation" {
        /// It is under way, or waits for a node.
        Running = "running",
        /// It has gone through all its tasks.
        Done = "done",
        /// A caller has ended it. What it had changed by then stays changed.
        Cancelled = "cancelled",
        /// The database has refused it, for the reason in [`BulkOperation::error`]. What it had changed by then stays changed.
        Failed = "failed",
    }
}

impl BulkAction {
    /// The statuses from which the action is allowed.
    #[must_use]
    pub const fn allowed_from(self) -> &'static [TaskStatus] {
        let action = match self {
            Self::Cancel => ActionOnTask::Cancel,
            Self::Retry => ActionOnTask::Retry,
            Self::RunNow => ActionOnTask::RunNow,
            Self::Delete => ActionOnTask::Delete,
        };
        action.allowed_from()
    }

    /// Why the action leaves this task as it is, which meets the filter. `None`: the action may change it.
    pub(crate) fn why_skipped(self, filter: &TaskFilter, task: &TaskSummary) -> Option<SkipReason> {
        if !self.allowed_from().contains(&task.status) {
            return Some(SkipReason::Status);
        }
        match task.waits_for {
            _ if self != Self::RunNow => None,
            Some(_) => (!filter.ids.contains(&task.id)).then_some(SkipReason::Waits),
            None => task.run_at.is_none().then_some(SkipReason::Due),
        }
    }
}

text_enum! {
    /// Why a bulk operation has left a task as it was.
    SkipReason, "reason to skip a task" {
        /// The action is not allowed from the task's status, or the status has changed meanwhile.
        Status = "status",
        /// The task is due already: there is nothing to bring forward.
        Due = "due",
        /// The task waits for others, and runs before its time only if the filter names its id.
        Waits = "waits",
        /// Another unfinished task has the unique key of this task by now, so it cannot be queued again.
        UniqueKey = "unique_key",
        /// Another session has locked the row of the task for a second or longer.
        Locked = "locked",
        /// The filter names the id, and no task that meets the filter has it.
        NotFound = "not_found",
    }
}

/// Which tasks to change, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
pub struct BulkTasks {
    /// What to do with each task.
    pub action: BulkAction,
    /// Which tasks. If it names neither ids nor statuses, it means the tasks from whose statuses the action is allowed.
    #[serde(default, deserialize_with = "object")]
    pub filter: TaskFilter,
    /// Must be true if the filter has no condition: then the operation means all tasks of the database.
    #[serde(default)]
    pub all: bool,
    /// Change at most so many tasks, the newest first. `None`: all that meet the filter.
    #[serde(default)]
    #[cfg_attr(feature = "web", schema(minimum = 1, maximum = 9_223_372_036_854_775_807_u64))]
    pub most: Option<u64>,
    /// Who does it, at most 100 characters. The HTTP API names its caller here, and takes no name from the body.
    #[serde(default)]
    #[cfg_attr(feature = "web", schema(ignore))]
    pub author: Option<String>,
    /// Why, at most 500 characters.
    #[serde(default)]
    #[cfg_attr(feature = "web", schema(min_length = 1, max_length = 500))]
    pub reason: Option<String>,
}

impl BulkTasks {
    /// This action on the tasks that meet the filter.
    #[must_use]
    pub fn new(action: BulkAction, filter: TaskFilter) -> Self {
        Self {
            action,
            filter,
            all: false,
            most: None,
            author: None,
            reason: None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), InvalidInput> {
        let mut faults = Faults::default();
        self.filter.check(&mut faults);
        faults.require(self.all || !self.filter.is_empty(), || {
            "the filter has no condition, so it means every task of the database; set `all` if it should".to_owned()
        });
        faults.require(self.most != Some(0), || "most is 0, expected 1 or more".to_owned());
        faults.require(self.most.is_none_or(|most| i64::try_from(most).is_ok()), || {
            format!("most is {:?}, expected at most {}", self.most, i64::MAX)
        });
        let allowed = self.action.allowed_from();
        let statuses = &self.filter.statuses;
        faults.require(
            statuses.is_empty() || statuses.iter().any(|status| allowed.contains(status)),
            || {
                let allowed: Vec<&str> = allowed.iter().map(|status| status.as_str()).collect();
                format!(
                    "the filter has no status from which {} is allowed: {}",
                    self.action,
                    allowed.join(", ")
                )
            },
        );
        if let Some(author) = &self.author {
            faults.name("author", author, MAX_AUTHOR_CHARS);
        }
        if let Some(reason) = &self.reason {
            faults.label("reason", reason, MAX_REASON_CHARS);
        }
        faults.into_result()
    }

    /// The filter by which the operation searches. Tasks whose statuses the action does not allow are not looked at, unless the caller names
    /// tasks by their ids: then the operation counts them as skipped.
    pub(crate) fn effective_filter(&self) -> TaskFilter {
        let mut filter = self.filter.clone();
        let allowed = self.action.allowed_from();
        if filter.ids.is_empty() {
            match filter.statuses.is_empty() {
                true => filter.statuses = allowed.to_vec(),
                false => filter.statuses.retain(|status| allowed.contains(status)),
            }
        }
        filter
    }
}

/// A bulk operation as it stands in the database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct BulkOperation {
    /// Its id.
    pub id: i64,
    /// What it does with each task.
    pub action: BulkAction,
    /// Which tasks.
    pub filter: TaskFilter,
    /// At most so many tasks.
    pub most: Option<u64>,
    /// How far it has come.
    pub state: BulkState,
    /// Who has asked for it.
    pub author: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// How many tasks it has changed. A task that runs and was asked to stop counts as changed.
    pub changed: u64,
    /// How many tasks it has left as they were, by reason. If a node died in the middle, some tasks count as skipped that it had changed.
    pub skipped: BTreeMap<SkipReason, u64>,
    /// Tasks with this id or a greater one are done with.
    pub below: i64,
    /// The node that works on it, or that did last.
    pub node: Option<String>,
    /// Why it has failed.
    pub error: Option<String>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
}

/// What a bulk operation would change.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BulkPreview {
    /// How many tasks it would change, counted up to 10,000.
    pub tasks: u64,
    /// The count has ended early, because it has come to 10,000 or has taken a second: there may be more tasks.
    pub more: bool,
    /// The first ten of them, the newest first.
    pub samples: Vec<TaskSummary>,
}

/// Which bulk operations to list, the newest first: the first 50 unless told otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListBulkOperations {
    /// The most operations of one answer, 1 to 200.
    pub limit: u32,
    /// Only operations whose ids are less than this. `None`: from the newest on.
    pub before: Option<i64>,
}

impl Default for ListBulkOperations {
    fn default() -> Self {
        Self {
            limit: 50,
            before: None,
        }
    }
}

impl ListBulkOperations {
    pub(crate) fn check(&self) -> Result<(), InvalidInput> {
        let mut faults = Faults::default();
        faults.require((1..=MAX_LISTED).contains(&self.limit), || {
            format!("limit is {}, expected 1 to {MAX_LISTED}", self.limit)
        });
        faults.into_result()
    }
}
