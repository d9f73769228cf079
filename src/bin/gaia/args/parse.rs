//! Durations and times on the command line.

use std::time::Duration;

use chrono::{DateTime, Utc};
use jiff::SignedDuration;

/// Seconds, or a number with units: `30`, `500ms`, `1h30m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let expected = "expected seconds or a number with units, such as 30, 500ms or 1h30m";
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let parsed: SignedDuration = text.parse().map_err(|_| expected.to_owned())?;
    Duration::try_from(parsed).map_err(|_| format!("it is negative; {expected}"))
}

/// For how long to wait for an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    Forever,
    For(Duration),
}

impl Patience {
    /// The longest wait; none if there is no limit.
    pub fn limit(self) -> Option<Duration> {
        match self {
            Self::Forever => None,
            Self::For(limit) => Some(limit),
        }
    }
}

/// A duration, or `forever`.
pub fn patience(text: &str) -> Result<Patience, String> {
    match text {
        "forever" => Ok(Patience::Forever),
        text => duration(text).map(Patience::For),
    }
}

pub fn time(text: &str) -> Result<DateTime<Utc>, String> {
    let parsed = DateTime::parse_from_rfc3339(text);
    let parsed = parsed.map_err(|error| format!("{error}; expected RFC 3339, such as 2026-01-31T08:00:00Z"))?;
    Ok(parsed.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_or_are_seconds() {
        for (text, millis) in [
            ("30", 30_000),
            ("500ms", 500),
            ("1h30m", 5_400_000),
            ("2 min", 120_000),
            ("0", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "soon", "-5s", "5 fortnights"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
