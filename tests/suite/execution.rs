//! What becomes of a task, by what its handler does.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix::{Actor, Context, Handler, ResponseFuture};
use gaia_actors::{Endpoint, ExecRecord, MissingHandler, Outcome, Task, async_fn, blocking_fn, prelude::*};
use serde_json::{Value, json};

use crate::support::{Database, Gate, THEME, Tested, ended, eventually, options, task};

/// A runtime whose time stands still, with one handler `Demo.Run`.
async fn with(handler: impl Into<Endpoint>) -> (Tested, Scheduler) {
    with_options(handler, SchedulerOptions::new(THEME)).await
}

async fn with_options(handler: impl Into<Endpoint>, options: SchedulerOptions) -> (Tested, Scheduler) {
    let builder = Gaia::builder().handler("Demo", "Run", handler).scheduler(options);
    let gaia = Tested::start(builder).await;
    let demo = gaia.scheduler(THEME).expect("is a theme");
    (gaia, demo)
}

async fn run(demo: &Scheduler, task: NewTask) -> Task {
    let id = demo.add_task(task).await.expect("is added").id;
    ended(demo, id).await
}

async fn records(demo: &Scheduler, id: i64) -> Vec<ExecRecord> {
    let page = demo.get_task_exec_records(id, PageRequest::new(1, 1_000)).await;
    page.expect("lists").items
}

#[actix_rt::test]
async fn a_result_and_its_record_are_kept() {
    let (gaia, demo) = with(async_fn(async |ctx: TaskContext, n: i64| {
        assert_eq!((ctx.theme(), ctx.attempt(), ctx.max_attempts()), (THEME, 1, 4));
        Ok(json!({"twice": n * 2, "id": ctx.id(), "log_id": ctx.log_id()}))
    }))
    .await;
    let task = run(&demo, task("Run").args(&21)).await;
    assert_eq!(task.status, TaskStatus::Success);
    let result: Value = serde_json::from_str(&task.last_result.expect("has one")).expect("is JSON");
    assert_eq!((&result["twice"], &result["id"]), (&json!(42), &json!(task.id)));
    assert_eq!(result["log_id"].as_str(), task.log_id.as_deref());
    assert_eq!(task.node, None);

    let records = records(&demo, task.id).await;
    assert_eq!(records.len(), 1);
    let record = &records[0];
    assert_eq!((record.status.as_str(), record.attempt), ("Success", Some(1)));
    assert_eq!(record.log_id, task.log_id);
    assert_eq!(record.node.as_deref(), Some(gaia.node_id()));
    assert_eq!(record.run_time, task.last_run_time);
}

#[actix_rt::test]
async fn failures_are_tried_again_after_a_growing_delay_until_none_is_left() {
    let retry = RetryPolicy {
        jitter: 0.0,
        ..RetryPolicy::default()
    };
    let failing =
        async_fn(async |ctx: TaskContext, _: Value| Err::<(), _>(TaskError::failed(format!("no {}", ctx.attempt()))));
    let (gaia, demo) = with_options(failing, SchedulerOptions::new(THEME).retry(retry)).await;
    let id = demo.add_task(task("Run").max_retry(2)).await.expect("is added").id;

    for (attempt, delay) in [(1, 1), (2, 2)] {
        gaia.drain(THEME).await;
        let task = demo.get_task_detail(id).await.expect("is there");
        assert_eq!((task.status, task.retry_time), (TaskStatus::Retry, attempt));
        assert_eq!(task.run_at, Some(gaia.now() + chrono::TimeDelta::seconds(delay)));
        assert_eq!(task.last_error, Some(format!("no {attempt}")));
        gaia.advance(Duration::from_secs(delay.unsigned_abs()));
    }
    let task = ended(&demo, id).await;
    assert_eq!((task.status, task.retry_time), (TaskStatus::Failed, 2));
    assert_eq!(task.last_error.as_deref(), Some("no 3"));
    let statuses: Vec<_> = records(&demo, id)
        .await
        .into_iter()
        .map(|record| record.status)
        .collect();
    assert_eq!(statuses, ["Failed", "Retry", "Retry"]);
    let status = demo.status().await.expect("runs here");
    assert_eq!((status.executed, status.retried, status.failed), (3, 2, 1));
}

