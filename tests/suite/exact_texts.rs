//! Texts that differ by case or by a blank at their end are two texts, on each database.

use std::time::Duration;

use gaia_actors::{async_fn, messages::ListJobs, prelude::*};
use serde_json::Value;

use crate::support::{Database, ended, options, task};

#[actix_rt::test]
async fn themes_keys_statuses_and_names_differ_by_every_letter() {
    let database = Database::fresh();
    let gaia = database
        .builder()
        .handler("Demo", "Echo", async_fn(async |_, args: Value| Ok(args)))
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let theme = |name: &str| gaia.scheduler(name).expect("is a theme");
    let demo = theme("demo");
    let mut others = Vec::new();
    for name in ["demo ", "Demo", "dém\u{f6}"] {
        let other = theme(name);
        others.push((other.add_task(task("Echo")).await.expect("is added").id, other));
    }
    let keys = theme("keys");
    let keyed = |key: &str| keys.add_task(task("Echo").unique_key(key));
    for key in ["k", "k ", "K"] {
        assert!(!keyed(key).await.expect("is added").duplicate, "{key:?}");
        assert!(keyed(key).await.expect("is added").duplicate, "{key:?}");
    }
    database.execute(
        "INSERT INTO asynctasks (service_name, method_name, task_name, system_name, task_status) \
         VALUES ('Demo', 'Echo', 'odd', 'demo', 'Wait '), ('Demo', 'Echo', 'odd', 'demo', 'wait')",
    );
    let good = demo.add_tasks(vec![task("Echo")]).await.expect("is added")[0].id;
    assert_eq!(ended(&demo, good).await.status, TaskStatus::Success);
    actix_rt::time::sleep(Duration::from_millis(500)).await;
    // What is not said exactly is nobody's work.
    for (id, other) in others {
        assert_eq!(
            other.get_task_detail(id).await.expect("is there").status,
            TaskStatus::Wait
        );
    }
    let odd = "SELECT COUNT(*) FROM asynctasks WHERE task_name = 'odd' AND lease_token = 0";
    assert_eq!(database.number(odd), 2);
    let counts = demo.count_by_status().await.expect("counts");
    assert_eq!((counts[&TaskStatus::Wait], counts[&TaskStatus::Failed]), (0, 2));

    let jobs = gaia.jobs();
    for name in ["report", "Report", "report "] {
        let job = NewJob::cron_job(name, "0 0 1 1 *", "Demo", "Echo");
        jobs.add_job(job.clone()).await.expect("is added");
        jobs.add_job(job).await.expect_err("has the name");
    }
    assert_eq!(jobs.list_jobs(ListJobs::default()).await.expect("lists").total, 3);
    gaia.stop().await.expect("stops");
}
