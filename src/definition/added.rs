//! A task that was added by a definition.

use std::{any::type_name, fmt, marker::PhantomData, time::Duration};

use serde::de::DeserializeOwned;

use crate::{
    asynctask::Scheduler,
    domain::{AddedTask, Json, Task, TaskStatus},
    error::Error,
};

/// A task that a [`TaskDef`](crate::TaskDef) has added, whose result is an `R`.
pub struct Added<R> {
    /// The task's id.
    pub id: i64,
    /// True if an unfinished task already had the same `unique_key`: then `id` is the id of that task, and nothing was added.
    pub duplicate: bool,
    scheduler: Scheduler,
    result: PhantomData<fn() -> R>,
}

impl<R> Clone for Added<R> {
    fn clone(&self) -> Self {
        Self {
            scheduler: self.scheduler.clone(),
            ..*self
        }
    }
}

impl<R> fmt::Debug for Added<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Added")
            .field("id", &self.id)
            .field("duplicate", &self.duplicate)
            .field("theme", &self.scheduler.theme())
            .finish_non_exhaustive()
    }
}

impl<R> Added<R> {
    pub(super) fn new(task: AddedTask, scheduler: Scheduler) -> Self {
        let AddedTask { id, duplicate } = task;
        Self {
            id,
            duplicate,
            scheduler,
            result: PhantomData,
        }
    }

    /// The handle on the task's theme: to cancel the task, or to read it.
    #[must_use]
    pub fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }

    /// Has the task claimed at once: after the commit of the transaction in which [`TypedTask::add_on`](crate::TypedTask::add_on) has added it. Without
    /// this the workers of other processes, on SQLite and MySQL also the workers of this one, find it with their next scan, within 5 seconds by default; on
    /// PostgreSQL the commit itself tells them.
    pub fn wake(&self) {
        self.scheduler.task_quick_queue(self.id);
    }

    /// Waits until the task is finished, and answers with its result. A timeout ends the wait alone; the task goes on.
    ///
    /// # Errors
    /// [`Error::TaskUnsuccessful`] if the task has failed or was cancelled, [`Error::WaitTimedOut`] if it is not finished after `timeout`,
    /// [`Error::ResultMismatch`] if its result is no `R` (among others, if it has more than 1 MiB), [`Error::TaskNotFound`] if it was
    /// deleted, [`Error::Store`].
    pub async fn wait(&self, timeout: Duration) -> Result<R, Error>
    where
        R: DeserializeOwned,
    {
        result_of(self.scheduler.wait_for(self.id, timeout).await?)
    }
}

/// The result of a finished task.
pub(super) fn result_of<R: DeserializeOwned>(task: Task) -> Result<R, Error> {
    let Task {
        id,
        status,
        last_error,
        last_result,
        ..
    } = task;
    if status != TaskStatus::Success {
        return Err(Error::TaskUnsuccessful { id, status, last_error });
    }
    let result = Json::from_column(last_result);
    serde_json::from_str(result.as_str()).map_err(|error| Error::ResultMismatch {
        id,
        expected: type_name::<R>(),
        fault: error.to_string(),
    })
}
