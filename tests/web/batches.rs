//! Tasks that wait for others.

use serde_json::{Value, json};

use crate::client::{Answer, LIMITED, OPERATOR, Served};

const REPLAYED: &str = "idempotency-replayed";

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
    served.stop().await;
}

/// The first answer and the answer to the same request once more, which differ in nothing but that header.
fn assert_repeated(first: &Answer, again: &Answer, status: u16) {
    assert_eq!(first.header(REPLAYED), None);
    assert_eq!(again.header(REPLAYED), Some("true"));
    assert_eq!(again.with(status), first.with(status));
    assert!(first.header("location").is_some() || status == 200);
    assert_eq!(again.header("location"), first.header("location"));
}

#[actix_rt::test]
async fn a_repeated_request_adds_no_second_batch() {
    let served = Served::start().await;
    let send = async |key: &str, body: &str| served.send_once(OPERATOR, "/batches", key, body).await;
    let batch = |args: &str| {
        let task = json!({"service": "Demo", "method": "Echo"});
        let callback = json!({"service": "Demo", "method": "Echo", "args": args});
        json!({"theme": "demo", "tasks": [task, task], "callback": callback}).to_string()
    };
    let first = send("key", &batch("done")).await;
    assert_repeated(&first, &send("key", &batch("done")).await, 201);
    send("key", &batch("other"))
        .await
        .refused(422, "idempotency_key_reused");
    send("two words", &batch("done"))
        .await
        .refused(400, "bad_idempotency_key");
    // A faulty batch uses no key.
    let faulty = batch("done").replace("service", "servis");
    send("free", &faulty).await.refused(422, "invalid");
    let other = send("free", &batch("done")).await;
    assert_eq!(other.header(REPLAYED), None);
    assert_ne!(other.with(201)["id"], first.with(201)["id"]);
    assert_eq!(served.database.number("SELECT COUNT(*) FROM asynctasks"), 6);
    served.stop().await;
}

#[actix_rt::test]
async fn a_repeated_request_adds_no_second_task_behind_others() {
    let served = Served::start().await;
    let waiting = served
        .send("POST", "/tasks", &task("Echo", &json!({"theme": "later"})))
        .await;
    let waiting = waiting.with(201)["id"].clone();
    let send = async |key: &str, body: &Value| served.send_once(OPERATOR, "/tasks", key, &task("Echo", body)).await;
    let after = json!({"after": waiting});
    let first = send("key", &after).await;
    assert_repeated(&first, &send("key", &after).await, 201);
    for other in [json!({}), json!({"after": [waiting]})] {
        send("key", &other).await.refused(422, "idempotency_key_reused");
    }
    send("", &after).await.refused(400, "bad_idempotency_key");
    // A duplicate stays one.
    let keyed = json!({"after": waiting, "unique_key": "one"});
    served.send("POST", "/tasks", &task("Echo", &keyed)).await.with(201);
    let duplicate = send("another", &keyed).await;
    assert_repeated(&duplicate, &send("another", &keyed).await, 200);
    // What is refused uses no key, and what was added before the refusal is answered as before.
    let cancel = format!("/tasks/{waiting}/cancel");
    served.send("POST", &cancel, "").await.with(200);
    for (after, status, code) in [
        (&waiting, 409, "predecessor_ended"),
        (&json!(4_711), 404, "task_not_found"),
    ] {
        for _ in 0..2 {
            send("refused", &json!({"after": after})).await.refused(status, code);
        }
    }
    assert_repeated(&first, &send("key", &after).await, 201);
    assert_eq!(served.database.number("SELECT COUNT(*) FROM gaia_idempotency"), 2);
    served.stop().await;
}

/// A caller of one theme gets the answer again although the task before does not exist any more, and learns nothing of other themes.
#[actix_rt::test]
async fn a_caller_of_one_theme_repeats_requests_too() {
    let served = Served::start().await;
    let of_theme = |theme: &str, more: &Value| {
        let mut more = more.clone();
        more["theme"] = json!(theme);
        task("Echo", &more)
    };
    let send = async |key: &str, after: &Value| {
        let body = of_theme("allowed", &json!({"after": after}));
        served.send_once(LIMITED, "/tasks", key, &body).await
    };
    let foreign = served.send("POST", "/tasks", &of_theme("later", &json!({}))).await;
    let foreign = foreign.with(201)["id"].clone();
    let before = served.send("POST", "/tasks", &of_theme("allowed", &json!({}))).await;
    let before = before.with(201)["id"].clone();
    send("key", &foreign).await.refused(404, "task_not_found");
    let first = send("key", &before).await;
    assert_repeated(&first, &send("key", &before).await, 201);
    served
        .send("POST", &format!("/tasks/{before}/cancel"), "")
        .await
        .with(200);
    served.send("DELETE", &format!("/tasks/{before}"), "").await;
    assert_repeated(&first, &send("key", &before).await, 201);
    send("another", &before).await.refused(404, "task_not_found");
    send("key", &foreign).await.refused(422, "idempotency_key_reused");
    served.stop().await;
}
