//! What users of other systems fell into. Each test is named by the trap; traps that a whole file of tests is about are listed here:
//! no login by default and read-only by the page alone (`access`), secrets on any way out (`redact`), one listener's queries for each open page
//! (`events`), unbounded parameters (`hostile`), names in paths (`names`), bulk changes row by row and without a question (`bulk`), numbers
//! that a float cannot hold (`tasks`), searches that count (`find`), a prefix and a proxy (`client`: every test runs under `/a/b`).

use gaia_actors::web::ROUTES;
use serde_json::{Value, json};

use crate::client::{API, OPERATOR, Served};

const LATER: &str = r#"{"theme":"later","service":"Order","method":"Pay","args":{"card":"4711"}}"#;

fn ids(page: &Value) -> Vec<i64> {
    let tasks = page["tasks"].as_array().expect("a list");
    tasks.iter().map(|task| task["id"].as_i64().expect("an id")).collect()
}

/// Tasks that wait, all added at the same instant.
async fn add(served: &Served, count: usize) -> Vec<i64> {
    let lines = vec![LATER; count].join(",");
    let added = served
        .send("POST", "/tasks/batch", &format!("[{lines}]"))
        .await
        .with(201);
    let mut ids = ids(&added);
    ids.reverse();
    ids
}

#[actix_rt::test]
async fn pages_of_tasks_of_one_instant_miss_and_repeat_nothing() {
    let served = Served::start().await;
    let added = add(&served, 23).await;
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = served.get(&format!("/tasks?limit=4{cursor}")).await.with(200);
        found.extend(ids(&page));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(found, added);
    served.stop().await;
}

#[actix_rt::test]
async fn what_has_ended_is_found_behind_a_long_queue() {
    let served = Served::start().await;
    let echo = r#"{"theme":"demo","service":"Demo","method":"Echo","args":1}"#;
    let ended = served.send("POST", "/tasks?wait_ms=60000", echo).await.with(201)["id"].clone();
    for _ in 0..5 {
        add(&served, 1_000).await;
    }
    let page = served.get("/tasks?status=Success").await.with(200);
    assert_eq!(json!(ids(&page)), json!([ended]), "{page}");
    served.stop().await;
}

#[actix_rt::test]
async fn a_list_carries_the_beginnings_of_long_texts_alone() {
    let served = Served::start().await;
    let long = json!({"theme": "later", "service": "A", "method": "B", "args": "x".repeat(1_000_000)});
    for _ in 0..3 {
        served.send("POST", "/tasks", &long.to_string()).await.with(201);
    }
    let answer = served.get("/tasks").await;
    assert_eq!(ids(&answer.with(200)).len(), 3);
    assert!(answer.body.len() < 10_000, "{} bytes", answer.body.len());
    served.stop().await;
}

#[actix_rt::test]
async fn hundreds_of_attempts_come_in_pages() {
    let served = Served::start().await;
    let fails = r#"{"theme":"demo","service":"Demo","method":"Echo","args":1}"#;
    let id = served.send("POST", "/tasks?wait_ms=60000", fails).await.with(201)["id"].clone();
    let values: Vec<String> = (2..=300)
        .map(|attempt| format!("({id}, 'Failed', {attempt})"))
        .collect();
    let insert = "INSERT INTO asynctask_exec_row (task_id, task_status, attempt) VALUES ";
    served.database.execute(&(insert.to_owned() + &values.join(", ")));
    let page = served
        .get(&format!("/tasks/{id}/records?page=15&page_size=20"))
        .await
        .with(200);
    assert_eq!(
        (&page["total"], page["items"].as_array().map(Vec::len)),
        (&json!(300), Some(20))
    );
    let usual = served.get(&format!("/tasks/{id}/records")).await.with(200);
    assert_eq!(usual["items"].as_array().map(Vec::len), Some(20));
    served.stop().await;
}

#[actix_rt::test]
async fn no_answer_allows_the_scripts_of_another_site_to_read_it() {
    let served = Served::start().await;
    let bearer = format!("Bearer {OPERATOR}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("origin", "https://elsewhere.example"),
    ];
    for route in ROUTES
        .iter()
        .filter(|route| !route.path.contains('{') && route.path != "/events")
    {
        for method in [route.method, "OPTIONS"] {
            let target = format!("{API}{}", route.path);
            let answer = served.raw(method, &target, &headers, "").await;
            let allows = answer
                .headers
                .iter()
                .find(|(name, _)| name.starts_with("access-control"));
            assert_eq!(allows, None, "{method} {target}");
        }
    }
    served.stop().await;
}

#[actix_rt::test]
async fn names_and_arguments_of_others_are_no_page_for_a_browser() {
    let served = Served::start().await;
    let script = "<script>alert(1)</script>";
    let task = json!({"theme": "later", "service": script, "method": script, "name": script, "args": script});
    served.send("POST", "/tasks", &task.to_string()).await.with(201);
    for path in [
        "/tasks",
        "/tasks/export",
        "/tasks/export?format=csv",
        "/themes/later/methods",
        "/tasks?q=%3Cscript%3E",
    ] {
        let answer = served.get(path).await;
        let content_type = answer.header("content-type").expect("has a type");
        assert!(!content_type.contains("html"), "{path}: {content_type}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
    }
    served.stop().await;
}

/// The clock of the database is the clock: times have a zone, and none lies ahead.
#[actix_rt::test]
async fn no_time_is_ambiguous_or_ahead() {
    let served = Served::start().await;
    let echo = r#"{"theme":"demo","service":"Demo","method":"Echo","args":1}"#;
    let ended = served.send("POST", "/tasks?wait_ms=60000", echo).await.with(201)["task"].clone();
    let now = chrono::Utc::now();
    for key in ["create_time", "update_time", "last_run_time", "last_run_end_time"] {
        let text = ended[key].as_str().expect("a time");
        assert!(text.ends_with('Z'), "{key}: {text}");
        let time: chrono::DateTime<chrono::Utc> = text.parse().expect("is RFC 3339");
        assert!(time <= now, "{key} is {time}, and now is {now}");
    }
    served.stop().await;
}
