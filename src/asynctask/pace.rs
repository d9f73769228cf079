//! How fast the pool works, for the question how much it may hold in advance.

use std::time::{Duration, Instant};

/// What the pool may hold beyond what its workers run: this much time's work. More would only make other nodes idle and
/// priorities late; less lets workers wait for a claim.
const AHEAD: Duration = Duration::from_millis(500);

/// Rates over shorter times jump with every commit.
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);

/// Counts finished runs over a sliding time of 50 ms to 1 s.
#[derive(Debug)]
pub(super) struct Pace {
    since: Instant,
    finished: u32,
    before: (u32, Duration),
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            finished: 0,
            before: (0, Duration::ZERO),
        }
    }

    pub(super) fn finished_one(&mut self, now: Instant) {
        self.finished = self.finished.saturating_add(1);
        let elapsed = now.saturating_duration_since(self.since);
        if elapsed >= LONGEST / 2 {
            self.before = (self.finished, elapsed);
            self.since = now;
            self.finished = 0;
        }
    }

    /// How many tasks [`AHEAD`] takes, at most `most`.
    pub(super) fn ahead(&self, now: Instant, most: usize) -> usize {
        let current = now.saturating_duration_since(self.since);
        // What was finished long ago says nothing about now.
        let (before, took) = if current <= LONGEST {
            self.before
        } else {
            (0, Duration::ZERO)
        };
        let finished = f64::from(self.finished) + f64::from(before);
        let elapsed = (current + took).max(SHORTEST).as_secs_f64();
        let ahead = finished / elapsed * AHEAD.as_secs_f64();
        // Whole, positive, and far below 2^53.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "see above")]
        let ahead = ahead as usize;
        ahead.min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_tasks_are_not_held_in_advance() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.finished_one(start + Duration::from_secs(20));
        assert_eq!(pace.ahead(start + Duration::from_secs(20), 1_000), 0);
    }

    #[test]
    fn quick_tasks_are_held_for_half_a_second() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        for millis in 1..=1_000 {
            pace.finished_one(start + Duration::from_millis(millis));
        }
        let now = start + Duration::from_secs(1);
        assert_eq!(pace.ahead(now, 10_000), 500);
        assert_eq!(pace.ahead(now, 100), 100);
        assert_eq!(pace.ahead(now + Duration::from_secs(5), 10_000), 0);
    }
}
