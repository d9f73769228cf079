//! The pages of tasks and of bulk operations.

use gaia_actors::web::{Access, AdminOptions, RedactedPart};
use serde_json::{Value, json};

use crate::client::{LIMITED, OPERATOR, PAGES, Served, VIEWER, escaped, tokens};

const SCRIPT: &str = "<script>alert(1)</script>";
const IMAGE: &str = "\"><img src=x onerror=alert(1)>";

/// The texts of a page's attributes of this name.
fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    let begin = format!(" {name}=\"");
    let found = html.split(begin.as_str()).skip(1);
    found.filter_map(|rest| rest.split('"').next()).collect()
}

/// Fails if a page leads elsewhere, holds what a strict policy refuses, or shows a text as HTML.
fn check(what: &str, html: &str) {
    for name in ["href", "action", "src", "hx-get", "formaction"] {
        for url in attributes(html, name) {
            assert!(!url.starts_with('/') && !url.contains("//"), "{what}: {name}={url}");
        }
    }
    for forbidden in [
        " style=",
        " onclick=",
        " onerror=alert(1)>",
        "<script>",
        "hx-on",
        "javascript:",
        "<img",
    ] {
        assert!(!html.contains(forbidden), "{what}: {forbidden}: {html}");
    }
    assert_eq!(html.matches("<h1").count(), 1, "{what}");
    let ids = attributes(html, "id");
    for id in &ids {
        assert_eq!(
            ids.iter().filter(|other| other == &id).count(),
            1,
            "{what}: the id {id}"
        );
    }
    let (heads, scoped) = (html.matches("<th").count(), html.matches("scope=\"col\"").count());
    assert_eq!(heads - html.matches("<thead").count(), scoped, "{what}");
}

impl Served {
    async fn adds(&self, task: Value) -> i64 {
        let added = self.send("POST", "/tasks", &task.to_string()).await.with(201);
        added["id"].as_i64().expect("is an id")
    }

    /// A task that has failed.
    async fn fails(&self, name: &str) -> i64 {
        let task = json!({"theme": "demo", "service": "Demo", "method": "Fail", "name": name, "args": {"n": 1}});
        let id = self.adds(task).await;
        self.send("GET", &format!("/tasks/{id}/wait"), "").await.with(200);
        id
    }

    async fn status_of(&self, id: i64) -> Value {
        self.get(&format!("/tasks/{id}")).await.with(200)["status"].clone()
    }

    /// The page, which is checked.
    async fn shows(&self, token: &str, path: &str) -> String {
        let answer = self.page(token, path).await;
        let html = answer.html(200).to_owned();
        check(path, &html);
        html
    }
}

/// A task that waits for a long time.
fn later(name: &str) -> Value {
    json!({"theme": "later", "service": "Order", "method": "Create", "name": name, "run_at": "2100-01-01T00:00:00Z"})
}

#[actix_rt::test]
async fn the_list_shows_what_its_filter_finds() {
    let served = Served::start().await;
    let failed = served.fails("night run").await;
    let waiting = served.adds(later("morning run")).await;
    let row = |id: i64| format!("<tr id=\"task-{id}\">");
    for (query, expected) in [
        ("", [true, true]),
        ("?q=&status=&theme=", [true, true]),
        ("?q=night", [true, false]),
        ("?q=status%3Await", [false, true]),
        ("?status=Failed", [true, false]),
        ("?theme=later", [false, true]),
        ("?q=name%3Arun&status=Wait&theme=later", [false, true]),
        ("?error=refused", [true, false]),
        ("?method=Create", [false, true]),
        ("?q=nothing", [false, false]),
    ] {
        let html = served.shows(OPERATOR, &format!("/tasks{query}")).await;
        assert_eq!([failed, waiting].map(|id| html.contains(&row(id))), expected, "{query}");
        assert!(html.contains("hx-swap=\"outerMorph\""), "{query}");
    }
    let html = served.shows(OPERATOR, "/tasks?q=night&status=Failed&unique_key=").await;
    assert!(
        html.contains("value=\"night\"") && html.contains("refused by a handler"),
        "{html}"
    );
    assert!(
        html.contains("api/v1/tasks/export?q=night&amp;status=Failed&amp;format=csv"),
        "{html}"
    );
    assert!(!html.contains(" tasks</span>"), "no count unless asked: {html}");
    let html = served.shows(OPERATOR, "/tasks?count=capped").await;
    assert!(html.contains("2 tasks</span>"), "{html}");
    // A condition without a field of its own stays when the form is sent, and can be taken away.
    let html = served.shows(OPERATOR, "/tasks?service=Order&q=run").await;
    assert!(
        html.contains("<input type=\"hidden\" name=\"service\" value=\"Order\">"),
        "{html}"
    );
    assert!(
        html.contains("href=\"tasks?q=run\" aria-label=\"Take away service: Order\""),
        "{html}"
    );
    let html = served.shows(OPERATOR, "/tasks?q=nothing").await;
    assert!(
        html.contains("No task meets this filter.") && !html.contains("name=\"action\""),
        "{html}"
    );
    served.stop().await;
}

