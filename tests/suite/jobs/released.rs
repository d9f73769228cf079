//! Runs that were claimed and could not begin, and the fires of their jobs that were due meanwhile.

use std::time::Duration;

use gaia_actors::{Clock, JobRecord, MisfirePolicy, OverlapPolicy, RunFlag, prelude::*};

use super::{echo, ended, flag, records, serving};
use crate::support::{Database, eventually, hang::Hang};

const LEASE: Duration = Duration::from_secs(1);

/// The second of the minute for which each run was claimed, and what became of it.
fn seconds(records: &[JobRecord]) -> Vec<(i64, RunFlag)> {
    let second = |record: &JobRecord| record.scheduled_at.map_or(0, |at| at.timestamp() % 60);
    let ended = records
        .iter()
        .filter_map(|record| Some((second(record), flag(record)?)));
    ended.collect()
}

fn midnight() -> Clock {
    Clock::manual("2027-01-01T00:00:00Z".parse().expect("is a time"))
}

async fn start(database: &Database, clock: &Clock) -> Gaia {
    let gaia = serving(database.builder()).clock(clock.clone()).lease(LEASE);
    gaia.start().await.expect("starts")
}

async fn scheduled(jobs: &Jobs, count: usize) {
    eventually("the schedules", async || {
        (jobs.status().await.expect("answers").scheduled == count).then_some(())
    })
    .await;
}

/// Moves the time on by so many seconds, and waits until the node has claimed, or tries to claim, what is due then.
async fn tick_at(jobs: &Jobs, clock: &Clock, seconds: u64) {
    let ticks = async || jobs.status().await.expect("answers").ticks;
    let before = ticks().await;
    clock.advance(Duration::from_secs(seconds));
    eventually("a tick", async || (ticks().await > before).then_some(())).await;
}

/// Lets a lease that began before this call come to its end.
async fn outlast(lease: Duration) {
    actix_rt::time::sleep(lease + lease / 2).await;
}

/// Fires of a job that fires once: second 5 is claimed while the database hangs, the others are due while it does.
#[actix_rt::test]
async fn fires_that_were_due_while_the_database_hung_run_late() {
    let (database, clock) = (Database::fresh(), midnight());
    let gaia = start(&database, &clock).await;
    let jobs = gaia.jobs();
    let mut ids = Vec::new();
    for second in [5, 5, 6, 7, 8] {
        let name = format!("job {}", ids.len());
        let job = echo(&name, &format!("{second} 0 0 1 1 *")).time_zone("UTC");
        ids.push(jobs.add_job(job).await.expect("is added"));
    }
    scheduled(&jobs, ids.len()).await;
    let hang = Hang::begin(&database);
    tick_at(&jobs, &clock, 5).await;
    tick_at(&jobs, &clock, 3).await;
    outlast(LEASE).await;
    hang.end();
    for id in ids {
        let runs = ended(&jobs, id, 1).await;
        assert_eq!(
            flag(&runs[0]),
            Some(RunFlag::Success),
            "job {id}: {:?}",
            runs[0].run_err
        );
    }
    assert!(!jobs.status().await.expect("answers").fenced);
    gaia.stop().await.expect("stops");
}

/// The fires of second 5 are claimed while the database hangs. Before it answers, second 26 has come: second 5 was missed by then,
/// as were 10 and 15, and 20 and 25 are late by less than that takes.
#[actix_rt::test]
async fn a_database_that_hangs_costs_no_job_its_run() {
    let (database, clock) = (Database::fresh(), midnight());
    let gaia = start(&database, &clock).await;
    let jobs = gaia.jobs();
    let add = async |job: NewJob| jobs.add_job(job.time_zone("UTC")).await.expect("is added");
    let forbids = add(echo("forbids", "*/5 * * * * *")).await;
    let skips = add(echo("skips", "*/5 * * * * *").misfire(MisfirePolicy::Skip)).await;
    let allows = add(echo("allows", "*/5 * * * * *").overlap(OverlapPolicy::Allow)).await;
    scheduled(&jobs, 3).await;
    let hang = Hang::begin(&database);
    tick_at(&jobs, &clock, 5).await;
    clock.advance(Duration::from_secs(21));
    outlast(LEASE).await;
    hang.end();

    // What may not overlap runs late, and stands for what was missed after it.
    let of = async |id| seconds(&records(&jobs, id).await);
    let missed = ended(&jobs, forbids, 3).await;
    assert_eq!(seconds(&missed)[0], (5, RunFlag::Success));
    assert_eq!(
        seconds(&missed)[1..].iter().map(|run| run.0).collect::<Vec<_>>(),
        [20, 25]
    );
    // What is not made up for is in the way of nothing.
    ended(&jobs, skips, 4).await;
    let [skipped, success] = [RunFlag::Skipped, RunFlag::Success];
    assert_eq!(
        of(skips).await,
        [(5, skipped), (15, skipped), (20, skipped), (25, success)]
    );
    // What may overlap is stood for by the last that was missed.
    ended(&jobs, allows, 4).await;
    assert_eq!(
        of(allows).await,
        [(5, skipped), (15, success), (20, success), (25, success)]
    );
    clock.advance(Duration::from_secs(4));
    for id in [forbids, skips, allows] {
        eventually("a run at second 30", async || {
            (of(id).await.last() == Some(&(30, success))).then_some(())
        })
        .await;
    }
    gaia.stop().await.expect("stops");
}
