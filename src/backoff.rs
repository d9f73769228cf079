//! How long to wait before asking a database again that has just failed.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Doubles from 0.1 s to 5 s, each wait drawn from its upper half so that many callers do not come back together.
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

    /// Whether nothing has failed since it last worked.
    #[cfg(feature = "_server")]
    pub(crate) fn is_fresh(&self) -> bool {
        self.failures == 0
    }

    /// Notes that it works again; answers whether it had not.
    pub(crate) fn succeeded(&mut self) -> bool {
        std::mem::take(&mut self.failures) > 0
    }
}
