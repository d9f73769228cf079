//! Cron schedules through the public API: tables with literal instants, and random expressions beside an independent matcher
//! and two other crates.

#![expect(clippy::expect_used, reason = "helpers of tests are tests")]

mod bad;
mod clocks;
mod days;
mod oracle;
mod peers;
mod phrases;
mod properties;
mod tables;
mod words;
mod zones;

use chrono::{DateTime, SecondsFormat, Utc};
use gaia_actors::{Schedule, schedule::Zone};
use proptest::test_runner::Config;

fn instant(text: &str) -> DateTime<Utc> {
    let instant = DateTime::parse_from_rfc3339(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    instant.to_utc()
}

fn schedule(expr: &str) -> Schedule {
    Schedule::parse(expr).unwrap_or_else(|error| panic!("{expr}: {error}"))
}

/// By the rules of this crate, whatever the machine has.
fn named(zone: &str) -> Zone {
    Zone::bundled(zone).unwrap_or_else(|error| panic!("{error}"))
}

/// The next fires in the schedule's zone, as RFC 3339 without seconds where there are none.
fn fires(expr: &str, from: &str, count: usize) -> Vec<String> {
    let schedule = schedule(expr);
    let local = |fire: DateTime<Utc>| {
        let fire = fire.with_timezone(&schedule.zone());
        fire.to_rfc3339_opts(SecondsFormat::Secs, true)
    };
    schedule.iter_after(instant(from)).take(count).map(local).collect()
}

/// One expression, where to begin, and the fires that must follow.
fn check(expr: &str, from: &str, expected: &[&str]) {
    assert_eq!(fires(expr, from, expected.len()), expected, "{expr} after {from}");
}

/// A failing expression belongs into a table with a name, not into a file of seeds.
fn cases(cases: u32) -> Config {
    Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    }
}
