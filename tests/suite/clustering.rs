//! Several nodes on one database: claims, fences, rescue.
//!
//! A second node of this process is played with the [`Store`], which claims and records as the actors do.

use std::time::Duration;

use gaia_actors::{
    CancelAnswer, Clock, Failure, MAX_ARG_BYTES, Outcome, async_fn,
    prelude::*,
    store::{Claim, ClaimedTask, Store},
};
use serde_json::Value;

use crate::support::{Database, Gate, NodeProcess, PATIENCE, THEME, ended, eventually, options, task};

/// A node's row as a process makes it, with a heartbeat so many seconds ago.
fn join(database: &Database, node: &str, seconds_ago: i32) {
    let (now, then) = (database.in_seconds(0), database.in_seconds(-seconds_ago));
    database.execute(&format!(
        "INSERT INTO gaia_nodes (id, host, pid, version, started_at, heartbeat, beat, lease_ms, themes, protocol) \
         VALUES ('{node}', 'host', 1, '0', {now}, {then}, 1, 1000, '[]', 3)"
    ));
}

async fn claim(store: &Store, node: &str, limit: usize) -> Vec<ClaimedTask> {
    let claim = Claim {
        theme: THEME.to_owned(),
        node: node.to_owned(),
        limit,
        first: Vec::new(),
        methods: None,
        above: None,
    };
    store.tasks().claim(claim).await.expect("claims").tasks
}

async fn record(store: &Store, task: ClaimedTask, outcome: Outcome) -> Option<TaskStatus> {
    let policy = RetryPolicy::immediate();
    store
        .tasks()
        .record(vec![(task, outcome)], policy)
        .await
        .expect("writes")[0]
}

fn success() -> Outcome {
    Outcome::Succeeded(Json::null())
}

fn failure() -> Outcome {
    Outcome::Failed {
        error: "no".to_owned(),
        failure: Failure::Error,
    }
}

/// A client, a store beside it, and two nodes that can claim.
async fn two_nodes(database: &Database) -> (Gaia, Scheduler, Store) {
    let gaia = database.builder().start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let store = Store::connect(&database.url(), Clock::system()).await.expect("opens");
    // Beats from now on for a while: nobody buries them.
    join(database, "a", 0);
    join(database, "b", 0);
    database.execute("UPDATE gaia_nodes SET lease_ms = 3600000");
    (gaia, demo, store)
}

