//! Tasks with long arguments: how many run at once, and what becomes of those for which there is no room.

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use gaia_actors::{MAX_ARG_BYTES, async_fn, prelude::*};
use log::Level;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::{
    lines::{lines, listen},
    support::{Gate, THEME, Tested, ended, eventually, task},
};

/// So many tasks with the longest arguments take all the room of a process: 64 MB.
const FULL: u32 = 7;

const OTHER: &str = "other";

const SECOND: Duration = Duration::from_secs(1);

/// Two themes, of which the second one has a single worker. Time stands still.
async fn start(workers: usize, holds: &Gate) -> Tested {
    let noop = async_fn(async |_, _: Value| Ok(()));
    let builder = Gaia::builder()
        .arbiters(2)
        .handler("Demo", "Hold", holds.handler())
        .handler("Demo", "Noop", noop)
        .scheduler(SchedulerOptions::new(THEME).worker_num(workers))
        .scheduler(SchedulerOptions::new(OTHER).worker_num(1));
    Tested::start(builder).await
}

/// The same, with handlers that hold all the room.
async fn full(workers: usize, holds: &Gate) -> Tested {
    let tested = start(workers, holds).await;
    let demo = tested.scheduler(THEME).expect("is a theme");
    for _ in 0..FULL {
        add_long(&demo, "Hold").await;
    }
    holds.entered(FULL).await;
    tested
}

/// Adds a task with the longest arguments. Its insert does not claim it: then its arguments would be in memory already.
async fn add_long(scheduler: &Scheduler, method: &str) -> i64 {
    let long = task(method).args(&"x".repeat(MAX_ARG_BYTES - 2));
    let added = scheduler.add_tasks(vec![long]).await.expect("is added");
    added[0].id
}

