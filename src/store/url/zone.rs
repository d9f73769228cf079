//! The zone in which a database's columns of time stand, as a URL names it.

use chrono::{DateTime, FixedOffset, Local, Offset, TimeDelta, TimeZone, Utc};

use crate::schedule::parse_zone;

/// How many years before and after now a zone must have one offset.
const YEARS: i64 = 10;

/// Offsets of zones, in seconds.
const MOST: i32 = 14 * 3_600;

/// Reads an offset (`+08:00`), or the name of a zone whose clocks are not moved; `Local` is the zone of this machine.
///
/// In a zone whose clocks go back once a year, one time of a column would stand for two moments. Leases cannot live with that.
pub(super) fn parse(text: &str) -> Result<FixedOffset, String> {
    let text = text.trim_matches(['\'', '"']);
    match text {
        "Local" | "local" => steady(&Local),
        // In a query, + stands for a blank.
        _ if text.starts_with([' ', '+', '-']) => {
            offset(text).ok_or_else(|| "expected an offset from -14:00 to +14:00, such as +08:00".to_owned())
        }
        "Z" => steady(&Utc),
        name => match parse_zone(name) {
            Ok(zone) => steady(&zone),
            Err(_) => {
                Err("expected an offset such as +08:00, the name of a zone such as Asia/Shanghai, or Local".to_owned())
            }
        },
    }
}

fn offset(text: &str) -> Option<FixedOffset> {
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let part = |part: &str, most: i32| match part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit()) {
        true => part.parse::<i32>().ok().filter(|part| *part <= most),
        false => None,
    };
    let seconds = part(hours, 14)? * 3_600 + part(minutes, 59)? * 60;
    let sign = if text.starts_with('-') { -1 } else { 1 };
    FixedOffset::east_opt(sign * seconds).filter(|_| seconds <= MOST)
}

/// The offset of a zone that has only one.
fn steady<Z: TimeZone>(zone: &Z) -> Result<FixedOffset, String> {
    let now = Utc::now();
    let at = |weeks| now.checked_add_signed(TimeDelta::weeks(weeks)).unwrap_or(now);
    let of = |at: DateTime<Utc>| zone.offset_from_utc_datetime(&at.naive_utc()).fix();
    let is_moved = (-52 * YEARS..52 * YEARS).any(|weeks| of(at(weeks)) != of(now));
    match is_moved {
        false => Ok(of(now)),
        true => Err(format!(
            "the clocks of this zone are moved, so that one time in the tables would stand for two moments; expected the offset of the \
             times that the tables hold (now it is {})",
            of(now)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn zones_have_one_offset() {
        for (text, expected) in [
            ("+08:00", "+08:00"),
            (" 08:00", "+08:00"),
            ("'+08:00'", "+08:00"),
            ("-03:30", "-03:30"),
            ("Asia/Shanghai", "+08:00"),
            ("UTC", "+00:00"),
            ("Z", "+00:00"),
            ("+14:00", "+14:00"),
        ] {
            assert_eq!(parse(text).expect(text).to_string(), expected, "{text}");
        }
        for (text, fault) in [
            ("+8", "expected an offset from"),
            ("+14:01", "expected an offset from"),
            ("+08:60", "expected an offset from"),
            ("+-8:00", "expected an offset from"),
            ("", "expected an offset such as"),
            ("SYSTEM", "expected an offset such as"),
            ("Asia/Shanghigh", "expected an offset such as"),
            ("Europe/Berlin", "the clocks of this zone are moved"),
            (
                "America/New_York",
                "expected the offset of the times that the tables hold",
            ),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(fault), "{text}: {error}");
        }
    }
}