#[actix_rt::test]
async fn pages_of_the_list_follow_each_other() {
    let served = Served::start().await;
    let tasks: Vec<Value> = (0..5).map(|number| later(&format!("run {number}"))).collect();
    served
        .send("POST", "/tasks/batch", &json!(tasks).to_string())
        .await
        .with(201);
    let (mut path, mut seen) = ("/tasks?theme=later&limit=2".to_owned(), Vec::new());
    loop {
        let html = served.shows(OPERATOR, &path).await;
        let rows = attributes(&html, "id").into_iter().filter(|id| id.starts_with("task-"));
        seen.extend(rows.map(str::to_owned));
        let links = attributes(&html, "href");
        let older = links.iter().find(|link| link.contains("cursor="));
        let Some(older) = older else { break };
        assert!(older.starts_with("tasks?theme=later&amp;cursor="), "{older}");
        path = format!("/{}&limit=2", older.replace("&amp;", "&"));
        assert!(html.contains("Older"), "{html}");
    }
    assert_eq!(seen.len(), 5, "{seen:?}");
    assert!(served.shows(OPERATOR, &path).await.contains("« Newest"));
    served.page(OPERATOR, "/tasks?cursor=nonsense").await.html(400);
    served.stop().await;
}

#[actix_rt::test]
async fn faults_of_the_search_line_stand_beside_it() {
    let served = Served::start().await;
    served.fails("night run").await;
    for (query, typed, fault) in [
        ("q=stauts:failed", "stauts:failed", "the nearest is status"),
        (
            "q=status:failed&status=Wait",
            "status:failed",
            "status says the same as a part of q",
        ),
        ("q=a&unknown=1", "a", "unknown parameter"),
        ("q=%22open", "&quot;open", "this quote has no end"),
    ] {
        let html = served.shows(OPERATOR, &format!("/tasks?{query}")).await;
        assert!(html.contains(&format!("value=\"{typed}\"")), "{html}");
        assert!(html.contains(fault) && html.contains("aria-invalid=\"true\""), "{html}");
        assert!(!html.contains("<table") && !html.contains("export"), "{html}");
    }
    served.stop().await;
}

