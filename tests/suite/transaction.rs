//! Adding a task inside the caller's own transaction.

use std::sync::Arc;

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection};
use gaia_actors::{async_fn, prelude::*};
use serde_json::Value;

#[cfg(feature = "mysql")]
use crate::support::of_driver;
use crate::support::{Database, Kind, PATIENCE, THEME, ended, options, refusal, task};

/// Runs the body with a connection of the application's, of whatever type the database has.
macro_rules! connected {
    ($database:expr, |$conn:ident| $body:expr) => {
        match $database.kind() {
            #[cfg(feature = "sqlite")]
            Kind::Sqlite => {
                type Connection =
                    diesel_async::sync_connection_wrapper::SyncConnectionWrapper<diesel::SqliteConnection>;
                let $conn = &mut Connection::establish(&$database.path().to_string_lossy())
                    .await
                    .expect("opens");
                // The actors write to the same file.
                $conn.batch_execute("PRAGMA busy_timeout = 20000").await.expect("waits");
                $body
            }
            #[cfg(feature = "postgres")]
            Kind::Postgres => {
                let conn = diesel_async::AsyncPgConnection::establish(&$database.url()).await;
                let $conn = &mut conn.expect("connects");
                $body
            }
            #[cfg(feature = "mysql")]
            Kind::Mysql => {
                let conn = diesel_async::AsyncMysqlConnection::establish(&of_driver(&$database.url())).await;
                let $conn = &mut conn.expect("connects");
                $body
            }
        }
    };
}

/// Runs the body within a transaction that the application has begun by a statement.
macro_rules! with_transaction {
    ($database:expr, |$conn:ident| $body:expr) => {
        connected!($database, |$conn| {
            $conn.batch_execute(begin($database.kind())).await.expect("begins");
            $body
        })
    };
}

fn begin(kind: Kind) -> &'static str {
    match kind {
        #[cfg(feature = "sqlite")]
        Kind::Sqlite => "BEGIN IMMEDIATE",
        #[cfg(feature = "postgres")]
        Kind::Postgres => "BEGIN",
        #[cfg(feature = "mysql")]
        Kind::Mysql => "BEGIN",
    }
}

const ORDERS: &str = "CREATE TABLE orders (id INTEGER PRIMARY KEY, amount INTEGER NOT NULL)";
const ORDER: &str = "INSERT INTO orders (id, amount) VALUES (1, 7)";

const NOOP: TaskDef<u32, ()> = TaskDef::new("Demo", "Noop").theme(THEME);

async fn shop(database: &Database) -> (Gaia, Scheduler) {
    let gaia = database
        .builder()
        .handler("Demo", "Noop", async_fn(async |_, _: Value| Ok(())))
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    database.execute(ORDERS);
    (gaia, demo)
}

#[actix_rt::test]
async fn a_task_exists_if_the_transaction_commits() {
    let database = Database::fresh();
    let (gaia, demo) = shop(&database).await;
    let added = with_transaction!(database, |conn| {
        diesel::sql_query(ORDER).execute(conn).await.expect("is inserted");
        let keyed = || task("Noop").unique_key("k");
        let added = demo.add_task_on(conn, keyed()).await.expect("is added");
        // Nobody sees it yet, not even the handle.
        let text = refusal(demo.get_task_detail(added.id).await);
        assert!(text.contains("has no task"), "{text}");
        // A duplicate does not spoil the transaction.
        let again = demo.add_task_on(conn, keyed()).await.expect("answers");
        assert_eq!((again.id, again.duplicate), (added.id, true));
        let typed = NOOP.task(&7).add_on(&gaia, conn).await.expect("is added");
        conn.batch_execute("COMMIT").await.expect("commits");
        typed.scheduler().task_quick_queue(typed.id);
        typed.wait(PATIENCE).await.expect("ends well");
        added
    });
    demo.task_quick_queue(added.id);
    assert_eq!(ended(&demo, added.id).await.status, TaskStatus::Success);
    assert_eq!(database.number("SELECT COUNT(*) FROM orders"), 1);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn no_task_exists_if_the_transaction_rolls_back() {
    let database = Database::fresh();
    let (gaia, demo) = shop(&database).await;
    with_transaction!(database, |conn| {
        demo.add_task_on(conn, task("Noop")).await.expect("is added");
        conn.batch_execute("ROLLBACK").await.expect("rolls back");
        let text = refusal(demo.add_task_on(conn, task("")).await);
        assert!(text.contains("method is empty"), "{text}");
    });
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctasks"), 0);
    gaia.stop().await.expect("stops");
}

/// An order and a task, by statements in a transaction.
macro_rules! placed {
    ($scheduler:expr, $conn:expr, $task:expr) => {{
        diesel::sql_query(ORDER).execute($conn).await?;
        Ok::<_, Error>($scheduler.add_task_on($conn, $task).await?.id)
    }};
}

#[actix_rt::test]
async fn the_error_of_the_crate_is_the_error_of_a_transaction() {
    let database = Database::fresh();
    let (gaia, demo) = shop(&database).await;
    connected!(database, |conn| {
        let bad = conn.transaction(async |conn| placed!(demo, conn, task(""))).await;
        assert!(matches!(bad, Err(Error::Invalid(_))), "{bad:?}");
        assert_eq!(database.number("SELECT COUNT(*) FROM orders"), 0);
        let good = conn.transaction(async |conn| placed!(demo, conn, task("Noop"))).await;
        let id = good.expect("is placed");
        // The order is there already.
        let twice = conn.transaction(async |conn| placed!(demo, conn, task("Noop"))).await;
        let Err(Error::Statement(DieselError::DatabaseError(kind, _))) = &twice else {
            panic!("{twice:?}");
        };
        assert!(matches!(kind, DatabaseErrorKind::UniqueViolation), "{kind:?}");
        demo.task_quick_queue(id);
        assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    });
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctasks"), 1);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_handler_adds_a_task_in_a_transaction_of_its_own() {
    let database = Arc::new(Database::fresh());
    let (gaia, demo) = shop(&database).await;
    let own = Arc::clone(&database);
    let place = async_fn(async move |ctx: TaskContext, method: String| {
        let further = ctx.scheduler(THEME)?;
        let added = connected!(own, |conn| {
            let answer = conn
                .transaction(async |conn| placed!(further, conn, task(&method)))
                .await;
            answer?
        });
        further.task_quick_queue(added);
        Ok(added)
    });
    gaia.registry().register("Demo", "Place", place).await.expect("is free");
    let bad = demo
        .add_task(task("Place").args(&"").max_retry(0))
        .await
        .expect("is added");
    let error = ended(&demo, bad.id).await.last_error.expect("has one");
    assert!(error.contains("method is empty"), "{error}");
    assert_eq!(database.number("SELECT COUNT(*) FROM orders"), 0);
    let good = demo
        .add_task(task("Place").args(&"Noop").max_retry(0))
        .await
        .expect("is added");
    let placed = ended(&demo, good.id).await.last_result.expect("has one");
    let further = placed.parse().expect("is an id");
    assert_eq!(ended(&demo, further).await.status, TaskStatus::Success);
    assert_eq!(database.number("SELECT COUNT(*) FROM orders"), 1);
    gaia.stop().await.expect("stops");
}
