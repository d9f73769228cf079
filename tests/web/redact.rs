//! Texts that must not leave the process.

use gaia_actors::web::{AdminOptions, RedactedPart};
use serde_json::json;

use crate::{
    client::{Served, tokens},
    support::PATIENCE,
};

#[actix_rt::test]
async fn what_is_redacted_is_shown_nowhere_and_used_by_a_retry() {
    let options = AdminOptions::new(tokens()).redact(|text| {
        assert!(!text.is_cut || text.part != RedactedPart::HookUrl);
        text.text.contains("secret").then(|| "\"(redacted)\"".to_owned())
    });
    let served = Served::with(options).await;
    let echo = r#"{"theme":"demo","service":"Demo","method":"Echo","args":"a secret"}"#;
    let added = served.send("POST", "/tasks?wait_ms=60000", echo).await;
    assert_eq!(added.with(201)["task"]["args"], "(redacted)");
    let id = added.with(201)["id"].to_string();
    let plain = r#"{"theme":"demo","service":"Demo","method":"Echo","args":"plain"}"#;
    let plain = served.send("POST", "/tasks?wait_ms=60000", plain).await.with(201);
    assert_eq!(
        (&plain["task"]["args"], plain["task"].get("redacted")),
        (&json!("plain"), None)
    );

    let job = r#"{"job_name":"report","job_type":"cron_job","cron_expr":"@yearly","service_name":"Demo","service_method":"Echo",
        "args":"a secret"}"#;
    let job = served.send("POST", "/jobs", job).await.with(201)["id"].to_string();
    let run = served.send("POST", &format!("/jobs/{job}/run"), "").await;
    assert!(!run.body.contains("secret"), "{}", run.body);
    let run = run.with(202)["run_id"].as_i64().expect("an id");
    let run = served.gaia.jobs().wait_for_run(run, PATIENCE).await.expect("ends");
    assert_eq!(run.run_result.as_deref(), Some("\"a secret\""));
    let preview = r#"{"action":"delete","filter":{"themes":["demo"]}}"#;
    for (method, path, body) in [
        ("GET", format!("/tasks/{id}"), ""),
        ("GET", format!("/tasks/{id}/wait"), ""),
        ("GET", format!("/tasks/{id}/records"), ""),
        ("GET", "/tasks".to_owned(), ""),
        ("POST", "/tasks/bulk/preview".to_owned(), preview),
        ("GET", "/jobs".to_owned(), ""),
        ("GET", format!("/jobs/{job}"), ""),
        ("GET", format!("/jobs/{job}/runs"), ""),
        ("GET", "/runs".to_owned(), ""),
    ] {
        let answer = served.send(method, &path, body).await;
        answer.with(200);
        assert!(!answer.body.contains("a secret"), "{path}: {}", answer.body);
        assert!(
            answer.body.contains("(redacted)") && answer.body.contains("\"redacted\":true"),
            "{path}: {}",
            answer.body
        );
    }
    // A view from which something is missing is no definition.
    let shown = served.get(&format!("/jobs/{job}")).await.body;
    served
        .send("PUT", &format!("/jobs/{job}"), &shown)
        .await
        .refused(422, "invalid");
    served.stop().await;
}

#[actix_rt::test]
async fn errors_are_redacted_in_lists_and_details() {
    let options =
        AdminOptions::new(tokens()).redact(|text| (text.part == RedactedPart::Error).then(|| "(an error)".to_owned()));
    let served = Served::with(options).await;
    let fail = r#"{"theme":"demo","service":"Demo","method":"Fail","max_retry":0}"#;
    let added = served.send("POST", "/tasks?wait_ms=60000", fail).await.with(201);
    assert_eq!(
        (&added["task"]["status"], &added["task"]["last_error"]),
        (&json!("Failed"), &json!("(an error)"))
    );
    let id = added["id"].to_string();
    for path in [
        "/tasks".to_owned(),
        format!("/tasks/{id}"),
        format!("/tasks/{id}/records"),
    ] {
        let answer = served.get(&path).await;
        assert!(
            !answer.body.contains("refused by a handler") && answer.body.contains("(an error)"),
            "{}",
            answer.body
        );
    }
    served.stop().await;
}
