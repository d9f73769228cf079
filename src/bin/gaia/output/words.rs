//! Times and durations in words.

use std::fmt::Display;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::cell::View;

/// A duration with its largest units: `350 ms`, `1.2 s`, `2 min 5 s`, `3 h 20 min`, `5 d 3 h`.
pub fn lasting(duration: TimeDelta) -> String {
    let millis = duration.num_milliseconds().max(0);
    let (seconds, minutes, hours, days) = (millis / 1_000, millis / 60_000, millis / 3_600_000, millis / 86_400_000);
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..10_000 if millis % 1_000 >= 100 => format!("{seconds}.{} s", millis % 1_000 / 100),
        1_000..60_000 => format!("{seconds} s"),
        60_000..3_600_000 => two(minutes, "min", seconds % 60, "s"),
        3_600_000..86_400_000 => two(hours, "h", minutes % 60, "min"),
        _ => two(days, "d", hours % 24, "h"),
    }
}

fn two(large: i64, unit: &str, small: i64, small_unit: &str) -> String {
    match small {
        0 => format!("{large} {unit}"),
        small => format!("{large} {unit} {small} {small_unit}"),
    }
}

pub fn millis(millis: i64) -> String {
    lasting(TimeDelta::milliseconds(millis))
}

/// How long ago a time was, in its largest unit: `now`, `12 s ago`, `in 5 min`.
pub fn ago(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let passed = now - time;
    let seconds = passed.num_seconds().abs();
    let (count, unit) = match seconds {
        0 => return "now".to_owned(),
        1..120 => (seconds, "s"),
        120..7_200 => (seconds / 60, "min"),
        7_200..172_800 => (seconds / 3_600, "h"),
        _ => (seconds / 86_400, "d"),
    };
    match passed > TimeDelta::zero() {
        true => format!("{count} {unit} ago"),
        false => format!("in {count} {unit}"),
    }
}

/// As the API writes it, to the second.
pub fn written(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// For tables: how long ago; in wide ones, when.
pub fn in_table(time: Option<DateTime<Utc>>, view: &View) -> String {
    match time {
        None => String::new(),
        Some(time) if view.is_wide => written(time),
        Some(time) => ago(time, view.now),
    }
}

/// For details: when, and how long ago.
pub fn both(time: DateTime<Utc>, view: &View) -> String {
    format!("{} ({})", written(time), ago(time, view.now))
}

/// A number with its noun.
pub fn counted<N: Copy + Display + From<u8> + PartialEq>(count: N, one: &str, many: &str) -> String {
    match count == N::from(1) {
        true => format!("1 {one}"),
        false => format!("{count} {many}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units_at_most() {
        for (millis, expected) in [
            (0, "0 ms"),
            (-5, "0 ms"),
            (999, "999 ms"),
            (1_050, "1 s"),
            (1_250, "1.2 s"),
            (59_999, "59 s"),
            (60_000, "1 min"),
            (125_000, "2 min 5 s"),
            (7_200_000, "2 h"),
            (100_000_000, "1 d 3 h"),
        ] {
            assert_eq!(lasting(TimeDelta::milliseconds(millis)), expected);
        }
    }

    #[test]
    fn ages_look_back_and_ahead() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let at = |seconds| ago(now - TimeDelta::seconds(seconds), now);
        assert_eq!(
            [at(0), at(1), at(119), at(120), at(7_200), at(172_800)],
            ["now", "1 s ago", "119 s ago", "2 min ago", "2 h ago", "2 d ago"]
        );
        assert_eq!(at(-300), "in 5 min");
    }
}
