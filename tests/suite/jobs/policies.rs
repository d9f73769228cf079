//! What a fire does while another run is under way.

use std::time::Duration;

use gaia_actors::{OverlapPolicy, RunFlag};

use super::{ended, flag, flags, gate_job, gated, records, tested, tick};
use crate::support::eventually;

#[actix_rt::test]
async fn by_default_a_fire_is_skipped_while_a_run_is_under_way() {
    let test = tested().await;
    let jobs = test.jobs();
    let (id, gate) = gated(&jobs, test.registry(), gate_job("x", "* * * * * *")).await;
    tick(&test).await;
    gate.entered(1).await;
    tick(&test).await;
    tick(&test).await;
    let skipped = ended(&jobs, id, 2).await;
    assert_eq!(flags(&skipped), [None, Some(RunFlag::Skipped), Some(RunFlag::Skipped)]);
    let why = skipped[1].run_err.as_deref().expect("says why");
    assert_eq!(
        why,
        format!(
            "skipped: run {} is still under way, and the job's overlap policy is forbid",
            skipped[0].id
        )
    );
    // Counted when the node learns that they are written.
    eventually("two skipped fires", async || {
        (jobs.status().await.expect("answers").skipped == 2).then_some(())
    })
    .await;
    gate.let_pass(1);
    ended(&jobs, id, 3).await;
    tick(&test).await;
    gate.entered(1).await;
    gate.let_pass(1);
    let flags = flags(&ended(&jobs, id, 4).await);
    assert_eq!(flags[0], Some(RunFlag::Success));
    assert_eq!(flags[3], Some(RunFlag::Success));
    assert_eq!(gate.most(), 1);
}

#[actix_rt::test]
async fn runs_may_be_allowed_beside_each_other() {
    let test = tested().await;
    let jobs = test.jobs();
    let job = gate_job("x", "* * * * * *").overlap(OverlapPolicy::Allow);
    let (id, gate) = gated(&jobs, test.registry(), job).await;
    for _ in 0..3 {
        tick(&test).await;
        gate.entered(1).await;
    }
    assert_eq!(jobs.get_running_jobs().await.expect("answers").len(), 3);
    gate.let_pass(1);
    ended(&jobs, id, 1).await;
    assert_eq!(
        jobs.get_job_detail(id).await.expect("is there").job.run_status,
        "运行中"
    );
    gate.let_pass(2);
    let records = ended(&jobs, id, 3).await;
    assert_eq!(flags(&records), [Some(RunFlag::Success); 3]);
    assert_eq!(gate.most(), 3);
    assert_eq!(
        jobs.get_job_detail(id).await.expect("is there").job.run_status,
        "待运行"
    );
}

#[actix_rt::test]
async fn a_newer_run_may_replace_an_older_one() {
    let test = tested().await;
    let jobs = test.jobs();
    let job = gate_job("x", "0 * * * * *").overlap(OverlapPolicy::Replace);
    let (id, gate) = gated(&jobs, test.registry(), job).await;
    for _ in 0..2 {
        test.advance(Duration::from_secs(60));
        gate.entered(1).await;
    }
    // The handler does not listen and is dropped after the grace; the new run has begun before.
    let replaced = eventually("the end of the old run", async || {
        test.advance(Duration::from_secs(1));
        records(&jobs, id).await.into_iter().next().filter(|old| !old.is_open())
    })
    .await;
    assert_eq!(flag(&replaced), Some(RunFlag::Cancelled));
    assert!(
        replaced
            .run_err
            .expect("says why")
            .contains("a newer run has replaced it")
    );
    gate.let_pass(1);
    let records = ended(&jobs, id, 2).await;
    assert_eq!(flag(&records[1]), Some(RunFlag::Success));
}
