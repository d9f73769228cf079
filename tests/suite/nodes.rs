//! The node list, and orders to every node of a theme.

use std::time::{Duration, Instant};

use gaia_actors::{
    NodeInfo, async_fn,
    messages::{GetNodes, ResizeTheme},
    prelude::*,
};
use serde_json::{Value, json};

use crate::support::{Database, NodeProcess, THEME, ended, eventually, options, refusal, task};

/// How soon orders are to be followed everywhere.
const SOON: Duration = Duration::from_secs(5);

async fn node(gaia: &Gaia, pid: u32) -> NodeInfo {
    let nodes = gaia.nodes().await.expect("lists");
    let found = nodes.into_iter().find(|node| node.pid == i64::from(pid));
    found.expect("is listed")
}

/// Waits until the process has so many workers; fails if that takes longer than is promised (and the heartbeat that tells).
async fn follows(gaia: &Gaia, node_of: &NodeProcess, workers: usize) {
    let began = Instant::now();
    eventually("the order", async || {
        (node(gaia, node_of.pid()).await.workers == workers).then_some(())
    })
    .await;
    let beat = Duration::from_secs(1);
    assert!(began.elapsed() < SOON + beat, "followed after {:?}", began.elapsed());
}

#[actix_rt::test]
async fn others_hear_at_once_of_a_theme_that_a_process_begins_to_work_on() {
    let database = Database::fresh();
    // Its second heartbeat by itself comes later than this test waits.
    let builder = database.builder().lease(Duration::from_secs(3_600));
    let gaia = builder.start().await.expect("starts");
    gaia.start_scheduler(options()).await.expect("starts");
    eventually("the theme to be in the list", async || {
        let me = node(&gaia, std::process::id()).await;
        me.themes
            .iter()
            .any(|works| works.theme == THEME && works.workers > 0)
            .then_some(())
    })
    .await;
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn every_process_is_listed_with_what_it_does() {
    let database = Database::fresh();
    let process = NodeProcess::start(&database, &[("GAIA__NODE__LEASE", "2"), ("WORKERS", "3")]);
    let gaia = database.builder().scheduler(options()).start().await.expect("starts");
    let listed = eventually("its first beat", async || {
        let listed = node(&gaia, process.pid()).await;
        (!listed.themes.is_empty()).then_some(listed)
    })
    .await;
    assert!(listed.alive);
    assert_eq!(listed.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(listed.lease, Duration::from_secs(2));
    assert_eq!((listed.workers, listed.themes[0].theme.as_str()), (3, THEME));
    assert!(!listed.host.is_empty());
    let age = chrono::Utc::now() - listed.last_beat;
    assert!(age.num_seconds().abs() < 10, "last beat {age} ago");
    let me = node(&gaia, std::process::id()).await;
    assert_eq!((me.id.as_str(), me.lease), (gaia.node_id(), Duration::from_secs(20)));

    process.signal("STOP");
    eventually("the silence", async || {
        (!node(&gaia, process.pid()).await.alive).then_some(())
    })
    .await;
    process.signal("CONT");
    assert_eq!(process.stop(), Some(0));
    let nodes = gaia.addr().send(GetNodes).await.expect("alive").expect("lists");
    assert_eq!(nodes.len(), 1, "{nodes:?}");
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_theme_is_resized_on_every_node_and_on_those_to_come() {
    let database = Database::fresh();
    let lease = [("GAIA__NODE__LEASE", "2"), ("WORKERS", "3")];
    let first = NodeProcess::start(&database, &lease);
    let gaia = database.builder().scheduler(options()).start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    demo.resize_theme(7).await.expect("is ordered");
    // Here at once.
    assert_eq!(demo.status().await.expect("runs here").all_workers, 7);
    follows(&gaia, &first, 7).await;
    let second = NodeProcess::start(&database, &lease);
    follows(&gaia, &second, 7).await;

    // What a process says for itself stands until the next order.
    demo.resize_workers(2).await.expect("grows");
    actix_rt::time::sleep(SOON).await;
    assert_eq!(demo.status().await.expect("runs here").all_workers, 2);
    let message = demo.addr().send(ResizeTheme(None));
    message.await.expect("alive").expect("is ordered");
    assert_eq!(demo.status().await.expect("runs here").all_workers, 4);
    follows(&gaia, &first, 3).await;
    follows(&gaia, &second, 3).await;

    let text = refusal(demo.resize_theme(100_001).await);
    assert!(text.contains("100001 workers, expected at most 100000"), "{text}");
    assert_eq!((first.stop(), second.stop()), (Some(0), Some(0)));
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_theme_is_paused_and_resumed_on_every_node() {
    let database = Database::fresh();
    let process = NodeProcess::start(&database, &[]);
    let gaia = database.builder().start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let id = demo.add_task(task("Noop")).await.expect("is added").id;
    ended(&demo, id).await;
    demo.pause().await.expect("pauses");
    // A claim asks the database itself.
    let id = demo.add_task(task("Noop")).await.expect("is added").id;
    actix_rt::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(
        demo.get_task_detail(id).await.expect("is there").status,
        TaskStatus::Wait
    );
    demo.resume().await.expect("resumes");
    let resumed = Instant::now();
    ended(&demo, id).await;
    // The node follows within 5 s, and looks for work within another 5 s at the latest.
    assert!(resumed.elapsed() < 2 * SOON, "after {:?}", resumed.elapsed());
    assert_eq!(process.stop(), Some(0));
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_run_elsewhere_is_cancelled_soon() {
    let database = Database::fresh();
    let process = NodeProcess::start(&database, &[]);
    let gaia = database.builder().start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    // It ends as soon as it is told: the grace for those that do not listen comes on top.
    let grace = Duration::from_secs(5);
    let sleep = task("Sleep").args(&json!({"ms": 3_600_000}));
    let id = demo.add_task(sleep).await.expect("is added").id;
    eventually("the run", async || {
        let task = demo.get_task_detail(id).await.expect("is there");
        (task.status == TaskStatus::Running).then_some(())
    })
    .await;
    let asked = Instant::now();
    demo.cancel_task(id).await.expect("runs");
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Cancelled);
    // `wait_for` looks every few seconds, too.
    let looked = Duration::from_secs(3);
    assert!(asked.elapsed() < SOON + grace + looked, "after {:?}", asked.elapsed());
    assert_eq!(process.stop(), Some(0));
    gaia.stop().await.expect("stops");
}

/// Where nobody tells it, a scanner that has just had work looks again soon, and less and less often.
#[actix_rt::test]
async fn work_from_another_process_is_found_soon_after_work() {
    let database = Database::fresh();
    let options = options()
        .scan_interval(Duration::from_secs(3_600))
        .shortest_scan_interval(Duration::from_millis(20));
    let gaia = database
        .builder()
        .handler("Demo", "Noop", async_fn(async |_, _: Value| Ok(())))
        .scheduler(options)
        .start()
        .await
        .expect("starts");
    let client = database.builder().start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let elsewhere = client.scheduler(THEME).expect("is a theme");
    let id = demo.add_task(task("Noop")).await.expect("is added").id;
    ended(&demo, id).await;
    // Without a wake and without a short interval it would take an hour.
    let id = elsewhere.add_task(task("Noop")).await.expect("is added").id;
    assert_eq!(ended(&elsewhere, id).await.status, TaskStatus::Success);
    let scans = demo.status().await.expect("runs here").scans;
    actix_rt::time::sleep(Duration::from_millis(500)).await;
    let later = demo.status().await.expect("runs here").scans;
    assert!(later - scans <= 25, "{scans} then {later}");
    client.stop().await.expect("stops");
    gaia.stop().await.expect("stops");
}
