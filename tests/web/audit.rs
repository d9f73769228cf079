//! Who has changed what: an entry for each call that changes anything.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    time::Duration,
};

use gaia_actors::web::ROUTES;
use serde_json::{Value, json};

use crate::{
    client::{API, Answer, LIMITED, OPERATOR, PRODUCER, Served, VIEWER, escaped},
    support::{eventually, execute_around},
};

const JOB: &str = r#"{"job_type":"cron_job","cron_expr":"@yearly","service_name":"Demo","service_method":"Echo"}"#;

impl Served {
    /// The newest entries that meet these conditions, as a caller sees them.
    async fn entries(&self, token: &str, query: &str) -> Vec<Value> {
        let page = self
            .send_as(token, "GET", &format!("/audit?{query}"), "")
            .await
            .with(200);
        page["entries"].as_array().expect("is a list").clone()
    }

    async fn newest(&self) -> Value {
        self.entries(OPERATOR, "limit=1").await.pop().expect("is there")
    }

    async fn count_entries(&self) -> usize {
        self.entries(OPERATOR, "limit=200").await.len()
    }

    /// A call of the operator with this reason in its header.
    async fn send_because(&self, reason: &str, method: &str, path: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {OPERATOR}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("x-reason", reason),
            ("content-type", "application/json"),
        ];
        let headers = if body.is_empty() { &headers[..2] } else { &headers };
        self.raw(method, &format!("{API}{path}"), headers, body).await
    }

    async fn add(&self, task: &Value) -> String {
        let id = &self.send("POST", "/tasks", &task.to_string()).await.with(201)["id"];
        id.to_string()
    }

    async fn add_job(&self, name: &str) -> String {
        let path = format!("/jobs/by_name/{name}");
        self.send("PUT", &path, JOB).await.with(200)["id"].to_string()
    }
}

