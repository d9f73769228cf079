//! Names of themes and jobs may hold anything.

use serde_json::json;

use crate::client::{API, OPERATOR, Served, escaped};

const NAMES: [&str; 14] = [
    "a/b",
    "a%2Fb",
    "%",
    "%25",
    "..",
    ".",
    "../../etc/passwd",
    "a+b c",
    "订单/任务",
    "🎉👩‍👩‍👧",
    "a?b#c&d=e",
    "a;b,c",
    "<script>\"'`",
    "e\u{301}",
];

#[actix_rt::test]
async fn themes_of_any_name_are_reached_by_their_paths() {
    let served = Served::start().await;
    for name in NAMES {
        let path = format!("/themes/{}", escaped(name));
        served.send("POST", &format!("{path}/pause"), "").await.with(200);
        let shown = served.get(&path).await.with(200);
        assert_eq!((&shown["theme"], &shown["paused"]), (&json!(name), &json!(true)));
        served
            .send("PUT", &format!("{path}/workers"), r#"{"workers":3}"#)
            .await
            .with(200);
        assert_eq!(served.get(&path).await.with(200)["workers"], json!(3));
        served.send("POST", &format!("{path}/resume"), "").await.with(200);
        let task = json!({"theme": name, "service": name, "method": "m", "name": name}).to_string();
        let id = served.send("POST", "/tasks", &task).await.with(201)["id"].to_string();
        let query = format!("/tasks?theme={0}&service={0}&name={0}", escaped(name));
        let found = served.get(&query).await.with(200);
        assert_eq!(found["tasks"].as_array().map(Vec::len), Some(1), "{name}: {found}");
        assert_eq!(
            served.get(&format!("/tasks/{id}")).await.with(200)["theme"],
            json!(name)
        );
    }
    served.stop().await;
}

#[actix_rt::test]
async fn jobs_of_any_name_are_declared_by_their_names() {
    let served = Served::start().await;
    for name in NAMES {
        let path = format!("/jobs/by_name/{}", escaped(name));
        let job = r#"{"job_type":"cron_job","cron_expr":"@yearly","service_name":"A","service_method":"B"}"#;
        let id = served.send("PUT", &path, job).await.with(200)["id"].to_string();
        assert_eq!(served.send("PUT", &path, job).await.with(200)["id"].to_string(), id);
        assert_eq!(
            served.get(&format!("/jobs/{id}")).await.with(200)["job_name"],
            json!(name)
        );
    }
    served.stop().await;
}

#[actix_rt::test]
async fn paths_that_are_no_text_or_lead_out_are_refused() {
    let served = Served::start().await;
    served.get("/themes/%FF").await.refused(400, "bad_path");
    served.get("/themes/%C3%28").await.refused(400, "bad_path");
    served.get("/themes/a%00b").await.refused(422, "invalid");
    served.get("/themes/%20").await.refused(422, "invalid");
    served
        .get(&format!("/themes/{}", "x".repeat(101)))
        .await
        .refused(422, "invalid");
    served
        .get(&format!("/themes/{}/history", "x".repeat(101)))
        .await
        .refused(422, "invalid");
    // As it stands a slash divides parts.
    served.get("/themes/a/b").await.refused(404, "route_not_found");
    let bearer = format!("Bearer {OPERATOR}");
    let plain = served
        .raw("GET", &format!("{API}/themes/.."), &[("authorization", &bearer)], "")
        .await;
    assert_eq!(plain.with(200)["theme"], "..");
    served.stop().await;
}