#[actix_rt::test]
async fn hostile_texts_stay_texts() {
    let served = Served::start().await;
    let hostile = json!({
        "theme": "demo", "service": "Demo", "method": "Fail", "name": format!("{SCRIPT}{IMAGE}"), "unique_key": IMAGE,
        "args": {IMAGE: SCRIPT, "number": 12_345_678_901_234_567_890_u64}, "max_retry": 0,
    });
    let id = served.adds(hostile).await;
    served.send("GET", &format!("/tasks/{id}/wait"), "").await.with(200);
    served.database.execute(&format!(
        "UPDATE asynctasks SET service_name = '{IMAGE}', method_name = '{SCRIPT}', last_err_msg = '{SCRIPT}\n{IMAGE}', \
         last_result = '{{\"a\":\"{SCRIPT}\"}}', progress_note = '{IMAGE}', log_id = '{IMAGE}' WHERE id = {id}"
    ));
    served.database.execute(&format!(
        "UPDATE asynctask_exec_row SET last_err_msg = '{SCRIPT}{IMAGE}', last_result = '\"{SCRIPT}\"', log_id = '{IMAGE}', \
         node_id = '{IMAGE}' WHERE task_id = {id}"
    ));
    let bulk = json!({"action": "delete", "filter": {"name_contains": IMAGE, "themes": [SCRIPT]}, "reason": SCRIPT});
    let begun = served.send("POST", "/tasks/bulk", &bulk.to_string()).await;
    let operation = begun.with(begun.status)["id"].to_string();
    let back = escaped("tasks\" onerror=alert(1)>");
    for path in [
        "/tasks".to_owned(),
        format!("/tasks?name={}", escaped(IMAGE)),
        format!("/tasks?q={}", escaped(&format!("stauts:{SCRIPT}"))),
        format!("/tasks?theme={}&status=Failed", escaped(SCRIPT)),
        format!("/tasks/bulk?action=retry&id={id}&back={back}"),
        format!("/tasks/bulk?action=retry&name={}", escaped(SCRIPT)),
        format!("/tasks/{id}"),
        "/operations".to_owned(),
        format!("/operations/{operation}"),
    ] {
        let html = served.shows(OPERATOR, &path).await;
        assert!(
            html.contains("&lt;script&gt;") || html.contains("&lt;img"),
            "{path}: {html}"
        );
    }
    let html = served.shows(OPERATOR, &format!("/tasks/{id}")).await;
    assert!(html.contains("12345678901234567890"), "{html}");
    served.stop().await;
}

#[actix_rt::test]
async fn a_task_is_shown_with_its_life_and_its_attempts() {
    let served = Served::start().await;
    let id = served.fails("night run").await;
    let html = served.shows(OPERATOR, &format!("/tasks/{id}")).await;
    assert!(
        html.contains("<ol class=\"life\">") && html.contains("now\" aria-current=\"step\">"),
        "{html}"
    );
    assert!(
        html.contains("refused by a handler") && html.contains("{\n  &quot;n&quot;: 1\n}"),
        "{html}"
    );
    assert!(
        !html.contains("hx-get"),
        "what has ended is not asked for again: {html}"
    );
    for (action, is_there) in [("retry", true), ("delete", true), ("cancel", false), ("run_now", false)] {
        assert_eq!(
            html.contains(&format!("action=\"../tasks/{id}/{action}\"")),
            is_there,
            "{action}: {html}"
        );
    }
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let mut traced = later("later");
    traced["traceparent"] = json!(format!("00-{trace}-b7ad6b7169203331-01"));
    let waiting = served.adds(traced).await;
    let html = served.shows(OPERATOR, &format!("/tasks/{waiting}")).await;
    assert!(html.contains(&format!(">{trace}<")), "{html}");
    assert!(
        html.contains("hx-get") && html.contains("No attempt has ended yet."),
        "{html}"
    );
    for (action, is_there) in [("retry", false), ("delete", false), ("cancel", true), ("run_now", true)] {
        assert_eq!(
            html.contains(&format!("action=\"../tasks/{waiting}/{action}\"")),
            is_there,
            "{action}: {html}"
        );
    }
    for path in ["/tasks/999999", "/tasks/99999999999999999999"] {
        served.page(OPERATOR, path).await.html(404);
    }
    served.page(OPERATOR, "/tasks/x").await.html(400);
    served.page(LIMITED, &format!("/tasks/{id}")).await.html(404);
    served.stop().await;
}

