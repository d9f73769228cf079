//! How long a failed task waits before its next attempt.

use std::time::Duration;

/// Exponential backoff with jitter.
///
/// The delay before retry number `n` (the first is 0) is `base · 2ⁿ`, at most `max`, then lengthened or shortened at random by up to the
/// share `jitter`, so that tasks which failed together do not come back together. A `base` of zero means that the task is tried again with
/// the next scan, as in the integration guide.
///
/// Defaults: base 1 s, max 10 min, jitter 0.2.
///
/// ```
/// use std::time::Duration;
/// use gaia_actors::RetryPolicy;
///
/// let policy = RetryPolicy { jitter: 0.0, ..RetryPolicy::default() };
/// assert_eq!(policy.delay(0, 0.0), Duration::from_secs(1));
/// assert_eq!(policy.delay(3, 0.0), Duration::from_secs(8));
/// assert_eq!(policy.delay(60, 0.0), Duration::from_secs(600));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    /// Delay before the first retry. Zero: retry with the next scan.
    pub base: Duration,
    /// No delay is longer than this (before jitter), unless `base` is.
    pub max: Duration,
    /// The largest share of the delay, 0 to 1, by which the delay is lengthened or shortened at random.
    pub jitter: f64,
}

/// The longest delay (before jitter), a century: a longer delay could overflow.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            base: Duration::from_secs(1),
            max: Duration::from_secs(600),
            jitter: 0.2,
        }
    }
}

impl RetryPolicy {
    /// A policy without backoff: a failed task is tried again with the next scan, as the integration guide describes.
    #[must_use]
    pub const fn immediate() -> Self {
        Self {
            base: Duration::ZERO,
            max: Duration::ZERO,
            jitter: 0.0,
        }
    }

    /// A policy with the same delay before each retry.
    #[must_use]
    pub const fn constant(delay: Duration) -> Self {
        Self {
            base: delay,
            max: delay,
            jitter: 0.0,
        }
    }

    /// The delay before retry number `retries` (0 for the first). `spread`, from -1 to 1, picks the place within the jitter.
    #[must_use]
    pub fn delay(&self, retries: u32, spread: f64) -> Duration {
        // 2^20 s is twelve days: beyond any sensible `max`, and far from overflow.
        let factor = 2_u32.pow(retries.min(20));
        let plain = self
            .base
            .saturating_mul(factor)
            .min(self.max.max(self.base))
            .min(LONGEST);
        plain.mul_f64((1.0 + self.jitter * spread.clamp(-1.0, 1.0)).max(0.0))
    }

    /// This policy with a task's own first delay.
    #[must_use]
    pub(crate) fn with_base(self, base: Option<Duration>) -> Self {
        Self {
            base: base.unwrap_or(self.base),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_of_zero_never_waits() {
        for retries in [0, 1, 40, u32::MAX] {
            assert_eq!(RetryPolicy::immediate().delay(retries, 1.0), Duration::ZERO);
        }
    }

    #[test]
    fn a_constant_delay_stays() {
        let policy = RetryPolicy::constant(Duration::from_secs(5));
        for retries in [0, 1, 40] {
            assert_eq!(policy.delay(retries, 1.0), Duration::from_secs(5));
        }
        let own = policy.with_base(Some(Duration::from_secs(7)));
        assert_eq!(own.delay(3, 0.0), Duration::from_secs(7));
    }

    #[test]
    fn the_jitter_stays_in_its_share() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.delay(1, -1.0), Duration::from_millis(1_600));
        assert_eq!(policy.delay(1, 1.0), Duration::from_millis(2_400));
        assert_eq!(policy.delay(1, 7.0), Duration::from_millis(2_400));
    }

    #[test]
    fn a_base_above_the_maximum_is_kept() {
        let policy = RetryPolicy {
            base: Duration::from_secs(3_600),
            jitter: 0.0,
            ..RetryPolicy::default()
        };
        assert_eq!(policy.delay(0, 0.0), Duration::from_secs(3_600));
        assert_eq!(policy.delay(9, 0.0), Duration::from_secs(3_600));
    }
}
