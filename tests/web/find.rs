//! Finding tasks: by a search line, with a count, whole as a file, and their errors in groups.

use gaia_actors::web::{AdminOptions, RedactedPart};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use crate::client::{Answer, LIMITED, Served, VIEWER, escaped, tokens};

#[actix_rt::test]
async fn a_line_finds_tasks_page_by_page() {
    let served = Served::start().await;
    for n in 0..5 {
        let task = json!({"theme": "later", "service": "Order", "method": "Create", "name": format!("night run {n}")});
        served.send("POST", "/tasks", &task.to_string()).await.with(201);
    }
    let other = r#"{"theme":"other","service":"A","method":"B","name":"night run"}"#;
    served.send("POST", "/tasks", other).await.with(201);
    // The length of time means another moment on each page.
    let line = escaped("night run status:wait method:Order.* newer:1h");
    let mut path = format!("/tasks?q={line}&theme=later&limit=2");
    let mut names = Vec::new();
    loop {
        let page = served.get(&path).await.with(200);
        let tasks = page["tasks"].as_array().expect("a list");
        names.extend(tasks.iter().map(|task| task["name"].clone()));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/tasks?q={line}&theme=later&limit=2&cursor={cursor}"),
            None => break,
        }
    }
    let expected = [
        "night run 4",
        "night run 3",
        "night run 2",
        "night run 1",
        "night run 0",
    ];
    assert_eq!(json!(names), json!(expected));
    let page = served.get("/tasks?q=night&limit=2").await.with(200);
    let cursor = page["next_cursor"].as_str().expect("more pages");
    let other = served.get(&format!("/tasks?q=run&limit=2&cursor={cursor}")).await;
    other.refused(400, "bad_cursor");
    served.stop().await;
}

#[actix_rt::test]
async fn faults_of_a_line_are_listed_and_nothing_is_said_twice() {
    let served = Served::start().await;
    let line = escaped("stauts:failed id:x");
    let problem = served.get(&format!("/tasks?q={line}")).await.refused(400, "bad_query");
    let faults = problem["faults"].as_array().expect("a list");
    assert_eq!(faults.len(), 2, "{problem}");
    assert!(faults.iter().all(|fault| fault["parameter"] == "q"), "{problem}");
    let detail = faults[0]["detail"].as_str().expect("a text");
    assert!(
        detail.contains("at 1") && detail.contains("the nearest is status"),
        "{detail}"
    );
    for (query, parameter) in [
        ("q=status:failed&status=Failed", "status"),
        ("q=word&name=other", "name"),
        ("q=older:2h&created_before=2026-01-01T00:00:00Z", "created_before"),
        ("q=method:A.*&service=A", "service"),
    ] {
        let problem = served.get(&format!("/tasks?{query}")).await.refused(400, "bad_query");
        assert_eq!(problem["faults"][0]["parameter"], parameter, "{problem}");
    }
    served.get("/tasks?q=method:A.*&method=B").await.with(200);
    served.get("/tasks?q=").await.with(200);
    served.get("/tasks?q=node:none&node=a").await.refused(422, "invalid");
    served.stop().await;
}

#[actix_rt::test]
async fn a_list_counts_only_if_it_is_asked_to() {
    let served = Served::start().await;
    let tasks = vec![json!({"theme": "later", "service": "A", "method": "B"}); 30];
    served
        .send("POST", "/tasks/batch", &json!(tasks).to_string())
        .await
        .with(201);
    for query in ["", "&count=none"] {
        let page = served.get(&format!("/tasks?theme=later{query}")).await.with(200);
        assert_eq!(page.get("count"), None);
    }
    for count in ["capped", "exact"] {
        let page = served
            .get(&format!("/tasks?q=status:wait&limit=1&count={count}"))
            .await
            .with(200);
        assert_eq!(page["count"], json!({"tasks": 30, "more": false}), "{count}");
    }
    let limited = served.send_as(LIMITED, "GET", "/tasks?count=exact", "").await.with(200);
    assert_eq!(limited["count"], json!({"tasks": 0, "more": false}));
    served.get("/tasks?count=all").await.refused(400, "bad_query");
    served.stop().await;
}

fn lines(answer: &Answer) -> Vec<Value> {
    assert_eq!((answer.status, answer.is_whole), (200, true), "{answer:?}");
    let lines = answer.body.lines();
    lines.map(|line| serde_json::from_str(line).expect("is JSON")).collect()
}

