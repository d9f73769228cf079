//! Additions that callers repeat with the same key.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use gaia_actors::{AddedOnce, Error, GaiaBuilder, async_fn, prelude::*};
use serde_json::Value;

use crate::support::{Database, Kind, THEME, Tested, ended, eventually, options, refusal, task};
#[cfg(feature = "_server")]
use crate::support::{PATIENCE, execute_around};

const KEY: &str = "message-17";
const HOUR: Duration = Duration::from_secs(3_600);

fn builder() -> GaiaBuilder {
    Gaia::builder().handler("Demo", "Noop", async_fn(async |_, _: Value| Ok(())))
}

async fn start() -> (Tested, Scheduler) {
    let gaia = Tested::start(builder().scheduler(options())).await;
    let demo = gaia.scheduler(THEME).expect("is a theme");
    (gaia, demo)
}

fn tasks(count: usize) -> Vec<NewTask> {
    (0..count).map(|at| task("Noop").args(&at)).collect()
}

fn ids(added: &AddedOnce) -> Vec<i64> {
    added.tasks.iter().map(|task| task.id).collect()
}

fn count(database: &Database) -> i64 {
    database.number("SELECT COUNT(*) FROM asynctasks")
}

fn keys(database: &Database) -> i64 {
    database.number("SELECT COUNT(*) FROM gaia_idempotency")
}

