//! Tasks that wait until others have ended.

mod by_hand;
mod faults;
mod once;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use gaia_actors::{
    Task, WaitKind, async_fn,
    messages::{GetWaitedFor, SearchTasks},
    prelude::*,
};
use serde_json::{Value, json};

use crate::support::{Gate, THEME, Tested, ended, eventually, options, refusal, task};

/// What was called, in order.
type Calls = Arc<Mutex<Vec<Value>>>;

struct Chains {
    gaia: Tested,
    demo: Scheduler,
    gate: Gate,
    calls: Calls,
}

async fn start() -> Chains {
    start_with(Gaia::builder()).await
}

async fn start_with(builder: GaiaBuilder) -> Chains {
    let (gate, calls) = (Gate::closed(), Calls::default());
    let heard = Arc::clone(&calls);
    let echo = async_fn(async move |_, args: Value| {
        heard.lock().expect("is free").push(args.clone());
        Ok::<_, TaskError>(args)
    });
    let fail = async_fn(async |_, _: Value| Err::<(), _>(TaskError::discard("no")));
    let builder = builder
        .handler("Demo", "Echo", echo)
        .handler("Demo", "Fail", fail)
        .handler("Demo", "Gate", gate.handler())
        .scheduler(options());
    let gaia = Tested::start(builder).await;
    let demo = gaia.scheduler(THEME).expect("is a theme");
    Chains {
        gaia,
        demo,
        gate,
        calls,
    }
}

impl Chains {
    fn calls(&self) -> Vec<Value> {
        self.calls.lock().expect("is free").clone()
    }

    async fn detail(&self, id: i64) -> Task {
        self.demo.get_task_detail(id).await.expect("is there")
    }

    /// Beats, until something has come about that this process does not hear of.
    async fn beating<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        eventually(what, async || {
            self.gaia.advance(Duration::from_secs(5));
            look().await
        })
        .await
    }
}

fn echo(args: &Value) -> NewTask {
    task("Echo").args(args)
}

fn ids(tasks: &[gaia_actors::AddedTask]) -> Vec<i64> {
    tasks.iter().map(|task| task.id).collect()
}

