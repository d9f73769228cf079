//! What only a SQLite file can do or suffer.

use std::{
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    process::Command,
    time::Duration,
};

use diesel::connection::SimpleConnection;
use gaia_actors::{async_fn, prelude::*};
use serde_json::Value;

use crate::{
    adoption::working,
    support::{Database, Kind, NodeProcess, THEME, effects, ended, eventually, example, options, refusal, task},
};

fn fresh() -> Database {
    Database::of_kind(Kind::Sqlite)
}

/// Another process holds an exclusive lock for 10 s in the middle of a run.
#[actix_rt::test]
async fn work_goes_on_by_itself_after_an_exclusive_lock() {
    const TASKS: usize = 2_000;
    let database = fresh();
    let client = database.builder().start().await.expect("starts");
    let demo = client.scheduler(THEME).expect("is a theme");
    let nap = task("Sleep").args(&serde_json::json!({"ms": 2}));
    demo.add_tasks(vec![nap; TASKS]).await.expect("are added");
    let node = NodeProcess::start(&database, &[]);
    eventually("work under way", async || {
        let counts = demo.count_by_status().await.expect("counts");
        (counts[&TaskStatus::Success] > 200).then_some(())
    })
    .await;

    let mut other = database.connection();
    other.batch_execute("BEGIN EXCLUSIVE").expect("locks");
    actix_rt::time::sleep(Duration::from_secs(10)).await;
    // People hear of it instead of waiting for ever.
    let text = refusal(demo.add_task(task("Noop")).await);
    assert!(text.contains("locked"), "{text}");
    other.batch_execute("COMMIT").expect("unlocks");

    eventually("all of them", async || {
        let counts = demo.count_by_status().await.ok()?;
        (counts[&TaskStatus::Success] == 2_000).then_some(())
    })
    .await;
    assert_eq!(node.stop(), Some(0));
    // Every task ran once, and every run has its record: the outcomes of the outage were kept and written.
    let starts = effects(&database).iter().filter(|effect| effect.is_start).count();
    assert_eq!(starts, TASKS);
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctask_exec_row"), 2_000);
    client.stop().await.expect("stops");
}

/// The lock lasts longer than the lease: the node must take itself for dead, and come back to life.
#[actix_rt::test]
async fn a_node_that_cannot_beat_fences_itself_and_recovers() {
    let database = fresh();
    let (entered, mut entries) = tokio::sync::mpsc::unbounded_channel();
    let gaia = Gaia::builder()
        .database(format!("{}?busy_timeout=100", database.url()))
        .lease(Duration::from_secs(1))
        .handler(
            "Demo",
            "Wait",
            async_fn(async move |ctx: TaskContext, _: Value| {
                entered.send(())?;
                // The first run waits to be told; the second is the one after the fence.
                if ctx.attempt() == 1 {
                    ctx.cancelled().await;
                    return Err(TaskError::failed("told to stop"));
                }
                Ok(())
            }),
        )
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let id = demo.add_task(task("Wait")).await.expect("is added").id;
    entries.recv().await.expect("runs");

    let mut other = database.connection();
    other.batch_execute("BEGIN EXCLUSIVE").expect("locks");
    eventually("the fence", async || {
        demo.status().await.expect("runs here").fenced.then_some(())
    })
    .await;
    other.batch_execute("COMMIT").expect("unlocks");
    eventually("the end of the fence", async || {
        (!demo.status().await.expect("runs here").fenced).then_some(())
    })
    .await;
    // Nobody had taken the run: it was handed back, and no attempt was used.
    entries.recv().await.expect("runs again");
    let task = demo.get_task_detail(id).await.expect("is there");
    assert_eq!(task.retry_time, 0);
    demo.cancel_task(id).await.expect("runs");
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Cancelled);
    gaia.stop().await.expect("stops");
}

