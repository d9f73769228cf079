//! What is refused, and the whole text that says why.

use gaia_actors::{
    Schedule, ScheduleForm,
    schedule::{MAX_SCHEDULE_CHARS, MAX_ZONE_CHARS, Zone, parse_zone},
};

fn refusal(expr: &str, form: ScheduleForm) -> String {
    match Schedule::parse_in(expr, Zone::UTC, form) {
        Ok(schedule) => panic!("{schedule} was taken"),
        Err(error) => error.to_string(),
    }
}

fn check(table: &[(&str, &str)]) {
    for (expr, expected) in table {
        assert_eq!(refusal(expr, ScheduleForm::Any), *expected, "{expr}");
    }
}

#[test]
fn fields() {
    check(FIELDS);
}

#[test]
fn macros_and_intervals() {
    check(MACROS);
}

#[test]
fn what_never_fires() {
    check(NEVER);
}

#[test]
fn zones() {
    check(&[
        (
            "CRON_TZ=Asia/Shangai 0 0 * * *",
            "unknown time zone \"Asia/Shangai\", the nearest known is \"Asia/Shanghai\"; names are those of the IANA database",
        ),
        (
            "TZ=utc 0 0 * * *",
            "unknown time zone \"utc\", the nearest known is \"UTC\"; names are those of the IANA database",
        ),
    ]);
    // Nothing is like it.
    for name in ["Moon/Base", "", "+08:00"] {
        let error = parse_zone(name).expect_err("is no zone");
        let expected = format!("unknown time zone {name:?}; names are those of the IANA database");
        assert_eq!(error.to_string(), expected);
    }
    let error = parse_zone("America/NewYork").expect_err("has an underscore");
    assert_eq!(
        error.to_string(),
        "unknown time zone \"America/NewYork\", the nearest known is \"America/New_York\"; names are those of the IANA database"
    );
}

/// A name is looked for among six hundred by its likeness: the work must not grow with the name.
#[test]
fn a_zone_whose_name_is_too_long() {
    let error = parse_zone(&"Europe/".repeat(20_000)).expect_err("is too long");
    assert_eq!(
        error.to_string(),
        "the name of the time zone has 140000 characters, at most 64 are allowed; names are those of the IANA database, \
         such as Asia/Shanghai"
    );
    let longest = "é".repeat(MAX_ZONE_CHARS);
    assert!(parse_zone(&longest).is_err_and(|error| error.to_string().starts_with("unknown time zone")));
    let expr = format!("CRON_TZ={longest}x 0 0 * * *");
    assert!(refusal(&expr, ScheduleForm::Any).contains("has 65 characters"));
}

#[test]
fn the_form_that_is_not_taken_here() {
    assert_eq!(
        refusal("*/5 * * * *", ScheduleForm::SixFields),
        "cron expression \"*/5 * * * *\" has 5 fields, expected six (second minute hour day-of-month month day-of-week); \
         put the second in front, such as \"0 */5 * * * *\""
    );
    assert_eq!(
        refusal("0 */5 * * * *", ScheduleForm::FiveFields),
        "cron expression \"0 */5 * * * *\" has 6 fields, expected five (minute hour day-of-month month day-of-week); \
         leave out the second in front"
    );
    for form in [ScheduleForm::Any, ScheduleForm::FiveFields, ScheduleForm::SixFields] {
        for expr in ["@daily", "@every 5s", "CRON_TZ=Asia/Shanghai @weekly"] {
            assert!(Schedule::parse_in(expr, Zone::UTC, form).is_ok(), "{expr}");
        }
    }
}

#[test]
fn a_text_that_is_too_long() {
    let long = "é".repeat(MAX_SCHEDULE_CHARS + 1);
    assert_eq!(
        refusal(&long, ScheduleForm::Any),
        "the cron expression has 1001 characters, at most 1000 are allowed; divide it into several schedules"
    );
    // Characters are counted, not bytes.
    assert!(refusal(&long[2..], ScheduleForm::Any).contains("has 1 field,"));
}

