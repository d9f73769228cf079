//! The conditions of a search in one line.

use chrono::{DateTime, Utc};
use gaia_actors::{
    TaskStatus::{Cancelled, Failed, Retry, Wait},
    admin::TaskFilter,
};
use proptest::prelude::*;

use crate::support::refusal;

fn time(text: &str) -> DateTime<Utc> {
    text.parse().expect("is a time")
}

fn read(line: &str) -> Result<TaskFilter, gaia_actors::InvalidInput> {
    TaskFilter::parse_line(line, time("2026-01-31T12:00:00Z"))
}

#[test]
fn a_line_means_the_filter_that_it_names() {
    let any = TaskFilter::default;
    let some = |text: &str| Some(text.to_owned());
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let named = |name: &str| TaskFilter {
        name_contains: some(name),
        ..any()
    };
    #[rustfmt::skip]
    let cases = [
        ("", any()),
        (" \t\u{3000} ", any()),
        ("status:failed,retry", TaskFilter { statuses: vec![Failed, Retry], ..any() }),
        ("status:FAILED status:Wait,failed", TaskFilter { statuses: vec![Failed, Wait], ..any() }),
        ("status:\"cancelled\"", TaskFilter { statuses: vec![Cancelled], ..any() }),
        ("method:Order.AsyncCreate", TaskFilter { service: some("Order"), method: some("AsyncCreate"), ..any() }),
        ("method:a.b.Order.Create", TaskFilter { service: some("a.b.Order"), method: some("Create"), ..any() }),
        ("method:Order.*", TaskFilter { service: some("Order"), ..any() }),
        ("method:*.Create", TaskFilter { method: some("Create"), ..any() }),
        (r#"method:"Order.*""#, TaskFilter { service: some("Order"), method: some("*"), ..any() }),
        ("id:17,18 id:-1", TaskFilter { ids: vec![17, 18, -1], ..any() }),
        ("key:order-17,a", TaskFilter { unique_key: some("order-17,a"), ..any() }),
        ("limit-key:\"tenant 17\"", TaskFilter { limit_key: some("tenant 17"), ..any() }),
        ("theme:mail theme:\"a, b\",订单", TaskFilter { themes: texts(&["mail", "a, b", "订单"]), ..any() }),
        ("node:web-1", TaskFilter { node: some("web-1"), ..any() }),
        ("node:none", TaskFilter { without_node: true, ..any() }),
        ("node:\"none\"", TaskFilter { node: some("none"), ..any() }),
        ("log:0197f1-17", TaskFilter { log_id: some("0197f1-17"), ..any() }),
        (r#"error:"connection refused""#, TaskFilter { error_contains: some("connection refused"), ..any() }),
        (r#"error:"a \"b\" \\ \d""#, TaskFilter { error_contains: some(r#"a "b" \ \d"#), ..any() }),
        (r"error:a\b", TaskFilter { error_contains: some(r"a\b"), ..any() }),
        ("error:http://a:1", TaskFilter { error_contains: some("http://a:1"), ..any() }),
        ("name:word", named("word")),
        ("night  run", named("night run")),
        ("night status:failed run", TaskFilter { statuses: vec![Failed], ..named("night run") }),
        (r#""status:failed" 10:30 订单:7 :x"#, named("status:failed 10:30 订单:7 :x")),
        ("50%_off, a,b", named("50%_off, a,b")),
        (r#"5\" nail"#, named("5\" nail")),
        ("older:2h", TaskFilter { created_before: Some(time("2026-01-31T10:00:00Z")), ..any() }),
        ("newer:7d", TaskFilter { created_from: Some(time("2026-01-24T12:00:00Z")), ..any() }),
        ("newer:1w older:\"1d 12h\"", TaskFilter {
            created_from: Some(time("2026-01-24T12:00:00Z")), created_before: Some(time("2026-01-30T00:00:00Z")), ..any()
        }),
        ("created-from:2026-01-01 created-before:2026-01-02T08:00:00+08:00", TaskFilter {
            created_from: Some(time("2026-01-01T00:00:00Z")), created_before: Some(time("2026-01-02T00:00:00Z")), ..any()
        }),
        ("ended-from:90m ended-before:30s", TaskFilter {
            ended_from: Some(time("2026-01-31T10:30:00Z")), ended_before: Some(time("2026-01-31T11:59:30Z")), ..any()
        }),
    ];
    for (line, expected) in cases {
        assert_eq!(read(line), Ok(expected), "{line}");
    }
}

#[test]
fn every_fault_of_a_line_is_named_with_its_place() {
    for (line, faults) in [
        (
            "stauts:failed",
            &["at 1: unknown qualifier \"stauts\", the nearest is status"][..],
        ),
        (
            "a zzzzz:x",
            &["at 3: unknown qualifier \"zzzzz\", known are status, theme, method"],
        ),
        (
            "Status:failed",
            &["at 1: unknown qualifier \"Status\", the nearest is status"],
        ),
        (
            "status:faild",
            &["unknown status \"faild\", the nearest is Failed; expected wait, running"],
        ),
        ("status:failed,", &["at 1: status has an empty value, expected wait"]),
        (
            "订单 status: failed",
            &["at 4: status has no value directly behind the colon"],
        ),
        ("error:\"\"", &["at 1: error has no value", "expected a text"]),
        ("error:\" \"", &["at 1: error has an empty value"]),
        ("id:17,x", &["at 1: id \"x\" is no id, expected numbers"]),
        ("id:9223372036854775808", &["is no id"]),
        (
            "method:Create",
            &["method is \"Create\", expected Service.Method, Service.* or *.Method"],
        ),
        ("method:*.*", &["expected Service.Method"]),
        ("method:Or*.Create", &["expected Service.Method"]),
        ("method:.Create", &["expected Service.Method"]),
        ("key:a key:b", &["at 7: key is there already, at 1; expected once"]),
        (
            "older:2h created-before:2026-01-01",
            &["at 10: created-before says the same as older at 1"],
        ),
        ("word name:other", &["at 1: name is there already, at 6"]),
        ("node:a node:none", &["at 8: node is there already, at 1"]),
        ("older:2", &["older is \"2\", expected a length of time such as 30m"]),
        ("older:-2h", &["expected a length of time"]),
        ("older:2026-01-01", &["expected a length of time"]),
        ("older:3mo", &["expected a length of time"]),
        ("older:19000y", &["expected a length of time"]),
        ("older:99999d", &["expected a length of time"]),
        (
            "created-from:yesterday",
            &["created-from is \"yesterday\", expected a time such as"],
        ),
        ("created-from:1026-01-01", &["expected a time such as"]),
        ("created-from:+12026-01-01", &["expected a time such as"]),
        (
            "error:\"refused",
            &["at 7: this quote has no end; write \\\" for a quote"],
        ),
        ("key:a\0", &["at 1: key holds the control character U+0000"]),
        (
            "stauts:a id:x key:a key:b",
            &["at 1: unknown", "at 10: id", "at 21: key"],
        ),
    ] {
        let error = refusal(read(line));
        for fault in faults {
            assert!(error.contains(fault), "{line}: {fault}: {error}");
        }
    }
    assert!(refusal(read(&"x".repeat(256))).contains("at 1: name has 256 characters, at most 255"));
    let themes = (0..101).map(|n| format!("theme:{n}")).collect::<Vec<_>>().join(" ");
    assert!(refusal(read(&themes)).contains("the filter names 101 themes, at most 100"));
    let faults = read(&"a: ".repeat(1_000)).expect_err("is bad");
    assert_eq!(faults.faults().len(), 21);
    assert!(faults.to_string().ends_with("there are 980 further faults"), "{faults}");
}

/// A value in quotes, as a program writes it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
}

proptest! {
    /// Whatever the line is: a filter or faults, and no panic.
    #[test]
    fn any_line_is_read(line in any::<String>(), now in -62_135_596_800_i64..=253_402_300_799) {
        let now = DateTime::from_timestamp(now, 0).expect("is a time");
        let _ = TaskFilter::parse_line(&line, now);
    }

    #[test]
    fn any_line_of_likely_parts_is_read(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "status:", "id:", "method:", "older:", "newer:", "created-from:", "ended-before:", "node:", "failed", "17", "\"", "\\", ",",
                " ", ".", "*", ":", "2h", "P1D", "2026-01-01", "T", "-", "99999999999999999999", "é", "\u{3000}", "\0", "none",
            ]),
            0..20,
        ),
    ) {
        if let Err(error) = read(&parts.concat()) {
            prop_assert!(!error.faults().is_empty());
        }
    }

    #[test]
    fn a_text_in_quotes_is_looked_for_as_it_stands(text in "\\PC{1,80}") {
        prop_assume!(!text.trim().is_empty());
        let filter = read(&format!("error:{} {}", quoted(&text), quoted(&text))).expect("is good");
        prop_assert_eq!(filter.error_contains.as_deref(), Some(text.as_str()));
        prop_assert_eq!(filter.name_contains.as_deref(), Some(text.as_str()));
    }
}
