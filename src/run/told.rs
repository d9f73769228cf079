//! What observers hear of the run of a task.

use std::{sync::Arc, time::Duration};

use crate::{
    events::{TaskEnded, TaskOutcome, TaskRunInfo},
    store::{ClaimedTask, Finish, Finished},
};

pub(crate) fn run_info(theme: &Arc<str>, task: &ClaimedTask) -> TaskRunInfo {
    TaskRunInfo {
        theme: Arc::clone(theme),
        task_id: task.id,
        service: task.service.clone(),
        method: task.method.clone(),
        attempt: task.retry_time.unsigned_abs() + 1,
        max_attempts: task.max_retry_time.unsigned_abs().saturating_add(1),
        log_id: Arc::clone(&task.log_id),
        due_at: task.due_at,
    }
}

/// The end of a run, now that the database has given this answer. `waited`: from the time when the task was due until the run began.
pub(crate) fn ended(
    run: Arc<TaskRunInfo>,
    waited: Option<Duration>,
    outcome: TaskOutcome,
    finish: &Finish,
    finished: Finished,
) -> TaskEnded {
    let status = match finished {
        Finished::Written(status) => Some(status),
        Finished::Stale => None,
    };
    let goes_on = status.is_some_and(|status| !status.is_finished());
    TaskEnded {
        run,
        waited,
        ran: finish.duration,
        outcome,
        status,
        next_run_at: finish.next.run_at.filter(|_| goes_on),
        error: finish.next.error.clone(),
    }
}
