//! How many tasks of a method may run at once, and how many may start in a time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Faults, InvalidInput, MAX_NAME_CHARS, as_millis, millis};

/// The most that a limit may say: a typing error is no limit.
const MOST: u32 = 1_000_000;

/// The shortest and the longest time of a pace.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// By how many microseconds the times of two processes, or of the begin and the end of a transaction, may differ.
const SKEW: i64 = 15_000_000;

/// How many tasks of a method may run at once in the whole cluster, and how many may start in a time. Tasks beyond it wait, and tasks of other
/// methods pass them.
///
/// ```
/// use std::time::Duration;
/// use gaia_actors::Limit;
///
/// // Five at once, and not more than 100 a minute.
/// let limit = Limit::running(5).and_starts(100, Duration::from_secs(60));
/// assert_eq!(serde_json::to_string(&limit)?, r#"{"running":5,"starts":{"count":100,"per_ms":60000},"running_per_key":null,"starts_per_key":null}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// How many may run at once, 1 to 1,000,000. `None`, as if JSON leaves it out: any number.
    #[serde(default)]
    #[cfg_attr(feature = "web", schema(minimum = 1, maximum = 1_000_000))]
    pub running: Option<u32>,
    /// How many may start in a time. `None`, as if JSON leaves it out: any number.
    #[serde(default)]
    pub starts: Option<Pace>,
    /// How many of those with the same [limit key](crate::NewTask::limit_key) may run at once, 1 to 1,000,000. `None`, as if JSON leaves it
    /// out: any number.
    #[serde(default)]
    #[cfg_attr(feature = "web", schema(minimum = 1, maximum = 1_000_000))]
    pub running_per_key: Option<u32>,
    /// How many of those with the same limit key may start in a time. `None`, as if JSON leaves it out: any number.
    #[serde(default)]
    pub starts_per_key: Option<Pace>,
}

/// How many may start in a time: a bucket with room for `count` starts, which fills up evenly within `per`. After a quiet time `count` tasks start
/// at once, and the others follow at even distances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Pace {
    /// How many, 1 to 1,000,000.
    pub count: u32,
    /// In which time, 1 ms to 366 days. Serialised as `per_ms`.
    #[serde(rename = "per_ms", serialize_with = "as_millis", deserialize_with = "millis")]
    #[cfg_attr(feature = "web", schema(value_type = u64))]
    pub per: Duration,
}

impl Limit {
    const NONE: Self = Self {
        running: None,
        starts: None,
        running_per_key: None,
        starts_per_key: None,
    };

    /// At most so many at once.
    #[must_use]
    pub const fn running(most: u32) -> Self {
        Self {
            running: Some(most),
            ..Self::NONE
        }
    }

    /// At most so many starts in this time.
    #[must_use]
    pub const fn starts(count: u32, per: Duration) -> Self {
        Self::NONE.and_starts(count, per)
    }

    /// At most so many at once of those with the same limit key.
    #[must_use]
    pub const fn running_per_key(most: u32) -> Self {
        Self::NONE.and_running_per_key(most)
    }

    /// At most so many starts in this time of those with the same limit key.
    #[must_use]
    pub const fn starts_per_key(count: u32, per: Duration) -> Self {
        Self::NONE.and_starts_per_key(count, per)
    }

    /// The same limit with at most so many at once of those with the same limit key: of a tenant's or an account's tasks, for example.
    ///
    /// ```
    /// use gaia_actors::{Limit, NewTask};
    ///
    /// // Fifty in the whole cluster, and five of each tenant: no tenant keeps the others waiting.
    /// let limit = Limit::running(50).and_running_per_key(5);
    /// let task = NewTask::new("Mail", "Send").args(&"ann@example.com").limit_key("tenant-17");
    /// # let _ = (limit, task);
    /// ```
    #[must_use]
    pub const fn and_running_per_key(mut self, most: u32) -> Self {
        self.running_per_key = Some(most);
        self
    }

    /// The same limit with at most so many starts in this time of those with the same limit key.
    #[must_use]
    pub const fn and_starts_per_key(mut self, count: u32, per: Duration) -> Self {
        self.starts_per_key = Some(Pace { count, per });
        self
    }

    /// The same limit with at most so many starts in this time.
    #[must_use]
    pub const fn and_starts(mut self, count: u32, per: Duration) -> Self {
        self.starts = Some(Pace { count, per });
        self
    }

    /// Whether it limits all tasks of the method together.
    pub(crate) fn is_of_method(&self) -> bool {
        self.running.is_some() || self.starts.is_some()
    }

    /// Whether it limits the tasks of each key.
    pub(crate) fn is_of_keys(&self) -> bool {
        self.running_per_key.is_some() || self.starts_per_key.is_some()
    }

