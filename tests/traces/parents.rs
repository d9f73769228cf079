//! What counts as the cause of a task, and what does not.

use gaia_actors::{async_fn, prelude::*};
use serde_json::{Value, json};
use tracing::{Instrument, info_span};

use crate::{
    collector::{attempts_of, somewhere, spans_of},
    one_trace::Served,
    support::{THEME, ended, task},
};

/// Its result is its trace.
async fn serving() -> Served {
    let echo = async_fn(async |ctx: TaskContext, _: Value| Ok(ctx.traceparent().map(str::to_owned)));
    Served::start(|builder| builder.handler("Demo", "Echo", echo)).await
}

fn scheduler(served: &Served) -> Scheduler {
    served.gaia.scheduler(THEME).expect("is a theme")
}

fn echo() -> Value {
    json!({"theme": THEME, "service": "Demo", "method": "Echo"})
}

/// The trace that the handler of a task was told, as the row of the task has it.
async fn told(served: &Served, id: i64) -> Option<String> {
    let task = ended(&scheduler(served), id).await;
    assert_eq!(task.last_result, Some(json!(task.traceparent).to_string()));
    task.traceparent
}

#[actix_rt::test]
async fn a_header_that_is_no_traceparent_is_ignored() {
    let served = serving().await;
    let (trace, _, good) = somewhere();
    for lines in [
        &[format!("traceparent: {}", good.to_uppercase())][..],
        &[format!("traceparent: {good}-more")],
        &[format!("traceparent: {good}"), format!("traceparent: {good}")],
        &["traceparent: '; DROP TABLE asynctasks; --".to_owned()],
        &["traceparent: \u{e9}".to_owned()],
    ] {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let (status, added) = served.post("/tasks", &lines, &echo()).await;
        assert_eq!(status, 201, "{added}");
        // The addition begins a trace of its own.
        let begun = told(&served, added["id"].as_i64().expect("is an id"))
            .await
            .expect("has a trace");
        assert!(!begun.contains(&trace), "{begun}");
        let spans = spans_of(&begun[3..35], 2).await;
        let adding = spans.iter().find(|span| span.name == "gaia.add").expect("is there");
        assert_eq!((adding.parent.as_str(), adding.traceparent()), ("", begun));
    }
    served.stop().await;
}

#[actix_rt::test]
async fn a_task_of_a_list_keeps_its_own_trace_before_that_of_the_request() {
    let served = serving().await;
    let ((_, _, of_request), (_, _, own)) = (somewhere(), somewhere());
    let mut second = echo();
    second["traceparent"] = json!(own);
    let line = format!("traceparent: {of_request}");
    let (status, added) = served.post("/tasks/batch", &[&line], &json!([echo(), second])).await;
    assert_eq!(status, 201, "{added}");
    for (place, expected) in [of_request, own].into_iter().enumerate() {
        let id = added["tasks"][place]["id"].as_i64().expect("is an id");
        assert_eq!(told(&served, id).await, Some(expected));
    }
    second = echo();
    second["traceparent"] = json!("nonsense");
    let (status, refused) = served.post("/tasks", &[], &second).await;
    assert_eq!(status, 422, "{refused}");
    assert!(
        refused
            .to_string()
            .contains("traceparent is \\\"nonsense\\\", expected 00, "),
        "{refused}"
    );
    served.stop().await;
}

#[actix_rt::test]
async fn what_is_added_within_a_span_belongs_to_its_trace() {
    let served = serving().await;
    let demo = scheduler(&served);
    let many = demo.add_tasks(vec![task("Echo"), task("Echo").unique_key("a key")]);
    let many = many.instrument(info_span!("checkout")).await.expect("are added");
    let once = |key: &'static str| demo.add_tasks_once(key, vec![task("Echo")]);
    let first = once("a-call")
        .instrument(info_span!("first try"))
        .await
        .expect("is added");
    let again = once("a-call")
        .instrument(info_span!("second try"))
        .await
        .expect("is added");
    assert!(!first.replayed && again.replayed);
    for (tasks, name) in [(many, "checkout"), (again.tasks, "first try")] {
        for added in tasks {
            let traceparent = told(&served, added.id).await.expect("has a trace");
            let spans = spans_of(&traceparent[3..35], 3).await;
            let find = |name: &str| spans.iter().find(|span| span.name == name).expect("is there");
            let (around, adding) = (find(name), find("gaia.add"));
            assert_eq!((&adding.parent, &adding.traceparent()), (&around.id, &traceparent));
            assert_eq!(find("gaia.task").parent, adding.id);
        }
    }
    served.stop().await;
}

#[actix_rt::test]
async fn what_is_no_traceparent_in_the_row_counts_as_none() {
    let served = serving().await;
    let demo = scheduler(&served);
    for hostile in [
        "",
        "00-zz",
        "''; DROP TABLE asynctasks; --",
        "00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01",
    ] {
        let later = chrono::Utc::now() + chrono::TimeDelta::hours(1);
        let added = demo.add_task(task("Echo").run_at(later)).await.expect("is added");
        let sql = format!(
            "UPDATE asynctasks SET traceparent = '{hostile}' WHERE id = {}",
            added.id
        );
        served.database.execute(&sql);
        served.gaia.admin().run_task_now(added.id).await.expect("is due");
        assert_eq!(told(&served, added.id).await, None, "{hostile}");
        let task = demo.get_task_detail(added.id).await.expect("is there");
        let attempts = attempts_of(&[task.log_id.expect("has run")]).await;
        assert_eq!(attempts[0].parent, "");
    }
    served.stop().await;
}
