//! Releases that meet trouble, and ends that no process has noted.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use gaia_actors::{async_fn, prelude::*, testing::TestGaia};
use serde_json::{Value, json};

use super::{Chains, echo, ids, start};
use crate::support::{Gate, THEME, Tested, ended, eventually, options, task};

impl Chains {
    /// Chains of a task behind the gate and of one that waits: the ids of those that wait.
    async fn held(&self, count: usize) -> Vec<i64> {
        let mut held = Vec::new();
        for at in 0..count {
            let chain = vec![task("Gate"), echo(&json!(at)).name(format!("held {at}"))];
            held.push(ids(&self.demo.add_chain(chain).await.expect("is added"))[1]);
        }
        held
    }
}

/// A row that the database refuses keeps no other from its release, not even one of the same transaction.
#[actix_rt::test]
async fn a_held_task_whose_release_the_database_refuses_hinders_no_other() {
    let test = start().await;
    let held = test.held(4).await;
    test.gate.entered(4).await;
    let condition = "@task_name = 'held 1' AND @run_at IS NULL";
    test.gaia.database.refuse("asynctasks", "stuck", condition);
    test.gate.let_pass(4);
    for id in [held[0], held[2], held[3]] {
        assert_eq!(ended(&test.demo, id).await.status, TaskStatus::Success);
    }
    assert_eq!(test.detail(held[1]).await.status, TaskStatus::Wait);
    test.gaia.database.allow("asynctasks", "stuck");
    assert_eq!(ended(&test.demo, held[1]).await.status, TaskStatus::Success);
    test.gaia.stop().await.expect("stops");
}

/// (SQLite has one writer at a time: nobody waits for a row there.)
#[cfg(feature = "_server")]
#[actix_rt::test]
async fn a_held_task_that_another_session_has_locked_hinders_no_other() {
    use crate::support::{PATIENCE, execute_around};
    let test = start().await;
    if !test.gaia.database.is_on_a_server() {
        return;
    }
    let held = test.held(3).await;
    test.gate.entered(3).await;
    let (kind, url) = (test.gaia.database.kind(), test.gaia.database.url());
    let lock = format!(
        "START TRANSACTION; UPDATE asynctasks SET task_name = 'x' WHERE id = {}",
        held[0]
    );
    let (tell_held, is_held) = tokio::sync::oneshot::channel();
    let (tell_over, is_over) = std::sync::mpsc::channel::<()>();
    let holder = std::thread::spawn(move || {
        execute_around(kind, &url, [&lock, "ROLLBACK"], move || {
            tell_held.send(()).expect("is awaited");
            is_over.recv_timeout(PATIENCE).expect("the test goes on");
        });
    });
    is_held.await.expect("the row is locked");
    test.gate.let_pass(3);
    for id in &held[1..] {
        assert_eq!(ended(&test.demo, *id).await.status, TaskStatus::Success);
    }
    assert_eq!(test.detail(held[0]).await.status, TaskStatus::Wait);
    tell_over.send(()).expect("is awaited");
    holder.join().expect("ends");
    assert_eq!(ended(&test.demo, held[0]).await.status, TaskStatus::Success);
    test.gaia.stop().await.expect("stops");
}

/// Runs that a stop awaits may have others behind them.
#[actix_rt::test]
async fn a_stop_counts_the_last_ends_of_its_process() {
    let test = start().await;
    test.held(3).await;
    test.gate.entered(3).await;
    let pass = async { test.gate.let_pass(3) };
    let (stopped, ()) = futures_util::future::join(test.gaia.stop(), pass).await;
    stopped.expect("stops");
    let open = "SELECT COUNT(*) FROM gaia_links WHERE open_task IS NOT NULL";
    assert_eq!(test.gaia.database.number(open), 0);
}