/// Driven by the table: a new route that changes something without an entry fails here.
#[actix_rt::test]
async fn every_change_of_an_operator_has_an_entry() {
    let served = Served::start().await;
    let later = json!({"theme": "later", "service": "Demo", "method": "Echo"});
    let (cancelled, retried, deleted) = (
        served.add(&later).await,
        served.add(&later).await,
        served.add(&later).await,
    );
    for id in [&retried, &deleted] {
        served.send("POST", &format!("/tasks/{id}/cancel"), "").await.with(200);
    }
    let mut scheduled = later.clone();
    scheduled["run_at"] = json!("2100-01-01T00:00:00Z");
    let scheduled = served.add(&scheduled).await;
    let bulk = r#"{"action":"delete","filter":{"themes":["nothing"]}}"#;
    let operation = served.send("POST", "/tasks/bulk", bulk).await.with(200)["id"].to_string();
    let (job, doomed) = (served.add_job("report").await, served.add_job("doomed").await);

    let (mut audited, mut quiet, mut done) = (0, 0, BTreeSet::new());
    for route in ROUTES.iter().filter(|route| route.changes) {
        let id = match route.action {
            Some("task.cancel") => &cancelled,
            Some("task.retry") => &retried,
            Some("task.run_now") => &scheduled,
            Some("task.delete") => &deleted,
            Some("operation.cancel") => &operation,
            Some("job.delete") => &doomed,
            _ => &job,
        };
        let path = route.path.replace("{id}", id).replace("{theme}", "demo");
        let path = path
            .replace("{node}", served.gaia.node_id())
            .replace("{name}", "report")
            .replace("{service}", "Demo")
            .replace("{method}", "Echo");
        let body = match route.action {
            Some("theme.resize" | "node.resize") => json!({"workers": 2}).to_string(),
            Some("limit.set") => json!({"running": 2}).to_string(),
            Some("task.bulk") => json!({"action": "cancel", "filter": {"themes": ["other"]}}).to_string(),
            Some("job.add") => JOB.replace('{', r#"{"job_name":"added","#),
            Some("job.ensure") => JOB.to_owned(),
            Some("job.update") => JOB.replace('{', r#"{"job_name":"report","#),
            _ => String::new(),
        };
        let before = served.count_entries().await;
        let answer = served
            .send_because("the%20night%20shift%2C%20%E5%A4%9C", route.method, &path, &body)
            .await;
        let after = served.count_entries().await;
        let Some(action) = route.action else {
            let adds_or_works = ["/tasks", "/batches", "/claims"];
            assert!(
                adds_or_works.iter().any(|path| route.path.starts_with(path)),
                "{route:?} changes something and is not in the audit"
            );
            assert_eq!(after, before, "{route:?}");
            quiet += 1;
            continue;
        };
        assert_eq!(after, before + 1, "{route:?}");
        audited += 1;
        let entry = served.newest().await;
        assert_eq!(
            (&entry["action"], &entry["author"]),
            (&json!(action), &json!("operator")),
            "{entry}"
        );
        assert_eq!(entry["reason"], "the night shift, 夜", "{entry}");
        assert!(
            entry["target"].as_str().is_some_and(|target| !target.is_empty()),
            "{entry}"
        );
        let result = entry["result"].as_str().expect("has ended");
        assert_eq!(result == "done", answer.status < 300, "{entry}: {answer:?}");
        if result == "done" {
            done.insert(action);
        }
    }
    assert_eq!(quiet, 11);
    assert!(audited >= 20, "{audited}");
    let known = [
        "job.add",
        "job.cancel",
        "job.delete",
        "job.disable",
        "job.enable",
        "job.ensure",
        "job.run",
        "job.update",
        "limit.remove",
        "limit.set",
        "node.resize",
        "operation.cancel",
        "task.bulk",
        "task.cancel",
        "task.delete",
        "task.retry",
        "task.run_now",
        "theme.pause",
        "theme.resize",
        "theme.resume",
    ];
    for action in known {
        assert!(done.contains(action), "{action} was not done");
    }
    for route in ROUTES.iter().filter(|route| !route.changes) {
        assert_eq!(route.action, None, "{route:?}");
    }
    served.stop().await;
}

#[actix_rt::test]
async fn an_entry_says_what_was_changed_and_of_which_theme() {
    let served = Served::start().await;
    let id = served
        .add(&json!({"theme": "订单/a", "service": "A", "method": "B"}))
        .await;
    let job = served.add_job("%E6%97%A5%E6%8A%A5%2F1").await;
    let bulk = json!({"action": "cancel", "filter": {"themes": ["订单/a"], "service": "none"}}).to_string();
    let both = json!({"action": "retry", "filter": {"themes": ["a", "b"]}}).to_string();
    let named = JOB.replace('{', r#"{"job_name":"second","#);
    let theme = "/themes/%E8%AE%A2%E5%8D%95%2Fa";
    for (method, path, body, action, target, of) in [
        (
            "POST",
            format!("/tasks/{id}/cancel"),
            "",
            "task.cancel",
            id.as_str(),
            Some("订单/a"),
        ),
        (
            "POST",
            format!("{theme}/pause"),
            "",
            "theme.pause",
            "订单/a",
            Some("订单/a"),
        ),
        (
            "PUT",
            format!("{theme}/workers"),
            r#"{"workers":1}"#,
            "theme.resize",
            "订单/a",
            Some("订单/a"),
        ),
        (
            "POST",
            "/tasks/bulk".to_owned(),
            &bulk,
            "task.bulk",
            r#"cancel {"service":"none","themes":["订单/a"]}"#,
            Some("订单/a"),
        ),
        (
            "POST",
            "/tasks/bulk".to_owned(),
            &both,
            "task.bulk",
            r#"retry {"themes":["a","b"]}"#,
            None,
        ),
        (
            "POST",
            "/tasks/bulk".to_owned(),
            r#"{"action":"delete","all":true,"most":1}"#,
            "task.bulk",
            "delete {}",
            None,
        ),
        ("POST", "/jobs".to_owned(), &named, "job.add", "second", None),
        (
            "PUT",
            "/jobs/by_name/%E6%97%A5%E6%8A%A5%2F1".to_owned(),
            JOB,
            "job.ensure",
            "日报/1",
            None,
        ),
        ("POST", format!("/jobs/{job}/disable"), "", "job.disable", &job, None),
    ] {
        let answer = served.send(method, &path, body).await;
        assert!(answer.status < 300, "{path}: {answer:?}");
        let entry = served.newest().await;
        assert_eq!(
            (
                &entry["action"],
                &entry["target"],
                &entry["theme"],
                &entry["result"],
                &entry["reason"]
            ),
            (&json!(action), &json!(target), &json!(of), &json!("done"), &json!(null)),
            "{path}"
        );
    }
    served.stop().await;
}

#[actix_rt::test]
async fn an_entry_says_what_was_set_and_what_it_was_before() {
    let served = Served::start().await;
    let node = served.gaia.node_id().to_owned();
    let report = |cron: &str, args: u32| {
        let job = json!({"job_name": "report", "job_type": "cron_job", "cron_expr": cron, "service_name": "Demo",
            "service_method": "Echo", "args": args, "hook_headers": {"x-team": "data"}});
        job.to_string()
    };
    let id = served.send("POST", "/jobs", &report("@yearly", 1)).await.with(201)["id"].to_string();
    let job = format!("/jobs/{id}");
    let hook = json!({"job_name": "hook", "job_type": "cron_hook", "cron_expr": "@yearly",
        "hook_url": "https://example.com:8443/T0/secret?key=secret"});
    let change = |field: &str, from: Value, to: Value| json!({"field": field, "from": from, "to": to});
    let null = Value::Null;
    for (method, path, body, name, changes) in [
        (
            "PUT",
            "/themes/demo/workers",
            r#"{"workers":3}"#.to_owned(),
            null.clone(),
            vec![change("workers", null.clone(), json!(3))],
        ),
        (
            "PUT",
            "/themes/demo/workers",
            r#"{"workers":null}"#.to_owned(),
            null.clone(),
            vec![change("workers", json!(3), null.clone())],
        ),
        (
            "PUT",
            &format!("/nodes/{node}/themes/absent/workers"),
            r#"{"workers":3}"#.to_owned(),
            null.clone(),
            vec![change("workers", null.clone(), json!(3))],
        ),
        (
            "PUT",
            &job,
            // The header's value is the stored one, whose place the hidden text takes.
            report("@monthly", 2).replace("\"data\"", "\"(hidden)\""),
            json!("report"),
            vec![
                change("args", null.clone(), null.clone()),
                change("cron_expr", json!("@yearly"), json!("@monthly")),
            ],
        ),
        ("PUT", &job, report("@monthly", 2), json!("report"), vec![]),
        (
            "PUT",
            "/jobs/by_name/report",
            report("@daily", 2).replacen('{', r#"{"timeout":60,"enabled":false,"#, 1),
            null.clone(),
            vec![
                change("cron_expr", json!("@monthly"), json!("@daily")),
                change("timeout", json!(300), json!(60)),
            ],
        ),
        (
            "POST",
            &format!("{job}/disable"),
            String::new(),
            json!("report"),
            vec![change("enabled", json!(true), json!(false))],
        ),
        (
            "POST",
            &format!("{job}/disable"),
            String::new(),
            json!("report"),
            vec![],
        ),
        ("DELETE", &job, String::new(), json!("report"), vec![]),
        ("DELETE", &job, String::new(), null.clone(), vec![]),
    ] {
        served.send(method, path, &body).await;
        let entry = served.newest().await;
        assert_eq!(
            (&entry["target_name"], &entry["changes"]),
            (&name, &json!(changes)),
            "{method} {path} {body}: {entry}"
        );
    }
    served.send("POST", "/jobs", &hook.to_string()).await.with(201);
    let entry = served.newest().await;
    let changes = entry["changes"].as_array().expect("is a list");
    assert!(
        changes.contains(&change("hook_url", null, json!("https://example.com:8443/…"))),
        "{entry}"
    );
    served.stop().await;
}

#[actix_rt::test]
async fn what_is_refused_is_noted_as_refused() {
    let served = Served::start().await;
    let id = served
        .add(&json!({"theme": "later", "service": "A", "method": "B"}))
        .await;
    let long = "x".repeat(400);
    for (method, path, body, status, result) in [
        ("POST", format!("/tasks/{id}/retry"), "", 409, "refused: not_allowed"),
        ("DELETE", format!("/tasks/{id}"), "", 409, "refused: not_allowed"),
        (
            "POST",
            "/tasks/1000/cancel".to_owned(),
            "",
            404,
            "refused: task_not_found",
        ),
        ("POST", "/tasks/none/cancel".to_owned(), "", 400, "refused: bad_path"),
        ("POST", format!("/tasks/{id}/cancel?a=1"), "", 400, "refused: bad_query"),
        (
            "POST",
            format!("/tasks/{id}/cancel"),
            r#"{"id":2}"#,
            422,
            "refused: invalid",
        ),
        ("POST", format!("/tasks/{id}/cancel"), "{", 400, "refused: bad_json"),
        ("POST", format!("/tasks/{id}/cancel"), "[]", 422, "refused: invalid"),
        (
            "POST",
            format!("/tasks/{id}/cancel"),
            r#"{"reason":7}"#,
            422,
            "refused: invalid",
        ),
        (
            "POST",
            format!("/tasks/{id}/cancel"),
            r#"{"reason":"a","reason":"b"}"#,
            422,
            "refused: invalid",
        ),
        ("POST", "/jobs/7/run".to_owned(), "", 404, "refused: job_not_found"),
        (
            "POST",
            "/jobs".to_owned(),
            r#"{"job_name":""}"#,
            422,
            "refused: invalid",
        ),
        (
            "POST",
            "/operations/7/cancel".to_owned(),
            "",
            404,
            "refused: bulk_operation_not_found",
        ),
        (
            "POST",
            "/tasks/bulk".to_owned(),
            r#"{"action":"cancel"}"#,
            422,
            "refused: invalid",
        ),
        ("POST", "/tasks/bulk".to_owned(), "nonsense", 400, "refused: bad_json"),
        ("POST", format!("/themes/{long}/pause"), "", 422, "refused: invalid"),
        ("POST", "/themes/%20/pause".to_owned(), "", 422, "refused: invalid"),
        ("POST", "/themes/a%00b/pause".to_owned(), "", 422, "refused: invalid"),
        ("POST", "/themes/%FF/pause".to_owned(), "", 400, "refused: bad_path"),
        (
            "PUT",
            "/themes/demo/workers".to_owned(),
            r#"{"workers":-1}"#,
            422,
            "refused: invalid",
        ),
        (
            "PUT",
            "/nodes/none/themes/demo/workers".to_owned(),
            r#"{"workers":1}"#,
            404,
            "refused: node_not_found",
        ),
    ] {
        let before = served.count_entries().await;
        let answer = served.send(method, &path, body).await;
        assert_eq!(answer.status, status, "{path} {body}: {answer:?}");
        assert_eq!(served.count_entries().await, before + 1, "{path} {body}");
        assert_eq!(served.newest().await["result"], result, "{path} {body}");
    }
    assert_eq!(served.get(&format!("/tasks/{id}")).await.with(200)["status"], "Wait");
    served.stop().await;
}

#[actix_rt::test]
async fn a_caller_who_may_not_change_anything_makes_no_entry() {
    let served = Served::start().await;
    for route in ROUTES.iter().filter(|route| route.changes) {
        let path = route.path.replace("{id}", "1").replace("{theme}", "demo");
        let path = path.replace("{node}", "a").replace("{name}", "report");
        let path = path.replace("{service}", "Demo").replace("{method}", "Echo");
        served
            .send_as(VIEWER, route.method, &path, "")
            .await
            .refused(403, "no_permission");
        served
            .raw(route.method, &format!("{API}{path}"), &[], "")
            .await
            .refused(401, "no_access");
    }
    // What is no request of this route is not looked at.
    let long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(70_000));
    served
        .send("POST", "/themes/demo/pause", &long)
        .await
        .refused(413, "body_too_long");
    assert_eq!(served.count_entries().await, 0);
    served
        .send_as(PRODUCER, "GET", "/audit", "")
        .await
        .refused(403, "no_permission");
    assert_eq!(served.entries(VIEWER, "").await.len(), 0);
    served.stop().await;
}

#[actix_rt::test]
async fn a_reason_is_kept_from_the_body_or_from_the_header() {
    let served = Served::start().await;
    let task = json!({"theme": "later", "service": "A", "method": "B"});
    let job = served.add_job("report").await;
    let most = "🎉".repeat(500);
    let body = |reason: &str| json!({ "reason": reason }).to_string();
    for path in [
        format!("/tasks/{}/cancel", served.add(&task).await),
        format!("/tasks/{}/run_now", served.add(&task).await),
        format!("/jobs/{job}/disable"),
        format!("/jobs/{job}/enable"),
        format!("/jobs/{job}/run"),
        format!("/jobs/{job}/cancel"),
        "/themes/demo/resume".to_owned(),
    ] {
        for reason in ["the supplier is closed", &most] {
            served.send("POST", &path, &body(reason)).await;
            let entry = served.newest().await;
            assert_eq!(entry["reason"], reason, "{path}");
        }
    }
    // Where a change keeps its reason, that is the same reason, wherever it came from.
    served
        .send_because("by%20the%20header", "POST", "/themes/demo/pause", "")
        .await
        .with(200);
    assert_eq!(
        served.get("/themes/demo").await.with(200)["pause"]["reason"],
        "by the header"
    );
    let bulk = r#"{"action":"cancel","filter":{"themes":["a"]},"reason":"by the body"}"#;
    assert_eq!(
        served.send("POST", "/tasks/bulk", bulk).await.with(200)["reason"],
        "by the body"
    );
    assert_eq!(served.newest().await["reason"], "by the body");
    let shown = served.get(&format!("/jobs/{job}")).await.body;
    served
        .send_because("hourly now", "PUT", &format!("/jobs/{job}"), &shown)
        .await
        .with(200);
    assert_eq!(served.newest().await["reason"], "hourly now");
    // Escaped or as it is.
    for header in ["%E5%A4%9C%E7%8F%AD", "夜班"] {
        served
            .send_because(header, "DELETE", "/tasks/1000", "")
            .await
            .refused(404, "task_not_found");
        assert_eq!(served.newest().await["reason"], "夜班");
    }
    served.stop().await;
}

#[actix_rt::test]
async fn a_bad_reason_keeps_the_change_from_being_made() {
    let served = Served::start().await;
    let long = "x".repeat(501);
    for reason in [&long, "", " ", "a\nb", "a\0b", "a\u{85}b"] {
        let body = json!({ "reason": reason }).to_string();
        served
            .send("POST", "/themes/demo/pause", &body)
            .await
            .refused(422, "invalid");
        served
            .send_because(&escaped(reason), "POST", "/themes/demo/pause", "")
            .await
            .refused(422, "invalid");
    }
    served
        .send_because("%FF", "POST", "/themes/demo/pause", "")
        .await
        .refused(422, "invalid");
    served
        .send_because("a", "POST", "/themes/demo/pause", r#"{"reason":"a"}"#)
        .await
        .refused(422, "invalid");
    let bearer = format!("Bearer {OPERATOR}");
    let twice = [("authorization", bearer.as_str()), ("x-reason", "a"), ("x-reason", "b")];
    served
        .raw("POST", &format!("{API}/themes/demo/pause"), &twice, "")
        .await
        .refused(422, "invalid");
    assert_eq!(served.get("/themes/demo").await.with(200)["paused"], false);
    for entry in served.entries(OPERATOR, "limit=200").await {
        assert_eq!(
            (&entry["reason"], &entry["result"]),
            (&json!(null), &json!("refused: invalid"))
        );
    }
    served.stop().await;
}

#[actix_rt::test]
async fn a_caller_who_is_limited_to_themes_sees_their_entries_alone() {
    let served = Served::start().await;
    let mut ids = Vec::new();
    for theme in ["allowed", "secret"] {
        let id = served
            .add(&json!({"theme": theme, "service": "A", "method": "B"}))
            .await;
        served.send("POST", &format!("/tasks/{id}/cancel"), "").await.with(200);
        served
            .send("POST", &format!("/themes/{theme}/pause"), "")
            .await
            .with(200);
        ids.push(id);
    }
    served.add_job("report").await;
    let both = r#"{"action":"delete","filter":{"themes":["allowed","secret"],"service":"none"}}"#;
    served.send("POST", "/tasks/bulk", both).await.with(200);
    let retry = format!("/tasks/{}/retry", ids[1]);
    served
        .send_as(LIMITED, "POST", &retry, "")
        .await
        .refused(404, "task_not_found");
    served
        .send_as(LIMITED, "POST", "/themes/secret/resume", "")
        .await
        .refused(403, "theme_not_allowed");
    // All tasks, of a caller with one theme, are the tasks of that theme.
    let cancel = r#"{"action":"cancel","all":true}"#;
    let operation = served.send_as(LIMITED, "POST", "/tasks/bulk", cancel).await.with(200)["id"].to_string();
    served
        .send_as(LIMITED, "POST", &format!("/operations/{operation}/cancel"), "")
        .await
        .with(200);

    let actions = |entries: &[Value]| {
        entries
            .iter()
            .map(|entry| entry["action"].to_string())
            .collect::<Vec<_>>()
    };
    let seen = served.entries(LIMITED, "").await;
    assert_eq!(
        actions(&seen),
        [
            r#""operation.cancel""#,
            r#""task.bulk""#,
            r#""theme.pause""#,
            r#""task.cancel""#
        ]
    );
    assert!(seen.iter().all(|entry| entry["theme"] == "allowed"), "{seen:?}");
    assert_eq!(served.entries(LIMITED, "theme=allowed&author=limited").await.len(), 2);
    for theme in ["secret", "allowed&theme=secret"] {
        let path = format!("/audit?theme={theme}");
        served
            .send_as(LIMITED, "GET", &path, "")
            .await
            .refused(403, "theme_not_allowed");
    }
    // Everybody else sees what was tried.
    let tried = served.entries(OPERATOR, "theme=secret&author=limited").await;
    assert_eq!(actions(&tried), [r#""theme.resume""#, r#""task.retry""#]);
    assert_eq!(tried[0]["result"], "refused: theme_not_allowed");
    served.stop().await;
}

#[actix_rt::test]
async fn the_audit_is_read_page_by_page() {
    let served = Served::start().await;
    for _ in 0..5 {
        served.send("POST", "/themes/demo/pause", "").await.with(200);
        served.send("POST", "/themes/demo/resume", "").await.with(200);
    }
    let (mut path, mut seen) = ("/audit?action=theme.pause&limit=2".to_owned(), Vec::new());
    loop {
        let page = served.get(&path).await.with(200);
        seen.extend(
            page["entries"]
                .as_array()
                .expect("is a list")
                .iter()
                .map(|entry| entry["id"].as_i64()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/audit?action=theme.pause&limit=2&cursor={cursor}");
        for other in ["action=theme.resume", "theme=demo&action=theme.pause", ""] {
            served
                .get(&format!("/audit?{other}&cursor={cursor}"))
                .await
                .refused(400, "bad_cursor");
        }
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted_by(|newer, older| newer > older), "{seen:?}");
    assert_eq!(
        served
            .entries(OPERATOR, "author=operator&action=theme.resume")
            .await
            .len(),
        5
    );
    assert_eq!(served.entries(OPERATOR, "author=nobody").await.len(), 0);
    for query in ["limit=0", "limit=201", "autor=a", "action=a&action=b"] {
        served.get(&format!("/audit?{query}")).await.refused(400, "bad_query");
    }
    served.get("/audit?author=").await.refused(422, "invalid");
    served.stop().await;
}

#[actix_rt::test]
async fn no_change_is_made_without_an_entry() {
    let served = Served::start().await;
    let id = served
        .add(&json!({"theme": "later", "service": "A", "method": "B"}))
        .await;
    served.database.refuse("gaia_audit", "no_entry", "@author = 'operator'");
    for path in [format!("/tasks/{id}/cancel"), "/themes/demo/pause".to_owned()] {
        let answer = served.send("POST", &path, "").await;
        let problem = answer.refused(500, "database_error");
        assert_eq!(problem["stored"], "no");
        assert!(!answer.body.contains("no_entry"), "{}", answer.body);
    }
    served.database.allow("gaia_audit", "no_entry");
    assert_eq!(served.get(&format!("/tasks/{id}")).await.with(200)["status"], "Wait");
    assert_eq!(served.get("/themes/demo").await.with(200)["paused"], false);
    assert_eq!(served.count_entries().await, 0);

    // A result that cannot be written leaves an entry whose end is unknown, and the change stays.
    served.database.refuse("gaia_audit", "no_result", "@result = 'done'");
    served.send("POST", "/themes/demo/pause", "").await.with(200);
    let entry = served.newest().await;
    assert_eq!(
        (&entry["action"], &entry["result"]),
        (&json!("theme.pause"), &json!(null))
    );
    assert_eq!(served.get("/themes/demo").await.with(200)["paused"], true);
    served.database.allow("gaia_audit", "no_result");
    served.stop().await;
}

#[actix_rt::test]
async fn an_entry_holds_no_secret() {
    let served = Served::start().await;
    let job = json!({"job_name": "sync", "job_type": "cron_job", "cron_expr": "@yearly", "service_name": "Demo",
        "service_method": "Echo", "args": "a secret"});
    let id = served.send("POST", "/jobs", &job.to_string()).await.with(201)["id"].to_string();
    served
        .send("PUT", "/jobs/by_name/sync", &job.to_string())
        .await
        .with(200);
    served.send("POST", &format!("/jobs/{id}/run"), "").await.with(202);
    let hook = json!({"job_name": "hook", "job_type": "cron_hook", "cron_expr": "@yearly", "hook_url": "http://localhost:9/a%20secret",
        "hook_headers": {"authorization": "a secret"}, "hook_secret": "a secret that is long enough for a hook"});
    served.send("POST", "/jobs", &hook.to_string()).await;
    let audit = served.get("/audit").await;
    assert_eq!(audit.with(200)["entries"].as_array().map(Vec::len), Some(4));
    assert!(
        !audit.body.contains("a secret") && !audit.body.contains("a%20secret") && !audit.body.contains(OPERATOR),
        "{}",
        audit.body
    );
    served.stop().await;
}

/// The change goes on when its client is gone, so its entry gets a result, too.
#[actix_rt::test]
async fn a_client_that_hangs_up_leaves_no_entry_without_a_result() {
    let served = Served::start().await;
    served.send("POST", "/themes/demo/resume", "").await.with(200);
    let request = format!(
        "POST {API}/themes/demo/pause HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {OPERATOR}\r\ncontent-length: 0\r\n\r\n",
        served.address
    );
    // Another session has locked the row of the theme.
    let lock = match served.database.is_on_a_server() {
        true => "BEGIN; SELECT theme FROM gaia_themes WHERE theme = 'demo' FOR UPDATE",
        false => "BEGIN IMMEDIATE",
    };
    let (kind, url) = (served.database.kind(), served.database.url());
    execute_around(kind, &url, [lock, "COMMIT"], || {
        let mut stream = std::net::TcpStream::connect(served.address).expect("connects");
        stream.write_all(request.as_bytes()).expect("is sent");
        stream
            .set_read_timeout(Some(Duration::from_millis(500)))
            .expect("is set");
        assert!(
            stream.read(&mut [0; 1]).is_err(),
            "the change has not waited for the lock"
        );
    });
    eventually("a result", async || {
        let entry = served.newest().await;
        (entry["action"] == "theme.pause" && entry["result"] == "done").then_some(())
    })
    .await;
    assert_eq!(served.get("/themes/demo").await.with(200)["paused"], true);
    served.stop().await;
}
