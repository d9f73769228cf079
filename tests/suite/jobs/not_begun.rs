//! Runs that are claimed before the database hangs, and have not begun when the lease is over.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use gaia_actors::{RunFlag, async_fn, prelude::*};
use serde_json::Value;

use super::{finished, flag};
use crate::support::{Database, eventually, hang::Hang};

/// Shorter than a thread may be blocked before another takes what it was to run.
const LEASE: Duration = Duration::from_secs(1);

async fn is_fenced(jobs: &Jobs, fenced: bool) {
    eventually("what the node makes of its lease", async || {
        (jobs.status().await.expect("answers").fenced == fenced).then_some(())
    })
    .await;
}

/// A run that waits for a blocked thread is the node's again, once the node has beaten.
#[actix_rt::test]
async fn a_run_that_had_not_begun_when_the_lease_was_over_runs_late() {
    let database = Database::fresh();
    let (blocks, calls) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let ((let_go, told), blocking, calling) = (mpsc::channel(), Arc::clone(&blocks), Arc::clone(&calls));
    let told = Mutex::new(told);
    let block = async_fn(async move |_, _: Value| {
        blocking.fetch_add(1, Ordering::SeqCst);
        told.lock().expect("is sound").recv().expect("is told");
        Ok(())
    });
    let count = async_fn(async move |_, _: Value| {
        calling.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    let builder = database.builder().arbiters(1).lease(LEASE).jobs(JobsOptions::default());
    let builder = builder.handler("Demo", "Block", block).handler("Demo", "Count", count);
    let gaia = builder.start().await.expect("starts");
    let jobs = gaia.jobs();
    let add = async |method: &str| {
        let job = NewJob::cron_job(method, "@yearly", "Demo", method);
        jobs.add_job(job).await.expect("is added")
    };
    let (block, count) = (add("Block").await, add("Count").await);
    // Not while the lease is over.
    let start = async |id: i64| eventually("a run", async || jobs.execute_job_immediately(id).await.ok()).await;
    let seen = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
    // On a machine that is busy another thread may take the run before the lease is over. Then it is tried again.
    let run = loop {
        let (blocked, called) = (seen(&blocks), seen(&calls));
        start(block).await;
        eventually("a blocked thread", async || (seen(&blocks) > blocked).then_some(())).await;
        let run = start(count).await;
        let hang = Hang::begin(&database);
        is_fenced(&jobs, true).await;
        let is_withheld = seen(&calls) == called;
        let_go.send(()).expect("waits");
        hang.end();
        is_fenced(&jobs, false).await;
        let run = finished(&jobs, &run).await;
        if is_withheld {
            assert_eq!(seen(&calls), called + 1, "{run:?}");
            break run;
        }
    };
    assert_eq!((flag(&run), run.attempt), (Some(RunFlag::Success), Some(1)), "{run:?}");
    gaia.stop().await.expect("stops");
}