#[actix_rt::test]
async fn tasks_are_exported_whole_as_lines() {
    let served = Served::start().await;
    let long = "字".repeat(1_000);
    let tasks: Vec<Value> = (0..450)
        .map(|n| json!({"theme": "later", "service": "A", "method": "B", "args": {"n": n, "text": long}}))
        .collect();
    served
        .send("POST", "/tasks/batch", &json!(tasks).to_string())
        .await
        .with(201);
    // Blanks and line breaks between the values of arguments are part of their text.
    let odd = "{\"theme\":\"allowed\",\"service\":\"A\",\"method\":\"B\",\"args\":[1,\n\r\n 12345678901234567890123]}";
    served.send("POST", "/tasks", odd).await.with(201);

    let answer = served.get("/tasks/export?theme=later").await;
    assert_eq!(answer.header("content-type"), Some("application/jsonl"));
    assert_eq!(
        answer.header("content-disposition"),
        Some("attachment; filename=\"tasks.jsonl\"")
    );
    let tasks = lines(&answer);
    assert_eq!(tasks.len(), 450);
    let id = |task: &Value| task["id"].as_i64().expect("an id");
    assert!(tasks.is_sorted_by(|a, b| id(a) > id(b)));
    assert!(tasks.iter().all(|task| task["args"]["text"] == json!(long)));
    let shown = served.get(&format!("/tasks/{}", id(&tasks[7]))).await.with(200);
    assert_eq!(tasks[7], shown);

    assert_eq!(lines(&served.get("/tasks/export?max=201").await).len(), 201);
    assert_eq!(lines(&served.get("/tasks/export?q=status:failed").await).len(), 0);
    let odd = served.send_as(LIMITED, "GET", "/tasks/export", "").await;
    assert_eq!(lines(&odd).len(), 1);
    assert!(odd.body.contains("12345678901234567890123"), "{}", odd.body);
    let hidden = lines(
        &served
            .send_as(VIEWER, "GET", "/tasks/export?q=theme:later&max=1", "")
            .await,
    );
    assert_eq!(
        (&hidden[0]["args"], &hidden[0]["args_hidden"]),
        (&json!(null), &json!(true))
    );
    let head = served.send("HEAD", "/tasks/export", "").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    for query in ["format=xml", "max=0", "max=10000001", "limit=5", "q=stauts:x"] {
        served
            .get(&format!("/tasks/export?{query}"))
            .await
            .refused(400, "bad_query");
    }
    served
        .send_as(LIMITED, "GET", "/tasks/export?theme=later", "")
        .await
        .refused(403, "theme_not_allowed");
    served.stop().await;
}

