//! Which fires of a schedule are due, and which were missed.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::MisfirePolicy;
use crate::schedule::Schedule;

/// Each fire that is late by no more than this is due: a busy machine, a slow commit or a restart of the database may delay it so long. An
/// older fire is missed.
const TOLERANCE: TimeDelta = TimeDelta::seconds(10);

/// The rules of a job for missed fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Misfire {
    pub(crate) policy: MisfirePolicy,
    /// The greatest age at which a missed fire still runs late.
    pub(crate) grace: Duration,
}

/// The decision about the fires of a job up to a moment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Due {
    /// The latest of the missed fires.
    pub(crate) missed: Option<Missed>,
    /// Fires that are due, in order.
    pub(crate) on_time: Vec<DateTime<Utc>>,
    /// The first fire that is not due yet.
    pub(crate) next: Option<DateTime<Utc>>,
}

/// The latest missed fire, which stands for all missed fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missed {
    /// The fire runs now.
    MadeUp(DateTime<Utc>),
    /// The fire is recorded as skipped.
    Skipped(DateTime<Utc>),
}

/// Whether a fire of `at` that has not begun by `now` was missed.
pub(crate) fn is_missed(at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    at < now - TOLERANCE
}

/// Judges all fires of a schedule from `first` until `now`. The work is bounded, however long ago `first` was.
pub(crate) fn due(schedule: &Schedule, first: DateTime<Utc>, now: DateTime<Utc>, misfire: Misfire) -> Due {
    let mut due = Due::default();
    let oldest_on_time = now - TOLERANCE;
    let mut next = Some(first);
    if first < oldest_on_time
        && let Some(missed) = last_before(schedule, first, oldest_on_time)
    {
        due.missed = Some(match misfire.makes_up_for(missed, now) {
            true => Missed::MadeUp(missed),
            false => Missed::Skipped(missed),
        });
        next = schedule.next_after(missed);
    }
    while let Some(at) = next.filter(|at| *at <= now) {
        due.on_time.push(at);
        next = schedule.next_after(at);
    }
    due.next = next;
    due
}

/// The decision about fires that have waited for the end of a run of their job.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Waited {
    /// The latest of the fires that have waited too long. It stands for all of them, and is recorded as skipped.
    pub(crate) too_long: Option<DateTime<Utc>>,
    /// The fire that runs now. Those after it wait for its run.
    pub(crate) first: Option<DateTime<Utc>>,
    /// The fire after these.
    pub(crate) next: Option<DateTime<Utc>>,
}

/// Judges the fires of a schedule from `first` on, which have waited for the end of a run. Unlike missed fires each of them runs, but none that
/// has waited for longer than `grace`.
pub(crate) fn waited(schedule: &Schedule, first: DateTime<Utc>, now: DateTime<Utc>, grace: Duration) -> Waited {
    let grace = TimeDelta::from_std(grace).unwrap_or(TimeDelta::MAX).max(TOLERANCE);
    let oldest = now.checked_sub_signed(grace).unwrap_or(DateTime::<Utc>::MIN_UTC);
    let too_long = match first < oldest {
        true => last_before(schedule, first, oldest),
        false => None,
    };
    let next = too_long.map_or(Some(first), |last| schedule.next_after(last));
    let first = next.filter(|at| *at <= now);
    Waited {
        too_long,
        first,
        next: first.map_or(next, |first| schedule.next_after(first)),
    }
}

impl Misfire {
    /// Whether a missed fire runs now.
    pub(crate) fn makes_up_for(self, missed: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        let age = (now - missed).to_std().unwrap_or_default();
        self.policy == MisfirePolicy::FireOnce && age <= self.grace
    }
}

