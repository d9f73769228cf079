//! Inserts that many callers share.

use actix_rt::task::JoinHandle;
use futures_util::future::join_all;
use gaia_actors::{AddedTask, Error, StoreError, prelude::*};

use crate::{
    conflicts::Holder,
    kinds,
    support::{Database, Kind, THEME, eventually, task},
};

const CALLERS: usize = 50;

/// How a server is asked about inserts.
struct Words {
    /// Whoever inserts into the table waits.
    lock: &'static str,
    /// Connections whose inserts wait.
    waiting: &'static str,
    /// Those whose inserts are of many.
    shared: &'static str,
    id: &'static str,
    /// Ends a connection.
    end: fn(i64) -> String,
}

fn words(database: &Database) -> Words {
    match database.kind() {
        #[cfg(feature = "sqlite")]
        Kind::Sqlite => panic!("a file has one writer"),
        #[cfg(feature = "postgres")]
        Kind::Postgres => Words {
            lock: "LOCK TABLE asynctasks IN SHARE MODE",
            waiting: "FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()",
            shared: "AND query LIKE '%unnest%'",
            id: "pid",
            end: |id| format!("SELECT pg_terminate_backend({id})"),
        },
        #[cfg(feature = "mysql")]
        Kind::Mysql => Words {
            lock: "LOCK TABLES asynctasks WRITE",
            waiting: "FROM information_schema.processlist \
                WHERE state LIKE 'Waiting for table%lock' AND info LIKE 'INSERT%' AND db = DATABASE()",
            shared: "AND info LIKE '%), (%'",
            id: "id",
            end: |id| format!("KILL {id}"),
        },
    }
}

/// Each on its own.
fn added_by_many(demo: &Scheduler) -> JoinHandle<Vec<Result<AddedTask, Error>>> {
    let demo = demo.clone();
    actix_rt::spawn(async move { join_all((0..CALLERS).map(|_| demo.add_task(task("Noop")))).await })
}

/// So many inserts are held up.
async fn held_up(database: &Database, inserts: i64, waiting: &str) {
    eventually("inserts that wait for the lock", async || {
        (database.number(&format!("SELECT COUNT(*) {waiting}")) == inserts).then_some(())
    })
    .await;
}

#[cfg(feature = "postgres")]
#[actix_rt::test]
async fn what_gathers_while_inserts_are_under_way_is_added_by_one() {
    let database = Database::of_kind(Kind::Postgres);
    let gaia = database.builder().start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let words = words(&database);
    let holder = Holder::of(&database, words.lock).await;
    let added = added_by_many(&demo);
    held_up(&database, 2, words.waiting).await;
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
    for kind in kinds() {
        let database = Database::of_kind(kind);
        let gaia = database.builder().start().await.expect("starts");
        let demo = gaia.scheduler(THEME).expect("is a theme");
        let words = words(&database);
        let holder = Holder::of(&database, words.lock).await;
        let added = added_by_many(&demo);
        let shared = format!("{} {}", words.waiting, words.shared);
        for (inserts, waiting) in [(2, words.waiting), (1, &shared)] {
            held_up(&database, inserts, waiting).await;
            let mut last = 0;
            for _ in 0..inserts {
                let id = words.id;
                last = database.number(&format!("SELECT MIN({id}) {waiting} AND {id} > {last}"));
                database.execute(&(words.end)(last));
            }
        }
        for added in added.await.expect("joins") {
            let is_lost = matches!(added, Err(Error::Store(StoreError::Disconnected(_))));
            assert!(is_lost, "{kind:?}: {added:?}");
        }
        holder.release().await;
        demo.add_task(task("Noop")).await.expect("is added");
        assert_eq!(database.number("SELECT COUNT(*) FROM asynctasks"), 1);
        gaia.stop().await.expect("stops");
    }
}

/// By a constraint that is looked at when the insert commits, after it has answered with its ids.
#[cfg(feature = "postgres")]
#[actix_rt::test]
async fn whoever_adds_what_cannot_be_committed_is_told() {
    let database = Database::of_kind(Kind::Postgres);
    let gaia = database.builder().start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    database.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN RAISE EXCEPTION 'nothing is wanted'; END $$; \
         CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON asynctasks DEFERRABLE INITIALLY DEFERRED \
           FOR EACH ROW EXECUTE FUNCTION refuse()",
    );
    for added in added_by_many(&demo).await.expect("joins") {
        let told = added.expect_err("is refused").to_string();
        assert!(told.contains("nothing is wanted"), "{told}");
    }
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctasks"), 0);
    gaia.stop().await.expect("stops");
}

/// Nobody gets the id of somebody else's task.
#[cfg(feature = "postgres")]
#[actix_rt::test]
async fn a_trigger_that_leaves_out_a_task_does_not_shift_ids() {
    let database = Database::of_kind(Kind::Postgres);
    let gaia = database.builder().start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    database.execute(
        "CREATE FUNCTION leave_out() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN IF NEW.arg = '7' THEN RETURN NULL; END IF; RETURN NEW; END $$; \
         CREATE TRIGGER leave_out BEFORE INSERT ON asynctasks FOR EACH ROW EXECUTE FUNCTION leave_out()",
    );
    let call = async |at: usize| {
        if let Ok(added) = demo.add_task(task("Noop").args(&at)).await {
            let task = demo.get_task_detail(added.id).await.expect("is there");
            assert_eq!(task.arg, at.to_string());
        }
    };
    join_all((0..CALLERS).map(call)).await;
    gaia.stop().await.expect("stops");
}
