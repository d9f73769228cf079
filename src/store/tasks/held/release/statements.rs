//! The statements of a release, as texts: each finds its rows by one list of keys. A database that may choose between two lists of keys
//! probes their product.

use crate::domain::TaskStatus;
use crate::store::time::StoredTime;

/// Tasks that may have ended, and held tasks that wait for them.
pub(in crate::store) struct Ended {
    ids: Vec<i64>,
    /// In ascending order.
    held: Vec<i64>,
    pub(super) now: StoredTime,
    words: Words,
}

/// Where databases differ.
pub(in crate::store::tasks::held) struct Words {
    pub(in crate::store::tasks::held) is_server: bool,
    pub(in crate::store::tasks::held) by_key: &'static str,
    pub(in crate::store::tasks::held) open_links: &'static str,
}

/// `1,2,3`.
pub(in crate::store::tasks::held) fn list(ids: &[i64]) -> String {
    ids.iter().map(i64::to_string).collect::<Vec<_>>().join(",")
}

impl Ended {
    /// The held tasks are in ascending order.
    pub(in crate::store::tasks::held) fn new(ids: &[i64], held: &[i64], now: StoredTime, words: Words) -> Self {
        Self {
            ids: ids.to_vec(),
            held: held.to_vec(),
            now,
            words,
        }
    }

    #[cfg(feature = "sqlite")]
    pub(in crate::store) fn rows(&self) -> usize {
        self.ids.len() + 2 * self.held.len()
    }

    /// Whether the release is about this held task.
    pub(super) fn holds(&self, task: i64) -> bool {
        self.held.binary_search(&task).is_ok()
    }

    /// Reads the rows of the held tasks, and waits until no other transaction counts ends for them.
    pub(super) fn lock_held(&self) -> String {
        let lock = if self.words.is_server { " FOR UPDATE" } else { "" };
        format!(
            "SELECT task_id, kind, unfinished, succeeded, failed, cancelled FROM gaia_held WHERE task_id IN ({}) ORDER BY task_id{lock}",
            list(&self.held)
        )
    }

    /// Reads the open links, and links of other held tasks in between.
    pub(super) fn open_links(&self) -> String {
        let (links, condition) = (self.words.open_links, self.open(&self.ids));
        format!("SELECT held_id, open_task, task_status FROM {links} WHERE {condition}")
    }

    /// Closes the open links of these held tasks to these tasks, which have ended in the same way.
    pub(super) fn close_links(&self, end: TaskStatus, tasks: &[i64], held: &[i64]) -> String {
        let (links, condition, held) = (self.words.open_links, self.open(tasks), list(held));
        // The sum keeps the second list from serving as keys.
        format!(
            "UPDATE {links} SET task_status = '{end}', open_task = NULL WHERE {condition} AND held_id + 0 IN ({held})"
        )
    }

    fn open(&self, tasks: &[i64]) -> String {
        let first = self.held.first().copied().unwrap_or_default();
        let last = self.held.last().copied().unwrap_or_default();
        format!("open_task IN ({}) AND held_id BETWEEN {first} AND {last}", list(tasks))
    }

    /// Reads these tasks, and keeps them from being changed. Tasks that other sessions have locked are passed over.
    pub(super) fn lock_tasks(&self, ids: &[i64]) -> String {
        let lock = match self.words.is_server {
            true => " FOR UPDATE SKIP LOCKED",
            false => "",
        };
        let (by_key, ids) = (self.words.by_key, list(ids));
        format!("SELECT id, system_name, task_status, run_at FROM asynctasks{by_key} WHERE id IN ({ids}){lock}")
    }
}
