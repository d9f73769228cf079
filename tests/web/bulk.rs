//! The same change of many tasks.

use serde_json::json;

use crate::client::Served;

#[actix_rt::test]
async fn many_tasks_are_counted_changed_and_the_operation_is_kept() {
    let served = Served::start().await;
    let tasks = vec![json!({"theme": "later", "service": "A", "method": "B", "args": "x"}); 20];
    served
        .send("POST", "/tasks/batch", &json!(tasks).to_string())
        .await
        .with(201);
    let cancel = r#"{"action":"cancel","filter":{"themes":["later"]},"reason":"no longer needed"}"#;
    let preview = served.send("POST", "/tasks/bulk/preview", cancel).await.with(200);
    assert_eq!((&preview["tasks"], &preview["more"]), (&json!(20), &json!(false)));
    assert_eq!(preview["samples"].as_array().map(Vec::len), Some(10));

    let answer = served.send("POST", "/tasks/bulk", cancel).await;
    let operation = answer.with(200);
    assert_eq!(
        (&operation["state"], &operation["changed"]),
        (&json!("done"), &json!(20))
    );
    assert_eq!(
        (&operation["author"], &operation["reason"]),
        (&json!("operator"), &json!("no longer needed"))
    );
    let id = operation["id"].to_string();
    assert_eq!(answer.header("location"), Some(format!("../operations/{id}").as_str()));
    assert_eq!(served.get(&format!("/operations/{id}")).await.with(200), operation);
    // It has ended: nothing is left to be cancelled.
    let cancelled = served
        .send("POST", &format!("/operations/{id}/cancel"), "")
        .await
        .with(200);
    assert_eq!(cancelled["state"], "done");

    for action in ["retry", "run_now", "delete"] {
        let bulk = json!({"action": action, "filter": {"themes": ["later"]}, "most": 5}).to_string();
        served.send("POST", "/tasks/bulk", &bulk).await.with(200);
    }
    let page = served.get("/operations?limit=3").await.with(200);
    assert_eq!(page["operations"].as_array().map(Vec::len), Some(3));
    let cursor = page["next_cursor"].as_str().expect("more pages");
    let page = served
        .get(&format!("/operations?limit=3&cursor={cursor}"))
        .await
        .with(200);
    assert_eq!(
        (page["operations"].as_array().map(Vec::len), &page["next_cursor"]),
        (Some(1), &json!(null))
    );
    served.stop().await;
}

#[actix_rt::test]
async fn a_filter_without_a_condition_must_be_meant() {
    let served = Served::start().await;
    for bulk in [
        r#"{"action":"cancel"}"#,
        r#"{"action":"cancel","filter":{}}"#,
        r#"{"action":"cancel","all":true,"author":"somebody else"}"#,
        r#"{"action":"destroy","all":true}"#,
        r#"{"action":"cancel","filter":{"theme":["a"]}}"#,
        r#"{"action":"cancel","filtr":{}}"#,
        r#"{"all":true}"#,
    ] {
        for path in ["/tasks/bulk", "/tasks/bulk/preview"] {
            served.send("POST", path, bulk).await.refused(422, "invalid");
        }
    }
    let problem = served
        .send("POST", "/tasks/bulk", r#"{"action":"cancel","filter":{"theme":["a"]}}"#)
        .await;
    let problem = problem.refused(422, "invalid");
    assert_eq!(problem["faults"][0]["pointer"], "/filter/theme", "{problem}");
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|text| text.contains("the nearest known is themes")),
        "{problem}"
    );
    served.stop().await;
}
