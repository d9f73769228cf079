//! Limits of keys: how many tasks of one tenant, for example, run at once in the whole cluster, and how many start in a time.
//!
//! Scanners look every ten minutes here, so that nothing goes on by a look that comes anyway.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::DateTime;
use gaia_actors::{
    Clock, WaitKind,
    admin::{RemoveLimit, SetLimit},
    prelude::*,
};
use tokio::sync::Semaphore;

use crate::support::{Database, THEME, ended, eventually, refusal};

/// Options under which nothing is found by a look that comes anyway.
fn calm(theme: &str) -> SchedulerOptions {
    SchedulerOptions::new(theme)
        .worker_num(20)
        .scan_interval(Duration::from_secs(600))
        .shortest_scan_interval(Duration::from_secs(600))
        .retry(RetryPolicy::immediate())
        .cancel_grace(Duration::from_millis(200))
}

/// Tasks of each key that run now, most at once, and ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    now: usize,
    most: usize,
    ended: usize,
}

/// Counts the tasks of a method by key, and holds them until they may pass.
#[derive(Clone)]
struct Tenants {
    counts: Arc<Mutex<BTreeMap<String, Count>>>,
    pass: Arc<Semaphore>,
}

impl Tenants {
    fn held() -> Self {
        Self {
            counts: Arc::default(),
            pass: Arc::new(Semaphore::new(0)),
        }
    }

    fn let_pass(&self, tasks: usize) {
        self.pass.add_permits(tasks);
    }

    fn of(&self, key: &str) -> Count {
        let counts = self.counts.lock().expect("is whole");
        counts.get(key).copied().unwrap_or_default()
    }

    fn change(&self, key: &str, change: impl FnOnce(&mut Count)) {
        change(self.counts.lock().expect("is whole").entry(key.to_owned()).or_default());
    }

    /// The argument of a task is its key.
    fn handler(&self) -> gaia_actors::Endpoint {
        let tenants = self.clone();
        async_fn(move |_, key: String| {
            let tenants = tenants.clone();
            async move {
                tenants.change(&key, |count| {
                    count.now += 1;
                    count.most = count.most.max(count.now);
                });
                let leaves = Leaves(&tenants, &key);
                tenants
                    .pass
                    .acquire()
                    .await
                    .map_err(|error| error.to_string())?
                    .forget();
                drop(leaves);
                Ok::<_, TaskError>(())
            }
        })
    }

    async fn run(&self, key: &str, tasks: usize) {
        eventually(&format!("{tasks} tasks of {key} to run"), async || {
            (self.of(key).now == tasks).then_some(())
        })
        .await;
    }

    async fn end(&self, key: &str, tasks: usize) {
        eventually(&format!("{tasks} tasks of {key} to end"), async || {
            (self.of(key).ended == tasks).then_some(())
        })
        .await;
    }
}

/// A task ends, whatever becomes of its future.
struct Leaves<'a>(&'a Tenants, &'a str);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.change(self.1, |count| {
            count.now -= 1;
            count.ended += 1;
        });
    }
}

fn node(database: &Database, theme: &str, tenants: &Tenants) -> GaiaBuilder {
    database
        .builder()
        .handler("Demo", "Work", tenants.handler())
        .scheduler(calm(theme))
}

fn of(key: &str) -> NewTask {
    NewTask::new("Demo", "Work").args(&key).limit_key(key)
}

async fn add(gaia: &Gaia, theme: &str, key: &str, count: usize) -> Vec<i64> {
    let scheduler = gaia.scheduler(theme).expect("is a theme");
    let added = scheduler.add_tasks(vec![of(key); count]).await.expect("are added");
    added.into_iter().map(|task| task.id).collect()
}

fn limit(limit: Limit) -> SetLimit {
    SetLimit::new("Demo", "Work", limit)
}

