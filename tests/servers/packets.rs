//! What is larger than MySQL lets a packet be.

use gaia_actors::{async_fn, prelude::*};
use serde_json::Value;

use crate::{
    private::Private,
    support::{Kind, PATIENCE, THEME, ended, options, task},
};

#[actix_rt::test]
async fn results_larger_than_a_packet_are_cut() {
    if !Kind::Mysql.has_server() {
        return;
    }
    let server = Private::server(Kind::Mysql, &["--", "--max-allowed-packet=262144"]);
    let long = async_fn(async |_: TaskContext, length: usize| Ok("x".repeat(length)));
    let gaia = Gaia::builder()
        .database(&server.url)
        .arbiters(2)
        .handler("Demo", "Long", long)
        .handler("Demo", "Noop", async_fn(async |_: TaskContext, _: Value| Ok(())))
        .scheduler(options())
        .jobs(JobsOptions::default())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let mut tasks = vec![task("Noop"); 20];
    tasks[7] = task("Long").args(&500_000);
    let added = demo.add_tasks(tasks).await.expect("are added");
    for (at, added) in added.iter().enumerate() {
        let task = ended(&demo, added.id).await;
        assert_eq!(task.status, TaskStatus::Success);
        let error = task.last_error.unwrap_or_default();
        assert_eq!(error.contains("cut to 4 kB"), at == 7, "{at}: {error}");
    }
    let jobs = gaia.jobs();
    let job = NewJob::cron_job("long", "0 0 1 1 *", "Demo", "Long").args(&500_000);
    let id = jobs.add_job(job).await.expect("is added");
    let run = jobs.execute_job_immediately(id).await.expect("runs");
    let record = jobs.wait_for_run(run.id, PATIENCE).await.expect("comes to an end");
    assert_eq!(record.job_result_flag.as_deref(), Some("success"));
    assert!(record.run_err.expect("says so").contains("cut to 4 kB"));
    let report = gaia.stop().await.expect("stops");
    assert_eq!((report.unwritten, report.refused), (0, 0));
}
