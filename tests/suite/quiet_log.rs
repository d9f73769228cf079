//! A trouble that lasts is logged when it begins, not each time it is met.

use std::time::Duration;

use gaia_actors::{async_fn, prelude::*};
use log::Level;
use serde_json::Value;

use crate::{
    lines::{lines, listen},
    support::{Database, PATIENCE, THEME, Tested, ended, eventually, options, task},
};

/// Waits until a trouble was met `count` times. Only its first line may be louder than debug.
async fn met(parts: &[&str], count: usize) {
    let met = eventually("the trouble", async || {
        Some(lines(parts)).filter(|lines| lines.len() >= count)
    })
    .await;
    let loud = met.iter().filter(|(level, _)| *level < Level::Debug).count();
    assert_eq!(loud, 1, "{met:?}");
    assert!(met[0].0 < Level::Debug, "{met:?}");
}

async fn said(parts: &[&str]) {
    eventually("the line", async || lines(parts).pop()).await;
}

#[actix_rt::test]
async fn a_bad_job_that_is_due_each_second_is_warned_about_once() {
    listen();
    let fault = "a fault of the job that is due each second";
    let bad = async_fn(async move |_, _: Value| Err::<(), _>(TaskError::failed(fault)));
    let builder = Gaia::builder().handler("Demo", "Bad", bad).jobs(JobsOptions::default());
    let test = Tested::start(builder).await;
    let jobs = test.jobs();
    let job = NewJob::cron_job("bad", "* * * * * *", "Demo", "Bad");
    jobs.add_job(job).await.expect("is added");
    eventually("the schedule", async || {
        (jobs.status().await.expect("answers").scheduled == 1).then_some(())
    })
    .await;
    for second in 1..=20 {
        test.advance(Duration::from_secs(1));
        met(&["failed", fault], second).await;
    }
}

#[actix_rt::test]
async fn attempts_of_a_bad_job_that_are_made_again_are_told_of_once() {
    listen();
    let fault = "a fault of the job whose attempts are made again";
    let bad = async_fn(async move |_, _: Value| Err::<(), _>(TaskError::failed(fault)));
    let builder = Gaia::builder().handler("Demo", "Bad", bad).jobs(JobsOptions::default());
    let test = Tested::start(builder).await;
    let jobs = test.jobs();
    let job = NewJob::cron_job("bad", "@yearly", "Demo", "Bad");
    let job = job.max_retry(2).retry_delay(Duration::ZERO);
    let id = jobs.add_job(job).await.expect("is added");
    for run in 1..=10 {
        let begun = jobs.execute_job_immediately(id).await.expect("runs");
        jobs.wait_for_run(begun.id, PATIENCE).await.expect("comes to an end");
        met(&["failed, attempt", fault], 2 * run).await;
        met(&["failed after", fault], run).await;
    }
}

#[actix_rt::test]
async fn no_text_of_others_makes_a_second_line() {
    listen();
    let forged = "what a handler says\nERROR gaia_actors: forged by a handler";
    let bad = async_fn(async move |_, _: Value| Err::<(), _>(TaskError::discard(forged)));
    let database = Database::fresh();
    let gaia = database
        .builder()
        .handler("Demo", "Bad", bad)
        .jobs(JobsOptions::default())
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let id = demo.add_task(task("Bad")).await.expect("is added").id;
    ended(&demo, id).await;
    let job = NewJob::cron_job("bad", "@yearly", "Demo", "Bad");
    let job = gaia.jobs().add_job(job).await.expect("is added");
    gaia.jobs().execute_job_immediately(job).await.expect("runs");
    for what in ["task", "job"] {
        said(&[what, "forged by a handler"]).await;
    }
    let second = lines(&["\n"]);
    assert!(second.is_empty(), "{second:?}");
    gaia.stop().await.expect("stops");
}

/// The tables of the scanner and of the node are out of reach, so that each of their queries fails.
#[actix_rt::test]
async fn a_database_that_stays_away_is_said_once_by_scanner_and_node() {
    listen();
    let (database, theme) = (Database::fresh(), "its-database-is-away");
    let gaia = database
        .builder()
        .lease(Duration::from_secs(8))
        .scheduler(SchedulerOptions::new(theme).scan_interval(Duration::from_millis(200)))
        .start()
        .await
        .expect("starts");
    let node = gaia.node_id();
    let troubles = [
        ("asynctasks", [theme, "cannot claim tasks"], 3),
        ("gaia_nodes", [node, "cannot beat"], 3),
        ("gaia_themes", [node, "cannot look for requests"], 2),
    ];
    // One after the other: a trouble that changes is logged anew.
    for (table, line, count) in &troubles {
        database.execute(&format!("ALTER TABLE {table} RENAME TO {table}_away"));
        met(line, *count).await;
    }
    for (table, ..) in &troubles {
        database.execute(&format!("ALTER TABLE {table}_away RENAME TO {table}"));
    }
    said(&[theme, "tasks are claimed again, after"]).await;
    said(&[node, "beats again, after"]).await;
    said(&[node, "looks for requests again, after"]).await;
    gaia.stop().await.expect("stops");
}
