//! What holds for every expression and every instant.

use std::fmt::Write;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use gaia_actors::{
    Schedule, ScheduleForm,
    schedule::{Language, ScheduleError, Zone},
};
use proptest::prelude::*;

use crate::{
    cases, named,
    oracle::{self, Random},
};

// The fuzz target has the same body.
include!("anything.rs");

/// `None` if the expression never fires, which the oracle must confirm: no day of the 28 kinds and orders of years matches.
fn parsed(random: &Random, zone: &Zone) -> Option<Schedule> {
    let text = random.text();
    match Schedule::parse_in(&text, zone.clone(), ScheduleForm::Any) {
        Ok(schedule) => Some(schedule),
        Err(ScheduleError::NeverFires { .. }) => {
            let first = NaiveDate::from_ymd_opt(2000, 1, 1).expect("is a date");
            let dates = first.iter_days().take(28 * 366);
            let found = dates
                .filter(|date| random.matches_date(*date))
                .take(1)
                .collect::<Vec<_>>();
            assert_eq!(found, [], "{text} fires");
            None
        }
        Err(error) => panic!("{text}: {error}"),
    }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn days_are_those_of_the_oracle(random in oracle::any(), at in oracle::moment()) {
        let random = Random { second: None, minute: vec![oracle::Item::One(0)], hour: vec![oracle::Item::One(0)], ..random };
        let Some(schedule) = parsed(&random, &Zone::UTC) else { return Ok(()) };
        let end = at + Days::new(500);
        let fires = schedule.iter_after(at).take_while(|fire| *fire <= end).map(|fire| fire.date_naive());
        let dates = at.date_naive().iter_days().skip(1).take(500).filter(|date| random.matches_date(*date));
        prop_assert_eq!(fires.collect::<Vec<_>>(), dates.collect::<Vec<_>>(), "{} after {}", random.text(), at);
    }

    #[test]
    fn seconds_are_those_of_the_oracle(random in oracle::any(), zone in oracle::zone(), at in oracle::moment()) {
        same_in_window(&random, &zone, at, 2_000)?;
    }

    #[test]
    fn fires_follow_one_another_and_are_contained(
        random in oracle::any(), zone in oracle::zone(), at in oracle::moment(),
    ) {
        let Some(schedule) = parsed(&random, &zone) else { return Ok(()) };
        let (mut last, mut was_contained) = (at, schedule.contains(at));
        for fire in schedule.iter_after(at).take(20) {
            prop_assert!(fire > last, "{} after {}", fire, last);
            prop_assert!(schedule.contains(fire));
            prop_assert_eq!(fire.timestamp_subsec_nanos(), 0);
            let middle = last + (fire - last) / 2;
            prop_assert_eq!(schedule.next_after(middle), Some(fire));
            let second = DateTime::from_timestamp(middle.timestamp(), 0).expect("is in range");
            prop_assert_eq!(schedule.contains(second), second == fire || was_contained && second == last);
            (last, was_contained) = (fire, true);
        }
    }

    #[test]
    fn the_text_is_kept_and_says_the_same_again(random in oracle::any(), zone in oracle::zone()) {
        let Some(schedule) = parsed(&random, &zone) else { return Ok(()) };
        prop_assert_eq!(schedule.to_string(), random.text());
        let prefixed = format!("CRON_TZ={} {schedule}", zone.name());
        let again: Schedule = prefixed.parse().expect("is good");
        prop_assert_eq!(again.describe(Language::English), schedule.describe(Language::English));
        let epoch = DateTime::<Utc>::UNIX_EPOCH;
        prop_assert_eq!(again.next_after(epoch), schedule.next_after(epoch));
    }

    #[test]
    fn words_have_blanks_only_where_they_belong(random in oracle::any(), zone in oracle::zone()) {
        let Some(schedule) = parsed(&random, &zone) else { return Ok(()) };
        let english = schedule.describe(Language::English);
        prop_assert!(english.split(' ').all(|word| !word.is_empty() && !word.starts_with(',')), "{}: {}", schedule, english);
        let chinese: Vec<_> = schedule.describe(Language::Chinese).chars().collect();
        for pair in chinese.windows(2) {
            prop_assert!(pair != [' ', ' '], "{}: {:?}", schedule, chinese);
            let is_mixed = |a: char, b: char| a.is_ascii_alphanumeric() && is_ideograph(b);
            let sticks = is_mixed(pair[0], pair[1]) || is_mixed(pair[1], pair[0]);
            prop_assert!(!sticks, "{}: {:?}", schedule, chinese);
        }
        for triple in chinese.windows(3).filter(|triple| triple[1] == ' ') {
            prop_assert!(!(is_ideograph(triple[0]) && is_ideograph(triple[2])), "{}: {:?}", schedule, chinese);
        }
    }

    #[test]
    fn nothing_panics(text in any_text(), at in any::<i64>()) {
        explain_anything(&text, at);
    }
}

