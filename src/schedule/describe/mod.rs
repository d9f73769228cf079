//! Sentences for people. This file works out the facts about an expression that both languages need; each language's file has the words.

mod chinese;
mod english;

use super::{
    every::Every,
    field::{Entry, Field},
    parse::{Fields, Timing},
    spell::{progression, runs},
    unit::Unit,
    zone::Zone,
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

/// A sentence lists up to so many clock times, and describes more of them by their fields. In a field with more values it looks for steps.
const MOST_TIMES: usize = 12;
/// So many clock times or more, an hour apart, are described by the first and the last.
const HOURS_IN_A_ROW: usize = 3;
/// More values than this, equally far apart, are described by the first and the step.
const MOST_LISTED: u32 = 4;
/// More stretches of the day than this are described by their hours.
const MOST_SPANS: usize = 3;

pub(super) fn describe(timing: &Timing, zone: &Zone, language: Language) -> String {
    let text = match (timing, language) {
        (Timing::Every(every), Language::English) => english::every(*every),
        (Timing::Every(every), Language::Chinese) => chinese::every(*every),
        (Timing::Fields(fields), Language::English) => english::fields(fields),
        (Timing::Fields(fields), Language::Chinese) => chinese::fields(fields),
    };
    match (timing, zone, language) {
        // An interval of real time is the same everywhere.
        (Timing::Every(_), ..) => text,
        (_, zone, _) if *zone == Zone::UTC => text,
        (_, zone, Language::English) => format!("{text} ({} time)", zone.name()),
        (_, zone, Language::Chinese) => format!("{text}（{} 时间）", zone.name()),
    }
}

/// From one clock time to another.
type Span = (String, String);

/// How a sentence best describes the times of a day.
enum Moment {
    /// Each clock time, in order.
    Clock(Vec<String>),
    /// Every so many hours, on the hour, from midnight.
    Hours(u32),
    /// Once in so many hours, from the first time of a span to the last.
    Hourly(u32, Vec<Span>),
    /// Every so many seconds or minutes, inside some spans of the day.
    Within(Beat, Vec<Span>),
    /// Field by field.
    Parts,
}

/// Every so many seconds or minutes.
struct Beat {
    unit: Unit,
    step: u32,
    /// Whether the first and the last time of a span are fires.
    to_the_end: bool,
}

fn moment(fields: &Fields) -> Moment {
    let [second, minute, hour] = [&fields.second, &fields.minute, &fields.hour].map(Field::mask);
    let on_the_hour = second == 1 && minute == 1;
    match cycle(&fields.hour) {
        Some(hours @ 2..) if on_the_hour && fields.hour.interval => return Moment::Hours(hours),
        Some(1) => return Moment::Parts,
        _ => {}
    }
    let within = || within(fields, [second, minute, hour]);
    hourly(fields, [second, minute, hour])
        .or_else(|| clock(fields, [second, minute, hour]))
        .or_else(within)
        .unwrap_or(Moment::Parts)
}

/// One time in each hour, if the hours follow one another or are equally far apart.
fn hourly(fields: &Fields, [second, minute, hour]: [u64; 3]) -> Option<Moment> {
    if !second.is_power_of_two() || !minute.is_power_of_two() {
        return None;
    }
    let (step, spans) = match progression(hour).filter(|_| hour.count_ones() > MOST_LISTED) {
        Some((first, last, step)) => (step, vec![(first, last)]),
        None => (1, hours_in_a_row(fields, hour)?),
    };
    let time = |hour: u32| clock_times(fields, [second, minute, 1 << hour]).concat();
    let spans = spans.into_iter().map(|(first, last)| (time(first), time(last)));
    Some(Moment::Hourly(step, spans.collect()))
}

fn hours_in_a_row(fields: &Fields, hour: u64) -> Option<Vec<(u32, u32)>> {
    let spans = hour_spans(fields, hour);
    let is_long = match spans.len() {
        1 => hour.count_ones() as usize >= HOURS_IN_A_ROW,
        _ => hour.count_ones() > MOST_LISTED && spans.len() <= MOST_SPANS && spans.iter().all(|(a, b)| a != b),
    };
    is_long.then_some(spans)
}

fn clock(fields: &Fields, masks: [u64; 3]) -> Option<Moment> {
    let count: u32 = masks.map(u64::count_ones).iter().product();
    let is_beat = fields.minute.starred || fields.second.starred;
    let is_short = !is_beat && count as usize <= MOST_TIMES;
    is_short.then(|| Moment::Clock(clock_times(fields, masks)))
}

/// Every so many minutes or seconds, if at most [`MOST_SPANS`] spans hold them.
fn within(fields: &Fields, [second, minute, hour]: [u64; 3]) -> Option<Moment> {
    let whole_hours = || {
        hour_spans(fields, hour)
            .into_iter()
            .map(|(a, b)| (clock_time(a, 0), clock_time(b, 59)))
    };
    let (beat, spans): (Beat, Vec<Span>) = match (second, cycle(&fields.second), cycle(&fields.minute)) {
        (1, _, Some(step)) => (Beat::through(Unit::Minute, step), whole_hours().collect()),
        (_, Some(step), Some(1)) => (Beat::through(Unit::Second, step), whole_hours().collect()),
        (1, ..) => {
            let (first, last, step) = beat(minute)?;
            let spans = values(hour).map(|hour| (clock_time(hour, first), clock_time(hour, last)));
            (Beat::exact(Unit::Minute, step), spans.collect())
        }
        (_, Some(step), _) => (Beat::through(Unit::Second, step), minute_spans(hour, minute)),
        _ => {
            let (first, last, step) = beat(second)?;
            let minutes = values(hour).flat_map(|hour| values(minute).map(move |minute| clock_time(hour, minute)));
            let spans = minutes.map(|time| (format!("{time}:{first:02}"), format!("{time}:{last:02}")));
            (Beat::exact(Unit::Second, step), spans.collect())
        }
    };
    (spans.len() <= MOST_SPANS).then_some(Moment::Within(beat, spans))
}

impl Beat {
    fn through(unit: Unit, step: u32) -> Self {
        let to_the_end = false;
        Self { unit, step, to_the_end }
    }

    fn exact(unit: Unit, step: u32) -> Self {
        let to_the_end = true;
        Self { unit, step, to_the_end }
    }
}

/// First, last and step of three values or more that are equally far apart.
fn beat(mask: u64) -> Option<(u32, u32, u32)> {
    let mut rows = runs(mask);
    match (rows.next(), rows.next()) {
        (Some((first, last)), None) if last - first >= 2 => Some((first, last, 1)),
        _ => progression(mask),
    }
}

/// From the first to the last second of each row of minutes, in each hour.
fn minute_spans(hour: u64, minute: u64) -> Vec<Span> {
    let rows = values(hour).flat_map(|hour| runs(minute).map(move |row| (hour, row)));
    let span = |(hour, (first, last))| {
        let (first, last) = (clock_time(hour, first), clock_time(hour, last));
        (format!("{first}:00"), format!("{last}:59"))
    };
    rows.map(span).collect()
}

fn clock_time(hour: u32, minute: u32) -> String {
    format!("{hour:02}:{minute:02}")
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

/// Rows of hours that follow one another. If every day matches, a row may go on past midnight; on Mondays alone, the hours after midnight
/// come first.
fn hour_spans(fields: &Fields, mask: u64) -> Vec<(u32, u32)> {
    let mut rows: Vec<_> = runs(mask).collect();
    if let [(0, last), .., (first, 23)] = rows[..]
        && is_daily(fields)
    {
        rows.remove(0);
        rows.pop();
        rows.push((first, last));
    }
    rows
}

/// Whether every day of the year matches.
fn is_daily(fields: &Fields) -> bool {
    matches!(day(fields), Day::Any) && is_full(&fields.month)
}

/// Whether each value matches, however the field was written.
fn is_full(field: &Field) -> bool {
    field.mask() == field.unit.full()
}

/// The hours of a [`Moment::Parts`].
enum Hours {
    Any,
    /// One hour, or few stretches.
    Spans(Vec<Span>),
    /// More than [`MOST_SPANS`] stretches: the sentence lists the numbers of the hours.
    Listed,
}

fn hours(fields: &Fields) -> Hours {
    let spans = hour_spans(fields, fields.hour.mask());
    match spans.len() {
        _ if is_full(&fields.hour) => Hours::Any,
        1..=MOST_SPANS => Hours::Spans(
            spans
                .into_iter()
                .map(|(first, last)| (clock_time(first, 0), clock_time(last, 59)))
                .collect(),
        ),
        _ => Hours::Listed,
    }
}

/// More than [`MOST_LISTED`] values, equally far apart.
struct Steps {
    first: u32,
    /// `None` if there is no room for a further step.
    last: Option<u32>,
    step: u32,
    /// Whether the same step leads from the last value to the first value of the next round, such as of the next hour.
    goes_on: bool,
}

/// The plain values of a field: rows of values that are equally far apart, and the others one by one.
struct Pieces {
    steps: Vec<Steps>,
    listed: u64,
}

fn pieces(field: &Field) -> Pieces {
    let (unit, mask) = (field.unit, field.mask());
    let whole = steps(unit, mask);
    if whole.is_some() || mask.count_ones() as usize <= MOST_TIMES {
        let listed = if whole.is_some() { 0 } else { mask };
        return Pieces {
            steps: whole.into_iter().collect(),
            listed,
        };
    }
    // In a long list, the entries that were written with steps are described as steps.
    let mut pieces = Pieces {
        steps: Vec::new(),
        listed: mask,
    };
    for entry in field.entries.iter().map(|entry| entry.mask(unit)) {
        if let Some(steps) = steps(unit, entry) {
            pieces.steps.push(steps);
            pieces.listed &= !entry;
        }
    }
    pieces
}

/// The row of steps, if the whole field is one.
fn only_steps(field: &Field) -> Option<Steps> {
    let Pieces { mut steps, listed } = pieces(field);
    steps.pop().filter(|_| steps.is_empty() && listed == 0)
}

fn steps(unit: Unit, mask: u64) -> Option<Steps> {
    if mask.count_ones() <= MOST_LISTED {
        return None;
    }
    let (first, last, step) = progression(mask)?;
    let is_open = last + step > unit.last();
    let count = unit.last() + 1 - unit.min();
    Some(Steps {
        first,
        last: (!is_open).then_some(last),
        step,
        goes_on: is_open && count.is_multiple_of(step) && first < step + unit.min(),
    })
}

/// How the two day fields act together.
#[derive(Clone, Copy)]
enum Day<'a> {
    Any,
    /// Only this field restricts the day.
    One(&'a Field),
    /// A day matches if either field matches it.
    Either(&'a Field, &'a Field),
    /// A day matches if the first field matches it and it is among the plain values of the second.
    Both(&'a Field, &'a Field),
}

fn day(fields: &Fields) -> Day<'_> {
    let (day, weekday) = (&fields.day, &fields.weekday);
    match (day.is_any(), weekday.is_any()) {
        (true, true) => Day::Any,
        (false, true) => one(day),
        (true, false) => one(weekday),
        (false, false) if day.starred => both(weekday, day),
        (false, false) if weekday.starred => both(day, weekday),
        // All days of one kind are all days.
        (false, false) if is_full(day) || is_full(weekday) => Day::Any,
        (false, false) => Day::Either(day, weekday),
    }
}

fn one(field: &Field) -> Day<'_> {
    match is_full(field) {
        true => Day::Any,
        false => Day::One(field),
    }
}

fn both<'a>(first: &'a Field, second: &'a Field) -> Day<'a> {
    match is_full(first) {
        true => Day::One(second),
        false => Day::Both(first, second),
    }
}

/// Values as words: `row` words three or more in a row by the first and the last.
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

/// Weekdays from Monday, as people count them: moves the bit of Sunday from 0 to 7.
fn week(mask: u64) -> u64 {
    (mask & !1) | (mask & 1) << 7
}

/// The plain values; `None` if the field has only `L`, `W` and `#`.
fn plain(field: &Field) -> Option<u64> {
    Some(field.mask()).filter(|mask| *mask != 0)
}

fn specials(field: &Field, words: impl Fn(Entry) -> String) -> Vec<String> {
    field.specials().map(words).collect()
}
