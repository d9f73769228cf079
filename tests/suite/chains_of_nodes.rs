//! Chains and batches on nodes that are killed.

use std::{collections::BTreeMap, time::Duration};

use gaia_actors::prelude::*;
use serde_json::json;

use crate::support::{Database, Effect, NodeProcess, THEME, effects, eventually, task};

const CHAINS: usize = 12;
const LENGTH: usize = 4;
const BATCHES: usize = 4;
const SIZE: usize = 40;

/// The tasks that wait, each with those for which it waits.
async fn added(demo: &Scheduler) -> BTreeMap<i64, Vec<i64>> {
    // A killed run is a lost attempt: enough of them for anybody's luck.
    let new = |ms: u64| {
        task("Sleep")
            .args(&json!({ "ms": ms }))
            .max_retry(1_000)
            .retry_delay(Duration::ZERO)
    };
    let mut waits = BTreeMap::new();
    for _ in 0..CHAINS {
        let chain = demo.add_chain(vec![new(60); LENGTH]).await.expect("is added");
        waits.extend(chain.windows(2).map(|pair| (pair[1].id, vec![pair[0].id])));
    }
    for _ in 0..BATCHES {
        let batch = demo.add_batch(vec![new(30); SIZE], new(10)).await.expect("is added");
        let tasks = batch.tasks.iter().map(|task| task.id).collect();
        waits.insert(batch.id, tasks);
    }
    waits
}

#[actix_rt::test]
async fn whatever_node_dies_each_task_waits_for_those_before_it_and_succeeds_once() {
    let database = Database::fresh();
    let client = database.builder().start().await.expect("starts");
    let demo = client.scheduler(THEME).expect("is a theme");
    let settings = [("GAIA__NODE__LEASE", "1"), ("WORKERS", "4")];
    let mut nodes: Vec<_> = (0..3).map(|_| NodeProcess::start(&database, &settings)).collect();
    let waits = added(&demo).await;
    let all = i64::try_from(CHAINS * LENGTH + BATCHES * (SIZE + 1)).expect("fits");
    let succeeded = async || demo.count_by_status().await.expect("counts")[&TaskStatus::Success];
    for at in 0..9 {
        let goal = all * i64::from(at) / 10;
        eventually("more tasks to succeed", async || {
            (succeeded().await >= goal).then_some(())
        })
        .await;
        let victim = usize::try_from(at).expect("fits") % nodes.len();
        nodes[victim].kill();
        nodes[victim] = NodeProcess::spawn(&database, &settings);
    }
    eventually("all tasks to succeed", async || {
        (succeeded().await == all).then_some(())
    })
    .await;
    for node in &mut nodes {
        assert!(node.is_running(), "a node ended by itself");
    }
    for node in nodes {
        assert_eq!(node.stop(), Some(0));
    }
    let records = "SELECT COUNT(*) FROM asynctask_exec_row WHERE task_status = 'Success'";
    assert_eq!(database.number(records), all);
    assert_eq!(
        database.number("SELECT COUNT(*) FROM gaia_links WHERE open_task IS NOT NULL"),
        0
    );
    assert_eq!(
        database.number("SELECT COUNT(*) FROM gaia_held WHERE unfinished <> 0 OR succeeded <> total"),
        0
    );
    let effects = effects(&database);
    for (id, tasks) in &waits {
        let first = times(&effects, *id, true).min().expect("has run");
        for before in tasks {
            let done = times(&effects, *before, false).min().expect("has run to its end");
            assert!(
                first >= done,
                "task {id} began at {first}, before task {before} was done at {done}"
            );
        }
    }
    client.stop().await.expect("stops");
}

/// When the runs of a task began, or came to their ends.
fn times(effects: &[Effect], id: i64, is_start: bool) -> impl Iterator<Item = i64> {
    let of_task = effects
        .iter()
        .filter(move |effect| effect.task_id == id && effect.is_start == is_start);
    of_task.map(|effect| effect.millis)
}
