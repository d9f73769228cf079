//! Sentences for people. What both languages need to know of an expression is worked out here; each file has the words.

mod chinese;
mod english;

use chrono_tz::Tz;

use super::{
    every::Every,
    field::{Entry, Field},
    parse::{Fields, Timing},
    spell::runs,
    unit::Unit,
};

/// The language of [`Schedule::describe`](crate::Schedule::describe).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Language {
    /// English (the default).
    #[default]
    English,
    /// Simplified Chinese.
    Chinese,
}

/// More clock times than this are said by their fields, not one by one.
const MOST_TIMES: usize = 12;
/// As many times, an hour apart, are said as the first and the last.
const HOURS_IN_A_ROW: usize = 3;

pub(super) fn describe(timing: &Timing, zone: Tz, language: Language) -> String {
    let text = match (timing, language) {
        (Timing::Every(every), Language::English) => english::every(*every),
        (Timing::Every(every), Language::Chinese) => chinese::every(*every),
        (Timing::Fields(fields), Language::English) => english::fields(fields),
        (Timing::Fields(fields), Language::Chinese) => chinese::fields(fields),
    };
    match (timing, zone, language) {
        // An interval of real time is the same everywhere.
        (Timing::Every(_), ..) | (_, Tz::UTC, _) => text,
        (_, zone, Language::English) => format!("{text} ({} time)", zone.name()),
        (_, zone, Language::Chinese) => format!("{text}（{} 时间）", zone.name()),
    }
}

/// How the times of a day are best said.
enum Moment {
    /// Each of them, in order.
    Clock(Vec<String>),
    /// Every so many hours, on the hour, from midnight.
    Hours(u32),
    /// Every hour from one time to another.
    Hourly(String, String),
    /// Field by field.
    Parts,
}

fn moment(fields: &Fields) -> Moment {
    let [second, minute, hour] = [&fields.second, &fields.minute, &fields.hour].map(Field::mask);
    let on_the_hour = second == 1 && minute == 1;
    match cycle(&fields.hour) {
        Some(hours @ 2..) if on_the_hour && fields.hour.interval => return Moment::Hours(hours),
        Some(1) => return Moment::Parts,
        _ => {}
    }
    let count = [second, minute, hour].map(u64::count_ones).iter().product::<u32>();
    if count > 24 {
        return Moment::Parts;
    }
    let times = clock_times(fields, [second, minute, hour]);
    let one_an_hour = times.len() == values(hour).count();
    let from_to = hour_span(hour).filter(|_| one_an_hour && times.len() >= HOURS_IN_A_ROW);
    if let Some((first, last)) = from_to {
        let time = |hour: u32| clock_times(fields, [second, minute, 1 << hour]).concat();
        return Moment::Hourly(time(first), time(last));
    }
    match times.len() > MOST_TIMES || fields.minute.starred || fields.second.starred {
        true => Moment::Parts,
        false => Moment::Clock(times),
    }
}

fn clock_times(fields: &Fields, [second, minute, hour]: [u64; 3]) -> Vec<String> {
    let mut times = Vec::new();
    for hour in values(hour) {
        for minute in values(minute) {
            for second in values(second) {
                times.push(match fields.six {
                    true => format!("{hour:02}:{minute:02}:{second:02}"),
                    false => format!("{hour:02}:{minute:02}"),
                });
            }
        }
    }
    times
}

/// `Some(n)` if the field matches every nth value for ever, without a shorter wait at the end: `*`, `*/5`, `0/15`; not `*/7`.
fn cycle(field: &Field) -> Option<u32> {
    let count = field.unit.last() + 1;
    let mask = field.mask();
    let step = count / mask.count_ones().max(1);
    let expected = (0..count).step_by(step.max(1) as usize);
    let expected = expected.fold(0_u64, |mask, value| mask | 1 << value);
    (count.is_multiple_of(step) && step < count && expected == mask).then_some(step)
}

fn values(mask: u64) -> impl Iterator<Item = u32> {
    (0..64).filter(move |value| mask >> value & 1 == 1)
}

/// First and last of the one row of values that a mask of hours is, perhaps around midnight.
fn hour_span(mask: u64) -> Option<(u32, u32)> {
    let rows: Vec<_> = runs(mask).collect();
    match rows[..] {
        [row] => Some(row),
        [(0, last), (first, 23)] => Some((first, last)),
        _ => None,
    }
}

/// The day fields, as they act together.
#[derive(Clone, Copy)]
enum Day<'a> {
    Any,
    /// The one that is restricted.
    One(&'a Field),
    /// Either of them.
    Either(&'a Field, &'a Field),
    /// The first, on those days that are also among the plain values of the second.
    Both(&'a Field, &'a Field),
}

fn day(fields: &Fields) -> Day<'_> {
    let (day, weekday) = (&fields.day, &fields.weekday);
    match (day.is_any(), weekday.is_any()) {
        (true, true) => Day::Any,
        (false, true) => Day::One(day),
        (true, false) => Day::One(weekday),
        (false, false) if day.starred => Day::Both(weekday, day),
        (false, false) if weekday.starred => Day::Both(day, weekday),
        (false, false) => Day::Either(day, weekday),
    }
}

/// Values as words: three or more in a row are said as first and last.
fn rows(mask: u64, one: impl Fn(u32) -> String, row: impl Fn(u32, u32) -> String) -> Vec<String> {
    let mut words = Vec::new();
    for (first, last) in runs(mask) {
        match last - first {
            0 => words.push(one(first)),
            1 => words.extend([one(first), one(last)]),
            _ => words.push(row(first, last)),
        }
    }
    words
}

/// Weekdays from Monday, as people count them: Sunday is the last.
fn week(mask: u64) -> u64 {
    (mask & !1) | (mask & 1) << 7
}

/// `None` where there are only `L`, `W` and `#`.
fn plain(field: &Field) -> Option<u64> {
    Some(field.mask()).filter(|mask| *mask != 0)
}

fn specials(field: &Field, words: impl Fn(Entry) -> String) -> Vec<String> {
    field.specials().map(words).collect()
}
