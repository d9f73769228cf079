//! Tasks that are claimed by their insert, because a worker was free and nothing waited.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use gaia_actors::{async_fn, prelude::*};
use serde_json::Value;

use crate::support::{Database, Gate, PATIENCE, THEME, ended, eventually, options, task};

/// So seldom that no scan finds anything in these tests: only the insert itself, or a wake-up.
fn seldom() -> SchedulerOptions {
    options()
        .worker_num(1)
        .scan_interval(PATIENCE * 10)
        .shortest_scan_interval(PATIENCE * 10)
}

/// Started, and its first look has found nothing.
async fn calm(gaia: &Gaia) -> Scheduler {
    let demo = gaia.start_scheduler(seldom()).await.expect("starts");
    eventually("the first look", async || {
        let status = demo.status().await.expect("answers");
        (status.scans > 0).then_some(())
    })
    .await;
    demo
}

#[actix_rt::test]
async fn a_task_is_running_from_its_first_moment_where_a_worker_is_free() {
    let database = Database::fresh();
    let gate = Gate::closed();
    let gaia = database.builder().handler("Demo", "Wait", gate.handler());
    let gaia = gaia.start().await.expect("starts");
    let demo = calm(&gaia).await;
    let scans = demo.status().await.expect("answers").scans;

    let extras = task("Wait").priority(7).timeout(PATIENCE).args(&"x");
    let id = demo.add_task(extras).await.expect("is added").id;
    gate.entered(1).await;
    let running = demo.get_task_detail(id).await.expect("is there");
    assert_eq!((running.status, running.priority), (TaskStatus::Running, 7));
    assert_eq!(running.node.as_deref(), Some(gaia.node_id()));
    assert_eq!((running.arg.as_str(), running.timeout), ("\"x\"", Some(PATIENCE)));

    // The worker is busy: the next one waits for it.
    let next = demo.add_task(task("Wait")).await.expect("is added").id;
    assert_eq!(
        demo.get_task_detail(next).await.expect("is there").status,
        TaskStatus::Wait
    );
    gate.let_pass(2);
    for id in [id, next] {
        assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    }
    let log_ids =
        database.number("SELECT COUNT(DISTINCT log_id) FROM asynctask_exec_row WHERE lease_token > 0 AND attempt = 1");
    assert_eq!(log_ids, 2);
    // For the second one only.
    assert!(demo.status().await.expect("answers").scans > scans);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn no_look_is_needed_for_it() {
    let database = Database::fresh();
    let gaia = database
        .builder()
        .handler("Demo", "Noop", async_fn(async |_, _: Value| Ok(())));
    let gaia = gaia.start().await.expect("starts");
    let demo = calm(&gaia).await;
    let scans = demo.status().await.expect("answers").scans;
    for _ in 0..10 {
        let id = demo.add_task(task("Noop")).await.expect("is added").id;
        assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
        eventually("a free worker", async || {
            let status = demo.status().await.expect("answers");
            (status.running_workers == 0).then_some(())
        })
        .await;
    }
    let status = demo.status().await.expect("answers");
    assert_eq!((status.pushed, status.succeeded), (10, 10));
    // On PostgreSQL a node also looks when it begins to listen.
    assert!(status.scans < scans + 10, "{} looks", status.scans - scans);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn it_waits_if_the_theme_is_paused_or_the_node_has_no_row() {
    let database = Database::fresh();
    let gate = Gate::closed();
    let gaia = database.builder().handler("Demo", "Wait", gate.handler());
    let gaia = gaia.start().await.expect("starts");
    let demo = calm(&gaia).await;

    // By a hand that tells nobody.
    let now = database.in_seconds(0);
    database.execute(&format!(
        "INSERT INTO gaia_themes (theme, paused, update_time) VALUES ('{THEME}', 1, {now})"
    ));
    let paused = demo.add_task(task("Wait")).await.expect("is added").id;
    assert_eq!(
        demo.get_task_detail(paused).await.expect("is there").status,
        TaskStatus::Wait
    );
    database.execute("UPDATE gaia_themes SET paused = 0");
    demo.task_quick_queue(paused);
    gate.entered(1).await;
    gate.let_pass(1);
    assert_eq!(ended(&demo, paused).await.status, TaskStatus::Success);

    // A node that others have declared dead holds nothing, until it has noticed and registered again.
    database.execute("DELETE FROM gaia_nodes");
    let dead = demo.add_task(task("Wait")).await.expect("is added").id;
    let owned = format!("SELECT COUNT(*) FROM asynctasks WHERE id = {dead} AND lease_owner IS NOT NULL");
    let is_back = database.number("SELECT COUNT(*) FROM gaia_nodes") > 0;
    assert!(is_back || database.number(&owned) == 0);
    gate.let_pass(1);
    assert_eq!(ended(&demo, dead).await.status, TaskStatus::Success);
    assert_eq!(
        database.number("SELECT COUNT(*) FROM asynctask_exec_row WHERE task_status <> 'Success'"),
        0
    );
    gaia.stop().await.expect("stops");
}

/// A worker that has just become free belongs to what waits, not to what is added in that moment.
#[actix_rt::test]
async fn one_worker_takes_tasks_in_the_order_of_their_ids() {
    let database = Database::fresh();
    let order = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&order);
    let note = async_fn(async move |ctx: TaskContext, _: Value| {
        noted.lock().expect("is sound").push(ctx.id());
        Ok(())
    });
    let gaia = database.builder().handler("Demo", "Note", note);
    let gaia = gaia.start().await.expect("starts");
    let demo = calm(&gaia).await;
    let mut last = 0;
    for _ in 0..200 {
        last = demo.add_task(task("Note")).await.expect("is added").id;
    }
    ended(&demo, last).await;
    gaia.stop().await.expect("stops");
    let order = order.lock().expect("is sound");
    assert_eq!(order.len(), 200);
    assert!(order.is_sorted(), "{order:?}");
}

#[actix_rt::test]
async fn a_node_that_stops_meanwhile_leaves_nothing_behind() {
    let database = Database::fresh();
    let noop = || async_fn(async |_, _: Value| Ok(()));
    let gaia = database.builder().handler("Demo", "Noop", noop());
    let gaia = gaia.start().await.expect("starts");
    let demo = calm(&gaia).await;
    // Without workers it can still add.
    let stopped = Arc::new(AtomicBool::new(false));
    let adding = actix_rt::spawn({
        let (demo, stopped) = (demo.clone(), Arc::clone(&stopped));
        async move {
            let mut added = 0;
            while !stopped.load(Ordering::SeqCst) {
                demo.add_task(task("Noop")).await.expect("is added");
                added += 1;
            }
            added
        }
    });
    eventually("some runs", async || {
        let done = database.number("SELECT COUNT(*) FROM asynctask_exec_row");
        (done > 20).then_some(())
    })
    .await;
    gaia.stop().await.expect("stops");
    stopped.store(true, Ordering::SeqCst);
    let added: i64 = adding.await.expect("ends");
    let count = |status: &str| {
        database.number(&format!(
            "SELECT COUNT(*) FROM asynctasks WHERE task_status = '{status}'"
        ))
    };
    assert_eq!(count("Running"), 0);
    assert_eq!(count("Success") + count("Wait"), added);
    assert_eq!(
        database.number("SELECT COUNT(*) FROM asynctask_exec_row WHERE task_status <> 'Success'"),
        0
    );
}
