//! Fires that wait for the end of the run before them.

use std::time::Duration;

use chrono::TimeDelta;
use gaia_actors::{Compat, Error, MisfirePolicy, OverlapPolicy, RunFlag, async_fn, prelude::*};
use serde_json::Value;

use super::{ended, flag, flags, gate_job, gated, records, serving, tested, tick, tick_after};
use crate::support::{Database, NodeProcess, Tested, eventually};

fn delayed(expr: &str) -> NewJob {
    gate_job("x", expr).overlap(OverlapPolicy::Delay)
}

/// The times between the fires of these runs, in seconds.
fn gaps(records: &[gaia_actors::JobRecord]) -> Vec<i64> {
    let at: Vec<_> = records.iter().filter_map(|record| record.scheduled_at).collect();
    at.windows(2).map(|pair| (pair[1] - pair[0]).num_seconds()).collect()
}

#[actix_rt::test]
async fn fires_run_one_after_another_when_the_run_before_them_ends() {
    let test = tested().await;
    let jobs = test.jobs();
    let (id, gate) = gated(&jobs, test.registry(), delayed("* * * * * *")).await;
    for _ in 0..3 {
        tick(&test).await;
    }
    gate.entered(1).await;
    assert_eq!(records(&jobs, id).await.len(), 1, "the others wait");
    let by_hand = jobs.execute_job_immediately(id).await;
    assert!(matches!(by_hand, Err(Error::JobIsRunning { .. })), "{by_hand:?}");
    for _ in 0..2 {
        gate.let_pass(1);
        gate.entered(1).await;
    }
    gate.let_pass(1);
    let ran = ended(&jobs, id, 3).await;
    assert_eq!(flags(&ran), [Some(RunFlag::Success); 3]);
    assert_eq!((gaps(&ran), gate.most()), (vec![1, 1], 1));
    // Nothing waits: the next one is on time.
    tick(&test).await;
    gate.entered(1).await;
    gate.let_pass(1);
    assert_eq!(gaps(&ended(&jobs, id, 4).await), [1, 1, 1]);
}

#[actix_rt::test]
async fn a_fire_that_has_waited_for_long_is_not_missed_until_the_grace_is_over() {
    let test = tested().await;
    let jobs = test.jobs();
    let job = delayed("*/10 * * * * *").misfire_grace(Duration::from_secs(20));
    let (id, gate) = gated(&jobs, test.registry(), job).await;
    tick_after(&test, Duration::from_secs(10)).await;
    gate.entered(1).await;
    for _ in 0..5 {
        tick_after(&test, Duration::from_secs(10)).await;
    }
    // At 60 s: the fires of 20 and 30 s have waited too long, those of 40, 50 and 60 s run.
    gate.let_pass(4);
    let all = ended(&jobs, id, 5).await;
    let [success, skipped] = [RunFlag::Success, RunFlag::Skipped].map(Some);
    assert_eq!(flags(&all), [success, skipped, success, success, success]);
    assert_eq!(gaps(&all), [20, 10, 10, 10]);
    let why = all[1].run_err.as_deref().expect("says why");
    assert!(why.contains("has waited for the end of earlier runs"), "{why}");
    assert_eq!(gate.most(), 1);
}

#[actix_rt::test]
async fn jobs_without_a_policy_have_that_of_the_process() {
    let test = Tested::start(serving(Gaia::builder()).compat(Compat::Go)).await;
    let jobs = test.jobs();
    let policy = async |id| jobs.get_job_detail(id).await.expect("is there").job.overlap_policy;
    let (id, gate) = gated(&jobs, test.registry(), gate_job("added", "* * * * * *").enabled(false)).await;
    assert_eq!(policy(id).await, "delay");
    let own = gate_job("own", "@yearly").overlap(OverlapPolicy::Forbid);
    let own = jobs.add_job(own).await.expect("is added");
    assert_eq!(policy(own).await, "forbid");
    // An unchanged job is not touched.
    let version = jobs.get_job_detail(id).await.expect("is there").job.version;
    jobs.ensure_job(gate_job("added", "* * * * * *"))
        .await
        .expect("is there");
    assert_eq!(jobs.get_job_detail(id).await.expect("is there").job.version, version);

    // As the Go framework inserts it.
    test.database.execute(
        "INSERT INTO job_center (job_name, job_type, cron_expr, service_name, service_method, args, enabled)
         VALUES ('there', 'cron_job', '* * * * * *', 'Demo', 'Gate', '1', 1)",
    );
    let there = eventually("the job of plain SQL", async || {
        let list = jobs.list_jobs(ListJobs::default()).await.expect("lists").items;
        list.into_iter().find(|job| job.job_name == "there")
    })
    .await;
    assert_eq!(there.overlap_policy, "delay");
    eventually("the schedule of the job", async || {
        (jobs.status().await.expect("answers").scheduled == 2).then_some(())
    })
    .await;
    tick(&test).await;
    gate.entered(1).await;
    tick(&test).await;
    gate.let_pass(2);
    let ran = ended(&jobs, there.id, 2).await;
    assert_eq!((flags(&ran), gate.most()), (vec![Some(RunFlag::Success); 2], 1));

    // An edit of something else leaves it without a policy: another process may have another default.
    let edited = NewJob::from(there.clone()).time_zone("Asia/Shanghai");
    jobs.update_job(there.id, edited).await.expect("is there");
    let without = "SELECT COUNT(*) FROM job_center WHERE overlap_policy IS NULL AND time_zone = 'Asia/Shanghai'";
    assert_eq!(test.database.number(without), 1);
}

