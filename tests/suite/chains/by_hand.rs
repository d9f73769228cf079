//! What operators and plain SQL do to tasks that wait, and to tasks for which others wait.

use std::time::Duration;

use gaia_actors::{
    admin::{BulkAction, BulkOperation, BulkState, BulkTasks, SkipReason, TaskFilter},
    async_fn,
    prelude::*,
};
use serde_json::{Value, json};

use super::{Chains, echo, ids, start};
use crate::support::{Gate, THEME, Tested, ended, eventually, task};

const DAY: Duration = Duration::from_secs(86_400);

fn unserved() -> NewTask {
    NewTask::new("Demo", "Nobody")
}

fn links(gaia: &Tested) -> i64 {
    gaia.database.number("SELECT COUNT(*) FROM gaia_links")
}

impl Chains {
    /// Beats until the task has ended.
    async fn status_at_end(&self, id: i64) -> TaskStatus {
        self.beating("the end of the task", async || {
            let status = self.detail(id).await.status;
            status.is_finished().then_some(status)
        })
        .await
    }

    async fn bulk(&self, action: BulkAction, ids: &[i64]) -> BulkOperation {
        let filter = TaskFilter {
            ids: ids.to_vec(),
            ..TaskFilter::default()
        };
        self.bulk_of(BulkTasks::new(action, filter)).await
    }

    async fn bulk_of(&self, bulk: BulkTasks) -> BulkOperation {
        let admin = self.gaia.admin();
        let id = admin.bulk_tasks(bulk).await.expect("begins").id;
        eventually("the end of the operation", async || {
            let operation = admin.bulk_operation(id).await.expect("is there");
            (operation.state == BulkState::Done).then_some(operation)
        })
        .await
    }
}

