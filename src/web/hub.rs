//! Who listens and watches in this process.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::watch::Watch;
use crate::runtime::Gaia;

/// The listeners of all threads that serve the same options, and what they and open pages watch.
pub(super) struct Hub {
    most: usize,
    listeners: AtomicUsize,
    /// By the node's id: a process may serve several databases.
    watches: Mutex<HashMap<String, Arc<Watch>>>,
}

/// The place of one listener. It is free again when this is dropped.
pub(super) struct Seat(Arc<Hub>);

impl Hub {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            listeners: AtomicUsize::new(0),
            watches: Mutex::default(),
        }
    }

    /// `None`: there are as many listeners as may be.
    pub(super) fn seat(self: &Arc<Self>) -> Option<Seat> {
        let one_more = |listeners| (listeners < self.most).then_some(listeners + 1);
        let counted = self
            .listeners
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more);
        counted.ok().map(|_| Seat(Arc::clone(self)))
    }

    pub(super) fn watch(&self, gaia: &Gaia) -> Arc<Watch> {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        let watch = watches.entry(gaia.node_id().to_owned());
        Arc::clone(watch.or_insert_with(|| Arc::new(Watch::new(gaia.clone()))))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.listeners.fetch_sub(1, Ordering::AcqRel);
    }
}
