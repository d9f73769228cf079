//! How long this process may take its claims for its own.
//!
//! Others take over what a node holds when it has not beaten for the length of its lease. So nothing that was claimed may
//! begin after that, even if this process was stopped meanwhile and knows of nothing: every run asks here right before its
//! handler is called.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Cloneable view of the lease of this node: renewed by its heartbeat, asked by its runs.
#[derive(Debug, Clone)]
pub(crate) struct NodeLease(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    began: Instant,
    length: Duration,
    /// When the last beat that succeeded was begun, in microseconds since `began`.
    beaten: AtomicU64,
    /// Grows whenever the lease is lost: what was claimed before belongs to others.
    term: AtomicU64,
}

/// The stretch of a lease without a gap in which something was claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Term(u64);

impl NodeLease {
    /// A lease that begins now.
    pub(crate) fn new(length: Duration) -> Self {
        Self(Arc::new(Inner {
            began: Instant::now(),
            length,
            beaten: AtomicU64::new(0),
            term: AtomicU64::new(0),
        }))
    }

    pub(crate) fn length(&self) -> Duration {
        self.0.length
    }

    /// Notes that a beat succeeded which was begun at `begun`.
    pub(crate) fn renew(&self, begun: Instant) {
        let since = begun.saturating_duration_since(self.0.began).as_micros();
        self.0
            .beaten
            .store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// Notes that it was lost.
    pub(crate) fn lose(&self) {
        self.0.term.fetch_add(1, Ordering::SeqCst);
    }

    /// For how long there has been no beat.
    pub(crate) fn silence(&self) -> Duration {
        let beaten = Duration::from_micros(self.0.beaten.load(Ordering::SeqCst));
        self.0.began.elapsed().saturating_sub(beaten)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.silence() > self.0.length
    }

    /// To be asked before a claim is made.
    pub(crate) fn term(&self) -> Term {
        Term(self.0.term.load(Ordering::SeqCst))
    }

    /// Whether what was claimed in that term is still this node's.
    pub(crate) fn holds(&self, term: Term) -> bool {
        self.term() == term && !self.is_over()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_claimed_before_the_lease_was_lost_is_lost_with_it() {
        let lease = NodeLease::new(Duration::from_secs(3_600));
        let before = lease.term();
        assert!(lease.holds(before));
        lease.lose();
        lease.renew(Instant::now());
        assert!(!lease.holds(before));
        assert!(lease.holds(lease.term()));
    }

    #[test]
    fn nothing_is_held_once_the_lease_is_over() {
        let lease = NodeLease::new(Duration::ZERO);
        std::thread::sleep(Duration::from_millis(2));
        assert!(lease.is_over() && !lease.holds(lease.term()));
    }
}
