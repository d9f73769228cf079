//! Adding, finding and changing tasks.

use gaia_actors::{NewTask, TaskStatus};
use serde_json::{Value, json};

use crate::{
    client::{API, OPERATOR, PRODUCER, Served, VIEWER},
    support::{THEME, ended},
};

#[actix_rt::test]
async fn a_task_is_added_run_and_shown() {
    let served = Served::start().await;
    let task = r#"{"theme": "demo", "service": "Demo", "method": "Echo", "args": {"n": 1}, "max_retry": 0}"#;
    let answer = served.send("POST", "/tasks", task).await;
    let id = answer.with(201)["id"].as_i64().expect("an id");
    assert_eq!(answer.header("location"), Some(format!("tasks/{id}").as_str()));

    let ended = served.get(&format!("/tasks/{id}/wait?wait_ms=60000")).await.with(200);
    assert_eq!((&ended["status"], &ended["theme"]), (&json!("Success"), &json!("demo")));
    assert_eq!(
        (&ended["args"], &ended["last_result"]),
        (&json!({"n": 1}), &json!({"n": 1}))
    );
    assert_eq!(served.get(&format!("/tasks/{id}")).await.with(200), ended);

    let records = served.get(&format!("/tasks/{id}/records?page_size=5")).await.with(200);
    assert_eq!(
        (&records["total"], &records["items"][0]["result"]),
        (&json!(1), &json!({"n": 1}))
    );
    served.stop().await;
}

#[actix_rt::test]
async fn the_answer_to_an_addition_may_wait_for_the_end() {
    let served = Served::start().await;
    let echo = r#"{"theme": "demo", "service": "Demo", "method": "Echo", "args": [7]}"#;
    let added = served.send("POST", "/tasks?wait_ms=60000", echo).await.with(201);
    assert_eq!(added["task"]["last_result"], json!([7]));
    let gated = r#"{"theme": "demo", "service": "Demo", "method": "Gate", "unique_key": "one"}"#;
    let added = served.send("POST", "/tasks?wait_ms=1", gated).await.with(201);
    assert!(added["task"].is_null() && added.as_object().is_some_and(|added| added.contains_key("task")));
    // Another one with the same key is the same task.
    let again = served.send("POST", "/tasks", gated).await.with(200);
    assert_eq!(again, json!({"id": added["id"], "duplicate": true}));
    let id = added["id"].as_i64().expect("an id");
    let waiting = served.get(&format!("/tasks/{id}/wait?wait_ms=1")).await;
    assert_eq!(waiting.with(202)["id"], json!(id));
    // Who may only add tasks may not look at their ends.
    let refused = served.send_as(PRODUCER, "POST", "/tasks?wait_ms=1", echo).await;
    refused.refused(403, "no_permission");
    served
        .send_as(PRODUCER, "POST", "/tasks?wake=false", echo)
        .await
        .with(201);
    served.gate.let_pass(1);
    served.stop().await;
}

