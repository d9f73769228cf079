//! Random expressions beside the crates `croner` and `cron`. Intended differences are named where they are stepped around.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use croner::{
    JobType,
    parser::{CronParser, Seconds},
};
use gaia_actors::{
    Schedule, ScheduleForm,
    schedule::{ScheduleError, Zone},
};
use proptest::prelude::*;

use crate::{
    cases, instant, named,
    oracle::{self, Item, Random},
};

const FIRES: usize = 12;

/// `None` for what never fires, which is an error here; croner and cron search for it and give up.
fn ours(random: &Random, zone: &Zone, after: DateTime<Utc>) -> Option<Vec<DateTime<Utc>>> {
    match Schedule::parse_in(&random.text(), zone.clone(), ScheduleForm::SixFields) {
        Ok(schedule) => Some(schedule.iter_after(after).take(FIRES).collect()),
        Err(ScheduleError::NeverFires { .. }) => None,
        Err(error) => panic!("{}: {error}", random.text()),
    }
}

/// * `5/10` without an end is only read with `sloppy_ranges`; the meaning is the same.
/// * `1/3` as a weekday ends with Saturday here, as in robfig/cron; croner goes on to Sunday as 7. It is written as `1-6/3`.
/// * If one day field begins with `*/`, crontab(5) and we want both fields to match; croner does so only when it is told.
fn croner_cron(random: &Random) -> croner::Cron {
    let both = random.day[0].is_star() || random.weekday[0].is_star();
    let parser = CronParser::builder()
        .seconds(Seconds::Required)
        .sloppy_ranges(true)
        .dom_and_dow(both)
        .build();
    let to_saturday = |item: Item| match item {
        Item::From(first, step) => Item::RangeStep(first, 6, step),
        item => item,
    };
    let weekday = random.weekday.iter().copied().map(to_saturday).collect();
    let text = Random {
        weekday,
        ..random.clone()
    }
    .text();
    parser.parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn croner(random: &Random, zone: &Zone, after: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let cron = croner_cron(random);
    let fires = cron.iter_after(after.with_timezone(zone));
    fires.take(FIRES).map(|fire| fire.to_utc()).collect()
}

/// A list or a range of clock times is fixed for us as for cronie; croner calls fixed only what has one time of day, and that
/// even if it was written as `59/1`. The two kinds only differ where clocks are turned: such expressions are compared in UTC.
fn is_of_another_kind(random: &Random) -> bool {
    let is_fixed = croner_cron(random).determine_job_type() == JobType::FixedTime;
    is_fixed != random.is_fixed()
}

/// * Day fields: `cron` wants both to match, always; one of them stays a star here.
/// * Weekdays: `cron` counts from Sunday as 1; they are written one higher here.
fn cron(random: &Random, zone: &Zone, after: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let higher = |item: Item| match item {
        Item::One(day) => Item::One(day + 1),
        Item::From(day, step) => Item::From(day + 1, step),
        Item::Range(first, last) => Item::Range(first + 1, last + 1),
        Item::RangeStep(first, last, step) => Item::RangeStep(first + 1, last + 1, step),
        star => star,
    };
    let weekday = random.weekday.iter().copied().map(higher).collect();
    let text = Random {
        weekday,
        ..random.clone()
    }
    .text();
    let cron = cron::Schedule::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let fires = cron.after(&after.with_timezone(zone));
    fires.take(FIRES).map(|fire| fire.to_utc()).collect()
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn croner_agrees_in_all_zones(random in oracle::common(), zone in oracle::zone(), after in oracle::moment()) {
        let zone = if is_of_another_kind(&random) { Zone::UTC } else { zone };
        let Some(ours) = ours(&random, &zone, after) else { return Ok(()) };
        prop_assert_eq!(ours, croner(&random, &zone, after), "{} in {} after {}", random.text(), zone, after);
    }

    /// croner has no `L-3`.
    #[test]
    fn croner_agrees_on_special_days(random in oracle::common(), special in oracle::special(), after in oracle::moment()) {
        let star = || vec![Item::Star];
        let random = match special {
            Item::Last(1..) => return Ok(()),
            Item::LastOf(_) | Item::Nth(..) => Random { day: star(), weekday: vec![special], ..random },
            _ => Random { day: vec![special], weekday: star(), ..random },
        };
        let Some(ours) = ours(&random, &Zone::UTC, after) else { return Ok(()) };
        prop_assert_eq!(ours, croner(&random, &Zone::UTC, after), "{} after {}", random.text(), after);
    }

    /// Beginning close to the shift. The day that Samoa skipped is left out: croner looks two hours far for the end of a gap.
    #[test]
    fn croner_agrees_where_clocks_are_turned(
        random in oracle::common(), (zone, shift) in oracle::shift(), before in -9_000..90_000_i64,
    ) {
        let zone = if is_of_another_kind(&random) || zone == named("Pacific/Apia") { Zone::UTC } else { zone };
        let after = shift - chrono::TimeDelta::seconds(before);
        let Some(ours) = ours(&random, &zone, after) else { return Ok(()) };
        prop_assert_eq!(ours, croner(&random, &zone, after), "{} in {} after {}", random.text(), zone, after);
    }

    /// `cron` has no rules for turned clocks (what is skipped is lost, and in a repeated hour its order goes back and forth): zones
    /// without summer time only. It ends with the year 2100.
    #[test]
    fn cron_agrees_where_clocks_stand(
        random in oracle::common(), day in any::<bool>(), after in oracle::moment(),
        zone in prop_oneof![Just(Zone::UTC), Just(named("Asia/Kathmandu")), Just(named("Asia/Shanghai"))],
    ) {
        let star = vec![Item::Star];
        let random = match day {
            true => Random { weekday: star, ..random },
            false => Random { day: star, ..random },
        };
        let (first, last) = (instant("1992-01-01T00:00:00Z"), instant("2050-01-01T00:00:00Z"));
        let after = after.clamp(first, last);
        let Some(ours) = ours(&random, &zone, after) else { return Ok(()) };
        prop_assert_eq!(ours, cron(&random, &zone, after), "{} in {} after {}", random.text(), zone, after);
    }
}