const FIELDS: &[(&str, &str)] = &[
    (
        "   ",
        "the cron expression is empty; write five fields such as \"0 0 * * *\", six with seconds first, or a macro such as @daily",
    ),
    (
        "CRON_TZ=UTC",
        "the cron expression is empty; write five fields such as \"0 0 * * *\", six with seconds first, or a macro such as @daily",
    ),
    (
        "* * *",
        "cron expression \"* * *\" has 3 fields, expected five (minute hour day-of-month month day-of-week) or six (second minute hour day-of-month month day-of-week); an asterisk stands for every value",
    ),
    (
        "* * * * * * *",
        "cron expression \"* * * * * * *\" has 7 fields, expected five (minute hour day-of-month month day-of-week) or six (second minute hour day-of-month month day-of-week); a year is not supported",
    ),
    (
        "*",
        "cron expression \"*\" has 1 field, expected five (minute hour day-of-month month day-of-week) or six (second minute hour day-of-month month day-of-week); an asterisk stands for every value",
    ),
    (
        "60 * * * *",
        "minute field \"60\": 60 is out of range 0-59; the full hour is minute 0",
    ),
    (
        "* 24 * * *",
        "hour field \"24\": 24 is out of range 0-23; midnight is hour 0",
    ),
    (
        "* * 0 * *",
        "day-of-month field \"0\": 0 is out of range 1-31; days begin with 1, and the last of every month is L",
    ),
    (
        "* * 32 * *",
        "day-of-month field \"32\": 32 is out of range 1-31; days begin with 1, and the last of every month is L",
    ),
    (
        "* * * 0 *",
        "month field \"0\": 0 is out of range 1-12; or a name JAN-DEC",
    ),
    (
        "* * * 13 *",
        "month field \"13\": 13 is out of range 1-12; or a name JAN-DEC",
    ),
    (
        "* * * * 8",
        "day-of-week field \"8\": 8 is out of range 0-7; 0 and 7 are Sunday, or a name SUN-SAT",
    ),
    (
        "60 * * * * *",
        "second field \"60\": 60 is out of range 0-59; the full minute is second 0",
    ),
    (
        "99999999999999999999 * * * *",
        "minute field \"99999999999999999999\": 99999999999999999999 is out of range 0-59; the full hour is minute 0",
    ),
    (
        "x * * * *",
        "minute field \"x\": \"x\" is not a value; expected 0-59, *, a list 1,3, a range 1-5 or a step */2",
    ),
    (
        "-1 * * * *",
        "minute field \"-1\": a value is missing; expected 0-59, *, a range 1-5 or a step */2",
    ),
    (
        "1- * * * *",
        "minute field \"1-\": a value is missing; expected 0-59, *, a range 1-5 or a step */2",
    ),
    (
        "1-2-3 * * * *",
        "minute field \"1-2-3\": \"2-3\" is not a value; expected 0-59, *, a list 1,3, a range 1-5 or a step */2",
    ),
    (
        "*-5 * * * *",
        "minute field \"*-5\": \"*\" is not a value; expected 0-59, *, a list 1,3, a range 1-5 or a step */2",
    ),
    (
        "*/0 * * * *",
        "minute field \"*/0\": a step of 0 never moves on; steps begin with 1",
    ),
    (
        "*/ * * * *",
        "minute field \"*/\": \"\" is not a step; after / comes a number from 1, such as */2",
    ),
    (
        "/5 * * * *",
        "minute field \"/5\": a value is missing; expected 0-59, *, a range 1-5 or a step */2",
    ),
    (
        "*/x * * * *",
        "minute field \"*/x\": \"x\" is not a step; after / comes a number from 1, such as */2",
    ),
    (
        "1/2/3 * * * *",
        "minute field \"1/2/3\": \"2/3\" is not a step; after / comes a number from 1, such as */2",
    ),
    (
        "1,,2 * * * *",
        "minute field \"1,,2\": there is nothing before or after a comma; remove the comma or write a value",
    ),
    (
        "1, * * * *",
        "minute field \"1,\": there is nothing before or after a comma; remove the comma or write a value",
    ),
    (
        "?-5 * * * *",
        "minute field \"?-5\": \"?\" is not a value; expected 0-59, *, a list 1,3, a range 1-5 or a step */2",
    ),
    (
        "** * * * *",
        "minute field \"**\": \"**\" is not a value; expected 0-59, *, a list 1,3, a range 1-5 or a step */2",
    ),
    (
        "1.5 * * * *",
        "minute field \"1.5\": \"1.5\" is not a value; expected 0-59, *, a list 1,3, a range 1-5 or a step */2",
    ),
    (
        "* * * JANUARY *",
        "month field \"JANUARY\": \"JANUARY\" is no name of a month; the nearest is JAN, and numbers are 1-12",
    ),
    (
        "* * * * frday",
        "day-of-week field \"frday\": \"frday\" is no name of a weekday; the nearest is FRI, and numbers are 0-7",
    ),
    (
        "* * L-0 * *",
        "day-of-month field \"L-0\": \"0\" is not a number of days before the last; L-1 to L-30 are allowed, and L is the last day itself",
    ),
    (
        "* * L-31 * *",
        "day-of-month field \"L-31\": \"31\" is not a number of days before the last; L-1 to L-30 are allowed, and L is the last day itself",
    ),
    (
        "* * L-3W * *",
        "day-of-month field \"L-3W\": L-3W is not supported; use L-3, LW or 15W",
    ),
    (
        "* * 32W * *",
        "day-of-month field \"32W\": 32 is out of range 1-31; days begin with 1, and the last of every month is L",
    ),
    (
        "* * xW * *",
        "day-of-month field \"xW\": \"x\" is not one day; with W stands a number 1-31, such as 15W, and several are written as a list 1W,15W",
    ),
    (
        "* * 1-5W * *",
        "day-of-month field \"1-5W\": \"1-5\" is not one day; with W stands a number 1-31, such as 15W, and several are written as a list 1W,15W",
    ),
    (
        "* * */2W * *",
        "day-of-month field \"*/2W\": \"*/2\" is not one day; with W stands a number 1-31, such as 15W, and several are written as a list 1W,15W",
    ),
    (
        "* * W * *",
        "day-of-month field \"W\": \"\" is not one day; with W stands a number 1-31, such as 15W, and several are written as a list 1W,15W",
    ),
    (
        "* * * * mon-fri#2",
        "day-of-week field \"mon-fri#2\": \"mon-fri\" is not one weekday; with # stands a number 0-7 or a name, such as 5 or FRI, and several are written as a list",
    ),
    (
        "* * * * 1-5L",
        "day-of-week field \"1-5L\": \"1-5\" is not one weekday; with L stands a number 0-7 or a name, such as 5 or FRI, and several are written as a list",
    ),
    (
        "* * * * #2",
        "day-of-week field \"#2\": \"\" is not one weekday; with # stands a number 0-7 or a name, such as 5 or FRI, and several are written as a list",
    ),
    (
        "* * * * freitag#2",
        "day-of-week field \"freitag#2\": \"freitag\" is no name of a weekday; names are SUN, MON, TUE, WED, THU, FRI, SAT, and numbers are 0-7",
    ),
    (
        "* * * * wensday#2",
        "day-of-week field \"wensday#2\": \"wensday\" is no name of a weekday; the nearest is WED, and numbers are 0-7",
    ),
    (
        "* * * foo *",
        "month field \"foo\": \"foo\" is no name of a month; names are JAN, FEB, MAR, APR, MAY, JUN, JUL, AUG, SEP, OCT, NOV, DEC, and numbers are 1-12",
    ),
    (
        "* * * * L",
        "day-of-week field \"L\": L needs a day before it; 5L is the last Friday of the month, and 6 is every Saturday",
    ),
    (
        "* * * * 5#6",
        "day-of-week field \"5#6\": \"6\" is not a week of the month; after # comes 1-5, and 5L is the last Friday",
    ),
    (
        "* * * * 5#",
        "day-of-week field \"5#\": \"\" is not a week of the month; after # comes 1-5, and 5L is the last Friday",
    ),
    (
        "* * * * 8#1",
        "day-of-week field \"8#1\": 8 is out of range 0-7; 0 and 7 are Sunday, or a name SUN-SAT",
    ),
    (
        "* * * * 8L",
        "day-of-week field \"8L\": 8 is out of range 0-7; 0 and 7 are Sunday, or a name SUN-SAT",
    ),
    (
        "* L * * *",
        "hour field \"L\": \"L\" is not a value; expected 0-23, *, a list 1,3, a range 1-5 or a step */2",
    ),
    (
        "* * */2,L * *",
        "day-of-month field \"*/2,L\": a list that begins with * or ? cannot hold L, W or #; write the days it stands for",
    ),
    (
        "* * * * */2,5L",
        "day-of-week field \"*/2,5L\": a list that begins with * or ? cannot hold L, W or #; write the days it stands for",
    ),
    (
        "* * mon * *",
        "day-of-month field \"mon\": \"mon\" is not a value; expected 1-31, *, a list 1,3, a range 1-5 or a step */2",
    ),
    (
        "0 ０ * * *",
        "hour field \"０\": \"０\" is not a value; expected 0-23, *, a list 1,3, a range 1-5 or a step */2",
    ),
    (
        "每天 零点 * * *",
        "minute field \"每天\": \"每天\" is not a value; expected 0-59, *, a list 1,3, a range 1-5 or a step */2",
    ),
];