#[actix_rt::test]
async fn a_scheduled_task_runs_when_its_time_has_come_and_not_before() {
    let (gaia, demo) = with(async_fn(async |_, _: Value| Ok(()))).await;
    let at = gaia.now() + chrono::TimeDelta::seconds(90);
    let id = demo.add_task(task("Run").run_at(at)).await.expect("is added").id;
    gaia.advance(Duration::from_secs(89));
    gaia.drain(THEME).await;
    assert_eq!(
        demo.get_task_detail(id).await.expect("is there").status,
        TaskStatus::Wait
    );
    gaia.advance(Duration::from_secs(1));
    assert_eq!(ended(&demo, id).await.last_run_time, Some(at));
}

#[actix_rt::test]
async fn some_failures_are_final() {
    let cases: [(Endpoint, NewTask, &str); 5] = [
        (
            async_fn(async |_, _: Value| Err::<(), _>(TaskError::discard("useless"))),
            task("Run"),
            "useless",
        ),
        (
            async_fn(async |_, _: Value| Err::<(), _>(TaskError::failed("PARAM_ERROR: no amount"))),
            task("Run"),
            "PARAM_ERROR: no amount",
        ),
        (
            async_fn(async |_, _: u8| Ok(())),
            task("Run").args(&"text"),
            "PARAM_ERROR: the arguments do not fit u8",
        ),
        (
            blocking_fn(|_, _: u8| Ok(())),
            task("Run").args(&300),
            "PARAM_ERROR: the arguments do not fit u8",
        ),
        (
            async_fn(async |_, _: Value| Ok(std::collections::HashMap::from([(vec![1], 2)]))),
            task("Run"),
            "cannot be serialised to JSON",
        ),
    ];
    for (handler, task, expected) in cases {
        let (_gaia, demo) = with(handler).await;
        let task = run(&demo, task).await;
        assert_eq!((task.status, task.retry_time), (TaskStatus::Failed, 0));
        let error = task.last_error.expect("has one");
        assert!(error.contains(expected), "{error}");
    }
}

#[actix_rt::test]
async fn a_snooze_uses_no_attempt() {
    let snoozed = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&snoozed);
    let (gaia, demo) = with(async_fn(async move |ctx: TaskContext, _: Value| {
        let mut snoozed = seen.lock().expect("is not poisoned");
        *snoozed += 1;
        match *snoozed {
            1..=5 => Err(TaskError::Snooze(Duration::from_secs(60))),
            _ => Ok(ctx.attempt()),
        }
    }))
    .await;
    let id = demo.add_task(task("Run").max_retry(0)).await.expect("is added").id;
    for _ in 0..5 {
        assert_eq!(gaia.drain(THEME).await[&TaskStatus::Wait], 1);
        gaia.advance(Duration::from_secs(60));
    }
    assert_eq!(ended(&demo, id).await.last_result.as_deref(), Some("1"));
    assert_eq!(demo.status().await.expect("runs here").snoozed, 5);
}

#[actix_rt::test]
async fn a_panic_fails_the_attempt_and_nothing_else() {
    let handlers: [(Endpoint, &str); 4] = [
        (
            async_fn(async |_, _: Value| -> Result<(), TaskError> { panic!("oh {}", "no") }),
            "oh no",
        ),
        (
            async_fn(async |_, _: Value| -> Result<(), TaskError> { std::panic::panic_any(42) }),
            "a value that is not text",
        ),
        (
            blocking_fn(|_, _: Value| -> Result<(), TaskError> { panic!("blocking") }),
            "blocking",
        ),
        (
            blocking_fn(|_, _: Value| -> Result<(), TaskError> { std::panic::panic_any(Some(1)) }),
            "a value that is not text",
        ),
    ];
    for (handler, expected) in handlers {
        let (gaia, demo) = with_options(handler, options().worker_num(1)).await;
        let failed = run(&demo, task("Run").max_retry(1)).await;
        assert_eq!(failed.status, TaskStatus::Failed);
        assert_eq!(
            failed.last_error,
            Some(format!(
                "the handler panicked: {}",
                match expected {
                    "a value that is not text" => "(a value that is not text)",
                    text => text,
                }
            ))
        );
        let status = demo.status().await.expect("runs here");
        assert_eq!((status.panicked, status.executed), (2, 2));

        gaia.registry()
            .replace("Demo", "Run", async_fn(async |_, _: Value| Ok(())))
            .await
            .expect("is replaced");
        assert_eq!(run(&demo, task("Run")).await.status, TaskStatus::Success);
    }
}

