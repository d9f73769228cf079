//! What operators see of other processes and of the past, and what they ask of other processes.

use serde_json::{Value, json};

use crate::{
    client::{LIMITED, PRODUCER, Served},
    support::{PATIENCE, eventually},
};

fn named<'a>(list: &'a Value, key: &str, name: &str) -> Option<&'a Value> {
    list.as_array()?.iter().find(|item| item[key] == name)
}

#[actix_rt::test]
async fn themes_are_listed_with_who_changed_them_and_why() {
    let served = Served::start().await;
    let resize = r#"{"workers":3,"reason":"the sale begins"}"#;
    let resized = served.send("PUT", "/themes/allowed/workers", resize).await.with(200);
    assert_eq!(
        (
            &resized["workers"],
            &resized["resize"]["by"],
            &resized["resize"]["reason"]
        ),
        (&json!(3), &json!("operator"), &json!("the sale begins"))
    );
    let list = eventually("the beat that tells of the theme", async || {
        let list = served.get("/themes").await.with(200);
        named(&list["themes"], "theme", "demo").is_some().then_some(list)
    })
    .await;
    assert_eq!(named(&list["themes"], "theme", "allowed"), Some(&resized));
    let seen = served.send_as(LIMITED, "GET", "/themes", "").await.with(200);
    assert_eq!(seen["themes"].as_array().map(Vec::len), Some(1), "{seen}");
    for reason in ["x".repeat(501), "a\\u0007b".to_owned()] {
        let body = format!(r#"{{"reason":"{reason}"}}"#);
        served
            .send("POST", "/themes/demo/pause", &body)
            .await
            .refused(422, "invalid");
    }
    assert_eq!(served.get("/themes/demo").await.with(200)["paused"], json!(false));
    served.stop().await;
}

#[actix_rt::test]
async fn methods_without_a_node_are_seen() {
    let served = Served::start().await;
    let task = r#"{"theme":"demo","service":"Demo","method":"Misspelt"}"#;
    served.send("POST", "/tasks", task).await.with(201);
    // A task that a claim takes into the queue at this very moment is in no answer.
    let known = eventually("the node to tell its methods, and the task to be queued", async || {
        let known = served.get("/themes/demo/methods").await.with(200);
        let is_known = |method| named(&known["methods"], "method", method).is_some();
        (is_known("Echo") && is_known("Misspelt")).then_some(known)
    })
    .await;
    let (echo, misspelt) = (
        named(&known["methods"], "method", "Echo"),
        named(&known["methods"], "method", "Misspelt"),
    );
    let node = json!([served.gaia.node_id()]);
    assert_eq!(
        echo.map(|method| (&method["nodes"], &method["due"])),
        Some((&node, &json!(0)))
    );
    assert_eq!(
        misspelt.map(|method| (&method["nodes"], &method["due"])),
        Some((&json!([]), &json!(1)))
    );
    let all = served.get("/methods").await.with(200);
    assert_eq!(
        named(&all["methods"], "method", "Echo").map(|method| &method["due"]),
        Some(&json!(null))
    );
    assert!(named(&all["methods"], "method", "Misspelt").is_none(), "{all}");
    served
        .send_as(LIMITED, "GET", "/methods", "")
        .await
        .refused(403, "theme_not_allowed");
    served
        .send_as(LIMITED, "GET", "/themes/demo/methods", "")
        .await
        .refused(403, "theme_not_allowed");
    served.stop().await;
}

#[actix_rt::test]
async fn a_node_is_shown_with_its_counters_and_resized() {
    let served = Served::start().await;
    let node = served.gaia.node_id().to_owned();
    let path = format!("/nodes/{node}");
    let shown = eventually("the node to write its counters", async || {
        let shown = served.get(&path).await.with(200);
        let is_told = shown["status"]["themes"][0].is_object() && shown["node"]["themes"][0].is_object();
        is_told.then_some(shown)
    })
    .await;
    assert_eq!(
        (&shown["node"]["id"], &shown["node"]["alive"]),
        (&json!(node), &json!(true))
    );
    assert_eq!(shown["status"]["themes"][0]["all_workers"], json!(4));
    let seen = served.send_as(LIMITED, "GET", &path, "").await.with(200);
    assert_eq!(
        (&seen["status"]["themes"], &seen["node"]["themes"]),
        (&json!([]), &json!([]))
    );

    let size = format!("{path}/themes/demo/workers");
    served
        .send("PUT", &size, r#"{"workers":2,"reason":"memory"}"#)
        .await
        .with(200);
    let status = served.gaia.scheduler("demo").expect("is a theme").status().await;
    assert_eq!(status.expect("runs here").all_workers, 2);
    served
        .send("PUT", &size, r#"{"workers":100001}"#)
        .await
        .refused(422, "invalid");
    served.send("PUT", &size, "{}").await.refused(422, "invalid");
    let elsewhere = format!("{path}/themes/elsewhere/workers");
    served
        .send("PUT", &elsewhere, r#"{"workers":1}"#)
        .await
        .refused(409, "not_scheduled_here");
    served.get("/nodes/nobody").await.refused(404, "node_not_found");
    served
        .send("PUT", "/nodes/nobody/themes/demo/workers", r#"{"workers":1}"#)
        .await
        .refused(404, "node_not_found");
    served
        .send_as(LIMITED, "PUT", &size, r#"{"workers":1}"#)
        .await
        .refused(403, "theme_not_allowed");
    served
        .send_as(PRODUCER, "PUT", &size, r#"{"workers":1}"#)
        .await
        .refused(403, "no_permission");
    served.stop().await;
}

#[actix_rt::test]
async fn the_history_counts_what_ended() {
    let served = Served::start().await;
    let scheduler = served.gaia.scheduler("demo").expect("is a theme");
    for method in ["Echo", "Echo", "Fail"] {
        let task = format!(r#"{{"theme":"demo","service":"Demo","method":"{method}"}}"#);
        let id = served.send("POST", "/tasks", &task).await.with(201)["id"]
            .as_i64()
            .expect("an id");
        scheduler.wait_for(id, PATIENCE).await.expect("ends");
    }
    let sum = |history: &Value, key: &str| {
        let points = history["points"].as_array().expect("a list");
        points.iter().filter_map(|point| point[key].as_u64()).sum::<u64>()
    };
    let history = eventually("the counts to be written", async || {
        let history = served.get("/themes/demo/history?step=10").await.with(200);
        (sum(&history, "succeeded") + sum(&history, "failed") == 3).then_some(history)
    })
    .await;
    assert_eq!(
        (sum(&history, "succeeded"), sum(&history, "failed")),
        (2, 1),
        "{history}"
    );
    let fails = served
        .get("/history?theme=demo&method=Fail&by_method=true&step=3600")
        .await
        .with(200);
    assert_eq!((sum(&fails, "succeeded"), sum(&fails, "failed")), (0, 1), "{fails}");
    assert_eq!(fails["points"][0]["method"], json!("Fail"));
    assert_eq!(served.get("/history?kind=job").await.with(200)["points"], json!([]));
    for bad in [
        "step=15",
        "step=9",
        "from=yesterday",
        "kind=nodes",
        "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
    ] {
        let answer = served.get(&format!("/history?{bad}")).await;
        assert!([400, 422].contains(&answer.status), "{bad}: {answer:?}");
    }
    served
        .send_as(LIMITED, "GET", "/history", "")
        .await
        .refused(403, "theme_not_allowed");
    served
        .send_as(LIMITED, "GET", "/history?theme=allowed", "")
        .await
        .with(200);
    served
        .send_as(LIMITED, "GET", "/history?kind=job&theme=allowed", "")
        .await
        .refused(403, "theme_not_allowed");
    served.stop().await;
}
