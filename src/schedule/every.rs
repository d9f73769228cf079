//! `@every 1h30m10s`: a fixed interval of real time.

use super::ScheduleError;

/// Counted from the Unix epoch, so that all processes fire at the same instants, whenever they began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Every {
    seconds: u32,
}

/// A century is longer than any interval can mean.
const MAX_SECONDS: u128 = 100 * 366 * 86_400;
const NANOS: u128 = 1_000_000_000;

/// `ms` stands before `m`, which would take its first letter.
const UNITS: [(&str, u128); 6] = [
    ("ms", NANOS / 1_000),
    ("w", 7 * 86_400 * NANOS),
    ("d", 86_400 * NANOS),
    ("h", 3_600 * NANOS),
    ("m", 60 * NANOS),
    ("s", NANOS),
];

impl Every {
    pub(super) fn parse(text: &str) -> Result<Self, ScheduleError> {
        let seconds = parse_nanos(text).and_then(whole_seconds);
        seconds
            .map(|seconds| Self { seconds })
            .map_err(|fault| ScheduleError::Every {
                text: text.to_owned(),
                fault,
            })
    }

    /// Days, hours, minutes and seconds.
    pub(super) fn parts(self) -> [u32; 4] {
        let seconds = self.seconds;
        [seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60]
    }

    pub(super) fn next(self, after: i64) -> i64 {
        let step = i64::from(self.seconds);
        (after.div_euclid(step) + 1) * step
    }
}

fn whole_seconds(nanos: u128) -> Result<u32, String> {
    let seconds = nanos / NANOS;
    match u32::try_from(seconds) {
        Ok(0) => Err("the interval must be at least one second".to_owned()),
        Ok(_) if !nanos.is_multiple_of(NANOS) => Err("the interval has a part of a second".to_owned()),
        Ok(whole) if seconds <= MAX_SECONDS => Ok(whole),
        _ => Err("the interval is longer than a hundred years".to_owned()),
    }
}

fn parse_nanos(text: &str) -> Result<u128, String> {
    if text.is_empty() {
        return Err("the interval is missing".to_owned());
    }
    let (mut rest, mut nanos) = (text, 0_u128);
    while !rest.is_empty() {
        let (part, after) = parse_part(rest)?;
        nanos = nanos.saturating_add(part);
        rest = after;
    }
    Ok(nanos)
}

/// One number with its unit, in nanoseconds, and what comes after it.
fn parse_part(text: &str) -> Result<(u128, &str), String> {
    let digits = text.find(|char: char| !char.is_ascii_digit() && char != '.');
    let (number, rest) = text.split_at(digits.unwrap_or(text.len()));
    if number.is_empty() {
        return Err(format!("{text:?} does not begin with a number"));
    }
    let unit = UNITS.iter().find(|(unit, _)| rest.starts_with(unit));
    let (unit, size) = unit.ok_or_else(|| format!("{number} has no unit w, d, h, m, s or ms"))?;
    Ok((parse_decimal(number, *size)?, &rest[unit.len()..]))
}

/// `1.5` of a unit.
fn parse_decimal(number: &str, size: u128) -> Result<u128, String> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let fault = || format!("{number} is not a number");
    // Twelve digits are more than a century in milliseconds, and less than what could overflow.
    if whole.len() > 12 || part.len() > 12 || whole.is_empty() || part.contains('.') {
        return Err(fault());
    }
    let whole: u128 = whole.parse().map_err(|_| fault())?;
    let scale = 10_u128.pow(u32::try_from(part.len()).unwrap_or(0));
    let part: u128 = if part.is_empty() {
        0
    } else {
        part.parse().map_err(|_| fault())?
    };
    match part * size % scale {
        0 => Ok(whole * size + part * size / scale),
        _ => Err("the interval has a part of a second".to_owned()),
    }
}
