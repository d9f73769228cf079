//! Telling waiting callers of this process that a task has come to an end.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify;

/// Which callers wait for which task. A hint only: a caller that is woken reads the row.
#[derive(Debug, Clone, Default)]
pub(super) struct Completions(Arc<Mutex<HashMap<i64, Waiting>>>);

#[derive(Debug, Default)]
struct Waiting {
    told: Arc<Notify>,
    waiters: usize,
}

/// Waits for one task until it is dropped.
pub(super) struct Watch {
    completions: Completions,
    task_id: i64,
    told: Arc<Notify>,
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
            told: Arc::clone(&waiting.told),
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
                waiting.told.notify_waiters();
            }
        }
    }

    fn tasks(&self) -> std::sync::MutexGuard<'_, HashMap<i64, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// A future that is armed as soon as it is made.
    pub(super) fn told(&self) -> tokio::sync::futures::Notified<'_> {
        self.told.notified()
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
