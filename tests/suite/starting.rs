//! What a start refuses, and how it says so.

use std::{
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    process::Command,
    time::Duration,
};

use gaia_actors::{Config, async_fn, prelude::*};
use serde_json::Value;

use crate::support::{Database, node_program, refusal};

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
    assert!(!database.path().exists(), "nothing was touched");
}

#[actix_rt::test]
async fn databases_that_cannot_be_used_are_refused() {
    let start = async |url: String| refusal(Gaia::builder().database(url).start().await);
    let text = start("mongodb://ann:s3cret@host/db".to_owned()).await;
    assert!(
        text.contains("unknown scheme \"mongodb\"") && !text.contains("s3cret"),
        "{text}"
    );
    let text = start("gaia.db".to_owned()).await;
    assert!(text.contains("write sqlite:path/to/file.db"), "{text}");
    let text = start("sqlite:/no/such/folder/gaia.db".to_owned()).await;
    assert!(
        text.contains("cannot open the database sqlite:/no/such/folder/gaia.db"),
        "{text}"
    );

    let database = Database::fresh();
    std::fs::write(
        database.path(),
        "this is no database, but a text that is long enough to be read as one",
    )
    .expect("writes");
    let text = start(database.url()).await;
    assert!(text.contains("not a database"), "{text}");
}

#[actix_rt::test]
async fn a_read_only_database_is_refused() {
    let database = Database::fresh();
    database
        .builder()
        .start()
        .await
        .expect("starts")
        .stop()
        .await
        .expect("stops");
    let output = as_somebody_who_may_only_read(&database);
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("the database is read-only"), "{text}");
}

/// Runs a node on the database with nobody's rights: root may write everywhere.
fn as_somebody_who_may_only_read(database: &Database) -> std::process::Output {
    let folder = database.path().parent().expect("has one").to_owned();
    let program = database.file("node");
    std::fs::copy(node_program(), &program).expect("is copied");
    for (path, mode) in [(&program, 0o755), (&database.path(), 0o444), (&folder, 0o555)] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("is set");
    }
    let mut command = Command::new(&program);
    command.env("DATABASE_URL", database.url()).env("RUST_BACKTRACE", "0");
    if std::fs::metadata("/proc/self").expect("is there").uid() == 0 {
        command.uid(65_534);
    }
    let output = command.output().expect("runs");
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).expect("is set");
    output
}

#[actix_rt::test]
async fn a_method_registered_twice_is_refused() {
    let noop = || async_fn(async |_, _: Value| Ok(()));
    let twice = Gaia::builder()
        .database("sqlite::memory:")
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
    assert!(database.path().exists());

    let text = refusal(Config::load(database.file("missing.json")));
    assert!(text.contains("cannot read") && text.contains("missing.json"), "{text}");
}

#[actix_rt::test]
async fn a_variable_that_is_not_text_is_none_of_ours() {
    use std::os::unix::ffi::OsStrExt;
    let database = Database::fresh();
    let mut node = Command::new(node_program())
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
    for lease in [-1.0, f64::NAN, f64::INFINITY] {
        let mut config = Config::default();
        config.node.lease = lease;
        let text = refusal(Gaia::builder().config(config).database("sqlite::memory:").start().await);
        assert!(text.contains("Node.Lease is"), "{text}");
    }
}
