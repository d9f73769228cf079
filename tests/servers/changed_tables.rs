//! Charsets of a database that are not those of its tables, and tables that change while nodes work.

use gaia_actors::{TaskContext, async_fn, prelude::*};
use serde_json::Value;

use crate::support::{Database, Kind, THEME, ended, options, task};

const TEXT: &str = "报表 é 🎉";

async fn node(database: &Database) -> (Gaia, Scheduler) {
    let echo = async_fn(async |ctx: TaskContext, args: Value| {
        ctx.progress(50, TEXT);
        Ok(args)
    });
    let fail = async_fn(async |_, _: Value| Err::<(), _>(TaskError::Discard(TEXT.to_owned())));
    let gaia = database
        .builder()
        .handler("Demo", "Echo", echo)
        .handler("Demo", "Fail", fail)
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    (gaia, demo)
}

/// The texts of a statement must not pass through the charset or the collation of the database.
#[cfg(feature = "mysql")]
#[actix_rt::test]
async fn texts_keep_every_letter_whatever_the_database_has_for_a_charset() {
    for charset in [
        "CHARACTER SET latin1",
        "CHARACTER SET ascii",
        "CHARACTER SET utf8mb3",
        "CHARACTER SET utf16",
        "CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci",
    ] {
        let database = Database::of_kind(Kind::Mysql);
        database.execute(&format!("ALTER DATABASE {} {charset}", database.name()));
        let (gaia, demo) = node(&database).await;
        let echo = demo.add_task(task("Echo").args(&TEXT)).await.expect("is added").id;
        let fail = demo.add_task(task("Fail")).await.expect("is added").id;
        let (echo, fail) = (ended(&demo, echo).await, ended(&demo, fail).await);
        assert_eq!(echo.last_result, Some(format!("\"{TEXT}\"")), "{charset}");
        assert!(fail.last_error.is_some_and(|error| error.contains(TEXT)), "{charset}");
        assert!(echo.progress_note.is_none_or(|note| note == TEXT), "{charset}");
        let kept = format!(
            "SELECT COUNT(*) FROM asynctask_exec_row WHERE CONCAT(last_result, last_err_msg) LIKE '%{TEXT}%' \
             OR last_result LIKE '%{TEXT}%' OR last_err_msg LIKE '%{TEXT}%'"
        );
        assert_eq!(database.number(&kept), 2, "{charset}");
        gaia.stop().await.expect("stops");
    }
}

/// What the server calls outdated is prepared anew, and a column of another type is read.
#[cfg(feature = "postgres")]
#[actix_rt::test]
async fn tables_may_change_while_nodes_work() {
    let database = Database::of_kind(Kind::Postgres);
    let (gaia, demo) = node(&database).await;
    for change in [
        "SELECT 1",
        "ALTER TABLE asynctasks ALTER COLUMN max_retry_time TYPE BIGINT",
        "ALTER TABLE asynctasks ALTER COLUMN max_retry_time TYPE NUMERIC",
        "ALTER TABLE asynctasks ALTER COLUMN priority TYPE SMALLINT, ALTER COLUMN timeout_ms TYPE INTEGER",
        "ALTER TABLE asynctasks ALTER COLUMN run_at TYPE TIMESTAMPTZ",
        "ALTER TABLE asynctasks ALTER COLUMN service_name TYPE TEXT, ADD COLUMN theirs TEXT",
    ] {
        let before = demo.add_tasks(vec![task("Echo"); 50]).await.expect("are added");
        database.execute(change);
        let after = demo.add_tasks(vec![task("Echo"); 50]).await.expect("are added");
        for added in before.into_iter().chain(after) {
            assert_eq!(ended(&demo, added.id).await.status, TaskStatus::Success, "{change}");
        }
        demo.list_tasks(gaia_actors::messages::ListTasks::default())
            .await
            .expect("lists");
    }
    assert_eq!(demo.status().await.expect("runs here").database_errors, 0);
    gaia.stop().await.expect("stops");
}
