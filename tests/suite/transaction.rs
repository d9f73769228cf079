//! Adding a task inside the caller's own transaction.

use diesel::{SqliteConnection, result::Error::RollbackTransaction};
use diesel_async::{
    AsyncConnection, RunQueryDsl, SimpleAsyncConnection, sync_connection_wrapper::SyncConnectionWrapper,
};
use gaia_actors::{async_fn, prelude::*};
use serde_json::Value;

use crate::support::{Database, THEME, ended, options, refusal, task};

type Connection = SyncConnectionWrapper<SqliteConnection>;

async fn shop(database: &Database) -> (Gaia, Scheduler, Connection) {
    let gaia = database
        .builder()
        .handler("Demo", "Noop", async_fn(async |_, _: Value| Ok(())))
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, amount INTEGER NOT NULL)");
    let mut conn = Connection::establish(&database.path().to_string_lossy())
        .await
        .expect("opens");
    // The actors write to the same file.
    conn.batch_execute("PRAGMA busy_timeout = 20000").await.expect("is set");
    (gaia, demo, conn)
}

#[actix_rt::test]
async fn a_task_exists_if_the_transaction_commits() {
    let database = Database::fresh();
    let (gaia, demo, mut conn) = shop(&database).await;
    let added = conn
        .immediate_transaction(async |conn| {
            let insert = "INSERT INTO orders (amount) VALUES (7)";
            diesel::sql_query(insert).execute(conn).await?;
            let added = demo.add_task_on(conn, task("Noop").unique_key("k")).await;
            let added = added.map_err(|_| RollbackTransaction)?;
            // Nobody sees it yet, not even the handle.
            let text = refusal(demo.get_task_detail(added.id).await);
            assert!(text.contains("has no task"), "{text}");
            // A duplicate does not spoil the transaction.
            let again = demo.add_task_on(conn, task("Noop").unique_key("k")).await;
            assert!(again.map_err(|_| RollbackTransaction)?.duplicate);
            Ok::<_, diesel::result::Error>(added)
        })
        .await
        .expect("commits");
    demo.task_quick_queue(added.id);
    assert_eq!(ended(&demo, added.id).await.status, TaskStatus::Success);
    assert_eq!(database.number("SELECT COUNT(*) FROM orders"), 1);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn no_task_exists_if_the_transaction_rolls_back() {
    let database = Database::fresh();
    let (gaia, demo, mut conn) = shop(&database).await;
    let rolled_back = conn
        .immediate_transaction(async |conn| {
            let added = demo.add_task_on(conn, task("Noop")).await;
            assert!(added.is_ok(), "{added:?}");
            Err::<(), _>(RollbackTransaction)
        })
        .await;
    assert!(rolled_back.is_err());
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctasks"), 0);

    let text = refusal(demo.add_task_on(&mut conn, task("")).await);
    assert!(text.contains("method is empty"), "{text}");
    gaia.stop().await.expect("stops");
}
