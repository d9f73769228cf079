//! Tells waiting callers of this process that a task is finished.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify;

/// Which callers wait for which task. To wake a caller is only a hint: the caller then reads the row.
#[derive(Debug, Clone, Default)]
pub(super) struct Completions(Arc<Mutex<HashMap<i64, Waiting>>>);

#[derive(Debug, Default)]
struct Waiting {
    notify: Arc<Notify>,
    waiters: usize,
}

/// A caller's wait for one task. It ends when this is dropped.
pub(super) struct Watch {
    completions: Completions,
    task_id: i64,
    notify: Arc<Notify>,
}

impl Completions {
    /// Begins to wait. Do it before reading the row, so that no end is missed in between.
    pub(super) fn watch(&self, task_id: i64) -> Watch {
        let mut tasks = self.tasks();
        let waiting = tasks.entry(task_id).or_default();
        waiting.waiters += 1;
        Watch {
            completions: self.clone(),
            task_id,
            notify: Arc::clone(&waiting.notify),
        }
    }

    /// Wakes the callers that wait for one of these tasks.
    pub(super) fn tell(&self, ended: impl Iterator<Item = i64>) {
        let tasks = self.tasks();
        if tasks.is_empty() {
            return;
        }
        for task_id in ended {
            if let Some(waiting) = tasks.get(&task_id) {
                waiting.notify.notify_waiters();
            }
        }
    }

    fn tasks(&self) -> std::sync::MutexGuard<'_, HashMap<i64, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// Completes when the task is finished. A wake-up after this call counts, even if the future was not polled yet.
    pub(super) fn ended(&self) -> tokio::sync::futures::Notified<'_> {
        self.notify.notified()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut tasks = self.completions.tasks();
        if let Some(waiting) = tasks.get_mut(&self.task_id) {
            waiting.waiters -= 1;
            if waiting.waiters == 0 {
                tasks.remove(&self.task_id);
            }
        }
    }
}