/// The last fire in `first..end`, where `first` is a fire. This function looks back from the end in windows that grow, so that neither a
/// schedule with a fire each second nor a schedule with a fire each leap day takes many steps.
fn last_before(schedule: &Schedule, first: DateTime<Utc>, end: DateTime<Utc>) -> Option<DateTime<Utc>> {
    const GROWTH: i32 = 8;
    let mut window = TimeDelta::seconds(60);
    loop {
        let start = end.checked_sub_signed(window).filter(|start| *start > first);
        let found = match start {
            Some(start) => schedule.next_after(start),
            None => Some(first),
        };
        match found.filter(|at| *at < end) {
            Some(mut last) => {
                while let Some(later) = schedule.next_after(last).filter(|at| *at < end) {
                    last = later;
                }
                return Some(last);
            }
            None if start.is_none() => return None,
            None => window = window.checked_mul(GROWTH).unwrap_or(TimeDelta::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONCE: Misfire = Misfire {
        policy: MisfirePolicy::FireOnce,
        grace: Duration::from_secs(3_600),
    };
    const SKIP: Misfire = Misfire {
        policy: MisfirePolicy::Skip,
        ..ONCE
    };

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-03-01T{text}Z").parse().expect("is a time")
    }

    fn judged(expr: &str, first: &str, now: &str, misfire: Misfire) -> Due {
        let schedule: Schedule = expr.parse().expect("is good");
        due(&schedule, at(first), at(now), misfire)
    }

    #[test]
    fn nothing_is_due_before_its_time() {
        let due = judged("0 * * * *", "09:00:00", "08:59:59.999", ONCE);
        assert_eq!((due.on_time, due.next), (Vec::new(), Some(at("09:00:00"))));
    }

    #[test]
    fn fires_that_are_a_little_late_run_one_by_one() {
        let due = judged("* * * * * *", "09:00:00", "09:00:03.5", SKIP);
        let seconds = ["09:00:00", "09:00:01", "09:00:02", "09:00:03"].map(at);
        assert_eq!(due.on_time, seconds);
        assert_eq!((due.missed, due.next), (None, Some(at("09:00:04"))));
    }

    #[test]
    fn of_missed_fires_the_latest_is_made_up_for() {
        let due = judged("*/10 * * * *", "09:00:00", "09:45:00", ONCE);
        assert_eq!(due.missed, Some(Missed::MadeUp(at("09:40:00"))));
        assert_eq!((due.on_time.len(), due.next), (0, Some(at("09:50:00"))));
    }

    #[test]
    fn one_that_is_too_old_is_skipped() {
        let due = judged("0 9 * * *", "09:00:00", "10:00:01", ONCE);
        assert_eq!(due.missed, Some(Missed::Skipped(at("09:00:00"))));
        assert!(due.on_time.is_empty());
    }

    #[test]
    fn the_policy_skip_skips_what_was_missed_but_not_what_is_due() {
        let due = judged("*/5 * * * * *", "09:00:00", "09:01:00", SKIP);
        assert_eq!(due.missed, Some(Missed::Skipped(at("09:00:45"))));
        assert_eq!(due.on_time, ["09:00:50", "09:00:55", "09:01:00"].map(at));
    }

    #[test]
    fn fires_that_have_waited_run_one_by_one_and_those_that_have_waited_too_long_do_not() {
        let schedule: Schedule = "*/10 * * * *".parse().expect("is good");
        let judged = |first, now, grace| waited(&schedule, at(first), at(now), Duration::from_secs(grace));
        let waits = Waited {
            too_long: None,
            first: Some(at("09:00:00")),
            next: Some(at("09:10:00")),
        };
        assert_eq!(judged("09:00:00", "09:45:00", 3_600), waits);
        assert_eq!(judged("09:00:00", "09:00:05", 0), waits);
        let late = Waited {
            too_long: Some(at("09:30:00")),
            first: Some(at("09:40:00")),
            next: Some(at("09:50:00")),
        };
        assert_eq!(judged("09:00:00", "09:45:00", 600), late);
        let gone = Waited {
            too_long: Some(at("09:40:00")),
            first: None,
            next: Some(at("09:50:00")),
        };
        assert_eq!(judged("09:00:00", "09:45:00", 60), gone);
    }

    #[test]
    fn years_of_missed_seconds_take_few_steps() {
        let schedule: Schedule = "* * * * * *".parse().expect("is good");
        let first = at("00:00:00") - TimeDelta::days(3_650);
        let due = due(&schedule, first, at("00:00:00"), ONCE);
        assert_eq!(
            due.missed
                .map(|missed| missed == Missed::MadeUp(at("00:00:00") - TimeDelta::seconds(11))),
            Some(true)
        );
        assert_eq!((due.on_time.len(), due.next), (11, Some(at("00:00:01"))));
    }

    #[test]
    fn a_rare_fire_long_ago_is_found() {
        let schedule: Schedule = "0 0 29 2 *".parse().expect("is good");
        let leap = "2024-02-29T00:00:00Z".parse().expect("is a time");
        let due = due(&schedule, leap, at("00:00:00"), ONCE);
        assert_eq!(due.missed, Some(Missed::Skipped(leap)));
        assert_eq!(
            due.next.map(|at| at.to_rfc3339()).as_deref(),
            Some("2028-02-29T00:00:00+00:00")
        );
    }
}
