//! Lines of handlers carry the log id of their run.

use std::sync::{Arc, Mutex};

use gaia_actors::{
    Next, async_fn, blocking_fn,
    logs::{LogCapture, current_log_id},
    prelude::*,
};
use log::{Level, Log, Metadata, Record};
use serde_json::Value;

use crate::support::{THEME, Tested, ended, options, task};

/// A logger of an application.
#[derive(Clone, Default)]
struct Collected(Arc<Mutex<Vec<String>>>);

impl Log for Collected {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Info
    }

    fn log(&self, record: &Record<'_>) {
        let facts = (record.level(), record.target(), record.line().unwrap_or_default());
        let line = format!("{} {} {}: {}", facts.0, facts.1, facts.2, record.args());
        self.0.lock().expect("is sound").push(line);
    }

    fn flush(&self) {}
}

/// Logs as `log::info!` does.
fn say(logger: &impl Log, level: Level, target: &str, text: &str) {
    let mut record = Record::builder();
    record.level(level).target(target).line(Some(7));
    logger.log(&record.args(format_args!("{text}")).build());
}

#[actix_rt::test]
async fn a_line_that_a_handler_or_a_layer_logs_ends_with_the_log_id() {
    let collected = Collected::default();
    let logger = Arc::new(LogCapture::around(collected.clone()).with_log_ids());
    let say = move |text: &str| {
        say(&*logger, Level::Info, "shop", text);
        say(&*logger, Level::Debug, "shop", "too fine");
        say(&*logger, Level::Info, "gaia_actors", "of the crate itself");
    };
    let (around, async_say, blocking_say) = (say.clone(), say.clone(), say.clone());
    let after = say.clone();
    let of_async = async_fn(async move |ctx: TaskContext, _: Value| {
        let spawned = async_say.clone();
        async_say("async");
        actix_rt::spawn(ctx.log_scope(async move { spawned("spawned") })).await?;
        Ok(())
    });
    let of_blocking = blocking_fn(move |_: TaskContext, _: Value| {
        blocking_say("blocking");
        Ok(())
    });
    let options = options()
        .layer(async move |ctx: TaskContext, next: Next| {
            around("layer");
            next.run(ctx).await
        })
        .post_handler(async move |_, _| {
            after("after");
            Ok(())
        });
    let builder = Gaia::builder()
        .handler("Demo", "Async", of_async)
        .handler("Demo", "Blocking", of_blocking);
    let gaia = Tested::start(builder.scheduler(options)).await;
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let mut expected = Vec::new();
    for (method, texts) in [
        ("Async", vec!["layer", "async", "spawned", "after"]),
        ("Blocking", vec!["layer", "blocking", "after"]),
    ] {
        let id = demo.add_task(task(method)).await.expect("is added").id;
        let log_id = ended(&demo, id).await.log_id.expect("has one");
        for text in texts {
            expected.push(format!("INFO shop 7: {text} log_id={log_id}"));
            expected.push("INFO gaia_actors 7: of the crate itself".to_owned());
        }
    }
    say("outside of every run");
    expected.push("INFO shop 7: outside of every run".to_owned());
    expected.push("INFO gaia_actors 7: of the crate itself".to_owned());
    // A stop waits for the post-handlers.
    gaia.stop().await.expect("stops");
    let mut found = collected.0.lock().expect("is sound").clone();
    // The post-handler of the first task may come after the beginning of the second task.
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[actix_rt::test]
async fn a_logger_may_ask_for_the_log_id() {
    let handler = async_fn(async |ctx: TaskContext, _: Value| {
        assert_eq!(current_log_id().as_deref(), Some(ctx.log_id()));
        Ok(current_log_id().map(|log_id| log_id.to_string()))
    });
    let job = async_fn(async |_, _: Value| Ok(current_log_id().map(|log_id| log_id.to_string())));
    let builder = Gaia::builder()
        .handler("Demo", "Ask", handler)
        .handler("Demo", "Job", job);
    let gaia = Tested::start(builder.scheduler(options()).jobs(JobsOptions::default())).await;
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let id = demo.add_task(task("Ask")).await.expect("is added").id;
    let task = ended(&demo, id).await;
    let log_id = task.log_id.expect("has one");
    assert_eq!(task.last_result, Some(format!("\"{log_id}\"")));
    assert_eq!(current_log_id(), None);

    let jobs = gaia.jobs();
    let id = jobs
        .add_job(NewJob::cron_job("ask", "0 0 1 * * *", "Demo", "Job"))
        .await
        .expect("is added");
    let run = jobs.execute_job_immediately(id).await.expect("begins");
    let run = jobs.wait_for_run(run.id, crate::support::PATIENCE).await.expect("ends");
    let log_id = run.log_id.expect("has one");
    assert_eq!(run.run_result, Some(format!("\"{log_id}\"")));
    // A direct call is no run.
    let direct: Option<String> = gaia.registry().call("Demo", "Job", &()).await.expect("answers");
    assert_eq!(direct, None);
}
