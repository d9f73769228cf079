//! What is documented, with every instant written out: the guide, crontab(5), and the notations of robfig/cron and Quartz.

use crate::check;

pub(crate) const NEW_YEAR: &str = "2026-01-01T00:00:00Z";

#[test]
fn the_guides_five_fields() {
    let day = |day: u32| format!("2026-01-{day:02}T00:00:00Z");
    let days = [2, 3, 4, 5, 6].map(day);
    check("0 0 * * *", NEW_YEAR, &days.each_ref().map(String::as_str));
    check(
        "0 */6 * * *",
        NEW_YEAR,
        &[
            "2026-01-01T06:00:00Z",
            "2026-01-01T12:00:00Z",
            "2026-01-01T18:00:00Z",
            "2026-01-02T00:00:00Z",
            "2026-01-02T06:00:00Z",
        ],
    );
    let sundays = [4, 11, 18, 25].map(day);
    check("0 0 * * 0", NEW_YEAR, &sundays.each_ref().map(String::as_str));
    check("0 0 * * 0", "2026-01-25T00:00:00Z", &["2026-02-01T00:00:00Z"]);
    check(
        "0 0 1 * *",
        NEW_YEAR,
        &[
            "2026-02-01T00:00:00Z",
            "2026-03-01T00:00:00Z",
            "2026-04-01T00:00:00Z",
            "2026-05-01T00:00:00Z",
            "2026-06-01T00:00:00Z",
        ],
    );
}

#[test]
fn the_guides_six_fields() {
    // The guide's comment says every minute; its fields say every hour, and so does every cron.
    check(
        "0 0 * * * *",
        NEW_YEAR,
        &[
            "2026-01-01T01:00:00Z",
            "2026-01-01T02:00:00Z",
            "2026-01-01T03:00:00Z",
            "2026-01-01T04:00:00Z",
            "2026-01-01T05:00:00Z",
        ],
    );
    check(
        "0 */5 * * * *",
        NEW_YEAR,
        &[
            "2026-01-01T00:05:00Z",
            "2026-01-01T00:10:00Z",
            "2026-01-01T00:15:00Z",
            "2026-01-01T00:20:00Z",
            "2026-01-01T00:25:00Z",
        ],
    );
    check(
        "*/30 * * * * *",
        NEW_YEAR,
        &[
            "2026-01-01T00:00:30Z",
            "2026-01-01T00:01:00Z",
            "2026-01-01T00:01:30Z",
            "2026-01-01T00:02:00Z",
            "2026-01-01T00:02:30Z",
        ],
    );
    check(
        "0 0 1 * * *",
        NEW_YEAR,
        &[
            "2026-01-01T01:00:00Z",
            "2026-01-02T01:00:00Z",
            "2026-01-03T01:00:00Z",
            "2026-01-04T01:00:00Z",
            "2026-01-05T01:00:00Z",
        ],
    );
    check(
        "0 30 2 * * *",
        NEW_YEAR,
        &[
            "2026-01-01T02:30:00Z",
            "2026-01-02T02:30:00Z",
            "2026-01-03T02:30:00Z",
            "2026-01-04T02:30:00Z",
            "2026-01-05T02:30:00Z",
        ],
    );
}

#[test]
fn the_examples_of_crontab_5() {
    // Five minutes after midnight, every day.
    check("5 0 * * *", NEW_YEAR, &["2026-01-01T00:05:00Z", "2026-01-02T00:05:00Z"]);
    // 14:15 on the first of every month.
    check(
        "15 14 1 * *",
        NEW_YEAR,
        &["2026-01-01T14:15:00Z", "2026-02-01T14:15:00Z"],
    );
    // 22:00 on workdays.
    check(
        "0 22 * * 1-5",
        "2026-01-01T22:00:00Z",
        &["2026-01-02T22:00:00Z", "2026-01-05T22:00:00Z"],
    );
    // 23 minutes after every second hour from midnight.
    check(
        "23 0-23/2 * * *",
        NEW_YEAR,
        &["2026-01-01T00:23:00Z", "2026-01-01T02:23:00Z"],
    );
    // 04:05 on Sundays.
    check(
        "5 4 * * sun",
        NEW_YEAR,
        &["2026-01-04T04:05:00Z", "2026-01-11T04:05:00Z"],
    );
    // Both day fields are restricted: either of them. The 1st, the 15th, and every Friday.
    check(
        "30 4 1,15 * 5",
        "2025-12-31T12:00:00Z",
        &[
            "2026-01-01T04:30:00Z",
            "2026-01-02T04:30:00Z",
            "2026-01-09T04:30:00Z",
            "2026-01-15T04:30:00Z",
            "2026-01-16T04:30:00Z",
        ],
    );
    // One of them begins with a star: both must match. Mondays with an odd date; the 13th, if it is Sun, Tue, Thu or Sat.
    check(
        "0 0 */2 * mon",
        NEW_YEAR,
        &["2026-01-05T00:00:00Z", "2026-01-19T00:00:00Z", "2026-02-09T00:00:00Z"],
    );
    check(
        "0 0 13 * */2",
        NEW_YEAR,
        &["2026-01-13T00:00:00Z", "2026-06-13T00:00:00Z"],
    );
}

