//! A SQLite file that is taken away from under those who have it open.

use std::{fs, time::Duration};

use gaia_actors::{StoreError, async_fn, prelude::*};
use serde_json::Value;

use crate::support::{Database, Gate, Kind, PATIENCE, THEME, ended, eventually, options, refusal, task};

async fn start(database: &Database) -> (Gaia, Scheduler) {
    let gaia = database
        .builder()
        .lease(Duration::from_secs(2))
        .handler("Demo", "Echo", async_fn(async |_, args: Value| Ok(args)))
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    (gaia, demo)
}

/// Whether the node has found out by itself.
async fn fenced(demo: &Scheduler, fenced: bool) {
    eventually("what the node makes of it", async || {
        (demo.status().await.expect("runs here").fenced == fenced).then_some(())
    })
    .await;
}

/// Hooks keep their secrets in it.
#[actix_rt::test]
async fn a_new_file_is_for_its_owner_alone_and_one_that_is_there_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt;
    let database = Database::of_kind(Kind::Sqlite);
    let modes = || {
        let mode = |end: &str| {
            let file = database.file(&format!("gaia.db{end}"));
            fs::metadata(file).expect("is there").permissions().mode() & 0o777
        };
        ["", "-wal", "-shm"].map(mode)
    };
    let (gaia, _) = start(&database).await;
    assert_eq!(modes(), [0o600; 3]);
    gaia.stop().await.expect("stops");
    fs::set_permissions(database.path(), fs::Permissions::from_mode(0o640)).expect("are set");
    let (gaia, _) = start(&database).await;
    assert_eq!(modes()[0], 0o640);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn nothing_goes_into_a_file_that_was_deleted() {
    let database = Database::of_kind(Kind::Sqlite);
    let (gaia, demo) = start(&database).await;
    let id = demo.add_task(task("Echo")).await.expect("is added").id;
    ended(&demo, id).await;
    fs::remove_file(database.path()).expect("is deleted");

    let error = demo.add_task(task("Echo")).await.expect_err("nobody would see it");
    assert!(matches!(error, Error::Store(StoreError::FileDeleted { .. })), "{error}");
    assert!(error.to_string().contains("restart this process"), "{error}");
    for text in [
        refusal(demo.add_tasks(vec![task("Echo"); 3]).await),
        refusal(demo.cancel_task(id).await),
        refusal(demo.list_tasks(ListTasks::default()).await),
        refusal(demo.get_task_detail(id).await),
    ] {
        assert!(text.contains("was deleted or moved away"), "{text}");
    }
    fenced(&demo, true).await;
    gaia.stop().await.expect("stops");
    assert!(!database.path().exists());
}

