//! Counts of ends, and of the times that runs waited and took.

use std::time::Duration;

/// The bounds, in milliseconds, by which times are counted: from 1 ms to 1 h. A time that is equal to a bound counts below it.
pub const HISTORY_BOUNDS_MS: [u64; 16] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 15_000, 60_000, 300_000, 3_600_000,
];

/// One place below each bound, and one above all of them.
const PLACES: usize = HISTORY_BOUNDS_MS.len() + 1;

/// How many times lie below each bound and above the bound before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Histogram([u64; PLACES]);

impl Histogram {
    fn note(&mut self, time: Duration) {
        let place = HISTORY_BOUNDS_MS.partition_point(|bound| Duration::from_millis(*bound) < time);
        if let Some(count) = self.0.get_mut(place) {
            *count += 1;
        }
    }

    fn add(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count = count.saturating_add(more);
        }
    }

    /// How many times lie below each bound; the last place has those above all bounds.
    #[cfg(feature = "web")]
    pub(crate) fn places(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bounds = HISTORY_BOUNDS_MS.into_iter().map(Some).chain([None]);
        bounds.zip(self.0)
    }

    /// How many times there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.iter().fold(0, |all, count| all.saturating_add(*count))
    }

    /// A JSON list without the zeros at its end.
    pub(crate) fn to_json(self) -> String {
        let places = self.0.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
        let counts: Vec<String> = self.0.iter().take(places).map(u64::to_string).collect();
        format!("[{}]", counts.join(","))
    }

    /// From such a list. A text that is none counts as an empty list.
    pub(crate) fn from_json(text: &str) -> Self {
        let counts: Vec<u64> = serde_json::from_str(text).unwrap_or_default();
        let mut histogram = Self::default();
        for (place, count) in histogram.0.iter_mut().zip(counts) {
            *place = count;
        }
        histogram
    }

    /// The time below which this part of all times lies: 0.95 for 95 %. Between two bounds the times count as evenly spread; a time above the
    /// last bound counts as that bound. `None`: there are no times.
    #[expect(clippy::cast_precision_loss, reason = "a part of a count needs no exact count")]
    pub(crate) fn quantile(&self, part: f64) -> Option<Duration> {
        let all = self.count();
        if all == 0 {
            return None;
        }
        let wanted = part * all as f64;
        let (mut passed, mut from) = (0.0, 0.0);
        for (count, bound) in self.0.iter().zip(HISTORY_BOUNDS_MS) {
            let (count, bound) = (*count as f64, bound as f64);
            if count > 0.0 && passed + count >= wanted {
                let share = ((wanted - passed) / count).clamp(0.0, 1.0);
                return Some(Duration::from_secs_f64((from + share * (bound - from)) / 1_000.0));
            }
            passed += count;
            from = bound;
        }
        Some(Duration::from_secs_f64(from / 1_000.0))
    }
}

/// Times: their sum, and how they are spread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) total: Duration,
    pub(crate) spread: Histogram,
}

impl Times {
    pub(crate) fn note(&mut self, time: Duration) {
        self.total = self.total.saturating_add(time);
        self.spread.note(time);
    }

    fn add(&mut self, other: &Self) {
        self.total = self.total.saturating_add(other.total);
        self.spread.add(&other.spread);
    }
}

/// What ended in a span of time, and how long it waited and ran.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    pub(crate) retried: u64,
    pub(crate) snoozed: u64,
    pub(crate) cancelled: u64,
    pub(crate) lost: u64,
    pub(crate) waited: Times,
    pub(crate) ran: Times,
}

impl Figures {
    pub(crate) fn add(&mut self, other: &Self) {
        for (count, more) in [
            (&mut self.succeeded, other.succeeded),
            (&mut self.failed, other.failed),
            (&mut self.retried, other.retried),
            (&mut self.snoozed, other.snoozed),
            (&mut self.cancelled, other.cancelled),
            (&mut self.lost, other.lost),
        ] {
            *count = count.saturating_add(more);
        }
        self.waited.add(&other.waited);
        self.ran.add(&other.ran);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(times: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        for time in times {
            histogram.note(Duration::from_millis(*time));
        }
        histogram
    }

    #[test]
    fn times_are_counted_below_their_bound_and_come_back_from_json() {
        let spread = histogram(&[0, 1, 2, 3, 10, 5_000, 7_200_000]);
        assert_eq!(spread.to_json(), "[2,1,1,1,0,0,0,0,0,0,0,1,0,0,0,0,1]");
        assert_eq!(Histogram::from_json(&spread.to_json()), spread);
        assert_eq!(Histogram::default().to_json(), "[]");
        assert_eq!(Histogram::from_json("nothing"), Histogram::default());
        assert_eq!(spread.count(), 7);
    }

    #[test]
    fn quantiles_lie_between_the_bounds() {
        let even = histogram(&[150; 100]);
        assert_eq!(even.quantile(0.5), Some(Duration::from_millis(150)));
        assert_eq!(even.quantile(1.0), Some(Duration::from_millis(200)));
        let two = histogram(&[[15; 90].as_slice(), &[7_200_000; 10]].concat());
        assert_eq!(two.quantile(0.9), Some(Duration::from_millis(20)));
        assert_eq!(two.quantile(0.99), Some(Duration::from_secs(3_600)));
        assert_eq!(Histogram::default().quantile(0.5), None);
    }
}
