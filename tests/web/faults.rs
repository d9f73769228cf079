//! Requests that are wrong, and a database that is away.

use gaia_actors::web::{Access, AdminOptions};
use serde_json::json;

use crate::{
    client::{API, OPERATOR, Served},
    support::Kind,
};

#[actix_rt::test]
async fn parameters_are_refused_by_name() {
    let served = Served::start().await;
    for (query, parameter, text) in [
        ("limt=5", "limt", "the nearest known is limit"),
        ("stauts=Failed", "stauts", "the nearest known is status"),
        ("zzzzzz=1", "zzzzzz", "known are theme, status"),
        ("limit=5&limit=6", "limit", "limit is there 2 times"),
        ("service=a&service=a", "service", "service is there 2 times"),
        ("limit=0", "limit", "expected 1 to 200"),
        ("limit=201", "limit", "expected 1 to 200"),
        ("limit=", "limit", "expected 1 to 200"),
        ("limit=99999999999999999999", "limit", "expected 1 to 200"),
        ("limit=-1", "limit", "expected 1 to 200"),
        ("status=failed", "status", "expected one of Wait"),
        ("id=1,x", "id", "id is \"x\""),
        ("without_node=yes", "without_node", "without_node is \"yes\""),
        ("created_from=yesterday", "created_from", "expected a time such as"),
    ] {
        let problem = served.get(&format!("/tasks?{query}")).await.refused(400, "bad_query");
        let fault = &problem["faults"][0];
        assert_eq!(fault["parameter"], parameter, "{problem}");
        assert!(
            fault["detail"].as_str().is_some_and(|detail| detail.contains(text)),
            "{query}: {problem}"
        );
    }
    let problem = served.get("/tasks?limit=0&a=1&id=x").await.refused(400, "bad_query");
    assert_eq!(problem["faults"].as_array().map(Vec::len), Some(3));
    served.get("/tasks?name=%FF").await.refused(400, "bad_query");
    served.get("/tasks?name=").await.refused(422, "invalid");
    served
        .get("/tasks?node=a&without_node=true")
        .await
        .refused(422, "invalid");
    // Routes without parameters, too.
    for (method, path) in [
        ("GET", "/whoami"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/nodes"),
        ("POST", "/themes/demo/pause"),
    ] {
        served
            .send(method, &format!("{path}?a=1"), "")
            .await
            .refused(400, "bad_query");
    }
    for path in [
        "/tasks/1/wait?wait_ms=60001",
        "/tasks/1/records?page=0",
        "/jobs?limit=201",
        "/themes/demo?count=all",
    ] {
        served.get(path).await.refused(400, "bad_query");
    }
    served.stop().await;
}

/// `serde` reads a structure from a list of its values, too: two `null`s would have reset the workers of a theme.
#[actix_rt::test]
async fn a_list_is_no_object() {
    let served = Served::start().await;
    served
        .send("PUT", "/themes/demo/workers", r#"{"workers":2}"#)
        .await
        .with(200);
    for (method, path, body) in [
        ("PUT", "/themes/demo/workers", "[null,null]"),
        ("POST", "/themes/demo/pause", "[null]"),
        ("POST", "/tasks/bulk", r#"["cancel",{},true,null,null,null]"#),
        ("POST", "/tasks/bulk", r#"{"action":"cancel","filter":[["demo"]]}"#),
        ("POST", "/tasks/1/cancel", "[]"),
        ("POST", "/schedules/explain", r#"["@daily",null,null,null]"#),
    ] {
        served.send(method, path, body).await.refused(422, "invalid");
    }
    assert_eq!(served.get("/themes/demo").await.with(200)["workers"], 2);
    served.stop().await;
}

#[actix_rt::test]
async fn every_fault_of_a_body_is_listed() {
    let served = Served::start().await;
    let bad = r#"{"theme":"demo","service":"","method":"","max_retry":-1,"timeout_ms":0}"#;
    let problem = served.send("POST", "/tasks", bad).await.refused(422, "invalid");
    assert_eq!(problem["faults"].as_array().map(Vec::len), Some(4), "{problem}");
    for (body, pointer, text) in [
        (
            r#"{"theme":"demo","service":"A","method":"B","prioritty":1}"#,
            "/prioritty",
            "the nearest known is priority",
        ),
        (r#"{"theme":7,"service":"A","method":"B"}"#, "/theme", "invalid type"),
        (r#"{"service":"A","method":"B"}"#, "/theme", "theme is missing"),
        (
            r#"{"theme":"demo","service":"A","method":"B","max_retry":"3"}"#,
            "/max_retry",
            "invalid type",
        ),
    ] {
        let problem = served.send("POST", "/tasks", body).await.refused(422, "invalid");
        let fault = &problem["faults"][0];
        assert_eq!(fault["pointer"], pointer, "{problem}");
        assert!(
            fault["detail"].as_str().is_some_and(|detail| detail.contains(text)),
            "{problem}"
        );
    }
    for body in [
        "{",
        "",
        "nonsense",
        r#"{"theme":"a","theme":"b","service":"A","method":"B"}"#,
        "[]",
        "7",
    ] {
        let answer = served.send("POST", "/tasks", body).await;
        assert!(matches!(answer.status, 400 | 422), "{body}: {answer:?}");
    }
    // Too deep for whoever reads the arguments.
    let deep = format!(
        r#"{{"theme":"demo","service":"A","method":"B","args":{}{}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    served.send("POST", "/tasks", &deep).await.refused(400, "bad_json");
    let deepest = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    served
        .send("POST", "/tasks/batch", &deepest)
        .await
        .refused(400, "bad_json");
    // What may be left out must not be filled with something else.
    served
        .send("POST", "/tasks/1/cancel", r#"{"id":2}"#)
        .await
        .refused(422, "invalid");
    served
        .send("PUT", "/themes/demo/workers", "{}")
        .await
        .refused(422, "invalid");
    served
        .send("PUT", "/themes/demo/workers", r#"{"workers":-1}"#)
        .await
        .refused(422, "invalid");
    served
        .send("PUT", "/themes/demo/workers", r#"{"workers":100001}"#)
        .await
        .refused(422, "invalid");
    served.stop().await;
}

#[actix_rt::test]
async fn bodies_that_are_too_long_are_refused() {
    let served = Served::start().await;
    let kib = 1 << 10;
    let small = format!("{{\"reason\":\"{}\"}}", "x".repeat(64 * kib));
    let problem = served
        .send("POST", "/themes/demo/pause", &small)
        .await
        .refused(413, "body_too_long");
    assert_eq!(problem["limit_bytes"], json!(64 * kib));
    let long = |bytes: usize| {
        format!(
            r#"{{"theme":"later","service":"A","method":"B","args":"{}"}}"#,
            "x".repeat(bytes)
        )
    };
    served.send("POST", "/tasks", &long(8_192 * kib - 2)).await.with(201);
    served
        .send("POST", "/tasks", &long(8_192 * kib - 1))
        .await
        .refused(422, "invalid");
    let problem = served
        .send("POST", "/tasks", &long(8_256 * kib))
        .await
        .refused(413, "body_too_long");
    assert_eq!(problem["limit_bytes"], json!(8_256 * kib));
    let bearer = format!("Bearer {OPERATOR}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("content-length", "70000000"),
    ];
    let answer = served
        .raw(
            "POST",
            &format!("{API}/tasks/batch"),
            &headers[..2],
            &" ".repeat((64 << 20) + 1),
        )
        .await;
    answer.refused(413, "body_too_long");
    served.stop().await;
}

#[actix_rt::test]
async fn the_words_of_the_database_stay_in_the_log() {
    let served = Served::start().await;
    served.get("/readyz").await.with(200);
    served
        .database
        .execute("ALTER TABLE asynctasks RENAME TO hidden_by_a_test");
    for (method, path, body) in [
        ("GET", "/tasks", ""),
        ("GET", "/tasks/1", ""),
        ("POST", "/tasks", r#"{"theme":"later","service":"A","method":"B"}"#),
    ] {
        let answer = served.send(method, path, body).await;
        // A table that is missing may come back.
        let problem = answer.refused(503, "database_error");
        assert!(problem["request_id"].is_string());
        for word in ["asynctasks", "table", "hidden_by_a_test", "SELECT"] {
            assert!(!answer.body.contains(word), "{}", answer.body);
        }
    }
    served
        .database
        .execute("ALTER TABLE hidden_by_a_test RENAME TO asynctasks");
    served.get("/tasks").await.with(200);
    served.stop().await;
}

/// The file of SQLite is deleted: nothing is read or written any more.
#[cfg(all(feature = "sqlite", unix))]
#[actix_rt::test]
async fn a_database_that_is_away_is_answered_with_503() {
    let served = Served::with(AdminOptions::new(Access::loopback_only())).await;
    if served.database.kind() != Kind::Sqlite {
        return;
    }
    std::fs::remove_file(served.database.path()).expect("is there");
    let task = r#"{"theme":"later","service":"A","method":"B"}"#;
    // Without an entry in the audit a change is not tried.
    for (method, path, body, stored) in [
        ("POST", "/tasks", task, "unknown"),
        ("GET", "/nodes", "", "unknown"),
        ("POST", "/themes/demo/pause", "{}", "no"),
    ] {
        let headers = [("content-type", "application/json")];
        let answer = served.raw(method, &format!("{API}{path}"), &headers, body).await;
        let problem = answer.refused(503, "database_file_gone");
        assert_eq!(
            (answer.header("retry-after"), &problem["stored"]),
            (Some("2"), &json!(stored))
        );
        assert!(problem["request_id"].is_string());
        let path = served.database.path();
        assert!(!answer.body.contains(&*path.to_string_lossy()), "{}", answer.body);
    }
    let ready = served.raw("GET", &format!("{API}/readyz"), &[], "").await.with(503);
    assert_eq!(
        (&ready["ready"], &ready["checks"]["database"]),
        (&json!(false), &json!(false))
    );
    served.raw("GET", &format!("{API}/healthz"), &[], "").await.with(200);
}

#[actix_rt::test]
async fn a_runtime_that_has_stopped_says_so() {
    let served = Served::start().await;
    served.gaia.stop().await.expect("stops");
    let ready = served.get("/readyz").await.with(503);
    assert_eq!(
        (&ready["ready"], &ready["checks"]["takes_work"]),
        (&json!(false), &json!(false))
    );
}
