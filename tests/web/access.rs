//! Who may do what.

use gaia_actors::web::{Access, AdminOptions, Caller, Permission, ROUTES, RouteAccess};
use serde_json::json;

use crate::client::{API, LIMITED, PRODUCER, Served, VIEWER};

/// The path of a route, with something for each variable part.
fn path(pattern: &str) -> String {
    let path = pattern.replace("{id}", "1").replace("{theme}", "demo");
    let path = path.replace("{service}", "Demo").replace("{method}", "Echo");
    format!("{API}{}", path.replace("{name}", "report"))
}

#[actix_rt::test]
async fn nobody_has_access_without_a_token() {
    let served = Served::start().await;
    for route in ROUTES {
        for headers in [
            &[][..],
            &[("authorization", "Bearer nobody's")],
            &[("authorization", "Basic b3BlcmF0b3I6")],
            &[("authorization", "Bearer ")],
        ] {
            let answer = served.raw(route.method, &path(route.path), headers, "").await;
            if route.access == RouteAccess::Anybody {
                answer.with(200);
                continue;
            }
            answer.refused(401, "no_access");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }
    served
        .raw("GET", &format!("{API}/nothing"), &[], "")
        .await
        .refused(401, "no_access");
    served.get("/nothing").await.refused(404, "route_not_found");
    let answer = served.send("PATCH", "/tasks", "").await;
    answer.refused(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), Some("POST, GET"));
    served.stop().await;
}

