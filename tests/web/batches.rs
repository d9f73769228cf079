//! Tasks that wait for others.

use serde_json::{Value, json};

use crate::client::{OPERATOR, Served};

/// The body of a task that calls a method of the handlers, with more keys.
fn task(method: &str, more: &Value) -> String {
    let mut body = json!({"theme": "demo", "service": "Demo", "method": method});
    let keys = more.as_object().expect("is an object").clone();
    body.as_object_mut().expect("is an object").extend(keys);
    body.to_string()
}

#[actix_rt::test]
async fn a_task_waits_for_those_before_it() {
    let served = Served::start().await;
    let add = async |body: &str| served.send("POST", "/tasks?wait_ms=60000", body).await;
    let first = add(&task("Echo", &json!({"args": 1}))).await.with(201)["id"].clone();
    let failed = add(&task("Fail", &json!({"max_retry": 0}))).await.with(201)["id"].clone();
    let later = task("Echo", &json!({"theme": "later"}));
    let waiting = served.send("POST", "/tasks", &later).await.with(201)["id"].clone();

    let behind = add(&task("Echo", &json!({"after": first, "args": 2}))).await.with(201);
    assert_eq!(behind["task"]["status"], "Success");
    let after = json!({"after": [first, waiting], "unique_key": "one"});
    let added = served.send("POST", "/tasks", &task("Echo", &after)).await;
    let id = added.with(201)["id"].clone();
    let again = served.send("POST", "/tasks", &task("Echo", &after)).await.with(200);
    assert_eq!((&again["id"], &again["duplicate"]), (&id, &json!(true)));
    let shown = served.get(&format!("/tasks/{id}")).await.with(200);
    assert_eq!(
        (&shown["run_at"], &shown["waits_for"]["total"]),
        (&Value::Null, &json!(2))
    );
    assert_eq!(shown["waits_for"]["unfinished"], 1);
    let cancel = format!("/tasks/{waiting}/cancel");
    served.send("POST", &cancel, "").await.with(200);
    let ended = served.get(&format!("/tasks/{id}/wait")).await.with(200);
    assert_eq!(ended["status"], "Cancelled");

    let refused = add(&task("Echo", &json!({"after": [first, failed]}))).await;
    refused.refused(409, "predecessor_ended");
    add(&task("Echo", &json!({"after": [first, 4_711]})))
        .await
        .refused(404, "task_not_found");
    for bad in [
        json!([]),
        json!("1"),
        json!([1, null]),
        json!(0.5),
        json!((0..1_001).collect::<Vec<_>>()),
    ] {
        let refused = add(&task("Echo", &json!({"after": bad}))).await;
        refused.refused(422, "invalid");
    }
    let late = json!({"after": first, "run_at": "2999-01-01T00:00:00Z"});
    add(&task("Echo", &late)).await.refused(422, "invalid");
    let of_list = format!("[{}]", task("Echo", &json!({"after": first})));
    let problem = served
        .send("POST", "/tasks/batch", &of_list)
        .await
        .refused(422, "invalid");
    assert_eq!(problem["faults"][0]["pointer"], "/after");
    let keyed = served
        .send_once(OPERATOR, "/tasks", "key", &task("Echo", &json!({"after": first})))
        .await;
    keyed.refused(400, "bad_idempotency_key");
    served.stop().await;
}

#[actix_rt::test]
async fn the_callback_of_a_batch_runs_when_all_of_it_has_ended() {
    let served = Served::start().await;
    let batch = r#"{"theme": "demo", "callback": {"service": "Demo", "method": "Echo", "args": "done"}, "tasks": [
        {"service": "Demo", "method": "Echo", "args": {"n": 1.50}}, {"theme": "demo", "service": "Demo", "method": "Fail", "max_retry": 0}]}"#;
    let answer = served.send("POST", "/batches", batch).await;
    let added = answer.with(201);
    let id = added["id"].clone();
    assert!(
        answer
            .header("location")
            .is_some_and(|place| place.ends_with(&format!("tasks/{id}")))
    );
    assert_eq!(added["tasks"].as_array().map(Vec::len), Some(2));
    let callback = served.get(&format!("/tasks/{id}/wait?wait_ms=60000")).await.with(200);
    assert_eq!(
        (&callback["status"], &callback["last_result"]),
        (&json!("Success"), &json!("done"))
    );
    let first = &added["tasks"][0]["id"];
    let first = served.get(&format!("/tasks/{first}")).await;
    assert!(first.body.contains(r#""args":{"n": 1.50}"#), "{}", first.body);

    let bad = r#"{"theme": "demo", "callback": {"service": "Demo", "metod": "Echo"}, "tasks": [
        {"service": "Demo", "method": "Echo"}, {"theme": "other", "service": "Demo", "method": "Echo"},
        {"service": "", "method": "Echo", "max_retry": -1}, {"service": "Demo", "method": "Echo", "after": 1}]}"#;
    let problem = served.send("POST", "/batches", bad).await.refused(422, "invalid");
    let faults = problem["faults"].as_array().expect("a list");
    let places: Vec<_> = faults
        .iter()
        .map(|fault| (&fault["index"], &fault["pointer"]))
        .collect();
    assert_eq!(places.len(), 5, "{problem}");
    assert_eq!(places[0], (&json!(1), &json!("/theme")));
    assert_eq!((places[1].0, places[2].0), (&json!(2), &json!(2)));
    assert_eq!(places[3], (&json!(3), &json!("/after")));
    assert_eq!(places[4].1, "/callback/metod");

    let empty = r#"{"theme": "demo", "tasks": [], "callback": {"service": "Demo", "method": "Echo"}}"#;
    served.send("POST", "/batches", empty).await.refused(422, "invalid");
    served.send("POST", "/batches", "{}").await.refused(422, "invalid");
    served.send("POST", "/batches", "[]").await.refused(422, "invalid");
    served.send("POST", "/batches", "!").await.refused(400, "bad_json");
    let keyed = served.send_once(OPERATOR, "/batches", "key", batch).await;
    keyed.refused(400, "bad_idempotency_key");
    served.stop().await;
}
