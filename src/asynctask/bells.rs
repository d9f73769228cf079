//! The bells of remote workers that wait in this process for tasks.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::Notify;

/// A bell for each theme for whose tasks a worker waits. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Bells(Arc<Mutex<HashMap<String, Weak<Notify>>>>);

impl Bells {
    /// The bell of a theme. It is there while a waiting worker has it.
    #[cfg(feature = "web")]
    pub(super) fn of(&self, theme: &str) -> Arc<Notify> {
        let mut bells = self.bells();
        bells.retain(|_, bell| bell.strong_count() > 0);
        if let Some(bell) = bells.get(theme).and_then(Weak::upgrade) {
            return bell;
        }
        let bell = Arc::new(Notify::new());
        bells.insert(theme.to_owned(), Arc::downgrade(&bell));
        bell
    }

    pub(super) fn ring(&self, theme: &str) {
        // The lock is released before the waiters are woken.
        let bell = self.bells().get(theme).and_then(Weak::upgrade);
        if let Some(bell) = bell {
            bell.notify_waiters();
        }
    }

    pub(super) fn ring_all(&self) {
        let bells: Vec<Arc<Notify>> = self.bells().values().filter_map(Weak::upgrade).collect();
        for bell in bells {
            bell.notify_waiters();
        }
    }

    fn bells(&self) -> MutexGuard<'_, HashMap<String, Weak<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
