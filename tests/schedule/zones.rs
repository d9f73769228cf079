//! Whose rules zones have. All but the last test go by the rules of this crate, so that no test depends on the machine.

use chrono::{DateTime, Datelike, Offset, TimeDelta, TimeZone, Utc};
use gaia_actors::{
    Schedule, ScheduleForm,
    schedule::{Zone, parse_zone, zone_data},
};

use crate::{instant, named};

fn fire(expr: &str, zone: &str, after: &str) -> String {
    let zone = named(zone);
    let schedule = Schedule::parse_in(expr, zone.clone(), ScheduleForm::Any).expect("is good");
    let fire = schedule.next_after(instant(after)).expect("fires");
    fire.with_timezone(&zone).to_rfc3339()
}

/// Zones whose laws were changed in 2026: these keep their summer time for good, or gave it up.
#[test]
fn the_laws_of_2026_are_known() {
    for (zone, expected) in [
        ("America/Vancouver", "2026-11-16T09:00:00-07:00"),
        ("America/Edmonton", "2026-11-16T09:00:00-06:00"),
        ("America/Winnipeg", "2026-11-16T09:00:00-05:00"),
        ("America/Havana", "2026-11-16T09:00:00-04:00"),
        ("Africa/Casablanca", "2026-11-16T09:00:00+00:00"),
        ("Africa/El_Aaiun", "2026-11-16T09:00:00+00:00"),
    ] {
        assert_eq!(fire("0 9 * * *", zone, "2026-11-15T18:00:00Z"), expected, "{zone}");
    }
}

/// The machine's rules are used only if they are not older than these, unless `TZDIR` is set.
#[test]
fn the_rules_in_use_are_not_older_than_those_of_this_crate() {
    if std::env::var_os("TZDIR").is_some() {
        return;
    }
    let data = zone_data();
    assert!(data.version().is_none_or(|version| version >= "2026f"), "{data}");
    assert!(data.to_string().starts_with("time zone rules"), "{data}");
    assert_eq!(
        data.folder().is_some(),
        !data.to_string().contains("of this program"),
        "{data}"
    );
}

#[test]
fn the_last_rule_holds_for_ever() {
    for year in [2099, 2100, 2101, 2400, 9000] {
        let from = |month: u32| format!("{year}-{month:02}-15T18:00:00Z");
        let summer = fire("0 9 * * *", "America/New_York", &from(7));
        let winter = fire("0 9 * * *", "America/New_York", &from(1));
        assert_eq!(summer, format!("{year}-07-16T09:00:00-04:00"));
        assert_eq!(winter, format!("{year}-01-16T09:00:00-05:00"));
    }
    // Both ways of turning the clock in 2100: a time in the gap, and one that comes twice.
    let gap = fire("30 2 * * *", "Europe/Berlin", "2100-03-27T12:00:00Z");
    assert_eq!(gap, "2100-03-28T03:00:00+02:00");
    let twice = fire("30 2 * * *", "Europe/Berlin", "2100-10-31T00:00:00Z");
    assert_eq!(twice, "2100-10-31T02:30:00+02:00");
    let next = fire("30 2 * * *", "Europe/Berlin", "2100-10-31T00:30:00Z");
    assert_eq!(next, "2100-11-01T02:30:00+01:00");
}

#[test]
fn chrono_sees_gaps_and_repeated_times() {
    let zone = named("America/New_York");
    let local = |text: &str| {
        let local = text.parse().expect("is a time");
        zone.from_local_datetime(&local)
    };
    assert_eq!(local("2026-03-08T02:30:00").single(), None);
    assert_eq!(
        local("2026-03-08T03:30:00").single().expect("is one").to_rfc3339(),
        "2026-03-08T03:30:00-04:00"
    );
    let twice = local("2026-11-01T01:30:00");
    assert_eq!(
        twice.clone().earliest().expect("is one").to_rfc3339(),
        "2026-11-01T01:30:00-04:00"
    );
    assert_eq!(
        twice.latest().expect("is one").to_rfc3339(),
        "2026-11-01T01:30:00-05:00"
    );
    let there = instant("2026-07-01T12:00:00Z").with_timezone(&zone);
    assert_eq!(there.to_string(), "2026-07-01 08:00:00 -04:00");
    assert_eq!(there.offset().fix().local_minus_utc(), -4 * 3_600);
    assert_eq!((there.timezone(), there.day()), (zone, 1));
}

/// chrono's years reach further than any rule.
#[test]
fn the_ends_of_time_have_an_offset() {
    let zone = named("Europe/London");
    for at in [
        DateTime::<Utc>::MIN_UTC + TimeDelta::days(2),
        DateTime::<Utc>::MAX_UTC - TimeDelta::days(2),
    ] {
        let there = at.with_timezone(&zone);
        assert_eq!(there.to_utc(), at);
        assert!(zone.from_local_datetime(&there.naive_local()).earliest().is_some());
    }
}

#[test]
fn names_are_told_apart_and_other_names_of_a_zone_are_known() {
    assert_eq!(
        parse_zone("Asia/Shanghai").expect("is known").to_string(),
        "Asia/Shanghai"
    );
    assert_eq!("PRC".parse::<Zone>().expect("is known").name(), "PRC");
    assert_ne!(named("US/Eastern"), named("America/New_York"));
    assert_eq!(named("US/Eastern"), named("US/Eastern"));
    assert_eq!(named("UTC"), Zone::UTC);
    // Files of zone folders that are no zones, and ways out of the folder.
    for name in [
        "localtime",
        "posixrules",
        "tzdata.zi",
        "posix/UTC",
        "../zoneinfo/UTC",
        "/etc/localtime",
        "Europe/",
    ] {
        assert!(parse_zone(name).is_err(), "{name}");
    }
}