/// One look that goes a part of the way reads 20,000 links. A process that learns of held tasks looks at all of them.
#[actix_rt::test]
async fn a_process_that_starts_finds_each_end_that_none_has_counted() {
    const SIZE: usize = 21_000;
    let test = start().await;
    let batch = test
        .demo
        .add_batch(vec![NewTask::new("Demo", "Nobody"); SIZE], echo(&json!("callback")))
        .await;
    let id = batch.expect("is added").id;
    test.gaia.stop().await.expect("stops");
    test.gaia.database.execute(&format!(
        "UPDATE asynctasks SET task_status = 'Success' WHERE id <> {id}"
    ));
    let ok = async_fn(async |_, args: Value| Ok::<_, TaskError>(args));
    let builder = Gaia::builder().handler("Demo", "Echo", ok).scheduler(options());
    let next = TestGaia::start_on(test.gaia.database.url(), builder)
        .await
        .expect("starts");
    let demo = next.scheduler(THEME).expect("is a theme");
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    let counts = demo.waited_for(id).await.expect("is read").expect("waited");
    assert_eq!((counts.succeeded, counts.unfinished), (SIZE as u64, 0));
    next.stop().await.expect("stops");
}

#[actix_rt::test]
async fn two_nodes_that_count_the_same_ends_count_each_once() {
    const CHAINS: usize = 200;
    let test = start().await;
    let second = {
        let builder = Gaia::builder().scheduler(SchedulerOptions::new("another"));
        TestGaia::start_on(test.gaia.database.url(), builder)
            .await
            .expect("starts")
    };
    let unserved = || NewTask::new("Demo", "Nobody");
    let mut firsts = Vec::new();
    for at in 0..CHAINS {
        let chain = test.demo.add_chain(vec![unserved(), echo(&json!(at))]).await;
        firsts.push(ids(&chain.expect("is added"))[0]);
    }
    let batch = test
        .demo
        .add_batch(vec![unserved(); CHAINS], echo(&json!("callback")))
        .await;
    let batch = batch.expect("is added").id;
    test.gaia
        .database
        .execute("UPDATE asynctasks SET task_status = 'Success' WHERE method_name = 'Nobody'");
    eventually("all of them to run", async || {
        test.gaia.advance(Duration::from_secs(5));
        second.advance(Duration::from_secs(5));
        (test.calls().len() > CHAINS).then_some(())
    })
    .await;
    test.gaia.drain(THEME).await;
    assert_eq!(test.calls().len(), CHAINS + 1);
    let wrong = "SELECT COUNT(*) FROM gaia_held WHERE unfinished <> 0 OR succeeded <> total OR failed + cancelled > 0";
    assert_eq!(test.gaia.database.number(wrong), 0);
    let counts = test.demo.waited_for(batch).await.expect("is read").expect("waited");
    assert_eq!(counts.succeeded, CHAINS as u64);
    second.stop().await.expect("stops");
    test.gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_task_that_snoozes_or_is_tried_again_has_not_ended() {
    let (gate, tries) = (Gate::closed(), AtomicU32::new(0));
    let inside = gate.clone();
    let slow = async_fn(async move |_, _: Value| match tries.fetch_add(1, Ordering::SeqCst) {
        0 => Err(TaskError::Snooze(Duration::ZERO)),
        1 => Err(TaskError::failed("once more")),
        _ => inside.pass().await,
    });
    let ok = async_fn(async |_, args: Value| Ok::<_, TaskError>(args));
    let builder = Gaia::builder()
        .handler("Demo", "Slow", slow)
        .handler("Demo", "Echo", ok)
        .scheduler(options());
    let gaia = Tested::start(builder).await;
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let chain = vec![task("Slow").max_retry(3), echo(&json!(1))];
    let chain = ids(&demo.add_chain(chain).await.expect("is added"));
    eventually("the third try", async || {
        gaia.advance(Duration::from_secs(1));
        (gate.inside() == 1).then_some(())
    })
    .await;
    let waits = demo.get_task_detail(chain[1]).await.expect("is there").waits_for;
    assert_eq!(waits.expect("waits").unfinished, 1);
    gate.let_pass(1);
    assert_eq!(ended(&demo, chain[1]).await.status, TaskStatus::Success);
    gaia.stop().await.expect("stops");
}