#[actix_rt::test]
async fn a_repeated_call_adds_nothing_and_gets_the_same_answer() {
    let (gaia, demo) = start().await;
    let first = demo.add_tasks_once(KEY, tasks(1_500)).await.expect("are added");
    assert!(!first.replayed);
    assert_eq!(ids(&first).iter().collect::<BTreeSet<_>>().len(), 1_500);
    let again = demo.add_tasks_once(KEY, tasks(1_500)).await.expect("answers");
    assert!(again.replayed);
    assert_eq!(again.tasks, first.tasks);
    // The key still counts when the tasks have ended.
    for id in [ids(&first)[0], ids(&first)[1_499]] {
        assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    }
    let late = demo.add_tasks_once(KEY, tasks(1_500)).await.expect("answers");
    assert_eq!((late.replayed, &late.tasks), (true, &first.tasks));
    assert_eq!((count(&gaia.database), keys(&gaia.database)), (1_500, 1));
    let one = demo.add_tasks_once("another", tasks(1)).await.expect("is added");
    assert_eq!(ended(&demo, ids(&one)[0]).await.status, TaskStatus::Success);
    assert_eq!(
        demo.add_tasks_once("none", Vec::new()).await.expect("answers").tasks,
        []
    );
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_key_stands_for_the_same_tasks_alone() {
    let (gaia, demo) = start().await;
    demo.add_tasks_once(KEY, tasks(2)).await.expect("are added");
    for other in [
        tasks(1),
        tasks(3),
        Vec::new(),
        vec![task("Noop").args(&0), task("Noop").args(&2)],
    ] {
        let refused = demo.add_tasks_once(KEY, other).await;
        assert!(
            matches!(refused, Err(Error::IdempotencyKeyReused { .. })),
            "{refused:?}"
        );
    }
    for bad in ["", "two words", "schlüssel", "line\n", &"k".repeat(256)] {
        let text = refusal(demo.add_tasks_once(bad, tasks(1)).await);
        assert!(text.contains("1 to 255 visible ASCII characters"), "{text}");
    }
    let longest = "k".repeat(255);
    demo.add_tasks_once(&longest, tasks(1)).await.expect("is added");
    // The same key in another theme is another key.
    let other = gaia.scheduler("other").expect("is a theme");
    assert!(!other.add_tasks_once(KEY, tasks(2)).await.expect("are added").replayed);
    assert_eq!(count(&gaia.database), 5);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn of_many_callers_at_once_one_adds() {
    let database = Database::fresh();
    let gaia = database.builder().start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    for round in 0..5 {
        let key = format!("round-{round}");
        let calls = (0..20).map(|_| demo.add_tasks_once(&key, vec![task("Noop")]));
        let added: Vec<AddedOnce> = join_all(calls)
            .await
            .into_iter()
            .map(|added| added.expect("answers"))
            .collect();
        let all: BTreeSet<i64> = added.iter().flat_map(ids).collect();
        assert_eq!(all.len(), 1, "{added:?}");
        assert_eq!(added.iter().filter(|added| !added.replayed).count(), 1, "{added:?}");
        assert_eq!(count(&database), round + 1);
    }
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_failed_addition_leaves_the_key_free() {
    let (gaia, demo) = start().await;
    let text = refusal(demo.add_tasks_once(KEY, vec![task("Noop"), task("")]).await);
    assert!(text.contains("task 1 of the list: method is empty"), "{text}");
    assert_eq!(keys(&gaia.database), 0);
    // The database refuses it.
    let (refuse, accept) = refusing(&gaia.database);
    gaia.database.execute(&refuse);
    let poisoned = || vec![task("Noop"), task("Noop").args(&"poison")];
    let text = refusal(demo.add_tasks_once(KEY, poisoned()).await);
    assert!(text.contains("not this one"), "{text}");
    assert_eq!((count(&gaia.database), keys(&gaia.database)), (0, 0));
    gaia.database.execute(accept);
    // The same key with the same tasks, and, once more, the same answer.
    let added = demo.add_tasks_once(KEY, poisoned()).await.expect("are added");
    assert!(!added.replayed);
    assert!(demo.add_tasks_once(KEY, poisoned()).await.expect("answers").replayed);
    assert_eq!(count(&gaia.database), 2);
    gaia.stop().await.expect("stops");
}

/// Statements after which the database refuses the task, and accepts it again.
fn refusing(database: &Database) -> (String, &'static str) {
    let refused = "NEW.arg = '\"poison\"'";
    match database.kind() {
        #[cfg(feature = "sqlite")]
        Kind::Sqlite => (
            format!(
                "CREATE TRIGGER refuse BEFORE INSERT ON asynctasks WHEN {refused} \
                 BEGIN SELECT RAISE(ABORT, 'not this one'); END"
            ),
            "DROP TRIGGER refuse",
        ),
        #[cfg(feature = "postgres")]
        Kind::Postgres => (
            format!(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                   IF {refused} THEN RAISE EXCEPTION 'not this one'; END IF; RETURN NEW; END $$; \
                 CREATE TRIGGER refuse BEFORE INSERT ON asynctasks FOR EACH ROW EXECUTE FUNCTION refuse()"
            ),
            "DROP TRIGGER refuse ON asynctasks",
        ),
        #[cfg(feature = "mysql")]
        Kind::Mysql => (
            format!(
                "CREATE TRIGGER refuse BEFORE INSERT ON asynctasks FOR EACH ROW \
                 IF {refused} THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not this one'; END IF"
            ),
            "DROP TRIGGER refuse",
        ),
    }
}

#[actix_rt::test]
async fn a_duplicate_inside_is_a_duplicate_in_each_answer() {
    let (gaia, demo) = start().await;
    let later = gaia.now() + chrono::TimeDelta::days(9);
    let keyed = || task("Noop").run_at(later).unique_key("order-17");
    let holder = demo.add_task(keyed()).await.expect("is added").id;
    let mixed = || vec![task("Noop"), keyed(), task("Noop")];
    let first = demo.add_tasks_once(KEY, mixed()).await.expect("are added");
    let duplicates: Vec<bool> = first.tasks.iter().map(|task| task.duplicate).collect();
    assert_eq!((duplicates, first.tasks[1].id), (vec![false, true, false], holder));
    let again = demo.add_tasks_once(KEY, mixed()).await.expect("answers");
    assert_eq!((again.replayed, again.tasks), (true, first.tasks));
    assert_eq!(count(&gaia.database), 3);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn after_a_day_the_key_is_free() {
    // No workers, so no pruner: the addition itself judges the key.
    let gaia = Tested::start(builder()).await;
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let first = demo.add_tasks_once(KEY, tasks(1)).await.expect("is added");
    gaia.advance(HOUR * 23);
    assert!(demo.add_tasks_once(KEY, tasks(1)).await.expect("answers").replayed);
    gaia.advance(HOUR * 2);
    let calls = (0..20).map(|_| demo.add_tasks_once(KEY, tasks(2)));
    let added: Vec<AddedOnce> = join_all(calls)
        .await
        .into_iter()
        .map(|added| added.expect("answers"))
        .collect();
    assert_eq!(added.iter().filter(|added| !added.replayed).count(), 1);
    assert_eq!(added.iter().flat_map(ids).collect::<BTreeSet<_>>().len(), 2);
    assert!(!ids(&added[0]).contains(&ids(&first)[0]));
    assert_eq!((count(&gaia.database), keys(&gaia.database)), (3, 1));
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn old_keys_are_deleted_without_a_retention_too() {
    let gaia = Tested::start(builder().scheduler(options()).retention(None)).await;
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let young = gaia.now() + chrono::TimeDelta::hours(2);
    let [old_at, young_at] = [gaia.now(), young].map(|at| at.format("%Y-%m-%d %H:%M:%S").to_string());
    // More than one batch.
    let rows = |from: usize, to: usize, at: &str| {
        let rows: Vec<String> = (from..to)
            .map(|n| format!("('{n:064}', 'x', '{{}}', '{at}')"))
            .collect();
        format!("INSERT INTO gaia_idempotency VALUES {}", rows.join(", "))
    };
    gaia.database.execute(&rows(0, 1_200, &old_at));
    gaia.database.execute(&rows(1_200, 1_210, &young_at));
    gaia.advance(HOUR * 25);
    eventually("the old keys to go", async || {
        (keys(&gaia.database) == 10).then_some(())
    })
    .await;
    gaia.advance(HOUR * 2);
    eventually("all keys to go", async || (keys(&gaia.database) == 0).then_some(())).await;
    demo.add_tasks_once(KEY, tasks(1)).await.expect("is added");
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn the_operation_has_a_message() {
    let (gaia, demo) = start().await;
    let mut table = Scheduler::OPERATIONS.iter();
    let once = table
        .find(|operation| operation.name == "add_tasks_once")
        .expect("is there");
    let message = r#"{"key": "k", "tasks": [{"service": "Demo", "method": "Noop"}]}"#;
    for replayed in [false, true] {
        let answer = once.run(&demo, message).await.expect("answers");
        let added: AddedOnce = serde_json::from_str(&answer).expect("is an answer");
        assert_eq!((added.tasks.len(), added.replayed), (1, replayed));
    }
    gaia.stop().await.expect("stops");
}

/// Another session holds the key and does not end. (SQLite has one writer at a time: nobody waits for a key there.)
#[cfg(feature = "_server")]
#[actix_rt::test]
async fn who_waits_for_a_key_in_vain_is_told() {
    let (gaia, demo) = start().await;
    if !gaia.database.is_on_a_server() {
        return;
    }
    let first = demo.add_tasks_once(KEY, tasks(1)).await.expect("is added");
    let (kind, url) = (gaia.database.kind(), gaia.database.url());
    let hold = "START TRANSACTION; DELETE FROM gaia_idempotency";
    let (tell_held, is_held) = tokio::sync::oneshot::channel();
    let (tell_over, is_over) = std::sync::mpsc::channel::<()>();
    let holder = std::thread::spawn(move || {
        execute_around(kind, &url, [hold, "ROLLBACK"], move || {
            tell_held.send(()).expect("is awaited");
            is_over.recv_timeout(PATIENCE).expect("the test goes on");
        });
    });
    is_held.await.expect("the key is held");
    let busy = demo.add_tasks_once(KEY, tasks(1)).await;
    assert!(matches!(busy, Err(Error::IdempotencyKeyBusy { .. })), "{busy:?}");
    tell_over.send(()).expect("is awaited");
    holder.join().expect("ends");
    let again = demo.add_tasks_once(KEY, tasks(1)).await.expect("answers");
    assert_eq!((again.replayed, again.tasks), (true, first.tasks));
    assert_eq!(count(&gaia.database), 1);
    gaia.stop().await.expect("stops");
}
