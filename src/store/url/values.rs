//! Values of parameters. Errors name the expected value, not the value that was found: that may be a piece of a password.

use std::{fmt, ops::RangeInclusive, str::FromStr, time::Duration};

use super::tls_mode::TlsMode;

/// The longest time that a parameter may ask for. A 0, by which libpq means "for ever", stands for this time.
const LONGEST: Duration = Duration::from_secs(3_600);

/// The meaning of a number from 100 to 999 without a unit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hundreds {
    Milliseconds,
    /// Refused, since libpq would read it as seconds, and this crate's older versions as milliseconds.
    Refused,
}

pub(super) fn number<T>(text: &str, range: &RangeInclusive<T>) -> Result<T, String>
where
    T: FromStr + PartialOrd + fmt::Display,
{
    let parsed = text.parse().ok().filter(|number| range.contains(number));
    parsed.ok_or_else(|| format!("expected a number from {} to {}", range.start(), range.end()))
}

/// Reads a time in the forms that programs use. Without a unit, small numbers are seconds (libpq, Prisma, `MySQL`'s clients), large ones
/// milliseconds (this crate, JDBC for `MySQL`): no connection takes more than 99 s or less than 100 ms on purpose.
pub(super) fn time(text: &str, hundreds: Hundreds) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|char: char| !char.is_ascii_digit());
    let number = digits.parse::<u64>().ok();
    let time = number.and_then(|number| {
        let time = match (&text[digits.len()..], number) {
            ("s", _) | ("", 1..100) => Duration::from_secs(number),
            ("m", _) => Duration::from_secs(number.checked_mul(60)?),
            ("", 0) => LONGEST,
            ("", 100..1_000) if hundreds == Hundreds::Refused => return None,
            ("ms" | "", _) => Duration::from_millis(number),
            _ => return None,
        };
        Some(time).filter(|time| !time.is_zero() && *time <= LONGEST)
    });
    time.ok_or_else(|| "expected a time with its unit, such as 10s or 1500ms, of an hour at most".to_owned())
}

#[cfg(feature = "postgres")]
pub(super) fn flag(text: &str) -> Result<bool, String> {
    choice(text, &[("true", true), ("1", true), ("false", false), ("0", false)])
}

/// Reads one of the values of `allowed`. Capital letters count as small letters, and `_` as `-`.
pub(super) fn choice<T: Copy>(text: &str, allowed: &[(&str, T)]) -> Result<T, String> {
    let text = text.to_ascii_lowercase().replace('_', "-");
    let found = allowed.iter().find(|(name, _)| *name == text);
    found.map(|(_, chosen)| *chosen).ok_or_else(|| {
        let names: Vec<_> = allowed.iter().map(|(name, _)| *name).collect();
        format!("expected {}", names.join(", "))
    })
}

/// Reads the TLS options of Node's driver for `MySQL`, a JSON object.
pub(super) fn tls_object(text: &str) -> Result<TlsMode, String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Object {
        #[serde(default = "yes")]
        reject_unauthorized: bool,
        #[serde(default, rename = "minVersion")]
        _min_version: Option<String>,
    }
    const fn yes() -> bool {
        true
    }
    match serde_json::from_str(text) {
        Ok(Object {
            reject_unauthorized: true,
            ..
        }) => Ok(TlsMode::VerifyFull),
        Ok(_) => Ok(TlsMode::Require),
        Err(_) => Err("expected true, false, a mode, or {\"rejectUnauthorized\":true}".to_owned()),
    }
}
