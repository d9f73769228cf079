//! How fast the pool works: that decides how many tasks it may hold in advance.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// The pool may hold work for this long, beyond the runs that its workers have. With more, other nodes would be idle and urgent tasks
/// late; with less, workers would wait for a claim.
pub(super) const AHEAD: Duration = Duration::from_millis(500);

/// The shortest time over which a rate is measured: over shorter times it jumps with every commit.
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);

/// Counts finished runs over a sliding time of 50 ms to 1 s.
#[derive(Debug)]
pub(super) struct Throughput {
    since: Instant,
    finished: u32,
    before: (u32, Duration),
}

impl Throughput {
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

    /// How many tasks the workers finish in [`AHEAD`], at most `most`.
    pub(super) fn ahead(&self, now: Instant, most: usize) -> usize {
        let current = now.saturating_duration_since(self.since);
        // Tasks that were finished long ago say nothing about now.
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

/// A run counts as at least so long when the pool asks how many fit into a time.
const SHORTEST_RUN: Duration = Duration::from_micros(1);

/// For how long a worker is busy with a task of each method: a mean in which recent runs count more.
#[derive(Debug, Default)]
pub(super) struct MeanDurations(HashMap<String, HashMap<String, Duration>>);

impl MeanDurations {
    pub(super) fn took(&mut self, service: &str, method: &str, took: Duration) {
        let took = took.max(SHORTEST_RUN);
        let known = self.0.get_mut(service).and_then(|methods| methods.get_mut(method));
        if let Some(cost) = known {
            *cost = (*cost * 7 + took) / 8;
        } else {
            let methods = self.0.entry(service.to_owned()).or_default();
            methods.insert(method.to_owned(), took);
        }
    }

    /// The mean duration of a method. A method that has not run yet may be slow: it counts as [`AHEAD`].
    pub(super) fn of(&self, service: &str, method: &str) -> Duration {
        let cost = self.0.get(service).and_then(|methods| methods.get(method));
        cost.copied().unwrap_or(AHEAD)
    }
}

/// How many runs of this duration fit into a time.
pub(super) fn fit(time: Duration, cost: Duration) -> usize {
    let count = time.as_nanos() / cost.max(SHORTEST_RUN).as_nanos();
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_of_a_method_is_a_mean_of_recent_runs_and_taken_for_high_before_the_first() {
        let mut costs = MeanDurations::default();
        assert_eq!(costs.of("Demo", "run"), AHEAD);
        costs.took("Demo", "run", Duration::from_millis(8));
        assert_eq!(costs.of("Demo", "run"), Duration::from_millis(8));
        costs.took("Demo", "run", Duration::from_millis(808));
        assert_eq!(costs.of("Demo", "run"), Duration::from_millis(108));
        assert_eq!(costs.of("Demo", "walk"), AHEAD);
        assert_eq!(fit(Duration::from_secs(4), Duration::from_millis(108)), 37);
        assert!(fit(Duration::from_secs(4), Duration::ZERO) > 1_000_000);
    }

    #[test]
    fn slow_tasks_are_not_held_in_advance() {
        let start = Instant::now();
        let mut throughput = Throughput::new(start);
        throughput.finished_one(start + Duration::from_secs(20));
        assert_eq!(throughput.ahead(start + Duration::from_secs(20), 1_000), 0);
    }

    #[test]
    fn quick_tasks_are_held_for_half_a_second() {
        let start = Instant::now();
        let mut throughput = Throughput::new(start);
        for millis in 1..=1_000 {
            throughput.finished_one(start + Duration::from_millis(millis));
        }
        let now = start + Duration::from_secs(1);
        assert_eq!(throughput.ahead(now, 10_000), 500);
        assert_eq!(throughput.ahead(now, 100), 100);
        assert_eq!(throughput.ahead(now + Duration::from_secs(5), 10_000), 0);
    }
}
