//! Limits of methods: how many tasks run at once, and how many start in a time.

use serde_json::{Value, json};

use crate::{
    client::{LIMITED, OPERATOR, PRODUCER, Served, VIEWER, escaped},
    support::eventually,
};

/// The newest entry of the audit.
async fn newest(served: &Served) -> Value {
    served.get("/audit?limit=1").await.with(200)["entries"][0].clone()
}

#[actix_rt::test]
async fn a_limit_is_set_listed_replaced_and_removed() {
    let served = Served::start().await;
    assert_eq!(served.get("/limits").await.with(200), json!({"limits": []}));
    let path = "/limits/Mail/Send";
    let all = json!({
        "running": 5, "starts": {"count": 100, "per_ms": 60_000},
        "running_per_key": 2, "starts_per_key": {"count": 10, "per_ms": 1_000},
    });
    let set = served.send("PUT", path, &all.to_string()).await.with(200);
    let expected =
        json!({"service": "Mail", "method": "Send", "limit": all, "slots": 0, "waits": false, "waiting_keys": 0});
    assert_eq!(set, expected);
    assert_eq!(served.get("/limits").await.with(200), json!({"limits": [expected]}));

    let because = r#"{"running":2,"running_per_key":1,"reason":"the provider is slow"}"#;
    let replaced = served.send("PUT", path, because).await.with(200);
    assert_eq!(
        replaced["limit"],
        json!({"running": 2, "starts": null, "running_per_key": 1, "starts_per_key": null})
    );
    let entry = newest(&served).await;
    assert_eq!(
        (&entry["action"], &entry["target"], &entry["theme"], &entry["reason"]),
        (
            &json!("limit.set"),
            &json!("Mail.Send"),
            &Value::Null,
            &json!("the provider is slow")
        ),
        "{entry}"
    );
    let changes = json!([
        {"field": "running", "from": 5, "to": 2},
        {"field": "running_per_key", "from": 2, "to": 1},
        {"field": "starts", "from": {"count": 100, "per_ms": 60_000}, "to": null},
        {"field": "starts_per_key", "from": {"count": 10, "per_ms": 1_000}, "to": null},
    ]);
    assert_eq!(entry["changes"], changes);

    assert_eq!(served.send("DELETE", path, "").await.status, 204);
    let entry = newest(&served).await;
    assert_eq!(
        (&entry["action"], &entry["target"], &entry["changes"], &entry["result"]),
        (
            &json!("limit.remove"),
            &json!("Mail.Send"),
            &json!([
                {"field": "running", "from": 2, "to": null},
                {"field": "running_per_key", "from": 1, "to": null},
            ]),
            &json!("done")
        )
    );
    let problem = served.send("DELETE", path, "").await.refused(404, "limit_not_found");
    assert_eq!(problem["detail"], "the method Mail.Send has no limit");
    let entry = newest(&served).await;
    assert_eq!(
        (&entry["changes"], &entry["result"]),
        (&json!([]), &json!("refused: limit_not_found"))
    );
    assert_eq!(served.get("/limits").await.with(200), json!({"limits": []}));
    served.stop().await;
}

