//! Connections that end while nothing uses them, grow old, or are not needed any more.

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use futures_util::future::join_all;
use gaia_actors::prelude::*;

use crate::{
    access::{PASSWORD, as_user, drop_user, without_create},
    kinds,
    private::Private,
    proxy::Proxy,
    support::{Database, Kind, THEME, eventually, example, number, task},
};

/// A client that asks for nothing by itself.
async fn quiet(url: &str) -> Gaia {
    let lease = Duration::from_secs(3_600);
    let gaia = Gaia::builder().database(url).arbiters(1).lease(lease).retention(None);
    gaia.start().await.expect("starts")
}

/// Each on a connection of its own, if there are so many: tasks with a key do not share inserts.
pub async fn add_at_once(demo: &Scheduler, round: &str, count: usize) {
    let adds = (0..count).map(|at| demo.add_task(task("Noop").unique_key(format!("{round} {at}"))));
    for added in join_all(adds).await {
        added.expect("is added at the first try");
    }
}

/// Connections of others than whoever asks.
pub fn of_others(kind: Kind) -> &'static str {
    match kind {
        #[cfg(feature = "sqlite")]
        Kind::Sqlite => panic!("a file has no connections"),
        #[cfg(feature = "postgres")]
        Kind::Postgres => {
            "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
             AND application_name = 'gaia-actors'"
        }
        #[cfg(feature = "mysql")]
        Kind::Mysql => "FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()",
    }
}

/// A server that ends what is idle for two seconds.
fn impatient(kind: Kind) -> Private {
    let option = match kind {
        #[cfg(feature = "sqlite")]
        Kind::Sqlite => panic!("a file has no server"),
        #[cfg(feature = "postgres")]
        Kind::Postgres => "-cidle_session_timeout=2s",
        #[cfg(feature = "mysql")]
        Kind::Mysql => "--wait-timeout=2",
    };
    Private::server(kind, &["--", option])
}

#[actix_rt::test]
async fn what_a_server_has_ended_for_its_idleness_is_not_used() {
    for kind in kinds() {
        let server = impatient(kind);
        let gaia = quiet(&server.url).await;
        let demo = gaia.scheduler(THEME).expect("is a theme");
        for round in ["first", "second", "third"] {
            add_at_once(&demo, round, 5).await;
            eventually("the server ends them", async || {
                let count = format!("SELECT COUNT(*) {}", of_others(kind));
                (number(kind, &server.url, &count) == 0).then_some(())
            })
            .await;
        }
        gaia.stop().await.expect("stops");
    }
}

/// A node whose beats are further apart than the server's limit, and which looks for tasks as seldom.
#[actix_rt::test]
async fn a_node_that_is_idle_for_longer_than_its_server_likes_works_on() {
    for kind in kinds() {
        let server = impatient(kind);
        quiet(&server.url).await.stop().await.expect("stops");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log = folder.path().join("log");
        let mut node = Command::new(example("node"))
            .env("DATABASE_URL", &server.url)
            .env("GAIA__NODE__LEASE", "10")
            .env("GAIA__ASYNCTASK__SCANTASKINTERVAL", "2.5")
            .env("RUST_LOG", "error")
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).expect("is made"))
            .spawn()
            .expect("starts");
        eventually("four beats", async || {
            let beats = number(kind, &server.url, "SELECT COALESCE(MAX(beat), 0) FROM gaia_nodes");
            (beats >= 4).then_some(())
        })
        .await;
        node.kill().expect("is ours");
        node.wait().expect("ends");
        let text = fs::read_to_string(&log).expect("is text");
        assert_eq!(text, "", "{kind:?}");
    }
}

/// A firewall has forgotten them: nothing arrives, and nothing says so.
#[actix_rt::test]
async fn connections_that_were_forgotten_on_the_way_are_not_used() {
    for kind in kinds() {
        let database = Database::of_kind(kind);
        let proxy = Proxy::start(&database.url(), || <[u8]>::to_vec);
        let gaia = quiet(&format!("{}?connect_timeout=3000", proxy.url)).await;
        let demo = gaia.scheduler(THEME).expect("is a theme");
        add_at_once(&demo, "before", 5).await;
        proxy.forget_all();
        // Long enough to be in doubt.
        actix_rt::time::sleep(Duration::from_millis(1_100)).await;
        add_at_once(&demo, "after", 5).await;
        gaia.stop().await.expect("stops");
    }
}

#[actix_rt::test]
async fn a_process_with_nothing_to_do_keeps_few_connections() {
    for kind in kinds() {
        let database = Database::of_kind(kind);
        let url = database.url_with("idle_timeout=1s");
        let gaia = Gaia::builder()
            .database(url)
            .lease(Duration::from_secs(2))
            .start()
            .await;
        let gaia = gaia.expect("starts");
        let demo = gaia.scheduler(THEME).expect("is a theme");
        add_at_once(&demo, "many", 50).await;
        let open = format!("SELECT COUNT(*) {}", of_others(kind));
        assert!(database.number(&open) > 5, "{kind:?}: the adds took turns");
        // One for work, one for heartbeats, and on PostgreSQL one that listens.
        let few = if open.contains("pg_stat") { 3 } else { 2 };
        eventually("few connections", async || {
            (database.number(&open) == few).then_some(())
        })
        .await;
        add_at_once(&demo, "again", 50).await;
        gaia.stop().await.expect("stops");
    }
}

#[actix_rt::test]
async fn connections_are_replaced_when_they_are_old_and_kept_while_there_are_no_others() {
    for kind in kinds() {
        let database = Database::of_kind(kind);
        quiet(&database.url()).await.stop().await.expect("stops");
        let user = without_create(&database);
        let url = as_user(&database.url(), &user, PASSWORD);
        let gaia = quiet(&format!("{url}?pool_size=1&max_lifetime=300ms")).await;
        let demo = gaia.scheduler(THEME).expect("is a theme");
        let id = if of_others(kind).contains("pg_stat") {
            "pid"
        } else {
            "id"
        };
        let sum = format!("SELECT SUM({id}) {}", of_others(kind));
        let first = database.number(&sum);
        eventually("another connection", async || {
            add_at_once(&demo, &fastrand::u64(..).to_string(), 1).await;
            (database.number(&sum) != first).then_some(())
        })
        .await;
        limit(&database, &user, 2);
        for round in 0..20 {
            actix_rt::time::sleep(Duration::from_millis(50)).await;
            add_at_once(&demo, &format!("old {round}"), 1).await;
        }
        gaia.stop().await.expect("stops");
        drop_user(&database, &user);
    }
}

/// The server gives this user no more connections than that.
pub fn limit(database: &Database, user: &str, connections: usize) {
    let sql = match database.kind() {
        #[cfg(feature = "sqlite")]
        Kind::Sqlite => panic!("a file has no users"),
        #[cfg(feature = "postgres")]
        Kind::Postgres => format!("ALTER ROLE {user} CONNECTION LIMIT {connections}"),
        #[cfg(feature = "mysql")]
        Kind::Mysql => format!("ALTER USER {user} WITH MAX_USER_CONNECTIONS {connections}"),
    };
    database.execute(&sql);
}
