//! How long this process may take its claims for its own.
//!
//! Others take over what a node holds when it has not beaten for the length of its lease. So nothing that was claimed may
//! begin after that, even if this process was stopped or its machine was suspended, and it knows of nothing: every run asks here
//! right before its handler is called.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::clock::Clock;

/// Cloneable view of the lease of this node: renewed by its heartbeat, asked by its runs.
#[derive(Debug, Clone)]
pub(crate) struct NodeLease(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Its uptime counts: a suspended machine is as silent as a lost one.
    clock: Clock,
    length: Duration,
    /// The reading of the uptime, in microseconds, when the last beat that succeeded was begun.
    beaten: AtomicU64,
    /// Grows whenever the lease is lost: tasks that were claimed before belong to other nodes.
    term: AtomicU64,
}

/// The stretch of a lease without a gap in which something was claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Term(u64);

impl NodeLease {
    /// A lease that begins now.
    pub(crate) fn new(length: Duration, clock: Clock) -> Self {
        let beaten = AtomicU64::new(micros(clock.uptime()));
        Self(Arc::new(Inner {
            clock,
            length,
            beaten,
            term: AtomicU64::new(0),
        }))
    }

    /// A moment, for [`renew`](Self::renew).
    pub(crate) fn now(&self) -> Duration {
        self.0.clock.uptime()
    }

    pub(crate) fn length(&self) -> Duration {
        self.0.length
    }

    /// Notes that a beat succeeded which was begun at `begun`.
    pub(crate) fn renew(&self, begun: Duration) {
        self.0.beaten.store(micros(begun), Ordering::SeqCst);
    }

    /// Notes that it was lost.
    pub(crate) fn lose(&self) {
        self.0.term.fetch_add(1, Ordering::SeqCst);
    }

    /// For how long there has been no beat.
    pub(crate) fn silence(&self) -> Duration {
        let beaten = Duration::from_micros(self.0.beaten.load(Ordering::SeqCst));
        self.now().saturating_sub(beaten)
    }

    pub(crate) fn has_expired(&self) -> bool {
        self.silence() > self.0.length
    }

    /// To be asked before a claim is made.
    pub(crate) fn term(&self) -> Term {
        Term(self.0.term.load(Ordering::SeqCst))
    }

    /// Whether tasks that were claimed in that term are still this node's.
    pub(crate) fn holds(&self, term: Term) -> bool {
        self.term() == term && !self.has_expired()
    }

    /// The hold on a task that is claimed in that term.
    pub(crate) fn hold(&self, term: Term) -> Hold {
        let lease = self.clone();
        Hold { lease, term }
    }
}

/// What makes one claimed run this node's.
#[derive(Debug, Clone)]
pub(crate) struct Hold {
    lease: NodeLease,
    term: Term,
}

impl Hold {
    pub(crate) fn term(&self) -> Term {
        self.term
    }

    pub(crate) fn is_valid(&self) -> bool {
        self.lease.holds(self.term)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_claimed_before_the_lease_was_lost_is_lost_with_it() {
        let lease = NodeLease::new(Duration::from_secs(3_600), Clock::system());
        let before = lease.term();
        assert!(lease.holds(before));
        lease.lose();
        lease.renew(lease.now());
        assert!(!lease.holds(before));
        assert!(lease.holds(lease.term()));
    }

    #[test]
    fn nothing_is_held_once_the_lease_is_over() {
        let clock = Clock::system();
        let lease = NodeLease::new(Duration::from_secs(3_600), clock.clone());
        let hold = lease.hold(lease.term());
        let begun = lease.now();
        assert!(!lease.has_expired() && hold.is_valid());
        clock.suspend(Duration::from_secs(3_601));
        assert!(lease.has_expired() && !hold.is_valid());
        // A beat that was begun before the suspension.
        lease.renew(begun);
        assert!(lease.has_expired() && !hold.is_valid());
        lease.renew(lease.now());
        assert!(hold.is_valid());
    }
}
