//! Whether the time of day is certain enough to delete rows by it.
//!
//! A clock that is ahead makes every row look old. So the time of day is compared with a clock that cannot be set, and with
//! the times of earlier looks, which the database keeps. A jump begins a new *line*, and no row is deleted before the line is as old
//! as the retention: then each deleted row has really been there for that long, even if the clock was wrong when the row ended.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};

use crate::store::Line;

/// The limits from which on a difference counts as a jump.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) retention: TimeDelta,
    /// By how much the time of day may deviate from the time that has passed in this process.
    jump: TimeDelta,
    /// The longest time between two looks, by any node, that does not count as a jump. With a clock that is ahead by at most this, no row is
    /// deleted that is younger than the retention minus this.
    away: TimeDelta,
}

/// One reading of both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) now: DateTime<Utc>,
    /// Time that has passed, by the clock that cannot be set.
    pub(super) passed: Duration,
}

/// The readings of both clocks in this process so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Course {
    last: Option<Reading>,
    /// The time of day at the look before the last one.
    before: Option<DateTime<Utc>>,
    /// The clock has jumped ahead, and may come back: where it was before.
    home: Option<Home>,
    /// Scopes that this process has judged.
    known: BTreeSet<String>,
}

/// The state before the clock jumped ahead.
#[derive(Debug, Clone)]
struct Home {
    /// The time of day minus the time that has passed in this process.
    offset: TimeDelta,
    /// The beginnings of the scopes' lines.
    since: BTreeMap<String, Option<DateTime<Utc>>>,
}

/// What the clock has done since the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Went {
    /// It has gone on without a jump, as far as this process knows.
    On,
    /// It has jumped by so much.
    Jumped(TimeDelta),
    /// It is back where it was before it jumped ahead. Runs that ended in between have times that are still to come.
    Home,
}

/// Whether rows may be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Yes.
    Certain,
    /// No process has looked at this scope before.
    First,
    /// Not before this time, if the clock makes no further jump.
    Wait(DateTime<Utc>),
    /// The same, for a reason that was found just now.
    New(DateTime<Utc>, Doubt),
}

/// Why the time of day is not certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// The clock was set, by so much.
    Jump(TimeDelta),
    /// The last look was so long ago: either no node has run, or the clock is ahead.
    Away(TimeDelta),
    /// A later time has been seen on this database, later by so much.
    Behind(TimeDelta),
    /// Another node sees a time that is earlier by so much.
    Ahead(TimeDelta),
    /// The database holds no readable time of the last look, or the line begins after it.
    Unreadable,
}

impl Rules {
    pub(super) fn new(retention: TimeDelta) -> Self {
        let (second, minute) = (TimeDelta::seconds(1), TimeDelta::minutes(1));
        Self {
            retention,
            jump: (retention / 10).clamp(second, minute),
            away: (retention / 2).max(second),
        }
    }
}

impl Reading {
    fn offset(self) -> TimeDelta {
        let passed = TimeDelta::from_std(self.passed).unwrap_or(TimeDelta::MAX);
        (self.now - DateTime::UNIX_EPOCH)
            .checked_sub(&passed)
            .unwrap_or(TimeDelta::MIN)
    }
}

impl Course {
    /// Notes a reading of both clocks, and compares it with the last one.
    pub(super) fn read(&mut self, reading: Reading, rules: Rules) -> Went {
        let last = self.last.replace(reading);
        self.before = last.map(|last| last.now);
        let Some(last) = last else {
            return Went::On;
        };
        let (before, offset) = (last.offset(), reading.offset());
        if self.home.as_ref().is_some_and(|home| offset < home.offset - rules.jump) {
            // The clock is now behind where it was: it will not count as back. Rows that end while it is behind look too old for ever.
            self.home = None;
        }
        if (offset - before).abs() <= rules.jump {
            return Went::On;
        }
        match &self.home {
            Some(home) if (offset - home.offset).abs() <= rules.jump => return Went::Home,
            None if offset > before => {
                self.home = Some(Home {
                    offset: before,
                    since: BTreeMap::new(),
                });
            }
            _ => {}
        }
        Went::Jumped(offset - before)
    }

