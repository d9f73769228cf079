//! The same changes of one task of any theme: the statements of the bulk operations with one id. If a statement changes nothing, the task is
//! read afterwards to explain why.

use crate::{
    domain::{ActionOnTask, Task, TaskStatus},
    store::{StoreError, TaskStore},
};

/// How often a statement is tried while the task changes between the statement and the look.
const TRIES: u32 = 10;

/// What a change of one task did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangeResult {
    /// The task is as the caller wants it.
    Done,
    NotAllowed(TaskStatus),
    NotFound,
}

impl TaskStore<'_> {
    /// Has a task run now that waits for a later time. A task that is due already is left as it is.
    pub(crate) async fn run_now(&self, id: i64) -> Result<ChangeResult, StoreError> {
        for _ in 0..TRIES {
            if self.run_now_many(&[id]).await? > 0 {
                return Ok(ChangeResult::Done);
            }
            match self.find(id).await? {
                Some(task) if is_allowed(ActionOnTask::RunNow, &task) && task.run_at.is_some() => {}
                found => return Ok(explained(ActionOnTask::RunNow, found)),
            }
        }
        Err(too_fast(ActionOnTask::RunNow, id))
    }

    /// Deletes a finished task with its records.
    pub(crate) async fn delete(&self, id: i64) -> Result<ChangeResult, StoreError> {
        for _ in 0..TRIES {
            if self.delete_finished(vec![id]).await? > 0 {
                return Ok(ChangeResult::Done);
            }
            match self.find(id).await? {
                Some(task) if is_allowed(ActionOnTask::Delete, &task) => {}
                found => return Ok(explained(ActionOnTask::Delete, found)),
            }
        }
        Err(too_fast(ActionOnTask::Delete, id))
    }
}

fn is_allowed(action: ActionOnTask, task: &Task) -> bool {
    action.allowed_from().contains(&task.status)
}

fn explained(action: ActionOnTask, found: Option<Task>) -> ChangeResult {
    match found {
        None => ChangeResult::NotFound,
        Some(task) if is_allowed(action, &task) => ChangeResult::Done,
        Some(task) => ChangeResult::NotAllowed(task.status),
    }
}

fn too_fast(action: ActionOnTask, id: i64) -> StoreError {
    StoreError::Database(format!(
        "cannot {action} task {id}: its status changes faster than that, or is none that this crate knows; look at it, and try again"
    ))
}
