//! The database refuses what a run has to say of its end.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use gaia_actors::{GaiaBuilder, Task, async_fn, prelude::*};
use serde_json::{Value, json};

use crate::support::{Database, THEME, ended, eventually, options, task};

/// A handler that answers with its argument, and counts its runs.
fn counting(builder: GaiaBuilder, options: SchedulerOptions) -> (GaiaBuilder, Arc<AtomicUsize>) {
    let runs = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&runs);
    let echo = async_fn(async move |_, args: Value| {
        counter.fetch_add(1, Ordering::SeqCst);
        Ok(args)
    });
    (builder.handler("Demo", "Echo", echo).scheduler(options), runs)
}

async fn start(database: &Database) -> (Gaia, Scheduler, Arc<AtomicUsize>) {
    let (builder, runs) = counting(database.builder(), options());
    let gaia = builder.start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    (gaia, demo, runs)
}

fn echo(args: &Value) -> NewTask {
    task("Echo").args(args)
}

/// Waits until the database has refused so many ends in every form.
async fn refused(demo: &Scheduler, count: usize) {
    eventually("ends that are refused in every form", async || {
        (demo.status().await.expect("answers").refused == count).then_some(())
    })
    .await;
}

/// Waits until the task is Running without a node. Each time the recorder tries to write the end again, the task is under its node for a
/// moment.
async fn let_go(demo: &Scheduler, id: i64) -> Task {
    eventually("a task that is Running without a node", async || {
        let task = demo.get_task_detail(id).await.expect("is there");
        assert_eq!(task.status, TaskStatus::Running);
        task.node.is_none().then_some(task)
    })
    .await
}

fn says(task: &Task, text: &str) {
    let error = task.last_error.as_deref().unwrap_or_default();
    assert!(error.contains(text), "{error:?} does not say {text:?}");
}

/// Everything about such a task must be as it is for any other but for its texts.
#[actix_rt::test]
async fn characters_that_the_tables_lack_are_escaped() {
    let database = Database::fresh();
    let (gaia, demo, runs) = start(&database).await;
    for table in ["asynctasks", "asynctask_exec_row"] {
        database.narrow(table, "last_result");
    }
    let args = json!({"emoji": "🎉", "报表": "é"});
    let tasks = [echo(&args), echo(&json!("plain")), echo(&args)];
    let added = demo.add_tasks(tasks.to_vec()).await.expect("are added");
    for (at, added) in added.iter().enumerate() {
        let task = ended(&demo, added.id).await;
        assert_eq!(task.status, TaskStatus::Success);
        let result = task.last_result.clone().expect("has one");
        if at == 1 {
            assert_eq!((result.as_str(), task.last_error), ("\"plain\"", None));
            continue;
        }
        assert!(result.is_ascii(), "{result}");
        assert_eq!(serde_json::from_str::<Value>(&result).expect("is JSON"), args);
        says(
            &task,
            "characters beyond ASCII are written as \\uXXXX, since the database refused",
        );
        let page = PageRequest::default();
        let records = demo.get_task_exec_records(added.id, page).await.expect("answers").items;
        assert_eq!(records.len(), 1);
        assert_eq!(
            (records[0].result.clone(), records[0].error.clone()),
            (Some(result), task.last_error)
        );
    }
    assert_eq!(runs.load(Ordering::SeqCst), 3);
    let report = gaia.stop().await.expect("stops");
    assert_eq!((report.unwritten, report.refused), (0, 0));
}