#[actix_rt::test]
async fn each_log_id_leads_to_its_task() {
    let served = Served::start().await;
    let id = served.fails("night run").await;
    served.send("POST", &format!("/tasks/{id}/retry"), "").await.with(200);
    served.send("GET", &format!("/tasks/{id}/wait"), "").await.with(200);
    let other = served.fails("morning run").await;
    let records = served.get(&format!("/tasks/{id}/records")).await.with(200)["items"].clone();
    let logs: Vec<&str> = records
        .as_array()
        .expect("is a list")
        .iter()
        .filter_map(|record| record["log_id"].as_str())
        .collect();
    assert!(logs.len() == 2 && logs[0] != logs[1], "{logs:?}");
    let html = served.shows(OPERATOR, &format!("/tasks/{id}")).await;
    for log in logs {
        let link = format!("tasks?q=log%3A{log}");
        assert!(html.contains(&format!("href=\"../{link}\"")), "{link}: {html}");
        let found = served.shows(OPERATOR, &format!("/{link}")).await;
        let rows = [id, other].map(|id| found.contains(&format!("<tr id=\"task-{id}\">")));
        assert_eq!(rows, [true, false], "{found}");
    }
    served.stop().await;
}

#[actix_rt::test]
async fn a_tab_takes_the_place_of_the_status_in_the_line() {
    let served = Served::start().await;
    let failed = served.fails("night run").await;
    let waiting = served.adds(later("morning run")).await;
    let html = served
        .shows(OPERATOR, "/tasks?q=status:failed,retry+name:run&theme=demo")
        .await;
    for tab in [
        "tasks?q=name%3Arun&amp;theme=demo\"",
        "tasks?q=name%3Arun&amp;theme=demo&amp;status=Wait\"",
    ] {
        assert!(html.contains(&format!("href=\"{tab}")), "{tab}: {html}");
    }
    let html = served.shows(OPERATOR, "/tasks?q=status:failed").await;
    assert!(
        html.contains("href=\"tasks?status=Failed\" aria-current=\"page\""),
        "{html}"
    );
    let html = served.shows(OPERATOR, "/tasks?status=Wait").await;
    let rows = [failed, waiting].map(|id| html.contains(&format!("<tr id=\"task-{id}\">")));
    assert_eq!(rows, [false, true], "{html}");
    served.stop().await;
}

#[actix_rt::test]
async fn hundreds_of_attempts_come_in_pages() {
    let served = Served::start().await;
    let task = json!({"theme": "demo", "service": "Demo", "method": "Fail", "max_retry": 0});
    let id = served.adds(task).await;
    served.send("GET", &format!("/tasks/{id}/wait"), "").await.with(200);
    for _ in 0..44 {
        served.send("POST", &format!("/tasks/{id}/retry"), "").await.with(200);
        served.send("GET", &format!("/tasks/{id}/wait"), "").await.with(200);
    }
    let rows = async |query: &str| {
        let html = served.shows(OPERATOR, &format!("/tasks/{id}{query}")).await;
        let rows = attributes(&html, "id")
            .into_iter()
            .filter(|id| id.starts_with("attempt-"));
        (rows.count(), html.contains("Older »"), html.contains("« Newer"))
    };
    assert_eq!(rows("").await, (20, true, false));
    assert_eq!(rows("?page=2").await, (20, true, true));
    assert_eq!(rows("?page=3").await, (5, false, true));
    served.stop().await;
}

#[actix_rt::test]
async fn a_form_changes_a_task_and_leads_back() {
    let served = Served::start().await;
    let id = served.fails("night run").await;
    let back = format!("tasks/{id}?page=1");
    let fields = [("reason", "the peer is back"), ("back", back.as_str())];
    let answer = served.post(OPERATOR, &format!("/tasks/{id}/retry"), &fields).await;
    assert_eq!(answer.status, 303, "{answer:?}");
    let place = format!("./../../tasks/{id}?page=1&done=task.retry");
    assert_eq!(answer.header("location"), Some(place.as_str()));
    served.send("GET", &format!("/tasks/{id}/wait"), "").await.with(200);
    let html = served
        .shows(OPERATOR, &format!("/tasks/{id}?page=1&done=task.retry"))
        .await;
    assert!(html.contains("The task waits for its next attempt."), "{html}");
    assert!(
        !html.contains("value=\"tasks/1?page=1&amp;done"),
        "the notice is not repeated: {html}"
    );
    let entry = &served.get("/audit?limit=1").await.with(200)["entries"][0];
    assert_eq!(
        (&entry["action"], &entry["target"]),
        (&json!("task.retry"), &json!(id.to_string()))
    );
    assert_eq!(
        (&entry["author"], &entry["reason"], &entry["result"]),
        (&json!("operator"), &json!("the peer is back"), &json!("done"))
    );
    // Elsewhere it does not lead.
    for back in ["//evil.example", "https://evil.example", "../../x", "tasks\r\nx: y"] {
        let answer = served
            .post(OPERATOR, &format!("/tasks/{id}/retry"), &[("back", back)])
            .await;
        if answer.status == 303 {
            assert_eq!(answer.header("location"), Some("./../../?done=task.retry"));
        }
        served.send("GET", &format!("/tasks/{id}/wait"), "").await.with(200);
    }
    let answer = served
        .post(OPERATOR, &format!("/tasks/{id}/delete"), &[("back", "tasks")])
        .await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, Some("./../../tasks?done=task.delete"))
    );
    served.page(OPERATOR, &format!("/tasks/{id}")).await.html(404);
    // What cannot be done is said on a page.
    let answer = served.post(OPERATOR, &format!("/tasks/{id}/retry"), &[]).await;
    assert!(answer.html(404).contains("there is no task"), "{answer:?}");
    served.stop().await;
}