#[actix_rt::test]
async fn methods_of_any_name_are_reached_by_their_paths() {
    let served = Served::start().await;
    let names = ["a/b", "..", ".", "邮件", "a%2Fb", "a+b c", "<script>\"'`"];
    for name in names {
        let path = format!("/limits/{}/{}", escaped(name), escaped("发送.v1/x"));
        let set = served.send("PUT", &path, r#"{"running":1}"#).await.with(200);
        assert_eq!((&set["service"], &set["method"]), (&json!(name), &json!("发送.v1/x")));
    }
    let listed = served.get("/limits").await.with(200);
    assert_eq!(listed["limits"].as_array().map(Vec::len), Some(names.len()));
    for name in names {
        let path = format!("/limits/{}/{}", escaped(name), escaped("发送.v1/x"));
        assert_eq!(served.send("DELETE", &path, "").await.status, 204);
    }
    for (method, body) in [("PUT", r#"{"running":1}"#), ("DELETE", "")] {
        served
            .send(method, "/limits/%FF/Send", body)
            .await
            .refused(400, "bad_path");
        served
            .send(method, "/limits/a/b/c", body)
            .await
            .refused(404, "route_not_found");
    }
    // No method has such a name, so none has a limit.
    served
        .send("DELETE", "/limits/a%00b/Send", "")
        .await
        .refused(404, "limit_not_found");
    served.stop().await;
}

#[actix_rt::test]
async fn every_fault_of_a_limit_is_in_one_answer() {
    let served = Served::start().await;
    let faults = async |path: &str, body: &str| -> Vec<String> {
        let problem = served.send("PUT", path, body).await.refused(422, "invalid");
        let faults = problem["faults"].as_array().expect("is a list").iter();
        let details = faults.map(|fault| fault["detail"].as_str().expect("a text").to_owned());
        details.collect()
    };
    let long = "x".repeat(1_000);
    let path = format!("/limits/{long}/{long}");
    for half in ["", "_per_key"] {
        let body = format!(r#"{{"running{half}":0,"starts{half}":{{"count":0,"per_ms":0}}}}"#);
        let all = faults(&path, &body).await;
        for (fault, expected) in all.iter().zip([
            "service ",
            "method ",
            "0 tasks at once: 1 to 1000000 may run",
            "0 starts: 1 to 1000000",
            "starts in 0ns: the time is 1 ms to 366 days",
        ]) {
            assert!(fault.starts_with(expected), "{fault}");
        }
        assert_eq!(all.len(), 5, "{all:?}");
    }
    for (body, expected) in [
        ("{}", "the limit limits nothing"),
        (r#"{"running":null,"starts":null}"#, "the limit limits nothing"),
        (
            r#"{"running_per_key":null,"starts_per_key":null}"#,
            "the limit limits nothing",
        ),
        (r#"{"running":1000001}"#, "1000001 tasks at once"),
        (r#"{"starts":{"count":1,"per_ms":18446744073709551615}}"#, "starts in "),
        (r#"{"running":-1}"#, "invalid value: integer `-1`"),
        (r#"{"runing":1}"#, "unknown field `runing`"),
        (r#"{"starts":{"count":1,"per_s":1}}"#, "unknown field `per_s`"),
        (r#"{"starts":{"count":1}}"#, "missing field `per_ms`"),
    ] {
        let faults = faults("/limits/Mail/Send", body).await;
        assert_eq!(faults.len(), 1, "{body}: {faults:?}");
        assert!(faults[0].starts_with(expected), "{body}: {faults:?}");
    }
    served
        .send("PUT", "/limits/Mail/Send", "5")
        .await
        .refused(422, "invalid");
    served
        .send("PUT", "/limits/Mail/Send", "{")
        .await
        .refused(400, "bad_json");
    assert_eq!(served.get("/limits").await.with(200), json!({"limits": []}));
    served.stop().await;
}

#[actix_rt::test]
async fn limits_are_changed_by_callers_who_may_resize_all_themes() {
    let served = Served::start().await;
    let (path, body) = ("/limits/Mail/Send", r#"{"running":1}"#);
    served.send_as(OPERATOR, "PUT", path, body).await.with(200);
    let listed = served.send_as(VIEWER, "GET", "/limits", "").await.with(200);
    assert_eq!(listed["limits"][0]["service"], "Mail");
    for (method, body) in [("PUT", body), ("DELETE", "")] {
        let problem = served
            .send_as(VIEWER, method, path, body)
            .await
            .refused(403, "no_permission");
        assert_eq!(problem["needs"], json!(["resize"]));
    }
    served
        .send_as(PRODUCER, "GET", "/limits", "")
        .await
        .refused(403, "no_permission");
    // The caller may do everything with one theme; tasks of the method may be in others.
    for (method, path, body) in [("GET", "/limits", ""), ("PUT", path, body), ("DELETE", path, "")] {
        served
            .send_as(LIMITED, method, path, body)
            .await
            .refused(403, "theme_not_allowed");
    }
    assert_eq!(served.get("/limits").await.with(200), listed);
    served.stop().await;
}

#[actix_rt::test]
async fn a_limit_says_how_much_of_it_is_used() {
    let served = Served::start().await;
    let path = "/limits/Demo/Gate";
    served.send("PUT", path, r#"{"running":2}"#).await.with(200);
    let task = r#"{"theme":"demo","service":"Demo","method":"Gate"}"#;
    for _ in 0..3 {
        served.send("POST", "/tasks", task).await.with(201);
    }
    eventually("two run, and the third waits for a slot", async || {
        let limit = served.get("/limits").await.with(200)["limits"][0].clone();
        (limit["slots"] == 2 && limit["waits"] == true).then_some(())
    })
    .await;
    served.gate.let_pass(3);
    eventually("nothing is used any more", async || {
        let limit = served.get("/limits").await.with(200)["limits"][0].clone();
        (limit["slots"] == 0 && limit["waits"] == false).then_some(())
    })
    .await;
    served.stop().await;
}

#[actix_rt::test]
async fn a_limit_for_keys_says_for_how_many_keys_tasks_wait() {
    let served = Served::start().await;
    let path = "/limits/Demo/Gate";
    served.send("PUT", path, r#"{"running_per_key":1}"#).await.with(200);
    let second = served.waits_for_key("tenant 1").await;
    let third = served.waits_for_key("tenant 2").await;
    let waiting = async || served.get("/limits").await.with(200)["limits"][0]["waiting_keys"].clone();
    eventually("tasks of two keys wait", async || (waiting().await == 2).then_some(())).await;
    for (id, key) in [(second, "tenant 1"), (third, "tenant 2")] {
        let task = served.get(&format!("/tasks/{id}")).await.with(200);
        assert_eq!(
            (&task["limit_key"], &task["run_at"], &task["waits_for"]["kind"]),
            (&json!(key), &Value::Null, &json!("limit"))
        );
    }
    served.gate.let_pass(4);
    eventually("no task waits any more", async || (waiting().await == 0).then_some(())).await;
    served.stop().await;
}
