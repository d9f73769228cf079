//! Wake-ups across processes.

use std::time::Duration;

use gaia_actors::{async_fn, prelude::*};
use serde_json::Value;

use crate::support::{Database, Gate, Kind, THEME, ended, eventually, options, task};

/// A node that looks by itself once an hour, and a client that is another process to it.
async fn node_and_client(database: &Database, gate: &Gate) -> (Gaia, Gaia) {
    let node = database
        .builder()
        .handler("Demo", "Noop", async_fn(async |_, _: Value| Ok(())))
        .handler("Demo", "Gate", gate.handler())
        .scheduler(options().scan_interval(Duration::from_secs(3_600)))
        .start()
        .await
        .expect("starts");
    // It hears once its first look is over and it listens.
    eventually("the listener", async || {
        let listening =
            "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'";
        (database.number(listening) == 1).then_some(())
    })
    .await;
    (node, database.builder().start().await.expect("starts"))
}

#[actix_rt::test]
async fn work_of_every_kind_from_elsewhere_is_heard_of() {
    let database = Database::of_kind(Kind::Postgres);
    let gate = Gate::closed();
    let (node, client) = node_and_client(&database, &gate).await;
    let demo = client.scheduler(THEME).expect("is a theme");
    for _ in 0..20 {
        let id = demo.add_task(task("Noop")).await.expect("is added").id;
        assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    }
    // Debounced, and the last one is not forgotten.
    let burst = (0..200).map(|_| demo.add_task(task("Noop")));
    for added in futures_util::future::join_all(burst).await {
        ended(&demo, added.expect("is added").id).await;
    }
    // Plain SQL may say so, too.
    database.execute(
        "INSERT INTO asynctasks (service_name, method_name, task_name, system_name) VALUES ('Demo', 'Noop', 'x', 'demo'); \
         NOTIFY gaia_tasks, 'demo'",
    );
    eventually("the row of plain SQL", async || {
        let counts = demo.count_by_status().await.expect("counts");
        (counts[&TaskStatus::Success] == 221).then_some(())
    })
    .await;
    // Requests are heard, too: cancelling, and what follows from it.
    let id = demo.add_task(task("Gate")).await.expect("is added").id;
    gate.entered(1).await;
    demo.cancel_task(id).await.expect("runs");
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Cancelled);
    demo.retry_task(id).await.expect("is Cancelled");
    gate.entered(1).await;
    gate.let_pass(1);
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    client.stop().await.expect("stops");
    node.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_listener_that_was_cut_off_listens_again() {
    let database = Database::of_kind(Kind::Postgres);
    let (node, client) = node_and_client(&database, &Gate::closed()).await;
    let demo = client.scheduler(THEME).expect("is a theme");
    for _ in 0..3 {
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
        // Whatever was added while nobody listened is found when it listens again.
        let id = eventually("a connection", async || demo.add_task(task("Noop")).await.ok())
            .await
            .id;
        eventually("the run", async || {
            let task = demo.get_task_detail(id).await.ok()?;
            (task.status == TaskStatus::Success).then_some(())
        })
        .await;
    }
    client.stop().await.expect("stops");
    node.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_task_of_a_committed_transaction_is_heard_of_without_another_word() {
    use diesel_async::{AsyncConnection, SimpleAsyncConnection};
    let database = Database::of_kind(Kind::Postgres);
    let (node, client) = node_and_client(&database, &Gate::closed()).await;
    // On the node's own handle: nobody else would tell it.
    let demo = node.scheduler(THEME).expect("is a theme");
    let conn = diesel_async::AsyncPgConnection::establish(&database.url()).await;
    let mut conn = conn.expect("connects");
    conn.batch_execute("BEGIN").await.expect("begins");
    let added = demo.add_task_on(&mut conn, task("Noop")).await.expect("is added");
    conn.batch_execute("COMMIT").await.expect("commits");
    assert_eq!(ended(&demo, added.id).await.status, TaskStatus::Success);
    client.stop().await.expect("stops");
    node.stop().await.expect("stops");
}