#[actix_rt::test]
async fn a_viewer_sees_no_button_and_changes_nothing() {
    let served = Served::start().await;
    let failed = served.fails("night run").await;
    let waiting = served.adds(later("later")).await;
    for path in [
        "/tasks".to_owned(),
        format!("/tasks/{failed}"),
        format!("/tasks/{waiting}"),
        "/operations".to_owned(),
    ] {
        let html = served.shows(VIEWER, &path).await;
        assert!(
            !html.contains("method=\"post\"") && !html.contains("name=\"action\""),
            "{path}: {html}"
        );
        assert!(!html.contains("type=\"checkbox\""), "{path}: {html}");
    }
    // Nor arguments, which a viewer may not see.
    let html = served.shows(VIEWER, &format!("/tasks/{failed}")).await;
    assert!(
        html.contains("You may not see this.") && !html.contains("&quot;n&quot;"),
        "{html}"
    );
    let bulk = json!({"action": "delete", "filter": {"ids": [failed]}}).to_string();
    for (path, fields) in [
        (format!("/tasks/{failed}/retry"), &[][..]),
        (format!("/tasks/{failed}/delete"), &[]),
        (format!("/tasks/{waiting}/cancel"), &[]),
        (format!("/tasks/{waiting}/run_now"), &[]),
        ("/tasks/bulk".to_owned(), &[("bulk", bulk.as_str())]),
        ("/operations/1/cancel".to_owned(), &[]),
    ] {
        served.post(VIEWER, &path, fields).await.html(403);
    }
    served
        .page(VIEWER, &format!("/tasks/bulk?action=retry&id={failed}"))
        .await
        .html(403);
    assert_eq!(served.status_of(failed).await, "Failed");
    assert_eq!(served.status_of(waiting).await, "Wait");
    // Without a name nobody sees anything.
    served.raw("GET", &format!("{PAGES}/tasks"), &[], "").await.html(401);
    served.stop().await;
}

#[actix_rt::test]
async fn a_form_of_another_site_is_refused() {
    let served = Served::with(AdminOptions::new(Access::loopback_only())).await;
    let waiting = served.adds(later("later")).await;
    let form = ("content-type", "application/x-www-form-urlencoded");
    let cancel = format!("{PAGES}/tasks/{waiting}/cancel");
    let bulk = format!(
        "bulk={}",
        escaped(&json!({"action": "cancel", "filter": {"ids": [waiting]}}).to_string())
    );
    for headers in [
        &[form, ("sec-fetch-site", "cross-site")][..],
        &[form, ("sec-fetch-site", "same-site")],
        &[form, ("origin", "http://evil.example"), ("host", "localhost:8080")],
        &[form, ("origin", "null")],
    ] {
        for (path, body) in [(cancel.as_str(), ""), (&format!("{PAGES}/tasks/bulk"), bulk.as_str())] {
            let answer = served.raw("POST", path, headers, body).await;
            assert!(answer.html(403).contains("cross_site"), "{headers:?}: {answer:?}");
        }
    }
    // A form without the type of a form is none.
    let answer = served
        .raw("POST", &cancel, &[("content-type", "application/json")], "{}")
        .await;
    answer.html(415);
    assert_eq!(served.status_of(waiting).await, "Wait");
    let headers = [form, ("origin", "http://localhost:8080"), ("host", "localhost:8080")];
    assert_eq!(served.raw("POST", &cancel, &headers, "").await.status, 303);
    assert_eq!(served.status_of(waiting).await, "Cancelled");
    served.stop().await;
}

