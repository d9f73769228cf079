//! Actions on many tasks at once.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use gaia_actors::{
    Error, TaskStatus,
    admin::{Admin, BulkAction, BulkOperation, BulkState, BulkTasks, ListBulkOperations, SkipReason, TaskFilter},
    async_fn,
    prelude::*,
};
use serde_json::Value;

use crate::support::{Database, Gate, THEME, ended, eventually, options, refusal, task};

fn of_theme() -> TaskFilter {
    TaskFilter {
        themes: vec![THEME.to_owned()],
        ..TaskFilter::default()
    }
}

fn of_ids(ids: &[i64]) -> TaskFilter {
    TaskFilter {
        ids: ids.to_vec(),
        ..TaskFilter::default()
    }
}

fn in_an_hour() -> DateTime<Utc> {
    Utc::now() + Duration::from_secs(3_600)
}

fn skipped(operation: &BulkOperation) -> Vec<(SkipReason, u64)> {
    operation.skipped.iter().map(|(why, tasks)| (*why, *tasks)).collect()
}

async fn finish(admin: &Admin, id: i64) -> BulkOperation {
    eventually("the end of the operation", async || {
        let operation = admin.bulk_operation(id).await.expect("is there");
        (operation.state != BulkState::Running).then_some(operation)
    })
    .await
}

async fn bulk(admin: &Admin, bulk: BulkTasks) -> BulkOperation {
    let id = admin.bulk_tasks(bulk).await.expect("begins").id;
    finish(admin, id).await
}

async fn add(gaia: &Gaia, tasks: Vec<NewTask>) -> Vec<i64> {
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let added = demo.add_tasks(tasks).await.expect("are added");
    added.into_iter().map(|added| added.id).collect()
}

async fn counts(gaia: &Gaia) -> BTreeMap<TaskStatus, i64> {
    let demo = gaia.scheduler(THEME).expect("is a theme");
    demo.count_by_status().await.expect("counts")
}

/// A node that fails, succeeds, and holds tasks as long as the gate is closed.
async fn node(database: &Database, gate: &Gate) -> Gaia {
    database
        .builder()
        .handler("Demo", "Noop", async_fn(async |_, _: Value| Ok(())))
        .handler(
            "Demo",
            "Fail",
            async_fn(async |_, _: Value| Err::<(), _>(TaskError::Discard("no".to_owned()))),
        )
        .handler("Demo", "Hold", gate.handler())
        .scheduler(options().worker_num(2))
        .start()
        .await
        .expect("starts")
}

#[actix_rt::test]
async fn a_cancel_ends_what_waits_and_asks_what_runs_to_stop() {
    let (database, gate) = (Database::fresh(), Gate::closed());
    let gaia = node(&database, &gate).await;
    let admin = gaia.admin();
    let done = add(&gaia, vec![task("Noop"); 3]).await;
    let demo = gaia.scheduler(THEME).expect("is a theme");
    for id in done {
        ended(&demo, id).await;
    }
    add(&gaia, vec![task("Hold"); 1_200]).await;
    gate.entered(2).await;
    let later = task("Noop").run_at(in_an_hour());
    add(&gaia, vec![later; 20]).await;
    add(&gaia, vec![task("NobodyServesThis"); 30]).await;
    let elsewhere = gaia.scheduler("elsewhere").expect("is a theme");
    let spared = elsewhere.add_task(task("Hold")).await.expect("is added").id;

    let operation = bulk(&admin, BulkTasks::new(BulkAction::Cancel, of_theme())).await;
    assert_eq!(operation.state, BulkState::Done);
    assert_eq!((operation.changed, skipped(&operation)), (1_250, vec![]));
    eventually("the end of what ran", async || {
        (counts(&gaia).await[&TaskStatus::Cancelled] == 1_250).then_some(())
    })
    .await;
    assert_eq!(counts(&gaia).await[&TaskStatus::Success], 3);
    let spared = elsewhere.get_task_detail(spared).await.expect("is there");
    assert_eq!(spared.status, TaskStatus::Wait);
    // Nothing of it runs later, and new tasks do.
    assert_eq!(gate.inside(), 0);
    let new = add(&gaia, vec![task("Noop")]).await;
    assert_eq!(ended(&demo, new[0]).await.status, TaskStatus::Success);
    assert_eq!(counts(&gaia).await[&TaskStatus::Cancelled], 1_250);
    gaia.stop().await.expect("stops");
}

