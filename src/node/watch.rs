//! Which nodes are dead.

use std::{collections::HashMap, time::Instant};

use chrono::{DateTime, Utc};

use crate::store::SeenNode;

/// The heartbeats of the other nodes, as this node has seen them.
///
/// A node counts as dead if both of these hold: by its row, its last heartbeat is older than its lease; and it has written no heartbeat while
/// this node has watched it for half the length of that lease, by the monotonic clock of this process. The second condition protects living
/// nodes from a wall clock that jumps: they write a heartbeat long before that time is over. The monotonic clock stands still while this
/// machine is suspended, as it should: a suspended node watches no other, and a node that was suspended at the same time has half its lease
/// to wake up.
#[derive(Debug, Default)]
pub(super) struct Watch(HashMap<String, Seen>);

#[derive(Debug, Clone, Copy)]
struct Seen {
    beat: Option<i64>,
    since: Instant,
}

impl Watch {
    /// Notes the heartbeats in all rows; answers with the dead nodes, each with its last heartbeat. `me` is never among them.
    pub(super) fn dead(
        &mut self,
        rows: &[SeenNode],
        me: &str,
        now: DateTime<Utc>,
        instant: Instant,
    ) -> Vec<(String, Option<i64>)> {
        self.0.retain(|id, _| rows.iter().any(|row| row.id == *id));
        rows.iter()
            .filter(|row| row.id != me)
            .filter(|row| self.is_dead(row, now, instant))
            .map(|row| (row.id.clone(), row.beat))
            .collect()
    }

    fn is_dead(&mut self, row: &SeenNode, now: DateTime<Utc>, instant: Instant) -> bool {
        let seen = self.0.entry(row.id.clone()).or_insert(Seen {
            beat: row.beat,
            since: instant,
        });
        if seen.beat != row.beat {
            *seen = Seen {
                beat: row.beat,
                since: instant,
            };
        }
        // A heartbeat from the future was written before the clock was set back; it counts like an old one, or like none.
        let age = row.heartbeat.and_then(|beaten| (now - beaten).abs().to_std().ok());
        let silent = age.is_none_or(|age| age > row.lease);
        silent && instant.saturating_duration_since(seen.since) >= row.lease / 2
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use chrono::TimeDelta;

    fn row(id: &str, beat: i64, heartbeat: DateTime<Utc>) -> SeenNode {
        SeenNode {
            id: id.to_owned(),
            host: String::new(),
            pid: 0,
            version: String::new(),
            started_at: Some(heartbeat),
            heartbeat: Some(heartbeat),
            beat: Some(beat),
            lease: Duration::from_secs(20),
            themes: String::new(),
            methods: None,
        }
    }

    fn seconds(seconds: i64) -> TimeDelta {
        TimeDelta::seconds(seconds)
    }

    #[test]
    fn a_silent_node_is_dead_after_its_lease_and_two_looks() {
        let (now, start) = (Utc::now(), Instant::now());
        let mut watch = Watch::default();
        let rows = [row("a", 1, now), row("me", 1, now - seconds(99))];
        let mut dead_at = |after: u64| {
            let after = Duration::from_secs(after);
            watch.dead(&rows, "me", now + after, start + after)
        };
        assert!(dead_at(0).is_empty());
        assert!(dead_at(20).is_empty());
        assert_eq!(dead_at(21), [("a".to_owned(), Some(1))]);
    }

    #[test]
    fn an_old_row_is_watched_for_half_a_lease_before_it_counts() {
        let (now, start) = (Utc::now(), Instant::now());
        let mut watch = Watch::default();
        let rows = [row("a", 1, now - seconds(3_600))];
        assert!(watch.dead(&rows, "me", now, start).is_empty());
        let later = start + Duration::from_secs(10);
        assert_eq!(watch.dead(&rows, "me", now, later).len(), 1);
    }

    #[test]
    fn a_clock_that_jumps_either_way_kills_nobody_who_beats() {
        for jump in [seconds(3_600), seconds(-3_600)] {
            let (now, start) = (Utc::now(), Instant::now());
            let mut watch = Watch::default();
            watch.dead(&[row("a", 1, now)], "me", now, start);
            let later = start + Duration::from_secs(9);
            let jumped = watch.dead(&[row("a", 1, now)], "me", now + jump, later);
            assert!(jumped.is_empty());
            let beaten = [row("a", 2, now + jump)];
            let later = start + Duration::from_secs(15);
            assert!(watch.dead(&beaten, "me", now + jump, later).is_empty());
        }
    }

    #[test]
    fn a_dead_node_is_found_although_the_clock_was_set_back() {
        let (now, start) = (Utc::now(), Instant::now());
        let mut watch = Watch::default();
        let rows = [row("a", 1, now)];
        let back = now - seconds(3_600);
        assert!(watch.dead(&rows, "me", back, start).is_empty());
        let later = start + Duration::from_secs(10);
        assert_eq!(watch.dead(&rows, "me", back, later).len(), 1);
    }
    #[test]
    fn a_row_without_a_readable_beat_is_that_of_a_dead_node_unless_it_changes() {
        let (now, start) = (Utc::now(), Instant::now());
        let mut watch = Watch::default();
        let unreadable = SeenNode {
            beat: None,
            heartbeat: None,
            ..row("a", 1, now)
        };
        assert!(
            watch
                .dead(std::slice::from_ref(&unreadable), "me", now, start)
                .is_empty()
        );
        let later = start + Duration::from_secs(9);
        assert!(watch.dead(&[row("a", 2, now)], "me", now, later).is_empty());
        assert!(
            watch
                .dead(std::slice::from_ref(&unreadable), "me", now, later)
                .is_empty()
        );
        let later = later + Duration::from_secs(10);
        assert_eq!(
            watch.dead(std::slice::from_ref(&unreadable), "me", now, later),
            [("a".to_owned(), None)]
        );
    }
}
