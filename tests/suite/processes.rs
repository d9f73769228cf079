//! Processes that are killed.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use gaia_actors::prelude::*;
use serde_json::json;

use crate::support::{Database, NodeProcess, NumberAndTime, PATIENCE, THEME, effects, ended, eventually, task};

/// Nodes on one file, killed and restarted at random. `GAIA_SOAK_SECONDS` makes it long; see CONTRIBUTING.md.
#[actix_rt::test]
async fn nodes_that_are_killed_at_random_lose_nothing_and_repeat_nothing_that_succeeded() {
    const NODES: usize = 10;
    const TASKS: i64 = 5_000;
    let seconds = std::env::var("GAIA_SOAK_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let (seconds, tasks) = seconds.map_or((10, TASKS / 5), |seconds| (seconds, TASKS));

    let database = Database::fresh();
    let client = database.builder().start().await.expect("starts");
    let demo = client.scheduler(THEME).expect("is a theme");
    // A killed run is a lost attempt: enough of them for anybody's luck.
    let new = |at: i64| task("Sleep").args(&json!({"ms": 100 + at % 300})).max_retry(1_000);
    let rows = (0..tasks).map(new).collect();
    demo.add_tasks(rows).await.expect("are added");

    let settings = [("GAIA__NODE__LEASE", "3"), ("WORKERS", "2")];
    let mut nodes: Vec<_> = (0..NODES).map(|_| NodeProcess::spawn(&database, &settings)).collect();
    let (began, mut kills) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(seconds) {
        let pause = Duration::from_millis(fastrand::u64(50..400));
        actix_rt::time::sleep(pause).await;
        let victim = fastrand::usize(..nodes.len());
        nodes[victim].kill();
        nodes[victim] = NodeProcess::spawn(&database, &settings);
        kills += 1;
    }
    let patience = PATIENCE + Duration::from_secs(seconds * 5);
    let waited = Instant::now();
    while demo.count_by_status().await.expect("counts")[&TaskStatus::Success] < tasks {
        assert!(waited.elapsed() < patience, "{:?}", demo.count_by_status().await);
        actix_rt::time::sleep(Duration::from_millis(50)).await;
    }
    for node in &mut nodes {
        assert!(node.is_running(), "a node ended by itself");
    }
    for node in nodes {
        assert_eq!(node.stop(), Some(0));
    }

    let starts: Vec<_> = effects(&database)
        .into_iter()
        .filter(|effect| effect.is_start)
        .collect();
    println!("{kills} kills, {} runs of {tasks} tasks", starts.len());
    let successes = success_times(&database);
    let late: Vec<_> = starts
        .iter()
        .filter(|start| start.millis > successes[&start.task_id])
        .map(|start| (start.task_id, start.attempt, start.millis - successes[&start.task_id]))
        .collect();
    assert_eq!(late, [], "runs that began after their task's Success was recorded");
    let count = |sql: &str| database.number(sql);
    assert_eq!(
        count("SELECT COUNT(*) FROM asynctask_exec_row WHERE task_status = 'Success'"),
        tasks
    );
    // One record for each claim, and one claim for each attempt.
    let records = count("SELECT COUNT(*) FROM asynctask_exec_row");
    assert_eq!(
        count("SELECT COUNT(*) FROM (SELECT DISTINCT task_id, lease_token FROM asynctask_exec_row) AS claims"),
        records
    );
    assert_eq!(
        count("SELECT COUNT(*) FROM (SELECT DISTINCT task_id, attempt FROM asynctask_exec_row) AS attempts"),
        records
    );
    client.stop().await.expect("stops");
}

/// When each task's Success was recorded, in milliseconds.
fn success_times(database: &Database) -> HashMap<i64, i64> {
    let sql = "SELECT task_id AS number, create_time AS time FROM asynctask_exec_row WHERE task_status = 'Success'";
    // Rounded up: the time is the end of the run, and its start has whole milliseconds. On a server it is the server's time, as
    // a node under load knows it.
    let doubt = if database.is_on_a_server() { 250 } else { 1 };
    let entry = |row: NumberAndTime| (row.number, row.time.and_utc().timestamp_millis() + doubt);
    database.times(sql).into_iter().map(entry).collect()
}

#[actix_rt::test]
async fn a_task_that_kills_its_process_fails_in_the_end_instead_of_killing_for_ever() {
    let database = Database::fresh();
    let client = database
        .builder()
        .lease(Duration::from_secs(1))
        .start()
        .await
        .expect("starts");
    let demo = client.scheduler(THEME).expect("is a theme");
    let abort = task("Abort").max_retry(2).retry_delay(Duration::ZERO);
    let id = demo.add_task(abort).await.expect("is added").id;
    let settings = [("GAIA__NODE__LEASE", "1")];
    let mut node = NodeProcess::spawn(&database, &settings);
    let mut deaths = 0;
    let failed = loop {
        if !node.is_running() {
            deaths += 1;
            node = NodeProcess::spawn(&database, &settings);
        }
        match demo.wait_for(id, Duration::from_millis(100)).await {
            Ok(task) => break task,
            Err(Error::WaitTimedOut { .. }) => assert!(deaths < 10, "it kills for ever"),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!((failed.status, failed.retry_time), (TaskStatus::Failed, 2));
    assert!(failed.last_error.expect("has one").contains("died while it ran"));
    let records = demo
        .get_task_exec_records(id, PageRequest::default())
        .await
        .expect("lists");
    let attempts: Vec<_> = records.items.iter().map(|record| record.attempt).collect();
    assert_eq!(attempts, [Some(3), Some(2), Some(1)]);
    assert_eq!(effects(&database).len(), 3);
    // The node that came last is well, and works.
    let id = demo.add_task(task("Noop")).await.expect("is added").id;
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    assert_eq!(node.stop(), Some(0));
    client.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_killed_nodes_tasks_run_elsewhere_within_30_s_by_default() {
    let database = Database::fresh();
    let client = database.builder().start().await.expect("starts");
    let demo = client.scheduler(THEME).expect("is a theme");
    let mut node = NodeProcess::start(&database, &[]);
    let long = task("Sleep").args(&json!({"ms": 3_600_000}));
    let ids: Vec<_> = demo.add_tasks(vec![long; 3]).await.expect("are added");
    eventually("the runs", async || {
        let counts = demo.count_by_status().await.expect("counts");
        (counts[&TaskStatus::Running] == 3).then_some(())
    })
    .await;
    node.kill();
    let killed = Instant::now();
    let mut recovered = BTreeMap::new();
    while recovered.len() < ids.len() {
        for added in &ids {
            if demo.get_task_detail(added.id).await.expect("is there").retry_time == 1 {
                recovered.entry(added.id).or_insert_with(|| killed.elapsed());
            }
        }
        // The promise itself, not a measure of this machine's speed.
        assert!(killed.elapsed() < Duration::from_secs(30), "{recovered:?}");
        actix_rt::time::sleep(Duration::from_millis(100)).await;
    }
    println!("recovered after {recovered:?}");
    client.stop().await.expect("stops");
}
