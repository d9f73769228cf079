//! In English.

use super::{
    Day, Entry, Every, Field, Fields, Moment, Unit, cycle, day, hour_span, moment, plain, rows, specials, week,
};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// Sunday stands on both sides.
const WEEKDAYS: [&str; 8] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];
const NTH: [&str; 6] = ["", "first", "second", "third", "fourth", "fifth"];

pub(super) fn every(every: Every) -> String {
    let parts = every.parts().into_iter().zip(["day", "hour", "minute", "second"]);
    let words: Vec<_> = parts
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| counted(count, unit))
        .collect();
    match words[..] {
        // "Every second", but "Every 1 hour 30 minutes".
        [ref only] => format!("Every {}", only.strip_prefix("1 ").unwrap_or(only)),
        _ => format!("Every {}", words.join(" ")),
    }
}

pub(super) fn fields(fields: &Fields) -> String {
    let days = days(fields);
    match moment(fields) {
        Moment::Clock(times) if fields.day.is_any() && fields.weekday.is_any() => {
            format!("At {} every day{days}", joined(&times))
        }
        Moment::Clock(times) => format!("At {}{days}", joined(&times)),
        Moment::Hours(hours) => format!("Every {hours} hours{days}"),
        Moment::Hourly(first, last) => format!("Every hour from {first} through {last}{days}"),
        Moment::Parts => parts(fields) + &days,
    }
}

fn counted(count: u32, unit: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

/// `a`, `a and b`, `a, b and c`.
fn joined(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn numbers(mask: u64) -> String {
    joined(&rows(
        mask,
        |one| one.to_string(),
        |first, last| format!("{first} through {last}"),
    ))
}

/// `minute 5`, `minutes 5 and 10`.
fn numbered(unit: &str, mask: u64) -> String {
    let plural = if mask.is_power_of_two() { "" } else { "s" };
    format!("{unit}{plural} {}", numbers(mask))
}

/// `Every 5 minutes`, or `At minute 5`.
fn lead(field: &Field) -> (bool, String) {
    let unit = field.unit.name();
    match cycle(field) {
        Some(1) => (true, format!("Every {unit}")),
        Some(step) => (true, format!("Every {step} {unit}s")),
        None => (false, format!("At {}", numbered(unit, field.mask()))),
    }
}

fn parts(fields: &Fields) -> String {
    if fields.second.mask() != 1 {
        return second_parts(fields);
    }
    let (repeats, lead) = lead(&fields.minute);
    let on_the_hour = fields.minute.mask() == 1;
    match cycle(&fields.hour) {
        Some(1) if repeats => lead,
        Some(1) if on_the_hour => "Every hour".to_owned(),
        Some(1) => format!("{lead} of every hour"),
        _ => lead + &hours(fields.hour.mask(), !repeats),
    }
}

fn second_parts(fields: &Fields) -> String {
    let (repeats, lead) = lead(&fields.second);
    let every_minute = cycle(&fields.minute) == Some(1);
    let minutes = match every_minute {
        true if repeats => String::new(),
        true => " of every minute".to_owned(),
        false if repeats => format!(" during {}", numbered("minute", fields.minute.mask())),
        false => format!(" of {}", numbered("minute", fields.minute.mask())),
    };
    let hours = match cycle(&fields.hour) {
        Some(1) if every_minute => String::new(),
        Some(1) => " of every hour".to_owned(),
        _ => hours(fields.hour.mask(), !every_minute),
    };
    lead + &minutes + &hours
}

/// `of` follows the number of a minute.
fn hours(mask: u64, of: bool) -> String {
    match (hour_span(mask), of) {
        (Some(span), false) => format!(" between {:02}:00 and {:02}:59", span.0, span.1),
        (_, true) => format!(" of {}", numbered("hour", mask)),
        (None, false) => format!(" during {}", numbered("hour", mask)),
    }
}

/// Days and months, with a blank in front; empty if all of them match.
fn days(fields: &Fields) -> String {
    let months = match fields.month.is_any() {
        true => None,
        false => Some(fields.month.mask()),
    };
    let of_month = match months {
        Some(mask) if mask.is_power_of_two() => format!("of {}", month_names(mask)),
        _ => "of the month".to_owned(),
    };
    let (text, says_month) = day_phrase(day(fields), &of_month);
    match months {
        Some(mask) if mask.is_power_of_two() && says_month => text,
        Some(mask) => format!("{text} in {}", month_names(mask)),
        None => text,
    }
}

/// The phrase, and whether all of it names the month already.
fn day_phrase(day: Day<'_>, of_month: &str) -> (String, bool) {
    let on = |field| on_days(field, of_month);
    match day {
        Day::Any => (String::new(), false),
        Day::One(field) => (format!(" {}", on(field)), says_month(field)),
        Day::Either(first, second) => {
            let text = format!(" {} and also {}", on(first), on(second));
            (text, says_month(first) && says_month(second))
        }
        Day::Both(first, second) => {
            let condition = match second.unit {
                Unit::Weekday => format!("if it is {}", joined_or(&weekdays(second.mask()))),
                _ => format!("on {} of the month", numbered("day", second.mask())),
            };
            let text = format!(" {}, but only {condition}", on(first));
            (text, says_month(first))
        }
    }
}

/// Plain weekdays do not.
fn says_month(field: &Field) -> bool {
    field.unit == Unit::Day || plain(field).is_none()
}

fn on_days(field: &Field, of_month: &str) -> String {
    let mut words = match (plain(field), field.unit) {
        (None, _) => Vec::new(),
        (Some(mask), Unit::Weekday) => vec![format!("on {}", joined(&weekdays(mask)))],
        (Some(mask), _) => vec![format!("on {} {of_month}", numbered("day", mask))],
    };
    words.extend(specials(field, |entry| special(entry, of_month)));
    joined(&words)
}

fn special(entry: Entry, of_month: &str) -> String {
    match entry {
        Entry::Last { before: 0 } => format!("on the last day {of_month}"),
        Entry::Last { before } => format!(
            "on the day that is {} before the last day {of_month}",
            counted(before, "day")
        ),
        Entry::LastWorkday => format!("on the last weekday (Monday to Friday) {of_month}"),
        Entry::Workday { day } => format!("on the weekday (Monday to Friday) nearest day {day} {of_month}"),
        Entry::LastOf { weekday } => format!("on the last {} {of_month}", name(&WEEKDAYS, weekday)),
        Entry::Nth { weekday, nth } => {
            format!("on the {} {} {of_month}", name(&NTH, nth), name(&WEEKDAYS, weekday))
        }
        Entry::All { .. } | Entry::Range { .. } => String::new(),
    }
}

fn weekdays(mask: u64) -> Vec<String> {
    let one = |day| name(&WEEKDAYS, day).to_owned();
    rows(week(mask), one, |first, last| {
        format!("{} through {}", name(&WEEKDAYS, first), name(&WEEKDAYS, last))
    })
}

fn joined_or(words: &[String]) -> String {
    match words {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => joined(words),
    }
}

fn month_names(mask: u64) -> String {
    let one = |month: u32| name(&MONTHS, month - 1).to_owned();
    joined(&rows(mask, one, |first, last| {
        format!("{} through {}", one(first), one(last))
    }))
}

fn name(names: &[&'static str], at: u32) -> &'static str {
    names.get(at as usize).copied().unwrap_or_default()
}