/// An unfinished task has the unique key of one of the tasks.
#[actix_rt::test]
async fn a_retry_that_meets_a_unique_key_queues_the_others() {
    let database = Database::fresh();
    let gaia = database.builder().start().await.expect("starts");
    let admin = gaia.admin();
    let keyed = add(&gaia, vec![task("Noop").unique_key("order-17")]).await;
    let mut ids = add(&gaia, vec![task("Noop"); 5]).await;
    ids.extend(&keyed);
    let cancelled = bulk(&admin, BulkTasks::new(BulkAction::Cancel, of_ids(&ids))).await;
    assert_eq!(cancelled.changed, 6);
    let again = add(&gaia, vec![task("Noop").unique_key("order-17")]).await;
    assert_ne!(again, keyed);

    let operation = bulk(&admin, BulkTasks::new(BulkAction::Retry, of_theme())).await;
    assert_eq!(operation.state, BulkState::Done);
    assert_eq!(
        (operation.changed, skipped(&operation)),
        (5, vec![(SkipReason::UniqueKey, 1)])
    );
    assert_eq!(counts(&gaia).await[&TaskStatus::Wait], 6);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn tasks_that_are_queued_again_or_brought_forward_run() {
    let (database, gate) = (Database::fresh(), Gate::closed());
    let gaia = node(&database, &gate).await;
    let (admin, demo) = (gaia.admin(), gaia.scheduler(THEME).expect("is a theme"));
    let failed = add(&gaia, vec![task("Fail"); 4]).await;
    for id in &failed {
        assert_eq!(ended(&demo, *id).await.status, TaskStatus::Failed);
    }
    let operation = bulk(&admin, BulkTasks::new(BulkAction::Retry, of_theme())).await;
    assert_eq!((operation.changed, skipped(&operation)), (4, vec![]));
    eventually("second records", async || {
        let records = database.number("SELECT COUNT(*) FROM asynctask_exec_row");
        (records == 8).then_some(())
    })
    .await;

    let later = add(&gaia, vec![task("Noop").run_at(in_an_hour()); 4]).await;
    let operation = bulk(&admin, BulkTasks::new(BulkAction::RunNow, of_theme())).await;
    assert_eq!((operation.changed, skipped(&operation)), (4, vec![]));
    for id in later {
        assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    }
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_delete_takes_finished_tasks_and_their_records() {
    let (database, gate) = (Database::fresh(), Gate::closed());
    let gaia = node(&database, &gate).await;
    let (admin, demo) = (gaia.admin(), gaia.scheduler(THEME).expect("is a theme"));
    let mut ids = add(&gaia, vec![task("Fail"), task("Noop")]).await;
    for id in &ids {
        ended(&demo, *id).await;
    }
    let held = add(&gaia, vec![task("Hold")]).await;
    gate.entered(1).await;
    ids.extend(held);
    ids.push(1_000_000);
    let operation = bulk(&admin, BulkTasks::new(BulkAction::Delete, of_ids(&ids))).await;
    assert_eq!(operation.state, BulkState::Done);
    assert_eq!(
        (operation.changed, skipped(&operation)),
        (2, vec![(SkipReason::Status, 1), (SkipReason::NotFound, 1)])
    );
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctasks"), 1);
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctask_exec_row"), 0);
    gate.let_pass(1);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn it_changes_no_more_than_was_asked_for_and_the_newest_first() {
    let database = Database::fresh();
    let gaia = database.builder().start().await.expect("starts");
    let admin = gaia.admin();
    let ids = add(&gaia, vec![task("Noop"); 700]).await;
    let mut cancel = BulkTasks::new(BulkAction::Cancel, of_theme());
    cancel.most = Some(600);
    let preview = admin.preview_bulk(cancel.clone()).await.expect("looks");
    assert_eq!((preview.tasks, preview.more, preview.samples.len()), (600, false, 10));
    assert_eq!(preview.samples[0].id, ids[699]);
    assert_eq!(counts(&gaia).await[&TaskStatus::Wait], 700);
    cancel.author = Some("ops".to_owned());
    cancel.reason = Some("供应商已关闭".to_owned());
    let operation = bulk(&admin, cancel).await;
    assert_eq!(operation.changed, 600);
    assert_eq!(
        (operation.author.as_deref(), operation.reason.as_deref()),
        (Some("ops"), Some("供应商已关闭"))
    );
    assert_eq!(counts(&gaia).await[&TaskStatus::Wait], 100);
    let oldest = gaia
        .scheduler(THEME)
        .expect("is a theme")
        .get_task_detail(ids[99])
        .await;
    assert_eq!(oldest.expect("is there").status, TaskStatus::Wait);
    let listed = admin
        .bulk_operations(ListBulkOperations::default())
        .await
        .expect("lists");
    assert_eq!(listed, [operation]);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn what_means_everything_must_say_so() {
    let database = Database::fresh();
    let gaia = database.builder().start().await.expect("starts");
    let admin = gaia.admin();
    add(&gaia, vec![task("Noop"); 3]).await;
    let mut everything = BulkTasks::new(BulkAction::Cancel, TaskFilter::default());
    assert_eq!(
        refusal(admin.bulk_tasks(everything.clone()).await),
        "invalid input: the filter has no condition, so it means every task of the database; set `all` if it should"
    );
    let finished = TaskFilter {
        statuses: vec![TaskStatus::Success],
        ..TaskFilter::default()
    };
    let mut bad = BulkTasks::new(BulkAction::Cancel, finished);
    (bad.most, bad.author) = (Some(0), Some("a\nb".to_owned()));
    assert_eq!(
        refusal(admin.bulk_tasks(bad).await),
        "invalid input: most is 0, expected 1 or more; \
         the filter has no status from which cancel is allowed: Wait, Retry, Running; \
         author holds the control character U+000A; leave it out"
    );
    assert_eq!(counts(&gaia).await[&TaskStatus::Wait], 3);
    everything.all = true;
    assert_eq!(bulk(&admin, everything).await.changed, 3);
    assert!(matches!(
        admin.bulk_operation(77).await,
        Err(Error::BulkOperationNotFound { id: 77 })
    ));
    gaia.stop().await.expect("stops");
}

/// The operation of a node that has died; another one, of a node that lives.
fn add_operations(database: &Database, below: i64) {
    let now = database.in_seconds(0);
    database.execute(&format!(
        "INSERT INTO gaia_nodes (id, host, pid, version, started_at, heartbeat, beat, lease_ms, themes, protocol) \
         VALUES ('alive', 'host', 1, '0', {now}, {now}, 1, 3600000, '[]', 3)"
    ));
    for (id, node) in [(1, "'dead'"), (2, "'alive'")] {
        database.execute(&format!(
            "INSERT INTO gaia_bulk (id, token, action, filter, state, below, changed, skipped, node_id, created_at) \
             VALUES ({id}, '{id}', 'cancel', '{{\"statuses\":[\"Wait\"]}}', 'running', {below}, 7, '{{}}', {node}, {now})"
        ));
    }
}

#[actix_rt::test]
async fn a_node_goes_on_with_the_operation_of_a_dead_one_and_leaves_that_of_a_living_one() {
    let database = Database::fresh();
    let first = database.builder().start().await.expect("starts");
    let ids = add(&first, vec![task("Noop"); 600]).await;
    first.stop().await.expect("stops");
    // The dead node has come down to this task.
    add_operations(&database, ids[550]);
    let gaia = database.builder().start().await.expect("starts");
    let admin = gaia.admin();
    let operation = finish(&admin, 1).await;
    assert_eq!((operation.state, operation.changed), (BulkState::Done, 557));
    assert_ne!(operation.node.as_deref(), Some("dead"));
    assert_eq!(counts(&gaia).await[&TaskStatus::Wait], 50);
    let other = admin.bulk_operation(2).await.expect("is there");
    assert_eq!(
        (other.state, other.node.as_deref()),
        (BulkState::Running, Some("alive"))
    );
    let other = admin.cancel_bulk(2).await.expect("is there");
    assert_eq!(other.state, BulkState::Cancelled);
    assert!(other.ended_at.is_some());
    assert_eq!(admin.cancel_bulk(1).await.expect("is there").state, BulkState::Done);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn operations_of_several_processes_change_each_task_once() {
    let database = Database::fresh();
    let (a, b) = (
        database.builder().start().await.expect("starts"),
        database.builder().start().await.expect("starts"),
    );
    add(&a, vec![task("Noop"); 2_000]).await;
    let cancel = BulkTasks::new(BulkAction::Cancel, of_theme());
    let (one, other) = (a.admin(), b.admin());
    let (one, other) = futures_util::future::join(bulk(&one, cancel.clone()), bulk(&other, cancel)).await;
    assert_eq!((one.state, other.state), (BulkState::Done, BulkState::Done));
    assert_eq!(one.changed + other.changed, 2_000);
    assert_eq!(counts(&a).await[&TaskStatus::Cancelled], 2_000);
    a.stop().await.expect("stops");
    b.stop().await.expect("stops");
}

#[actix_rt::test]
async fn an_operation_that_the_database_refuses_fails_and_says_why() {
    let database = Database::fresh();
    let gaia = database.builder().start().await.expect("starts");
    let admin = gaia.admin();
    add(&gaia, vec![task("Noop"); 3]).await;
    database.refuse("asynctasks", "no_cancel", "@task_status = 'Cancelled'");
    let operation = bulk(&admin, BulkTasks::new(BulkAction::Cancel, of_theme())).await;
    assert_eq!((operation.state, operation.changed), (BulkState::Failed, 0));
    assert!(operation.error.is_some_and(|error| error.contains("no_cancel")));
    database.allow("asynctasks", "no_cancel");
    // The next one is not held up.
    let operation = bulk(&admin, BulkTasks::new(BulkAction::Cancel, of_theme())).await;
    assert_eq!((operation.state, operation.changed), (BulkState::Done, 3));
    gaia.stop().await.expect("stops");
}
