//! Time that goes on while the machine is suspended. The clock of `Instant` stands still then on some systems.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Reads that time, which never goes back. Clones share the beginning and the made-up suspensions.
#[derive(Debug, Clone)]
pub(crate) struct Uptime(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    began: machine::Moment,
    /// Microseconds of suspensions that a test has made up.
    slept: AtomicU64,
}

impl Uptime {
    /// A reader whose time begins now.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            began: machine::now(),
            slept: AtomicU64::new(0),
        }))
    }

    /// The time since this reader began, with suspensions.
    pub(crate) fn read(&self) -> Duration {
        machine::since(self.0.began) + self.slept()
    }

    /// How much of that time is suspensions that a test has made up.
    pub(crate) fn slept(&self) -> Duration {
        Duration::from_micros(self.0.slept.load(Ordering::SeqCst))
    }

    /// For tests: makes up a suspension.
    pub(crate) fn suspend(&self, by: Duration) {
        let by = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        self.0.slept.fetch_add(by, Ordering::SeqCst);
    }
}

/// The clock of `Instant` stands still while Linux, Android or macOS sleeps. `CLOCK_BOOTTIME` goes on; so does Apple's `CLOCK_MONOTONIC`,
/// which is not the clock of `Instant` there.
#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "openbsd",
    target_vendor = "apple"
))]
mod machine {
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};

    #[cfg(not(target_vendor = "apple"))]
    const CLOCK: ClockId = ClockId::Boottime;
    #[cfg(target_vendor = "apple")]
    const CLOCK: ClockId = ClockId::Monotonic;

    pub(super) type Moment = Duration;

    pub(super) fn now() -> Moment {
        Duration::try_from(clock_gettime(CLOCK)).unwrap_or_default()
    }

    pub(super) fn since(began: Moment) -> Duration {
        now().saturating_sub(began)
    }
}

/// On Windows `Instant` goes on while the machine sleeps. For the other systems this crate knows no better clock.
#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_os = "openbsd",
    target_vendor = "apple"
)))]
mod machine {
    use std::time::{Duration, Instant};

    pub(super) type Moment = Instant;

    pub(super) fn now() -> Moment {
        Instant::now()
    }

    pub(super) fn since(began: Moment) -> Duration {
        began.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspension_counts() {
        let uptime = Uptime::new();
        let before = uptime.read();
        assert!(before < Duration::from_secs(60));
        uptime.clone().suspend(Duration::from_secs(3_600));
        assert!(uptime.read() >= before + Duration::from_secs(3_600));
    }
}
