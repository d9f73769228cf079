//! Databases of the version before segments: what they hold goes on, and their nodes get nothing more.

use std::{
    fs,
    path::{Path, PathBuf},
};

use gaia_actors::{
    Clock,
    prelude::*,
    store::{Claim, Store},
};

use crate::{
    adoption::working,
    support::{Database, Kind, THEME, ended, eventually, task},
};

/// The first migration that makes segments.
const SEGMENTS: &str = "2026-11-28-000008";
/// The one after which claims leave rows alone.
const UNSEEN: &str = "2026-11-28-000009";

fn migrations(database: &Database) -> PathBuf {
    let kind = match database.kind() {
        #[cfg(feature = "sqlite")]
        Kind::Sqlite => "sqlite",
        #[cfg(feature = "postgres")]
        Kind::Postgres => "postgres",
        #[cfg(feature = "mysql")]
        Kind::Mysql => "mysql",
    };
    Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(kind)
}

/// The statements of a migration, without the last semicolon.
fn sql(file: &Path) -> String {
    let sql = fs::read_to_string(file).expect("is there");
    // As the migrations have it replaced on MariaDB.
    let sql = sql.replace("{exact}", "utf8mb4_nopad_bin");
    sql.trim_end().trim_end_matches(';').to_owned()
}

/// The names of all migrations, in their order.
fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder)
        .expect("is there")
        .map(|entry| entry.expect("can be read").file_name());
    let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}

/// Takes the last migrations back, down to the one whose name begins so.
fn go_back(database: &Database, to: &str) {
    let folder = migrations(database);
    for name in names(&folder).iter().rev().filter(|name| name.as_str() >= to) {
        database.execute(&sql(&folder.join(name).join("down.sql")));
    }
}

/// Makes the tables as the version before had them.
fn make_old_tables(database: &Database) {
    let folder = migrations(database);
    database.execute("CREATE TABLE gaia_migrations (version VARCHAR(50) NOT NULL PRIMARY KEY)");
    for name in names(&folder).iter().filter(|name| name.as_str() < SEGMENTS) {
        let sql = sql(&folder.join(name).join("up.sql"));
        let version = name[..17].replace('-', "");
        database.execute(&format!(
            "{sql}; INSERT INTO gaia_migrations (version) VALUES ('{version}')"
        ));
    }
}

/// A row of each kind, and a node that runs one of them.
fn fill(database: &Database) {
    let (now, before) = (database.in_seconds(0), database.in_seconds(-60));
    database.execute(&format!(
        "INSERT INTO gaia_nodes (id, host, pid, version, started_at, heartbeat, beat, lease_ms, themes) \
           VALUES ('old', 'host', 1, '0', {now}, {now}, 1, 3600000, '[]'); \
         INSERT INTO asynctasks (service_name, method_name, task_name, system_name, task_status, priority, run_at, \
           unique_key, lease_owner, lease_token, log_id, finished_at, last_run_end_time) VALUES \
           ('Demo', 'Echo', 'waits', 'demo', 'Wait', 0, NULL, 'key', NULL, 0, NULL, NULL, NULL), \
           ('Demo', 'Echo', 'is urgent', 'demo', 'Retry', 9, NULL, NULL, NULL, 3, 'a-2', NULL, NULL), \
           ('Demo', 'Other', 'of another method', 'demo', 'Wait', 0, NULL, NULL, NULL, 0, NULL, NULL, NULL), \
           ('Demo', 'Echo', 'was scheduled', 'demo', 'Wait', 0, {before}, NULL, NULL, 0, NULL, NULL, NULL), \
           ('Demo', 'Echo', 'runs', 'demo', 'Running', 0, NULL, NULL, 'old', 4711, 'b-5', NULL, NULL), \
           ('Demo', 'Echo', 'has ended', 'demo', 'Success', 0, NULL, 'key', NULL, 7, 'c-6', {now}, {now})"
    ));
}

#[actix_rt::test]
async fn tasks_of_the_version_before_go_on() {
    let database = Database::fresh();
    make_old_tables(&database);
    fill(&database);
    go_on(&database).await;
}

/// There is a way back, and from there the way forward again.
#[actix_rt::test]
async fn the_version_before_can_come_back() {
    let database = Database::fresh();
    database
        .builder()
        .start()
        .await
        .expect("starts")
        .stop()
        .await
        .expect("stops");
    go_back(&database, SEGMENTS);
    fill(&database);
    go_on(&database).await;
}

/// Rows of the version before say who runs their tasks. Of what runs unseen nobody would know.
#[actix_rt::test]
async fn what_runs_unseen_waits_again_after_the_way_back() {
    let database = Database::fresh();
    let gaia = database.builder().start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let store = Store::connect(&database.url(), Clock::system()).await.expect("opens");
    let now = database.in_seconds(0);
    database.execute(&format!(
        "INSERT INTO gaia_nodes (id, host, pid, version, started_at, heartbeat, beat, lease_ms, themes, protocol) \
         VALUES ('a', 'host', 1, '0', {now}, {now}, 1, 3600000, '[]', 3)"
    ));
    let added = demo.add_tasks(vec![task("Echo"); 40]).await.expect("are added");
    let claim = Claim {
        theme: THEME.to_owned(),
        node: "a".to_owned(),
        limit: 30,
        first: Vec::new(),
        methods: None,
        above: None,
    };
    assert_eq!(store.tasks().claim(claim).await.expect("claims").tasks.len(), 30);
    drop(store);
    gaia.stop().await.expect("stops");
    go_back(&database, UNSEEN);
    let (gaia, demo) = working(&database).await;
    for added in added {
        assert_eq!(ended(&demo, added.id).await.status, TaskStatus::Success);
    }
    gaia.stop().await.expect("stops");
}

async fn go_on(database: &Database) {
    let (gaia, demo) = working(database).await;
    for id in [1, 2, 4, 5] {
        assert_eq!(ended(&demo, id).await.status, TaskStatus::Success, "{id}");
    }
    // The node of the version before is gone, and its run is a lost attempt.
    assert_eq!(demo.get_task_detail(5).await.expect("is there").retry_time, 1);
    let tokens = "SELECT MIN(lease_token) FROM asynctasks WHERE id IN (1, 2, 4, 5)";
    assert!(database.number(tokens) > 4_711);
    assert_eq!(
        demo.get_task_detail(3).await.expect("is there").status,
        TaskStatus::Wait
    );
    eventually("the other method in the list", async || {
        let unserved = demo.status().await.expect("answers").unserved;
        (unserved.len() == 1 && unserved[0].waiting == 1).then_some(())
    })
    .await;
    let added = demo.add_task(task("Echo").unique_key("key")).await.expect("is free");
    assert!(!added.duplicate);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_node_of_the_version_before_cannot_come_back() {
    let database = Database::fresh();
    make_old_tables(&database);
    fill(&database);
    database
        .builder()
        .start()
        .await
        .expect("starts")
        .stop()
        .await
        .expect("stops");
    assert_eq!(database.number("SELECT COUNT(*) FROM gaia_nodes WHERE id = 'old'"), 0);
    let now = database.in_seconds(0);
    let old = format!(
        "INSERT INTO gaia_nodes (id, host, pid, version, started_at, heartbeat, beat, lease_ms, themes, methods) \
         VALUES ('old again', 'host', 1, '0', {now}, {now}, 1, 3600000, '[]', '[]')"
    );
    assert_eq!(database.try_each("SELECT 1", &[old]), 0);
}
