//! Who listens in this process.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::feed::Feed;
use crate::runtime::Gaia;

/// The listeners of all threads that serve the same options, and what they listen to.
pub(in crate::web) struct Hub {
    most: usize,
    listeners: AtomicUsize,
    /// By the node's id: a process may serve several databases.
    feeds: Mutex<HashMap<String, Arc<Feed>>>,
}

/// The place of one listener. It is free again when this is dropped.
pub(super) struct Seat(Arc<Hub>);

impl Hub {
    pub(in crate::web) fn new(most: usize) -> Self {
        Self {
            most,
            listeners: AtomicUsize::new(0),
            feeds: Mutex::default(),
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

    pub(super) fn feed(&self, gaia: &Gaia) -> Arc<Feed> {
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        let feed = feeds.entry(gaia.node_id().to_owned());
        Arc::clone(feed.or_insert_with(|| Arc::new(Feed::new(gaia.clone()))))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.listeners.fetch_sub(1, Ordering::AcqRel);
    }
}
