//! What handlers log, read through the API and on pages while the run goes on and after it.

use std::{sync::Once, time::Instant};

use gaia_actors::{
    async_fn,
    logs::{KeepLogs, LogCapture},
    prelude::*,
    web::{AdminOptions, RedactedPart},
};
use log::{LevelFilter, Log, Metadata, Record};
use serde_json::{Value, json};

use crate::{
    client::{LIMITED, OPERATOR, PRODUCER, Served, VIEWER, tokens},
    support::{Gate, PATIENCE, eventually},
};

/// The logger of an application that writes nothing.
struct Silent;

impl Log for Silent {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        false
    }

    fn log(&self, _: &Record<'_>) {}

    fn flush(&self) {}
}

/// Starts a theme whose lines are kept. Its method logs a line each time the gate lets it pass, twice.
async fn talking(served: &Served) -> Gate {
    static CAPTURE: Once = Once::new();
    CAPTURE.call_once(|| {
        let capture = LogCapture::around(Silent);
        capture.install(LevelFilter::Info).expect("no other logger is set");
    });
    let gate = Gate::closed();
    let talk = {
        let gate = gate.clone();
        async_fn(async move |_: TaskContext, _: Value| {
            log::info!("first <b>&amp;</b> 🎉");
            gate.pass().await?;
            log::error!("second has a secret");
            Ok::<_, TaskError>(())
        })
    };
    let registry = served.gaia.registry();
    registry.register("Demo", "Talk", talk).await.expect("is free");
    let talks = SchedulerOptions::new("talks").keep_logs(KeepLogs::default());
    served.gaia.start_scheduler(talks).await.expect("starts");
    gate
}

async fn messages(served: &Served, path: &str) -> (Vec<String>, Value) {
    let answer = served.get(path).await.with(200);
    let lines = answer["lines"].as_array().expect("is a list");
    let text = |line: &Value| line["message"].as_str().expect("a text").to_owned();
    (lines.iter().map(text).collect(), answer)
}

#[actix_rt::test]
async fn a_log_is_followed_from_line_to_line() {
    let served = Served::start().await;
    let gate = talking(&served).await;
    let task = json!({"theme": "talks", "service": "Demo", "method": "Talk"});
    let id = served.send("POST", "/tasks", &task.to_string()).await.with(201)["id"].to_string();
    let log = format!("/tasks/{id}/log");
    let (first, answer) = messages(&served, &format!("{log}?wait_ms=60000")).await;
    assert_eq!(first, ["first <b>&amp;</b> 🎉"]);
    assert_eq!((&answer["is_over"], &answer["next"]), (&json!(false), &json!(1)));
    assert_eq!(answer["lines"][0]["level"], "INFO");
    // Nothing new comes within a millisecond.
    let (none, _) = messages(&served, &format!("{log}?after=1&wait_ms=1")).await;
    assert_eq!(none, [""; 0]);
    let page = served.page(OPERATOR, &log).await;
    let page = page.html(200);
    assert!(
        page.contains("first &lt;b&gt;&amp;amp;&lt;/b&gt; 🎉") && page.contains("data-refresh"),
        "{page}"
    );

    gate.entered(1).await;
    let began = Instant::now();
    let rest = format!("{log}?after=1&wait_ms=60000");
    let (follow, ()) = tokio::join!(messages(&served, &rest), async {
        gate.let_pass(1);
    });
    assert!(began.elapsed() < PATIENCE);
    assert_eq!(
        (follow.0, &follow.1["next"]),
        (vec!["second has a secret".to_owned()], &json!(2))
    );
    let log_id = follow.1["log_id"].as_str().expect("a text").to_owned();
    let whole = eventually("the end of the log", async || {
        let (lines, answer) = messages(&served, &format!("{log}?log_id={log_id}")).await;
        (answer["is_over"] == json!(true)).then_some(lines)
    })
    .await;
    assert_eq!(whole.len(), 2);
    // A run that has ended is not waited for, and what is beyond its end is nothing.
    let began = Instant::now();
    assert_eq!(
        messages(&served, &format!("{log}?after=1000&wait_ms=60000")).await.0,
        [""; 0]
    );
    assert!(began.elapsed() < PATIENCE);
    served.get("/tasks/999999/log").await.refused(404, "task_not_found");
    served.get(&format!("{log}?log_id=")).await.refused(422, "invalid");
    served
        .get(&format!("{log}?after=100001"))
        .await
        .refused(400, "bad_query");
    served.stop().await;
}

/// Lines may hold what arguments hold.
#[actix_rt::test]
async fn lines_are_shown_to_callers_who_see_arguments() {
    let options = AdminOptions::new(tokens()).redact(|text| {
        let is_secret = text.part == RedactedPart::LogLine && text.text.contains("secret");
        is_secret.then(|| "(hidden)".to_owned())
    });
    let served = Served::with(options).await;
    let gate = talking(&served).await;
    gate.let_pass(1);
    let task = json!({"theme": "talks", "service": "Demo", "method": "Talk"});
    let id = served
        .send("POST", "/tasks?wait_ms=60000", &task.to_string())
        .await
        .with(201)["id"]
        .to_string();
    let log = format!("/tasks/{id}/log");
    let (lines, _) = messages(&served, &format!("{log}?after=1&wait_ms=60000")).await;
    assert_eq!(lines, ["(hidden)"]);
    assert!(!served.page(OPERATOR, &log).await.html(200).contains("secret"));
    for token in [VIEWER, PRODUCER] {
        served
            .send_as(token, "GET", &log, "")
            .await
            .refused(403, "no_permission");
        served.page(token, &log).await.html(403);
    }
    served
        .send_as(LIMITED, "GET", &log, "")
        .await
        .refused(404, "task_not_found");
    served
        .send_as(LIMITED, "GET", "/runs/1/log", "")
        .await
        .refused(403, "theme_not_allowed");
    served.stop().await;
}

#[actix_rt::test]
async fn a_run_of_a_job_has_a_log() {
    let served = Served::start().await;
    let gate = talking(&served).await;
    gate.let_pass(1);
    let job = json!({"job_name": "<talk>", "job_type": "cron_job", "cron_expr": "@yearly", "service_name": "Demo",
        "service_method": "Talk"});
    let job = served.send("POST", "/jobs", &job.to_string()).await.with(201)["id"].to_string();
    let run = served.send("POST", &format!("/jobs/{job}/run"), "").await.with(202)["run_id"].to_string();
    let lines = eventually("the lines of the job", async || {
        let (lines, _) = messages(&served, &format!("/runs/{run}/log")).await;
        (lines.len() == 2).then_some(lines)
    })
    .await;
    assert_eq!(lines[1], "second has a secret");
    let page = served.page(OPERATOR, &format!("/runs/{run}/log")).await;
    let page = page.html(200);
    assert!(
        page.contains("&lt;talk&gt;") && page.contains("second has a secret"),
        "{page}"
    );
    served.get("/runs/999999/log").await.refused(404, "run_not_found");
    served.stop().await;
}
