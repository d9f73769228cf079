//! The header `Retry-After` (RFC 9110, section 10.2.3).

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};

/// A service cannot put a task off for longer.
const MOST: Duration = Duration::from_secs(86_400);

/// And not for less, so that tasks do not come in a busy loop.
const LEAST: Duration = Duration::from_secs(1);

/// How long to wait; `None` if the header is neither a number of seconds nor a date. A date is compared with the `Date` of the same answer,
/// if there is one: so a wrong clock of the service does no harm. `now` is this process's time.
pub(super) fn delay(header: &str, date: Option<&str>, now: DateTime<Utc>) -> Option<Duration> {
    let header = header.trim();
    let delay = seconds(header).or_else(|| until(header, date, now))?;
    Some(delay.clamp(LEAST, MOST))
}

fn seconds(header: &str) -> Option<Duration> {
    let is_number = !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit());
    // More digits than a number holds are more than the most.
    is_number.then(|| header.parse().map_or(MOST, Duration::from_secs))
}

fn until(header: &str, date: Option<&str>, now: DateTime<Utc>) -> Option<Duration> {
    let until = httpdate::parse_http_date(header).ok()?;
    let from = date.and_then(|date| httpdate::parse_http_date(date.trim()).ok());
    let from = from.unwrap_or_else(|| SystemTime::from(now));
    Some(until.duration_since(from).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read() {
        let now = DateTime::parse_from_rfc3339("2026-01-01T00:00:00Z").unwrap().to_utc();
        let date = |text: &str| Some(text.to_owned());
        for (header, date, seconds) in [
            ("7", None, Some(7)),
            (" 0 ", None, Some(1)),
            ("99999999999999999999999", None, Some(86_400)),
            ("Thu, 01 Jan 2026 00:01:00 GMT", None, Some(60)),
            // The clock of the service is an hour behind, or decades ahead.
            (
                "Wed, 31 Dec 2025 23:01:00 GMT",
                date("Wed, 31 Dec 2025 23:00:00 GMT"),
                Some(60),
            ),
            (
                "Fri, 01 Jan 2100 00:00:30 GMT",
                date("Fri, 01 Jan 2100 00:00:00 GMT"),
                Some(30),
            ),
            ("Fri, 01 Jan 2100 00:00:30 GMT", None, Some(86_400)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", date("x"), Some(1)),
            ("soon", None, None),
            ("-7", None, None),
            ("1.5", None, None),
            ("", None, None),
        ] {
            let delay = delay(header, date.as_deref(), now);
            assert_eq!(delay.map(|delay| delay.as_secs()), seconds, "{header}");
        }
    }
}
