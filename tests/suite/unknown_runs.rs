//! Tasks that are Running under a living node which runs none of them.

use std::time::Duration;

use gaia_actors::{async_fn, prelude::*};
use serde_json::Value;

use crate::support::{Database, THEME, ended, eventually, options, task};

/// A node that beats often.
async fn node(database: &Database) -> (Gaia, Scheduler) {
    let gaia = database
        .builder()
        .lease(Duration::from_secs(2))
        .handler("Demo", "Noop", async_fn(async |_, _: Value| Ok(())))
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    (gaia, demo)
}

/// A standby that was promoted behind its primary, a backup, a commit that a crash has undone: the row is as it was while its
/// task ran, but the run has ended.
#[actix_rt::test]
async fn tasks_of_an_older_state_are_given_back() {
    let database = Database::fresh();
    let (gaia, demo) = node(&database).await;
    let node = gaia.node_id();
    for (max_retry, set_back, status, records) in [
        (3, "began = 0", TaskStatus::Success, 2),
        (3, "log_id = NULL", TaskStatus::Success, 2),
        (0, "began = 0", TaskStatus::Success, 2),
        // Its handler may have been called, and must not be called again.
        (0, "began = 1", TaskStatus::Failed, 2),
    ] {
        let id = demo
            .add_task(task("Noop").max_retry(max_retry))
            .await
            .expect("is added")
            .id;
        assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
        database.execute(&format!(
            "UPDATE asynctasks SET task_status = 'Running', lease_owner = '{node}', finished_at = NULL, {set_back} WHERE id = {id}"
        ));
        let again = ended(&demo, id).await;
        assert_eq!((again.status, again.retry_time), (status, 0), "{set_back}");
        let error = again.last_error.unwrap_or_default();
        assert_eq!(
            error.contains("knew of no run of it"),
            status == TaskStatus::Failed,
            "{error}"
        );
        let count = database.number(&format!("SELECT COUNT(*) FROM asynctask_exec_row WHERE task_id = {id}"));
        assert_eq!(count, records, "{set_back}");
    }
    gaia.stop().await.expect("stops");
}

/// A task is claimed by its insert where a worker is free; a caller that gives up hears nothing of that.
#[actix_rt::test]
async fn an_add_that_its_caller_gives_up_leaves_no_task_running() {
    let database = Database::fresh();
    let (gaia, demo) = node(&database).await;
    for patience in (0..300).map(|step| Duration::from_micros(20 * step)) {
        // Whether it is added, nobody knows.
        let _ = tokio::time::timeout(patience, demo.add_task(task("Noop"))).await;
    }
    demo.add_task(task("Noop")).await.expect("is added");
    eventually("the end of all", async || {
        let open = database.number("SELECT COUNT(*) FROM asynctasks WHERE task_status <> 'Success'");
        (open == 0).then_some(())
    })
    .await;
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_claim_that_is_refused_takes_nothing() {
    let database = Database::fresh();
    let (gaia, demo) = node(&database).await;
    demo.pause().await.expect("pauses");
    let good = demo.add_task(task("Noop")).await.expect("is added").id;
    let other = demo.add_task(task("Noop")).await.expect("is added").id;
    database.refuse("gaia_claims", "bad", "@node_id IS NOT NULL");
    demo.resume().await.expect("resumes");
    let mut errors = 0;
    for _ in 0..5 {
        demo.task_quick_queue(good);
        errors = eventually("a refusal", async || {
            let now = demo.status().await.expect("answers").database_errors;
            (now > errors).then_some(now)
        })
        .await;
        assert_eq!(demo.count_by_status().await.expect("counts")[&TaskStatus::Running], 0);
    }
    database.allow("gaia_claims", "bad");
    for id in [good, other] {
        assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    }
    gaia.stop().await.expect("stops");
}