#[actix_rt::test]
async fn texts_that_are_too_long_for_the_tables_are_cut_or_left_out() {
    let database = Database::fresh();
    let (gaia, demo, _) = start(&database).await;
    database.refuse("asynctask_exec_row", "no_novels", "length(@last_result) > 10000");
    database.refuse(
        "asynctasks",
        "no_tales",
        "length(@last_result) > 2000 AND @task_name = 'tale'",
    );
    let cut = demo
        .add_task(echo(&json!("x".repeat(20_000))))
        .await
        .expect("is added")
        .id;
    let cut = ended(&demo, cut).await;
    assert_eq!(cut.status, TaskStatus::Success);
    let result = cut.last_result.clone().expect("has one");
    assert!(
        result.len() < 5_000 && result.ends_with("[cut: 20002 bytes in all]"),
        "{result}"
    );
    says(&cut, "cut to 4 kB");
    let tale = echo(&json!("x".repeat(5_000))).name("tale");
    let tale = demo.add_task(tale).await.expect("is added").id;
    let tale = ended(&demo, tale).await;
    assert_eq!((tale.status, tale.last_result.clone()), (TaskStatus::Success, None));
    says(&tale, "left out");
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctask_exec_row"), 2);
    gaia.stop().await.expect("stops");
}

