//! Rows that a stranger's transaction has locked: each waits for its own lock, and no other row waits along.

use std::time::Duration;

use gaia_actors::{GaiaBuilder, OverlapPolicy, async_fn, prelude::*, testing::TestGaia};
use serde_json::Value;

use crate::{
    conflicts::Holder,
    kinds,
    support::{Database, Gate, THEME, ended, eventually, options, task},
};

fn noop(builder: GaiaBuilder) -> GaiaBuilder {
    builder
        .handler("Demo", "Noop", async_fn(async |_, _: Value| Ok(())))
        .scheduler(options())
}

/// Has the waiting tasks be Running under a node that has no row.
fn orphan_all(database: &Database, node: &str) {
    database.execute(&format!(
        "UPDATE asynctasks SET task_status = 'Running', lease_owner = '{node}', lease_token = 1, log_id = 'lost', began = 0"
    ));
    database.hold(node);
}

fn successes(database: &Database) -> i64 {
    database.number("SELECT COUNT(*) FROM asynctasks WHERE task_status = 'Success'")
}

#[actix_rt::test]
async fn a_locked_orphan_holds_up_no_other() {
    for kind in kinds() {
        let database = Database::of_kind(kind);
        let client = database.builder().start().await.expect("starts");
        let demo = client.scheduler(THEME).expect("is a theme");
        let added = demo.add_tasks(vec![task("Noop"); 8]).await.expect("are added");
        client.stop().await.expect("stops");
        orphan_all(&database, "dead");
        let locked = added[3].id;
        let lock = format!("SELECT id FROM asynctasks WHERE id = {locked} FOR UPDATE");
        let holder = Holder::of(&database, &lock).await;
        let builder = noop(database.builder()).lease(Duration::from_secs(4));
        let gaia = builder.start().await.expect("starts");
        let demo = gaia.scheduler(THEME).expect("is a theme");
        eventually("seven of eight", async || (successes(&database) == 7).then_some(())).await;
        let status = demo.get_task_detail(locked).await.expect("is there").status;
        assert_eq!(status, TaskStatus::Running, "{kind:?}");
        holder.release().await;
        assert_eq!(ended(&demo, locked).await.status, TaskStatus::Success, "{kind:?}");
        gaia.stop().await.expect("stops");
    }
}

#[actix_rt::test]
async fn a_locked_row_of_a_dead_node_holds_up_the_work_of_no_other() {
    for kind in kinds() {
        let database = Database::of_kind(kind);
        let client = database.builder().start().await.expect("starts");
        let demo = client.scheduler(THEME).expect("is a theme");
        let id = demo.add_task(task("Noop")).await.expect("is added").id;
        client.stop().await.expect("stops");
        let (now, then) = (database.in_seconds(0), database.in_seconds(-600));
        for node in ["a locked one", "b dead"] {
            database.execute(&format!(
                "INSERT INTO gaia_nodes (id, host, pid, version, started_at, heartbeat, beat, lease_ms, themes, protocol) \
                 VALUES ('{node}', 'host', 1, '0', {now}, {then}, 1, 1000, '[]', 3)"
            ));
        }
        orphan_all(&database, "b dead");
        let holder = Holder::of(
            &database,
            "SELECT id FROM gaia_nodes WHERE id = 'a locked one' FOR UPDATE",
        )
        .await;
        let builder = noop(database.builder()).lease(Duration::from_secs(4));
        let gaia = builder.start().await.expect("starts");
        let demo = gaia.scheduler(THEME).expect("is a theme");
        assert_eq!(ended(&demo, id).await.status, TaskStatus::Success, "{kind:?}");
        let left = || database.number("SELECT COUNT(*) FROM gaia_nodes WHERE id LIKE 'a%'");
        assert_eq!(left(), 1, "{kind:?}");
        holder.release().await;
        eventually("the burial", async || (left() == 0).then_some(())).await;
        gaia.stop().await.expect("stops");
    }
}