    /// Judges the time of day for a scope, by the line that the database keeps. Answers with the beginning of the line, and the verdict.
    pub(super) fn judge(
        &mut self,
        scope: &str,
        went: Went,
        line: Option<Line>,
        reading: Reading,
        rules: Rules,
    ) -> (Option<DateTime<Utc>>, Verdict) {
        let before = self.before.filter(|_| self.known.contains(scope));
        self.known.insert(scope.to_owned());
        let Some(line) = line else {
            return (None, Verdict::First);
        };
        let now = reading.now;
        let home = self.home.as_mut().map(|home| &mut home.since);
        let doubt = match (went, home) {
            (Went::Home, Some(home)) => {
                let since = home.get(scope).copied().unwrap_or(line.since);
                return (since, verdict(since, now, rules));
            }
            (Went::Jumped(by), home) => {
                if let Some(home) = home {
                    home.entry(scope.to_owned()).or_insert(line.since);
                }
                Some(Doubt::Jump(by))
            }
            _ => doubt(line, before, now, rules),
        };
        match doubt {
            Some(doubt) => (Some(now), Verdict::New(end_of_doubt(now, rules), doubt)),
            None => (line.since, verdict(line.since, now, rules)),
        }
    }

    /// All scopes have been judged. If the clock is back where it was, the state before its jump is not needed any more.
    pub(super) fn settle(&mut self, went: Went) {
        if went == Went::Home {
            self.home = None;
        }
    }
}

/// A reason to doubt the time of day although this process has seen no jump. `before`: the time of its last look.
fn doubt(line: Line, before: Option<DateTime<Utc>>, now: DateTime<Utc>, rules: Rules) -> Option<Doubt> {
    // No look notes a beginning that is later than its own time.
    let seen = line.seen.filter(|seen| line.since.is_none_or(|since| since <= *seen));
    let Some(seen) = seen else {
        return Some(Doubt::Unreadable);
    };
    let gap = now - seen;
    match before {
        _ if gap < -rules.jump => Some(Doubt::Behind(-gap)),
        // This process has noted `before` in the database. If an earlier time is there now, another process has noted it since.
        Some(before) => Some(before - seen)
            .filter(|behind| *behind > rules.jump)
            .map(Doubt::Ahead),
        None => Some(gap).filter(|gap| *gap > rules.away).map(Doubt::Away),
    }
}

fn verdict(since: Option<DateTime<Utc>>, now: DateTime<Utc>, rules: Rules) -> Verdict {
    match since.map(|since| end_of_doubt(since, rules)) {
        Some(end) if now < end => Verdict::Wait(end),
        _ => Verdict::Certain,
    }
}

