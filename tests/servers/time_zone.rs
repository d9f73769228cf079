//! A MySQL database whose columns of time stand in another zone than UTC, as the Go framework writes them.

use std::{path::Path, process::Command, time::Duration};

use chrono::{TimeDelta, Utc};
use gaia_actors::{Task, async_fn, prelude::*};
use serde_json::Value;

use crate::support::{Database, Kind, PATIENCE, THEME, ended, eventually, example, of_driver, options, refusal};

/// The local time, as the Go framework takes it. The session of these statements is in UTC.
const LOCAL: &str = "UTC_TIMESTAMP(6) + INTERVAL 8 HOUR";

fn in_shanghai(database: &Database) -> GaiaBuilder {
    Gaia::builder()
        .database(database.url_with("time_zone=+08:00"))
        .handler("Demo", "Echo", async_fn(async |_, args: Value| Ok(args)))
        .scheduler(options())
}

fn is_recent(at: Option<chrono::DateTime<Utc>>) -> bool {
    at.is_some_and(|at| (Utc::now() - at).abs() < TimeDelta::from_std(PATIENCE).expect("is a time"))
}

/// How many rows of a table have a time that is no local time of the last minutes.
fn strange(database: &Database, table: &str, column: &str) -> i64 {
    database.number(&format!(
        "SELECT COUNT(*) FROM {table} WHERE {column} IS NULL OR ABS(TIMESTAMPDIFF(SECOND, {column}, {LOCAL})) > 600"
    ))
}

fn all_times(task: &Task) -> [Option<chrono::DateTime<Utc>>; 4] {
    [
        task.create_time,
        task.update_time,
        task.last_run_time,
        task.last_run_end_time,
    ]
}