#[actix_rt::test]
async fn each_task_of_a_chain_runs_once_the_one_before_it_has_succeeded() {
    let test = start().await;
    let chain = vec![task("Gate"), echo(&json!(1)), echo(&json!(2)), echo(&json!(3))];
    let added = ids(&test.demo.add_chain(chain).await.expect("is added"));
    test.gate.entered(1).await;
    assert_eq!(test.calls(), [] as [Value; 0]);
    let second = test.detail(added[1]).await;
    assert_eq!((second.status, second.run_at), (TaskStatus::Wait, None));
    assert_eq!(
        second.waits_for.expect("waits").to_string(),
        format!("waits for task {}", added[0])
    );
    test.gate.let_pass(1);
    for id in &added {
        assert_eq!(ended(&test.demo, *id).await.status, TaskStatus::Success);
    }
    assert_eq!(test.calls(), [json!(1), json!(2), json!(3)]);
    let before = test.demo.predecessors(added[3], 0).await.expect("are read");
    assert_eq!(before.len(), 1);
    assert_eq!((before[0].id, before[0].status), (added[2], TaskStatus::Success));
    assert_eq!(before[0].result.as_deref(), Some("2"));
    assert_eq!(test.demo.waited_for(added[0]).await.expect("is read"), None);
    assert_eq!(test.detail(added[3]).await.waits_for, None);
    test.gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_task_that_fails_for_good_cancels_those_behind_it() {
    let test = start().await;
    let chain = vec![task("Fail"), echo(&json!(1)), echo(&json!(2))];
    let added = ids(&test.demo.add_chain(chain).await.expect("is added"));
    for id in &added[1..] {
        let cancelled = ended(&test.demo, *id).await;
        assert_eq!(cancelled.status, TaskStatus::Cancelled);
        assert!(cancelled.last_error.expect("says why").contains("has not succeeded"));
    }
    // A retry by hand runs this task alone, and its result is of no consequence for the others.
    test.demo.retry_task(added[1]).await.expect("is Cancelled");
    assert_eq!(ended(&test.demo, added[1]).await.status, TaskStatus::Success);
    test.gaia.drain(THEME).await;
    assert_eq!(test.detail(added[2]).await.status, TaskStatus::Cancelled);
    assert_eq!(test.calls(), [json!(1)]);
    test.gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_cancelled_task_cancels_those_behind_it_whether_it_waits_runs_or_is_due() {
    let test = start().await;
    let chain = || vec![task("Gate"), echo(&json!(1)), echo(&json!(2))];
    let added = ids(&test.demo.add_chain(chain()).await.expect("is added"));
    test.gate.entered(1).await;
    test.demo.cancel_task(added[1]).await.expect("waits");
    assert_eq!(ended(&test.demo, added[2]).await.status, TaskStatus::Cancelled);
    test.gate.let_pass(1);
    assert_eq!(ended(&test.demo, added[0]).await.status, TaskStatus::Success);

    let added = ids(&test.demo.add_chain(chain()).await.expect("is added"));
    test.gate.entered(1).await;
    test.demo.cancel_task(added[0]).await.expect("runs");
    // The run is dropped when its grace is over.
    let status = test.beating("the end", async || {
        let status = test.detail(added[2]).await.status;
        status.is_finished().then_some(status)
    });
    assert_eq!(status.await, TaskStatus::Cancelled);

    test.demo.pause().await.expect("is paused");
    let added = ids(&test.demo.add_chain(chain()).await.expect("is added"));
    test.demo.cancel_task(added[0]).await.expect("is due");
    assert_eq!(ended(&test.demo, added[2]).await.status, TaskStatus::Cancelled);
    assert_eq!(test.calls(), [] as [Value; 0]);
    test.gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_task_can_be_added_behind_one_that_exists() {
    let test = start().await;
    let first = test.demo.add_task(echo(&json!(1))).await.expect("is added").id;
    ended(&test.demo, first).await;
    // Nothing refuses this one's release, for it needs none.
    test.gaia.database.refuse("gaia_held", "unreleased", "@unfinished > 0");
    let behind = test
        .demo
        .add_after([first], echo(&json!(0)))
        .await
        .expect("is added")
        .id;
    assert_eq!(ended(&test.demo, behind).await.status, TaskStatus::Success);
    let before = test.demo.predecessors(behind, 0).await.expect("are read");
    assert_eq!((before.len(), before[0].id), (1, first));
    test.gaia.database.allow("gaia_held", "unreleased");
    let other = test.gaia.scheduler("another").expect("is a theme");
    let behind = test
        .demo
        .add_after([first], echo(&json!(2)))
        .await
        .expect("is added")
        .id;
    assert_eq!(ended(&test.demo, behind).await.status, TaskStatus::Success);

    // Behind a task of another theme, which no node runs.
    let foreign = other.add_task(echo(&json!(3))).await.expect("is added").id;
    let behind = test.demo.add_after([foreign], echo(&json!(4)).unique_key("four"));
    let behind = behind.await.expect("is added").id;
    let again = test.demo.add_after([foreign], echo(&json!(5)).unique_key("four"));
    let again = again.await.expect("is there already");
    assert_eq!((again.id, again.duplicate), (behind, true));
    other.cancel_task(foreign).await.expect("waits");
    assert_eq!(ended(&test.demo, behind).await.status, TaskStatus::Cancelled);

    // Behind several: it waits for those that have not ended.
    let open = other.add_task(echo(&json!(3))).await.expect("is added").id;
    let behind = test.demo.add_after([first, open, first], echo(&json!(4)));
    let behind = behind.await.expect("is added").id;
    let waits = test.detail(behind).await.waits_for.expect("waits");
    assert_eq!(waits.to_string(), "waits for 1 of 2 tasks");
    let refused = test.demo.add_after([first, open, foreign], echo(&json!(4))).await;
    assert!(matches!(refused, Err(Error::PredecessorEnded { id, .. }) if id == foreign));
    other.cancel_task(open).await.expect("waits");
    assert_eq!(ended(&test.demo, behind).await.status, TaskStatus::Cancelled);

    let refused = test.demo.add_after([foreign], echo(&json!(6))).await;
    assert!(refusal(refused).contains("it is Cancelled; retry that task"));
    let failed = test.demo.add_task(task("Fail")).await.expect("is added").id;
    ended(&test.demo, failed).await;
    let refused = test.demo.add_after([failed], echo(&json!(6))).await;
    assert!(matches!(
        refused,
        Err(Error::PredecessorEnded {
            status: TaskStatus::Failed,
            ..
        })
    ));
    for missing in [i64::MIN, -1, 0, 4_711, i64::MAX] {
        let refused = test.demo.add_after([missing], echo(&json!(6))).await;
        assert!(matches!(refused, Err(Error::TaskNotFound { id, .. }) if id == missing));
    }
    assert_eq!(test.calls(), [json!(1), json!(0), json!(2)]);
    test.gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn the_callback_of_a_batch_runs_once_when_all_have_ended_however_they_have() {
    let test = start().await;
    let mut tasks = vec![task("Gate")];
    tasks.extend((0..50).map(|at| echo(&json!(at))));
    tasks.extend(vec![task("Fail"); 3]);
    let unserved = NewTask::new("Demo", "Nobody");
    tasks.push(unserved.clone());
    // The batch waits once for a task that is there already, and that two of its tasks have as their key's holder.
    let holder = test
        .demo
        .add_task(unserved.clone().unique_key("x"))
        .await
        .expect("is added")
        .id;
    tasks.extend(vec![unserved.unique_key("x"); 2]);
    let batch = test.demo.add_batch(tasks, echo(&json!("callback"))).await;
    let batch = batch.expect("is added");
    assert_eq!(batch.tasks.len(), 57);
    assert_eq!((batch.tasks[55].id, batch.tasks[56].id), (holder, holder));
    test.gate.entered(1).await;
    eventually("all others to end", async || {
        let waits = test.demo.waited_for(batch.id).await.expect("is read")?;
        (waits.unfinished == 3).then_some(())
    })
    .await;
    let shown = test.detail(batch.id).await.waits_for.expect("waits");
    assert_eq!(
        (shown.to_string().as_str(), shown.kind),
        ("waits for 3 of 56 tasks", WaitKind::Batch)
    );
    test.demo.cancel_task(batch.tasks[54].id).await.expect("waits");
    test.demo.cancel_task(holder).await.expect("waits");
    assert!(!test.calls().contains(&json!("callback")));
    test.gate.let_pass(1);
    assert_eq!(ended(&test.demo, batch.id).await.status, TaskStatus::Success);

    let counts = test.demo.waited_for(batch.id).await.expect("is read").expect("waited");
    assert_eq!((counts.total, counts.unfinished), (56, 0));
    assert_eq!((counts.succeeded, counts.failed, counts.cancelled), (51, 3, 2));
    // A task that is retried by hand does not call back again.
    test.demo.retry_task(batch.tasks[51].id).await.expect("has failed");
    test.gaia.drain(THEME).await;
    assert_eq!(test.calls().iter().filter(|call| **call == "callback").count(), 1);

    let mut read = BTreeMap::new();
    let mut after = 0;
    loop {
        let page = test.demo.predecessors(batch.id, after).await.expect("are read");
        let Some(last) = page.last() else { break };
        after = last.id;
        for before in page {
            *read.entry(before.status).or_insert(0) += 1;
        }
    }
    let expected = [
        (TaskStatus::Success, 51),
        (TaskStatus::Failed, 3),
        (TaskStatus::Cancelled, 2),
    ];
    assert_eq!(read, expected.into());
    test.gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_handler_reads_what_its_task_has_waited_for() {
    let read = async_fn(async |ctx: TaskContext, _: Value| {
        let counts = ctx.waited_for().await?;
        let before = ctx.predecessors(0).await?;
        Ok::<_, TaskError>(json!({
            "counts": counts.map(|counts| [counts.succeeded, counts.failed, counts.cancelled]),
            "results": before.into_iter().map(|before| before.result.or(before.error)).collect::<Vec<_>>(),
        }))
    });
    let fail = async_fn(async |_, _: Value| Err::<(), _>(TaskError::discard("no")));
    let builder = Gaia::builder()
        .handler("Demo", "Read", read)
        .handler("Demo", "Fail", fail)
        .scheduler(options());
    let gaia = Tested::start(builder).await;
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let result = async |id| {
        let text = ended(&demo, id).await.last_result.expect("has one");
        serde_json::from_str::<Value>(&text).expect("is JSON")
    };
    let nothing = json!({"counts": null, "results": []});
    let chain = demo.add_chain(vec![task("Read"); 2]).await.expect("is added");
    assert_eq!(result(chain[0].id).await, nothing);
    let expected = json!({"counts": [1, 0, 0], "results": [nothing.to_string()]});
    assert_eq!(result(chain[1].id).await, expected);
    let batch = demo.add_batch(vec![task("Read"), task("Fail")], task("Read")).await;
    let batch = batch.expect("is added").id;
    let expected = json!({"counts": [1, 1, 0], "results": [nothing.to_string(), "no"]});
    assert_eq!(result(batch).await, expected);
    // A direct call belongs to no task.
    let direct: Value = gaia.registry().call("Demo", "Read", &()).await.expect("answers");
    assert_eq!(direct, nothing);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_large_batch_is_added_at_once_and_its_results_come_in_pages() {
    let test = start().await;
    let tasks = (0..2_500).map(|at| echo(&json!(at))).collect();
    let batch = test.demo.add_batch(tasks, echo(&json!("callback"))).await;
    let batch = batch.expect("is added");
    assert_eq!(ended(&test.demo, batch.id).await.status, TaskStatus::Success);
    assert_eq!(test.calls().last(), Some(&json!("callback")));
    let counts = test.demo.waited_for(batch.id).await.expect("is read").expect("waited");
    assert_eq!((counts.total, counts.succeeded), (2_500, 2_500));
    let page = test.demo.predecessors(batch.id, batch.tasks[2_000].id).await;
    let page = page.expect("are read");
    assert_eq!((page.len(), page[0].id), (100, batch.tasks[2_001].id));
    assert_eq!(page[99].result.as_deref(), Some("2100"));
    test.gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn lists_say_for_what_a_task_waits_and_not_until_when() {
    let test = start().await;
    test.demo.pause().await.expect("is paused");
    let added = ids(&test.demo.add_chain(vec![task("Gate"); 2]).await.expect("is added"));
    let batch = test.demo.add_batch(vec![task("Gate"); 2], task("Gate")).await;
    let batch = batch.expect("is added").id;
    let expected = [
        (batch, Some("waits for 2 of 2 tasks".to_owned())),
        (added[1], Some(format!("waits for task {}", added[0]))),
        (added[0], None),
    ];
    let all = test.demo.list_tasks(ListTasks::default()).await.expect("lists").items;
    let mut shown: Vec<_> = all.iter().map(|task| (task.id, task.waits_for, task.run_at)).collect();
    let found = test
        .gaia
        .admin()
        .search_tasks(SearchTasks::default())
        .await
        .expect("finds");
    let found: Vec<_> = found
        .tasks
        .iter()
        .map(|task| (task.id, task.waits_for, task.run_at))
        .collect();
    assert_eq!(found, shown);
    assert!(shown.iter().all(|(.., run_at)| run_at.is_none()), "{shown:?}");
    shown.retain(|(id, ..)| expected.iter().any(|(known, _)| known == id));
    let shown = shown
        .into_iter()
        .map(|(id, waits_for, _)| (id, waits_for.map(|waits_for| waits_for.to_string())));
    assert_eq!(shown.collect::<Vec<_>>(), expected);
    // A time at the end of the calendar is no wait.
    let far = "9999-12-31T23:59:59Z".parse().expect("is a time");
    let scheduled = test.demo.add_task(task("Gate").run_at(far)).await.expect("is added").id;
    let scheduled = test.detail(scheduled).await;
    assert_eq!((scheduled.run_at, scheduled.waits_for), (Some(far), None));
    test.gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn bad_chains_and_batches_are_refused_whole() {
    let test = start().await;
    let (demo, now) = (&test.demo, test.gaia.now());
    let refused = |faults: &[&str], text: String| {
        for fault in faults {
            assert!(text.contains(fault), "{fault:?} is not in {text:?}");
        }
    };
    let key = || echo(&json!(1)).unique_key("x");
    let late = || echo(&json!(1)).run_at(now);
    refused(&["the chain has no task"], refusal(demo.add_chain(Vec::new()).await));
    let long = vec![echo(&json!(1)); 1_001];
    refused(
        &["the chain has 1001 tasks, expected at most 1000"],
        refusal(demo.add_chain(long).await),
    );
    let chain = vec![key(), key(), late()];
    let faults = [
        "task 1 of the list: a task that waits",
        "task 2 of the list: a task that waits for others is due",
    ];
    refused(&faults, refusal(demo.add_chain(chain).await));
    let bad = vec![echo(&json!(1)), NewTask::new("", "Echo")];
    refused(
        &["task 1 of the list: service is empty"],
        refusal(demo.add_chain(bad).await),
    );
    refused(&["after names no task"], refusal(demo.add_after([], key()).await));
    refused(
        &["after names 1001 tasks, expected at most 1000"],
        refusal(demo.add_after(0..=1_000, key()).await),
    );
    refused(&["leave run_at out"], refusal(demo.add_after([1], late()).await));

    refused(
        &["the batch has no task"],
        refusal(demo.add_batch(Vec::new(), echo(&json!(1))).await),
    );
    let faults = ["the batch has no task", "the callback: a task that waits"];
    refused(&faults, refusal(demo.add_batch(Vec::new(), key()).await));
    let million = vec![echo(&json!(1)); 1_000_000];
    let faults = ["the batch has 1000000 tasks, expected at most 100000; add several batches"];
    refused(&faults, refusal(demo.add_batch(million, echo(&json!(1))).await));
    let callback = NewTask::new("Demo", "");
    refused(
        &["the callback: method is empty"],
        refusal(demo.add_batch(vec![echo(&json!(1))], callback).await),
    );
    let tables = ["asynctasks", "gaia_held", "gaia_links"];
    let rows = tables.map(|table| test.gaia.database.number(&format!("SELECT COUNT(*) FROM {table}")));
    assert_eq!(rows, [0; 3]);

    // A chain of one is a task.
    let one = demo.add_chain(vec![key()]).await.expect("is added");
    assert_eq!(ended(demo, one[0].id).await.status, TaskStatus::Success);
    for id in [i64::MIN, 0, i64::MAX] {
        assert!(matches!(demo.waited_for(id).await, Err(Error::TaskNotFound { .. })));
        assert!(matches!(
            demo.predecessors(id, i64::MAX).await,
            Err(Error::TaskNotFound { .. })
        ));
    }
    test.gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn chains_and_batches_are_messages_too() {
    use actix::Actor;
    use gaia_actors::messages::{AddAfter, AddBatch, AddChain, GetPredecessors};
    let test = start().await;
    let address = test.demo.clone().start();
    let chain = address
        .send(AddChain(vec![echo(&json!(1)); 2]))
        .await
        .expect("lives")
        .expect("is added");
    let batch: AddBatch = serde_json::from_value(json!({
        "tasks": [{"service": "Demo", "method": "Echo"}], "callback": {"service": "Demo", "method": "Echo"},
    }))
    .expect("is a message");
    let batch = address.send(batch).await.expect("lives").expect("is added");
    let after = AddAfter {
        after: vec![batch.id],
        task: echo(&json!(2)),
    };
    let after = address.send(after).await.expect("lives").expect("is added");
    for id in [chain[1].id, batch.id, after.id] {
        assert_eq!(ended(&test.demo, id).await.status, TaskStatus::Success);
    }
    let counts = address
        .send(GetWaitedFor(batch.id))
        .await
        .expect("lives")
        .expect("is read");
    assert_eq!(counts.map(|counts| counts.succeeded), Some(1));
    let before: GetPredecessors = serde_json::from_value(json!({"task_id": after.id})).expect("is a message");
    let before = address.send(before).await.expect("lives").expect("are read");
    assert_eq!(before[0].id, batch.id);
    test.gaia.stop().await.expect("stops");
}