const MACROS: &[(&str, &str)] = &[
    (
        "@every",
        "@every \"\": the interval is missing; write an interval such as 30s, 5m or 1h30m10s",
    ),
    (
        "@every 0s",
        "@every \"0s\": an interval of nothing never ends; write an interval such as 30s, 5m or 1h30m10s",
    ),
    (
        "@every 5",
        "@every \"5\": 5 has no unit w, d, h, m, s, ms, us or ns; write an interval such as 30s, 5m or 1h30m10s",
    ),
    (
        "@every -5s",
        "@every \"-5s\": \"-5s\" does not begin with a number; write an interval such as 30s, 5m or 1h30m10s",
    ),
    (
        "@every 5y",
        "@every \"5y\": 5 has no unit w, d, h, m, s, ms, us or ns; write an interval such as 30s, 5m or 1h30m10s",
    ),
    (
        "@every 99999999h",
        "@every \"99999999h\": the interval is longer than a hundred years; write an interval such as 30s, 5m or 1h30m10s",
    ),
    (
        "@every 1.2.3s",
        "@every \"1.2.3s\": 1.2.3 is not a number; write an interval such as 30s, 5m or 1h30m10s",
    ),
    (
        "@every .s",
        "@every \".s\": . is not a number; write an interval such as 30s, 5m or 1h30m10s",
    ),
    (
        "@every 1m 30s",
        "@every \"1m 30s\": \" 30s\" does not begin with a number; write an interval such as 30s, 5m or 1h30m10s",
    ),
    (
        "@dayly",
        "unknown macro \"@dayly\", the nearest known is @daily; an interval is written as @every 30s",
    ),
    (
        "@evry 5m",
        "unknown macro \"@evry 5m\", the nearest known is @every; an interval is written as @every 30s",
    ),
    (
        "@reboot",
        "unknown macro \"@reboot\"; known are @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly, @every; an interval is written as @every 30s",
    ),
    (
        "@daily x",
        "unknown macro \"@daily x\", the nearest known is @daily; an interval is written as @every 30s",
    ),
    (
        "@",
        "unknown macro \"@\"; known are @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly, @every; an interval is written as @every 30s",
    ),
];

const NEVER: &[(&str, &str)] = &[
    (
        "0 0 30 2 *",
        "cron expression \"0 0 30 2 *\" never fires: no date has its days in its months; check day-of-month, month and day-of-week",
    ),
    (
        "0 0 31 4,6,9,11 *",
        "cron expression \"0 0 31 4,6,9,11 *\" never fires: no date has its days in its months; check day-of-month, month and day-of-week",
    ),
    (
        "0 0 31W feb *",
        "cron expression \"0 0 31W feb *\" never fires: no date has its days in its months; check day-of-month, month and day-of-week",
    ),
    (
        "0 0 15W * */6",
        "cron expression \"0 0 15W * */6\" never fires: no date has its days in its months; check day-of-month, month and day-of-week",
    ),
    (
        "0 0 */30 * 5#2",
        "cron expression \"0 0 */30 * 5#2\" never fires: no date has its days in its months; check day-of-month, month and day-of-week",
    ),
];
