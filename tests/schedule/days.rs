//! Days that depend on the calendar: ends of months, nearest workdays, leap years.

use crate::{check, tables::NEW_YEAR};

#[test]
fn days_from_the_end_of_the_month() {
    check(
        "0 0 L * *",
        NEW_YEAR,
        &["2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z"],
    );
    check(
        "0 0 l-3 * *",
        NEW_YEAR,
        &["2026-01-28T00:00:00Z", "2026-02-25T00:00:00Z", "2026-03-28T00:00:00Z"],
    );
    // Only months of 31 days have a day 30 days before the last.
    check(
        "0 0 L-30 * *",
        NEW_YEAR,
        &["2026-03-01T00:00:00Z", "2026-05-01T00:00:00Z"],
    );
    check(
        "0 0 1,L * *",
        NEW_YEAR,
        &["2026-01-31T00:00:00Z", "2026-02-01T00:00:00Z", "2026-02-28T00:00:00Z"],
    );
    // January ends with a Saturday, February likewise; May with a Sunday.
    check(
        "0 0 LW * *",
        NEW_YEAR,
        &[
            "2026-01-30T00:00:00Z",
            "2026-02-27T00:00:00Z",
            "2026-03-31T00:00:00Z",
            "2026-04-30T00:00:00Z",
            "2026-05-29T00:00:00Z",
        ],
    );
}

#[test]
fn nearest_workdays_stay_in_their_month() {
    // 15 February is a Sunday, 15 August a Saturday.
    check(
        "0 0 15W feb,aug *",
        NEW_YEAR,
        &["2026-02-16T00:00:00Z", "2026-08-14T00:00:00Z"],
    );
    // 1 August is a Saturday: the 31st of July is another month.
    check("0 0 1W aug *", NEW_YEAR, &["2026-08-03T00:00:00Z"]);
    // 31 May is a Sunday: the 1st of June is another month.
    check("0 0 31W may *", NEW_YEAR, &["2026-05-29T00:00:00Z"]);
    // Months of 30 days have no 31st, even if their 30th is a Friday before what would be a Saturday (October 2026 has one).
    check(
        "0 0 31W * *",
        "2026-09-01T00:00:00Z",
        &["2026-10-30T00:00:00Z", "2026-12-31T00:00:00Z"],
    );
    check("0 0 31W apr-may *", "2027-04-01T00:00:00Z", &["2027-05-31T00:00:00Z"]);
}

#[test]
fn weekdays_of_the_month() {
    check(
        "0 18 * * 5L",
        NEW_YEAR,
        &["2026-01-30T18:00:00Z", "2026-02-27T18:00:00Z"],
    );
    check("0 18 * * friL", NEW_YEAR, &["2026-01-30T18:00:00Z"]);
    check("0 18 * * 0L", NEW_YEAR, &["2026-01-25T18:00:00Z"]);
    check("0 18 * * 7L", NEW_YEAR, &["2026-01-25T18:00:00Z"]);
    check(
        "0 18 * * 5#3",
        NEW_YEAR,
        &["2026-01-16T18:00:00Z", "2026-02-20T18:00:00Z"],
    );
    // Not every month has a fifth Friday.
    check(
        "0 18 * * FRI#5",
        NEW_YEAR,
        &["2026-01-30T18:00:00Z", "2026-05-29T18:00:00Z", "2026-07-31T18:00:00Z"],
    );
    check(
        "0 18 * * mon#1,wed#1",
        NEW_YEAR,
        &["2026-01-05T18:00:00Z", "2026-01-07T18:00:00Z", "2026-02-02T18:00:00Z"],
    );
    check(
        "0 18 13 * 5L",
        NEW_YEAR,
        &["2026-01-13T18:00:00Z", "2026-01-30T18:00:00Z"],
    );
}

#[test]
fn leap_days_and_year_ends() {
    check(
        "0 0 29 2 *",
        NEW_YEAR,
        &["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"],
    );
    check(
        "0 0 29 2 *",
        "2096-01-01T00:00:00Z",
        &["2096-02-29T00:00:00Z", "2104-02-29T00:00:00Z"],
    );
    check(
        "0 0 L 2 *",
        "2099-12-01T00:00:00Z",
        &["2100-02-28T00:00:00Z", "2101-02-28T00:00:00Z"],
    );
    // 29 February on a Sunday (the step leaves Sunday and Saturday): forty years around 2100.
    check(
        "0 0 29 2 */7",
        "2088-01-01T00:00:00Z",
        &["2088-02-29T00:00:00Z", "2128-02-29T00:00:00Z"],
    );
    check(
        "59 59 23 31 12 *",
        "2026-12-31T23:59:58Z",
        &["2026-12-31T23:59:59Z", "2027-12-31T23:59:59Z"],
    );
    check("* * * * * *", "2026-12-31T23:59:59Z", &["2027-01-01T00:00:00Z"]);
    check("*/20 * * * *", "2026-12-31T23:50:00Z", &["2027-01-01T00:00:00Z"]);
}