#[actix_rt::test]
async fn a_viewer_changes_nothing_by_any_route() {
    let served = Served::start().await;
    served
        .send("POST", "/tasks", r#"{"theme":"later","service":"A","method":"B"}"#)
        .await
        .with(201);
    let job =
        r#"{"job_name":"report","job_type":"cron_job","cron_expr":"@yearly","service_name":"A","service_method":"B"}"#;
    served.send("POST", "/jobs", job).await.with(201);
    let nothing = r#"{"action":"retry","filter":{"themes":["nothing"]}}"#;
    served.send("POST", "/tasks/bulk", nothing).await.with(200);
    let state = async || {
        let mut state = Vec::new();
        for path in [
            "/tasks",
            "/jobs",
            "/jobs/1",
            "/operations",
            "/themes/demo?count=exact",
            "/themes/later?count=exact",
        ] {
            let mut answer = served.get(path).await.with(200);
            // Counters of the scanner go on, and the node's beat tells of its workers.
            for key in ["here", "on_nodes", "nodes", "node_workers", "running"] {
                answer[key] = json!(null);
            }
            state.push(answer);
        }
        state
    };
    let node = served.gaia.node_id().to_owned();
    let before = state().await;
    let (mut changes, mut looks) = (0, 0);
    for route in ROUTES {
        let answer = served
            .send_as(
                VIEWER,
                route.method,
                path(&route.path.replace("{node}", &node)).trim_start_matches(API),
                "",
            )
            .await;
        if route.changes {
            answer.refused(403, "no_permission");
            changes += 1;
        } else if route.access == RouteAccess::Permission(Permission::ViewArgs) {
            answer.refused(403, "no_permission");
        } else {
            // No job has run.
            let is_missing = answer.status == 404 && route.path != "/runs/{id}";
            assert!(
                !is_missing && ![401, 403, 405, 500].contains(&answer.status),
                "{route:?}: {answer:?}"
            );
            looks += 1;
        }
        // The table says of every route but two that only read that it changes something.
        let reads_by_post = matches!(route.path, "/tasks/bulk/preview" | "/schedules/explain");
        assert_eq!(route.changes, route.method != "GET" && !reads_by_post, "{route:?}");
    }
    assert!(changes > 10 && looks > 10, "{changes} {looks}");
    assert_eq!(state().await, before);
    served.stop().await;
}

#[actix_rt::test]
async fn each_permission_opens_its_routes_and_no_other() {
    let access = Access::custom(|request| {
        let name = request.headers.get("x-may")?.to_str().ok()?;
        let permission = Permission::ALL.iter().find(|permission| permission.as_str() == name)?;
        Some(Caller::new(name).permissions(&[*permission]))
    });
    let served = Served::with(AdminOptions::new(access)).await;
    for permission in Permission::ALL {
        for route in ROUTES {
            let opens = match route.access {
                RouteAccess::Permission(needed) => needed == *permission,
                RouteAccess::OneOf(needed) => needed.contains(permission),
                _ => true,
            };
            // A body that is no JSON: nothing is changed.
            let headers = [("x-may", permission.as_str()), ("content-type", "application/json")];
            let body = if route.method == "GET" { "" } else { "!" };
            let answer = served.raw(route.method, &path(route.path), &headers, body).await;
            assert_eq!(answer.status != 403, opens, "{permission:?} {route:?} {answer:?}");
        }
    }
    // The action of a bulk operation decides which permission it needs.
    let headers = [("x-may", "cancel"), ("content-type", "application/json")];
    let delete = r#"{"action":"delete","all":true}"#;
    let answer = served.raw("POST", &format!("{API}/tasks/bulk"), &headers, delete).await;
    assert_eq!(answer.refused(403, "no_permission")["needs"], json!(["delete"]));
    served.stop().await;
}

#[actix_rt::test]
async fn a_caller_who_is_limited_to_themes_sees_and_changes_no_other() {
    let served = Served::start().await;
    let mut ids = Vec::new();
    for theme in ["allowed", "secret"] {
        let task = format!(r#"{{"theme":"{theme}","service":"A","method":"B"}}"#);
        ids.push(served.send("POST", "/tasks", &task).await.with(201)["id"].to_string());
    }
    let limited = async |method: &str, path: &str, body: &str| served.send_as(LIMITED, method, path, body).await;
    let found = limited("GET", "/tasks", "").await.with(200);
    assert_eq!(found["tasks"].as_array().map(Vec::len), Some(1));
    limited("GET", "/tasks?theme=secret", "")
        .await
        .refused(403, "theme_not_allowed");
    limited("GET", &format!("/tasks/{}", ids[0]), "").await.with(200);
    for (method, path) in [
        ("GET", ""),
        ("GET", "/records"),
        ("GET", "/wait"),
        ("POST", "/cancel"),
        ("POST", "/retry"),
    ] {
        let path = format!("/tasks/{}{path}", ids[1]);
        limited(method, &path, "").await.refused(404, "task_not_found");
    }
    let secret = r#"{"theme":"secret","service":"A","method":"B"}"#;
    limited("POST", "/tasks", secret)
        .await
        .refused(403, "theme_not_allowed");
    limited("POST", "/tasks/batch", &format!("[{secret}]"))
        .await
        .refused(403, "theme_not_allowed");
    let behind = |id: &str| format!(r#"{{"theme":"allowed","service":"A","method":"B","after":[{id}]}}"#);
    limited("POST", "/tasks", &behind(&ids[0])).await.with(201);
    limited("POST", "/tasks", &behind(&ids[1]))
        .await
        .refused(404, "task_not_found");
    let batch = r#"{"theme":"secret","tasks":[{"service":"A","method":"B"}],"callback":{"service":"A","method":"B"}}"#;
    limited("POST", "/batches", batch)
        .await
        .refused(403, "theme_not_allowed");
    for (method, path) in [("GET", ""), ("POST", "/pause"), ("POST", "/resume")] {
        limited(method, &format!("/themes/secret{path}"), "")
            .await
            .refused(403, "theme_not_allowed");
    }
    limited("PUT", "/themes/secret/workers", r#"{"workers":1}"#)
        .await
        .refused(403, "theme_not_allowed");
    limited("GET", "/jobs", "").await.refused(403, "theme_not_allowed");
    let bulk = r#"{"action":"cancel","filter":{"themes":["secret"]}}"#;
    limited("POST", "/tasks/bulk", bulk)
        .await
        .refused(403, "theme_not_allowed");
    let all = served
        .send("POST", "/tasks/bulk", r#"{"action":"delete","all":true}"#)
        .await
        .with(200);
    limited("GET", &format!("/operations/{}", all["id"]), "")
        .await
        .refused(404, "bulk_operation_not_found");

    // All tasks are those of the caller's themes.
    limited("POST", "/tasks/bulk", r#"{"action":"cancel"}"#)
        .await
        .refused(422, "invalid");
    let done = limited("POST", "/tasks/bulk", r#"{"action":"cancel","all":true}"#)
        .await
        .with(200);
    assert_eq!((&done["changed"], &done["author"]), (&json!(2), &json!("limited")));
    assert_eq!(
        served.get(&format!("/tasks/{}", ids[1])).await.with(200)["status"],
        "Wait"
    );
    let listed = limited("GET", "/operations", "").await.with(200);
    assert_eq!(listed["operations"].as_array().map(Vec::len), Some(1));
    let nodes = limited("GET", "/nodes", "").await.with(200);
    assert_eq!(nodes["nodes"][0]["themes"], json!([]));
    let me = limited("GET", "/whoami", "").await.with(200);
    assert_eq!(me["themes"], json!(["allowed"]));
    served.stop().await;
}

#[actix_rt::test]
async fn a_change_that_another_site_asks_for_is_refused() {
    let served = Served::with(AdminOptions::new(Access::loopback_only())).await;
    let mut tried = 0;
    for route in ROUTES.iter().filter(|route| route.method != "GET") {
        for headers in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "nonsense"), ("origin", "http://localhost")],
            &[("origin", "http://evil.example"), ("host", "localhost:8080")],
            &[("origin", "null")],
        ] {
            let answer = served.raw(route.method, &path(route.path), headers, "").await;
            answer.refused(403, "cross_site");
            tried += 1;
        }
    }
    assert!(tried > 50, "{tried}");
    let pause = format!("{API}/themes/demo/pause");
    for headers in [
        &[("sec-fetch-site", "same-origin")][..],
        &[("sec-fetch-site", "none")],
        &[("origin", "https://localhost:8080"), ("host", "LOCALHOST:8080")],
        &[],
        &[
            ("sec-fetch-site", "cross-site"),
            ("authorization", "Bearer of a script"),
        ],
    ] {
        served.raw("POST", &pause, headers, "").await.with(200);
    }
    // Pages of other sites can send these types without asking.
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=a",
        "application/json; charset=utf-16",
    ] {
        let answer = served
            .raw("POST", &pause, &[("content-type", content_type)], "{}")
            .await;
        answer.refused(415, "content_type");
    }
    served.raw("POST", &pause, &[], "{}").await.refused(415, "content_type");
    served.stop().await;
}

#[actix_rt::test]
async fn only_this_machine_has_access_by_loopback() {
    let served = Served::with(AdminOptions::new(Access::loopback_only())).await;
    let whoami = format!("{API}/whoami");
    for host in ["localhost", "127.0.0.1:8080", "[::1]"] {
        let me = served.raw("GET", &whoami, &[("host", host)], "").await.with(200);
        assert_eq!((&me["name"], &me["themes"]), (&json!("loopback"), &json!(null)));
    }
    // A name that leads to this machine, and a proxy on it.
    for headers in [
        ("host", "rebound.example"),
        ("x-forwarded-for", "203.0.113.7"),
        ("forwarded", "for=203.0.113.7"),
        ("via", "1.1 proxy"),
        ("x-real-ip", "203.0.113.7"),
    ] {
        served
            .raw("GET", &whoami, &[headers], "")
            .await
            .refused(401, "no_access");
    }
    served.stop().await;
}

#[actix_rt::test]
async fn who_may_not_see_arguments_sees_none() {
    let served = Served::start().await;
    let task = r#"{"theme":"demo","service":"Demo","method":"Echo","args":"a secret"}"#;
    let id = served.send("POST", "/tasks?wait_ms=60000", task).await.with(201)["id"].to_string();
    let job = r#"{"job_name":"report","job_type":"cron_job","cron_expr":"@yearly","service_name":"Demo","service_method":"Echo",
        "args":"a secret"}"#;
    let job = served.send("POST", "/jobs", job).await.with(201)["id"].to_string();
    let run = served.send("POST", &format!("/jobs/{job}/run"), "").await.with(202);
    let run = run["run_id"].as_i64().expect("an id");
    let jobs = served.gaia.jobs();
    jobs.wait_for_run(run, crate::support::PATIENCE).await.expect("ends");
    for (path, flag) in [
        (format!("/tasks/{id}"), "/args_hidden"),
        ("/tasks".to_owned(), "/tasks/0/args_hidden"),
        (format!("/tasks/{id}/records"), "/items/0/args_hidden"),
        (format!("/tasks/{id}/wait"), "/args_hidden"),
        ("/jobs".to_owned(), "/jobs/0/args_hidden"),
        (format!("/jobs/{job}"), "/args_hidden"),
        (format!("/jobs/{job}/runs"), "/runs/0/args_hidden"),
        ("/runs".to_owned(), "/runs/0/args_hidden"),
        (format!("/runs/{run}"), "/args_hidden"),
    ] {
        assert!(served.get(&path).await.body.contains("a secret"), "{path}");
        let seen = served.send_as(VIEWER, "GET", &path, "").await;
        assert!(!seen.body.contains("a secret"), "{path}: {}", seen.body);
        assert_eq!(seen.with(200).pointer(flag), Some(&json!(true)), "{path}");
    }
    served
        .send_as(PRODUCER, "GET", "/tasks", "")
        .await
        .refused(403, "no_permission");
    served.stop().await;
}
