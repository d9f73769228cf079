//! What a start refuses, and how it says so.

use std::{process::Command, time::Duration};

use gaia_actors::{Config, async_fn, prelude::*};
use serde_json::Value;

use crate::support::{Database, example, refusal};

#[actix_rt::test]
async fn every_fault_of_the_options_is_named_at_once() {
    let database = Database::fresh();
    let bad = SchedulerOptions::new("bad")
        .worker_num(1_000_000)
        .scan_interval(Duration::ZERO)
        .task_id_chan_length(0)
        .scan_task_num(0)
        .timeout(Duration::ZERO)
        .retry(RetryPolicy {
            jitter: f64::NAN,
            ..RetryPolicy::default()
        });
    let text = refusal(
        database
            .builder()
            .arbiters(9_999)
            .lease(Duration::from_millis(1))
            .scheduler(bad.clone())
            .scheduler(SchedulerOptions::new(""))
            .scheduler(bad)
            .start()
            .await,
    );
    for fault in [
        "9999 arbiters, expected at most 1024",
        "the lease is 1ms, expected at least 500ms",
        "theme \"bad\": worker_num is 1000000, expected at most 100000",
        "theme \"bad\": scan_interval is below 1 ms",
        "theme \"bad\": task_id_chan_length is 0",
        "theme \"bad\": scan_task_num is 0",
        "theme \"bad\": timeout is 0",
        "theme \"bad\": retry.jitter is NaN",
        "theme is empty",
        "two schedulers of theme \"bad\"",
    ] {
        assert!(text.contains(fault), "{fault:?} is missing in: {text}");
    }
}

#[actix_rt::test]
async fn a_method_registered_twice_is_refused() {
    let database = Database::fresh();
    let noop = || async_fn(async |_, _: Value| Ok(()));
    let twice = database
        .builder()
        .handler("Demo", "Run", noop())
        .handler("Demo", "Run", noop());
    let text = refusal(twice.start().await);
    assert!(text.contains("Demo.Run is registered already"), "{text}");
}

#[actix_rt::test]
async fn the_configuration_gives_the_defaults_of_schedulers() {
    let database = Database::fresh();
    let json = serde_json::json!({
        "Databases": {"main": database.url()},
        "AsyncTask": {"Mysql": "main", "WorkerNum": 7},
        "Jobs": {"BanEnvList": ["test", "local"]},
    });
    std::fs::write(database.file("config.json"), json.to_string()).expect("writes");
    let config = Config::load(database.file("config.json")).expect("is good");
    let gaia = Gaia::builder()
        .config(config)
        .theme("by-name")
        .start()
        .await
        .expect("starts");
    let by_name = gaia.scheduler("by-name").expect("is a theme");
    assert_eq!(by_name.status().await.expect("runs here").all_workers, 7);
    let demo = gaia
        .start_scheduler(gaia.scheduler_options("demo"))
        .await
        .expect("starts");
    assert_eq!(demo.status().await.expect("runs here").all_workers, 7);
    gaia.stop().await.expect("stops");

    // Jobs are wherever `Framework.Mysql` says, and a process has one database.
    let of_jobs = |json: serde_json::Value| {
        let config = Config::from_json(&json.to_string()).expect("is good");
        Gaia::builder().config(config).jobs(JobsOptions::default())
    };
    let mut json = serde_json::json!({
        "Databases": {"tasks": "sqlite:/nowhere/at/all.db", "jobs": database.url()},
        "AsyncTask": {"Mysql": "tasks"},
        "Framework": {"Mysql": "jobs"},
    });
    let jobs = of_jobs(json.clone())
        .start()
        .await
        .expect("starts on the jobs' database");
    jobs.stop().await.expect("stops");
    let text = refusal(of_jobs(json.clone()).theme("demo").start().await);
    assert!(text.contains("name two databases"), "{text}");
    json["Framework"]["Mysql"] = "other".into();
    let text = refusal(of_jobs(json).start().await);
    assert!(text.contains("Framework.Mysql names the database \"other\""), "{text}");

    let text = refusal(Config::load(database.file("missing.json")));
    assert!(text.contains("cannot read") && text.contains("missing.json"), "{text}");
}

#[actix_rt::test]
async fn a_variable_that_is_not_text_is_none_of_ours() {
    use std::os::unix::ffi::OsStrExt;
    let database = Database::fresh();
    let mut node = Command::new(example("node"))
        .env("DATABASE_URL", database.url())
        .env("SOMETHING", std::ffi::OsStr::from_bytes(b"\xff\xfe"))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    let mut line = String::new();
    let stdout = node.stdout.take().expect("is piped");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).expect("speaks");
    node.kill().expect("is ours");
    node.wait().expect("ends");
    assert_eq!(line, "ready\n");
}

#[actix_rt::test]
async fn settings_changed_by_hand_are_checked_too() {
    let database = Database::fresh();
    for lease in [-1.0, f64::NAN, f64::INFINITY] {
        let mut config = Config::default();
        config.node.lease = lease;
        let text = refusal(database.builder().config(config).start().await);
        assert!(text.contains("Node.Lease is"), "{text}");
    }
}
