//! Jobs on several processes, some of which die.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use chrono::NaiveDateTime;
use gaia_actors::{RunFlag, prelude::*};

use super::{echo, ended, flag, records, running};
use crate::support::{Database, NodeProcess, effects_in, eventually};

fn sleeps(name: &str, millis: u64) -> NewJob {
    NewJob::cron_job(name, "* * * * * *", "Demo", "Sleep").args(&serde_json::json!({ "ms": millis }))
}

/// Waits until a run of the job is under way.
async fn under_way(jobs: &Jobs, id: i64) {
    eventually("a run", async || {
        let runs = jobs.get_running_jobs().await.expect("answers");
        runs.iter().any(|run| run.job_id == Some(id)).then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn the_run_of_a_killed_node_is_lost_within_thirty_seconds_and_its_job_free() {
    let database = Database::fresh();
    let looker = database.builder().start().await.expect("starts");
    let jobs = looker.jobs();
    let id = jobs.add_job(sleeps("slow", 600_000)).await.expect("is added");
    let mut node = NodeProcess::start(&database, &[("JOBS", "1")]);
    under_way(&jobs, id).await;
    jobs.toggle_job(id, false).await.expect("is there");
    node.kill();
    let killed = Instant::now();
    // A process that runs no jobs looks after those of the dead all the same.
    let lost = eventually("the end of the lost run", async || {
        let records = records(&jobs, id).await;
        records.into_iter().find(|record| flag(record) == Some(RunFlag::Failed))
    })
    .await;
    assert!(killed.elapsed() < Duration::from_secs(30), "{:?}", killed.elapsed());
    assert!(lost.run_err.expect("says why").starts_with("lost: its node"));
    assert_eq!(
        jobs.get_job_detail(id).await.expect("is there").job.run_status,
        "待运行"
    );
    assert!(jobs.get_running_jobs().await.expect("answers").is_empty());
    looker.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_node_that_is_asked_to_stop_ends_its_runs_in_order() {
    let database = Database::fresh();
    let looker = database.builder().start().await.expect("starts");
    let jobs = looker.jobs();
    let quick = jobs.add_job(sleeps("quick", 1_500)).await.expect("is added");
    let slow = jobs.add_job(sleeps("slow", 600_000)).await.expect("is added");
    let node = NodeProcess::start(&database, &[("JOBS", "1"), ("GAIA__NODE__GRACE", "3")]);
    under_way(&jobs, slow).await;
    under_way(&jobs, quick).await;
    assert_eq!(node.stop(), Some(0));
    assert!(jobs.get_running_jobs().await.expect("answers").is_empty());
    let last = async |id| {
        let ran = |record: &gaia_actors::JobRecord| flag(record) != Some(RunFlag::Skipped);
        records(&jobs, id).await.into_iter().rfind(ran).expect("has run")
    };
    assert_eq!(flag(&last(quick).await), Some(RunFlag::Success));
    assert!(last(slow).await.run_err.expect("says why").starts_with("cut off"));
    for id in [quick, slow] {
        assert_eq!(
            jobs.get_job_detail(id).await.expect("is there").job.run_status,
            "待运行"
        );
    }
    looker.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_run_on_another_node_can_be_cancelled() {
    let database = Database::fresh();
    let looker = database.builder().start().await.expect("starts");
    let jobs = looker.jobs();
    let _node = NodeProcess::start(&database, &[("JOBS", "1")]);
    let id = jobs.add_job(sleeps("slow", 600_000)).await.expect("is added");
    under_way(&jobs, id).await;
    jobs.toggle_job(id, false).await.expect("is there");
    assert_eq!(jobs.cancel_job(id).await.expect("is there"), 1);
    let cancelled = eventually("the run's end", async || {
        let mut records = records(&jobs, id).await.into_iter();
        records.find(|record| flag(record) == Some(RunFlag::Cancelled))
    })
    .await;
    assert_eq!(cancelled.run_err.as_deref(), Some("cancelled by request"));
    looker.stop().await.expect("stops");
}

/// A longer soak is asked for by `GAIA_SOAK_SECONDS`.
fn soak_time() -> Duration {
    let seconds = std::env::var("GAIA_SOAK_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(15))
}

#[actix_rt::test]
async fn nodes_with_wrong_clocks_that_are_killed_fire_each_second_once() {
    const JOBS: i64 = 200;
    let (database, time) = (Database::fresh(), soak_time());
    let looker = database.builder().start().await.expect("starts");
    let jobs = looker.jobs();
    for at in 0..JOBS {
        let job = NewJob::cron_job(format!("job {at}"), "* * * * * *", "Demo", "Noop");
        jobs.add_job(job.overlap(OverlapPolicy::Allow)).await.expect("is added");
    }
    // On a server the nodes follow its clock; on SQLite they stay as wrong as they are.
    let skews = ["-5000", "0", "5000"];
    let start = |at: usize| NodeProcess::start(&database, &[("JOBS", "1"), ("SKEW_MS", skews[at]), ("WORKERS", "0")]);
    let mut nodes: Vec<NodeProcess> = (0..3).map(start).collect();
    let pause = (time / 6).min(Duration::from_secs(10));
    let (began, mut kills) = (Instant::now(), 0);
    while began.elapsed() < time {
        actix_rt::time::sleep(pause).await;
        let at = kills % 3;
        nodes[at].kill();
        kills += 1;
        nodes[at] = start(at);
    }
    for node in nodes {
        assert_eq!(node.stop(), Some(0));
    }

    // A clock that is behind takes a job to have been there before it was: what lies before that is nobody's.
    let column = |column: &str| {
        database.times(&format!(
            "SELECT job_id AS number, {column} AS time FROM job_record \
             WHERE scheduled_at > (SELECT MAX(create_time) FROM job_center) ORDER BY job_id, scheduled_at"
        ))
    };
    let mut seconds: BTreeMap<i64, Vec<(NaiveDateTime, NaiveDateTime)>> = BTreeMap::new();
    let before = column("COALESCE(previous_at, scheduled_at)");
    for (row, before) in column("scheduled_at").into_iter().zip(before) {
        seconds.entry(row.number).or_default().push((row.time, before.time));
    }
    assert_eq!(seconds.len(), usize::try_from(JOBS).expect("fits"));
    let (mut fires, mut missed) = (0, 0);
    for (job, seconds) in &seconds {
        fires += seconds.len();
        for pair in seconds.windows(2) {
            let ((first, _), (second, before)) = (pair[0], pair[1]);
            let apart = (second - first).num_seconds();
            assert!(apart > 0, "job {job} has two runs at {second}");
            // On a slow machine there may be no node for longer than the grace for late fires. Then the next record says so.
            assert!(
                apart == 1 || before == first,
                "job {job}: after {first} a second was missed in silence"
            );
            missed += apart - 1;
        }
        let covered = (seconds[seconds.len() - 1].0 - seconds[0].0).num_seconds();
        assert!(
            covered >= i64::try_from(time.as_secs()).expect("fits") - 2,
            "job {job}: {covered} s"
        );
    }
    println!("{fires} fires of {JOBS} jobs, {kills} kills, {missed} seconds missed");
    // Each record was run by one process, once.
    let mut starts: BTreeMap<i64, usize> = BTreeMap::new();
    for effect in effects_in(&database.file("job_effects"))
        .iter()
        .filter(|effect| effect.is_start)
    {
        *starts.entry(effect.task_id).or_default() += 1;
    }
    starts.retain(|_, count| *count != 1);
    assert_eq!(starts, BTreeMap::new());
    let open = database.number("SELECT COUNT(*) FROM job_record WHERE job_result_flag IS NULL");
    let lost =
        database.number("SELECT COUNT(*) FROM job_record WHERE job_result_flag = 'failed' AND run_err LIKE 'lost:%'");
    let failed = database.number("SELECT COUNT(*) FROM job_record WHERE job_result_flag = 'failed'");
    println!("{open} runs of killed nodes are open, {lost} are lost");
    assert_eq!(failed, lost);
    looker.stop().await.expect("stops");
}

#[actix_rt::test]
async fn two_runners_share_the_fires() {
    let database = Database::fresh();
    let (a, b) = (running(&database).await, running(&database).await);
    let id = a.jobs().add_job(echo("each", "* * * * * *")).await.expect("is added");
    let records = ended(&b.jobs(), id, 4).await;
    let seconds: Vec<_> = records
        .iter()
        .map(|record| record.scheduled_at.expect("by schedule"))
        .collect();
    for pair in seconds.windows(2) {
        assert_eq!((pair[1] - pair[0]).num_seconds(), 1);
    }
    a.stop().await.expect("stops");
    // The other one goes on without a gap.
    let more = ended(&b.jobs(), id, records.len() + 3).await;
    for pair in more.windows(2) {
        assert_eq!(
            pair[1].scheduled_at,
            pair[0].scheduled_at.map(|at| at + Duration::from_secs(1))
        );
    }
    b.stop().await.expect("stops");
}