#[actix_rt::test]
async fn ends_by_plain_sql_are_found_and_deleted_tasks_count_as_cancelled() {
    let test = start().await;
    let chain = vec![unserved(), echo(&json!(1))];
    let chain = ids(&test.demo.add_chain(chain).await.expect("is added"));
    let batch = test.demo.add_batch(vec![unserved(); 3], echo(&json!(2))).await;
    let batch = batch.expect("is added");
    let write = |sql: String| test.gaia.database.execute(&sql);
    write(format!(
        "UPDATE asynctasks SET task_status = 'Success' WHERE id = {}",
        chain[0]
    ));
    let [first, second, third] = [0, 1, 2].map(|at| batch.tasks[at].id);
    write(format!(
        "UPDATE asynctasks SET task_status = 'Failed' WHERE id = {first}"
    ));
    write(format!("UPDATE asynctasks SET task_status = 'Odd' WHERE id = {second}"));
    write(format!("DELETE FROM asynctasks WHERE id = {third}"));
    for id in [chain[1], batch.id] {
        assert_eq!(test.status_at_end(id).await, TaskStatus::Success);
    }
    let counts = test.demo.waited_for(batch.id).await.expect("is read").expect("waited");
    assert_eq!((counts.succeeded, counts.failed, counts.cancelled), (0, 2, 1));
    test.gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_task_is_kept_while_another_waits_for_it_and_goes_with_all_traces_of_the_wait() {
    let gate = Gate::closed();
    let builder = Gaia::builder()
        .retention(DAY)
        .handler("Demo", "Noop", async_fn(async |_, _: Value| Ok(7)))
        .handler("Demo", "Gate", gate.handler())
        .scheduler(SchedulerOptions::new(THEME));
    let gaia = Tested::start(builder).await;
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let alone = demo.add_task(task("Noop")).await.expect("is added").id;
    let batch = demo.add_batch(vec![task("Noop"), task("Gate")], task("Noop")).await;
    let batch = batch.expect("is added");
    ended(&demo, alone).await;
    ended(&demo, batch.tasks[0].id).await;
    gaia.advance(DAY * 2);
    eventually("the task for which none waits to go", async || {
        demo.get_task_detail(alone).await.err().map(drop)
    })
    .await;
    let kept = demo.get_task_detail(batch.tasks[0].id).await.expect("is kept");
    assert_eq!(kept.last_result.as_deref(), Some("7"));
    gate.let_pass(1);
    assert_eq!(ended(&demo, batch.id).await.status, TaskStatus::Success);
    gaia.advance(DAY * 2);
    let rows = || {
        ["asynctasks", "gaia_held", "gaia_links"]
            .map(|table| gaia.database.number(&format!("SELECT COUNT(*) FROM {table}")))
    };
    eventually("all of it to go", async || (rows() == [0; 3]).then_some(())).await;
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn an_operator_may_have_a_task_run_before_its_time() {
    let test = start().await;
    let chain = vec![task("Gate"), echo(&json!(1)), echo(&json!(2))];
    let added = ids(&test.demo.add_chain(chain).await.expect("is added"));
    test.gate.entered(1).await;
    test.gaia.admin().run_task_now(added[1]).await.expect("waits");
    assert_eq!(ended(&test.demo, added[2]).await.status, TaskStatus::Success);
    test.gate.let_pass(1);
    assert_eq!(ended(&test.demo, added[0]).await.status, TaskStatus::Success);
    test.gaia.drain(THEME).await;
    assert_eq!(test.calls(), [json!(1), json!(2)]);
    test.gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn operations_on_many_tasks_pass_on_what_they_end_and_run_held_tasks_only_if_they_are_named() {
    let test = start().await;
    let chain = vec![unserved(), echo(&json!(1)), echo(&json!(2))];
    let first = ids(&test.demo.add_chain(chain.clone()).await.expect("is added"));
    let cancelled = test.bulk(BulkAction::Cancel, &first[..1]).await;
    assert_eq!(cancelled.changed, 1);
    // No beat comes: the operation itself has told of the end.
    for id in &first[1..] {
        assert_eq!(ended(&test.demo, *id).await.status, TaskStatus::Cancelled);
    }

    let second = ids(&test.demo.add_chain(chain).await.expect("is added"));
    let filter = TaskFilter {
        method: Some("Echo".to_owned()),
        ..TaskFilter::default()
    };
    let broad = test.bulk_of(BulkTasks::new(BulkAction::RunNow, filter)).await;
    assert_eq!((broad.changed, broad.skipped), (0, [(SkipReason::Waits, 2)].into()));
    let named = test.bulk(BulkAction::RunNow, &second[..2]).await;
    assert_eq!((named.changed, named.skipped), (1, [(SkipReason::Due, 1)].into()));
    assert_eq!(ended(&test.demo, second[2]).await.status, TaskStatus::Success);
    assert_eq!(test.calls(), [json!(1), json!(2)]);

    let deleted = test.bulk(BulkAction::Delete, &second[1..]).await;
    assert_eq!(deleted.changed, 2);
    let held = test.gaia.database.number("SELECT COUNT(*) FROM gaia_held");
    assert_eq!((held, links(&test.gaia)), (2, 2));
    test.gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_task_that_is_deleted_by_hand_leaves_no_trace_and_keeps_its_end_for_those_that_wait_for_it() {
    let test = start().await;
    // No release counts the end of the second task before it is deleted.
    test.gaia
        .database
        .refuse("gaia_held", "uncounted", "@unfinished < @total");
    let batch = test
        .demo
        .add_batch(vec![task("Gate"), echo(&json!(1))], echo(&json!(2)))
        .await;
    let batch = batch.expect("is added");
    let [first, second] = [batch.tasks[0].id, batch.tasks[1].id];
    ended(&test.demo, second).await;
    let admin = test.gaia.admin();
    admin.delete_task(second).await.expect("is finished");
    test.gaia.database.allow("gaia_held", "uncounted");
    test.gate.let_pass(1);
    assert_eq!(test.status_at_end(batch.id).await, TaskStatus::Success);
    let before = test.demo.predecessors(batch.id, 0).await.expect("are read");
    let before: Vec<_> = before
        .into_iter()
        .map(|before| (before.id, before.status, before.result))
        .collect();
    let expected = [
        (first, TaskStatus::Success, Some("null".to_owned())),
        (second, TaskStatus::Success, None),
    ];
    assert_eq!(before, expected);
    admin.delete_task(batch.id).await.expect("is finished");
    assert_eq!(links(&test.gaia), 0);
    assert_eq!(test.gaia.database.number("SELECT COUNT(*) FROM gaia_held"), 0);
    test.gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_task_that_may_not_be_deleted_loses_nothing_of_what_it_has_waited_for() {
    let gate = Gate::closed();
    let builder = Gaia::builder()
        .retention(DAY)
        .handler("Demo", "Noop", async_fn(async |_, _: Value| Ok(7)))
        .handler("Demo", "Gate", gate.handler())
        .scheduler(SchedulerOptions::new(THEME));
    let gaia = Tested::start(builder).await;
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let batch = demo.add_batch(vec![task("Noop"); 1_001], task("Gate")).await;
    let batch = batch.expect("is added");
    gate.entered(1).await;
    let refused = gaia.admin().delete_task(batch.id).await;
    assert!(matches!(refused, Err(Error::NotAllowed { .. })), "{refused:?}");
    assert_eq!(links(&gaia), 1_001);
    // Nor when it is old enough, while another task waits for it.
    let behind = demo.add_after([batch.id], unserved()).await.expect("is added").id;
    gate.let_pass(1);
    ended(&demo, batch.id).await;
    let alone = demo.add_task(task("Noop")).await.expect("is added").id;
    ended(&demo, alone).await;
    gaia.advance(DAY * 2);
    eventually("the tasks for which none waits to go", async || {
        demo.get_task_detail(alone).await.err().map(drop)
    })
    .await;
    assert_eq!(links(&gaia), 1_002);
    let kept = demo.predecessors(batch.id, 0).await.expect("are read");
    assert_eq!(kept.len(), 100);
    demo.cancel_task(behind).await.expect("is due, or waits");
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_held_task_that_plain_sql_has_cancelled_and_queues_again_runs() {
    let test = start().await;
    let chain = vec![task("Gate"), echo(&json!(1))];
    let [first, second] = ids(&test.demo.add_chain(chain).await.expect("is added"))[..] else {
        panic!("two were added");
    };
    let set = |status: &str| {
        let sql = format!("UPDATE asynctasks SET task_status = '{status}' WHERE id = {second}");
        test.gaia.database.execute(&sql);
    };
    set("Cancelled");
    test.gate.let_pass(1);
    ended(&test.demo, first).await;
    test.gaia.drain(THEME).await;
    set("Wait");
    assert_eq!(test.status_at_end(second).await, TaskStatus::Success);
    test.gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn what_a_held_task_has_left_that_plain_sql_has_deleted_is_removed() {
    let test = start().await;
    let chain = test.demo.add_chain(vec![unserved(), echo(&json!(1))]).await;
    let batch = test.demo.add_batch(vec![unserved(); 1_001], echo(&json!(2))).await;
    let (kept, lost) = (ids(&chain.expect("is added"))[1], batch.expect("is added").id);
    test.gaia
        .database
        .execute(&format!("DELETE FROM asynctasks WHERE id = {lost}"));
    test.beating("the traces to go", async || (links(&test.gaia) == 1).then_some(()))
        .await;
    let left = test.gaia.database.number("SELECT task_id FROM gaia_held");
    assert_eq!(left, kept);
    test.gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn odd_rows_about_waits_do_no_harm() {
    let test = start().await;
    let chain = || vec![task("Gate"), echo(&json!(1))];
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(ids(&test.demo.add_chain(chain()).await.expect("is added"))[1]);
    }
    test.gate.entered(3).await;
    let write = |sql: String| test.gaia.database.execute(&sql);
    write(format!(
        "UPDATE gaia_links SET task_id = 4711 WHERE held_id = {}",
        held[0]
    ));
    write(format!("UPDATE gaia_held SET kind = 'odd' WHERE task_id = {}", held[1]));
    let least = i64::MIN;
    write(format!(
        "UPDATE gaia_held SET unfinished = {least} WHERE task_id = {}",
        held[2]
    ));
    let failing = test.demo.add_chain(vec![task("Fail"), echo(&json!(2))]).await;
    let failing = ids(&failing.expect("is added"))[1];
    write(format!("UPDATE gaia_held SET kind = '' WHERE task_id = {failing}"));
    test.gate.let_pass(3);
    for id in held {
        assert_eq!(test.status_at_end(id).await, TaskStatus::Success);
    }
    assert_eq!(test.status_at_end(failing).await, TaskStatus::Cancelled);
    let open = "SELECT COUNT(*) FROM gaia_links WHERE open_task IS NOT NULL";
    assert_eq!(test.gaia.database.number(open), 0);
    test.gaia.stop().await.expect("stops");
}
