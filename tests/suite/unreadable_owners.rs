//! Rows of dead owners that cannot be read: only SQLite takes what is no text, or holds bytes that are no characters, for the name of
//! a node.

use std::time::Duration;

use gaia_actors::{async_fn, prelude::*};
use serde_json::Value;

use crate::support::{Database, Kind, THEME, ended, eventually, options, task};

/// A page of rows that no write can name, and work of a dead node behind them.
#[actix_rt::test]
async fn rows_of_dead_owners_that_cannot_be_read_starve_none_behind_them() {
    let database = Database::of_kind(Kind::Sqlite);
    let client = database.builder().start().await.expect("starts");
    let demo = client.scheduler(THEME).expect("is a theme");
    let added = demo.add_tasks(vec![task("Echo"); 601]).await.expect("are added");
    let job = NewJob::cron_job("rare", "@yearly", "Demo", "Echo");
    let job = client.jobs().add_job(job).await.expect("is added");
    let last = added[600].id;
    database.execute(&format!(
        "UPDATE asynctasks SET task_status = 'Running', lease_token = 1, log_id = 'lost', \
           lease_owner = CASE WHEN id = {last} THEN 'dead' WHEN id % 2 = 0 THEN X'ff00' ELSE CAST(X'ff41' AS TEXT) END; \
         WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 601) \
         INSERT INTO job_record (job_id, job_name, job_type, cron_expr, node_id) \
         SELECT {job}, 'rare', 'cron_job', '@yearly', CASE WHEN n = 601 THEN 'dead' WHEN n % 2 = 0 THEN X'ff00' ELSE CAST(X'ff41' AS TEXT) END FROM n;"
    ));
    // What cannot be named stays so: only paging gets beyond it.
    database.execute(
        "CREATE TRIGGER unnamed_task BEFORE UPDATE ON asynctasks WHEN NEW.lease_owner = 'unreadable' \
           BEGIN SELECT RAISE(IGNORE); END; \
         CREATE TRIGGER unnamed_run BEFORE UPDATE ON job_record WHEN NEW.node_id = 'unreadable' \
           BEGIN SELECT RAISE(IGNORE); END;",
    );
    let gaia = database
        .builder()
        .lease(Duration::from_secs(2))
        .handler("Demo", "Echo", async_fn(async |_, args: Value| Ok(args)))
        .scheduler(options())
        .jobs(JobsOptions::default())
        .start()
        .await
        .expect("starts");
    assert_eq!(ended(&demo, last).await.status, TaskStatus::Success);
    let open = || database.number("SELECT COUNT(*) FROM job_record WHERE job_result_flag IS NULL");
    eventually("the run behind them", async || (open() == 600).then_some(())).await;
    database.execute("DROP TRIGGER unnamed_task; DROP TRIGGER unnamed_run;");
    eventually("the others", async || {
        let running = database.number("SELECT COUNT(*) FROM asynctasks WHERE task_status <> 'Success'");
        (running == 0 && open() == 0).then_some(())
    })
    .await;
    gaia.stop().await.expect("stops");
    client.stop().await.expect("stops");
}