#[actix_rt::test]
async fn the_question_says_how_many_and_changes_nothing() {
    let served = Served::start().await;
    let tasks: Vec<Value> = (0..12).map(|number| later(&format!("run {number}"))).collect();
    served
        .send("POST", "/tasks/batch", &json!(tasks).to_string())
        .await
        .with(201);
    let failed = served.fails("night run").await;
    let html = served
        .shows(OPERATOR, "/tasks/bulk?action=cancel&found=all&q=theme:later&back=tasks")
        .await;
    assert!(
        html.contains("<h1>Cancel 12 tasks</h1>") && html.contains("name=\"reason\""),
        "{html}"
    );
    assert_eq!(
        attributes(&html, "id")
            .into_iter()
            .filter(|id| id.starts_with("task-"))
            .count(),
        10
    );
    assert_eq!(
        served.get("/tasks?status=Wait&count=exact").await.with(200)["count"]["tasks"],
        12
    );
    let stored = hidden(&html, "bulk");
    let bulk: Value = serde_json::from_str(&stored).expect("is JSON");
    assert_eq!(
        (&bulk["action"], &bulk["filter"]["themes"], &bulk["all"]),
        (&json!("cancel"), &json!(["later"]), &json!(false))
    );

    let fields = [
        ("bulk", stored.as_str()),
        ("reason", "no longer needed"),
        ("back", "tasks"),
    ];
    let answer = served.post(OPERATOR, "/tasks/bulk", &fields).await;
    assert_eq!(answer.status, 303, "{answer:?}");
    let place = answer.header("location").expect("leads on").to_owned();
    let page = place.strip_prefix("./").expect("is relative");
    assert!(
        page.starts_with("../operations/") && page.ends_with("?done=task.bulk"),
        "{place}"
    );
    let html = served.shows(OPERATOR, page.trim_start_matches("..")).await;
    assert!(
        html.contains("no longer needed") && html.contains("The bulk operation has begun."),
        "{html}"
    );
    assert!(
        html.contains("theme:later") && html.contains("Done") && !html.contains("method=\"post\""),
        "{html}"
    );
    let html = served.shows(OPERATOR, "/operations").await;
    assert!(
        html.contains("<td class=\"n\">12</td>") && html.contains("operator"),
        "{html}"
    );
    assert_eq!(
        served.get("/audit?limit=1").await.with(200)["entries"][0]["reason"],
        "no longer needed"
    );

    // The ticked tasks.
    let html = served
        .shows(OPERATOR, &format!("/tasks/bulk?action=retry&id={failed}&id=999999"))
        .await;
    assert!(html.contains("<h1>Retry 1 task</h1>"), "{html}");
    // Nothing ticked, nothing found, nothing that the action may change: no button.
    for query in [
        "action=retry",
        "action=retry&found=all&q=nothing",
        "action=retry&found=all&status=Success",
        "action=run_now&id=999999",
    ] {
        let html = served.shows(OPERATOR, &format!("/tasks/bulk?{query}&back=tasks")).await;
        assert!(
            !html.contains("method=\"post\"") && html.contains("Back to the list"),
            "{query}: {html}"
        );
    }
    // Without a condition, all are meant.
    let html = served.shows(OPERATOR, "/tasks/bulk?action=delete&found=all").await;
    assert!(
        html.contains("this means every task of the database") && html.contains("Delete 13 tasks"),
        "{html}"
    );
    assert!(hidden(&html, "bulk").contains("\"all\":true"), "{html}");
    for query in [
        "",
        "action=destroy",
        "action=retry&found=some",
        "action=retry&q=stauts:x",
    ] {
        served.page(OPERATOR, &format!("/tasks/bulk?{query}")).await.html(400);
    }
    // A caller with themes of its own means those, and may not name others.
    let html = served.shows(LIMITED, "/tasks/bulk?action=delete&found=all").await;
    assert!(!html.contains("method=\"post\""), "{html}");
    served
        .page(LIMITED, "/tasks/bulk?action=delete&theme=later")
        .await
        .html(403);
    served.stop().await;
}