/// The record is refused; the task has ended all the same.
#[actix_rt::test]
async fn a_task_whose_record_is_refused_ends_without_one() {
    let database = Database::fresh();
    let (gaia, demo, runs) = start(&database).await;
    let added = demo.add_tasks(vec![echo(&json!(1)); 3]).await.expect("are added");
    for added in &added {
        ended(&demo, added.id).await;
    }
    let next = added[2].id + 1;
    database.refuse("asynctask_exec_row", "not_this", &format!("@task_id = {next}"));
    let added = demo.add_tasks(vec![echo(&json!(1)); 5]).await.expect("are added");
    assert_eq!(added[0].id, next);
    for added in &added {
        let task = ended(&demo, added.id).await;
        assert_eq!(task.status, TaskStatus::Success);
    }
    says(
        &demo.get_task_detail(next).await.expect("is there"),
        "what belongs into other tables",
    );
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctask_exec_row"), 7);
    assert_eq!(runs.load(Ordering::SeqCst), 8);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_task_whose_end_is_refused_in_every_form_is_shown_and_does_not_run_again() {
    let database = Database::fresh();
    let (gaia, demo, runs) = start(&database).await;
    database.refuse(
        "asynctasks",
        "poison",
        "@task_status = 'Success' AND @task_name = 'poison'",
    );
    let poisoned = demo
        .add_task(echo(&json!("🎉")).name("poison"))
        .await
        .expect("is added")
        .id;
    refused(&demo, 1).await;
    // Nobody else waits for it.
    let other = demo.add_task(echo(&json!(2))).await.expect("is added").id;
    assert_eq!(ended(&demo, other).await.status, TaskStatus::Success);
    let shown = let_go(&demo, poisoned).await;
    says(
        &shown,
        "this run has ended (Success), but the database refuses to note that: ",
    );
    says(&shown, "poison");
    says(&shown, "retry or cancel the task");
    let report = gaia.stop().await.expect("stops");
    assert_eq!((report.unwritten, report.refused), (0, 1));
    assert_eq!(runs.load(Ordering::SeqCst), 2);

    // A restart does not run it either.
    let (gaia, demo, runs) = start(&database).await;
    let other = demo.add_task(echo(&json!(3))).await.expect("is added").id;
    ended(&demo, other).await;
    let_go(&demo, poisoned).await;
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    demo.cancel_task(poisoned).await.expect("may be cancelled");
    assert_eq!(ended(&demo, poisoned).await.status, TaskStatus::Cancelled);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn an_end_that_was_refused_in_every_form_is_written_once_the_database_takes_it() {
    let database = Database::fresh();
    let (gaia, demo, runs) = start(&database).await;
    database.refuse(
        "asynctasks",
        "poison",
        "@task_status = 'Success' AND @task_name = 'poison'",
    );
    let poisoned = demo
        .add_task(echo(&json!("🎉")).name("poison"))
        .await
        .expect("is added")
        .id;
    refused(&demo, 1).await;
    database.allow("asynctasks", "poison");
    let task = ended(&demo, poisoned).await;
    assert_eq!(
        (task.status, task.last_result.as_deref()),
        (TaskStatus::Success, Some("\"🎉\""))
    );
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctask_exec_row"), 1);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    refused(&demo, 0).await;
    gaia.stop().await.expect("stops");
}

/// Workers wait for their outcomes where there is a post-handler.
#[actix_rt::test]
async fn workers_do_not_wait_for_outcomes_that_are_refused() {
    let database = Database::fresh();
    let options = options().post_handler(async |_, _| Ok(()));
    let (builder, _) = counting(database.builder(), options);
    let gaia = builder.start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    database.refuse(
        "asynctasks",
        "poison",
        "@task_status = 'Success' AND @task_name = 'poison'",
    );
    demo.add_tasks(vec![echo(&json!(1)).name("poison"); 12])
        .await
        .expect("are added");
    refused(&demo, 12).await;
    let other = demo.add_task(echo(&json!(2))).await.expect("is added").id;
    assert_eq!(ended(&demo, other).await.status, TaskStatus::Success);
    let report = gaia.stop().await.expect("stops");
    assert_eq!((report.unwritten, report.refused), (0, 12));
}

/// What the database refuses of everybody is no fault of one outcome: it is written whole when that is over.
#[actix_rt::test]
async fn while_a_table_is_away_outcomes_are_kept_whole() {
    let database = Database::fresh();
    let (gaia, demo, runs) = start(&database).await;
    database.execute("ALTER TABLE asynctask_exec_row RENAME TO elsewhere");
    let added = demo.add_tasks(vec![echo(&json!("🎉")); 20]).await.expect("are added");
    eventually("some errors", async || {
        let status = demo.status().await.expect("answers");
        (status.database_errors >= 4 && status.unwritten == 20).then_some(())
    })
    .await;
    database.execute("ALTER TABLE elsewhere RENAME TO asynctask_exec_row");
    for added in added {
        let task = ended(&demo, added.id).await;
        let expected = (TaskStatus::Success, Some("\"🎉\""), None);
        assert_eq!((task.status, task.last_result.as_deref(), task.last_error), expected);
    }
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctask_exec_row"), 20);
    assert_eq!(runs.load(Ordering::SeqCst), 20);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_report_of_progress_that_is_refused_holds_up_nothing() {
    let database = Database::fresh();
    let report = async_fn(async |ctx: TaskContext, _: Value| {
        ctx.progress(50, "half 🎉");
        Ok(())
    });
    let (builder, _) = counting(database.builder(), options());
    let gaia = builder.handler("Demo", "Report", report).start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    database.refuse("asynctasks", "quiet", "@progress_note IS NOT NULL");
    let added = demo.add_tasks(vec![task("Report"); 3]).await.expect("are added");
    for added in added {
        assert_eq!(ended(&demo, added.id).await.status, TaskStatus::Success);
    }
    let report = gaia.stop().await.expect("stops");
    assert_eq!((report.unwritten, report.refused), (0, 0));
}

#[actix_rt::test]
async fn a_last_attempt_that_cannot_be_noted_fails_and_says_so() {
    let database = Database::fresh();
    let (gaia, demo, runs) = start(&database).await;
    database.refuse("asynctasks", "no_begin", "@began = 1 AND @task_name = 'poison'");
    let poisoned = echo(&json!(1)).name("poison").max_retry(0);
    let other = echo(&json!(2)).max_retry(0);
    let added = demo.add_tasks(vec![poisoned, other]).await.expect("are added");
    let poisoned = ended(&demo, added[0].id).await;
    assert_eq!(poisoned.status, TaskStatus::Failed);
    says(
        &poisoned,
        "not run: the database refuses to note that the last attempt begins: ",
    );
    assert_eq!(ended(&demo, added[1].id).await.status, TaskStatus::Success);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    gaia.stop().await.expect("stops");
}
