//! The trace of a task reaches its handler, however the task was added, in each build.

use gaia_actors::{async_fn, prelude::*};
use serde_json::{Value, json};

use crate::support::{Database, THEME, ended, options, refusal, task};

/// One that no other number gives.
fn traceparent(number: usize) -> String {
    format!("00-0af7651916cd43dd8448eb21{number:08x}-b7ad6b7169203331-00")
}

#[actix_rt::test]
async fn the_trace_of_a_task_reaches_each_attempt() {
    let database = Database::fresh();
    let echo = async_fn(async |ctx: TaskContext, _: Value| match ctx.attempt() {
        1 => Err(TaskError::failed("not yet")),
        _ => Ok(ctx.traceparent().map(str::to_owned)),
    });
    let gaia = database
        .builder()
        .handler("Demo", "Echo", echo)
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let traced = |number| task("Echo").traceparent(traceparent(number));

    let mut added = vec![demo.add_task(traced(0)).await.expect("is added")];
    added.push(demo.add_task(traced(1).unique_key("a key")).await.expect("is added"));
    added.push(demo.receive_task(traced(2)).await.expect("is added"));
    // As many as are put into segments, in statements of several sizes.
    added.extend(demo.add_tasks((3..50).map(traced).collect()).await.expect("are added"));
    let once = demo
        .add_tasks_once("a-call", vec![traced(50), task("Echo")])
        .await
        .expect("are added");
    // The same call from another trace.
    let again = demo
        .add_tasks_once("a-call", vec![traced(51), traced(52)])
        .await
        .expect("is repeated");
    assert_eq!((again.replayed, &again.tasks), (true, &once.tasks));
    added.extend(once.tasks);
    for (number, added) in added.into_iter().enumerate() {
        let expected = (number <= 50).then(|| traceparent(number));
        let task = ended(&demo, added.id).await;
        assert_eq!(task.last_result, Some(json!(expected).to_string()));
        assert_eq!(task.traceparent, expected);
    }

    let bad = refusal(
        demo.add_tasks(vec![traced(1), task("Echo").traceparent("00-7-7-00")])
            .await,
    );
    assert!(
        bad.contains("task 1 of the list: traceparent is \"00-7-7-00\", expected 00, "),
        "{bad}"
    );
    gaia.stop().await.expect("stops");
}