/// The value of a hidden field.
fn hidden(html: &str, name: &str) -> String {
    let begin = format!("<input type=\"hidden\" name=\"{name}\" value=\"");
    let (_, rest) = html.split_once(&begin).expect("is there");
    let value = rest.split('"').next().unwrap_or_default();
    value
        .replace("&quot;", "\"")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

#[actix_rt::test]
async fn an_operation_under_way_can_be_ended() {
    let served = Served::start().await;
    served.adds(later("later")).await;
    served
        .send(
            "POST",
            "/tasks/bulk",
            r#"{"action":"cancel","filter":{"themes":["later"]}}"#,
        )
        .await
        .with(200);
    served.database.execute("UPDATE gaia_bulk SET state = 'running', node_id = 'another', changed = 3, skipped = '{\"locked\":2}', ended_at = NULL");
    let html = served.shows(OPERATOR, "/operations/1").await;
    assert!(
        html.contains("action=\"../operations/1/cancel\"") && html.contains("hx-get"),
        "{html}"
    );
    assert!(html.contains("2 locked by another session"), "{html}");
    assert!(!served.shows(VIEWER, "/operations/1").await.contains("method=\"post\""));
    let answer = served
        .post(OPERATOR, "/operations/1/cancel", &[("back", "operations/1")])
        .await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, Some("./../../operations/1?done=operation.cancel"))
    );
    let html = served.shows(OPERATOR, "/operations/1").await;
    assert!(
        html.contains("Cancelled") && !html.contains("method=\"post\""),
        "{html}"
    );
    served.page(OPERATOR, "/operations/999").await.html(404);
    served.page(LIMITED, "/operations/1").await.html(404);
    served.stop().await;
}

#[actix_rt::test]
async fn what_is_redacted_is_on_no_page() {
    let options = AdminOptions::new(tokens()).redact(|text| {
        let is_secret =
            text.part != RedactedPart::HookUrl && (text.text.contains("secret") || text.text.contains("refused by"));
        is_secret.then(|| "\"(redacted)\"".to_owned())
    });
    let served = Served::with(options).await;
    let task = json!({"theme": "demo", "service": "Demo", "method": "Fail", "args": "a secret"});
    let id = served.adds(task).await;
    served.send("GET", &format!("/tasks/{id}/wait"), "").await.with(200);
    for path in [
        "/tasks".to_owned(),
        format!("/tasks/{id}"),
        format!("/tasks/bulk?action=retry&id={id}"),
    ] {
        let html = served.shows(OPERATOR, &path).await;
        assert!(
            !html.contains("a secret") && !html.contains("refused by a handler") && html.contains("(redacted)"),
            "{path}: {html}"
        );
    }
    served.stop().await;
}

#[actix_rt::test]
async fn pages_speak_two_languages() {
    let served = Served::start().await;
    let id = served.fails("night run").await;
    let bearer = format!("Bearer {OPERATOR}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("accept-language", "zh-CN,zh;q=0.9"),
    ];
    for (path, word) in [
        ("/tasks".to_owned(), "任务"),
        (format!("/tasks/{id}"), "执行次数"),
        (format!("/tasks/bulk?action=retry&id={id}"), "重试 1 个任务"),
        ("/operations".to_owned(), "批量操作"),
    ] {
        let answer = served.raw("GET", &format!("{PAGES}{path}"), &headers, "").await;
        let html = answer.html(200);
        assert!(html.contains("lang=\"zh-CN\"") && html.contains(word), "{path}: {html}");
    }
    served.stop().await;
}
