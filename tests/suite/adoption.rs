//! Databases that were there before us, and rows that others write.

use gaia_actors::{async_fn, prelude::*, store::Store};
use serde_json::Value;

use crate::support::{Database, THEME, ended, eventually, options, refusal, task};

pub async fn working(database: &Database) -> (Gaia, Scheduler) {
    let gaia = database
        .builder()
        .handler("Demo", "Echo", async_fn(async |_, args: Value| Ok(args)))
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    (gaia, demo)
}

#[actix_rt::test]
async fn rows_of_plain_sql_with_only_the_guides_columns_are_executed() {
    let database = Database::fresh();
    let (gaia, demo) = working(&database).await;
    let soon = database.in_seconds(1);
    database.execute(&format!(
        "INSERT INTO asynctasks (service_name, method_name, task_name, system_name) VALUES ('Demo', 'Echo', 'no arg', 'demo');
         INSERT INTO asynctasks (service_name, method_name, task_name, arg, system_name) VALUES ('Demo', 'Echo', 'empty', '', 'demo');
         INSERT INTO asynctasks (service_name, method_name, task_name, arg, system_name, max_retry_time, retry_time)
           VALUES ('Demo', 'Echo', 'nulls', '\"x\"', 'demo', NULL, NULL);
         INSERT INTO asynctasks (service_name, method_name, task_name, arg, system_name, max_retry_time)
           VALUES ('Demo', 'Echo', 'not JSON', '{{oops', 'demo', -5);
         INSERT INTO asynctasks (service_name, method_name, task_name, arg, system_name, task_status)
           VALUES ('Demo', 'Echo', 'odd', '1', 'demo', 'Sleeping');
         INSERT INTO asynctasks (service_name, method_name, task_name, arg, system_name, run_at)
           VALUES ('Demo', 'Echo', 'due', '2', 'demo', {soon});"
    ));
    let results = ["null", "null", "\"x\""];
    for (id, result) in (1..).zip(results) {
        assert_eq!(ended(&demo, id).await.last_result.as_deref(), Some(result));
    }
    let bad = ended(&demo, 4).await;
    assert_eq!(bad.status, TaskStatus::Failed);
    assert!(bad.last_error.expect("has one").starts_with("PARAM_ERROR"));
    assert_eq!(
        database.number("SELECT COUNT(*) FROM asynctasks WHERE task_status = 'Sleeping'"),
        1
    );
    assert_eq!(ended(&demo, 6).await.status, TaskStatus::Success);
    // A status that is nobody's counts as Failed: people may retry it.
    demo.retry_task(5).await.expect("is as good as Failed");
    assert_eq!(ended(&demo, 5).await.status, TaskStatus::Success);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_row_that_plain_sql_puts_back_to_wait_runs_again() {
    let database = Database::fresh();
    let (gaia, demo) = working(&database).await;
    let id = demo.add_task(task("Echo")).await.expect("is added").id;
    ended(&demo, id).await;
    database.execute("UPDATE asynctasks SET task_status = 'Wait', retry_time = 0");
    eventually("a second run", async || {
        let page = demo
            .get_task_exec_records(id, PageRequest::default())
            .await
            .expect("lists");
        (page.total == 2).then_some(())
    })
    .await;
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn processes_that_start_together_migrate_once() {
    let database = Database::fresh();
    let starts = (0..8).map(|_| {
        let url = database.url();
        std::thread::spawn(move || {
            actix_rt::System::new().block_on(async {
                let store = Store::connect(&url, gaia_actors::Clock::system()).await?;
                store.migrate().await?;
                store.check_schema().await
            })
        })
    });
    for start in starts.collect::<Vec<_>>() {
        start.join().expect("joins").expect("migrates");
    }
}

#[actix_rt::test]
async fn a_schema_that_is_missing_or_too_new_is_refused() {
    let database = Database::fresh();
    let text = refusal(database.builder().migrate(false).start().await);
    assert!(text.contains(&database.kind().lacks_all()), "{text}");
    assert!(text.contains("Store::migrate"), "{text}");

    database
        .builder()
        .start()
        .await
        .expect("starts")
        .stop()
        .await
        .expect("stops");
    database
        .builder()
        .migrate(false)
        .start()
        .await
        .expect("starts")
        .stop()
        .await
        .expect("stops");

    database.execute("INSERT INTO gaia_migrations (version) VALUES ('29990101000000')");
    for migrate in [true, false] {
        let text = refusal(database.builder().migrate(migrate).start().await);
        assert!(
            text.contains("migrated by a newer version of gaia-actors (it has 29990101000000)"),
            "{text}"
        );
    }
}

#[actix_rt::test]
async fn themes_share_the_tables_and_nothing_else() {
    let database = Database::fresh();
    let (gaia, demo) = working(&database).await;
    let other = gaia.scheduler("other").expect("is a theme");
    let theirs = other.add_task(task("Echo")).await.expect("is added").id;
    let ours = demo.add_task(task("Echo")).await.expect("is added").id;
    ended(&demo, ours).await;
    assert_eq!(
        other.get_task_detail(theirs).await.expect("is there").status,
        TaskStatus::Wait
    );
    assert_eq!(
        gaia.all_scheduler_status()
            .await
            .expect("runs here")
            .keys()
            .collect::<Vec<_>>(),
        [THEME]
    );
    gaia.stop().await.expect("stops");
}
