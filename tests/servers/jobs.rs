//! Cron jobs beside transactions of others, and a long history.

use std::time::Duration;

use gaia_actors::{NodeInfo, async_fn, prelude::*};

use crate::{
    conflicts::Holder,
    kinds,
    support::{Database, Kind, NodeProcess, eventually},
};

async fn running(database: &Database) -> Gaia {
    let noop = async_fn(async |_: TaskContext, _: serde_json::Value| Ok(()));
    let builder = database.builder().handler("Demo", "Noop", noop);
    builder.jobs(JobsOptions::default()).start().await.expect("starts")
}

fn each_second(name: &str) -> NewJob {
    NewJob::cron_job(name, "* * * * * *", "Demo", "Noop").overlap(OverlapPolicy::Allow)
}

async fn total(jobs: &Jobs, id: i64) -> i64 {
    jobs.get_job_records(id, PageRequest::default())
        .await
        .expect("answers")
        .total
}

async fn more(jobs: &Jobs, id: i64, count: i64) {
    let before = total(jobs, id).await;
    eventually("more fires", async || {
        (total(jobs, id).await >= before + count).then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn a_job_that_somebody_has_locked_holds_up_no_other_and_no_node() {
    for kind in kinds() {
        let database = Database::of_kind(kind);
        let gaia = running(&database).await;
        let jobs = gaia.jobs();
        let locked = jobs.add_job(each_second("locked")).await.expect("is added");
        let free = jobs.add_job(each_second("free")).await.expect("is added");
        more(&jobs, locked, 2).await;
        // A node that holds a run of the locked job dies, and one that starts finds the row locked.
        let mut node = NodeProcess::start(&database, &[("JOBS", "1"), ("GAIA__NODE__LEASE", "2")]);
        more(&jobs, free, 2).await;
        let holder = Holder::of(
            &database,
            &format!("SELECT id FROM job_center WHERE id = {locked} FOR UPDATE"),
        )
        .await;
        let began = std::time::Instant::now();
        more(&jobs, free, 4).await;
        assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
        node.kill();
        let started = running(&database).await;
        eventually("that the new node knows its jobs", async || {
            (started.jobs().status().await.expect("answers").scheduled == 2).then_some(())
        })
        .await;
        gone(&started, node.pid()).await;
        let refused = jobs.execute_job_immediately(locked).await.expect_err("is locked");
        assert!(matches!(refused, Error::JobIsLocked { .. }), "{refused}");
        holder.release().await;
        more(&jobs, locked, 2).await;
        started.stop().await.expect("stops");
        gaia.stop().await.expect("stops");
        let open = "SELECT COUNT(*) FROM job_record WHERE job_result_flag IS NULL";
        assert_eq!(database.number(open), 0);
        let running = "SELECT COUNT(*) FROM job_center WHERE run_status <> '待运行'";
        assert_eq!(database.number(running), 0);
    }
}

async fn gone(gaia: &Gaia, pid: u32) {
    eventually("the burial of the dead node", async || {
        let nodes: Vec<NodeInfo> = gaia.nodes().await.expect("answers");
        nodes.iter().all(|node| node.pid != i64::from(pid)).then_some(())
    })
    .await;
}

/// What a claim and an end read must not grow with the history.
#[actix_rt::test]
async fn a_long_history_is_not_read() {
    for kind in kinds() {
        let database = Database::of_kind(kind);
        let gaia = running(&database).await;
        let jobs = gaia.jobs();
        let id = jobs.add_job(each_second("x").enabled(false)).await.expect("is added");
        let at = database.in_seconds(-900_000);
        let (rows, at) = match kind {
            #[cfg(feature = "postgres")]
            Kind::Postgres => (
                "generate_series(1, 200000) AS s (n)",
                format!("{at} + n * interval '1 second'"),
            ),
            #[cfg(feature = "mysql")]
            Kind::Mysql => (
                "(SELECT seq AS n FROM seq_1_to_200000) AS s",
                format!("{at} + INTERVAL n SECOND"),
            ),
            #[cfg(feature = "sqlite")]
            Kind::Sqlite => unreachable!("these are servers"),
        };
        database.execute(&format!(
            "INSERT INTO job_record (job_id, job_name, job_type, cron_expr, job_result_flag, node_id, scheduled_at)
             SELECT {id}, 'x', 'cron_job', '* * * * * *', 'success', 'n', {at} FROM {rows};"
        ));
        let mut took = Vec::new();
        for _ in 0..20 {
            let began = std::time::Instant::now();
            let run = jobs.execute_job_immediately(id).await.expect("runs");
            jobs.wait_for_run(run.id, Duration::from_secs(10)).await.expect("ends");
            took.push(began.elapsed());
        }
        took.sort_unstable();
        // To read all of it takes a quarter of a second here; a claim and an end, some milliseconds.
        assert!(took[10] < Duration::from_millis(150), "{kind:?}: {:?}", took[10]);
        gaia.stop().await.expect("stops");
    }
}