proptest! {
    #![proptest_config(cases(120))]

    #[test]
    fn seconds_are_those_of_the_oracle_where_clocks_are_turned(
        random in oracle::any(), (zone, shift) in oracle::shift(), before in 0..4_000_i64,
    ) {
        same_in_window(&random, &zone, shift - TimeDelta::seconds(before), 8_000)?;
    }
}

/// Second by second.
fn same_in_window(random: &Random, zone: &Zone, after: DateTime<Utc>, seconds: i64) -> Result<(), TestCaseError> {
    let Some(schedule) = parsed(random, zone) else {
        return Ok(());
    };
    let end = after + TimeDelta::seconds(seconds);
    let ours: Vec<_> = schedule.iter_after(after).take_while(|fire| *fire <= end).collect();
    let instants = (1..=seconds).map(|second| after + TimeDelta::seconds(second));
    let expected: Vec<_> = instants.filter(|at| random.fires(zone, *at)).collect();
    prop_assert_eq!(ours, expected, "{} in {} after {}", random.text(), zone, after);
    Ok(())
}

fn is_ideograph(char: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&char)
}

/// Anything, and what looks like an expression.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[0-9*/,?LW# -]{0,40}",
        "(CRON_TZ=|TZ=)?[A-Za-z/_]{0,16} ?[0-9*/,-]{1,6}( [0-9*/,?LW#a-z-]{1,6}){4,5}",
        "@(every )?[0-9a-z.]{0,24}",
    ]
}

#[test]
fn the_ends_of_time_are_quiet() {
    for expr in ["* * * * * *", "0 0 29 2 *", "@every 1s", "@yearly", "0 0 1 1 0"] {
        for zone in [
            Zone::UTC,
            named("Pacific/Kiritimati"),
            named("Pacific/Pago_Pago"),
            named("Africa/Casablanca"),
        ] {
            let schedule = Schedule::parse_in(expr, zone.clone(), ScheduleForm::Any).expect("is good");
            assert_eq!(schedule.next_after(DateTime::<Utc>::MAX_UTC), None);
            assert!(!schedule.contains(DateTime::<Utc>::MAX_UTC));
            assert!(!schedule.contains(DateTime::<Utc>::MIN_UTC));
            let first = schedule.next_after(DateTime::<Utc>::MIN_UTC).expect("fires");
            assert!(schedule.contains(first), "{expr} in {zone}: {first}");
        }
    }
}

#[test]
fn a_long_expression_is_read_up_to_its_limit() {
    let mut list = String::from("0");
    while list.len() < 900 {
        write!(list, ",{}", list.len() % 60).expect("is a String");
    }
    assert!(Schedule::parse(&format!("{list} * * * *")).is_ok());
}

#[test]
fn a_schedule_is_small() {
    // 100,000 of them live in one process.
    assert!(size_of::<Schedule>() <= 64, "{}", size_of::<Schedule>());
}