/// Everybody waits for the same lock: who gets it first must not take the others for dead.
#[actix_rt::test]
async fn an_outage_that_hits_every_node_kills_none_of_them() {
    let database = fresh();
    let url = format!("{}?busy_timeout=100", database.url());
    let settings = [("GAIA__NODE__LEASE", "1"), ("DATABASE_URL", url.as_str())];
    let client = database.builder().start().await.expect("starts");
    let demo = client.scheduler(THEME).expect("is a theme");
    let nodes: Vec<_> = (0..3).map(|_| NodeProcess::start(&database, &settings)).collect();
    let nap = task("Sleep").args(&serde_json::json!({"ms": 3_600_000}));
    let ids = demo.add_tasks(vec![nap; 6]).await.expect("are added");
    for _ in 0..3 {
        eventually("all of them running", async || {
            let counts = demo.count_by_status().await.expect("counts");
            (counts[&TaskStatus::Running] == 6).then_some(())
        })
        .await;
        let mut other = database.connection();
        diesel::connection::SimpleConnection::batch_execute(&mut other, "BEGIN EXCLUSIVE").expect("locks");
        actix_rt::time::sleep(Duration::from_millis(2_500)).await;
        diesel::connection::SimpleConnection::batch_execute(&mut other, "COMMIT").expect("unlocks");
        // Each node beats again within a quarter of its lease.
        actix_rt::time::sleep(Duration::from_millis(1_500)).await;
    }
    for added in ids {
        let task = demo.get_task_detail(added.id).await.expect("is there");
        assert_eq!(task.retry_time, 0, "{task:?}");
    }
    assert_eq!(
        database.number("SELECT COUNT(*) FROM asynctask_exec_row WHERE last_err_msg LIKE '%died%'"),
        0
    );
    for mut node in nodes {
        node.kill();
    }
    client.stop().await.expect("stops");
}

