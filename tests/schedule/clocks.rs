//! Where clocks are turned: fixed times run once, intervals follow real time.

use crate::{check, instant, schedule};

/// 2026-03-08: 02:00 EST becomes 03:00 EDT. 2026-11-01: 02:00 EDT becomes 01:00 EST.
#[test]
fn new_york() {
    let fixed = "CRON_TZ=America/New_York 30 2 * * *";
    check(
        fixed,
        "2026-03-07T00:00:00-05:00",
        &[
            "2026-03-07T02:30:00-05:00",
            "2026-03-08T03:00:00-04:00",
            "2026-03-09T02:30:00-04:00",
        ],
    );
    check(
        "CRON_TZ=America/New_York 30 1 * * *",
        "2026-10-31T12:00:00-04:00",
        &["2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"],
    );
    // Several times in the gap are one run, and the time at its end is the same run.
    check(
        "CRON_TZ=America/New_York 0,30 2,3 * * *",
        "2026-03-08T00:00:00-05:00",
        &[
            "2026-03-08T03:00:00-04:00",
            "2026-03-08T03:30:00-04:00",
            "2026-03-09T02:00:00-04:00",
        ],
    );
    check(
        "CRON_TZ=America/New_York 15 2,5 * * *",
        "2026-03-08T00:00:00-05:00",
        &["2026-03-08T03:00:00-04:00", "2026-03-08T05:15:00-04:00"],
    );
    // 02:00 itself is in the gap; in autumn it comes only once.
    check(
        "CRON_TZ=America/New_York 0 2 * * *",
        "2026-11-01T00:00:00-04:00",
        &["2026-11-01T02:00:00-05:00"],
    );
}

#[test]
fn intervals_in_new_york() {
    check(
        "CRON_TZ=America/New_York */30 * * * *",
        "2026-03-08T01:00:00-05:00",
        &[
            "2026-03-08T01:30:00-05:00",
            "2026-03-08T03:00:00-04:00",
            "2026-03-08T03:30:00-04:00",
        ],
    );
    check(
        "CRON_TZ=America/New_York */30 1 * * *",
        "2026-11-01T00:00:00-04:00",
        &[
            "2026-11-01T01:00:00-04:00",
            "2026-11-01T01:30:00-04:00",
            "2026-11-01T01:00:00-05:00",
            "2026-11-01T01:30:00-05:00",
            "2026-11-02T01:00:00-05:00",
        ],
    );
    // Not in the gap at all that day.
    check(
        "CRON_TZ=America/New_York */30 2 * * *",
        "2026-03-08T00:00:00-05:00",
        &["2026-03-09T02:00:00-04:00"],
    );
    check(
        "CRON_TZ=America/New_York * 30 2 * * *",
        "2026-03-08T00:00:00-05:00",
        &["2026-03-09T02:30:00-04:00"],
    );
    // An hour with a star is an interval, however fixed its minute is.
    check(
        "CRON_TZ=America/New_York 30 * * * *",
        "2026-11-01T01:00:00-04:00",
        &[
            "2026-11-01T01:30:00-04:00",
            "2026-11-01T01:30:00-05:00",
            "2026-11-01T02:30:00-05:00",
        ],
    );
    // The second Sunday of March at two o'clock is always in the gap: no such time comes until the year 9999.
    let never = schedule("CRON_TZ=America/New_York */15 2 * 3 0#2");
    assert_eq!(never.next_after(instant("2026-01-01T00:00:00Z")), None);
}

/// A yearly interval whose only fire left is the repeated one, months before the next.
#[test]
fn a_repeated_hour_is_not_jumped_over() {
    check(
        "CRON_TZ=America/New_York */30 1 1 11 *",
        "2026-11-01T01:45:00-04:00",
        &[
            "2026-11-01T01:00:00-05:00",
            "2026-11-01T01:30:00-05:00",
            "2027-11-01T01:00:00-04:00",
        ],
    );
    // A fixed time has had its run; between the two passes of the hour there is nothing.
    check(
        "CRON_TZ=America/New_York 30 1 1 11 *",
        "2026-11-01T01:45:00-04:00",
        &["2027-11-01T01:30:00-04:00"],
    );
}

/// 2026-03-29: 01:00 GMT becomes 02:00 BST. 2026-10-25: 02:00 BST becomes 01:00 GMT.
#[test]
fn london() {
    check(
        "CRON_TZ=Europe/London 30 1 * * *",
        "2026-03-28T12:00:00Z",
        &["2026-03-29T02:00:00+01:00", "2026-03-30T01:30:00+01:00"],
    );
    check(
        "CRON_TZ=Europe/London 30 1 * * *",
        "2026-10-24T12:00:00Z",
        &["2026-10-25T01:30:00+01:00", "2026-10-26T01:30:00Z"],
    );
    check(
        "CRON_TZ=Europe/London 0 * * * *",
        "2026-10-25T00:00:00+01:00",
        &[
            "2026-10-25T01:00:00+01:00",
            "2026-10-25T01:00:00Z",
            "2026-10-25T02:00:00Z",
        ],
    );
}