fn end_of_doubt(since: DateTime<Utc>, rules: Rules) -> DateTime<Utc> {
    since
        .checked_add_signed(rules.retention)
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEEK: u64 = 7 * 86_400;
    const YEAR: i64 = 365 * 86_400;

    /// A process, and what its database remembers.
    struct Node {
        course: Course,
        /// Its clock less the time that has passed, in seconds.
        offset: i64,
        passed: u64,
    }

    impl Node {
        fn new(offset: i64) -> Self {
            Self {
                course: Course::default(),
                offset,
                passed: 0,
            }
        }

        /// Looks after so many seconds; answers whether it may delete.
        fn looks_after(&mut self, seconds: u64, line: &mut Option<Line>) -> bool {
            self.passed += seconds;
            let passed = Duration::from_secs(self.passed);
            let now = DateTime::UNIX_EPOCH + TimeDelta::seconds(self.offset) + passed;
            let (reading, rules) = (Reading { now, passed }, rules());
            let went = self.course.read(reading, rules);
            let (since, verdict) = self.course.judge("demo", went, *line, reading, rules);
            self.course.settle(went);
            *line = Some(Line { since, seen: Some(now) });
            verdict == Verdict::Certain
        }
    }

    fn rules() -> Rules {
        Rules::new(TimeDelta::seconds(i64::try_from(WEEK).expect("is small")))
    }

    #[test]
    fn a_clock_that_goes_on_is_trusted_after_the_first_look() {
        let (mut node, mut line) = (Node::new(YEAR), None);
        assert!(!node.looks_after(0, &mut line));
        assert!(node.looks_after(300, &mut line));
        // A node that starts again goes on where the other has stopped.
        assert!(Node::new(YEAR + 400).looks_after(0, &mut line));
    }

    #[test]
    fn after_a_jump_nothing_goes_for_a_whole_retention() {
        for jump in [50 * YEAR, 8 * 86_400, 120, -120, -YEAR / 2] {
            let (mut node, mut line) = (Node::new(YEAR), None);
            node.looks_after(0, &mut line);
            assert!(node.looks_after(300, &mut line));
            node.offset += jump;
            assert!(!node.looks_after(300, &mut line), "{jump}");
            assert!(!node.looks_after(WEEK - 1, &mut line), "{jump}");
            assert!(node.looks_after(1, &mut line), "{jump}");
        }
    }

    #[test]
    fn a_clock_that_comes_back_is_trusted_at_once_unless_it_was_behind() {
        for (jump, is_certain) in [(50 * YEAR, true), (-3_600, false)] {
            let (mut node, mut line) = (Node::new(YEAR), None);
            node.looks_after(0, &mut line);
            node.offset += jump;
            assert!(!node.looks_after(4, &mut line));
            assert!(!node.looks_after(4, &mut line));
            node.offset -= jump;
            assert_eq!(node.looks_after(1, &mut line), is_certain, "{jump}");
            assert_eq!(node.looks_after(1, &mut line), is_certain, "{jump}");
        }
        // Ahead, then behind, then home.
        let (mut node, mut line) = (Node::new(YEAR), None);
        node.looks_after(0, &mut line);
        for jump in [YEAR, -2 * YEAR, YEAR] {
            node.offset += jump;
            assert!(!node.looks_after(1, &mut line));
        }
        assert!(!node.looks_after(1, &mut line));
    }

    #[test]
    fn a_stop_for_half_the_retention_is_no_doubt_and_a_longer_one_is() {
        let (mut node, mut line) = (Node::new(YEAR), None);
        node.looks_after(0, &mut line);
        let day = 86_400;
        assert!(Node::new(YEAR + 3 * day).looks_after(0, &mut line));
        let mut after_a_month = Node::new(YEAR + 33 * day);
        assert!(!after_a_month.looks_after(0, &mut line));
        // It need not run all the time.
        let mut later = Node::new(YEAR + 36 * day);
        assert!(!later.looks_after(0, &mut line));
        assert!(!Node::new(YEAR + 39 * day).looks_after(0, &mut line));
        assert!(Node::new(YEAR + 40 * day).looks_after(0, &mut line));
    }

    #[test]
    fn nodes_that_disagree_delete_nothing() {
        let (mut right, mut ahead, mut line) = (Node::new(YEAR), Node::new(51 * YEAR), None);
        ahead.looks_after(0, &mut line);
        assert!(ahead.looks_after(300, &mut line));
        for _ in 0..3 {
            assert!(!right.looks_after(300, &mut line));
            assert!(!ahead.looks_after(300, &mut line));
        }
        // The right one alone waits, and goes on.
        assert!(!right.looks_after(300, &mut line));
        assert!(right.looks_after(WEEK, &mut line));
    }

    #[test]
    fn a_note_that_nobody_can_read_is_a_doubt() {
        let (mut node, mut line) = (
            Node::new(YEAR),
            Some(Line {
                since: None,
                seen: None,
            }),
        );
        assert!(!node.looks_after(0, &mut line));
        assert!(node.looks_after(WEEK, &mut line));
    }
}
