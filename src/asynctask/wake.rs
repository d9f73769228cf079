//! The bell of a theme: an actor or a caller that has work for its scanner rings it.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Carries no data. It is kept until the scanner looks, and it knows whether anything may be waiting that the scanner has not
/// seen.
#[derive(Debug)]
pub(super) struct Wake {
    notify: Notify,
    /// How often it was rung.
    rung: AtomicU64,
    /// How often it had been rung when the last look began, if that has taken all there was; [`OPEN`] if it has not, or goes on.
    settled: AtomicU64,
}

const OPEN: u64 = u64::MAX;

/// A look of the scanner, from before it asks the database.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look(u64);

impl Default for Wake {
    fn default() -> Self {
        Self {
            notify: Notify::new(),
            rung: AtomicU64::new(0),
            settled: AtomicU64::new(OPEN),
        }
    }
}

impl Wake {
    /// Has the scanner look.
    pub(super) fn ring(&self) {
        self.rung.fetch_add(1, Ordering::SeqCst);
        self.notify.notify_one();
    }

    /// Waits until it is rung, or was since the last wait.
    pub(super) async fn rings(&self) {
        self.notify.notified().await;
    }

    pub(super) fn look(&self) -> Look {
        self.settled.store(OPEN, Ordering::SeqCst);
        Look(self.rung.load(Ordering::SeqCst))
    }

    /// The look has taken everything that was due.
    pub(super) fn caught_up_to(&self, look: Look) {
        self.settled.store(look.0, Ordering::SeqCst);
    }

    /// Whether nothing waits, as far as this process knows: a task that comes now overtakes no other.
    pub(super) fn caught_up(&self) -> bool {
        self.settled.load(Ordering::SeqCst) == self.rung.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_calm_from_a_look_that_took_all_until_it_is_rung() {
        let wake = Wake::default();
        assert!(!wake.caught_up());
        let look = wake.look();
        assert!(!wake.caught_up());
        wake.caught_up_to(look);
        assert!(wake.caught_up());
        wake.ring();
        assert!(!wake.caught_up());
    }

    #[test]
    fn what_rings_during_a_look_is_not_settled_by_it() {
        let wake = Wake::default();
        let look = wake.look();
        wake.ring();
        wake.caught_up_to(look);
        assert!(!wake.caught_up());
    }
}
