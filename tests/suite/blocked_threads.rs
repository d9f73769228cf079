//! What is said of a handler that blocks its thread.

use std::sync::{Mutex, mpsc};

use gaia_actors::{Endpoint, async_fn, prelude::*};
use serde_json::Value;

use crate::{
    lines::{lines, listen},
    support::{Database, PATIENCE, THEME, eventually, options},
};

/// The first line that says so of a blocked thread.
async fn said(part: &str) -> String {
    eventually("the line", async || {
        let found = lines(&["has been blocked", part]).into_iter().next();
        found.map(|(_, line)| line)
    })
    .await
}

/// A handler that blocks its thread until the sender is dropped.
fn blocking() -> (mpsc::Sender<()>, Endpoint) {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let handler = async_fn(async move |_, _: Value| {
        let _ = wait.lock().map(|wait| wait.recv());
        Ok(())
    });
    (go, handler)
}

#[actix_rt::test]
async fn the_method_that_blocks_a_thread_is_named_and_no_theme_that_is_innocent() {
    listen();
    let database = Database::fresh();
    let (of_task, task_blocks) = blocking();
    let (of_job, job_blocks) = blocking();
    let gaia = database
        .builder()
        .arbiters(1)
        .handler("Guilty", "OfTask", task_blocks)
        .handler("Guilty", "OfJob", job_blocks)
        .scheduler(SchedulerOptions::new("an-innocent-theme"))
        .scheduler(options())
        .jobs(JobsOptions::default())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let id = demo
        .add_task(NewTask::new("Guilty", "OfTask"))
        .await
        .expect("is added")
        .id;
    let line = said("Guilty.OfTask").await;
    assert!(line.contains(&format!("task {id} (theme demo, log_id=")), "{line}");
    assert!(line.contains("blocking_fn"), "{line}");

    let job = NewJob::cron_job("blocks", "@yearly", "Guilty", "OfJob");
    let job = gaia.jobs().add_job(job).await.expect("is added");
    gaia.jobs().execute_job_immediately(job).await.expect("runs");
    let line = said("Guilty.OfJob").await;
    assert!(line.contains(&format!("job {job} (blocks, run ")), "{line}");
    assert_eq!(lines(&["an-innocent-theme", "blocked"]), []);
    drop((of_task, of_job));
    demo.wait_for(id, PATIENCE).await.expect("ends");
    gaia.stop().await.expect("stops");
}

/// Every second worker of the most that a theme may have sits on the thread that is blocked.
#[actix_rt::test]
async fn a_blocked_thread_of_very_many_workers_is_replaced_in_seconds() {
    const WORKERS: usize = 100_000;
    let database = Database::fresh();
    let (go, blocks) = blocking();
    let gaia = database
        .builder()
        .arbiters(2)
        .handler("Guilty", "Blocks", blocks)
        .handler("Demo", "Noop", async_fn(async |_, _: Value| Ok(())))
        .scheduler(options().worker_num(WORKERS))
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let workers = async |replaced: u64| {
        eventually("all workers", async || {
            let status = demo.status().await.expect("answers");
            (status.all_workers == WORKERS && status.replaced_workers >= replaced).then_some(())
        })
        .await;
    };
    workers(0).await;
    let blocked = demo.add_task(NewTask::new("Guilty", "Blocks")).await.expect("is added");
    workers(10_000).await;
    let other = demo.add_task(NewTask::new("Demo", "Noop")).await.expect("is added");
    demo.wait_for(other.id, PATIENCE).await.expect("ends");
    drop(go);
    demo.wait_for(blocked.id, PATIENCE).await.expect("ends");
    gaia.stop().await.expect("stops");
}
