//! Workers: how many there are, and what happens to them.

use std::time::Duration;

use gaia_actors::{Error, async_fn, prelude::*};
use serde_json::Value;

use crate::support::{Database, Gate, THEME, ended, eventually, options, refusal, task};

async fn gated(database: &Database, options: SchedulerOptions) -> (Gaia, Scheduler, Gate) {
    let gate = Gate::closed();
    let gaia = database
        .builder()
        .handler("Demo", "Gate", gate.handler())
        .scheduler(options)
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    (gaia, demo, gate)
}

#[actix_rt::test]
async fn growing_takes_effect_at_once_and_shrinking_drains() {
    let database = Database::fresh();
    let (gaia, demo, gate) = gated(&database, options().worker_num(1)).await;
    demo.add_tasks(vec![task("Gate"); 60]).await.expect("are added");
    gate.entered(1).await;
    demo.resize_workers(8).await.expect("grows");
    gate.entered(7).await;
    assert_eq!(gate.inside(), 8);

    demo.resize_workers(2).await.expect("shrinks");
    assert_eq!(gate.inside(), 8, "what runs is not touched");
    gate.let_pass(8);
    gate.entered(2).await;
    let status = demo.status().await.expect("runs here");
    assert_eq!((status.all_workers, gate.inside()), (2, 2));

    gate.let_pass(60);
    eventually("all of them", async || {
        let counts = demo.count_by_status().await.expect("counts");
        (counts[&TaskStatus::Success] == 60).then_some(())
    })
    .await;
    assert_eq!(gate.most(), 8);
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctask_exec_row"), 60);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn no_workers_take_no_work_and_hold_none_back() {
    let database = Database::fresh();
    let (gaia, demo, gate) = gated(&database, options().worker_num(2)).await;
    gate.let_pass(100);
    demo.add_tasks(vec![task("Gate"); 100]).await.expect("are added");
    gate.entered(100).await;
    demo.add_tasks(vec![task("Gate"); 30]).await.expect("are added");
    gate.entered(2).await;

    demo.resize_workers(0).await.expect("shrinks");
    gate.let_pass(2);
    // Whatever waited in memory is in the queue again, for other nodes.
    eventually("an empty node", async || {
        let counts = demo.count_by_status().await.expect("counts");
        let there = (
            counts[&TaskStatus::Success],
            counts[&TaskStatus::Wait],
            counts[&TaskStatus::Running],
        );
        (there == (102, 28, 0)).then_some(())
    })
    .await;
    assert_eq!(demo.status().await.expect("runs here").all_workers, 0);
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctask_exec_row"), 102);

    gate.let_pass(28);
    demo.resize_workers(3).await.expect("grows");
    gate.entered(28).await;
    gaia.stop().await.expect("stops");
    assert_eq!(
        database.number("SELECT COUNT(*) FROM asynctasks WHERE task_status = 'Success'"),
        130
    );
}

