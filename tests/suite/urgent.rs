//! What a node holds in memory: little of what is slow, and the most urgent first.

use gaia_actors::{Task, async_fn, prelude::*};
use serde_json::Value;

use crate::support::{Database, Gate, THEME, ended, eventually, options, task};

const WORKERS: usize = 4;

/// A node that has run quick tasks for a while, so that it would hold many of these in advance. Its workers are busy with `Demo.Slow`, which
/// waits at the gate, and its buffer is as full of slow tasks as it gets.
async fn quick(gate: &Gate) -> (Database, Gaia, Scheduler) {
    let database = Database::fresh();
    let gaia = database
        .builder()
        .handler("Demo", "Noop", async_fn(async |_, _: Value| Ok(())))
        .handler("Demo", "Slow", gate.handler())
        .scheduler(options().worker_num(WORKERS))
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    demo.add_tasks(vec![task("Noop"); 2_000]).await.expect("are added");
    // All of them: what the pool gives back on the way comes after the slow ones.
    eventually("the end of the quick ones", async || {
        let open = "SELECT COUNT(*) FROM asynctasks WHERE method_name = 'Noop' AND task_status <> 'Success'";
        (database.number(open) == 0).then_some(())
    })
    .await;
    demo.add_tasks(vec![task("Slow"); 300]).await.expect("are added");
    gate.entered(u32::try_from(WORKERS).expect("is small")).await;
    (database, gaia, demo)
}

async fn status(demo: &Scheduler, id: i64) -> Task {
    demo.get_task_detail(id).await.expect("is there")
}

#[actix_rt::test]
async fn slow_tasks_behind_quick_ones_are_left_to_other_nodes() {
    let gate = Gate::closed();
    let (_database, gaia, demo) = quick(&gate).await;
    let claimed = demo.count_by_status().await.expect("counts")[&TaskStatus::Running];
    let most = i64::try_from(3 * WORKERS).expect("is small");
    assert!(claimed <= most, "{claimed} of 300 slow tasks are claimed");
    gate.let_pass(300);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn an_urgent_task_begins_with_the_next_free_worker() {
    let gate = Gate::closed();
    let (database, gaia, demo) = quick(&gate).await;
    let urgent = demo.add_task(task("Noop").priority(1_000)).await.expect("is added").id;
    // Claimed before those of the buffer. If none is there, the next free worker asks for it.
    eventually("the claim", async || {
        let is_claimed = status(&demo, urgent).await.status != TaskStatus::Wait;
        let depth = demo.status().await.expect("answers").queue_depth;
        (is_claimed || depth == 0).then_some(())
    })
    .await;
    gate.let_pass(1);
    assert_eq!(ended(&demo, urgent).await.status, TaskStatus::Success);
    let slow = "SELECT COUNT(*) FROM asynctasks WHERE method_name = 'Slow' AND task_status = 'Success'";
    assert!(database.number(slow) <= 1);
    gate.let_pass(300);
    gaia.stop().await.expect("stops");
}
