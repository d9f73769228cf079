//! Themes that a process uses and that nobody runs: the log says so.

use std::time::Duration;

use gaia_actors::prelude::*;

use crate::{
    lines::{lines, listen},
    support::{Database, eventually},
};

/// A node writes four heartbeats in its lease, and looks after each.
const LEASE: Duration = Duration::from_secs(2);

const WARNING: &str = "no living node runs workers of these themes";

fn builder(database: &Database) -> GaiaBuilder {
    listen();
    database.builder().lease(LEASE)
}

async fn warned_of(theme: &str) -> String {
    let (level, line) = eventually("the warning", async || lines(&[WARNING, theme]).pop()).await;
    assert_eq!(level, log::Level::Warn);
    line
}

/// Waits until the node has looked at everything that it was given before: it warns of a theme that comes later.
async fn looked(gaia: &Gaia, theme: &str) {
    let last = gaia.scheduler(theme).expect("is a theme");
    last.add_task(NewTask::new("Demo", "Last")).await.expect("is added");
    warned_of(theme).await;
}

#[actix_rt::test]
async fn a_start_warns_of_the_themes_of_its_definitions_that_nobody_runs() {
    const MINE: TaskDef<(), ()> = TaskDef::new("Demo", "Mine").theme("unattended: mine");
    const THEIRS: TaskDef<(), ()> = TaskDef::new("Demo", "Theirs").theme("unattended: theirs");
    const LONELY: TaskDef<(), ()> = TaskDef::new("Demo", "Lonely").theme("unattended: lonely");
    const FORGOTTEN: TaskDef<(), ()> = TaskDef::new("Demo", "Forgotten").theme("unattended: forgotten");
    let database = Database::fresh();
    let other = builder(&database)
        .theme(THEIRS.theme_name())
        .start()
        .await
        .expect("starts");
    eventually("the heartbeat of the other node", async || {
        let nodes = other.nodes().await.expect("answers");
        nodes.iter().any(|node| !node.themes.is_empty()).then_some(())
    })
    .await;
    let handlers = [MINE, THEIRS, LONELY, FORGOTTEN].map(|definition| definition.handler(async |_, ()| Ok(())));
    let gaia = builder(&database)
        .handlers(handlers)
        .theme(MINE.theme_name())
        .start()
        .await
        .expect("starts");
    let line = warned_of("unattended: lonely").await;
    assert!(
        line.contains(r#""unattended: forgotten", "unattended: lonely"; the tasks wait: start workers"#),
        "{line}"
    );
    looked(&gaia, "unattended: last of the start").await;
    assert!(lines(&[WARNING, "unattended: mine"]).is_empty());
    assert!(lines(&[WARNING, "unattended: theirs"]).is_empty());
    gaia.stop().await.expect("stops");
    other.stop().await.expect("stops");
}

#[actix_rt::test]
async fn whoever_adds_to_a_theme_that_nobody_runs_is_warned_once() {
    const ORDER: TaskDef<u32, ()> = TaskDef::new("Demo", "Order").theme("unattended: misspelt");
    let database = Database::fresh();
    let gaia = builder(&database)
        .theme("unattended: spelt")
        .start()
        .await
        .expect("starts");
    let spelt = ORDER.theme("unattended: spelt");
    spelt.add(&gaia, &0).await.expect("is added");
    for amount in 1..=5 {
        ORDER.add(&gaia, &amount).await.expect("is added");
    }
    warned_of("unattended: misspelt").await;
    ORDER.add_all(&gaia, 6..=9).await.expect("are added");
    looked(&gaia, "unattended: last of the adds").await;
    assert_eq!(lines(&[WARNING, "unattended: misspelt"]).len(), 1);
    assert!(lines(&[WARNING, "unattended: spelt"]).is_empty());
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_client_of_a_theme_that_another_node_runs_is_not_warned() {
    const ORDER: TaskDef<u32, ()> = TaskDef::new("Demo", "Order").theme("unattended: run elsewhere");
    let database = Database::fresh();
    let handler = ORDER.handler(async |_, _| Ok(()));
    let node = builder(&database)
        .handlers(handler)
        .theme(ORDER.theme_name())
        .start()
        .await
        .expect("starts");
    let client = builder(&database).start().await.expect("starts");
    let added = ORDER.add(&client, &1).await.expect("is added");
    added.wait(crate::support::PATIENCE).await.expect("ends well");
    looked(&client, "unattended: last of the client").await;
    assert!(lines(&[WARNING, "unattended: run elsewhere"]).is_empty());
    client.stop().await.expect("stops");
    node.stop().await.expect("stops");
}