#[test]
fn the_macros() {
    check("@yearly", NEW_YEAR, &["2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z"]);
    check("@annually", NEW_YEAR, &["2027-01-01T00:00:00Z"]);
    check("@monthly", NEW_YEAR, &["2026-02-01T00:00:00Z"]);
    check("@weekly", NEW_YEAR, &["2026-01-04T00:00:00Z", "2026-01-11T00:00:00Z"]);
    check("@daily", NEW_YEAR, &["2026-01-02T00:00:00Z"]);
    check("@Midnight", NEW_YEAR, &["2026-01-02T00:00:00Z"]);
    check("@HOURLY", NEW_YEAR, &["2026-01-01T01:00:00Z"]);
}

#[test]
fn intervals_are_counted_from_the_epoch() {
    check(
        "@every 1h30m10s",
        "1970-01-01T00:00:00Z",
        &["1970-01-01T01:30:10Z", "1970-01-01T03:00:20Z"],
    );
    check(
        "@every 90s",
        "2026-01-01T00:00:01Z",
        &["2026-01-01T00:01:30Z", "2026-01-01T00:03:00Z"],
    );
    // 1.5 h is 5400 s, and 1 January 2026 began 327,264 of them after the epoch.
    check("@every 1.5h", NEW_YEAR, &["2026-01-01T01:30:00Z"]);
    check("@every 1000ms", "2026-01-01T00:00:00.4Z", &["2026-01-01T00:00:01Z"]);
    check(
        "@every 2d",
        "1969-12-30T00:00:01Z",
        &["1970-01-01T00:00:00Z", "1970-01-03T00:00:00Z"],
    );
    check(
        "@every 7s",
        "1969-12-31T23:59:50Z",
        &["1969-12-31T23:59:53Z", "1970-01-01T00:00:00Z"],
    );
}

#[test]
fn sunday_is_0_and_7_and_monday_is_1() {
    for sunday in ["0", "7", "sun", "SUN", "Sun", "7-7", "0-0", "7/7"] {
        check(
            &format!("0 0 * * {sunday}"),
            NEW_YEAR,
            &["2026-01-04T00:00:00Z", "2026-01-11T00:00:00Z"],
        );
    }
    check("0 0 * * 1", NEW_YEAR, &["2026-01-05T00:00:00Z"]);
    check(
        "0 0 * * 6-7",
        NEW_YEAR,
        &["2026-01-03T00:00:00Z", "2026-01-04T00:00:00Z", "2026-01-10T00:00:00Z"],
    );
    check(
        "0 0 * * 7-1",
        NEW_YEAR,
        &["2026-01-04T00:00:00Z", "2026-01-05T00:00:00Z", "2026-01-11T00:00:00Z"],
    );
    check(
        "0 0 * * 5-7/2",
        NEW_YEAR,
        &["2026-01-02T00:00:00Z", "2026-01-04T00:00:00Z", "2026-01-09T00:00:00Z"],
    );
    check(
        "0 0 * * 0-7",
        NEW_YEAR,
        &["2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"],
    );
}

