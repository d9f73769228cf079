//! What stands between a node and PostgreSQL and shares its connections.

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use gaia_actors::{async_fn, prelude::*};
use serde_json::Value;

use crate::{
    private::Private,
    proxy::Proxy,
    support::{Database, Gate, Kind, THEME, ended, eventually, example, named, options, refusal, task},
};

/// Lets pass all that a server sends but notifications, as a pooler does that has given the session to another client.
fn without_notifications() -> impl FnMut(&[u8]) -> Vec<u8> + Send + 'static {
    let mut rest = Vec::new();
    move |sent| {
        rest.extend_from_slice(sent);
        let mut passes = Vec::new();
        // A message has a letter and a length, which counts itself.
        while let Some(&[_, a, b, c, d]) = rest.first_chunk() {
            let length = 1 + usize::try_from(u32::from_be_bytes([a, b, c, d])).expect("fits");
            if rest.len() < length {
                break;
            }
            let message: Vec<u8> = rest.drain(..length).collect();
            if message[0] != b'A' {
                passes.extend(message);
            }
        }
        passes
    }
}

fn deaf(database: &Database) -> (Proxy, String) {
    let proxy = Proxy::start(&database.url(), without_notifications);
    let url = format!("{}?sslmode=disable", proxy.url);
    (proxy, url)
}

#[actix_rt::test]
async fn a_node_that_hears_nothing_looks_as_on_other_databases() {
    let database = Database::of_kind(Kind::Postgres);
    let (_proxy, url) = deaf(&database);
    let gate = Gate::closed();
    let node = Gaia::builder()
        .database(url)
        .handler("Demo", "Gate", gate.handler())
        .scheduler(options().scan_interval(Duration::from_secs(3_600)))
        .start()
        .await
        .expect("starts");
    let client = database.builder().start().await.expect("starts");
    let (here, elsewhere) = (node.scheduler(THEME), client.scheduler(THEME));
    let first = here
        .expect("is a theme")
        .add_task(task("Gate"))
        .await
        .expect("is added");
    gate.entered(1).await;
    gate.let_pass(1);
    let elsewhere = elsewhere.expect("is a theme");
    assert_eq!(ended(&elsewhere, first.id).await.status, TaskStatus::Success);
    // There was work: the node looks soon, and more seldom as long as there is none.
    let second = elsewhere.add_task(task("Gate")).await.expect("is added");
    gate.entered(1).await;
    gate.let_pass(1);
    assert_eq!(ended(&elsewhere, second.id).await.status, TaskStatus::Success);
    client.stop().await.expect("stops");
    node.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_node_that_hears_nothing_says_so_once() {
    let database = Database::of_kind(Kind::Postgres);
    let (_proxy, url) = deaf(&database);
    let log = database.file("log");
    let mut node = Command::new(example("node"))
        .env("DATABASE_URL", url)
        .env("RUST_LOG", "gaia_actors=debug")
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log).expect("is made"))
        .spawn()
        .expect("starts");
    let told = "connection pooler in between";
    let text = eventually("a word of it", async || {
        let text = fs::read_to_string(&log).expect("is text");
        text.contains(told).then_some(text)
    })
    .await;
    node.kill().expect("is ours");
    node.wait().expect("ends");
    let line = text.lines().find(|line| line.contains(told)).expect("is there");
    assert!(line.contains("WARN") && line.contains("found by looking"), "{line}");
    // It does not come back every few seconds.
    assert!(
        line.contains("try again in 2") || line.contains("try again in 1"),
        "{line}"
    );
    assert_eq!(text.matches(told).count(), 1, "{text}");
}

/// Through a PgBouncer of its own to this database.
fn pooled(database: &Database, settings: &[&str]) -> (Private, String) {
    let pooler = Private::pooler(&Kind::Postgres.admin_url(), settings);
    let url = named(&pooler.url, database.name());
    (pooler, url)
}

#[actix_rt::test]
async fn behind_a_pooler_of_sessions_everything_works() {
    let database = Database::of_kind(Kind::Postgres);
    let (_pooler, url) = pooled(&database, &["pool_mode=session"]);
    let url = format!("{url}?pool_size=3");
    let node = Gaia::builder()
        .database(&url)
        .handler("Demo", "Noop", async_fn(async |_, _: Value| Ok(())))
        .scheduler(options().scan_interval(Duration::from_secs(3_600)))
        .start()
        .await
        .expect("starts");
    let listening = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'";
    eventually("the listener", async || (database.number(listening) == 1).then_some(())).await;
    let client = Gaia::builder().database(&url).start().await.expect("starts");
    let demo = client.scheduler(THEME).expect("is a theme");
    for _ in 0..20 {
        let id = demo.add_task(task("Noop")).await.expect("is added").id;
        assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    }
    client.stop().await.expect("stops");
    node.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_pooler_that_loses_prepared_statements_is_refused_at_the_start() {
    let database = Database::of_kind(Kind::Postgres);
    for settings in [
        &["pool_mode=transaction", "max_prepared_statements=0"][..],
        &[
            "pool_mode=transaction",
            "max_prepared_statements=0",
            "default_pool_size=1",
        ],
        &[
            "pool_mode=transaction",
            "max_prepared_statements=0",
            "server_round_robin=1",
        ],
    ] {
        // Older ones, which carry none along, do not know the setting.
        let known = |setting: &&&str| !setting.starts_with("max_prepared") || knows_prepared_statements();
        let settings: Vec<&str> = settings.iter().filter(known).copied().collect();
        let (_pooler, url) = pooled(&database, &settings);
        let text = refusal(Gaia::builder().database(&url).start().await);
        assert!(
            text.contains("does not carry prepared statements along"),
            "{settings:?}: {text}"
        );
        assert!(text.contains("pool_mode = session"), "{text}");
        assert!(!text.contains("gaia-secret"), "{text}");
    }
}

#[actix_rt::test]
async fn a_pooler_of_statements_is_refused_at_the_start() {
    let database = Database::of_kind(Kind::Postgres);
    let (_pooler, url) = pooled(&database, &["pool_mode=statement"]);
    let text = refusal(Gaia::builder().database(&url).start().await);
    assert!(text.contains("pool_mode = session"), "{text}");
}

fn knows_prepared_statements() -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let version = Command::new("pgbouncer")
        .env("PATH", format!("{path}:/usr/sbin"))
        .arg("--version")
        .output()
        .expect("runs")
        .stdout;
    let version = String::from_utf8(version).expect("is text");
    let minor = version.split(['.', '\n']).nth(1).and_then(|minor| minor.parse().ok());
    minor.is_some_and(|minor: u32| minor >= 21)
}
