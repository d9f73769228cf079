//! The helpers for tests of applications.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::{FutureExt, future::LocalBoxFuture};
use gaia_actors::{
    GaiaBuilder, async_fn,
    prelude::*,
    testing::{TestContext, TestGaia},
};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::support::{Database, Kind, THEME, task};

/// On MySQL the databases of all tests are in one list, in which each of these tests looks for its own.
static TURN: Mutex<()> = Mutex::const_new(());

fn builder() -> GaiaBuilder {
    Gaia::builder()
        .arbiters(1)
        .handler("Demo", "Noop", async_fn(async |_, _: Value| Ok(())))
        .scheduler(SchedulerOptions::new(THEME))
}

/// Adds a task and lets it run.
async fn runs_a_task(test: &TestGaia) {
    let demo = test.scheduler(THEME).expect("is a theme");
    let order = task("Noop").args(&json!({ "order": 17, "amount": 3 }));
    demo.add_task(order).await.expect("is added");
    test.advance(Duration::from_secs(1));
    assert_eq!(test.drain(THEME).await[&TaskStatus::Success], 1);
    test.refute_enqueued(THEME, "Demo", "Noop").await;
}

/// How many schemas or databases of tests there are.
fn scratches(database: &Database) -> i64 {
    let list = match database.kind() {
        #[cfg(feature = "sqlite")]
        Kind::Sqlite => "sqlite_schema WHERE 1 = 0",
        #[cfg(feature = "postgres")]
        Kind::Postgres => "pg_namespace WHERE nspname LIKE 'gaia!_actors!_scratch!_%' ESCAPE '!'",
        #[cfg(feature = "mysql")]
        Kind::Mysql => "information_schema.schemata WHERE schema_name LIKE 'gaia!_actors!_scratch!_%' ESCAPE '!'",
    };
    database.number(&format!("SELECT COUNT(*) FROM {list}"))
}

/// What a test that was killed so long ago has left.
fn leave(database: &Database, seconds: i64) {
    let at = chrono::Utc::now().timestamp() - seconds;
    let [what, columns] = match database.kind() {
        // It counts for nothing there.
        #[cfg(feature = "sqlite")]
        Kind::Sqlite => ["TABLE", " (one INTEGER)"],
        #[cfg(feature = "postgres")]
        Kind::Postgres => ["SCHEMA", ""],
        #[cfg(feature = "mysql")]
        Kind::Mysql => ["DATABASE", ""],
    };
    database.execute(&format!("CREATE {what} gaia_actors_scratch_{at}_0123456789ab{columns}"));
}

#[actix_rt::test]
async fn each_test_has_a_database_of_its_own_which_is_gone_afterwards() {
    let _turn = TURN.lock().await;
    let database = Database::fresh();
    let url = || {
        if database.is_on_a_server() {
            database.url()
        } else {
            "sqlite::memory:".to_owned()
        }
    };
    let own = i64::from(database.is_on_a_server());
    leave(&database, 25 * 60 * 60);
    let before = scratches(&database) - own;

    let first = TestGaia::start_in(url(), builder()).await.expect("starts");
    assert_eq!(scratches(&database), before + own, "what was left is dropped");
    let second = TestGaia::start_in(url(), builder()).await.expect("starts");
    assert_eq!(scratches(&database), before + 2 * own);
    runs_a_task(&first).await;
    runs_a_task(&second).await;

    let clone = first.clone();
    drop(first);
    assert_eq!(clone.drain(THEME).await[&TaskStatus::Success], 1);
    drop(clone);
    assert_eq!(scratches(&database), before + own);

    let panics = actix_rt::spawn(async move {
        let _second = second;
        panic!("on purpose");
    });
    assert!(panics.await.expect_err("panics").is_panic());
    assert_eq!(scratches(&database), before);

    let refused = TestGaia::start_in(url(), Gaia::builder().scheduler(SchedulerOptions::new(""))).await;
    assert!(refused.is_err());
    assert_eq!(scratches(&database), before, "a start that fails leaves nothing");
}

