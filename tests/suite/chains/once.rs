//! Chains and batches that callers add with a key.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use gaia_actors::{AddedBatchOnce, AddedOnce, Error, operations::Operation, prelude::*};
use serde_json::{Value, json};

use super::{Chains, echo, ids, start, start_with};
use crate::support::{PATIENCE, THEME, ended, refusal, task};

const KEY: &str = "message-17";

impl Chains {
    fn count(&self) -> i64 {
        self.gaia.database.number("SELECT COUNT(*) FROM asynctasks")
    }

    fn keys(&self) -> i64 {
        self.gaia.database.number("SELECT COUNT(*) FROM gaia_idempotency")
    }

    async fn batch(&self, key: &str) -> AddedBatchOnce {
        let tasks = vec![task("Gate"), echo(&json!(1)), task("Fail")];
        let added = self.demo.add_batch_once(key, tasks, echo(&json!("callback"))).await;
        added.expect("answers")
    }

    async fn after(&self, id: i64) -> Result<AddedOnce, Error> {
        self.demo.add_after_once(KEY, [id], echo(&json!("behind"))).await
    }
}

#[actix_rt::test]
async fn of_many_callers_at_once_one_adds_the_batch_and_it_calls_back_once() {
    let test = start().await;
    let added = join_all((0..10).map(|_| test.batch(KEY))).await;
    assert_eq!(added.iter().filter(|added| !added.replayed).count(), 1, "{added:?}");
    let batch = &added[0].batch;
    assert!(added.iter().all(|added| added.batch == *batch), "{added:?}");
    assert_eq!((batch.tasks.len(), test.count(), test.keys()), (3, 4, 1));
    test.gate.entered(1).await;
    let counts = test.demo.waited_for(batch.id).await.expect("is read").expect("waits");
    assert_eq!(counts.total, 3);
    test.gate.let_pass(1);
    assert_eq!(ended(&test.demo, batch.id).await.status, TaskStatus::Success);
    // The key still counts when the tasks have ended.
    let late = test.batch(KEY).await;
    assert_eq!((late.replayed, &late.batch), (true, batch));
    test.gaia.drain(THEME).await;
    assert_eq!(test.calls().iter().filter(|call| **call == "callback").count(), 1);
    assert_eq!(test.count(), 4);
    test.gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_repeated_chain_is_the_same_chain() {
    let test = start().await;
    let chain = || vec![task("Gate"), echo(&json!(1)), echo(&json!(2))];
    let first = test.demo.add_chain_once(KEY, chain()).await.expect("is added");
    let again = test.demo.add_chain_once(KEY, chain()).await.expect("answers");
    assert_eq!((first.replayed, again.replayed), (false, true));
    assert_eq!((&again.tasks, test.count()), (&first.tasks, 3));
    test.gate.entered(1).await;
    assert_eq!(test.calls(), [] as [Value; 0]);
    test.gate.let_pass(1);
    for id in ids(&first.tasks) {
        assert_eq!(ended(&test.demo, id).await.status, TaskStatus::Success);
    }
    assert_eq!(test.calls(), [json!(1), json!(2)]);
    test.gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_key_stands_for_the_same_tasks_that_wait_in_the_same_way() {
    let test = start().await;
    let demo = &test.demo;
    let first = ids(&demo.add_tasks(vec![task("Gate"); 2]).await.expect("are added"));
    let tasks = || vec![echo(&json!(1)), echo(&json!(2))];
    let behind = || echo(&json!(2));
    demo.add_tasks_once("plain", tasks()).await.expect("are added");
    demo.add_chain_once("chain", tasks()).await.expect("is added");
    demo.add_batch_once("batch", vec![echo(&json!(1))], behind())
        .await
        .expect("is added");
    demo.add_after_once("after", [first[0]], behind())
        .await
        .expect("is added");
    let (count, keys) = (test.count(), test.keys());
    let mut refused = Vec::new();
    for key in ["plain", "batch", "after"] {
        refused.push(demo.add_chain_once(key, tasks()).await.err());
    }
    for key in ["chain", "batch", "after"] {
        refused.push(demo.add_tasks_once(key, tasks()).await.err());
    }
    for key in ["plain", "chain", "after"] {
        let batch = demo.add_batch_once(key, vec![echo(&json!(1))], behind()).await;
        refused.push(batch.err());
    }
    for after in [&first[1..], &first[..]] {
        let after = after.iter().copied();
        refused.push(demo.add_after_once("after", after, behind()).await.err());
    }
    let batch = demo.add_batch_once("batch", vec![echo(&json!(1))], echo(&json!("other")));
    refused.push(batch.await.err());
    for error in refused {
        assert!(matches!(error, Some(Error::IdempotencyKeyReused { .. })), "{error:?}");
    }
    let text = refusal(demo.add_after_once("two words", [first[0]], behind()).await);
    assert!(text.contains("1 to 255 visible ASCII characters"), "{text}");
    assert_eq!((test.count(), test.keys()), (count, keys));
    // The order in which the tasks before are named is of no consequence.
    let both = [first[1], first[0]];
    let added = demo.add_after_once("both", first.clone(), behind()).await;
    let again = demo.add_after_once("both", both, behind()).await.expect("answers");
    assert_eq!((again.replayed, again.tasks), (true, added.expect("is added").tasks));
    test.gate.let_pass(2);
    test.gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_refused_predecessor_leaves_the_key_free() {
    let test = start().await;
    let missing = test.after(4_711).await;
    assert!(
        matches!(missing, Err(Error::TaskNotFound { id: 4_711, .. })),
        "{missing:?}"
    );
    // No node runs it.
    let before = test.demo.add_task(task("Nobody")).await.expect("is added").id;
    test.demo.cancel_task(before).await.expect("waits");
    for refused in join_all((0..10).map(|_| test.after(before))).await {
        assert!(matches!(refused, Err(Error::PredecessorEnded { .. })), "{refused:?}");
    }
    assert_eq!((test.count(), test.keys()), (1, 0));
    // Each repetition is judged anew.
    test.demo.retry_task(before).await.expect("is Cancelled");
    let added = test.after(before).await.expect("is added");
    assert!(!added.replayed);
    // And once the task is added, nothing is judged any more.
    test.demo.cancel_task(before).await.expect("waits");
    let behind = added.tasks[0].id;
    assert_eq!(ended(&test.demo, behind).await.status, TaskStatus::Cancelled);
    let again = test.after(before).await.expect("answers");
    assert_eq!((again.replayed, again.tasks), (true, added.tasks));
    // A day later the key is free, and so it is after one more refusal.
    test.gaia.advance(Duration::from_secs(25 * 3_600));
    let refused = test.after(before).await;
    assert!(matches!(refused, Err(Error::PredecessorEnded { .. })), "{refused:?}");
    assert_eq!((test.count(), test.keys()), (2, 0));
    test.gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_task_of_the_same_unique_key_is_the_answer_again() {
    let test = start().await;
    let gated = test.demo.add_task(task("Gate")).await.expect("is added").id;
    let keyed = || echo(&json!(1)).unique_key("order-17");
    let holder = test.demo.add_after([gated], keyed()).await.expect("is added").id;
    let first = test.demo.add_after_once(KEY, [gated], keyed()).await.expect("answers");
    assert_eq!((first.tasks[0].id, first.tasks[0].duplicate), (holder, true));
    test.gate.let_pass(1);
    assert_eq!(ended(&test.demo, holder).await.status, TaskStatus::Success);
    let again = test.demo.add_after_once(KEY, [gated], keyed()).await.expect("answers");
    assert_eq!((again.replayed, again.tasks), (true, first.tasks));
    assert_eq!(test.count(), 2);
    test.gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn each_of_the_operations_has_a_message() {
    let test = start().await;
    let first = test.demo.add_task(echo(&json!(0))).await.expect("is added").id;
    let new = json!({"service": "Demo", "method": "Echo"});
    let messages = [
        ("add_chain_once", json!({"key": "a", "tasks": [new, new]})),
        ("add_after_once", json!({"key": "b", "after": [first], "task": new})),
        ("add_batch_once", json!({"key": "c", "tasks": [new], "callback": new})),
    ];
    let mut all = BTreeSet::new();
    for (name, message) in messages {
        let named = |operation: &&Operation<Scheduler>| operation.name == name;
        let once = Scheduler::OPERATIONS.iter().find(named).expect("is there");
        let mut answers = Vec::new();
        for _ in 0..2 {
            let answer = once.run(&test.demo, &message.to_string()).await.expect("answers");
            answers.push(serde_json::from_str::<Value>(&answer).expect("is JSON"));
        }
        assert_eq!(
            (&answers[0]["replayed"], &answers[1]["replayed"]),
            (&json!(false), &json!(true))
        );
        answers[0]["replayed"] = json!(true);
        assert_eq!(answers[0], answers[1]);
        all.insert(answers[0].to_string());
    }
    assert_eq!((all.len(), test.count()), (3, 6));
    test.gaia.stop().await.expect("stops");
}

/// The process that has added the task is gone, and this one has not known of tasks that wait.
#[actix_rt::test]
async fn a_process_that_repeats_a_call_counts_the_ends_since_the_first() {
    // No beat comes in time, so no look.
    let test = start_with(Gaia::builder().lease(4 * 2 * PATIENCE)).await;
    let gated = test.demo.add_task(task("Gate")).await.expect("is added").id;
    test.gate.entered(1).await;
    let other = test.gaia.database.builder().start().await.expect("starts");
    let demo = other.scheduler(THEME).expect("is a theme");
    let first = demo.add_after_once(KEY, [gated], echo(&json!("behind"))).await;
    let first = first.expect("is added");
    other.stop().await.expect("stops");
    test.gate.let_pass(1);
    assert_eq!(ended(&test.demo, gated).await.status, TaskStatus::Success);
    let again = test.after(gated).await.expect("answers");
    assert_eq!((again.replayed, &again.tasks), (true, &first.tasks));
    assert_eq!(ended(&test.demo, first.tasks[0].id).await.status, TaskStatus::Success);
    assert_eq!(test.calls(), [json!("behind")]);
    test.gaia.stop().await.expect("stops");
}