/// Half an hour. 2026-04-05: 02:00 +11 becomes 01:30 +10:30. 2026-10-04: 02:00 +10:30 becomes 02:30 +11.
#[test]
fn lord_howe() {
    check(
        "CRON_TZ=Australia/Lord_Howe 15 2 * * *",
        "2026-10-03T12:00:00+10:30",
        &["2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"],
    );
    check(
        "CRON_TZ=Australia/Lord_Howe 45 1 * * *",
        "2026-04-04T12:00:00+11:00",
        &["2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"],
    );
    check(
        "CRON_TZ=Australia/Lord_Howe */15 1-2 * * *",
        "2026-04-05T01:30:00+11:00",
        &[
            "2026-04-05T01:45:00+11:00",
            "2026-04-05T01:30:00+10:30",
            "2026-04-05T01:45:00+10:30",
            "2026-04-05T02:00:00+10:30",
        ],
    );
    check(
        "CRON_TZ=Australia/Lord_Howe */15 2 * * *",
        "2026-10-04T00:00:00+10:30",
        &[
            "2026-10-04T02:30:00+11:00",
            "2026-10-04T02:45:00+11:00",
            "2026-10-05T02:00:00+11:00",
        ],
    );
}

/// Ahead of UTC all year, and with summer time from 1986 to 1991: 1991-04-14 02:00, 1991-09-15 02:00.
#[test]
fn shanghai() {
    check(
        "CRON_TZ=Asia/Shanghai 30 2 * * *",
        "2026-03-08T00:00:00+08:00",
        &["2026-03-08T02:30:00+08:00", "2026-03-09T02:30:00+08:00"],
    );
    check(
        "CRON_TZ=Asia/Shanghai 30 2 * * *",
        "1991-04-13T12:00:00+08:00",
        &["1991-04-14T03:00:00+09:00", "1991-04-15T02:30:00+09:00"],
    );
    check(
        "CRON_TZ=Asia/Shanghai 30 1 * * *",
        "1991-09-14T12:00:00+09:00",
        &["1991-09-15T01:30:00+09:00", "1991-09-16T01:30:00+08:00"],
    );
}

/// One hour behind during Ramadan. 2026-02-15: 03:00 +01 becomes 02:00 +00. 2026-03-22: 02:00 +00 becomes 03:00 +01.
#[test]
fn casablanca() {
    check(
        "CRON_TZ=Africa/Casablanca 30 2 * * *",
        "2026-02-14T12:00:00Z",
        &["2026-02-15T02:30:00+01:00", "2026-02-16T02:30:00Z"],
    );
    check(
        "CRON_TZ=Africa/Casablanca 30 2 * * *",
        "2026-03-21T12:00:00Z",
        &["2026-03-22T03:00:00+01:00", "2026-03-23T02:30:00+01:00"],
    );
    check(
        "CRON_TZ=Africa/Casablanca 30 * * * *",
        "2026-02-15T01:30:00+01:00",
        &[
            "2026-02-15T02:30:00+01:00",
            "2026-02-15T02:30:00Z",
            "2026-02-15T03:30:00Z",
        ],
    );
}

/// Samoa crossed the date line and had no 30 December 2011.
#[test]
fn apia_skips_a_day() {
    check(
        "CRON_TZ=Pacific/Apia 0 12 * * *",
        "2011-12-29T00:00:00-10:00",
        &[
            "2011-12-29T12:00:00-10:00",
            "2011-12-31T00:00:00+14:00",
            "2011-12-31T12:00:00+14:00",
        ],
    );
    check(
        "CRON_TZ=Pacific/Apia 0 12 30 * *",
        "2011-12-29T00:00:00-10:00",
        &["2011-12-31T00:00:00+14:00", "2012-01-30T12:00:00+14:00"],
    );
    check(
        "CRON_TZ=Pacific/Apia 0 */12 * * *",
        "2011-12-29T00:00:00-10:00",
        &[
            "2011-12-29T12:00:00-10:00",
            "2011-12-31T00:00:00+14:00",
            "2011-12-31T12:00:00+14:00",
        ],
    );
}

/// Alaska had 18 October 1867 twice, when it changed hands and sides of the date line.
#[test]
fn sitka_repeats_a_day() {
    let daily = schedule("CRON_TZ=America/Sitka 0 12 * * *");
    let fires: Vec<_> = daily.iter_after(instant("1867-10-17T00:00:00Z")).take(4).collect();
    let gaps: Vec<_> = fires.windows(2).map(|pair| (pair[1] - pair[0]).num_hours()).collect();
    assert_eq!(gaps, [24, 48, 24], "{fires:?}");
}

#[test]
fn midnight_that_does_not_exist() {
    // Cairo 2026-04-24: 00:00 becomes 01:00; Havana 2026-03-08: 00:00 becomes 01:00.
    check(
        "CRON_TZ=Africa/Cairo @daily",
        "2026-04-23T12:00:00+02:00",
        &["2026-04-24T01:00:00+03:00", "2026-04-25T00:00:00+03:00"],
    );
    check(
        "CRON_TZ=America/Havana @daily",
        "2026-03-07T12:00:00-05:00",
        &["2026-03-08T01:00:00-04:00"],
    );
}

#[test]
fn intervals_of_every_do_not_care() {
    check(
        "CRON_TZ=America/New_York @every 30m",
        "2026-03-08T01:15:00-05:00",
        &[
            "2026-03-08T01:30:00-05:00",
            "2026-03-08T03:00:00-04:00",
            "2026-03-08T03:30:00-04:00",
        ],
    );
}