/// Waits until the database has no key, no slot and no task that waits for its key.
async fn nothing_is_left(database: &Database) {
    eventually("all keys to be forgotten", async || {
        let left = ["gaia_keys", "gaia_key_slots", "gaia_aside"]
            .map(|table| database.number(&format!("SELECT COUNT(*) FROM {table}")));
        (left == [0, 0, 0]).then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn tasks_of_one_key_wait_for_each_other_and_others_pass_them() {
    let database = Database::fresh();
    let tenants = Tenants::held();
    let gaia = node(&database, THEME, &tenants)
        .limit("Demo", "Work", Limit::running_per_key(2))
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let ids = add(&gaia, THEME, "acme", 40).await;
    tenants.run("acme", 2).await;
    add(&gaia, THEME, "blue", 3).await;
    tenants.run("blue", 2).await;
    // A task without a key waits for none.
    for _ in 0..3 {
        demo.add_task(NewTask::new("Demo", "Work").args(&"none"))
            .await
            .expect("is added");
    }
    tenants.run("none", 3).await;
    assert_eq!((tenants.of("acme").now, tenants.of("blue").now), (2, 2));
    let limits = eventually("both keys to wait", async || {
        let limits = gaia.admin().limits().await.expect("lists");
        (limits[0].waiting_keys == 2).then_some(limits)
    })
    .await;
    assert_eq!(limits[0].slots, 0);
    let last = demo.get_task_detail(ids[39]).await.expect("is there");
    assert_eq!((last.run_at, last.limit_key.as_deref()), (None, Some("acme")));
    let waits_for = last.waits_for.expect("waits for its key");
    assert_eq!(waits_for.kind, WaitKind::Limit);
    tenants.let_pass(46);
    for (key, tasks) in [("acme", 40), ("blue", 3), ("none", 3)] {
        tenants.end(key, tasks).await;
    }
    assert_eq!((tenants.of("acme").most, tenants.of("blue").most), (2, 2));
    nothing_is_left(&database).await;
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_key_is_limited_in_the_whole_cluster() {
    let database = Database::fresh();
    let tenants = Tenants::held();
    let mut nodes = Vec::new();
    for theme in ["a", "b", "c"] {
        // One node releases tasks of another's theme, which only PostgreSQL announces.
        let polls = calm(theme).scan_interval(Duration::from_millis(100));
        let node = database
            .builder()
            .handler("Demo", "Work", tenants.handler())
            .scheduler(polls.shortest_scan_interval(Duration::from_millis(20)))
            .limit("Demo", "Work", Limit::running_per_key(3));
        nodes.push(node.start().await.expect("starts"));
    }
    for (node, theme) in nodes.iter().zip(["a", "b", "c"]) {
        add(node, theme, "acme", 20).await;
        add(node, theme, theme, 5).await;
    }
    for key in ["acme", "a", "b", "c"] {
        tenants.run(key, 3).await;
    }
    for passed in 1..=48 {
        tenants.let_pass(1);
        eventually("a task to end", async || {
            let ended: usize = ["acme", "a", "b", "c"].map(|key| tenants.of(key).ended).iter().sum();
            (ended == passed).then_some(())
        })
        .await;
    }
    tenants.let_pass(27);
    tenants.end("acme", 60).await;
    for key in ["acme", "a", "b", "c"] {
        assert_eq!(tenants.of(key).most, 3, "{key}");
    }
    nothing_is_left(&database).await;
    for node in nodes {
        node.stop().await.expect("stops");
    }
}

/// A tenant with many tasks does not keep others waiting, although the method has a limit, too.
#[actix_rt::test]
async fn keys_take_turns_at_the_slots_of_their_method() {
    let database = Database::fresh();
    let tenants = Tenants::held();
    let gaia = node(&database, THEME, &tenants)
        .limit("Demo", "Work", Limit::running(2).and_running_per_key(1))
        .start()
        .await
        .expect("starts");
    add(&gaia, THEME, "acme", 300).await;
    tenants.run("acme", 1).await;
    add(&gaia, THEME, "blue", 3).await;
    tenants.run("blue", 1).await;
    add(&gaia, THEME, "cyan", 3).await;
    // Three keys wait for two slots: whoever has had one waits behind the others.
    let mut passed = 0;
    while tenants.of("blue").ended < 3 || tenants.of("cyan").ended < 3 {
        tenants.let_pass(1);
        passed += 1;
        assert!(passed <= 20, "{:?}", tenants.counts);
        eventually("another to run", async || {
            let counts = ["acme", "blue", "cyan"].map(|key| tenants.of(key));
            let ended: usize = counts.iter().map(|count| count.ended).sum();
            let now: usize = counts.iter().map(|count| count.now).sum();
            (ended == passed && (now == 2 || ended > 300 || (now == 1 && counts[1].ended + counts[2].ended == 6)))
                .then_some(())
        })
        .await;
    }
    tenants.let_pass(400);
    tenants.end("acme", 300).await;
    nothing_is_left(&database).await;
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_limit_of_keys_changes_while_tasks_wait() {
    let database = Database::fresh();
    let tenants = Tenants::held();
    let gaia = node(&database, THEME, &tenants)
        .limit("Demo", "Work", Limit::running_per_key(1))
        .start()
        .await
        .expect("starts");
    let admin = gaia.admin();
    add(&gaia, THEME, "acme", 12).await;
    tenants.run("acme", 1).await;
    admin.set_limit(limit(Limit::running_per_key(4))).await.expect("is set");
    tenants.run("acme", 4).await;
    admin.set_limit(limit(Limit::running_per_key(2))).await.expect("is set");
    // The four go on; nothing new begins before there is room.
    tenants.let_pass(2);
    tenants.end("acme", 2).await;
    add(&gaia, THEME, "blue", 1).await;
    tenants.run("blue", 1).await;
    assert_eq!(tenants.of("acme").now, 2);
    tenants.let_pass(1);
    eventually("one to end", async || {
        (tenants.of("acme").ended + tenants.of("blue").ended == 3).then_some(())
    })
    .await;
    tenants.run("acme", 2).await;
    // A limit of the whole method instead.
    admin.set_limit(limit(Limit::running(5))).await.expect("is set");
    eventually("five to run", async || {
        (tenants.of("acme").now + tenants.of("blue").now == 5).then_some(())
    })
    .await;
    admin.set_limit(limit(Limit::running_per_key(1))).await.expect("is set");
    add(&gaia, THEME, "cyan", 5).await;
    tenants.run("cyan", 1).await;
    let removed = RemoveLimit {
        service: "Demo".to_owned(),
        method: "Work".to_owned(),
    };
    assert!(admin.remove_limit(removed).await.expect("is removed"));
    tenants.run("cyan", 5).await;
    tenants.let_pass(40);
    tenants.end("acme", 12).await;
    nothing_is_left(&database).await;
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn tasks_of_a_key_start_at_its_pace() {
    let database = Database::fresh();
    let tenants = Tenants::held();
    tenants.let_pass(100);
    let clock = Clock::manual(DateTime::from_timestamp(1_767_225_600, 0).expect("is a time"));
    let gaia = node(&database, THEME, &tenants)
        .clock(clock.clone())
        .limit("Demo", "Work", Limit::starts_per_key(5, Duration::from_secs(1_000)))
        .start()
        .await
        .expect("starts");
    add(&gaia, THEME, "acme", 20).await;
    add(&gaia, THEME, "blue", 2).await;
    tenants.end("acme", 5).await;
    tenants.end("blue", 2).await;
    let mut others = 0;
    for (seconds, started) in [(199, 5), (1, 6), (399, 7), (1, 8), (5_000, 13)] {
        clock.advance(Duration::from_secs(seconds));
        tenants.end("acme", started).await;
        others += 1;
        add(&gaia, THEME, &format!("other {others}"), 1).await;
        tenants.end(&format!("other {others}"), 1).await;
        assert_eq!(tenants.of("acme").ended, started);
    }
    gaia.stop().await.expect("stops");
}

/// What operators do with a task that waits for its key.
#[actix_rt::test]
async fn a_task_that_waits_for_its_key_is_cancelled_deleted_and_retried_like_any_other() {
    let database = Database::fresh();
    let tenants = Tenants::held();
    let gaia = node(&database, THEME, &tenants)
        .limit("Demo", "Work", Limit::running_per_key(1))
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let ids = add(&gaia, THEME, "acme", 8).await;
    tenants.run("acme", 1).await;
    eventually("the last to wait", async || {
        let last = demo.get_task_detail(ids[7]).await.expect("is there");
        last.waits_for.map(drop)
    })
    .await;
    for id in &ids[1..4] {
        demo.cancel_task(*id).await.expect("is cancelled");
        assert_eq!(ended(&demo, *id).await.status, TaskStatus::Cancelled);
    }
    database.execute(&format!("DELETE FROM asynctasks WHERE id = {}", ids[4]));
    demo.retry_task(ids[3]).await.expect("is retried");
    // It is claimed at once, and waits again.
    eventually("it to wait again", async || {
        let task = demo.get_task_detail(ids[3]).await.expect("is there");
        (task.status == TaskStatus::Wait && task.waits_for.is_some()).then_some(())
    })
    .await;
    tenants.let_pass(5);
    for id in [ids[0], ids[3], ids[5], ids[6], ids[7]] {
        assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    }
    assert_eq!((tenants.of("acme").ended, tenants.of("acme").most), (5, 1));
    nothing_is_left(&database).await;
    gaia.stop().await.expect("stops");
}

/// A dead node, a database that was set back, or plain SQL may leave any rows.
#[actix_rt::test]
async fn odd_rows_of_keys_hold_nothing_up() {
    let database = Database::fresh();
    let tenants = Tenants::held();
    let gaia = node(&database, THEME, &tenants)
        .limit("Demo", "Work", Limit::running_per_key(1))
        .start()
        .await
        .expect("starts");
    let ids = add(&gaia, THEME, "acme", 3).await;
    tenants.run("acme", 1).await;
    eventually("two to wait", async || {
        (database.number("SELECT COUNT(*) FROM gaia_aside") == 2).then_some(())
    })
    .await;
    let node = gaia.node_id();
    for sql in [
        // The dead have slots, and this node more than it knows of.
        "INSERT INTO gaia_key_slots (service, method, limit_key, holder, slots) VALUES ('Demo', 'Work', 'acme', 'nobody', 7)",
        "INSERT INTO gaia_key_slots (service, method, limit_key, holder, slots) VALUES ('Demo', 'Work', 'blue', 'nobody', 7)",
        &format!(
            "INSERT INTO gaia_key_slots (service, method, limit_key, holder, slots) VALUES ('Demo', 'Work', 'cyan', '{node}', 7)"
        ),
        // Tasks that do not exist, and counts of nothing.
        "INSERT INTO gaia_aside (task_id, service, method, limit_key, priority, released) VALUES (-7, 'Demo', 'Work', 'acme', 9, 0)",
        "INSERT INTO gaia_keys (service, method, limit_key, waiting, full_at) VALUES ('Demo', 'Work', 'cyan', 1000, -5)",
        "INSERT INTO gaia_keys (service, method, limit_key, waiting, full_at) VALUES ('Demo', 'None', 'cyan', 1000, -5)",
    ] {
        database.execute(sql);
    }
    add(&gaia, THEME, "blue", 2).await;
    add(&gaia, THEME, "cyan", 2).await;
    tenants.run("blue", 1).await;
    tenants.run("cyan", 1).await;
    tenants.let_pass(7);
    for (key, tasks) in [("acme", 3), ("blue", 2), ("cyan", 2)] {
        tenants.end(key, tasks).await;
        assert_eq!(tenants.of(key).most, 1);
    }
    let demo = gaia.scheduler(THEME).expect("is a theme");
    assert_eq!(ended(&demo, ids[2]).await.status, TaskStatus::Success);
    nothing_is_left(&database).await;
    gaia.stop().await.expect("stops");
}

/// Where no limit bites, each of many keys runs.
#[actix_rt::test]
async fn many_keys_run_side_by_side() {
    let database = Database::fresh();
    let tenants = Tenants::held();
    tenants.let_pass(10_000);
    let gaia = node(&database, THEME, &tenants)
        .limit("Demo", "Work", Limit::running_per_key(1))
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let tasks: Vec<NewTask> = (0..1_500)
        .map(|number| of(&format!("tenant {}", number % 500)))
        .collect();
    demo.add_tasks(tasks).await.expect("are added");
    eventually("all to end", async || {
        let counts = demo.count_by_status().await.expect("counts");
        (counts[&TaskStatus::Success] == 1_500).then_some(())
    })
    .await;
    assert!(
        tenants
            .counts
            .lock()
            .expect("is whole")
            .values()
            .all(|count| count.most == 1 && count.ended == 3)
    );
    nothing_is_left(&database).await;
    gaia.stop().await.expect("stops");
}

/// Claims get through a long backlog of one key, although few tasks of the method may run.
#[actix_rt::test]
async fn a_long_backlog_of_one_key_keeps_no_other_waiting_for_long() {
    const BACKLOG: usize = 5_000;
    let database = Database::fresh();
    let tenants = Tenants::held();
    let gaia = node(&database, THEME, &tenants)
        .limit("Demo", "Work", Limit::running(2).and_running_per_key(1))
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    demo.pause().await.expect("is paused");
    add(&gaia, THEME, "acme", BACKLOG).await;
    let blue = add(&gaia, THEME, "blue", 1).await;
    let before = demo.status().await.expect("answers").scans;
    demo.resume().await.expect("goes on");
    tenants.run("blue", 1).await;
    let scans = demo.status().await.expect("answers").scans - before;
    assert!(scans < 200, "{scans} claims");
    tenants.let_pass(2);
    assert_eq!(ended(&demo, blue[0]).await.status, TaskStatus::Success);
    assert_eq!(tenants.of("acme").most, 1);
    gaia.stop().await.expect("stops");
}

/// Where the slots of the method are used up, scanners wait for them.
#[actix_rt::test]
async fn scanners_rest_while_no_slot_is_free() {
    let database = Database::fresh();
    let tenants = Tenants::held();
    let gaia = node(&database, THEME, &tenants)
        .handler("Demo", "Noop", async_fn(async |_, (): ()| Ok::<_, TaskError>(())))
        .limit("Demo", "Work", Limit::running(1).and_running_per_key(5))
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    add(&gaia, THEME, "acme", 10).await;
    tenants.run("acme", 1).await;
    let before = demo.status().await.expect("answers").scans;
    for _ in 0..20 {
        let passes = demo.add_task(NewTask::new("Demo", "Noop")).await.expect("is added").id;
        assert_eq!(ended(&demo, passes).await.status, TaskStatus::Success);
    }
    let scans = demo.status().await.expect("answers").scans - before;
    assert!(scans < 100, "{scans} claims");
    tenants.let_pass(10);
    tenants.end("acme", 10).await;
    assert_eq!(tenants.of("acme").most, 1);
    gaia.stop().await.expect("stops");
}

/// Many tasks are released at once where a limit is raised by much.
#[actix_rt::test]
async fn a_limit_that_is_raised_by_much_releases_all() {
    let database = Database::fresh();
    let tenants = Tenants::held();
    let gaia = node(&database, THEME, &tenants)
        .limit("Demo", "Work", Limit::running_per_key(1))
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    add(&gaia, THEME, "acme", 1_500).await;
    eventually("all others to wait", async || {
        (database.number("SELECT COUNT(*) FROM gaia_aside WHERE released = 0") == 1_499).then_some(())
    })
    .await;
    let admin = gaia.admin();
    admin
        .set_limit(limit(Limit::running_per_key(100_000)))
        .await
        .expect("is set");
    eventually("all to be released", async || {
        (database.number("SELECT COUNT(*) FROM gaia_aside WHERE released = 0") == 0).then_some(())
    })
    .await;
    tenants.let_pass(1_500);
    tenants.end("acme", 1_500).await;
    let counts = demo.count_by_status().await.expect("counts");
    assert_eq!(counts[&TaskStatus::Wait], 0);
    nothing_is_left(&database).await;
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_key_that_makes_no_sense_is_refused() {
    let database = Database::fresh();
    let gaia = database.builder().start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    for key in [String::new(), "k".repeat(101), "k".repeat(1 << 20)] {
        let refused = refusal(demo.add_task(of("acme").limit_key(key)).await);
        assert!(refused.contains("limit key"), "{refused}");
    }
    for odd in [
        Limit::running_per_key(0),
        Limit::starts_per_key(0, Duration::from_secs(1)),
    ] {
        assert!(gaia.admin().set_limit(limit(odd)).await.is_err());
    }
    gaia.stop().await.expect("stops");
}
