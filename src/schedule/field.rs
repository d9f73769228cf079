//! One field of an expression: its entries as they were written, and the values for which they stand.

use super::{ScheduleError, unit::Unit};

/// One field, with its entries in the order in which they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) unit: Unit,
    pub(super) entries: Vec<Entry>,
    /// The field begins with `*` or `?`. If a day field does, a day must match both day fields, not just one (crontab(5)).
    pub(super) starred: bool,
    /// The field has a `*`, a `?` or a step somewhere: it means an interval, not fixed times.
    pub(super) interval: bool,
}

/// One entry of the list that a field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// `*` or `?`, with or without `/step`.
    All { step: u32 },
    /// A value, `first-last`, `first/step` (to the greatest value) or `first-last/step`. The range wraps if `first > last`.
    Range { first: u32, last: u32, step: u32 },
    /// `L` or `L-3`: so many days before the last day of the month.
    Last { before: u32 },
    /// `LW`: the last day from Monday to Friday of the month.
    LastWorkday,
    /// `15W`: the day from Monday to Friday that is nearest to that day, in the same month.
    Workday { day: u32 },
    /// `5L`: the last Friday of the month.
    LastOf { weekday: u32 },
    /// `5#3`: the third Friday of the month.
    Nth { weekday: u32, nth: u32 },
}

impl Field {
    pub(super) fn parse(unit: Unit, text: &str) -> Result<Self, ScheduleError> {
        let entries = text.split(',').map(|entry| parse_entry(unit, entry));
        let field = entries.collect::<Result<Vec<_>, _>>().map(|entries| Self {
            unit,
            entries,
            starred: text.starts_with(['*', '?']),
            interval: text.contains(['*', '?', '/']),
        });
        let fault = match field {
            Ok(field) if field.starred && field.specials().next().is_some() => {
                "a list that begins with * or ? cannot hold L, W or #; write the days it stands for".to_owned()
            }
            Ok(field) => return Ok(field),
            Err(fault) => fault,
        };
        Err(ScheduleError::Field {
            field: unit.name(),
            text: text.to_owned(),
            fault,
        })
    }

    /// A field that was not written: the second of five fields.
    pub(super) fn zero(unit: Unit) -> Self {
        let (first, last, step) = (0, 0, 1);
        Self {
            unit,
            entries: vec![Entry::Range { first, last, step }],
            starred: false,
            interval: false,
        }
    }

    /// The plain values, as bits.
    pub(super) fn mask(&self) -> u64 {
        self.entries.iter().fold(0, |mask, entry| mask | entry.mask(self.unit))
    }

    /// The entries whose days depend on the month: `L`, `W` and `#`.
    pub(super) fn specials(&self) -> impl Iterator<Item = Entry> {
        let is_special = |entry: &Entry| !matches!(entry, Entry::All { .. } | Entry::Range { .. });
        self.entries.iter().copied().filter(is_special)
    }

    /// Whether the field restricts nothing, as crontab(5) means it: `*`, `?`, `*/1`.
    pub(super) fn is_any(&self) -> bool {
        self.starred && self.mask() == self.unit.full()
    }
}

impl Entry {
    /// The plain values, as bits.
    pub(super) fn mask(self, unit: Unit) -> u64 {
        match self {
            Self::All { step } => bits(unit.min()..=unit.last(), step),
            Self::Range { first, last, step } if first <= last => unit.fold(bits(first..=last, step)),
            // The step goes on counting around the end: 22-3/2 is 22, 0, 2.
            Self::Range { first, last, step } => bits((first..=unit.last()).chain(unit.min()..=last), step),
            _ => 0,
        }
    }
}

fn bits(values: impl Iterator<Item = u32>, step: u32) -> u64 {
    let step = usize::try_from(step).unwrap_or(1).max(1);
    values.step_by(step).fold(0, |mask, value| mask | 1 << value)
}

fn parse_entry(unit: Unit, text: &str) -> Result<Entry, String> {
    if text.is_empty() {
        return Err("there is nothing before or after a comma; remove the comma or write a value".to_owned());
    }
    match parse_special(unit, text) {
        Some(special) => special,
        None => parse_plain(unit, text),
    }
}

/// A value, a range or a star, with or without a step.
fn parse_plain(unit: Unit, text: &str) -> Result<Entry, String> {
    let (values, step) = match text.split_once('/') {
        Some((values, step)) => (values, Some(parse_step(step)?)),
        None => (text, None),
    };
    if values == "*" || values == "?" {
        return Ok(Entry::All {
            step: step.unwrap_or(1),
        });
    }
    let (first, last) = values.split_once('-').unwrap_or((values, values));
    let is_one = first.len() == values.len();
    let first = parse_value(unit, first)?;
    let last = match step {
        _ if !is_one => parse_value(unit, last)?,
        Some(_) => unit.last(),
        None => first,
    };
    Ok(range(unit, first, last, step.unwrap_or(1)))
}

/// At the beginning of a range Sunday is 0; at the end it may be 7.
fn range(unit: Unit, first: u32, last: u32, step: u32) -> Entry {
    let (first, last) = match (unit, first, last) {
        (Unit::Weekday, 7, 7) => (0, 0),
        (Unit::Weekday, 7, last) => (0, last),
        _ => (first, last),
    };
    Entry::Range { first, last, step }
}

