//! What is finished for long is deleted, and nothing else.

use std::time::Duration;

use gaia_actors::{async_fn, prelude::*};
use serde_json::Value;

use crate::{
    columns::{RETENTION, odd_values},
    support::{THEME, Tested, eventually, task},
};

const DAY: Duration = Duration::from_secs(86_400);

async fn start(builder: gaia_actors::GaiaBuilder) -> (Tested, Scheduler) {
    let failing = async_fn(async |_, _: Value| Err::<(), _>(TaskError::discard("no")));
    let builder = builder
        .handler("Demo", "Noop", async_fn(async |_, _: Value| Ok(())))
        .handler("Demo", "Fail", failing)
        .scheduler(SchedulerOptions::new(THEME));
    let gaia = Tested::start(builder).await;
    let demo = gaia.scheduler(THEME).expect("is a theme");
    (gaia, demo)
}

fn rows(gaia: &Tested, table: &str) -> i64 {
    gaia.database.number(&format!("SELECT COUNT(*) FROM {table}"))
}

#[actix_rt::test]
async fn finished_tasks_and_their_records_go_after_a_week() {
    let (gaia, demo) = start(Gaia::builder()).await;
    // More than one batch, and of every end.
    demo.add_tasks(vec![task("Noop"); 1_200]).await.expect("are added");
    demo.add_task(task("Fail")).await.expect("is added");
    let cancelled = task("Noop").run_at(gaia.now() + DAY);
    let cancelled = demo.add_task(cancelled).await.expect("is added").id;
    demo.cancel_task(cancelled).await.expect("waits");
    let later = gaia.now() + chrono::TimeDelta::days(90);
    let waiting = demo.add_task(task("Noop").run_at(later)).await.expect("is added").id;
    gaia.drain(THEME).await;
    gaia.advance(DAY * 6);
    let young = demo.add_task(task("Noop")).await.expect("is added").id;
    gaia.drain(THEME).await;
    assert_eq!(
        (rows(&gaia, "asynctasks"), rows(&gaia, "asynctask_exec_row")),
        (1_204, 1_202)
    );

    gaia.advance(DAY + DAY / 2);
    eventually("the old ones to go", async || {
        (rows(&gaia, "asynctasks") == 2 && rows(&gaia, "asynctask_exec_row") == 1).then_some(())
    })
    .await;
    for id in [waiting, young] {
        demo.get_task_detail(id).await.expect("is kept");
    }
    gaia.stop().await.expect("stops");
}

/// Also after a look that had much to delete: where thousands of tasks end in each second, the tables would grow without end.
#[actix_rt::test]
async fn old_rows_go_as_fast_as_they_come() {
    let (gaia, demo) = start(Gaia::builder().retention(Duration::from_secs(2))).await;
    let many = vec![task("Noop"); 1_000];
    for _ in 0..6 {
        demo.add_tasks(many.clone()).await.expect("are added");
    }
    gaia.drain(THEME).await;
    gaia.advance(Duration::from_millis(1_500));
    demo.add_task(task("Noop")).await.expect("is added");
    gaia.drain(THEME).await;
    gaia.advance(Duration::from_secs(1));
    eventually("the many to go", async || {
        (rows(&gaia, "asynctasks") == 1).then_some(())
    })
    .await;
    // A tenth of the retention is less than a second, and the next look comes after a second.
    gaia.advance(Duration::from_millis(1_200));
    eventually("the last one to go", async || {
        (rows(&gaia, "asynctasks") == 0).then_some(())
    })
    .await;
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_task_that_is_queued_again_is_young_again() {
    let (gaia, demo) = start(Gaia::builder().retention(DAY)).await;
    let id = demo.add_task(task("Fail")).await.expect("is added").id;
    let other = demo.add_task(task("Noop")).await.expect("is added").id;
    gaia.drain(THEME).await;
    gaia.advance(Duration::from_secs(23 * 3_600));
    demo.retry_task(id).await.expect("is Failed");
    gaia.drain(THEME).await;
    gaia.advance(Duration::from_secs(7_200));
    eventually("the other one to go", async || {
        demo.get_task_detail(other).await.err().map(drop)
    })
    .await;
    demo.get_task_detail(id).await.expect("is kept");
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn records_of_jobs_go_too_and_jobs_stay() {
    let (gaia, _) = start(Gaia::builder().jobs(JobsOptions::default())).await;
    let jobs = gaia.jobs();
    let id = jobs
        .add_job(NewJob::cron_job("x", "@yearly", "Demo", "Noop"))
        .await
        .expect("is added");
    let run = async || {
        let run = jobs.execute_job_immediately(id).await.expect("runs");
        let ended = jobs.wait_for_run(run.id, crate::support::PATIENCE).await.expect("ends");
        ended.id
    };
    let old = run().await;
    gaia.advance(DAY * 6);
    let young = run().await;
    gaia.advance(DAY + DAY / 2);
    eventually("the old one to go", async || jobs.get_run(old).await.err().map(drop)).await;
    jobs.get_run(young).await.expect("is kept");
    jobs.get_job_detail(id).await.expect("is kept");
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn nothing_goes_if_that_is_switched_off() {
    let (gaia, demo) = start(Gaia::builder().retention(None)).await;
    demo.add_task(task("Noop")).await.expect("is added");
    gaia.drain(THEME).await;
    gaia.advance(DAY * 1_000);
    // Whoever prunes would do it within five minutes of that time.
    actix_rt::time::sleep(Duration::from_millis(500)).await;
    assert_eq!((rows(&gaia, "asynctasks"), rows(&gaia, "asynctask_exec_row")), (1, 1));
    gaia.stop().await.expect("stops");
}

/// Whatever plain SQL has left of the last look: the time is uncertain, the next look notes it anew, and old rows go later.
#[actix_rt::test]
async fn odd_values_of_the_last_look_end_no_pruning() {
    let (gaia, demo) = start(Gaia::builder().retention(DAY)).await;
    let looked_at = |now: chrono::DateTime<chrono::Utc>| {
        let minute = chrono::TimeDelta::minutes(1);
        let text = |at: chrono::DateTime<chrono::Utc>| at.format("%F %T").to_string();
        let (from, until) = (text(now - minute), text(now + minute));
        let seen = format!("scope = '{THEME}' AND seen BETWEEN '{from}' AND '{until}'");
        gaia.database
            .number(&format!("SELECT COUNT(*) FROM gaia_retention WHERE {seen}"))
            == 1
    };
    for (column, holds) in &RETENTION.columns[1..] {
        for value in odd_values(gaia.database.kind(), *holds) {
            let id = demo.add_task(task("Noop")).await.expect("is added").id;
            gaia.drain(THEME).await;
            gaia.database
                .write_odd(&[format!("UPDATE gaia_retention SET {column} = {value}")]);
            for _ in 0..6 {
                gaia.advance(DAY / 3);
                eventually("a look", async || looked_at(gaia.now()).then_some(())).await;
            }
            eventually(&format!("the task to go after {column} = {value}"), async || {
                demo.get_task_detail(id).await.err().map(drop)
            })
            .await;
        }
    }
    gaia.stop().await.expect("stops");
}
