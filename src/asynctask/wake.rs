//! The bell of a theme: an actor or a caller that has work for its scanner rings it.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// It carries no data. A ring is kept until the scanner's next scan, and the bell knows whether tasks may be waiting that no scan has seen.
#[derive(Debug)]
pub(super) struct Wake {
    notify: Notify,
    /// How often the bell was rung.
    rung: AtomicU64,
    /// The value of `rung` when the last scan began, if that scan took all due tasks. [`NOT_CAUGHT_UP`]: it did not, or is under way.
    caught_up_at: AtomicU64,
}

const NOT_CAUGHT_UP: u64 = u64::MAX;

/// How often the bell had been rung when a scan began.
#[derive(Debug, Clone, Copy)]
pub(super) struct WakeSnapshot(u64);

impl Default for Wake {
    fn default() -> Self {
        Self {
            notify: Notify::new(),
            rung: AtomicU64::new(0),
            caught_up_at: AtomicU64::new(NOT_CAUGHT_UP),
        }
    }
}

impl Wake {
    /// Wakes the scanner: it begins a scan, or another scan after the present one.
    pub(super) fn ring(&self) {
        self.rung.fetch_add(1, Ordering::SeqCst);
        self.notify.notify_one();
    }

    /// Waits for a ring. A ring since the last wait ends this wait immediately.
    pub(super) async fn rings(&self) {
        self.notify.notified().await;
    }

    /// The scanner begins a scan, and has not asked the database yet.
    pub(super) fn begin_scan(&self) -> WakeSnapshot {
        self.caught_up_at.store(NOT_CAUGHT_UP, Ordering::SeqCst);
        WakeSnapshot(self.rung.load(Ordering::SeqCst))
    }

    /// Notes that the scan which began with `seen` has taken all due tasks.
    pub(super) fn caught_up_to(&self, seen: WakeSnapshot) {
        self.caught_up_at.store(seen.0, Ordering::SeqCst);
    }

    /// Whether no due task waits, as far as this process knows: a task that is added now overtakes no other.
    pub(super) fn caught_up(&self) -> bool {
        self.caught_up_at.load(Ordering::SeqCst) == self.rung.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_calm_from_a_look_that_took_all_until_it_is_rung() {
        let wake = Wake::default();
        assert!(!wake.caught_up());
        let seen = wake.begin_scan();
        assert!(!wake.caught_up());
        wake.caught_up_to(seen);
        assert!(wake.caught_up());
        wake.ring();
        assert!(!wake.caught_up());
    }

    #[test]
    fn what_rings_during_a_look_is_not_settled_by_it() {
        let wake = Wake::default();
        let seen = wake.begin_scan();
        wake.ring();
        wake.caught_up_to(seen);
        assert!(!wake.caught_up());
    }
}