#[actix_rt::test]
async fn numbers_beyond_the_exact_ones_of_a_float_stay_what_they_are() {
    let served = Served::start().await;
    let args = r#"{"big":12345678901234567890123,"float":0.10000000000000000001,"far":1e400,"b":1,"a":2}"#;
    let task = format!(r#"{{"theme":"demo","service":"Demo","method":"Echo","args":{args}}}"#);
    let added = served.send("POST", "/tasks?wait_ms=60000", &task).await;
    assert_eq!(added.status, 201, "{added:?}");
    assert!(added.body.contains(&format!(r#""args":{args}"#)), "{}", added.body);
    assert!(
        added.body.contains(&format!(r#""last_result":{args}"#)),
        "{}",
        added.body
    );
    // `serde_json` reads no 1e400, so the id comes from the header.
    let place = added.header("location").expect("has a place").to_owned();
    let shown = served.get(&format!("/{place}")).await;
    assert!(shown.body.contains(args), "{}", shown.body);
    let records = served.get(&format!("/{place}/records")).await;
    assert!(records.body.contains(args), "{}", records.body);
    served.stop().await;
}

#[actix_rt::test]
async fn batches_are_all_or_none() {
    let served = Served::start().await;
    let list = r#"[{"theme":"later","service":"Demo","method":"Echo"},{"service":"Demo","method":"Fail"}]"#;
    let added = served.send("POST", "/tasks/batch", list).await.with(201);
    assert_eq!(added["tasks"].as_array().map(Vec::len), Some(2));

    let bearer = format!("Bearer {OPERATOR}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/jsonl; charset=utf-8"),
    ];
    let lines = "{\"service\":\"Demo\",\"method\":\"Echo\"}\n\n{\"service\":\"Demo\",\"method\":\"Fail\"}\n";
    let target = format!("{API}/tasks/batch?theme=later");
    let added = served.raw("POST", &target, &headers, lines).await.with(201);
    assert_eq!(added["tasks"].as_array().map(Vec::len), Some(2));

    let bad = r#"[{"theme":"later","service":"Demo","method":"Echo"},
        {"theme":"later","service":"","method":"Echo","max_retry":-1},
        {"theme":"other","service":"Demo","method":"Echo"},
        {"theme":"later","service":"Demo","metod":"Echo"}]"#;
    let problem = served.send("POST", "/tasks/batch", bad).await.refused(422, "invalid");
    let faults = problem["faults"].as_array().expect("a list");
    let indexes: Vec<_> = faults.iter().map(|fault| fault["index"].as_u64()).collect();
    assert_eq!(indexes, [Some(1), Some(1), Some(2), Some(3)], "{problem}");
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|text| text.contains("the nearest known is method"))
    );
    served.send("POST", "/tasks/batch", "[]").await.refused(422, "invalid");
    served.send("POST", "/tasks/batch", "{}").await.refused(400, "bad_json");
    let counts = served
        .gaia
        .scheduler("later")
        .expect("a theme")
        .count_by_status()
        .await
        .expect("counts");
    assert_eq!(counts.values().sum::<i64>(), 4);
    served.stop().await;
}

#[actix_rt::test]
async fn tasks_are_found_page_by_page() {
    let served = Served::start().await;
    for n in 0..5 {
        let task = format!(r#"{{"theme":"later","service":"Demo","method":"Echo","name":"order {n}"}}"#);
        served.send("POST", "/tasks", &task).await.with(201);
    }
    served
        .send("POST", "/tasks", r#"{"theme":"other","service":"A","method":"B"}"#)
        .await
        .with(201);
    let mut path = "/tasks?theme=later&limit=2".to_owned();
    let mut names = Vec::new();
    loop {
        let page = served.get(&path).await.with(200);
        names.extend(
            page["tasks"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|task| task["name"].clone()),
        );
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/tasks?theme=later&limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(
        json!(names),
        json!(["order 4", "order 3", "order 2", "order 1", "order 0"])
    );
    let page = served.get("/tasks?theme=later&limit=2").await.with(200);
    let cursor = page["next_cursor"].as_str().expect("more pages");
    let other = served.get(&format!("/tasks?theme=other&limit=2&cursor={cursor}")).await;
    other.refused(400, "bad_cursor");
    served.get("/tasks?cursor=AAAA").await.refused(400, "bad_cursor");

    for (query, found) in [
        ("name=order%203", 1),
        ("service=A&method=B", 1),
        ("status=Wait,Retry&status=Failed", 6),
        ("status=Success", 0),
        ("theme=later&theme=other", 6),
        (
            "created_from=2000-01-01T00:00:00Z&created_before=2001-01-01T00:00:00%2B08:00",
            0,
        ),
        ("without_node=true&status=Running", 0),
        (
            "unique_key=none&node=a&error=x&log_id=x-1&ended_from=2000-01-01T00:00:00Z",
            0,
        ),
        ("limit_key=none", 0),
    ] {
        let page = served.get(&format!("/tasks?{query}")).await.with(200);
        assert_eq!(page["tasks"].as_array().map(Vec::len), Some(found), "{query}: {page}");
    }
    served.stop().await;
}

#[actix_rt::test]
async fn one_task_is_cancelled_and_queued_again() {
    let served = Served::start().await;
    let gated = r#"{"theme":"demo","service":"Demo","method":"Gate"}"#;
    let id = served.send("POST", "/tasks", gated).await.with(201)["id"]
        .as_i64()
        .expect("an id");
    served.gate.entered(1).await;
    let cancelled = served.send("POST", &format!("/tasks/{id}/cancel"), "").await.with(202);
    assert_eq!(cancelled, json!({"id": id, "cancel": "requested"}));
    let demo = served.gaia.scheduler(THEME).expect("a theme");
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Cancelled);
    let problem = served
        .send("POST", &format!("/tasks/{id}/cancel"), "{}")
        .await
        .refused(409, "not_allowed");
    assert_eq!(problem["allowed_from"], json!(["Wait", "Retry", "Running"]));
    assert_eq!(problem["task_status"], json!("Cancelled"));
    served.gate.let_pass(1);
    served.send("POST", &format!("/tasks/{id}/retry"), "").await.with(200);
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    served
        .send("POST", &format!("/tasks/{id}/retry"), "")
        .await
        .refused(409, "not_allowed");

    let waiting = r#"{"theme":"later","service":"Demo","method":"Echo"}"#;
    let id = served.send("POST", "/tasks", waiting).await.with(201)["id"]
        .as_i64()
        .expect("an id");
    let cancelled = served.send("POST", &format!("/tasks/{id}/cancel"), "").await.with(200);
    assert_eq!(cancelled["cancel"], "cancelled");
    served.stop().await;
}

#[actix_rt::test]
async fn ids_that_no_task_has() {
    let served = Served::start().await;
    for id in [
        "0",
        "-1",
        "1",
        "9223372036854775807",
        "9223372036854775808",
        "99999999999999999999999999",
        "-9223372036854775809",
    ] {
        for path in [
            format!("/tasks/{id}"),
            format!("/tasks/{id}/records"),
            format!("/tasks/{id}/wait?wait_ms=1"),
        ] {
            served.get(&path).await.refused(404, "task_not_found");
        }
        served
            .send("POST", &format!("/tasks/{id}/retry"), "")
            .await
            .refused(404, "task_not_found");
        served.get(&format!("/jobs/{id}")).await.refused(404, "job_not_found");
        served.get(&format!("/runs/{id}")).await.refused(404, "run_not_found");
        served
            .get(&format!("/operations/{id}"))
            .await
            .refused(404, "bulk_operation_not_found");
    }
    for id in ["x", "1.0", "1e3", "%20", "+1", "0x1", "１"] {
        served
            .get(&format!("/tasks/{}", id.replace('１', "%EF%BC%91")))
            .await
            .refused(400, "bad_path");
    }
    served
        .get("/tasks?id=9223372036854775808")
        .await
        .refused(400, "bad_query");
    served.stop().await;
}

#[actix_rt::test]
async fn the_head_of_an_answer_can_be_asked_for_alone() {
    let served = Served::start().await;
    let answer = served.send_as(VIEWER, "HEAD", "/tasks", "").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    served.stop().await;
}

/// The same error in a route of the application and in the API.
#[actix_rt::test]
async fn an_error_answers_in_a_route_of_the_application_as_in_the_api() {
    use actix_web::{ResponseError, body::to_bytes};

    let served = Served::start().await;
    let demo = served.gaia.scheduler("demo").expect("is a theme");
    let missing = demo.get_task_detail(999).await.expect_err("is not there");
    let answer = missing.error_response();
    assert_eq!(answer.status().as_u16(), 404);
    let kind = answer.headers().get("content-type").expect("is there");
    assert_eq!(kind, "application/problem+json");
    let body = to_bytes(answer.into_body()).await.expect("is whole");
    let body: Value = serde_json::from_slice(&body).expect("is JSON");
    assert_eq!(body, served.get("/tasks/999").await.with(404));
    let invalid = demo.add_task(NewTask::new("", "")).await.expect_err("is refused");
    assert_eq!(invalid.error_response().status().as_u16(), 422);
    served.stop().await;
}
