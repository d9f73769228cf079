//! How processes end: with an error if their actors are gone, in time if they are asked, and after draining.

use std::time::{Duration, Instant};

use gaia_actors::{Error, async_fn, messages::DrainGaia, prelude::*};
use serde_json::{Value, json};

use crate::support::{Database, Gate, NodeProcess, THEME, ended, eventually, options, task};

#[actix_rt::test]
async fn a_process_whose_actors_are_gone_ends_with_an_error() {
    let database = Database::fresh();
    let client = database.builder().start().await.expect("starts");
    let demo = client.scheduler(THEME).expect("is a theme");
    let mut node = NodeProcess::start(&database, &[]);
    demo.add_task(task("StopSystem")).await.expect("is added");
    let code = eventually("the end of the process", async || node.code()).await;
    assert_eq!(code, 1);
    client.stop().await.expect("stops");
}

#[actix_rt::test]
async fn actors_that_are_gone_are_noticed_in_any_main_loop() {
    let database = Database::fresh();
    let stops = async_fn(async |_, _: Value| {
        actix_rt::System::current().stop();
        std::future::pending::<Result<(), TaskError>>().await
    });
    let builder = database.builder().handler("Demo", "StopSystem", stops);
    let gaia = builder.scheduler(options()).start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    // The answer may be gone with the actors.
    let _ = demo.add_task(task("StopSystem")).await;
    let error = gaia.gone().await;
    assert!(matches!(error, Error::ActorsGone { .. }), "{error}");
    assert!(error.to_string().contains("System::current().stop()"), "{error}");
    assert!(matches!(gaia.stop().await, Err(Error::Stopped)));
}

/// The promise itself, not a measure of this machine's speed: orchestrators kill after 30 s.
#[actix_rt::test]
async fn a_stop_by_default_ends_before_an_orchestrator_kills() {
    let database = Database::fresh();
    let client = database.builder().start().await.expect("starts");
    let demo = client.scheduler(THEME).expect("is a theme");
    let node = NodeProcess::start(&database, &[]);
    let long = task("Sleep").args(&json!({"ms": 3_600_000}));
    let id = demo.add_task(long).await.expect("is added").id;
    eventually("the run", async || {
        let task = demo.get_task_detail(id).await.expect("is there");
        (task.status == TaskStatus::Running).then_some(())
    })
    .await;
    let asked = Instant::now();
    assert_eq!(node.stop(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(25), "{:?}", asked.elapsed());
    let task = demo.get_task_detail(id).await.expect("is there");
    assert_eq!((task.status, task.retry_time), (TaskStatus::Wait, 0));
    client.stop().await.expect("stops");
}

/// The same promise. The outcomes are reported as unwritten, and the next node runs the tasks again.
#[actix_rt::test]
async fn a_stop_ends_in_time_while_the_database_takes_nothing() {
    let database = Database::fresh();
    let gate = Gate::closed();
    let node = || {
        let builder = database.builder().lease(Duration::from_secs(2));
        let builder = builder.handler("Demo", "Gate", gate.handler());
        builder.scheduler(options().worker_num(3)).start()
    };
    let gaia = node().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let added = demo.add_tasks(vec![task("Gate"); 3]).await.expect("are added");
    gate.entered(3).await;
    database.execute("ALTER TABLE asynctasks RENAME TO asynctasks_away");
    gate.let_pass(6);
    let asked = Instant::now();
    let report = gaia.stop().await.expect("stops");
    assert!(asked.elapsed() < Duration::from_secs(25), "{:?}", asked.elapsed());
    assert_eq!((report.unwritten, report.refused), (3, 0));

    database.execute("ALTER TABLE asynctasks_away RENAME TO asynctasks");
    let next = node().await.expect("starts");
    let demo = next.scheduler(THEME).expect("is a theme");
    for added in added {
        assert_eq!(ended(&demo, added.id).await.status, TaskStatus::Success);
    }
    next.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_node_that_drains_serves_what_runs_and_takes_nothing_more() {
    let database = Database::fresh();
    let gate = Gate::closed();
    let builder = database.builder().handler("Demo", "Gate", gate.handler());
    let builder = builder.jobs(JobsOptions::default());
    let gaia = builder
        .scheduler(options().worker_num(1))
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let first = demo.add_task(task("Gate")).await.expect("is added").id;
    gate.entered(1).await;
    let drained = gaia.addr().send(DrainGaia).await;
    drained.expect("alive").expect("drains");
    let status = demo.status().await.expect("runs here");
    assert!(status.draining && status.running_workers == 1, "{status:?}");

    let second = demo.add_task(task("Gate")).await.expect("can be added").id;
    gate.let_pass(2);
    assert_eq!(ended(&demo, first).await.status, TaskStatus::Success);
    actix_rt::time::sleep(Duration::from_millis(500)).await;
    let waits = demo.get_task_detail(second).await.expect("is there");
    assert_eq!(waits.status, TaskStatus::Wait);
    assert!(matches!(
        gaia.start_scheduler(SchedulerOptions::new("other")).await,
        Err(Error::Stopped)
    ));
    let nodes = gaia.nodes().await.expect("lists");
    assert!(nodes.iter().any(|node| node.id == gaia.node_id() && node.alive));
    let report = gaia.stop().await.expect("stops");
    assert_eq!((report.handed_back, report.unwritten), (0, 0));
}
