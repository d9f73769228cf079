//! Themes, nodes, schedules and probes.

use chrono::{DateTime, TimeDelta, Utc};
use gaia_actors::web::Permission;
use serde_json::{Value, json};

use crate::{client::Served, support::eventually};

#[actix_rt::test]
async fn a_theme_is_paused_resumed_and_resized() {
    let served = Served::start().await;
    let shown = served.get("/themes/demo").await.with(200);
    assert_eq!((&shown["paused"], &shown["workers"]), (&json!(false), &json!(null)));
    assert_eq!(shown["here"]["all_workers"], json!(4));
    assert!(shown.get("tasks").is_none());
    let paused = served
        .send("POST", "/themes/demo/pause", r#"{"reason":"the supplier is closed"}"#)
        .await
        .with(200);
    let note = &paused["pause"];
    assert_eq!(
        (&paused["paused"], &note["by"], &note["reason"]),
        (&json!(true), &json!("operator"), &json!("the supplier is closed"))
    );
    assert_eq!(served.get("/themes/demo").await.with(200)["paused"], json!(true));
    served
        .send("POST", "/themes/demo/pause", r#"{"reasn":"typo"}"#)
        .await
        .refused(422, "invalid");
    served.send("POST", "/themes/demo/resume", "").await.with(200);
    served
        .send("PUT", "/themes/demo/workers", r#"{"workers":2}"#)
        .await
        .with(200);
    let shown = served.get("/themes/demo?count=exact").await.with(200);
    assert_eq!((&shown["paused"], &shown["workers"]), (&json!(false), &json!(2)));
    assert_eq!(shown["here"]["all_workers"], json!(2));
    assert!(shown["tasks"].is_object());
    served
        .send("PUT", "/themes/demo/workers", r#"{"workers":null}"#)
        .await
        .with(200);
    assert_eq!(served.get("/themes/demo").await.with(200)["workers"], json!(null));
    // A theme without workers here.
    assert_eq!(served.get("/themes/elsewhere").await.with(200)["here"], json!(null));
    served.stop().await;
}

/// Urgent tasks, and tasks that came later, do not hide the oldest one; a task whose time has come is due, although no node has claimed it.
#[actix_rt::test]
async fn a_theme_tells_since_when_its_oldest_task_is_due() {
    let served = Served::start().await;
    let unfinished = async || served.get("/themes/mail").await.with(200)["unfinished"].clone();
    assert_eq!(
        unfinished().await,
        json!({"due": 0, "oldest_due": null, "unserved": 0, "scheduled": 0})
    );
    let add = async |more: Value| {
        let mut task = json!({"theme": "mail", "service": "A", "method": "B"});
        task.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        served.send("POST", "/tasks", &task.to_string()).await.with(201)
    };
    add(json!({"run_at": "2999-01-01T00:00:00Z"})).await;
    let old = add(json!({"priority": -5})).await;
    add(json!({"run_at": Utc::now() + TimeDelta::seconds(1)})).await;
    add(json!({"priority": 9})).await;
    add(json!({"method": "C"})).await;
    eventually("the task whose time has come is due", async || {
        (unfinished().await["due"] == json!(4)).then_some(())
    })
    .await;
    let seen = unfinished().await;
    assert_eq!(
        (&seen["unserved"], &seen["scheduled"]),
        (&json!(4), &json!(1)),
        "{seen}"
    );
    let old = served.get(&format!("/tasks/{}", old["id"])).await.with(200);
    assert_eq!(time(&seen["oldest_due"]), time(&old["update_time"]));
    served.stop().await;
}

fn time(text: &Value) -> DateTime<Utc> {
    text.as_str().and_then(|text| text.parse().ok()).expect("a time")
}

#[actix_rt::test]
async fn nodes_probes_and_the_caller() {
    let served = Served::start().await;
    let nodes = served.get("/nodes").await.with(200);
    assert_eq!(nodes["nodes"][0]["id"], json!(served.gaia.node_id()));
    assert_eq!(nodes["answered_by"], json!(served.gaia.node_id()));
    assert_eq!(served.get("/healthz").await.with(200), json!({"healthy": true}));
    let checks = json!({"database": true, "schema": true, "beats": true, "takes_work": true});
    assert_eq!(
        served.get("/readyz").await.with(200),
        json!({"ready": true, "checks": checks})
    );
    let me = served.get("/whoami").await.with(200);
    assert_eq!((&me["name"], &me["themes"]), (&json!("operator"), &json!(null)));
    assert_eq!(me["permissions"].as_array().map(Vec::len), Some(Permission::ALL.len()));
    served.stop().await;
}

#[actix_rt::test]
async fn schedules_are_explained() {
    let served = Served::start().await;
    let ask = r#"{"cron_expr":"0 9 * * *","time_zone":"Asia/Shanghai","after":"2026-01-02T09:30:00Z","fires":2}"#;
    let explained = served.send("POST", "/schedules/explain", ask).await.with(200);
    assert_eq!(
        explained["next_fires"],
        json!(["2026-01-03T01:00:00Z", "2026-01-04T01:00:00Z"])
    );
    assert_eq!(explained["time_zone"], "Asia/Shanghai");
    for words in ["description", "description_zh"] {
        assert!(
            explained[words].as_str().is_some_and(|words| words.contains("9:00")),
            "{explained}"
        );
    }
    let ask = r#"{"cron_expr":"60 * * * *","fires":0}"#;
    let problem = served
        .send("POST", "/schedules/explain", ask)
        .await
        .refused(422, "invalid");
    assert_eq!(
        (&problem["faults"][0]["pointer"], &problem["faults"][1]["pointer"]),
        (&json!("/fires"), &json!("/cron_expr"))
    );
    served
        .send("POST", "/schedules/explain", "")
        .await
        .refused(422, "invalid");
    served.stop().await;
}