#[actix_rt::test]
async fn both_sides_read_and_write_local_times() {
    let database = Database::of_kind(Kind::Mysql);
    let gaia = in_shanghai(&database).start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");

    // A row of the other program.
    database.execute(&format!(
        "INSERT INTO asynctasks (service_name, method_name, task_name, arg, system_name, task_status, create_time, update_time) \
         VALUES ('Demo', 'Echo', 'from Go', '1', 'demo', 'Wait', {LOCAL}, {LOCAL})"
    ));
    let from_go = ended(&demo, 1).await;
    assert_eq!(from_go.status, TaskStatus::Success);
    assert!(all_times(&from_go).into_iter().all(is_recent), "{from_go:?}");

    // Ours: alone, in a batch, on a connection of the caller's, and one that is to wait for a moment.
    let task = || NewTask::new("Demo", "Echo").args(&1);
    let mut added = vec![demo.add_task(task()).await.expect("is added")];
    added.extend(demo.add_tasks(vec![task(); 3]).await.expect("are added"));
    let url = of_driver(&database.url());
    let mut conn = <diesel_async::AsyncMysqlConnection as diesel_async::AsyncConnection>::establish(&url)
        .await
        .expect("connects");
    added.push(demo.add_task_on(&mut conn, task()).await.expect("is added"));
    let soon = Utc::now() + Duration::from_millis(1_200);
    added.push(demo.add_task(task().run_at(soon)).await.expect("is added"));
    for added in &added {
        let task = ended(&demo, added.id).await;
        assert!(all_times(&task).into_iter().all(is_recent), "{task:?}");
    }
    let begun = ended(&demo, added[5].id).await.last_run_time.expect("has run");
    assert!(begun >= soon, "{begun} {soon}");
    for column in ["create_time", "update_time", "last_run_time", "last_run_end_time"] {
        assert_eq!(strange(&database, "asynctasks", column), 0, "{column}");
    }
    for column in ["create_time", "last_run_time", "last_run_end_time"] {
        assert_eq!(strange(&database, "asynctask_exec_row", column), 0, "{column}");
    }

    // A time that is far away, and the filter by times.
    let later = demo
        .add_task(task().run_at(Utc::now() + Duration::from_secs(3_600)))
        .await;
    let later = later.expect("is added").id;
    let hours =
        format!("SELECT TIMESTAMPDIFF(MINUTE, UTC_TIMESTAMP(6), run_at) DIV 30 FROM asynctasks WHERE id = {later}");
    assert!(
        (17..=18).contains(&database.number(&hours)),
        "{}",
        database.number(&hours)
    );
    let last_minutes = TaskFilter {
        created_from: Some(Utc::now() - Duration::from_secs(600)),
        created_before: Some(Utc::now() + Duration::from_secs(600)),
        ..TaskFilter::default()
    };
    let last_minutes = ListTasks {
        filter: last_minutes,
        ..ListTasks::default()
    };
    let found = demo.list_tasks(last_minutes).await.expect("are listed");
    assert_eq!(found.total, i64::try_from(added.len()).expect("are few") + 2);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn all_processes_have_the_zone_of_the_first_start() {
    let database = Database::of_kind(Kind::Mysql);
    in_shanghai(&database)
        .start()
        .await
        .expect("starts")
        .stop()
        .await
        .expect("stops");
    let text = refusal(database.builder().start().await);
    assert!(
        text.contains("stand in the zone +08:00, and this URL says +00:00; expected time_zone=+08:00"),
        "{text}"
    );
    let text = refusal(database.builder().migrate(false).start().await);
    assert!(text.contains("this URL says +00:00"), "{text}");
    // The same zone, by its name, and as Go's driver has it.
    for same in [
        "time_zone=Asia/Shanghai",
        "loc=Asia%2FShanghai",
        "loc=Local&time_zone=%27%2B08%3A00%27",
    ] {
        let gaia = Gaia::builder().database(database.url_with(same)).start().await;
        gaia.unwrap_or_else(|error| panic!("{same}: {error}"))
            .stop()
            .await
            .expect("stops");
    }
    let text = refusal(
        Gaia::builder()
            .database(database.url_with("time_zone=Europe/Berlin"))
            .start()
            .await,
    );
    assert!(text.contains("the clocks of this zone are moved"), "{text}");
}

#[actix_rt::test]
async fn a_start_names_the_zone_of_times_that_lie_ahead_and_both_readings_of_a_job() {
    let database = Database::of_kind(Kind::Mysql);
    database
        .builder()
        .start()
        .await
        .expect("starts")
        .stop()
        .await
        .expect("stops");
    database.execute(&format!(
        "INSERT INTO asynctasks (service_name, method_name, task_name, system_name, task_status, create_time) \
         VALUES ('Demo', 'Echo', 'from Go', 'demo', 'Success', {LOCAL})"
    ));
    let text = log_of_a_start(&database, "").await;
    assert!(text.contains("Set time_zone=+08:00 in the URL of every node"), "{text}");

    let database = Database::of_kind(Kind::Mysql);
    in_shanghai(&database)
        .start()
        .await
        .expect("starts")
        .stop()
        .await
        .expect("stops");
    database.execute(
        "INSERT INTO job_center (job_name, job_type, cron_expr, service_name, service_method, enabled) \
         VALUES ('report', 'cron_job', '0 0 1 * * *', 'Demo', 'Noop', 1)",
    );
    let text = log_of_a_start(&database, "?time_zone=+08:00").await;
    assert!(text.contains("T01:00:00+00:00; read in +08:00"), "{text}");
    assert!(text.contains("T17:00:00+00:00. Set Jobs.TimeZone"), "{text}");
    assert!(!text.contains("Set time_zone"), "{text}");
}

/// By the example, which logs to its standard error.
async fn log_of_a_start(database: &Database, parameters: &str) -> String {
    let log = database.file("log");
    let mut node = Command::new(example("node"))
        .env("DATABASE_URL", format!("{}{parameters}", database.url()))
        .env("JOBS", "1")
        .env("RUST_LOG", "warn")
        .stdout(std::process::Stdio::null())
        .stderr(std::fs::File::create(&log).expect("is made"))
        .spawn()
        .expect("starts");
    let has = |log: &Path| std::fs::read_to_string(log).expect("is text");
    let text = eventually("the warning", async || {
        Some(has(&log)).filter(|text| text.contains("Set "))
    })
    .await;
    node.kill().expect("is killed");
    node.wait().expect("is over");
    text
}
