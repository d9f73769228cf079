//! Adding a task inside the caller's own transaction.

use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection};
use gaia_actors::{async_fn, prelude::*};
use serde_json::Value;

use crate::support::{Database, Kind, PATIENCE, THEME, ended, options, refusal, task};

/// Runs the body with a connection of the application's, of whatever type the database has.
macro_rules! with_connection {
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
                $conn
                    .batch_execute("PRAGMA busy_timeout = 20000; BEGIN IMMEDIATE")
                    .await
                    .expect("begins");
                $body
            }
            #[cfg(feature = "postgres")]
            Kind::Postgres => {
                let conn = diesel_async::AsyncPgConnection::establish(&$database.url()).await;
                let $conn = &mut conn.expect("connects");
                $conn.batch_execute("BEGIN").await.expect("begins");
                $body
            }
            #[cfg(feature = "mysql")]
            Kind::Mysql => {
                let conn = diesel_async::AsyncMysqlConnection::establish(&$database.url()).await;
                let $conn = &mut conn.expect("connects");
                $conn.batch_execute("START TRANSACTION").await.expect("begins");
                $body
            }
        }
    };
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
    let added = with_connection!(database, |conn| {
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
    with_connection!(database, |conn| {
        demo.add_task_on(conn, task("Noop")).await.expect("is added");
        conn.batch_execute("ROLLBACK").await.expect("rolls back");
        let text = refusal(demo.add_task_on(conn, task("")).await);
        assert!(text.contains("method is empty"), "{text}");
    });
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctasks"), 0);
    gaia.stop().await.expect("stops");
}
