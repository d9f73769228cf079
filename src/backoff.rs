//! How long a caller waits before it asks a database again that has just failed.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Waits that double from 0.1 s to 5 s, each shortened at random by up to half, so that many callers do not come back together.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Notes a failure and answers how long to wait.
    pub(crate) fn failed(&mut self) -> Duration {
        let wait = FIRST.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        wait.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// Whether no failure was noted since the last success.
    #[cfg(feature = "_server")]
    pub(crate) fn is_fresh(&self) -> bool {
        self.failures == 0
    }

    /// Notes a success; answers whether a failure was noted since the last success.
    pub(crate) fn succeeded(&mut self) -> bool {
        std::mem::take(&mut self.failures) > 0
    }
}
