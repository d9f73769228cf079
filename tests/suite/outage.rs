//! The database goes away and comes back.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use gaia_actors::{async_fn, prelude::*};
use serde_json::Value;

use crate::support::{Database, NodeProcess, THEME, effects, ended, eventually, options, refusal, task};

/// Another process holds an exclusive lock for 10 s in the middle of a run.
#[actix_rt::test]
async fn work_goes_on_by_itself_after_an_exclusive_lock() {
    const TASKS: usize = 2_000;
    let database = Database::fresh();
    let client = database.builder().start().await.expect("starts");
    let demo = client.scheduler(THEME).expect("is a theme");
    let nap = task("Sleep").args(&serde_json::json!({"ms": 2}));
    demo.add_tasks(vec![nap; TASKS]).await.expect("are added");
    let node = NodeProcess::start(&database, &[]);
    eventually("work under way", async || {
        let counts = demo.count_by_status().await.expect("counts");
        (counts[&TaskStatus::Success] > 200).then_some(())
    })
    .await;

    let mut other = database.connection();
    other.batch_execute("BEGIN EXCLUSIVE").expect("locks");
    actix_rt::time::sleep(Duration::from_secs(10)).await;
    // People hear of it instead of waiting for ever.
    let text = refusal(demo.add_task(task("Noop")).await);
    assert!(text.contains("locked"), "{text}");
    other.batch_execute("COMMIT").expect("unlocks");

    eventually("all of them", async || {
        let counts = demo.count_by_status().await.ok()?;
        (counts[&TaskStatus::Success] == 2_000).then_some(())
    })
    .await;
    assert_eq!(node.stop(), Some(0));
    // Every task ran once, and every run has its record: the outcomes of the outage were kept and written.
    let starts = effects(&database).iter().filter(|effect| effect.is_start).count();
    assert_eq!(starts, TASKS);
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctask_exec_row"), 2_000);
    client.stop().await.expect("stops");
}

/// The lock lasts longer than the lease: the node must take itself for dead, and come back to life.
#[actix_rt::test]
async fn a_node_that_cannot_beat_fences_itself_and_recovers() {
    let database = Database::fresh();
    let (entered, mut entries) = tokio::sync::mpsc::unbounded_channel();
    let gaia = Gaia::builder()
        .database(format!("{}?busy_timeout=100", database.url()))
        .lease(Duration::from_secs(1))
        .handler(
            "Demo",
            "Wait",
            async_fn(async move |ctx: TaskContext, _: Value| {
                entered.send(())?;
                // The first run waits to be told; the second is the one after the fence.
                if ctx.attempt() == 1 {
                    ctx.cancelled().await;
                    return Err(TaskError::failed("told to stop"));
                }
                Ok(())
            }),
        )
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let id = demo.add_task(task("Wait")).await.expect("is added").id;
    entries.recv().await.expect("runs");

    let mut other = database.connection();
    other.batch_execute("BEGIN EXCLUSIVE").expect("locks");
    eventually("the fence", async || {
        demo.status().await.expect("runs here").fenced.then_some(())
    })
    .await;
    other.batch_execute("COMMIT").expect("unlocks");
    eventually("the end of the fence", async || {
        (!demo.status().await.expect("runs here").fenced).then_some(())
    })
    .await;
    // Nobody had taken the run: it was handed back, and no attempt was used.
    entries.recv().await.expect("runs again");
    let task = demo.get_task_detail(id).await.expect("is there");
    assert_eq!(task.retry_time, 0);
    assert!(demo.status().await.expect("runs here").database_errors > 0);
    demo.cancel_task(id).await.expect("runs");
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Cancelled);
    gaia.stop().await.expect("stops");
}

/// An outcome that the database never takes must not hold up the others, whatever batch it is in.
#[actix_rt::test]
async fn an_outcome_that_is_refused_for_good_holds_up_no_other() {
    let database = Database::fresh();
    let gaia = database
        .builder()
        .handler("Demo", "Noop", async_fn(async |_, _: Value| Ok(())))
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    database.execute(
        "CREATE TRIGGER poison BEFORE UPDATE OF task_status ON asynctasks \
         WHEN NEW.task_status = 'Success' AND NEW.task_name = 'poison' \
         BEGIN SELECT RAISE(ABORT, 'not this one'); END",
    );
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let mut tasks = vec![task("Noop"); 60];
    for at in [0, 20, 59] {
        tasks[at] = task("Noop").name("poison");
    }
    let added = demo.add_tasks(tasks).await.expect("are added");
    eventually("all the others", async || {
        // Something goes on all the time, as in life.
        demo.add_task(task("Noop")).await.expect("is added");
        let counts = demo.count_by_status().await.expect("counts");
        (counts[&TaskStatus::Success] >= 60 && counts[&TaskStatus::Running] == 3).then_some(())
    })
    .await;
    database.execute("DROP TRIGGER poison");
    for added in added {
        assert_eq!(ended(&demo, added.id).await.status, TaskStatus::Success);
    }
    let records = "SELECT COUNT(*) FROM asynctask_exec_row WHERE task_id <= 60";
    assert_eq!(database.number(records), 60);
    gaia.stop().await.expect("stops");
}
