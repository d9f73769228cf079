//! Layers around handlers.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix::{Actor, Context, Handler};
use gaia_actors::{CallError, Endpoint, ExecRecord, Next, Registry, Task, async_fn, blocking_fn, prelude::*};
use serde_json::{Value, json};

use crate::support::{THEME, Tested, ended, eventually, options, task};

/// What has happened, in its order.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn add(&self, note: impl Into<String>) {
        self.0.lock().expect("is sound").push(note.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("is sound"))
    }

    /// A layer that notes its beginning and its end.
    fn layer(&self, name: &'static str) -> impl AsyncFn(TaskContext, Next) -> Result<Json, TaskError> + use<> {
        let notes = self.clone();
        async move |ctx: TaskContext, next: Next| {
            notes.add(format!("{name} begins {}.{}", next.service(), next.method()));
            let answer = next.run(ctx).await;
            notes.add(match &answer {
                Ok(answer) => format!("{name} sees {answer}"),
                Err(error) => format!("{name} sees: {error}"),
            });
            answer
        }
    }
}

/// A runtime whose time stands still, with one handler `Demo.Run`.
async fn with(handler: impl Into<Endpoint>, options: SchedulerOptions) -> (Tested, Scheduler) {
    let builder = Gaia::builder().handler("Demo", "Run", handler).scheduler(options);
    let gaia = Tested::start(builder).await;
    let demo = gaia.scheduler(THEME).expect("is a theme");
    (gaia, demo)
}

async fn run(demo: &Scheduler, task: NewTask) -> Task {
    let id = demo.add_task(task).await.expect("is added").id;
    ended(demo, id).await
}

/// The errors of the attempts of a task, the first attempt first.
async fn errors(demo: &Scheduler, id: i64) -> Vec<String> {
    let page = demo.get_task_exec_records(id, PageRequest::new(1, 1_000)).await;
    let mut records: Vec<ExecRecord> = page.expect("lists").items;
    records.sort_by_key(|record| record.attempt);
    records.into_iter().filter_map(|record| record.error).collect()
}

#[actix_rt::test]
async fn layers_are_around_each_other_and_around_the_handler() {
    let notes = Notes::default();
    let (before, inside) = (notes.clone(), notes.clone());
    let handler = async_fn(async move |_, n: i64| {
        inside.add("handler");
        Ok(2 * n)
    });
    let options = options()
        .pre_handler(async move |_| {
            before.add("pre-handler");
            Ok(())
        })
        .layer(notes.layer("outer"))
        .layer(notes.layer("inner"));
    let handler = handler.layer(notes.layer("method's")).layer(notes.layer("last"));
    let (_gaia, demo) = with(handler, options).await;
    let task = run(&demo, task("Run").args(&21)).await;
    assert_eq!(task.last_result.as_deref(), Some("42"));
    assert_eq!(
        notes.take(),
        [
            "outer begins Demo.Run",
            "inner begins Demo.Run",
            "pre-handler",
            "method's begins Demo.Run",
            "last begins Demo.Run",
            "handler",
            "last sees 42",
            "method's sees 42",
            "inner sees 42",
            "outer sees 42",
        ]
    );
}

struct Adder;

impl Actor for Adder {
    type Context = Context<Self>;
}

impl Handler<Invoke> for Adder {
    type Result = Result<Json, TaskError>;

    fn handle(&mut self, call: Invoke, _: &mut Context<Self>) -> Self::Result {
        let added = call.args::<i64>()? + *call.ctx.data::<i64>()?;
        Json::of(&added)
    }
}

