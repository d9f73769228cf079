//! From text to fields: the time zone in front, macros, and the number of fields.

use super::{
    MAX_SCHEDULE_CHARS, ScheduleError, ScheduleForm,
    every::Every,
    field::Field,
    unit::Unit,
    words::{EVERY, MACROS, known_macros},
    zone::{Zone, parse_zone},
};
use crate::config::nearest;

/// A parsed expression.
#[derive(Debug)]
pub(super) struct Spec {
    /// The zone of a `CRON_TZ=` or `TZ=` prefix.
    pub(super) zone: Option<Zone>,
    pub(super) timing: Timing,
}

#[derive(Debug)]
pub(super) enum Timing {
    Every(Every),
    Fields(Box<Fields>),
}

#[derive(Debug)]
pub(super) struct Fields {
    pub(super) second: Field,
    pub(super) minute: Field,
    pub(super) hour: Field,
    pub(super) day: Field,
    pub(super) month: Field,
    pub(super) weekday: Field,
    /// The expression has a field of seconds: descriptions show them.
    pub(super) six: bool,
}

const FIVE: &str = "five (minute hour day-of-month month day-of-week)";
const SIX: &str = "six (second minute hour day-of-month month day-of-week)";

pub(super) fn parse(text: &str, form: ScheduleForm) -> Result<Spec, ScheduleError> {
    // A text has no more characters than bytes: a short one need not be counted.
    let chars = if text.len() > MAX_SCHEDULE_CHARS {
        text.chars().count()
    } else {
        0
    };
    if chars > MAX_SCHEDULE_CHARS {
        return Err(ScheduleError::TooLong { chars });
    }
    let (zone, text) = split_zone(text.trim())?;
    let timing = if text.starts_with('@') {
        parse_macro(text)?
    } else {
        parse_fields(text, form)?
    };
    Ok(Spec { zone, timing })
}

/// The zone in front of an expression, and the rest.
fn split_zone(text: &str) -> Result<(Option<Zone>, &str), ScheduleError> {
    let named = text.strip_prefix("CRON_TZ=").or_else(|| text.strip_prefix("TZ="));
    let Some(named) = named else { return Ok((None, text)) };
    let (name, rest) = named.split_once(char::is_whitespace).unwrap_or((named, ""));
    Ok((Some(parse_zone(name)?), rest.trim_start()))
}

fn parse_macro(text: &str) -> Result<Timing, ScheduleError> {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    if word.eq_ignore_ascii_case(EVERY) {
        return Every::parse(rest.trim()).map(Timing::Every);
    }
    let known = MACROS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    match known {
        Some((_, fields)) => parse_fields(fields, ScheduleForm::Any),
        None => Err(ScheduleError::UnknownMacro {
            text: text.to_owned(),
            nearest: nearest(word, &known_macros()),
        }),
    }
}

fn parse_fields(text: &str, form: ScheduleForm) -> Result<Timing, ScheduleError> {
    // Seven slots: enough to notice that there are more than six fields.
    let mut words = [""; 7];
    let slots = words.iter_mut().zip(text.split_whitespace());
    let kept = slots.map(|(slot, word)| *slot = word).count();
    let (second, rest) = match (kept, form) {
        (0, _) => return Err(ScheduleError::Empty),
        (5, ScheduleForm::Any | ScheduleForm::FiveFields) => (None, &words[..5]),
        (6, ScheduleForm::Any | ScheduleForm::SixFields) => (Some(words[0]), &words[1..6]),
        _ => return Err(wrong_count(text, form)),
    };
    let &[minute, hour, day, month, weekday] = rest else {
        return Err(wrong_count(text, form));
    };
    Ok(Timing::Fields(Box::new(Fields {
        six: second.is_some(),
        second: second.map_or_else(
            || Ok(Field::zero(Unit::Second)),
            |text| Field::parse(Unit::Second, text),
        )?,
        minute: Field::parse(Unit::Minute, minute)?,
        hour: Field::parse(Unit::Hour, hour)?,
        day: Field::parse(Unit::Day, day)?,
        month: Field::parse(Unit::Month, month)?,
        weekday: Field::parse(Unit::Weekday, weekday)?,
    })))
}

fn wrong_count(text: &str, form: ScheduleForm) -> ScheduleError {
    let count = text.split_whitespace().count();
    let expected = match form {
        ScheduleForm::Any => format!("{FIVE} or {SIX}"),
        ScheduleForm::FiveFields => FIVE.to_owned(),
        ScheduleForm::SixFields => SIX.to_owned(),
    };
    let hint = match (count, form) {
        (5, _) => format!("; put the second in front, such as \"0 {text}\""),
        (6, _) => "; leave out the second in front".to_owned(),
        (7, _) => "; a year is not supported".to_owned(),
        _ => "; an asterisk stands for every value".to_owned(),
    };
    let plural = if count == 1 { "" } else { "s" };
    ScheduleError::FieldCount {
        text: text.to_owned(),
        found: format!("{count} field{plural}"),
        expected: expected + &hint,
    }
}