#[actix_rt::test]
async fn databases_that_cannot_be_used_are_refused() {
    let start = async |url: String| refusal(Gaia::builder().database(url).start().await);
    let text = start("mongodb://ann:s3cret@host/db".to_owned()).await;
    assert!(
        text.contains("its scheme is unknown") && !text.contains("s3cret"),
        "{text}"
    );
    let text = start("gaia.db".to_owned()).await;
    assert!(text.contains("write sqlite:path/to/file.db"), "{text}");
    let text = start("sqlite:/no/such/folder/gaia.db".to_owned()).await;
    assert!(
        text.contains("cannot open the database sqlite:/no/such/folder/gaia.db"),
        "{text}"
    );

    let database = fresh();
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
    let database = fresh();
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
    std::fs::copy(example("node"), &program).expect("is copied");
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

/// The guide's columns, in SQLite's words, with a row in it and not one column of ours.
const GUIDE: &str = "
    CREATE TABLE asynctasks (
      id INTEGER PRIMARY KEY AUTOINCREMENT, service_name varchar(255) NOT NULL, method_name varchar(255) NOT NULL,
      task_name varchar(255) NOT NULL, arg text, max_retry_time int(11) DEFAULT '3', system_name varchar(100) NOT NULL,
      task_status varchar(50) DEFAULT 'Wait', last_run_time datetime DEFAULT NULL, last_run_end_time datetime DEFAULT NULL,
      last_run_duration bigint(20) DEFAULT '0', create_time datetime DEFAULT CURRENT_TIMESTAMP,
      update_time datetime DEFAULT CURRENT_TIMESTAMP, retry_time int(11) DEFAULT '0', last_result text, last_err_msg text,
      log_id varchar(100) DEFAULT NULL);
    CREATE TABLE asynctask_exec_row (
      id INTEGER PRIMARY KEY AUTOINCREMENT, task_id bigint(20) NOT NULL, task_status varchar(50) DEFAULT NULL,
      last_result text, last_err_msg text, last_run_time datetime DEFAULT NULL, last_run_end_time datetime DEFAULT NULL,
      last_run_duration bigint(20) DEFAULT '0', log_id varchar(100) DEFAULT NULL,
      create_time datetime DEFAULT CURRENT_TIMESTAMP);
    INSERT INTO asynctasks (service_name, method_name, task_name, arg, system_name, max_retry_time)
      VALUES ('Demo', 'Echo', '创建订单', '{\"order\": 1}', 'demo', 3);
    INSERT INTO asynctasks (service_name, method_name, task_name, arg, system_name, task_status)
      VALUES ('Demo', 'Echo', 'left behind', '1', 'demo', 'Running');
    INSERT INTO asynctask_exec_row (task_id, task_status) VALUES (99, 'Success');";

#[actix_rt::test]
async fn tables_of_the_guide_are_adopted_with_their_rows() {
    let database = fresh();
    database.execute(GUIDE);
    let (gaia, demo) = working(&database).await;
    let task = ended(&demo, 1).await;
    assert_eq!((task.status, task.name.as_str()), (TaskStatus::Success, "创建订单"));
    assert_eq!(task.last_result.as_deref(), Some("{\"order\":1}"));
    // What another framework runs, or has left behind, is not ours to judge; people may cancel it and retry.
    assert_eq!(
        demo.get_task_detail(2).await.expect("is there").status,
        TaskStatus::Running
    );
    demo.cancel_task(2).await.expect("nobody runs it");
    demo.retry_task(2).await.expect("is Cancelled");
    assert_eq!(ended(&demo, 2).await.status, TaskStatus::Success);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_start_time_that_nobody_can_read_holds_up_no_other_task() {
    let database = fresh();
    let (gaia, demo) = working(&database).await;
    for run_at in ["tomorrow", "2099-01-01", "23:59"] {
        database.execute(&format!(
            "INSERT INTO asynctasks (service_name, method_name, task_name, system_name, run_at) \
             VALUES ('Demo', 'Echo', 'odd', 'demo', '{run_at}')"
        ));
    }
    let id = demo.add_task(task("Echo")).await.expect("is added").id;
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    let due = demo
        .add_task(task("Echo").run_at(chrono::Utc::now() + chrono::TimeDelta::milliseconds(300)))
        .await
        .expect("is added");
    assert_eq!(ended(&demo, due.id).await.status, TaskStatus::Success);
    assert_eq!(demo.status().await.expect("runs here").database_errors, 0);
    gaia.stop().await.expect("stops");
}

/// The application's own migrations are noted in diesel's table, in the same file.
#[actix_rt::test]
async fn the_applications_own_diesel_migrations_are_its_own() {
    let database = fresh();
    database.execute(
        "CREATE TABLE __diesel_schema_migrations (version VARCHAR(50) PRIMARY KEY NOT NULL, run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP);
         INSERT INTO __diesel_schema_migrations (version) VALUES ('29990101000000')",
    );
    let (gaia, demo) = working(&database).await;
    let id = demo.add_task(task("Echo")).await.expect("is added").id;
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    gaia.stop().await.expect("stops");
    assert_eq!(database.number("SELECT COUNT(*) FROM __diesel_schema_migrations"), 1);
}

#[actix_rt::test]
async fn another_spelling_of_the_path_is_the_same_database() {
    let database = fresh();
    let gaia = database.builder().scheduler(options()).start().await.expect("starts");
    let again = database.path();
    let dotted = again.parent().expect("has one").join(".").join("gaia.db");
    let other = Gaia::builder()
        .database(format!("sqlite:{}", dotted.display()))
        .scheduler(options())
        .start()
        .await;
    assert!(matches!(other, Err(Error::AlreadyScheduled { .. })));
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn nothing_is_touched_by_a_start_that_is_refused() {
    let database = fresh();
    let refused = database.builder().lease(Duration::from_millis(1)).start().await;
    assert!(matches!(refused, Err(Error::Invalid(_))));
    assert!(!database.path().exists());
}

/// SQLite takes anything anywhere. What nobody can read is read as well as may be, and is in the way of no other.
#[actix_rt::test]
async fn rows_with_bytes_that_are_no_text_and_times_that_are_none_harm_no_other() {
    let database = fresh();
    let (gaia, demo) = working(&database).await;
    database.execute(
        "INSERT INTO asynctasks (service_name, method_name, task_name, arg, system_name)
           VALUES ('Demo', 'Echo', X'ff41', '1', 'demo'), ('Demo', X'ff', 'odd', '2', 'demo'), ('Demo', 'Echo', 'bad', X'22ff22', 'demo');
         INSERT INTO asynctasks (service_name, method_name, task_name, arg, system_name, create_time, update_time, last_run_time)
           VALUES ('Demo', 'Echo', 'times', '4', 'demo', 'yesterday', X'00', 'never');",
    );
    let good = demo.add_task(task("Echo")).await.expect("is added").id;
    assert_eq!(ended(&demo, good).await.status, TaskStatus::Success);
    for (id, result) in [(1, "1"), (3, "\"\u{fffd}\""), (4, "4")] {
        assert_eq!(ended(&demo, id).await.last_result.as_deref(), Some(result));
    }
    let missing = demo.get_task_detail(2).await.expect("is there");
    assert_eq!(missing.method, "\u{fffd}");
    assert_eq!(demo.list_tasks(ListTasks::default()).await.expect("answers").total, 5);
    gaia.stop().await.expect("stops");
}