#[actix_rt::test]
async fn a_layer_changes_arguments_data_and_answers_of_any_handler() {
    let added = |ctx: &TaskContext, n: i64| Ok::<_, TaskError>(n + *ctx.data::<i64>()?);
    let handlers = [
        async_fn(async move |ctx: TaskContext, n: i64| added(&ctx, n)),
        blocking_fn(move |ctx: TaskContext, n: i64| added(&ctx, n)),
        Adder.start().recipient().into(),
    ];
    for handler in handlers {
        let options = options()
            // The inner layer's value comes before that of the outer one.
            .layer(async |ctx: TaskContext, next: Next| next.run(ctx.with_data(1_000_i64)).await)
            .layer(async |ctx: TaskContext, next: Next| {
                let text: String = next.args().parse()?;
                let next = next.with_args(Json::of(&text.len())?);
                let answer: i64 = next.run(ctx.with_data(40_i64)).await?.parse()?;
                Json::of(&json!({ "answer": answer }))
            });
        let (_gaia, demo) = with(handler, options).await;
        let task = run(&demo, task("Run").args(&"ab")).await;
        assert_eq!(task.last_result.as_deref(), Some(r#"{"answer":42}"#), "{task:?}");
        assert_eq!(task.arg, r#""ab""#);
    }
}

#[actix_rt::test]
async fn a_layer_need_not_call_the_handler() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let handler = async_fn(async move |_, _: Value| {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    let guard = async |ctx: TaskContext, next: Next| match ctx.attempt() {
        1 => Err("the shop is closed")?,
        2 => Err(TaskError::Snooze(Duration::from_secs(60)))?,
        _ => {
            drop(next);
            Json::of("no need")
        }
    };
    // A snooze uses no attempt: the layer lets the second attempt pass once it comes again.
    let snoozed = AtomicUsize::new(0);
    let guard = async move |ctx: TaskContext, next: Next| match (ctx.attempt(), snoozed.load(Ordering::SeqCst)) {
        (2, 1) => Json::of("no need"),
        (2, _) => {
            snoozed.store(1, Ordering::SeqCst);
            guard(ctx, next).await
        }
        _ => guard(ctx, next).await,
    };
    let (gaia, demo) = with(
        handler,
        SchedulerOptions::new(THEME)
            .retry(RetryPolicy::immediate())
            .layer(guard),
    )
    .await;
    let id = demo.add_task(task("Run")).await.expect("is added").id;
    eventually("the snooze", async || {
        let task = demo.get_task_detail(id).await.expect("is there");
        (task.status == TaskStatus::Retry && task.run_at.is_some()).then_some(())
    })
    .await;
    gaia.advance(Duration::from_secs(60));
    let task = ended(&demo, id).await;
    assert_eq!(
        (task.status, task.last_result.as_deref()),
        (TaskStatus::Success, Some("\"no need\""))
    );
    assert_eq!(errors(&demo, id).await[0], "the shop is closed");
    assert_eq!(calls.load(Ordering::SeqCst), 0);
}

#[actix_rt::test]
async fn a_layer_that_panics_fails_the_attempt_and_outer_layers_see_an_error() {
    let notes = Notes::default();
    let handler = async_fn(async |_, _: Value| Ok(7));
    let options = options()
        .layer(notes.layer("outer"))
        .layer(async |ctx: TaskContext, next: Next| match ctx.attempt() {
            1 => panic!("before the handler"),
            2 => {
                next.run(ctx).await?;
                panic!("after the handler")
            }
            _ => next.run(ctx).await,
        });
    let (gaia, demo) = with(handler, options).await;
    let task = run(&demo, task("Run")).await;
    assert_eq!(
        (task.status, task.last_result.as_deref()),
        (TaskStatus::Success, Some("7"))
    );
    let expected = [
        "a layer panicked: before the handler",
        "a layer panicked: after the handler",
    ];
    assert_eq!(errors(&demo, task.id).await, expected);
    let seen: Vec<String> = notes.take().into_iter().filter(|note| note.contains("sees")).collect();
    assert_eq!(
        seen,
        [
            format!("outer sees: {}", expected[0]),
            format!("outer sees: {}", expected[1]),
            "outer sees 7".to_owned()
        ]
    );
    assert_eq!(
        gaia.scheduler(THEME)
            .expect("is a theme")
            .status()
            .await
            .expect("runs here")
            .panicked,
        2
    );
}

#[actix_rt::test]
async fn an_end_that_is_no_answer_stays_whatever_a_layer_answers() {
    struct Dies;

    impl Actor for Dies {
        type Context = Context<Self>;
    }

    impl Handler<Invoke> for Dies {
        type Result = Result<Json, TaskError>;

        fn handle(&mut self, _: Invoke, _: &mut Context<Self>) -> Self::Result {
            panic!("with the actor")
        }
    }

    let panicking = async_fn(async |_, _: Value| -> Result<(), TaskError> { panic!("on purpose") });
    // The actor has a thread of its own, which its panic ends.
    let arbiter = actix_rt::Arbiter::new();
    let dying = Dies::start_in_arbiter(&arbiter.handle(), |_| Dies);
    let cases: [(Endpoint, &str); 2] = [
        (panicking, "the handler panicked: on purpose"),
        (dying.recipient().into(), "the actor that serves this method is gone"),
    ];
    for (handler, expected) in cases {
        let notes = Notes::default();
        let options = options()
            .layer(async |ctx: TaskContext, next: Next| {
                next.run(ctx).await.ok();
                Json::of("all is well")
            })
            .layer(notes.layer("inner"));
        let (_gaia, demo) = with(handler, options).await;
        let task = run(&demo, task("Run").max_retry(0)).await;
        let error = task.last_error.expect("has one");
        assert_eq!(task.status, TaskStatus::Failed);
        assert!(error.starts_with(expected), "{error}");
        assert_eq!(notes.take()[1], format!("inner sees: {error}"));
    }
}

/// Notes that a layer was dropped before it came to its end.
struct Unfinished(Notes, bool);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.1 {
            self.0.add("dropped");
        }
    }
}

#[actix_rt::test]
async fn layers_are_within_the_timeout_of_the_run() {
    let notes = Notes::default();
    let (within, reached) = (notes.clone(), notes.clone());
    let handler = async_fn(async move |_, _: Value| {
        reached.add("handler");
        std::future::pending::<Result<(), TaskError>>().await
    });
    let options = options()
        .timeout(Duration::from_secs(10))
        .layer(async move |ctx: TaskContext, next: Next| {
            assert_eq!(ctx.time_left(), Some(Duration::from_secs(10)));
            let mut guard = Unfinished(within.clone(), false);
            let answer = next.run(ctx).await;
            guard.1 = true;
            answer
        });
    let (gaia, demo) = with(handler, options).await;
    let id = demo.add_task(task("Run").max_retry(0)).await.expect("is added").id;
    eventually("the handler", async || {
        notes
            .0
            .lock()
            .expect("is sound")
            .contains(&"handler".to_owned())
            .then_some(())
    })
    .await;
    gaia.advance(Duration::from_secs(10));
    let task = ended(&demo, id).await;
    assert_eq!(task.last_error.as_deref(), Some("timed out after 10s"));
    eventually("the drop", async || {
        notes.take().contains(&"dropped".to_owned()).then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn a_layer_is_around_the_runs_of_jobs() {
    let notes = Notes::default();
    let answer = async |ctx: TaskContext, next: Next| match ctx.attempt() {
        1 => panic!("at first"),
        _ => next.run(ctx).await,
    };
    let jobs = JobsOptions::default().layer(notes.layer("outer")).layer(answer);
    let handler =
        async_fn(async |ctx: TaskContext, _: Value| Ok(ctx.theme().to_owned())).layer(notes.layer("method's"));
    let gaia = Tested::start(Gaia::builder().handler("Demo", "Run", handler).jobs(jobs)).await;
    let jobs = gaia.jobs();
    let job = NewJob::cron_job("nightly", "0 0 1 * * *", "Demo", "Run")
        .max_retry(1)
        .retry_delay(Duration::ZERO);
    let id = jobs.add_job(job).await.expect("is added");
    let run = jobs.execute_job_immediately(id).await.expect("begins");
    let run = jobs.wait_for_run(run.id, crate::support::PATIENCE).await.expect("ends");
    assert_eq!(run.run_result.as_deref(), Some("\"nightly\""));
    assert_eq!(
        notes.take(),
        [
            "outer begins Demo.Run",
            "outer sees: a layer panicked: at first",
            "outer begins Demo.Run",
            "method's begins Demo.Run",
            "method's sees \"nightly\"",
            "outer sees \"nightly\"",
        ]
    );
}

#[actix_rt::test]
async fn the_layers_of_a_method_are_around_direct_calls() {
    let registry = Registry::start();
    let double = || async_fn(async |_, n: i64| Ok(2 * n));
    let layered = double().layer(async |ctx: TaskContext, next: Next| {
        let n: i64 = next.args().parse()?;
        let next = next.with_args(Json::of(&(n + 1))?);
        next.run(ctx).await
    });
    registry.register("Math", "Double", layered).await.expect("is free");
    assert_eq!(registry.call::<i64>("Math", "Double", &20).await.expect("answers"), 42);

    let panicking = double().layer(async |_, _| panic!("ouch"));
    registry
        .replace("Math", "Double", panicking)
        .await
        .expect("is replaced");
    let error = registry.call::<i64>("Math", "Double", &20).await.expect_err("panics");
    assert!(
        matches!(&error, CallError::LayerPanicked(text) if text == "ouch"),
        "{error:?}"
    );
    assert_eq!(error.to_string(), "a layer panicked: ouch");
}
