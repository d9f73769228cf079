//! Limits of methods: how many run at once in the whole cluster, and how many start in a time.
//!
//! Scanners look every ten minutes here, so that nothing goes on by a look that comes anyway.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::DateTime;
use gaia_actors::{
    Clock, MissingHandler,
    admin::{RemoveLimit, SetLimit},
    prelude::*,
};
use serde_json::Value;

#[cfg(any(feature = "postgres", feature = "mysql"))]
use crate::support::execute_around;
use crate::support::{Database, Gate, THEME, ended, eventually, refusal, task};

/// Options under which nothing is found by a look that comes anyway.
fn calm(theme: &str) -> SchedulerOptions {
    SchedulerOptions::new(theme)
        .worker_num(20)
        .scan_interval(Duration::from_secs(600))
        .shortest_scan_interval(Duration::from_secs(600))
        .retry(RetryPolicy::immediate())
        .cancel_grace(Duration::from_millis(200))
}

fn noop() -> gaia_actors::Endpoint {
    async_fn(async |_, _: Value| Ok(()))
}

/// A node with a theme of its own, whose methods `Work` and `Noop` wait for a gate and do nothing.
fn node(database: &Database, theme: &str, gate: &Gate) -> GaiaBuilder {
    database
        .builder()
        .handler("Demo", "Work", gate.handler())
        .handler("Demo", "Noop", noop())
        .scheduler(calm(theme))
}

fn limit(limit: Limit) -> SetLimit {
    SetLimit::new("Demo", "Work", limit)
}

async fn add(gaia: &Gaia, theme: &str, count: usize) -> Vec<i64> {
    let scheduler = gaia.scheduler(theme).expect("is a theme");
    let added = scheduler.add_tasks(vec![task("Work"); count]).await.expect("are added");
    added.into_iter().map(|task| task.id).collect()
}

async fn succeed(gaia: &Gaia, theme: &str, count: i64) {
    let scheduler = gaia.scheduler(theme).expect("is a theme");
    eventually("all to succeed", async || {
        let counts = scheduler.count_by_status().await.expect("counts");
        (counts[&TaskStatus::Success] == count).then_some(())
    })
    .await;
}