    fn check(&self, faults: &mut Faults) {
        let in_range = |number: u32| (1..=MOST).contains(&number);
        faults.require(self.is_of_method() || self.is_of_keys(), || {
            "the limit limits nothing: say how many tasks may run at once, or how many may start in a time; to lift a limit, remove it"
                .to_owned()
        });
        for running in [self.running, self.running_per_key].into_iter().flatten() {
            faults.require(in_range(running), || {
                format!("{running} tasks at once: 1 to {MOST} may run; with none of them the method would stand still, for which its theme can be paused")
            });
        }
        for Pace { count, per } in [self.starts, self.starts_per_key].into_iter().flatten() {
            faults.require(in_range(count), || {
                format!("{count} starts: 1 to {MOST} in a time are possible")
            });
            faults.require((SHORTEST..=LONGEST).contains(&per), || {
                format!("starts in {per:?}: the time is 1 ms to 366 days")
            });
        }
    }
}

/// Checks a limit and the names of its method.
pub(crate) fn check_limit(service: &str, method: &str, limit: &Limit) -> Result<(), InvalidInput> {
    let mut faults = Faults::default();
    faults.include(check_names(service, method));
    limit.check(&mut faults);
    faults.into_result()
}

/// Checks the names of a method.
pub(crate) fn check_names(service: &str, method: &str) -> Result<(), InvalidInput> {
    let mut faults = Faults::default();
    faults.name("service", service, MAX_NAME_CHARS);
    faults.name("method", method, MAX_NAME_CHARS);
    faults.into_result()
}

impl Pace {
    /// The distance of starts in microseconds, at least 1.
    fn distance(self) -> i64 {
        (self.micros() / i64::from(self.count.max(1))).max(1)
    }

    fn micros(self) -> i64 {
        i64::try_from(self.per.as_micros()).unwrap_or(i64::MAX / 4)
    }

    /// The time at which the bucket is full. Another process may know a time that is somewhat later; but a time that lies further ahead comes
    /// from a clock that was wrong, and then the bucket counts as empty.
    fn full_at(self, full_at: i64, now: i64) -> i64 {
        let empty = now.saturating_add(self.micros());
        match full_at > empty.saturating_add(SKEW) {
            true => empty,
            false => full_at.max(now),
        }
    }

    /// How many tasks may start now. All times are microseconds since 1970; `full_at` is when the bucket is full if nothing starts.
    pub(crate) fn ready(self, full_at: i64, now: i64) -> usize {
        let missing = self.full_at(full_at, now) - now;
        // The time of a bucket need not be a multiple of the distance.
        let whole = self.distance().saturating_mul(i64::from(self.count));
        usize::try_from((whole - missing).max(0) / self.distance()).unwrap_or(0)
    }

    /// When the bucket is full after so many starts, and before the first of them gave as many back.
    pub(crate) fn after(self, starts: usize, given_back: usize, full_at: i64, now: i64) -> i64 {
        let part = |starts: usize| {
            self.distance()
                .saturating_mul(i64::try_from(starts).unwrap_or(i64::MAX))
        };
        let back = self.full_at(full_at, now).saturating_sub(part(given_back)).max(now);
        back.saturating_add(part(starts))
    }

    /// When the next task may start, if none may start now.
    pub(crate) fn next(self, full_at: i64, now: i64) -> i64 {
        let whole = self.distance().saturating_mul(i64::from(self.count));
        (self.full_at(full_at, now) - whole + self.distance()).max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace() -> Pace {
        Pace {
            count: 10,
            per: Duration::from_secs(1),
        }
    }

    #[test]
    fn a_full_bucket_lets_all_start_and_fills_up_evenly() {
        let now = 1_000_000_000;
        assert_eq!(pace().ready(0, now), 10);
        let full_at = pace().after(10, 0, 0, now);
        assert_eq!((full_at, pace().ready(full_at, now)), (now + 1_000_000, 0));
        assert_eq!(pace().next(full_at, now), now + 100_000);
        assert_eq!(pace().ready(full_at, now + 99_999), 0);
        assert_eq!(pace().ready(full_at, now + 350_000), 3);
        assert_eq!(pace().ready(full_at, now + 5_000_000), 10);
    }

    #[test]
    fn starts_that_were_not_used_come_back() {
        let now = 1_000_000_000;
        let full_at = pace().after(10, 0, 0, now);
        let full_at = pace().after(0, 4, full_at, now);
        assert_eq!(pace().ready(full_at, now), 4);
        assert_eq!(pace().ready(pace().after(0, 400, full_at, now), now), 10);
    }

    #[test]
    fn a_clock_that_was_ahead_holds_up_no_start_for_longer_than_the_time_of_the_pace() {
        let now = 1_000_000_000;
        assert_eq!(pace().next(i64::MAX, now), now + 100_000);
        assert_eq!(pace().ready(i64::MIN, now), 10);
    }

    #[test]
    fn odd_paces_neither_overflow_nor_stand_still() {
        for (count, per) in [
            (1_000_000, 1),
            (1, 366 * 86_400_000),
            (1_000_000, 366 * 86_400_000),
            (7, 10),
        ] {
            let pace = Pace {
                count,
                per: Duration::from_millis(per),
            };
            let now = 1_800_000_000_000_000;
            assert_eq!(pace.ready(now, now), count as usize, "{pace:?}");
            let full_at = pace.after(count as usize, 0, now, now);
            assert!(pace.next(full_at, now) <= now + pace.distance(), "{pace:?}");
        }
    }
}