/// As in cronie and robfig/cron, a step may be greater than the field is long: then only the first value is left.
fn parse_step(text: &str) -> Result<u32, String> {
    match number(text) {
        None => Err(format!(
            "{text:?} is not a step; after / comes a number from 1, such as */2"
        )),
        Some(0) => Err("a step of 0 never moves on; steps begin with 1".to_owned()),
        Some(step) => Ok(step),
    }
}

/// A number or a name in the unit's range.
fn parse_value(unit: Unit, text: &str) -> Result<u32, String> {
    if let Some(number) = number(text) {
        return match (unit.min()..=unit.max()).contains(&number) {
            true => Ok(number),
            false => Err(format!("{text} is out of range {}; {}", unit.range(), unit.hint())),
        };
    }
    unit.named(text).ok_or_else(|| not_a_value(unit, text))
}

fn not_a_value(unit: Unit, text: &str) -> String {
    let range = unit.range();
    let is_word = !unit.names().is_empty() && text.chars().all(char::is_alphabetic);
    match unit.nearest(text) {
        _ if text.is_empty() => format!("a value is missing; expected {range}, *, a range 1-5 or a step */2"),
        Some(near) if is_word => format!(
            "{text:?} is no name of a {}; the nearest is {near}, and numbers are {range}",
            unit.noun()
        ),
        None if is_word => format!(
            "{text:?} is no name of a {}; names are {}, and numbers are {range}",
            unit.noun(),
            unit.names().join(", ")
        ),
        _ => format!("{text:?} is not a value; expected {range}, *, a list 1,3, a range 1-5 or a step */2"),
    }
}

/// The one day before `sign`, which is `L`, `W` or `#`.
fn parse_one(unit: Unit, text: &str, sign: char) -> Result<u32, String> {
    let is_one = !text.is_empty() && text.chars().all(char::is_alphanumeric);
    match (unit, number(text)) {
        (_, Some(_)) => parse_value(unit, text),
        (Unit::Weekday, None) if is_one => parse_value(unit, text),
        (Unit::Weekday, None) => Err(format!(
            "{text:?} is not one weekday; with {sign} stands a number 0-7 or a name, such as 5 or FRI, and several are written \
             as a list"
        )),
        (_, None) => Err(format!(
            "{text:?} is not one day; with {sign} stands a number {}, such as 15W, and several are written as a list 1W,15W",
            unit.range()
        )),
    }
}

/// The number, if the text is nothing but digits. A number that does not fit becomes `u32::MAX`, which is out of every range.
fn number(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u32::MAX))
}

/// The entry with `L`, `W` or `#`; `None` if the text is none of these.
fn parse_special(unit: Unit, text: &str) -> Option<Result<Entry, String>> {
    // Names with one of these letters (JUL, WED) are plain values.
    if !text.contains(['L', 'l', 'W', 'w', '#']) || unit.named(text).is_some() {
        return None;
    }
    match unit {
        Unit::Day => parse_special_day(text),
        Unit::Weekday => parse_special_weekday(text),
        _ => None,
    }
}

fn parse_special_day(text: &str) -> Option<Result<Entry, String>> {
    let upper = text.to_ascii_uppercase();
    match upper.as_str() {
        "L" => Some(Ok(Entry::Last { before: 0 })),
        "LW" | "WL" => Some(Ok(Entry::LastWorkday)),
        _ => match (upper.strip_prefix("L-"), text.strip_suffix(['W', 'w'])) {
            // `L-3W`: saffron miscounts (and, in debug builds, panics) if the day falls on a weekend.
            (Some(before), _) if before.ends_with('W') => {
                Some(Err(format!("{text} is not supported; use L-3, LW or 15W")))
            }
            (Some(before), _) => Some(last_before(before)),
            (None, Some(day)) => Some(parse_one(Unit::Day, day, 'W').map(|day| Entry::Workday { day })),
            (None, None) => None,
        },
    }
}

fn last_before(text: &str) -> Result<Entry, String> {
    match number(text) {
        Some(before @ 1..=30) => Ok(Entry::Last { before }),
        _ => Err(format!(
            "{text:?} is not a number of days before the last; L-1 to L-30 are allowed, and L is the last day itself"
        )),
    }
}

fn parse_special_weekday(text: &str) -> Option<Result<Entry, String>> {
    if let Some((weekday, nth)) = text.split_once('#') {
        return Some(parse_nth(weekday, nth));
    }
    match text.strip_suffix(['L', 'l'])? {
        "" => Some(Err(
            "L needs a day before it; 5L is the last Friday of the month, and 6 is every Saturday".to_owned(),
        )),
        day => Some(parse_one(Unit::Weekday, day, 'L').map(|weekday| Entry::LastOf { weekday: weekday % 7 })),
    }
}

fn parse_nth(weekday: &str, nth: &str) -> Result<Entry, String> {
    let weekday = parse_one(Unit::Weekday, weekday, '#')? % 7;
    match number(nth) {
        Some(nth @ 1..=5) => Ok(Entry::Nth { weekday, nth }),
        _ => Err(format!(
            "{nth:?} is not a week of the month; after # comes 1-5, and 5L is the last Friday"
        )),
    }
}