#[actix_rt::test]
async fn a_missed_fire_that_is_to_be_skipped_does_not_wait() {
    let test = tested().await;
    let jobs = test.jobs();
    let job = delayed("*/10 * * * * *").misfire(MisfirePolicy::Skip);
    let (id, gate) = gated(&jobs, test.registry(), job).await;
    tick_after(&test, Duration::from_secs(10)).await;
    gate.entered(1).await;
    // The fires of 20 to 50 s are missed, those of 60 and 70 s are in time.
    tick_after(&test, Duration::from_secs(60)).await;
    gate.let_pass(3);
    let all = ended(&jobs, id, 4).await;
    let [success, skipped] = [RunFlag::Success, RunFlag::Skipped].map(Some);
    assert_eq!(flags(&all), [success, skipped, success, success]);
    assert_eq!(gaps(&all), [40, 10, 10]);
}

#[actix_rt::test]
async fn fires_that_wait_for_the_run_of_a_node_that_dies_run_on_another() {
    let database = Database::fresh();
    let mut node = NodeProcess::start(&database, &[("JOBS", "1")]);
    let gaia = database.builder().start().await.expect("starts");
    let jobs = gaia.jobs();
    let job = NewJob::cron_job("slow", "* * * * * *", "Demo", "Sleep").args(&serde_json::json!({ "ms": 600_000 }));
    let id = jobs.add_job(job.overlap(OverlapPolicy::Delay)).await.expect("is added");
    eventually("the run on the node", async || {
        let runs = jobs.get_running_jobs().await.expect("answers");
        runs.iter().any(|run| run.job_id == Some(id)).then_some(())
    })
    .await;
    let other = database
        .builder()
        .handler("Demo", "Sleep", async_fn(async |_, _: Value| Ok(())))
        .jobs(JobsOptions::default())
        .start()
        .await
        .expect("starts");
    let reads = async || other.jobs().status().await.expect("answers");
    eventually("that it sees fires", async || (reads().await.ticks > 3).then_some(())).await;
    node.kill();
    let lost = eventually("the end of the lost run", async || {
        let records = records(&jobs, id).await;
        records.into_iter().find(|record| flag(record) == Some(RunFlag::Failed))
    })
    .await;
    let lost_at = lost.ended_at.expect("has ended");
    // The fires that were due before the run was known to be lost have waited for that.
    let ran = eventually("a fire that has not waited", async || {
        let records = records(&jobs, id).await;
        let is_done = records
            .iter()
            .any(|record| record.scheduled_at > Some(lost_at) && !record.is_open());
        is_done.then_some(records)
    })
    .await;
    let after: Vec<_> = ran.into_iter().filter(|record| record.id != lost.id).collect();
    let waited = after
        .iter()
        .filter(|record| record.scheduled_at < Some(lost_at - TimeDelta::seconds(11)));
    assert!(waited.count() > 0, "none has waited: {after:?}");
    assert!(gaps(&after).iter().all(|gap| *gap == 1), "{after:?}");
    assert!(
        after
            .iter()
            .all(|record| !matches!(flag(record), Some(RunFlag::Skipped | RunFlag::Failed)))
    );
    other.stop().await.expect("stops");
    gaia.stop().await.expect("stops");
}
