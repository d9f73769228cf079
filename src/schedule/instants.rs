//! From local time to instants: what a schedule means where clocks are turned forward and back.
//!
//! A *fixed* time in a skipped hour fires once, right after the gap; several of them there are one fire. A fixed time in a
//! repeated hour fires the first time only. *Intervals* follow real time: they fire both times in a repeated hour, never in a skipped
//! hour. These rules hold for shifts of any size. ([`Schedule`](super::Schedule) says how they differ from cronie's.)
//!
//! A zone is a row of periods of real time with one offset each. The search below goes from period to period, and skips stretches
//! that cannot hold a fire, so that its work does not depend on how far away the next fire is.

use super::zone::Zone;

const DAY: i64 = 86_400;

/// Longer than any two offsets are apart (-16 h to +15 h): of two instants so far apart, the later one has the later local time.
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
            // If the clocks were turned back, the times that they showed before have fired already.
            from = from.max(shift.at + shift.before);
        }
        let fire = local(from)? - offset;
        let until = fire.min(at + FAR);
        at = match first_shift(zone, at, until, offset) {
            Some(shift) => shift,
            None if fire == until => return Some(fire),
            // Between `until` and `fire - FAR` only a shift of more than two days could make a local time match.
            None => until.max(fire - FAR),
        };
    }
}

/// A moment at which a zone's offset changed.
#[derive(Debug, Clone, Copy)]
struct Shift {
    at: i64,
    /// The offset until `at`.
    before: i64,
}

/// The shift at `at` or in the day before it, if there is one; `now` is the offset at `at`. No shift skips or repeats more than a day.
fn last_shift(zone: &Zone, at: i64, now: i64) -> Option<Shift> {
    let before = zone.seconds_at(at - DAY);
    (before != now).then(|| Shift {
        at: bisect(zone, at - DAY, at, before),
        before,
    })
}

/// The shift after `from` that is not after `until`, if there is one. `until` is at most [`FAR`] after `from`, and `now` is the offset
/// at `from`.
///
/// To compare two offsets is enough: in all zones of the database, from 1795 on, no two shifts are less than a week apart
/// (America/Recife, October 2000).
fn first_shift(zone: &Zone, from: i64, until: i64, now: i64) -> Option<i64> {
    (zone.seconds_at(until) != now).then(|| bisect(zone, from, until, now))
}

/// The first second with another offset than `before`. At `from` the offset is `before`, at `to` it is another.
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
