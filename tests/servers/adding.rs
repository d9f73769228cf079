//! Inserts that many callers share.

use actix_rt::task::JoinHandle;
use futures_util::future::join_all;
use gaia_actors::{AddedTask, Error, StoreError, prelude::*};

use crate::{
    conflicts::Holder,
    support::{Database, Kind, THEME, eventually, task},
};

const CALLERS: usize = 50;

/// Whoever inserts into the table waits.
const LOCK: &str = "LOCK TABLE asynctasks IN SHARE MODE";
const WAITING: &str = "FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";

/// Each on its own.
fn added_by_many(demo: &Scheduler) -> JoinHandle<Vec<Result<AddedTask, Error>>> {
    let demo = demo.clone();
    actix_rt::spawn(async move { join_all((0..CALLERS).map(|_| demo.add_task(task("Noop")))).await })
}

/// So many inserts are held up.
async fn held_up(database: &Database, inserts: i64) {
    eventually("inserts that wait for the lock", async || {
        let waiting = database.number(&format!("SELECT COUNT(*) {WAITING}"));
        (waiting == inserts).then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn what_gathers_while_inserts_are_under_way_is_added_by_one() {
    let database = Database::of_kind(Kind::Postgres);
    let gaia = database.builder().start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let holder = Holder::of(&database, LOCK).await;
    let added = added_by_many(&demo);
    held_up(&database, 2).await;
    holder.release().await;
    let added: Result<Vec<_>, _> = added.await.expect("joins").into_iter().collect();
    assert_eq!(added.expect("are added").len(), CALLERS);
    // Those that were under way, and one for all others.
    assert_eq!(database.number("SELECT COUNT(DISTINCT xmin::text) FROM asynctasks"), 3);
    gaia.stop().await.expect("stops");
}

/// Whether they were inserted is not known then: nobody may do it again for their callers.
#[actix_rt::test]
async fn an_insert_that_loses_its_connection_is_not_made_again() {
    let database = Database::of_kind(Kind::Postgres);
    let gaia = database.builder().start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let holder = Holder::of(&database, LOCK).await;
    let added = added_by_many(&demo);
    for inserts in [2, 1] {
        held_up(&database, inserts).await;
        let ended = database.number(&format!("SELECT COUNT(pg_terminate_backend(pid)) {WAITING}"));
        assert_eq!(ended, inserts);
    }
    for added in added.await.expect("joins") {
        assert!(
            matches!(added, Err(Error::Store(StoreError::Disconnected(_)))),
            "{added:?}"
        );
    }
    holder.release().await;
    demo.add_task(task("Noop")).await.expect("is added");
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctasks"), 1);
    gaia.stop().await.expect("stops");
}