#[actix_rt::test]
async fn nothing_goes_into_a_file_that_was_replaced() {
    let database = Database::of_kind(Kind::Sqlite);
    let (gaia, demo) = start(&database).await;
    demo.add_task(task("Echo")).await.expect("is added");
    let copy = database.file("copy");
    fs::copy(database.path(), &copy).expect("is copied");
    fs::rename(&copy, database.path()).expect("is put in its place");
    let text = refusal(demo.add_task(task("Echo")).await);
    assert!(text.contains("was replaced by another"), "{text}");
    fenced(&demo, true).await;
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn work_goes_on_with_a_file_that_is_put_back() {
    let database = Database::of_kind(Kind::Sqlite);
    let (gaia, demo) = start(&database).await;
    let aside = database.file("aside");
    fs::rename(database.path(), &aside).expect("is moved away");
    refusal(demo.add_task(task("Echo")).await);
    fenced(&demo, true).await;
    fs::rename(&aside, database.path()).expect("is put back");
    fenced(&demo, false).await;
    let id = demo.add_task(task("Echo")).await.expect("is added").id;
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    gaia.stop().await.expect("stops");
}

/// The log holds what was committed last. Other processes would begin a new one.
#[actix_rt::test]
async fn nothing_goes_into_a_log_that_was_deleted_or_replaced() {
    for (end, is_replaced) in [("-wal", false), ("-shm", false), ("-wal", true)] {
        let database = Database::of_kind(Kind::Sqlite);
        let (gaia, demo) = start(&database).await;
        let id = demo.add_task(task("Echo")).await.expect("is added").id;
        // A stop would wait for an end that cannot be written.
        ended(&demo, id).await;
        let mut log = database.path().into_os_string();
        log.push(end);
        fs::remove_file(&log).expect("is there while the database is open");
        if is_replaced {
            fs::write(&log, b"").expect("is written");
        }
        let error = demo.add_task(task("Echo")).await.expect_err("nobody would see it");
        assert!(matches!(error, Error::Store(StoreError::LogGone { .. })), "{error}");
        assert!(error.to_string().contains(end), "{error}");
        fenced(&demo, true).await;
        gaia.stop().await.expect("stops");
    }
}

/// A supervisor starts the process again, on the file that is there by then.
#[actix_rt::test]
async fn a_node_without_its_file_says_that_it_is_gone() {
    let database = Database::of_kind(Kind::Sqlite);
    let (gaia, demo) = start(&database).await;
    let aside = database.file("aside");
    fs::rename(database.path(), &aside).expect("is moved away");
    fs::write(database.path(), b"").expect("is written");
    let error = tokio::time::timeout(PATIENCE, gaia.run_until_signal()).await;
    let error = error.expect("ends").expect_err("was not asked to stop");
    assert!(
        matches!(error, Error::Store(StoreError::FileReplaced { .. })),
        "{error}"
    );
    assert!(demo.status().await.expect("answers").fenced);
    gaia.stop().await.expect("stops");
}

/// A copy is put back while the node works, with the logs of the other file removed: the node ends, and the next one finds two
/// tasks `Running` whose runs have ended since.
#[actix_rt::test]
async fn tasks_that_ran_when_a_copy_was_made_come_to_their_ends_after_it_is_put_back() {
    let database = Database::of_kind(Kind::Sqlite);
    let gate = Gate::closed();
    let node = || {
        let builder = database.builder().lease(Duration::from_secs(2));
        let builder = builder.handler("Demo", "Echo", async_fn(async |_, args: Value| Ok(args)));
        builder.handler("Demo", "Gate", gate.handler()).scheduler(options())
    };
    let gaia = node().start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let add = async |task: NewTask| demo.add_task(task).await.expect("is added").id;
    let done = add(task("Echo")).await;
    ended(&demo, done).await;
    let (again, once) = (add(task("Gate")).await, add(task("Gate").max_retry(0)).await);
    gate.entered(2).await;
    let copy = database.file("copy");
    database.execute(&format!("VACUUM INTO '{}'", copy.display()));
    gate.let_pass(2);
    for id in [again, once] {
        assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    }
    let forgotten = add(task("Echo")).await;
    ended(&demo, forgotten).await;

    fs::rename(&copy, database.path()).expect("is put in its place");
    for end in ["-wal", "-shm"] {
        fs::remove_file(database.file(&format!("gaia.db{end}"))).expect("is there while the database is open");
    }
    let error = tokio::time::timeout(PATIENCE, gaia.run_until_signal()).await;
    let error = error.expect("ends").expect_err("was not asked to stop");
    assert!(
        matches!(error, Error::Store(StoreError::FileReplaced { .. })),
        "{error}"
    );
    gaia.stop().await.expect("stops");

    let gaia = node().start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    gate.entered(1).await;
    gate.let_pass(1);
    assert_eq!(ended(&demo, again).await.status, TaskStatus::Success);
    // Its handler was called before the copy was made.
    let once = ended(&demo, once).await;
    assert_eq!(once.status, TaskStatus::Failed, "{:?}", once.last_error);
    assert_eq!(ended(&demo, done).await.status, TaskStatus::Success);
    assert!(matches!(
        demo.get_task_detail(forgotten).await,
        Err(Error::TaskNotFound { .. })
    ));
    assert_eq!(gate.inside(), 0);
    gaia.stop().await.expect("stops");
}
