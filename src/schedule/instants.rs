//! From local time to instants: what a schedule means where clocks are turned forward and back.
//!
//! A *fixed* time inside a skipped hour runs once, right after the gap; several of them there are one run. A fixed time in a
//! repeated hour runs the first time only. *Intervals* follow real time: both times in a repeated hour, never in a skipped
//! one. These rules hold for shifts of any size. (How they differ from cronie's is described at [`Schedule`](super::Schedule).)
//!
//! A zone is a row of segments of real time with one offset each. The search below goes from segment to segment, and
//! skips stretches that cannot hold a fire, so that its work does not depend on how far away the next fire is.

use super::zone::Zone;

const DAY: i64 = 86_400;

/// Longer than any two offsets are apart (-16 h to +15 h): what happens this long after a moment cannot have a local time before it.
const FAR: i64 = 2 * DAY;

/// The first instant after `after` at which a schedule fires, in seconds since the epoch.
///
/// `local` gives the first matching local time that is not before its argument.
pub(super) fn next_after(zone: &Zone, fixed: bool, after: i64, local: impl Fn(i64) -> Option<i64>) -> Option<i64> {
    let mut at = after + 1;
    if *zone == Zone::UTC {
        return local(at);
    }
    loop {
        let offset = zone.seconds_at(at);
        let mut from = at + offset;
        if fixed && let Some(shift) = last_shift(zone, at, offset) {
            if shift.at == at && local(at + shift.before).is_some_and(|skipped| skipped < from) {
                return Some(at);
            }
            // What the clocks showed before they were turned back has had its run.
            from = from.max(shift.at + shift.before);
        }
        let fire = local(from)? - offset;
        let until = fire.min(at + FAR);
        at = match first_shift(zone, at, until, offset) {
            Some(shift) => shift,
            None if fire == until => return Some(fire),
            // Between them only shifts of more than two days could make a local time match.
            None => until.max(fire - FAR),
        };
    }
}

/// A moment at which a zone's offset changed.
#[derive(Debug, Clone, Copy)]
struct Shift {
    at: i64,
    /// The offset until then.
    before: i64,
}

/// The shift of the last day before `at` or at it, if there is one. No shift skips or repeats more than a day.
fn last_shift(zone: &Zone, at: i64, now: i64) -> Option<Shift> {
    let before = zone.seconds_at(at - DAY);
    (before != now).then(|| Shift {
        at: bisect(zone, at - DAY, at, before),
        before,
    })
}

/// The shift after `from` that is not after `until`, at most [`FAR`] later.
///
/// One look is enough: the two shifts that are nearest each other in all zones of the database, from 1795 on, are a week apart
/// (America/Recife, October 2000).
fn first_shift(zone: &Zone, from: i64, until: i64, now: i64) -> Option<i64> {
    (zone.seconds_at(until) != now).then(|| bisect(zone, from, until, now))
}

/// The first second with another offset than `before`, which `from` has and `to` has not.
fn bisect(zone: &Zone, mut from: i64, mut to: i64, before: i64) -> i64 {
    while to - from > 1 {
        let middle = from + (to - from) / 2;
        if zone.seconds_at(middle) == before {
            from = middle;
        } else {
            to = middle;
        }
    }
    to
}