#[actix_rt::test]
async fn a_claim_of_the_store_has_all_arguments_whole() {
    let database = Database::fresh();
    let (gaia, demo, store) = two_nodes(&database).await;
    let long = task("Noop").args(&"x".repeat(MAX_ARG_BYTES - 2));
    demo.add_task(long).await.expect("is added");
    let claimed = claim(&store, "a", 100).await;
    assert_eq!((claimed.len(), claimed[0].args.as_str().len()), (1, MAX_ARG_BYTES));
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_task_is_given_to_one_node_only() {
    let database = Database::fresh();
    let (gaia, demo, store) = two_nodes(&database).await;
    demo.add_tasks(vec![task("Noop"); 10]).await.expect("are added");
    let (first, second) = (claim(&store, "a", 6).await, claim(&store, "b", 6).await);
    assert_eq!((first.len(), second.len()), (6, 4));
    assert!(first.iter().all(|one| second.iter().all(|other| one.id != other.id)));
    assert!(claim(&store, "a", 6).await.is_empty());
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_node_without_a_row_is_given_nothing() {
    let database = Database::fresh();
    let (gaia, demo, store) = two_nodes(&database).await;
    demo.add_task(task("Noop")).await.expect("is added");
    assert!(claim(&store, "declared dead", 1).await.is_empty());
    assert_eq!(claim(&store, "a", 1).await.len(), 1);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_stale_run_writes_nothing() {
    let database = Database::fresh();
    let (gaia, demo, store) = two_nodes(&database).await;
    let id = demo.add_task(task("Noop").max_retry(9)).await.expect("is added").id;
    let stale = claim(&store, "a", 1).await.remove(0);
    // Somebody else takes the run for lost, and the task is claimed again, by the same node even.
    assert_eq!(record(&store, stale.clone(), failure()).await, Some(TaskStatus::Retry));
    let fresh = claim(&store, "a", 1).await.remove(0);
    assert!(fresh.token > stale.token);

    for outcome in [
        success(),
        failure(),
        Outcome::Cancelled,
        Outcome::HandedBack { started: true },
    ] {
        assert_eq!(record(&store, stale.clone(), outcome).await, None);
    }
    assert_eq!(
        demo.get_task_detail(id).await.expect("is there").status,
        TaskStatus::Running
    );
    let mut thief = fresh.clone();
    thief.owner = "b".into();
    assert_eq!(record(&store, thief, success()).await, None);

    assert_eq!(
        record(&store, fresh.clone(), success()).await,
        Some(TaskStatus::Success)
    );
    // A finished task stays finished, whoever comes late.
    for late in [stale, fresh] {
        assert_eq!(record(&store, late, failure()).await, None);
    }
    assert_eq!(
        demo.get_task_detail(id).await.expect("is there").status,
        TaskStatus::Success
    );
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctask_exec_row"), 2);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_claim_that_a_crash_has_undone_is_not_taken_for_the_next_one() {
    let database = Database::fresh();
    let (gaia, demo, store) = two_nodes(&database).await;
    let id = demo.add_task(task("Noop").max_retry(9)).await.expect("is added").id;
    let undone = claim(&store, "a", 1).await.remove(0);
    // What the database is like after it lost the commit of the claim. The node lives, and claims again.
    database.execute("DELETE FROM gaia_claims");
    database.execute(&format!(
        "UPDATE asynctasks SET task_status = 'Wait', lease_owner = NULL, lease_token = 0, log_id = NULL, queued = 0 \
         WHERE id = {id}"
    ));
    let mut again = claim(&store, "a", 1).await.remove(0);
    // It may have lost the number of the claim, too, and has given it again.
    let token = undone.token;
    database.execute(&format!("UPDATE gaia_claims SET id = {token}"));
    database.execute(&format!("UPDATE asynctasks SET lease_token = 0 WHERE id = {id}"));
    again.token = token;

    for outcome in [success(), failure(), Outcome::HandedBack { started: false }] {
        assert_eq!(record(&store, undone.clone(), outcome).await, None);
    }
    assert_eq!(record(&store, again, success()).await, Some(TaskStatus::Success));
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctask_exec_row"), 1);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_run_that_somebody_cancelled_does_not_go_back_to_the_queue() {
    let database = Database::fresh();
    let (gaia, demo, store) = two_nodes(&database).await;
    for outcome in [
        failure(),
        Outcome::Snoozed(Duration::ZERO),
        Outcome::HandedBack { started: false },
    ] {
        let id = demo.add_task(task("Noop")).await.expect("is added").id;
        let run = claim(&store, "a", 1).await.remove(0);
        assert_eq!(demo.cancel_task(id).await.expect("runs"), CancelAnswer::Requested);
        assert_eq!(record(&store, run, outcome).await, Some(TaskStatus::Cancelled));
        let records = demo
            .get_task_exec_records(id, PageRequest::default())
            .await
            .expect("lists");
        assert_eq!(records.total, 1);
    }
    // One that came to its end all the same has ended.
    let id = demo.add_task(task("Noop")).await.expect("is added").id;
    let run = claim(&store, "a", 1).await.remove(0);
    demo.cancel_task(id).await.expect("runs");
    assert_eq!(record(&store, run, success()).await, Some(TaskStatus::Success));
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn wanted_ids_come_before_others() {
    let database = Database::fresh();
    let (gaia, demo, store) = two_nodes(&database).await;
    let added = demo.add_tasks(vec![task("Noop"); 5]).await.expect("are added");
    let wanted = Claim {
        theme: THEME.to_owned(),
        node: "a".to_owned(),
        limit: 2,
        first: vec![added[3].id, 4_711, added[4].id, added[2].id],
        methods: None,
        above: None,
    };
    let claimed = store.tasks().claim(wanted).await.expect("claims").tasks;
    let ids: Vec<_> = claimed.iter().map(|task| task.id).collect();
    assert_eq!(ids, [added[0].id, added[3].id]);
    gaia.stop().await.expect("stops");
}

/// It is in its first segment still, and in another one since it went back.
#[actix_rt::test]
async fn a_wanted_task_that_goes_back_is_claimed_once() {
    let database = Database::fresh();
    let (gaia, demo, store) = two_nodes(&database).await;
    let added = demo.add_tasks(vec![task("Noop"); 60]).await.expect("are added");
    let last = added[59].id;
    let wanted = Claim {
        theme: THEME.to_owned(),
        node: "a".to_owned(),
        limit: 1,
        first: vec![last],
        methods: None,
        above: None,
    };
    let claimed = store.tasks().claim(wanted).await.expect("claims").tasks.remove(0);
    assert_eq!(claimed.id, last);
    record(&store, claimed, Outcome::HandedBack { started: false }).await;
    let mut ids: Vec<i64> = claim(&store, "a", 1_000).await.iter().map(|task| task.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, added.iter().map(|added| added.id).collect::<Vec<_>>());
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn the_tasks_of_a_dead_node_are_a_lost_attempt_and_run_elsewhere() {
    let database = Database::fresh();
    let (client, demo, store) = two_nodes(&database).await;
    let again = demo.add_task(task("Noop").max_retry(1)).await.expect("is added").id;
    let last = demo.add_task(task("Noop").max_retry(0)).await.expect("is added").id;
    let unwanted = demo.add_task(task("Noop")).await.expect("is added").id;
    let unbegun = demo.add_task(task("Noop").max_retry(0)).await.expect("is added").id;
    let claimed = claim(&store, "a", 4).await;
    assert_eq!(claimed.len(), 4);
    database.begin(claimed.iter().find(|task| task.id == last).expect("is claimed"));
    demo.cancel_task(unwanted).await.expect("runs");
    // Node a falls silent: its lease of a second is long over.
    database.execute("DELETE FROM gaia_nodes WHERE id = 'a'");
    join(&database, "a", 60);

    let gaia = database
        .builder()
        .lease(Duration::from_millis(800))
        .handler("Demo", "Noop", async_fn(async |_, _: Value| Ok(())))
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    assert_eq!(ended(&demo, again).await.status, TaskStatus::Success);
    let lost = ended(&demo, last).await;
    assert_eq!(lost.status, TaskStatus::Failed);
    assert_eq!(lost.last_error.as_deref(), Some("its node a died while it ran"));
    assert_eq!(ended(&demo, unwanted).await.status, TaskStatus::Cancelled);
    // It waited in the dead node's memory: its only attempt was not used.
    assert_eq!(ended(&demo, unbegun).await.status, TaskStatus::Success);
    let records = demo
        .get_task_exec_records(again, PageRequest::default())
        .await
        .expect("lists");
    let nodes: Vec<_> = records
        .items
        .iter()
        .filter_map(|record| record.node.as_deref())
        .collect();
    assert_eq!(nodes, [gaia.node_id(), "a"]);
    assert_eq!(database.number("SELECT COUNT(*) FROM gaia_nodes WHERE id = 'a'"), 0);
    gaia.stop().await.expect("stops");
    client.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_running_task_is_cancelled_from_another_process() {
    let database = Database::fresh();
    let node = NodeProcess::start(&database, &[]);
    let client = database.builder().start().await.expect("starts");
    let demo = client.scheduler(THEME).expect("is a theme");
    let sleep = task("Sleep").args(&serde_json::json!({"ms": 3_600_000}));
    let id = demo.add_task(sleep).await.expect("is added").id;
    eventually("the run", async || {
        let task = demo.get_task_detail(id).await.expect("is there");
        (task.status == TaskStatus::Running).then_some(())
    })
    .await;
    assert_eq!(demo.cancel_task(id).await.expect("runs"), CancelAnswer::Requested);
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Cancelled);
    assert_eq!(node.stop(), Some(0));
    client.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_node_that_was_stopped_in_its_tracks_finds_its_runs_gone_and_goes_on() {
    let database = Database::fresh();
    let lease = [("GAIA__NODE__LEASE", "1"), ("RUST_LOG", "off")];
    let sleeper = NodeProcess::start(&database, &lease);
    let client = database
        .builder()
        .lease(Duration::from_secs(1))
        .start()
        .await
        .expect("starts");
    let demo = client.scheduler(THEME).expect("is a theme");
    let nap = || {
        task("Sleep")
            .args(&serde_json::json!({"ms": 3_000}))
            .retry_delay(Duration::ZERO)
    };
    let id = demo.add_task(nap()).await.expect("is added").id;
    eventually("the run", async || {
        let task = demo.get_task_detail(id).await.expect("is there");
        (task.status == TaskStatus::Running).then_some(())
    })
    .await;
    sleeper.signal("STOP");
    // Others take it for dead, and its run for lost.
    eventually("the rescue", async || {
        let task = demo.get_task_detail(id).await.expect("is there");
        (task.status == TaskStatus::Retry).then_some(())
    })
    .await;
    sleeper.signal("CONT");
    let done = demo.wait_for(id, PATIENCE).await.expect("ends");
    assert_eq!(done.status, TaskStatus::Success);
    let records = demo
        .get_task_exec_records(id, PageRequest::default())
        .await
        .expect("lists");
    let statuses: Vec<_> = records.items.iter().map(|record| record.status.as_str()).collect();
    assert_eq!(statuses, ["Success", "Retry"]);
    let tokens: Vec<_> = records.items.iter().map(|record| record.lease_token).collect();
    assert!(tokens[0] > tokens[1], "{tokens:?}");
    assert_eq!(sleeper.stop(), Some(0));
    client.stop().await.expect("stops");
    assert_eq!(database.number("SELECT COUNT(*) FROM gaia_nodes"), 0);
}

#[actix_rt::test]
async fn a_node_whose_row_is_gone_cancels_what_it_runs_and_registers_again() {
    let database = Database::fresh();
    let gate = Gate::closed();
    let gaia = database
        .builder()
        .lease(Duration::from_secs(1))
        .handler("Demo", "Gate", gate.handler())
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let id = demo.add_task(task("Gate")).await.expect("is added").id;
    gate.entered(1).await;
    database.execute("DELETE FROM gaia_nodes");
    // The run is dropped and begins again.
    gate.entered(1).await;
    gate.let_pass(1);
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    assert_eq!(gate.most(), 1);
    gaia.stop().await.expect("stops");
}