#[test]
fn ranges_wrap() {
    check(
        "0 22-2 * * *",
        NEW_YEAR,
        &[
            "2026-01-01T01:00:00Z",
            "2026-01-01T02:00:00Z",
            "2026-01-01T22:00:00Z",
            "2026-01-01T23:00:00Z",
            "2026-01-02T00:00:00Z",
        ],
    );
    // The step goes on counting around the end: 22, 1.
    check(
        "0 22-2/3 * * *",
        NEW_YEAR,
        &["2026-01-01T01:00:00Z", "2026-01-01T22:00:00Z", "2026-01-02T01:00:00Z"],
    );
    check(
        "0 0 * * fri-mon",
        NEW_YEAR,
        &[
            "2026-01-02T00:00:00Z",
            "2026-01-03T00:00:00Z",
            "2026-01-04T00:00:00Z",
            "2026-01-05T00:00:00Z",
            "2026-01-09T00:00:00Z",
        ],
    );
    check(
        "0 0 30-2 nov-feb ?",
        "2026-01-29T12:00:00Z",
        &["2026-01-30T00:00:00Z", "2026-01-31T00:00:00Z", "2026-02-01T00:00:00Z"],
    );
    check(
        "58-1 * * * * *",
        NEW_YEAR,
        &["2026-01-01T00:00:01Z", "2026-01-01T00:00:58Z", "2026-01-01T00:00:59Z"],
    );
}

#[test]
fn notations_of_other_crons() {
    // A value with a step goes to the end of its range.
    check(
        "10/25 * * * *",
        NEW_YEAR,
        &["2026-01-01T00:10:00Z", "2026-01-01T00:35:00Z", "2026-01-01T01:10:00Z"],
    );
    check(
        "1-5,50-59/3 8 * * *",
        NEW_YEAR,
        &["2026-01-01T08:01:00Z", "2026-01-01T08:02:00Z"],
    );
    check(
        "0 0 ? JAN,jul Mon",
        NEW_YEAR,
        &["2026-01-05T00:00:00Z", "2026-01-12T00:00:00Z"],
    );
    check(
        "CRON_TZ=Asia/Shanghai 0 9 * * *",
        NEW_YEAR,
        &["2026-01-01T09:00:00+08:00", "2026-01-02T09:00:00+08:00"],
    );
    check(
        "TZ=America/New_York 0 9 * * *",
        NEW_YEAR,
        &["2026-01-01T09:00:00-05:00"],
    );
    check("  0\t0  *  *   * ", NEW_YEAR, &["2026-01-02T00:00:00Z"]);
}

/// Texts that robfig/cron (version 3) reads, with its meaning.
#[test]
fn rows_of_the_go_framework() {
    // A step beyond the field leaves its first value.
    check(
        "0 */60 * * * *",
        NEW_YEAR,
        &["2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"],
    );
    check(
        "0 0 */24 * * *",
        NEW_YEAR,
        &["2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"],
    );
    check("0 0 0 */32 * *", NEW_YEAR, &["2026-02-01T00:00:00Z"]);
    check(
        "0 30/90 0 1 */13 *",
        NEW_YEAR,
        &["2026-01-01T00:30:00Z", "2027-01-01T00:30:00Z"],
    );
    check(
        "10-30/99999999999 * * * *",
        NEW_YEAR,
        &["2026-01-01T00:10:00Z", "2026-01-01T01:10:00Z"],
    );
    // A question mark is an asterisk, in each field.
    check(
        "? ? ? ? ? ?",
        NEW_YEAR,
        &["2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z"],
    );
    check(
        "?/15 ? * * *",
        NEW_YEAR,
        &["2026-01-01T00:15:00Z", "2026-01-01T00:30:00Z"],
    );
    check(
        "0 0 ? ? mon",
        NEW_YEAR,
        &["2026-01-05T00:00:00Z", "2026-01-12T00:00:00Z"],
    );
    // Intervals are cut to whole seconds; the least is one.
    let seconds = ["2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z"];
    for expr in [
        "@every 1.5s",
        "@every 1.999999999s",
        "@every 500ms",
        "@every 1us",
        "@every 1µs",
        "@every 1ns",
        "@every +1s",
    ] {
        check(expr, NEW_YEAR, &seconds);
    }
    check("@every 2900ms", NEW_YEAR, &["2026-01-01T00:00:02Z"]);
    check("@every .5h", NEW_YEAR, &["2026-01-01T00:30:00Z"]);
    check("@every 1m0.5s", NEW_YEAR, &["2026-01-01T00:01:00Z"]);
    check("@every 0.00000000000000000000001h1s", NEW_YEAR, &seconds);
}
