//! The lease of this node: until when this process may run the tasks and fires that it has claimed.
//!
//! If a node has written no heartbeat for the length of its lease, other nodes may take over its runs. So this process begins no run after
//! that, even if it was stopped or its machine was suspended and it did not notice: every run asks here right before its handler is called
//! (model: task::AskedLease) (model: fires::AskedLease) (model: slots::AskedLease).
//! If a later heartbeat finds the node's row still there before the node has fenced itself, its claims are valid again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::clock::Clock;

/// Cloneable view of the lease of this node. The node actor renews it with each heartbeat; runs ask it.
#[derive(Debug, Clone)]
pub(crate) struct NodeLease(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The lease is measured by `clock.uptime()`, which goes on while the machine is suspended: to other nodes a suspended machine looks dead.
    clock: Clock,
    length: Duration,
    /// The uptime, in microseconds, at which the last successful heartbeat began.
    last_beat: AtomicU64,
    /// The number of the present term. It grows whenever the lease is lost: runs that were claimed before may belong to other nodes.
    term: AtomicU64,
}

/// A period in which the node did not lose its lease. Each loss begins a new term. A claim belongs to the term in which it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Term(u64);

impl NodeLease {
    /// A lease that begins now.
    pub(crate) fn new(length: Duration, clock: Clock) -> Self {
        let last_beat = AtomicU64::new(micros(clock.uptime()));
        Self(Arc::new(Inner {
            clock,
            length,
            last_beat,
            term: AtomicU64::new(0),
        }))
    }

    /// The current uptime. The node actor reads it before it sends a heartbeat, and passes it to [`renew`](Self::renew).
    pub(crate) fn uptime(&self) -> Duration {
        self.0.clock.uptime()
    }

    pub(crate) fn length(&self) -> Duration {
        self.0.length
    }

    /// Notes that a heartbeat succeeded which began at the uptime `begun`.
    pub(crate) fn renew(&self, begun: Duration) {
        self.0.last_beat.store(micros(begun), Ordering::SeqCst);
    }

    /// Begins a new term, because the node has fenced itself or other nodes have declared it dead. A lease that has expired and is renewed
    /// before that is not lost.
    pub(crate) fn lose(&self) {
        self.0.term.fetch_add(1, Ordering::SeqCst);
    }

    /// The time since the last successful heartbeat began.
    pub(crate) fn silence(&self) -> Duration {
        let last_beat = Duration::from_micros(self.0.last_beat.load(Ordering::SeqCst));
        self.uptime().saturating_sub(last_beat)
    }

    /// Whether the node has gone without a successful heartbeat for longer than its lease. The next successful heartbeat ends this.
    pub(crate) fn has_expired(&self) -> bool {
        self.silence() > self.0.length
    }

    /// The present term. A caller reads it before it makes a claim.
    pub(crate) fn term(&self) -> Term {
        Term(self.0.term.load(Ordering::SeqCst))
    }

    /// Whether this node still owns the runs that it claimed in this term.
    pub(crate) fn holds(&self, term: Term) -> bool {
        self.term() == term && !self.has_expired()
    }

    /// The hold on a run that was claimed in this term.
    pub(crate) fn hold(&self, term: Term) -> Hold {
        let lease = self.clone();
        Hold { lease, term }
    }
}

/// Tells whether this node still owns a run. It holds the lease, and the term in which the run was claimed.
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
        lease.renew(lease.uptime());
        assert!(!lease.holds(before));
        assert!(lease.holds(lease.term()));
    }

    #[test]
    fn nothing_is_held_once_the_lease_is_over() {
        let clock = Clock::system();
        let lease = NodeLease::new(Duration::from_secs(3_600), clock.clone());
        let hold = lease.hold(lease.term());
        let begun = lease.uptime();
        assert!(!lease.has_expired() && hold.is_valid());
        clock.suspend(Duration::from_secs(3_601));
        assert!(lease.has_expired() && !hold.is_valid());
        // A beat that was begun before the suspension.
        lease.renew(begun);
        assert!(lease.has_expired() && !hold.is_valid());
        lease.renew(lease.uptime());
        assert!(hold.is_valid());
    }
}
