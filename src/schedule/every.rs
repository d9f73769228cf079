//! `@every 1h30m10s`: a fixed interval of real time.

use super::ScheduleError;

/// An interval that is counted from the Unix epoch, so that all processes fire at the same instants, whenever they began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Every {
    seconds: u32,
}

/// No sensible interval is longer than a century.
const MAX_SECONDS: u128 = 100 * 366 * 86_400;
const NANOS: u128 = 1_000_000_000;

/// The units of Go's durations, and weeks and days. `ms` comes before `m`, which also matches the beginning of `ms`.
const UNITS: [(&str, u128); 10] = [
    ("ns", 1),
    ("us", NANOS / 1_000_000),
    ("\u{b5}s", NANOS / 1_000_000),
    ("\u{3bc}s", NANOS / 1_000_000),
    ("ms", NANOS / 1_000),
    ("w", 7 * 86_400 * NANOS),
    ("d", 86_400 * NANOS),
    ("h", 3_600 * NANOS),
    ("m", 60 * NANOS),
    ("s", NANOS),
];

impl Every {
    pub(super) fn parse(text: &str) -> Result<Self, ScheduleError> {
        // Go's durations may begin with a sign.
        let seconds = parse_nanos(text.strip_prefix('+').unwrap_or(text)).and_then(whole_seconds);
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

/// As in robfig/cron: parts of a second do not count, and an interval below one second becomes one second.
fn whole_seconds(nanos: u128) -> Result<u32, String> {
    let seconds = (nanos / NANOS).max(1);
    match u32::try_from(seconds) {
        _ if nanos == 0 => Err("an interval of nothing never ends".to_owned()),
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

/// One number with its unit, in nanoseconds, and the text after it.
fn parse_part(text: &str) -> Result<(u128, &str), String> {
    let digits = text.find(|char: char| !char.is_ascii_digit() && char != '.');
    let (number, rest) = text.split_at(digits.unwrap_or(text.len()));
    if number.is_empty() {
        return Err(format!("{text:?} does not begin with a number"));
    }
    let unit = UNITS.iter().find(|(unit, _)| rest.starts_with(unit));
    let (unit, size) = unit.ok_or_else(|| format!("{number} has no unit w, d, h, m, s, ms, us or ns"))?;
    Ok((parse_decimal(number, *size)?, &rest[unit.len()..]))
}

/// So many units of `size` nanoseconds, such as `1.5`, in whole nanoseconds.
fn parse_decimal(number: &str, size: u128) -> Result<u128, String> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    // Eighteen digits are 31 years even in nanoseconds, and the products below cannot overflow.
    if whole.len() > 18 || part.contains('.') || whole.is_empty() && part.is_empty() {
        return Err(format!("{number} is not a number"));
    }
    // The digits after the eighteenth are less than a nanosecond, even of a week.
    let part = &part[..part.len().min(18)];
    let digits = |digits: &str| digits.parse::<u128>().unwrap_or(0);
    let scale = 10_u128.pow(u32::try_from(part.len()).unwrap_or(0));
    Ok(digits(whole) * size + digits(part) * size / scale)
}
