//! The bell of a theme: an actor or a caller that has work for its scanner rings it.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// It carries no data. A ring is kept until the scanner's next scan.
#[derive(Debug, Default)]
pub(super) struct Wake {
    notify: Notify,
    /// How often the bell was rung.
    rung: AtomicU64,
    /// How many scans have begun.
    scans: AtomicU64,
}

/// How many rings and scans there have been. A scan that has taken all due tasks leaves none that waits as long as there is neither another
/// ring nor another scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WakeSnapshot {
    rung: u64,
    scans: u64,
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
        self.scans.fetch_add(1, Ordering::SeqCst);
        self.snapshot()
    }

    pub(super) fn snapshot(&self) -> WakeSnapshot {
        WakeSnapshot {
            rung: self.rung.load(Ordering::SeqCst),
            scans: self.scans.load(Ordering::SeqCst),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_scan_lasts_until_a_ring_or_the_next_scan() {
        let wake = Wake::default();
        let scan = wake.begin_scan();
        assert_eq!(scan, wake.snapshot());
        wake.ring();
        assert_ne!(scan, wake.snapshot());
        let next = wake.begin_scan();
        assert_eq!(next, wake.snapshot());
        wake.begin_scan();
        assert_ne!(next, wake.snapshot());
    }
}