/// Waits until so many claimed tasks of the theme wait for room or for a worker.
async fn waiting(scheduler: &Scheduler, count: usize) {
    eventually("tasks that wait", async || {
        let queued = scheduler.status().await.expect("answers").queue_depth;
        (queued == count).then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn while_long_handlers_hold_the_room_others_run_and_who_waits_has_the_first_that_is_free() {
    let holds = Gate::closed();
    let tested = full(8, &holds).await;
    for theme in [THEME, OTHER] {
        let scheduler = tested.scheduler(theme).expect("is a theme");
        add_long(&scheduler, "Hold").await;
        waiting(&scheduler, 1).await;
        for _ in 0..3 {
            let short = scheduler.add_task(task("Noop")).await.expect("is added").id;
            assert_eq!(ended(&scheduler, short).await.status, TaskStatus::Success);
        }
    }
    assert_eq!(holds.inside(), FULL as usize);
    // No time passes.
    holds.let_pass(2);
    holds.entered(2).await;
    holds.let_pass(FULL as usize);
    for theme in [THEME, OTHER] {
        assert_eq!(tested.drain(theme).await[&TaskStatus::Retry], 0);
    }
    assert_eq!(holds.most(), FULL as usize);
}

#[actix_rt::test]
async fn a_task_that_has_waited_for_a_second_goes_back_and_uses_no_attempt() {
    let holds = Gate::closed();
    let tested = full(8, &holds).await;
    let demo = tested.scheduler(THEME).expect("is a theme");
    let id = add_long(&demo, "Noop").await;
    waiting(&demo, 1).await;
    eventually("that it goes back", async || {
        tested.advance(SECOND);
        let task = demo.get_task_detail(id).await.expect("is there");
        (task.status == TaskStatus::Wait && task.run_at.is_some()).then_some(())
    })
    .await;
    holds.let_pass(FULL as usize);
    let task = eventually("its end", async || {
        tested.advance(SECOND);
        let task = demo.get_task_detail(id).await.expect("is there");
        task.status.is_finished().then_some(task)
    })
    .await;
    assert_eq!((task.status, task.retry_time), (TaskStatus::Success, 0));
    let records = format!("SELECT COUNT(*) FROM asynctask_exec_row WHERE task_id = {id}");
    assert_eq!(tested.database.number(&records), 1);
    assert!(demo.status().await.expect("answers").handed_back > 0);
}

#[actix_rt::test]
async fn what_waits_for_room_can_be_cancelled_and_goes_back_when_the_theme_is_paused() {
    let holds = Gate::closed();
    let tested = full(8, &holds).await;
    let demo = tested.scheduler(THEME).expect("is a theme");
    let id = add_long(&demo, "Noop").await;
    waiting(&demo, 1).await;
    demo.cancel_task(id).await.expect("is asked");
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Cancelled);

    let id = add_long(&demo, "Noop").await;
    waiting(&demo, 1).await;
    demo.pause().await.expect("pauses");
    eventually("that it goes back", async || {
        let task = demo.get_task_detail(id).await.expect("is there");
        (task.status == TaskStatus::Wait && task.run_at.is_none()).then_some(())
    })
    .await;
    holds.let_pass(FULL as usize);
    demo.resume().await.expect("resumes");
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
}

/// As many parents as there is room for, each of which waits for a child that needs room, too.
#[actix_rt::test]
async fn tasks_that_wait_for_tasks_with_long_arguments_do_not_wait_for_ever() {
    let done = Arc::new(Semaphore::new(0));
    let begun = Arc::new(Semaphore::new(0));
    let (of_parent, of_child) = (Arc::clone(&done), Arc::clone(&done));
    let parents = Arc::clone(&begun);
    let builder = Gaia::builder()
        .handler(
            "Demo",
            "Parent",
            async_fn(async move |_, _: Value| {
                parents.add_permits(1);
                of_parent.acquire().await?.forget();
                Ok(())
            }),
        )
        .handler(
            "Demo",
            "Child",
            async_fn(async move |_, _: Value| {
                of_child.add_permits(1);
                Ok(())
            }),
        )
        .scheduler(SchedulerOptions::new(THEME).worker_num(16));
    let tested = Tested::start(builder).await;
    let demo = tested.scheduler(THEME).expect("is a theme");
    for _ in 0..FULL {
        add_long(&demo, "Parent").await;
    }
    begun.acquire_many(FULL).await.expect("is open").forget();
    for _ in 0..FULL {
        add_long(&demo, "Child").await;
    }
    eventually("the end of all", async || {
        tested.advance(SECOND);
        let done = demo.count_by_status().await.expect("counts")[&TaskStatus::Success];
        (done == i64::from(2 * FULL)).then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn a_handler_that_blocks_its_thread_holds_up_no_task_that_waits_for_room() {
    const WAITING: u32 = 6;
    let holds = Gate::closed();
    let (go, blocked) = mpsc::channel::<()>();
    let blocked = Mutex::new(blocked);
    let tested = full(16, &holds).await;
    let demo = tested.scheduler(THEME).expect("is a theme");
    let blocks = async_fn(async move |_, _: Value| {
        let _ = blocked.lock().map(|blocked| blocked.recv());
        Ok(())
    });
    tested
        .registry()
        .register("Demo", "Block", blocks)
        .await
        .expect("is new");
    for _ in 0..WAITING {
        add_long(&demo, "Noop").await;
    }
    waiting(&demo, WAITING as usize).await;
    let block = demo.add_task(task("Block")).await.expect("is added").id;
    eventually("that it runs", async || {
        let running = demo.get_task_detail(block).await.expect("is there").status == TaskStatus::Running;
        running.then_some(())
    })
    .await;
    // Those on the other thread end.
    holds.let_pass(FULL as usize);
    eventually("the end of those that waited", async || {
        let sql = "SELECT COUNT(*) FROM asynctasks WHERE method_name = 'Noop' AND task_status = 'Success'";
        (tested.database.number(sql) == i64::from(WAITING)).then_some(())
    })
    .await;
    drop(go);
    assert_eq!(ended(&demo, block).await.status, TaskStatus::Success);
}

#[actix_rt::test]
async fn arguments_that_cannot_be_read_are_told_of_and_tried_again() {
    listen();
    let holds = Gate::closed();
    let tested = full(8, &holds).await;
    let demo = tested.scheduler(THEME).expect("is a theme");
    let id = add_long(&demo, "Noop").await;
    waiting(&demo, 1).await;
    let database = &tested.database;
    database.execute("ALTER TABLE asynctasks RENAME COLUMN arg TO not_arg");
    holds.let_pass(1);
    let of_task = format!("task {id} ");
    eventually("the line", async || {
        let said = lines(&["its arguments cannot be read", &of_task]);
        said.iter().any(|(level, _)| *level == Level::Warn).then_some(())
    })
    .await;
    database.execute("ALTER TABLE asynctasks RENAME COLUMN not_arg TO arg");
    let task = eventually("its end", async || {
        tested.advance(SECOND);
        let task = demo.get_task_detail(id).await.ok()?;
        task.status.is_finished().then_some(task)
    })
    .await;
    assert_eq!((task.status, task.retry_time), (TaskStatus::Success, 0));
    holds.let_pass(FULL as usize);
}

#[actix_rt::test]
async fn a_handler_that_never_ends_keeps_no_room_after_its_run() {
    let holds = Gate::closed();
    let tested = start(8, &holds).await;
    let demo = tested.scheduler(THEME).expect("is a theme");
    let timed = task("Hold")
        .args(&"x".repeat(MAX_ARG_BYTES - 2))
        .max_retry(0)
        .timeout(SECOND);
    demo.add_tasks(vec![timed; 1]).await.expect("is added");
    holds.entered(1).await;
    for _ in 1..FULL {
        add_long(&demo, "Hold").await;
    }
    holds.entered(FULL - 1).await;
    let id = add_long(&demo, "Noop").await;
    waiting(&demo, 1).await;
    let task = eventually("its end", async || {
        tested.advance(SECOND);
        let task = demo.get_task_detail(id).await.expect("is there");
        task.status.is_finished().then_some(task)
    })
    .await;
    assert_eq!(task.status, TaskStatus::Success);
    holds.let_pass(FULL as usize);
}