#[actix_rt::test]
async fn a_locked_open_run_of_a_dead_node_holds_up_no_other() {
    for kind in kinds() {
        let database = Database::of_kind(kind);
        let client = database.builder().start().await.expect("starts");
        let job = NewJob::cron_job("rare", "@yearly", "Demo", "Noop");
        let job = client.jobs().add_job(job).await.expect("is added");
        client.stop().await.expect("stops");
        for _ in 0..8 {
            database.execute(&format!(
                "INSERT INTO job_record (job_id, job_name, job_type, cron_expr, node_id) VALUES ({job}, 'rare', 'cron_job', '@yearly', 'dead')"
            ));
        }
        let lock = "SELECT id FROM job_record ORDER BY id LIMIT 1 FOR UPDATE";
        let holder = Holder::of(&database, lock).await;
        let builder = noop(database.builder()).jobs(JobsOptions::default());
        let gaia = builder.lease(Duration::from_secs(4)).start().await.expect("starts");
        let open = || database.number("SELECT COUNT(*) FROM job_record WHERE job_result_flag IS NULL");
        eventually("seven of eight", async || (open() == 1).then_some(())).await;
        holder.release().await;
        eventually("the last", async || (open() == 0).then_some(())).await;
        gaia.stop().await.expect("stops");
    }
}

/// The lock is held until all others are written, however many halves the batch has.
#[actix_rt::test]
async fn the_outcome_of_a_locked_task_holds_up_no_other() {
    for kind in kinds() {
        let database = Database::of_kind(kind);
        let gate = Gate::closed();
        let builder = database.builder().handler("Demo", "Gate", gate.handler());
        let builder = builder.scheduler(options().worker_num(64));
        let gaia = builder.start().await.expect("starts");
        let demo = gaia.scheduler(THEME).expect("is a theme");
        let added = demo.add_tasks(vec![task("Gate"); 64]).await.expect("are added");
        gate.entered(64).await;
        let locked = added[40].id;
        let lock = format!("SELECT id FROM asynctasks WHERE id = {locked} FOR UPDATE");
        let holder = Holder::of(&database, &lock).await;
        gate.let_pass(64);
        eventually("all but one", async || (successes(&database) == 63).then_some(())).await;
        assert_eq!(demo.status().await.expect("answers").unwritten, 1, "{kind:?}");
        holder.release().await;
        assert_eq!(ended(&demo, locked).await.status, TaskStatus::Success, "{kind:?}");
        gaia.stop().await.expect("stops");
    }
}

/// The record is locked while its run is under way.
#[actix_rt::test]
async fn the_end_of_a_run_with_a_locked_record_holds_up_no_other() {
    for kind in kinds() {
        let database = Database::of_kind(kind);
        let gate = Gate::closed();
        let builder = database.builder().handler("Demo", "Gate", gate.handler());
        let gaia = builder.jobs(JobsOptions::default()).start().await.expect("starts");
        let jobs = gaia.jobs();
        let job = NewJob::cron_job("rare", "@yearly", "Demo", "Gate").overlap(OverlapPolicy::Allow);
        let job = jobs.add_job(job).await.expect("is added");
        let mut runs = Vec::new();
        for _ in 0..4 {
            runs.push(jobs.execute_job_immediately(job).await.expect("starts").id);
        }
        gate.entered(4).await;
        let lock = format!("SELECT id FROM job_record WHERE id = {} FOR UPDATE", runs[1]);
        let holder = Holder::of(&database, &lock).await;
        gate.let_pass(4);
        let open = || database.number("SELECT COUNT(*) FROM job_record WHERE job_result_flag IS NULL");
        eventually("three of four", async || (open() == 1).then_some(())).await;
        let locked = jobs.get_run(runs[1]).await.expect("is there");
        assert!(locked.is_open(), "{kind:?}");
        holder.release().await;
        eventually("the last", async || (open() == 0).then_some(())).await;
        gaia.stop().await.expect("stops");
    }
}

#[actix_rt::test]
async fn a_locked_old_task_keeps_no_other_from_being_pruned() {
    for kind in kinds() {
        let database = Database::of_kind(kind);
        let gaia = TestGaia::start_on(database.url(), noop(Gaia::builder()))
            .await
            .expect("starts");
        let demo = gaia.scheduler(THEME).expect("is a theme");
        demo.add_tasks(vec![task("Noop"); 8]).await.expect("are added");
        gaia.drain(THEME).await;
        // Without an earlier look the time is not certain.
        let looks = || database.number("SELECT COUNT(*) FROM gaia_retention");
        eventually("a look for old rows", async || (looks() > 0).then_some(())).await;
        let lock = "SELECT id FROM asynctasks ORDER BY id LIMIT 1 FOR UPDATE";
        let holder = Holder::of(&database, lock).await;
        let left = || database.number("SELECT COUNT(*) FROM asynctasks");
        gaia.advance(Duration::from_secs(8 * 86_400));
        eventually("all but one", async || (left() == 1).then_some(())).await;
        holder.release().await;
        eventually("the last", async || {
            gaia.advance(Duration::from_secs(600));
            (left() == 0).then_some(())
        })
        .await;
        gaia.stop().await.expect("stops");
    }
}