/// Runs itself in a second process, whose environment names the database.
#[actix_rt::test]
async fn the_environment_names_the_database_of_tests() {
    const VARIABLE: &str = "GAIA_TEST_DATABASE_URL";
    if std::env::var(VARIABLE).is_ok() {
        let test = TestGaia::start(builder()).await.expect("starts");
        return runs_a_task(&test).await;
    }
    let _turn = TURN.lock().await;
    let database = Database::fresh();
    let before = scratches(&database);
    let program = std::env::current_exe().expect("is known");
    let ran = std::process::Command::new(program)
        .args(["--exact", "testing::the_environment_names_the_database_of_tests"])
        .env(VARIABLE, database.url())
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
    assert_eq!(scratches(&database), before);
    #[cfg(feature = "sqlite")]
    if database.kind() == Kind::Sqlite {
        assert_eq!(database.number("SELECT COUNT(*) FROM asynctasks"), 1);
    }
}

struct Pages(u8);

async fn export(ctx: TaskContext, pages: u8) -> Result<String, TaskError> {
    for page in 1..=pages {
        actix_rt::task::yield_now().await;
        if ctx.is_cancelled() {
            return Err(TaskError::failed("stopped"));
        }
        ctx.progress(100 / pages * page, format!("page {page}"));
    }
    let left = ctx.time_left().map(|left| left.as_secs());
    Ok(format!(
        "{} {} {}/{} {left:?}",
        ctx.theme(),
        ctx.id(),
        ctx.attempt(),
        ctx.max_attempts()
    ))
}

#[actix_rt::test]
async fn a_handler_is_called_alone() {
    let plain = TestContext::new();
    assert_eq!(export(plain.context(), 0).await.expect("is well"), "test 1 1/4 None");
    assert!(plain.context().data::<Pages>().is_err());
    let context = TestContext::new()
        .theme("reports")
        .id(17)
        .data(Pages(1))
        .data(Pages(2))
        .attempts(3, 5)
        .time_left(Duration::from_secs(60));
    assert_eq!(context.context().data::<Pages>().expect("is there").0, 2);
    assert_eq!(
        export(context.context(), 2).await.expect("is well"),
        "reports 17 3/5 Some(60)"
    );
    let expected = [(50, "page 1".to_owned()), (100, "page 2".to_owned())];
    assert_eq!(context.progress(), expected);

    let asked = context.context();
    context.cancel();
    asked.cancelled().await;
    assert!(export(context.context(), 2).await.is_err());
    assert_eq!(context.progress().len(), 2);
}

const EXPORT: TaskDef<u8, String> = TaskDef::new("Reports", "Export").theme("reports");

#[actix_rt::test]
async fn tasks_of_a_definition_are_found_with_their_arguments() {
    let database = Database::fresh();
    let test = TestGaia::start_on(database.url(), Gaia::builder())
        .await
        .expect("starts");
    test.refute_enqueued_of(EXPORT).await;
    for pages in [3, 5] {
        EXPORT.add(&test, &pages).await.expect("is added");
    }
    let elsewhere = EXPORT.task(&7).theme("other");
    elsewhere.add(&test).await.expect("is added");
    assert_eq!(test.enqueued_of(EXPORT).await, [5, 3]);
    assert_eq!(test.assert_enqueued_of(EXPORT, &3).await.arg, "3");

    let panics = async |asked: LocalBoxFuture<'_, ()>| {
        let panicked = AssertUnwindSafe(asked).catch_unwind().await.expect_err("panics");
        panicked.downcast_ref::<String>().expect("is a text").clone()
    };
    let missing = panics(async { drop(test.assert_enqueued_of(EXPORT, &7).await) }.boxed_local()).await;
    assert!(
        missing.contains(r#"theme "reports" calls Reports.Export with 7"#),
        "{missing}"
    );
    let there = panics(test.refute_enqueued_of(EXPORT).boxed_local()).await;
    assert!(there.contains("expected no unfinished task"), "{there}");
    let reports = test.scheduler("reports").expect("is a theme");
    let text = NewTask::new("Reports", "Export").args(&"all");
    let id = reports.add_task(text).await.expect("is added").id;
    let unfit = panics(async { drop(test.enqueued_of(EXPORT).await) }.boxed_local()).await;
    assert!(unfit.contains(&format!("task {id} ")), "{unfit}");
    test.stop().await.expect("stops");
}
