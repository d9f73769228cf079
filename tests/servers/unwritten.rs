//! Outcomes that a server has not taken yet.

use gaia_actors::prelude::*;

use crate::{
    conflicts::Holder,
    kinds,
    support::{Database, Gate, PATIENCE, THEME, ended, eventually, options, task},
};

/// Writes under way are not written yet: a stop reports them, as the status does.
#[actix_rt::test]
async fn an_outcome_that_is_being_written_counts_as_unwritten() {
    for kind in kinds() {
        let database = Database::of_kind(kind);
        let gate = Gate::closed();
        let builder = database.builder().handler("Demo", "Gate", gate.handler());
        let gaia = builder.scheduler(options()).start().await.expect("starts");
        let demo = gaia.scheduler(THEME).expect("is a theme");
        let added = demo.add_tasks(vec![task("Gate"); 3]).await.expect("are added");
        gate.entered(3).await;
        let holder = Holder::of(&database, "SELECT id FROM asynctasks FOR UPDATE").await;
        gate.let_pass(3);
        // One end is on its way, and waits for the lock; the others wait for it.
        eventually("all three", async || {
            let status = demo.status().await.expect("answers");
            assert!(status.unwritten <= 3, "{kind:?}: {}", status.unwritten);
            (status.running_workers == 0 && status.unwritten == 3).then_some(())
        })
        .await;
        holder.release().await;
        for added in added {
            assert_eq!(ended(&demo, added.id).await.status, TaskStatus::Success);
        }
        assert_eq!(demo.status().await.expect("answers").unwritten, 0);
        gaia.stop().await.expect("stops");
    }
}

#[actix_rt::test]
async fn the_end_of_a_job_that_is_being_written_counts_as_unwritten() {
    for kind in kinds() {
        let database = Database::of_kind(kind);
        let gate = Gate::closed();
        let builder = database.builder().handler("Demo", "Gate", gate.handler());
        let gaia = builder.jobs(JobsOptions::default()).start().await.expect("starts");
        let jobs = gaia.jobs();
        let job = NewJob::cron_job("gated", "@yearly", "Demo", "Gate");
        let job = jobs.add_job(job).await.expect("is added");
        let run = jobs.execute_job_immediately(job).await.expect("runs");
        gate.entered(1).await;
        let holder = Holder::of(&database, "SELECT id FROM job_record FOR UPDATE").await;
        gate.let_pass(1);
        eventually("its end", async || {
            let status = jobs.status().await.expect("answers");
            (status.unwritten == 1).then_some(())
        })
        .await;
        holder.release().await;
        jobs.wait_for_run(run.id, PATIENCE).await.expect("ends");
        let status = jobs.status().await.expect("answers");
        assert_eq!((status.unwritten, status.succeeded), (0, 1), "{kind:?}");
        gaia.stop().await.expect("stops");
    }
}
