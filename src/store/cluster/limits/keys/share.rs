//! How many tasks of one key may run: the decision, without the database.

use crate::domain::Limit;

/// What is known of a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// How many tasks run.
    pub(super) running: usize,
    /// How many tasks were released that no node has claimed yet.
    pub(super) reserved: usize,
    /// How many wait aside.
    pub(super) waiting: usize,
    /// When the bucket of starts is full.
    pub(super) full_at: i64,
    /// How many of the claimed tasks were released: they have waited, and go first.
    pub(super) released: usize,
    /// How many others were claimed: they go behind those that wait.
    pub(super) new: usize,
}

/// What happens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Share {
    /// How many of the released tasks run.
    pub(super) released: usize,
    /// How many of the new ones do.
    pub(super) new: usize,
    /// How many of those that wait are released.
    pub(super) release: usize,
    /// When the bucket is full.
    pub(super) full_at: i64,
}

/// Shares out what is left of the limit of a key.
pub(super) fn share(limit: &Limit, known: Known, now: i64) -> Share {
    let all = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let room = limit
        .running_per_key
        .map_or(usize::MAX, |most| all(most).saturating_sub(known.running));
    let ready = limit
        .starts_per_key
        .map_or(usize::MAX, |pace| pace.ready(known.full_at, now));
    let room = room.min(ready);
    let released = known.released.min(room);
    let room = (room - released).saturating_sub(known.reserved);
    let release = known.waiting.min(room);
    let new = known.new.min(room - release);
    let started = released + new;
    Share {
        released,
        new,
        release,
        full_at: full_at(limit, started, known.full_at, now),
    }
}

/// When the bucket of starts is full after so many.
pub(super) fn full_at(limit: &Limit, started: usize, full_at: i64, now: i64) -> i64 {
    let pace = limit.starts_per_key;
    pace.map_or(0, |pace| pace.after(started, 0, full_at, now))
}

/// When the next task of a key may start, if its pace holds up tasks that wait. `soon`: how many were released and have not started.
pub(super) fn next(limit: &Limit, full_at: i64, soon: usize, now: i64) -> Option<i64> {
    let pace = limit.starts_per_key?;
    let full_at = pace.after(soon, 0, full_at, now);
    (pace.ready(full_at, now) == 0).then(|| pace.next(full_at, now))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: i64 = 1_000_000_000;

    fn counts(limit: &Limit, known: Known) -> (usize, usize, usize) {
        let share = share(limit, known, NOW);
        (share.released, share.release, share.new)
    }

    #[test]
    fn a_key_runs_no_more_than_its_limit() {
        let limit = Limit::running_per_key(3);
        let known = Known {
            running: 1,
            new: 5,
            ..Known::default()
        };
        assert_eq!(counts(&limit, known), (0, 0, 2));
        assert_eq!(counts(&limit, Known { running: 7, ..known }), (0, 0, 0));
    }

    #[test]
    fn tasks_that_wait_go_before_new_ones() {
        let limit = Limit::running_per_key(3);
        let known = Known {
            waiting: 2,
            new: 5,
            ..Known::default()
        };
        assert_eq!(counts(&limit, known), (0, 2, 1));
        assert_eq!(counts(&limit, Known { waiting: 9, ..known }), (0, 3, 0));
    }

    #[test]
    fn a_released_task_finds_its_slot() {
        let limit = Limit::running_per_key(2);
        let known = Known {
            reserved: 2,
            waiting: 4,
            new: 4,
            ..Known::default()
        };
        assert_eq!(counts(&limit, known), (0, 0, 0));
        let claimed = Known {
            reserved: 1,
            released: 1,
            ..known
        };
        assert_eq!(counts(&limit, claimed), (1, 0, 0));
        // The limit is lower by now.
        assert_eq!(
            counts(&Limit::running_per_key(1), Known { released: 2, ..known }),
            (1, 0, 0)
        );
    }

    #[test]
    fn starts_are_counted_when_tasks_run() {
        let limit = Limit::starts_per_key(2, Duration::from_secs(1));
        let first = share(
            &limit,
            Known {
                new: 5,
                ..Known::default()
            },
            NOW,
        );
        assert_eq!((first.new, first.full_at), (2, NOW + 1_000_000));
        assert_eq!(next(&limit, first.full_at, 0, NOW), Some(NOW + 500_000));
        let later = Known {
            waiting: 3,
            full_at: first.full_at,
            ..Known::default()
        };
        assert_eq!(share(&limit, later, NOW + 600_000).release, 1);
        // It was released, and has not started: the next one waits for the start after it.
        assert_eq!(next(&limit, first.full_at, 1, NOW + 600_000), Some(NOW + 1_000_000));
        assert_eq!(next(&Limit::running_per_key(1), 0, 0, NOW), None);
    }
}
