//! The words in English.

use super::{
    Beat, Day, Entry, Every, Field, Fields, Hours, Moment, Span, Steps, Unit, cycle, day, hours, is_full, moment,
    only_steps, pieces, plain, rows, specials, week,
};

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
        Moment::Clock(times) if matches!(day(fields), Day::Any) => {
            format!("At {} every day{days}", joined(&times))
        }
        Moment::Clock(times) => format!("At {}{days}", joined(&times)),
        Moment::Hours(hours) => format!("Every {hours} hours{days}"),
        Moment::Hourly(step, spans) => format!("{}{}{days}", every_so_many("hour", step), from_through(&spans)),
        Moment::Within(beat, spans) => format!("{}{days}", within(&beat, &spans)),
        Moment::Parts => parts(fields) + &days,
    }
}

fn within(beat: &Beat, spans: &[Span]) -> String {
    let every = every_so_many(beat.unit.name(), beat.step);
    match beat.to_the_end {
        true => every + &from_through(spans),
        false => every + &between(spans),
    }
}

fn every_so_many(unit: &str, step: u32) -> String {
    match step {
        1 => format!("Every {unit}"),
        _ => format!("Every {step} {unit}s"),
    }
}

fn from_through(spans: &[Span]) -> String {
    let spans: Vec<_> = spans
        .iter()
        .map(|(from, to)| format!("from {from} through {to}"))
        .collect();
    format!(" {}", joined(&spans))
}