#[actix_rt::test]
async fn a_run_that_takes_too_long_is_dropped() {
    struct Dropped(Arc<Mutex<bool>>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            *self.0.lock().expect("is not poisoned") = true;
        }
    }
    let dropped = Arc::new(Mutex::new(false));
    let held = Arc::clone(&dropped);
    let (entered, mut entries) = tokio::sync::mpsc::unbounded_channel();
    let (gaia, demo) = with(async_fn(async move |ctx: TaskContext, _: Value| {
        let _guard = Dropped(Arc::clone(&held));
        entered.send(ctx.time_left())?;
        std::future::pending::<Result<(), TaskError>>().await
    }))
    .await;
    let timeout = Duration::from_secs(30);
    let id = demo
        .add_task(task("Run").timeout(timeout).max_retry(0))
        .await
        .expect("is added")
        .id;
    assert_eq!(entries.recv().await, Some(Some(timeout)));
    assert!(!*dropped.lock().expect("is not poisoned"));
    gaia.advance(timeout);
    let task = ended(&demo, id).await;
    assert_eq!(task.status, TaskStatus::Failed);
    assert_eq!(task.last_error.as_deref(), Some("timed out after 30s"));
    assert_eq!(task.last_run_duration, timeout);
    assert!(*dropped.lock().expect("is not poisoned"));
    // Counted when the node learns that it is written.
    eventually("one time-out", async || {
        (demo.status().await.expect("runs here").timed_out == 1).then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn a_blocking_run_that_takes_too_long_is_told_and_its_late_end_counts_for_nothing() {
    let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
    let handler = blocking_fn(move |ctx: TaskContext, _: Value| {
        while !ctx.is_cancelled() {
            std::thread::sleep(Duration::from_millis(1));
        }
        told.send(())?;
        Ok("late")
    });
    let database = Database::fresh();
    let (_gaia, demo) = real(&database, handler, options()).await;
    let slow = task("Run").timeout(Duration::from_millis(30)).max_retry(0);
    let task = run(&demo, slow).await;
    assert_eq!(task.last_error.as_deref(), Some("timed out after 30ms"));
    assert_eq!(tells.recv().await, Some(()));
    assert_eq!(records(&demo, task.id).await.len(), 1);
}

/// A runtime in real time.
async fn real(database: &Database, handler: impl Into<Endpoint>, options: SchedulerOptions) -> (Gaia, Scheduler) {
    let builder = database.builder().handler("Demo", "Run", handler).scheduler(options);
    let gaia = builder.start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    (gaia, demo)
}

#[actix_rt::test]
async fn a_cancelled_handler_is_told_and_may_clean_up() {
    let (entered, mut entries) = tokio::sync::mpsc::unbounded_channel();
    let handler = async_fn(async move |ctx: TaskContext, obey: bool| {
        entered.send(())?;
        ctx.cancelled().await;
        if obey {
            return Err(TaskError::failed("stopped as told"));
        }
        Ok("finished all the same")
    });
    let database = Database::fresh();
    let (_gaia, demo) = real(&database, handler, options().cancel_grace(Duration::from_secs(60))).await;
    for (obey, status) in [(true, TaskStatus::Cancelled), (false, TaskStatus::Success)] {
        let id = demo.add_task(task("Run").args(&obey)).await.expect("is added").id;
        entries.recv().await.expect("runs");
        demo.cancel_task(id).await.expect("runs");
        assert_eq!(ended(&demo, id).await.status, status);
    }
}

#[actix_rt::test]
async fn a_cancelled_handler_that_does_not_listen_is_dropped_after_the_grace() {
    let gate = Gate::closed();
    let database = Database::fresh();
    let (_gaia, demo) = real(&database, gate.handler(), options()).await;
    let id = demo.add_task(task("Run")).await.expect("is added").id;
    gate.entered(1).await;
    demo.cancel_task(id).await.expect("runs");
    let task = ended(&demo, id).await;
    assert_eq!(task.status, TaskStatus::Cancelled);
    assert_eq!(task.last_error.as_deref(), Some("cancelled on request"));
    assert_eq!(gate.inside(), 0);
    assert_eq!(records(&demo, id).await.len(), 1);
}

#[actix_rt::test]
async fn a_task_that_waits_in_the_buffer_can_be_cancelled() {
    let gate = Gate::closed();
    let database = Database::fresh();
    let gaia = database
        .builder()
        .handler("Demo", "Run", gate.handler())
        .scheduler(options().worker_num(1))
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    // Quick runs first, so that the pool takes tasks in advance.
    gate.let_pass(200);
    demo.add_tasks(vec![task("Run"); 200]).await.expect("are added");
    gate.entered(200).await;
    let ids = demo.add_tasks(vec![task("Run"); 20]).await.expect("are added");
    gate.entered(1).await;
    eventually("a claimed task in the buffer", async || {
        let status = demo.status().await.expect("runs here");
        (status.queue_depth > 0).then_some(())
    })
    .await;
    for added in ids.iter().rev() {
        demo.cancel_task(added.id).await.expect("has not ended");
    }
    for added in &ids {
        assert_eq!(ended(&demo, added.id).await.status, TaskStatus::Cancelled);
    }
    assert_eq!(gate.inside(), 0);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn higher_priority_runs_first_and_older_before_younger() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    let (gaia, demo) = with_options(
        async_fn(async move |_, name: String| {
            seen.lock().expect("is not poisoned").push(name);
            Ok(())
        }),
        SchedulerOptions::new(THEME).worker_num(0),
    )
    .await;
    for (name, priority) in [("a", 0), ("b", -1), ("c", 5), ("d", 0), ("e", 5)] {
        demo.add_task(task("Run").args(&name).priority(priority))
            .await
            .expect("is added");
    }
    demo.resize_workers(1).await.expect("grows");
    gaia.drain(THEME).await;
    assert_eq!(*order.lock().expect("is not poisoned"), ["c", "e", "a", "d", "b"]);
}

#[actix_rt::test]
async fn progress_is_written_while_the_task_runs() {
    let (go, wait) = tokio::sync::watch::channel(false);
    let database = Database::fresh();
    let (gaia, demo) = real(
        &database,
        async_fn(async move |ctx: TaskContext, _: Value| {
            for percent in 0..=250 {
                ctx.progress(percent, format!("step {percent} 🚀"));
            }
            wait.clone().wait_for(|go| *go).await?;
            Ok(())
        }),
        options(),
    )
    .await;
    let id = demo.add_task(task("Run")).await.expect("is added").id;
    eventually("the last report", async || {
        let task = demo.get_task_detail(id).await.expect("is there");
        (task.progress == Some(100) && task.progress_note.as_deref() == Some("step 250 🚀")).then_some(())
    })
    .await;
    go.send_replace(true);
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn progress_is_written_although_outcomes_never_pause() {
    let (go, wait) = tokio::sync::watch::channel(false);
    let database = Database::fresh();
    let (gaia, demo) = real(
        &database,
        async_fn(async move |ctx: TaskContext, long: bool| {
            ctx.progress(7, "begun");
            if long {
                wait.clone().wait_for(|go| *go).await?;
            }
            Ok(())
        }),
        options(),
    )
    .await;
    let id = demo.add_task(task("Run").args(&true)).await.expect("is added").id;
    eventually("the report", async || {
        demo.add_tasks(vec![task("Run").args(&false); 200])
            .await
            .expect("are added");
        let task = demo.get_task_detail(id).await.expect("is there");
        (task.progress == Some(7)).then_some(())
    })
    .await;
    go.send_replace(true);
    // Success leaves it at 100.
    assert_eq!(ended(&demo, id).await.progress, Some(100));
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn success_leaves_progress_at_100() {
    let handler = async_fn(async |ctx: TaskContext, reports: bool| {
        if reports {
            ctx.progress(40, "begun");
        }
        match (reports, ctx.attempt()) {
            (true, 1) => Err(TaskError::failed("not yet")),
            _ => Ok(()),
        }
    });
    let database = Database::fresh();
    let (gaia, demo) = real(&database, handler, options()).await;
    let tasks = [false, true, false, true].map(|reports| task("Run").args(&reports));
    let added = demo.add_tasks(tasks.to_vec()).await.expect("are added");
    for added in added {
        let ended = ended(&demo, added.id).await;
        assert_eq!((ended.status, ended.progress), (TaskStatus::Success, Some(100)));
    }
    // One at a time is written in another way than many together.
    let single = demo.add_task(task("Run").args(&false)).await.expect("is added").id;
    assert_eq!(ended(&demo, single).await.progress, Some(100));
    // What fails keeps its last report, if that was written.
    let failed = demo
        .add_task(task("Run").args(&true).max_retry(0))
        .await
        .expect("is added")
        .id;
    let task = ended(&demo, failed).await;
    assert_eq!(task.status, TaskStatus::Failed);
    assert_ne!(task.progress, Some(100));
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn large_texts_of_any_script_are_stored_or_visibly_cut() {
    let (_gaia, demo) = with(async_fn(async |_, text: String| match text.len() {
        0..1_000 => Err(TaskError::discard("🚀\0".repeat(20_000))),
        _ => Ok(text),
    }))
    .await;
    let megabyte = "é".repeat(500_000);
    let stored = run(&demo, task("Run").args(&megabyte)).await;
    assert_eq!(stored.status, TaskStatus::Success);
    assert_eq!(stored.last_result, Some(format!("\"{megabyte}\"")));

    let cut = run(&demo, task("Run").args(&"é".repeat(1_000_000))).await;
    let result = cut.last_result.expect("has one");
    assert!(result.len() <= 1 << 20 && result.ends_with("… [cut: 2000002 bytes in all]"));

    let error = run(&demo, task("Run").args(&"")).await.last_error.expect("has one");
    assert_eq!(error, "🚀\u{fffd}".repeat(20_000));
}

#[actix_rt::test]
async fn by_the_guides_rule_a_missing_handler_fails_the_attempt_and_is_named() {
    let options = options().missing_handler(MissingHandler::Fail);
    let (gaia, demo) = with_options(async_fn(async |_, _: Value| Ok(())), options).await;
    let service = run(&demo, NewTask::new("Nobody", "Run").max_retry(0)).await;
    assert_eq!(
        service.last_error.as_deref(),
        Some("service \"Nobody\" is not registered; registered services: Demo")
    );
    let method = run(&demo, task("Walk").max_retry(0)).await;
    assert_eq!(
        method.last_error.as_deref(),
        Some("service \"Demo\" has no method \"Walk\"; its registered methods: Run")
    );
    gaia.registry()
        .register("Demo", "Walk", async_fn(async |_, _: Value| Ok(())))
        .await
        .expect("is free");
    demo.retry_task(method.id).await.expect("is Failed");
    assert_eq!(ended(&demo, method.id).await.status, TaskStatus::Success);

    assert!(gaia.registry().unregister("Demo", "Walk").await.expect("alive"));
    let gone = run(&demo, task("Walk").max_retry(0)).await;
    assert_eq!(gone.status, TaskStatus::Failed);
}

struct Counter(u64);

impl Actor for Counter {
    type Context = Context<Self>;
}

impl Handler<Invoke> for Counter {
    type Result = ResponseFuture<Result<Json, TaskError>>;

    fn handle(&mut self, call: Invoke, _: &mut Context<Self>) -> Self::Result {
        let amount = call.args::<u64>();
        if let Ok(amount) = amount {
            assert!(amount < 100, "too much");
            self.0 += amount;
        }
        let sum = self.0;
        Box::pin(async move { amount.and_then(|_| Json::of(&sum)) })
    }
}

#[actix_rt::test]
async fn any_actor_can_serve_a_method_and_its_end_is_an_error_not_a_hang() {
    let counter = Counter(0).start();
    let (_gaia, demo) = with_options(counter.recipient::<Invoke>(), options()).await;
    assert_eq!(run(&demo, task("Run").args(&2)).await.last_result.as_deref(), Some("2"));
    assert_eq!(run(&demo, task("Run").args(&3)).await.last_result.as_deref(), Some("5"));
    let bad = run(&demo, task("Run").args(&"x")).await;
    assert!(bad.last_error.expect("has one").starts_with("PARAM_ERROR"));
    // A panic inside an actor ends that actor (actix does not catch it): the task says so.
    let panicked = run(&demo, task("Run").args(&100).max_retry(0)).await;
    assert_eq!(panicked.status, TaskStatus::Failed);
    assert!(
        panicked
            .last_error
            .expect("has one")
            .contains("the actor that serves this method is gone")
    );
}

#[actix_rt::test]
async fn the_pre_handler_guards_every_attempt() {
    let asked = AtomicUsize::new(0);
    let options = options().pre_handler(async move |ctx| match asked.fetch_add(1, Ordering::SeqCst) + 1 {
        1 => Err(TaskError::failed("the database is away")),
        2 => panic!("worse"),
        _ => {
            assert_eq!(ctx.attempt(), 3);
            Ok(())
        }
    });
    let (_gaia, demo) = with_options(async_fn(async |_, _: Value| Ok(())), options).await;
    let task = run(&demo, task("Run")).await;
    assert_eq!(task.status, TaskStatus::Success);
    let errors: Vec<_> = records(&demo, task.id)
        .await
        .into_iter()
        .filter_map(|record| record.error)
        .collect();
    assert_eq!(
        errors,
        [
            "the handler panicked: in pre_handler: worse",
            "pre_handler: the database is away"
        ]
    );
}

#[actix_rt::test]
async fn the_post_handler_hears_of_every_outcome_once_it_is_stored() {
    let (heard, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let database = Database::fresh();
    let look = database.url();
    let options = options().post_handler(async move |ended, outcome| {
        let store = gaia_actors::store::Store::connect(&look, gaia_actors::Clock::system());
        drop(store.await.map_err(TaskError::from)?);
        heard.send((ended, outcome))?;
        Err(TaskError::failed("changes nothing"))
    });
    let gaia = database
        .builder()
        .handler(
            "Demo",
            "Run",
            async_fn(async |ctx: TaskContext, _: Value| match ctx.attempt() {
                1 => Err(TaskError::failed("no")),
                _ => Ok(7),
            }),
        )
        .scheduler(options)
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let id = demo.add_task(task("Run")).await.expect("is added").id;
    let mut outcomes = Vec::new();
    for _ in 0..2 {
        let (told, outcome) = hears.recv().await.expect("is told");
        assert_eq!(told.run.task_id, id);
        assert_eq!(told.is_final(), matches!(outcome, Outcome::Succeeded(_)));
        outcomes.push(outcome);
        assert!(database.number("SELECT COUNT(*) FROM asynctask_exec_row") >= 1);
    }
    // The hook of the first attempt may still be at work when that of the second has ended.
    outcomes.sort_by_key(|outcome| matches!(outcome, Outcome::Succeeded(_)));
    assert!(matches!(&outcomes[0], Outcome::Failed { error, .. } if error == "no"));
    assert!(matches!(&outcomes[1], Outcome::Succeeded(result) if result.as_str() == "7"));
    assert_eq!(
        database.number("SELECT COUNT(*) FROM asynctasks WHERE task_status = 'Success'"),
        1
    );
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn any_error_fails_the_attempt_with_its_chain_of_causes() {
    let handler = async_fn(async |ctx: TaskContext, _: Value| {
        let unread = || std::fs::read_to_string("/nowhere").map(drop);
        match ctx.attempt() {
            1 => anyhow::Context::context(unread(), "no price list")?,
            2 => unread().map_err(|error| Box::new(error) as Box<dyn std::error::Error + Send + Sync>)?,
            3 => Err(format!("the {} is closed", "shop"))?,
            4 => Err("no text is too short")?,
            5 => Err(std::rc::Rc::new(std::fmt::Error)).map_err(|error| TaskError::of(&*error))?,
            _ => unread()?,
        }
        Ok(())
    });
    let (_gaia, demo) = with_options(handler, options()).await;
    let task = run(&demo, task("Run").max_retry(5)).await;
    let mut records = records(&demo, task.id).await;
    records.sort_by_key(|record| record.attempt);
    let errors: Vec<_> = records.into_iter().filter_map(|record| record.error).collect();
    let unread = "No such file or directory (os error 2)";
    assert_eq!(
        errors,
        [
            &format!("no price list: {unread}"),
            unread,
            "the shop is closed",
            "no text is too short",
            "an error occurred when formatting an argument",
            unread
        ]
    );
}
