//! Cron jobs, against whichever database this run is for.

mod delayed;
mod fires;
#[cfg(feature = "hooks")]
mod hooks;
mod nodes;
mod not_begun;
mod operations;
mod policies;
mod refusals;
mod released;
mod rows;
mod zones;

use std::time::Duration;

use gaia_actors::{GaiaBuilder, JobRecord, RunFlag, async_fn, prelude::*};
use serde_json::Value;

use crate::support::{Database, Gate, PATIENCE, Tested, eventually};

/// Longer than it takes until a change by plain SQL must have its effect.
const NOTICED: Duration = Duration::from_secs(5);

fn serving(builder: GaiaBuilder) -> GaiaBuilder {
    builder
        .handler("Demo", "Echo", async_fn(async |_, args: Value| Ok(args)))
        .handler(
            "Demo",
            "Fail",
            async_fn(async |_, _: Value| Err::<(), _>(TaskError::failed("as asked"))),
        )
        .jobs(JobsOptions::default())
}

/// A runtime with jobs whose time stands still at midnight.
async fn tested() -> Tested {
    Tested::start(serving(Gaia::builder())).await
}

/// A runtime with jobs, on the time that is.
async fn running(database: &Database) -> Gaia {
    serving(database.builder()).start().await.expect("starts")
}

fn echo(name: &str, expr: &str) -> NewJob {
    NewJob::cron_job(name, expr, "Demo", "Echo").args(&name)
}

/// A job whose handler waits at `gate`.
async fn gated(jobs: &Jobs, registry: &gaia_actors::Registry, job: NewJob) -> (i64, Gate) {
    let gate = Gate::closed();
    registry
        .replace("Demo", "Gate", gate.handler())
        .await
        .expect("is registered");
    (jobs.add_job(job).await.expect("is added"), gate)
}

fn gate_job(name: &str, expr: &str) -> NewJob {
    NewJob::cron_job(name, expr, "Demo", "Gate")
}

async fn records(jobs: &Jobs, id: i64) -> Vec<JobRecord> {
    let page = PageRequest::new(1, 1_000);
    let mut records = jobs.get_job_records(id, page).await.expect("answers").items;
    records.reverse();
    records
}

/// Waits until a job has so many records of ended runs; answers with all of its records, oldest first.
async fn ended(jobs: &Jobs, id: i64, count: usize) -> Vec<JobRecord> {
    eventually(&format!("{count} ended runs of job {id}"), async || {
        let records = records(jobs, id).await;
        let ended = records.iter().filter(|record| !record.is_open()).count();
        (ended >= count).then_some(records)
    })
    .await
}

/// Moves the time on by a second and waits until the clock has struck it.
async fn tick(test: &Tested) {
    tick_after(test, Duration::from_secs(1)).await;
}

async fn tick_after(test: &Tested, by: Duration) {
    let jobs = test.jobs();
    let before = jobs.status().await.expect("answers").ticks;
    test.advance(by);
    eventually("a tick", async || {
        (jobs.status().await.expect("answers").ticks > before).then_some(())
    })
    .await;
}

fn flag(record: &JobRecord) -> Option<RunFlag> {
    record
        .job_result_flag
        .as_deref()
        .map(|flag| flag.parse().expect("is known"))
}

fn flags(records: &[JobRecord]) -> Vec<Option<RunFlag>> {
    records.iter().map(flag).collect()
}

async fn finished(jobs: &Jobs, run: &JobRecord) -> JobRecord {
    jobs.wait_for_run(run.id, PATIENCE).await.expect("comes to an end")
}