/// Waits until no slot is held.
async fn all_slots_back(gaia: &Gaia) {
    eventually("all slots to come back", async || {
        let limits = gaia.admin().limits().await.expect("lists");
        limits
            .iter()
            .all(|limit| limit.slots == 0 && !limit.waits)
            .then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn no_more_run_at_once_than_the_limit_says_and_others_pass_them() {
    let database = Database::fresh();
    let gate = Gate::closed();
    let gaia = node(&database, THEME, &gate)
        .limit("Demo", "Work", Limit::running(3))
        .start()
        .await
        .expect("starts");
    add(&gaia, THEME, 50).await;
    gate.entered(3).await;
    let demo = gaia.scheduler(THEME).expect("is a theme");
    for _ in 0..5 {
        let passes = demo.add_task(task("Noop")).await.expect("is added").id;
        assert_eq!(ended(&demo, passes).await.status, TaskStatus::Success);
    }
    let urgent = demo.add_task(task("Noop").priority(9)).await.expect("is added").id;
    ended(&demo, urgent).await;
    assert_eq!(gate.inside(), 3);
    let limits = gaia.admin().limits().await.expect("lists");
    assert_eq!((limits[0].slots, limits[0].waits), (3, true));
    gate.let_pass(50);
    succeed(&gaia, THEME, 56).await;
    assert_eq!(gate.most(), 3);
    all_slots_back(&gaia).await;
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_limit_holds_for_all_nodes_and_themes_together() {
    let database = Database::fresh();
    let gate = Gate::closed();
    let mut nodes = Vec::new();
    for theme in ["a", "b", "c"] {
        let node = node(&database, theme, &gate).limit("Demo", "Work", Limit::running(4));
        nodes.push(node.start().await.expect("starts"));
    }
    for (node, theme) in nodes.iter().zip(["a", "b", "c"]) {
        add(node, theme, 20).await;
    }
    gate.entered(4).await;
    for _ in 0..56 {
        gate.let_pass(1);
        gate.entered(1).await;
        assert!(gate.inside() <= 4);
    }
    gate.let_pass(4);
    for (node, theme) in nodes.iter().zip(["a", "b", "c"]) {
        succeed(node, theme, 20).await;
    }
    assert_eq!(gate.most(), 4);
    all_slots_back(&nodes[0]).await;
    for node in nodes {
        node.stop().await.expect("stops");
    }
}

#[actix_rt::test]
async fn a_node_that_was_taken_for_dead_comes_back_without_slots() {
    let database = Database::fresh();
    let (first, second) = (Gate::closed(), Gate::closed());
    let one = node(&database, "one", &first).limit("Demo", "Work", Limit::running(1));
    let one = one.start().await.expect("starts");
    let two = node(&database, "two", &second).start().await.expect("starts");
    add(&one, "one", 2).await;
    first.entered(1).await;
    add(&two, "two", 1).await;
    // Right after a heartbeat there is time for the others.
    let id = one.node_id();
    let beat = || database.number(&format!("SELECT beat FROM gaia_nodes WHERE id = '{id}'"));
    let before = beat();
    eventually("a heartbeat", async || (beat() != before).then_some(())).await;
    database.execute(&format!("DELETE FROM gaia_nodes WHERE id = '{id}'"));
    second.entered(1).await;

    // Its run is cancelled, and then it asks for a slot as if it had never had one.
    eventually("the run to end", async || (first.inside() == 0).then_some(())).await;
    let asks = format!(
        "SELECT COUNT(*) FROM gaia_slots s JOIN gaia_nodes n ON n.id = s.holder WHERE n.id = '{id}' AND s.slots = 0 AND s.wants = 1"
    );
    eventually("the node to ask for a slot", async || {
        (database.number(&asks) == 1).then_some(())
    })
    .await;
    assert_eq!((first.inside(), second.inside()), (0, 1));
    second.let_pass(1);
    first.let_pass(2);
    succeed(&two, "two", 1).await;
    succeed(&one, "one", 2).await;
    one.stop().await.expect("stops");
    two.stop().await.expect("stops");
}

/// One theme has work for ever; the other gets its turn nevertheless, although there is a single slot.
#[actix_rt::test]
async fn a_theme_with_much_work_leaves_turns_to_the_others() {
    let database = Database::fresh();
    let busy = database
        .builder()
        .handler(
            "Demo",
            "Work",
            async_fn(async |ctx: TaskContext, _: Value| {
                // Each task leaves another.
                ctx.scheduler(THEME)?.add_task(task("Work")).await?;
                Ok(())
            }),
        )
        .scheduler(calm(THEME))
        .limit("Demo", "Work", Limit::running(1))
        .start()
        .await
        .expect("starts");
    let seldom = database
        .builder()
        .handler("Demo", "Work", noop())
        .scheduler(calm("seldom"))
        .start()
        .await
        .expect("starts");
    add(&busy, THEME, 20).await;
    for round in 1..=3 {
        add(&seldom, "seldom", 1).await;
        succeed(&seldom, "seldom", round).await;
    }
    busy.scheduler(THEME)
        .expect("is a theme")
        .pause()
        .await
        .expect("pauses");
    for node in [busy, seldom] {
        node.stop().await.expect("stops");
    }
}

#[actix_rt::test]
async fn a_limit_changes_while_tasks_wait_and_run() {
    let database = Database::fresh();
    let gate = Gate::closed();
    let gaia = node(&database, THEME, &gate)
        .limit("Demo", "Work", Limit::running(1))
        .start()
        .await
        .expect("starts");
    let admin = gaia.admin();
    add(&gaia, THEME, 30).await;
    gate.entered(1).await;
    admin.set_limit(limit(Limit::running(5))).await.expect("is set");
    gate.entered(4).await;
    assert_eq!(gate.inside(), 5);
    admin.set_limit(limit(Limit::running(2))).await.expect("is set");
    // The five go on; nothing new begins before there is room.
    gate.let_pass(3);
    eventually("three to end", async || (gate.inside() == 2).then_some(())).await;
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let passes = demo.add_task(task("Noop")).await.expect("is added").id;
    ended(&demo, passes).await;
    assert_eq!(gate.inside(), 2);
    gate.let_pass(1);
    gate.entered(1).await;
    assert_eq!(gate.inside(), 2);
    let removed = RemoveLimit {
        service: "Demo".to_owned(),
        method: "Work".to_owned(),
    };
    assert!(admin.remove_limit(removed.clone()).await.expect("is removed"));
    gate.entered(15).await;
    assert!(!admin.remove_limit(removed).await.expect("answers"));
    assert!(admin.limits().await.expect("lists").is_empty());
    gate.let_pass(30);
    succeed(&gaia, THEME, 31).await;
    gaia.stop().await.expect("stops");
}

/// Another process learns of a limit that is set here, and of its end.
#[actix_rt::test]
async fn other_nodes_hear_of_limits() {
    let database = Database::fresh();
    let gate = Gate::closed();
    let runs = node(&database, THEME, &gate).start().await.expect("starts");
    let asks = database.builder().start().await.expect("starts");
    asks.admin().set_limit(limit(Limit::running(2))).await.expect("is set");
    let demo = runs.scheduler(THEME).expect("is a theme");
    // The node follows within some seconds: tasks that it takes before have no slots.
    let mut added: i64 = 0;
    eventually("the limit to be known", async || {
        added += 1;
        demo.add_task(task("Work")).await.expect("is added");
        gate.entered(1).await;
        let limits = asks.admin().limits().await.expect("lists");
        gate.let_pass(1);
        (limits[0].slots > 0).then_some(())
    })
    .await;
    added += 10;
    add(&runs, THEME, 10).await;
    gate.entered(2).await;
    eventually("the others to wait", async || {
        let limits = asks.admin().limits().await.expect("lists");
        (limits[0].slots == 2 && limits[0].waits).then_some(())
    })
    .await;
    gate.let_pass(10);
    succeed(&runs, THEME, added).await;
    for node in [runs, asks] {
        node.stop().await.expect("stops");
    }
}

#[actix_rt::test]
async fn tasks_start_at_the_pace_of_their_limit() {
    let database = Database::fresh();
    let clock = Clock::manual(DateTime::from_timestamp(1_767_225_600, 0).expect("is a time"));
    let starts = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&starts);
    let gaia = database
        .builder()
        .clock(clock.clone())
        .handler(
            "Demo",
            "Work",
            async_fn(move |_, _: Value| {
                count.fetch_add(1, Ordering::SeqCst);
                async { Ok(()) }
            }),
        )
        .handler("Demo", "Noop", noop())
        .scheduler(calm(THEME))
        .limit("Demo", "Work", Limit::starts(5, Duration::from_secs(1_000)))
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    add(&gaia, THEME, 20).await;
    succeed(&gaia, THEME, 5).await;
    let mut others = 0;
    for (seconds, started) in [(199, 5), (1, 6), (399, 7), (1, 8), (5_000, 13)] {
        clock.advance(Duration::from_secs(seconds));
        eventually("tasks to start at their pace", async || {
            (starts.load(Ordering::SeqCst) == started).then_some(())
        })
        .await;
        let passes = demo.add_task(task("Noop")).await.expect("is added").id;
        ended(&demo, passes).await;
        others += 1;
        succeed(&gaia, THEME, i64::try_from(started).expect("fits") + others).await;
    }
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn no_way_leads_round_a_limit() {
    let database = Database::fresh();
    let gate = Gate::closed();
    let gaia = node(&database, THEME, &gate)
        .limit("Demo", "Work", Limit::running(2))
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    for _ in 0..10 {
        // A worker is free and nothing waits: without the limit, the insert would claim the task.
        let id = demo.add_task(task("Work")).await.expect("is added").id;
        demo.task_quick_queue(id);
    }
    gate.entered(2).await;
    let urgent = demo.add_task(task("Work").priority(100)).await.expect("is added").id;
    demo.task_quick_queue(urgent);
    let cancelled = demo.add_task(task("Work")).await.expect("is added").id;
    demo.cancel_task(cancelled).await.expect("is cancelled");
    let passes = demo.add_task(task("Noop")).await.expect("is added").id;
    ended(&demo, passes).await;
    assert_eq!(gate.inside(), 2);
    gate.let_pass(11);
    succeed(&gaia, THEME, 12).await;
    assert_eq!(gate.most(), 2);
    gaia.stop().await.expect("stops");
}

/// A slot comes back however a run ends: by an error, a panic, its time limit, a cancel, a snooze.
#[actix_rt::test]
async fn a_slot_comes_back_however_the_run_ends() {
    let database = Database::fresh();
    let runs = Arc::new(AtomicUsize::new(0));
    let inside = Arc::new(AtomicUsize::new(0));
    let (count, here) = (Arc::clone(&runs), Arc::clone(&inside));
    let gaia = database
        .builder()
        .handler(
            "Demo",
            "Work",
            async_fn(move |ctx: TaskContext, how: u32| {
                let (count, here) = (Arc::clone(&count), Arc::clone(&here));
                async move {
                    count.fetch_add(1, Ordering::SeqCst);
                    assert_eq!(here.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
                    let _leave = leaving(&here);
                    match how {
                        0 => Ok(()),
                        1 => Err(TaskError::failed("no")),
                        2 => panic!("on purpose"),
                        3 => std::future::pending().await,
                        4 if ctx.attempt() == 1 => Err(TaskError::Snooze(Duration::ZERO)),
                        _ => {
                            ctx.cancelled().await;
                            Ok(())
                        }
                    }
                }
            }),
        )
        .scheduler(calm(THEME))
        .limit("Demo", "Work", Limit::running(1))
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let mut ids = Vec::new();
    for how in [0, 1, 2, 3, 0, 1, 2, 3, 0] {
        let task = task("Work").args(&how).max_retry(0).timeout(Duration::from_millis(50));
        ids.push(demo.add_task(task).await.expect("is added").id);
    }
    for id in ids {
        ended(&demo, id).await;
    }
    let waits = demo.add_task(task("Work").args(&9)).await.expect("is added").id;
    eventually("it to run", async || (runs.load(Ordering::SeqCst) == 10).then_some(())).await;
    demo.cancel_task(waits).await.expect("is asked");
    ended(&demo, waits).await;
    all_slots_back(&gaia).await;
    gaia.stop().await.expect("stops");
}

/// Counts a run out when it is dropped.
fn leaving(inside: &Arc<AtomicUsize>) -> impl Drop + use<> {
    struct Out(Arc<AtomicUsize>);
    impl Drop for Out {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    Out(Arc::clone(inside))
}

/// Tasks without a handler are to fail, so the scanner claims all methods: limits hold nevertheless, and other tasks fail as they should.
#[actix_rt::test]
async fn limits_hold_where_tasks_without_a_handler_fail() {
    let database = Database::fresh();
    let gate = Gate::closed();
    let gaia = database
        .builder()
        .handler("Demo", "Work", gate.handler())
        .handler("Demo", "Noop", noop())
        .scheduler(calm(THEME).missing_handler(MissingHandler::Fail))
        .limit("Demo", "Work", Limit::running(2))
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    add(&gaia, THEME, 40).await;
    gate.entered(2).await;
    let passes = demo.add_task(task("Noop")).await.expect("is added").id;
    ended(&demo, passes).await;
    let fails = demo.add_task(task("Nobody").max_retry(0)).await.expect("is added").id;
    assert_eq!(ended(&demo, fails).await.status, TaskStatus::Failed);
    gate.let_pass(40);
    succeed(&gaia, THEME, 41).await;
    assert_eq!(gate.most(), 2);
    gaia.stop().await.expect("stops");
}

/// The limit that an operator has set stays when a program starts that names another.
#[actix_rt::test]
async fn the_limit_in_the_database_stays() {
    let database = Database::fresh();
    let start = async |running| {
        let builder = database.builder().limit("Demo", "Work", Limit::running(running));
        builder.start().await.expect("starts")
    };
    let first = start(2).await;
    first.admin().set_limit(limit(Limit::running(7))).await.expect("is set");
    first.stop().await.expect("stops");
    let second = start(2).await;
    let limits = second.admin().limits().await.expect("lists");
    assert_eq!(limits.len(), 1);
    assert_eq!(limits[0].limit, Limit::running(7));
    second.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_limit_that_makes_no_sense_is_refused_with_every_fault() {
    let database = Database::fresh();
    let gaia = database.builder().start().await.expect("starts");
    let admin = gaia.admin();
    let set = |service: &str, limit| admin.set_limit(SetLimit::new(service, "a\nb", limit));
    let text = refusal(set("", Limit::running(0).and_starts(0, Duration::ZERO)).await);
    for fault in [
        "service is empty",
        "control character U+000A",
        "0 tasks at once",
        "0 starts",
        "1 ms to 366 days",
    ] {
        assert!(text.contains(fault), "{fault}: {text}");
    }
    let mut nothing = Limit::running(1);
    nothing.running = None;
    let text = refusal(admin.set_limit(limit(nothing)).await);
    assert!(text.contains("limits nothing"), "{text}");
    let long = "x".repeat(256);
    let text = refusal(set(&long, Limit::starts(1, Duration::from_secs(400 * 86_400))).await);
    assert!(text.contains("256 characters") && text.contains("366 days"), "{text}");
    assert!(admin.limits().await.expect("lists").is_empty());
    gaia.stop().await.expect("stops");

    let twice = database
        .builder()
        .limit("Demo", "Work", Limit::running(0))
        .limit("Demo", "Work", Limit::running(2));
    let text = refusal(twice.start().await);
    assert!(text.contains("two limits of Demo.Work"), "{text}");
    assert!(text.contains("the limit of Demo.Work: 0 tasks at once"), "{text}");
}

/// Plain SQL may write anything. Numbers that limit nothing are no limit.
#[actix_rt::test]
async fn odd_rows_hold_nothing_up() {
    let database = Database::fresh();
    let gate = Gate::closed();
    let gaia = node(&database, THEME, &gate).start().await.expect("starts");
    database
        .execute("INSERT INTO gaia_limits (service, method, running) VALUES ('Demo', 'Work', -5), ('Demo', 'Noop', 0)");
    database.execute("INSERT INTO gaia_limits (service, method, starts, per_ms) VALUES ('Demo', 'Other', 5, NULL)");
    database.execute(
        "INSERT INTO gaia_slots (service, method, holder, slots, wants) VALUES ('Demo', 'Work', 'nobody', -7, 9)",
    );
    gaia.admin()
        .set_limit(SetLimit::new("Demo", "Third", Limit::running(1)))
        .await
        .expect("is set");
    add(&gaia, THEME, 10).await;
    gate.entered(10).await;
    gaia.admin().set_limit(limit(Limit::running(1))).await.expect("is set");
    gate.let_pass(11);
    add(&gaia, THEME, 1).await;
    succeed(&gaia, THEME, 11).await;
    gaia.stop().await.expect("stops");
}

/// A session that has locked the row of one limit holds up the tasks of this method alone.
#[cfg(any(feature = "postgres", feature = "mysql"))]
#[actix_rt::test]
async fn a_locked_limit_holds_up_no_other_method() {
    let database = Database::fresh();
    if !database.is_on_a_server() {
        return;
    }
    let gate = Gate::closed();
    let gaia = node(&database, THEME, &gate)
        .limit("Demo", "Work", Limit::running(2))
        .limit("Demo", "Noop", Limit::running(2))
        .start()
        .await
        .expect("starts");
    let (locked, is_locked) = tokio::sync::oneshot::channel();
    let (unlock, is_over) = std::sync::mpsc::channel::<()>();
    let (kind, url) = (database.kind(), database.url());
    let session = std::thread::spawn(move || {
        let lock = "START TRANSACTION; UPDATE gaia_limits SET settled = settled + 1 WHERE service = 'Demo' AND method = 'Work'";
        execute_around(kind, &url, [lock, "COMMIT"], move || {
            locked.send(()).expect("is awaited");
            // An error: the test has failed.
            let _ = is_over.recv();
        });
    });
    is_locked.await.expect("locks");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    add(&gaia, THEME, 3).await;
    for _ in 0..10 {
        let passes = demo.add_task(task("Noop")).await.expect("is added").id;
        assert_eq!(ended(&demo, passes).await.status, TaskStatus::Success);
    }
    assert_eq!(gate.inside(), 0);
    unlock.send(()).expect("is heard");
    session.join().expect("ends");
    gate.entered(2).await;
    gate.let_pass(3);
    succeed(&gaia, THEME, 13).await;
    gaia.stop().await.expect("stops");
}