#[actix_rt::test]
async fn tasks_are_exported_as_csv_without_formulas() {
    let served = Served::start().await;
    for (name, args, key) in [
        ("=1+1", "-5", "null"),
        ("@SUM(A1)", "\"a, \\\"b\\\"\"", "null"),
        ("plain", "[1,2]", "\"tenant-17\""),
        ("+aé", "{}", "null"),
    ] {
        let task = format!(
            r#"{{"theme":"later","service":"A","method":"B","name":"{name}","args":{args},"priority":-3,"timeout_ms":1500,"limit_key":{key}}}"#
        );
        served.send("POST", "/tasks", &task).await.with(201);
    }
    let behind = r#"{"theme":"later","service":"A","method":"B","args":{},"priority":-3,"timeout_ms":1500,"after":1}"#;
    served.send("POST", "/tasks", behind).await.with(201);
    let answer = served.get("/tasks/export?format=csv").await;
    assert_eq!(
        answer.header("content-type"),
        Some("text/csv; charset=utf-8; header=present")
    );
    assert!(
        answer.is_whole && answer.body.lines().count() == 6 && answer.body.ends_with("\r\n"),
        "{answer:?}"
    );
    let mut table = csv::Reader::from_reader(answer.body.as_bytes());
    let head: Vec<String> = table.headers().expect("has a head").iter().map(str::to_owned).collect();
    let rows: Vec<csv::StringRecord> = table.records().map(|row| row.expect("is a row")).collect();
    let column = |name: &str| {
        let at = head.iter().position(|column| column == name).expect("is a column");
        rows.iter().map(|row| row[at].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(column("name"), ["A.B", "'+aé", "plain", "'@SUM(A1)", "'=1+1"]);
    assert_eq!(column("args"), ["{}", "{}", "[1,2]", "\"a, \\\"b\\\"\"", "'-5"]);
    assert_eq!(column("priority"), ["-3"; 5]);
    assert_eq!(
        (column("timeout_ms"), column("status")),
        (vec!["1500".to_owned(); 5], vec!["Wait".to_owned(); 5])
    );
    assert_eq!(column("limit_key"), ["", "", "tenant-17", "", ""]);
    assert_eq!(column("waits_for"), ["waits for task 1", "", "", "", ""]);
    assert!(column("create_time").iter().all(|time| time.ends_with('Z')));
    // A file without tasks has its head.
    let none = served.get("/tasks/export?format=csv&q=status:failed").await;
    assert!(none.body.starts_with("id,theme,service,method,name,status,") && none.body.lines().count() == 1);
    let hidden = served.send_as(VIEWER, "GET", "/tasks/export?format=csv", "").await;
    assert!(
        !hidden.body.contains("[1,2]") && hidden.body.lines().count() == 6,
        "{}",
        hidden.body
    );
    served.stop().await;
}

/// Tasks that are more than the buffers of a connection hold.
async fn many_long_tasks(served: &Served) {
    let text = "x".repeat(1_000_000);
    let task = json!({"theme": "later", "service": "A", "method": "B", "args": text});
    for _ in 0..4 {
        let tasks = json!(vec![&task; 10]).to_string();
        served.send("POST", "/tasks/batch", &tasks).await.with(201);
    }
}

/// Waits until an answer has begun.
async fn has_begun(stream: &mut tokio::net::TcpStream) -> Vec<u8> {
    let mut begin = vec![0; 1_000];
    stream.read_exact(&mut begin).await.expect("is sent");
    assert!(begin.starts_with(b"HTTP/1.1 200"));
    begin
}

#[actix_rt::test]
async fn an_export_that_breaks_off_is_no_whole_file() {
    let served = Served::start().await;
    many_long_tasks(&served).await;
    let mut stream = served.begin("GET", "/tasks/export", "connection: close\r\n").await;
    let mut answer = has_begun(&mut stream).await;
    served
        .database
        .execute("ALTER TABLE asynctasks RENAME TO hidden_by_a_test");
    let _ = stream.read_to_end(&mut answer).await;
    served
        .database
        .execute("ALTER TABLE hidden_by_a_test RENAME TO asynctasks");
    let answer = Answer::of(&answer);
    assert!(
        !answer.is_whole && answer.body.len() > 1_000_000,
        "{}",
        answer.body.len()
    );
    assert!(!answer.body.contains("hidden_by_a_test"));
    served.stop().await;
}

#[actix_rt::test]
async fn an_export_keeps_its_place_until_its_client_hangs_up() {
    let served = Served::with(AdminOptions::new(tokens()).searches(1)).await;
    many_long_tasks(&served).await;
    let mut stream = served.begin("GET", "/tasks/export", "connection: close\r\n").await;
    has_begun(&mut stream).await;
    let refused = served.get("/tasks/export").await;
    refused.refused(429, "too_many_searches");
    assert_eq!(refused.header("retry-after"), Some("2"));
    // The client has not read all: no search waits for that.
    served.get("/tasks?count=capped").await.with(200);
    drop(stream);
    let whole = loop {
        let answer = served.get("/tasks/export").await;
        if answer.status == 200 {
            break answer;
        }
    };
    assert_eq!(lines(&whole).len(), 40);
    served.stop().await;
}

#[actix_rt::test]
async fn errors_of_a_theme_come_in_groups() {
    let options = AdminOptions::new(tokens()).redact(|text| {
        let is_secret = text.part == RedactedPart::Error && text.text.contains("handler");
        is_secret.then(|| "(an error)".to_owned())
    });
    for (options, expected) in [
        (AdminOptions::new(tokens()), "refused by a handler"),
        (options, "(an error)"),
    ] {
        let served = Served::with(options).await;
        for _ in 0..2 {
            let fail = r#"{"theme":"demo","service":"Demo","method":"Fail","max_retry":0}"#;
            served.send("POST", "/tasks?wait_ms=60000", fail).await.with(201);
        }
        let errors = served.get("/themes/demo/errors?since=1h").await.with(200);
        let group = &errors["groups"][0];
        assert_eq!(
            (&errors["tasks"], &errors["searched_from"]),
            (&json!(2), &json!(null)),
            "{errors}"
        );
        assert_eq!((&group["service"], &group["method"]), (&json!("Demo"), &json!("Fail")));
        assert!(
            group["error"].as_str().is_some_and(|error| error.contains(expected)),
            "{group}"
        );
        assert!(
            group["sample"]["text"]
                .as_str()
                .is_some_and(|error| error.contains(expected)),
            "{group}"
        );
        assert_eq!(
            (&group["tasks"], group["newest"].as_array().map(Vec::len)),
            (&json!(2), Some(2))
        );
        let none = served.get("/themes/other/errors").await.with(200);
        assert_eq!(none["groups"], json!([]));
        served
            .get("/themes/demo/errors?since=2h")
            .await
            .refused(400, "bad_query");
        served
            .get("/themes/demo/errors?limit=0")
            .await
            .refused(400, "bad_query");
        served
            .send_as(LIMITED, "GET", "/themes/demo/errors", "")
            .await
            .refused(403, "theme_not_allowed");
        served.stop().await;
    }
}