#[actix_rt::test]
async fn a_paused_theme_takes_no_work_and_lets_what_runs_end() {
    let database = Database::fresh();
    let (gaia, demo, gate) = gated(&database, options().worker_num(2)).await;
    let running = demo.add_task(task("Gate")).await.expect("is added");
    gate.entered(1).await;
    demo.pause().await.expect("pauses");
    let waiting = demo.add_task(task("Gate")).await.expect("is added");
    gate.let_pass(2);
    assert_eq!(ended(&demo, running.id).await.status, TaskStatus::Success);

    // Several scan intervals later it still waits.
    actix_rt::time::sleep(Duration::from_millis(700)).await;
    let still = demo.get_task_detail(waiting.id).await.expect("is there");
    assert_eq!(still.status, TaskStatus::Wait);
    demo.resume().await.expect("resumes");
    assert_eq!(ended(&demo, waiting.id).await.status, TaskStatus::Success);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_client_without_workers_pauses_the_theme_for_those_who_have_them() {
    let database = Database::fresh();
    let (gaia, demo, _gate) = gated(&database, options()).await;
    let client = database.builder().start().await.expect("starts");
    let remote = client.scheduler(THEME).expect("is a theme");
    remote.pause().await.expect("pauses");
    eventually("the pause", async || {
        demo.status().await.expect("runs here").paused.then_some(())
    })
    .await;
    // A scheduler that starts later begins paused.
    gaia.stop().await.expect("stops");
    let (gaia, demo, gate) = gated(&database, options()).await;
    assert!(demo.status().await.expect("runs here").paused);

    let id = remote.add_task(task("Gate")).await.expect("is added").id;
    remote.resume().await.expect("resumes");
    gate.let_pass(1);
    assert_eq!(ended(&remote, id).await.status, TaskStatus::Success);
    client.stop().await.expect("stops");
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_handler_that_blocks_its_thread_holds_up_nobody_else() {
    let database = Database::fresh();
    let (block, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = std::sync::Mutex::new(blocked);
    let (entered, mut entries) = tokio::sync::mpsc::unbounded_channel();
    let gaia = database
        .builder()
        .arbiters(1)
        .lease(Duration::from_secs(3))
        .handler(
            "Demo",
            "Block",
            // Ends when the test drops its end of the channel, and not by any timeout.
            async_fn(async move |_, _: Value| {
                entered.send(())?;
                let _ = blocked.lock().map(|blocked| blocked.recv());
                Ok("at last")
            }),
        )
        .handler("Demo", "Noop", async_fn(async |_, _: Value| Ok(())))
        .scheduler(options().worker_num(8))
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let bad = demo.add_task(task("Block").max_retry(0)).await.expect("is added").id;
    // What has begun beside it on the same thread would have to wait for it.
    entries.recv().await.expect("blocks");
    let added = demo.add_tasks(vec![task("Noop"); 50]).await.expect("are added");
    for added in added {
        assert_eq!(ended(&demo, added.id).await.status, TaskStatus::Success);
    }
    let status = demo.status().await.expect("runs here");
    assert_eq!((status.running_workers, status.all_workers), (1, 8));
    assert!(status.replaced_workers >= 7, "{status:?}");
    // The node went on beating: nobody took the blocked run from it.
    assert!(!status.fenced);
    drop(block);
    assert_eq!(ended(&demo, bad).await.last_result.as_deref(), Some("\"at last\""));
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_blocked_run_that_is_out_of_time_is_recorded_by_the_pool() {
    let database = Database::fresh();
    let (block, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = std::sync::Mutex::new(blocked);
    let gaia = database
        .builder()
        .handler(
            "Demo",
            "Block",
            async_fn(async move |_, _: Value| {
                let _ = blocked.lock().map(|blocked| blocked.recv());
                Ok(())
            }),
        )
        .scheduler(options().worker_num(2))
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let stuck = task("Block").max_retry(0).timeout(Duration::from_millis(50));
    let id = demo.add_task(stuck).await.expect("is added").id;
    let task = ended(&demo, id).await;
    assert_eq!(task.last_error.as_deref(), Some("timed out after 50ms"));
    drop(block);
    gaia.stop().await.expect("stops");
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctask_exec_row"), 1);
}

#[actix_rt::test]
async fn workers_whose_thread_was_stopped_are_replaced() {
    let database = Database::fresh();
    let gaia = database
        .builder()
        .handler(
            "Demo",
            "StopThread",
            async_fn(async |_, _: Value| {
                actix_rt::Arbiter::current().stop();
                std::future::pending::<Result<(), TaskError>>().await
            }),
        )
        .handler("Demo", "Noop", async_fn(async |_, _: Value| Ok(())))
        .scheduler(options().worker_num(4))
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let id = demo
        .add_task(task("StopThread").max_retry(1))
        .await
        .expect("is added")
        .id;
    let task_then = ended(&demo, id).await;
    assert_eq!(task_then.status, TaskStatus::Failed);
    assert!(task_then.last_error.expect("has one").contains("its worker died"));
    for added in demo.add_tasks(vec![task("Noop"); 20]).await.expect("are added") {
        assert_eq!(ended(&demo, added.id).await.status, TaskStatus::Success);
    }
    eventually("four workers again", async || {
        let status = demo.status().await.expect("runs here");
        (status.all_workers == 4 && status.running_workers == 0).then_some(())
    })
    .await;
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn two_schedulers_of_a_theme_in_one_process_are_refused() {
    let database = Database::fresh();
    let gaia = database.builder().scheduler(options()).start().await.expect("starts");
    let text = refusal(gaia.start_scheduler(options()).await);
    assert!(text.contains("already runs a scheduler of theme \"demo\""), "{text}");
    // By another handle it is still the same database.
    let other = database.builder().scheduler(options()).start().await;
    assert!(matches!(other, Err(Error::AlreadyScheduled { .. })));
    gaia.start_scheduler(SchedulerOptions::new("other"))
        .await
        .expect("is another theme");
    gaia.stop().await.expect("stops");
    // Once stopped, the theme is free.
    let gaia = database.builder().scheduler(options()).start().await.expect("starts");
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn what_waits_in_memory_behind_long_tasks_goes_back_for_others() {
    let database = Database::fresh();
    let (gaia, demo, gate) = gated(&database, options().worker_num(2)).await;
    gate.let_pass(500);
    demo.add_tasks(vec![task("Gate"); 500]).await.expect("are added");
    gate.entered(500).await;
    // The pool was quick until now and takes many in advance; but these do not end.
    demo.add_tasks(vec![task("Gate"); 100]).await.expect("are added");
    gate.entered(2).await;
    eventually("only what runs", async || {
        let counts = demo.count_by_status().await.expect("counts");
        (counts[&TaskStatus::Running] == 2 && counts[&TaskStatus::Wait] == 98).then_some(())
    })
    .await;
    gate.let_pass(100);
    gate.entered(98).await;
    gaia.stop().await.expect("stops");
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctask_exec_row"), 600);
}

#[actix_rt::test]
async fn durations_without_end_are_just_long() {
    let database = Database::fresh();
    let endless = options()
        .scan_interval(Duration::MAX)
        .cancel_grace(Duration::MAX)
        .timeout(Duration::MAX)
        .retry(RetryPolicy {
            base: Duration::MAX,
            max: Duration::MAX,
            jitter: 1.0,
        });
    let gaia = database
        .builder()
        .grace(Duration::MAX)
        .handler(
            "Demo",
            "Fail",
            async_fn(async |_, _: Value| Err::<(), _>(TaskError::failed("no"))),
        )
        .handler(
            "Demo",
            "Snooze",
            async_fn(async |_, _: Value| Err::<(), _>(TaskError::Snooze(Duration::MAX))),
        )
        .scheduler(endless)
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let last_day = chrono::DateTime::from_timestamp(253_402_300_799, 0);
    for method in ["Fail", "Snooze"] {
        let id = demo.add_task(task(method)).await.expect("is added").id;
        let waiting = eventually("the end of time", async || {
            let task = demo.get_task_detail(id).await.expect("is there");
            task.run_at.is_some().then_some(task)
        })
        .await;
        assert!(waiting.run_at <= last_day, "{waiting:?}");
    }
    gaia.stop().await.expect("stops");
}