fn between(spans: &[Span]) -> String {
    let spans: Vec<_> = spans
        .iter()
        .map(|(from, to)| format!("between {from} and {to}"))
        .collect();
    format!(" {}", joined(&spans))
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

/// `minute 5`, `minutes 5 and 10`, `every 5th minute from minute 2`.
fn numbered(field: &Field) -> String {
    numbered_of(field, "")
}

/// As [`numbered`], with `of` behind the number, such as ` of the month`.
fn numbered_of(field: &Field, of: &str) -> String {
    let noun = match field.unit {
        Unit::Day => "day",
        unit => unit.name(),
    };
    let stepped = |steps: &Steps, of| format!("every {} {noun}{of}{}", ordinal(steps.step), from(noun, steps));
    if let Some(steps) = only_steps(field) {
        return stepped(&steps, of);
    }
    let pieces = pieces(field);
    let mut words: Vec<_> = pieces.steps.iter().map(|steps| stepped(steps, "")).collect();
    match pieces.listed.count_ones() {
        0 => {}
        1 => words.push(format!("{noun} {}", numbers(pieces.listed))),
        _ => words.push(format!("{noun}s {}", numbers(pieces.listed))),
    }
    joined(&words) + of
}

/// ` from minute 1 through 41`, with a blank in front.
fn from(noun: &str, Steps { first, last, .. }: &Steps) -> String {
    match last {
        Some(last) => format!(" from {noun} {first} through {last}"),
        None => format!(" from {noun} {first}"),
    }
}

fn ordinal(number: u32) -> String {
    let ending = match (number % 10, number / 10) {
        (1, tens) if tens != 1 => "st",
        (2, tens) if tens != 1 => "nd",
        (3, tens) if tens != 1 => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// The beginning of a sentence, about the minutes or the seconds.
enum Lead {
    /// `Every 5 minutes` or `Every 5 minutes from minute 2`: the step goes on into the next hour (or minute).
    Steady(String),
    /// `Every 7 minutes from minute 0`: the steps begin anew in every hour (or minute).
    Anew(String),
    /// `At minute 5`.
    Listed(String),
}

fn lead(field: &Field) -> Lead {
    let unit = field.unit.name();
    if let Some(step) = cycle(field) {
        return Lead::Steady(every_so_many(unit, step));
    }
    match only_steps(field) {
        Some(steps) => {
            let text = every_so_many(unit, steps.step) + &from(unit, &steps);
            match steps.goes_on {
                true => Lead::Steady(text),
                false => Lead::Anew(text),
            }
        }
        None => Lead::Listed(format!("At {}", numbered(field))),
    }
}

fn parts(fields: &Fields) -> String {
    if fields.second.mask() != 1 {
        return second_parts(fields);
    }
    match (lead(&fields.minute), hours(fields)) {
        (Lead::Steady(lead), Hours::Any) => lead,
        (Lead::Steady(lead), hours) => lead + &during(fields, &hours),
        (_, Hours::Any) if fields.minute.mask() == 1 => "Every hour".to_owned(),
        (Lead::Anew(lead) | Lead::Listed(lead), hours) => lead + &of(fields, &hours),
    }
}

fn second_parts(fields: &Fields) -> String {
    let hours = hours(fields);
    let minutes = numbered(&fields.minute);
    match (lead(&fields.second), is_full(&fields.minute)) {
        (Lead::Steady(lead), true) => lead + &during(fields, &hours),
        (Lead::Steady(lead), false) => format!("{lead} during {minutes}{}", of(fields, &hours)),
        (Lead::Anew(lead) | Lead::Listed(lead), true) => format!("{lead} of every minute{}", during(fields, &hours)),
        (Lead::Anew(lead) | Lead::Listed(lead), false) => format!("{lead} of {minutes}{}", of(fields, &hours)),
    }
}

/// The words for the hours, behind words for times that come throughout each hour.
fn during(fields: &Fields, hours: &Hours) -> String {
    match hours {
        Hours::Any => String::new(),
        Hours::Spans(spans) => between(spans),
        Hours::Listed => format!(" during {}", numbered(&fields.hour)),
    }
}

/// The words for the hours, behind the number of a minute.
fn of(fields: &Fields, hours: &Hours) -> String {
    match hours {
        Hours::Any => " of every hour".to_owned(),
        Hours::Spans(spans) if fields.hour.mask().is_power_of_two() => between(spans),
        Hours::Spans(spans) => format!(" of every hour{}", between(spans)),
        Hours::Listed => format!(" of {}", numbered(&fields.hour)),
    }
}

/// Days and months, with a blank in front; empty if all of them match.
fn days(fields: &Fields) -> String {
    let months = match is_full(&fields.month) {
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

/// The phrase, and whether every part of it names the month already.
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
                _ => format!("on {}", numbered_of(second, " of the month")),
            };
            let text = format!(" {}, but only {condition}", on(first));
            (text, says_month(first))
        }
    }
}

/// Whether the words for this field name the month: those for plain weekdays do not.
fn says_month(field: &Field) -> bool {
    field.unit == Unit::Day || plain(field).is_none()
}

fn on_days(field: &Field, of_month: &str) -> String {
    let mut words = match (plain(field), field.unit) {
        (None, _) => Vec::new(),
        (Some(mask), Unit::Weekday) => vec![format!("on {}", joined(&weekdays(mask)))],
        (Some(_), _) => vec![format!("on {}", numbered_of(field, &format!(" {of_month}")))],
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
        Entry::LastOf { weekday } => format!("on the last {} {of_month}", weekday_name(weekday)),
        Entry::Nth { weekday, nth } => {
            format!("on the {} {} {of_month}", name(&NTH, nth), weekday_name(weekday))
        }
        Entry::All { .. } | Entry::Range { .. } => String::new(),
    }
}

fn weekdays(mask: u64) -> Vec<String> {
    let one = |day| weekday_name(day).to_owned();
    rows(week(mask), one, |first, last| {
        format!("{} through {}", weekday_name(first), weekday_name(last))
    })
}

fn joined_or(words: &[String]) -> String {
    match words {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => joined(words),
    }
}

fn month_names(mask: u64) -> String {
    let one = |month: u32| name(Unit::Month.long_names(), month - 1).to_owned();
    joined(&rows(mask, one, |first, last| {
        format!("{} through {}", one(first), one(last))
    }))
}

/// Sunday is 0 and 7.
fn weekday_name(weekday: u32) -> &'static str {
    name(Unit::Weekday.long_names(), weekday % 7)
}

fn name(names: &[&'static str], at: u32) -> &'static str {
    names.get(at as usize).copied().unwrap_or_default()
}
