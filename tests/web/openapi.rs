//! The description of the API beside what the API does.

use std::{cell::RefCell, collections::BTreeSet, fs, path::Path};

use gaia_actors::web::{ROUTES, Route, RouteAccess, openapi};
use serde_json::{Value, json};

use crate::{
    client::{API, Answer, OPERATOR, Served},
    conformance::{self, document},
    support::{PATIENCE, eventually},
};

/// Set: the committed file is written anew.
const WRITE: &str = "GAIA_WRITE_OPENAPI";

#[test]
fn the_committed_description_is_that_of_the_routes() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    if std::env::var_os(WRITE).is_some() {
        fs::write(&file, openapi()).expect("is written");
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    let committed: Value = serde_json::from_str(&committed).unwrap_or_default();
    assert!(
        committed == *document(),
        "docs/openapi.json is not what the routes say; write it anew: {WRITE}=1 cargo test --all-features --test web openapi"
    );
}

#[actix_rt::test]
async fn the_description_is_served_and_says_where_the_api_is() {
    let served = Served::start().await;
    let answer = served.get("/openapi.json").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.with(200), *document());
    let document = document();
    assert!(
        document["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.1."))
    );
    let place = url::Url::parse(&format!("http://localhost{API}/openapi.json")).expect("is a URL");
    let server = document["servers"][0]["url"].as_str().expect("has a server");
    assert_eq!(place.join(server).expect("is a URL").path(), API);
    served.stop().await;
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let mut operations = BTreeSet::new();
    for (path, item) in document()["paths"].as_object().expect("has paths") {
        for (method, operation) in item.as_object().expect("is an object") {
            operations.insert((method.to_uppercase(), path.as_str()));
            assert!(operation["summary"].is_string(), "{method} {path}");
        }
    }
    let routes: BTreeSet<_> = ROUTES
        .iter()
        .map(|route| (route.method.to_owned(), route.path))
        .collect();
    assert_eq!(operations, routes);
    let ids: BTreeSet<String> = ROUTES
        .iter()
        .map(|route| operation(route)["operationId"].to_string())
        .collect();
    assert_eq!(ids.len(), ROUTES.len(), "each operation has an id of its own");
}

fn operation(route: &Route) -> &'static Value {
    &document()["paths"][route.path][route.method.to_lowercase()]
}

/// The path of a route, with something for each variable part.
fn path_of(route: &Route) -> String {
    let path = route.path.replace("{id}", "1").replace("{theme}", "demo");
    let path = path.replace("{name}", "report").replace("{node}", "nobody");
    path.replace("{service}", "Demo").replace("{method}", "Echo")
}

/// An unknown parameter is answered with those that are known.
#[actix_rt::test]
async fn the_described_parameters_are_those_that_are_read() {
    let served = Served::start().await;
    for route in ROUTES {
        let answer = served
            .send(route.method, &format!("{}?zzzzzzzzzzzz=1", path_of(route)), "")
            .await;
        let problem = answer.refused(400, "bad_query");
        let detail = problem["faults"][0]["detail"].as_str().expect("a text");
        let known = detail
            .split("known are ")
            .nth(1)
            .map(|known| known.split(", ").collect());
        let known: BTreeSet<&str> = known.unwrap_or_default();
        let parameters = operation(route)["parameters"].as_array().into_iter().flatten();
        let of_query = parameters.filter(|parameter| parameter["in"] == "query");
        let described: BTreeSet<&str> = of_query.filter_map(|parameter| parameter["name"].as_str()).collect();
        assert_eq!(known, described, "{route:?}");
    }
    served.stop().await;
}

/// An unknown key is refused, and where it is answered with those that are known, these are the described ones.
#[actix_rt::test]
async fn the_described_keys_of_bodies_are_those_that_are_read() {
    let served = Served::start().await;
    let mut compared = 0;
    for route in ROUTES {
        let Some(schema) = operation(route).pointer("/requestBody/content/application~1json/schema") else {
            continue;
        };
        let is_list = schema["type"] == "array";
        let schema = if is_list { &schema["items"] } else { schema };
        let name = schema["$ref"]
            .as_str()
            .and_then(|reference| reference.rsplit('/').next())
            .expect("a reference");
        let schema = &document()["components"]["schemas"][name];
        assert_eq!(schema["additionalProperties"], json!(false), "{name}");
        let body = if is_list {
            r#"[{"zzzzzzzzzzzz":1}]"#
        } else {
            r#"{"zzzzzzzzzzzz":1}"#
        };
        let answer = served.send(route.method, &path_of(route), body).await;
        let problem = answer.refused(422, "invalid");
        let detail = problem["detail"].as_str().expect("a text");
        // `serde` writes names between backquotes.
        let mut known: BTreeSet<&str> = detail.split('`').skip(1).step_by(2).collect();
        assert!(
            known.remove("zzzzzzzzzzzz") || detail.contains("\"zzzzzzzzzzzz\""),
            "{route:?}: {problem}"
        );
        if known.is_empty() {
            continue;
        }
        // The theme of a task, and the tasks for which it waits, are taken first; the author is refused with words of its own.
        known.remove("theme");
        known.remove("author");
        let mut described: BTreeSet<&str> = schema["properties"]
            .as_object()
            .expect("has keys")
            .keys()
            .map(String::as_str)
            .collect();
        known.remove("after");
        described.remove("theme");
        described.remove("after");
        // The audit takes the reason.
        known.remove("reason");
        described.remove("reason");
        assert_eq!(known, described, "{route:?}");
        compared += 1;
    }
    assert!(compared >= 7, "{compared}");
    served.stop().await;
}

/// Every answer of this program is held against the description, by `Served::raw`. Here each route gives at least one that is no refusal.
#[actix_rt::test]
async fn each_route_answers_as_described() {
    let served = Served::start().await;
    let seen: RefCell<BTreeSet<(&str, &str)>> = RefCell::default();
    let send = async |method: &str, path: &str, body: &str| -> Answer {
        let answer = served.send(method, path, body).await;
        assert!(answer.status < 300, "{method} {path}: {answer:?}");
        let route = conformance::route_of(method, path).expect("is a route");
        seen.borrow_mut().insert((route.method, route.path));
        answer
    };
    let value = async |method: &str, path: &str, body: &str| -> Value {
        let answer = send(method, path, body).await;
        answer.with(answer.status)
    };

    for path in [
        "/healthz",
        "/readyz",
        "/whoami",
        "/openapi.json",
        "/methods",
        "/metrics",
        "/history",
        "/history?kind=job&by_method=true",
    ] {
        send("GET", path, "").await;
    }
    // Tasks that end in every way, and some that wait.
    let echo = r#"{"theme":"demo","service":"Demo","method":"Echo","args":{"n":1},"unique_key":"one","limit_key":"tenant-17","timeout_ms":60000,"retry_delay_ms":5}"#;
    let id = value("POST", "/tasks?wait_ms=60000", echo).await["id"].to_string();
    let failed = r#"{"theme":"demo","service":"Demo","method":"Fail","max_retry":0}"#;
    let failed = value("POST", "/tasks?wait_ms=60000", failed).await["id"].to_string();
    let later = r#"{"theme":"later","service":"A","method":"B","unique_key":"two","run_at":"2999-01-01T00:00:00Z"}"#;
    let waiting = value("POST", "/tasks", later).await["id"].to_string();
    assert_eq!(
        value("POST", "/tasks?wake=false", later).await["duplicate"],
        json!(true)
    );
    send(
        "POST",
        "/tasks/batch?theme=demo",
        r#"[{"service":"Demo","method":"Echo"},{"service":"No","method":"No"}]"#,
    )
    .await;
    let batch =
        r#"{"theme":"later","tasks":[{"service":"A","method":"B","args":1}],"callback":{"service":"A","method":"C"}}"#;
    let callback = value("POST", "/batches", batch).await["id"].to_string();
    for after in [id.clone(), format!("[{id},{callback}]")] {
        let behind = format!(r#"{{"theme":"later","service":"A","method":"D","after":{after}}}"#);
        send("POST", "/tasks", &behind).await;
    }
    let found = value("GET", "/tasks?limit=2", "").await;
    send(
        "GET",
        &format!("/tasks?limit=2&cursor={}", found["next_cursor"].as_str().expect("more")),
        "",
    )
    .await;
    for path in [
        "/tasks?q=status:failed%20newer:1h&count=capped",
        "/tasks?theme=demo&count=exact",
        "/tasks/export?q=theme:demo&max=2",
        "/tasks/export?format=csv",
        "/themes/demo/errors?since=1h&limit=1",
    ] {
        send("GET", path, "").await;
    }
    for path in [
        format!("/tasks/{id}"),
        format!("/tasks/{id}/records"),
        format!("/tasks/{failed}/records"),
        format!("/tasks/{failed}/log"),
    ] {
        send("GET", &path, "").await;
    }
    send("GET", &format!("/tasks/{id}/wait"), "").await;
    assert_eq!(
        send("GET", &format!("/tasks/{waiting}/wait?wait_ms=1"), "")
            .await
            .status,
        202
    );
    send("POST", &format!("/tasks/{failed}/retry"), "").await;
    send("POST", &format!("/tasks/{waiting}/run_now"), r#"{"reason":"now"}"#).await;
    send("POST", &format!("/tasks/{waiting}/cancel"), "{}").await;
    send("DELETE", &format!("/tasks/{waiting}"), "").await;

    let bulk = r#"{"action":"cancel","filter":{"themes":["later"],"statuses":["Wait"]},"reason":"no longer needed"}"#;
    send("POST", "/tasks/bulk/preview", r#"{"action":"delete","all":true}"#).await;
    let operation = value("POST", "/tasks/bulk", bulk).await["id"].to_string();
    send("GET", "/operations?limit=1", "").await;
    send("GET", &format!("/operations/{operation}"), "").await;
    send("POST", &format!("/operations/{operation}/cancel"), "").await;

    send("POST", "/themes/demo/pause", r#"{"reason":"the supplier is closed"}"#).await;
    send("PUT", "/themes/demo/workers", r#"{"workers":3,"reason":"more orders"}"#).await;
    send("GET", "/alerts", "").await;
    send("GET", "/audit?author=operator&limit=1", "").await;
    for path in [
        "/themes",
        "/themes/demo?count=exact",
        "/themes/elsewhere",
        "/themes/demo/history?step=10",
        "/themes/demo/methods",
    ] {
        send("GET", path, "").await;
    }
    send("POST", "/themes/demo/resume", "").await;

    let limit = r#"{"running":5,"starts":{"count":100,"per_ms":60000},"running_per_key":2,
        "starts_per_key":{"count":10,"per_ms":60000},"reason":"the provider is slow"}"#;
    send("PUT", "/limits/Demo/Echo", limit).await;
    send("GET", "/limits", "").await;
    send("DELETE", "/limits/Demo/Echo", "").await;

    let nodes = value("GET", "/nodes", "").await;
    let node = nodes["nodes"][0]["id"].as_str().expect("a node").to_owned();
    send("PUT", &format!("/nodes/{node}/themes/demo/workers"), r#"{"workers":4}"#).await;
    eventually("a node writes its counters", async || {
        let shown = value("GET", &format!("/nodes/{node}"), "").await;
        (!shown["status"].is_null()).then_some(())
    })
    .await;

    let parcel = r#"{"theme":"remote","service":"Parcel","method":"Print"}"#;
    send(
        "POST",
        "/tasks/batch",
        &format!("[{parcel},{parcel},{parcel},{parcel}]"),
    )
    .await;
    let claim = r#"{"worker":"w","theme":"remote","methods":[{"service":"Parcel","method":"Print"}],"count":4}"#;
    let claimed = value("POST", "/claims", claim).await;
    let ends = [
        ("finish", json!({"result": 1})),
        ("fail", json!({"error": "no paper"})),
        ("snooze", json!({"delay_ms": 60_000})),
        ("release", json!({})),
    ];
    for ((end, more), run) in ends.into_iter().zip(claimed["tasks"].as_array().expect("is a list")) {
        let going_on = [
            ("beat", json!({})),
            ("progress", json!({"percent": 5})),
            ("log", json!({"lines": [{"message": "starts"}]})),
        ];
        for (what, mut more) in going_on.into_iter().chain([(end, more)]) {
            more["token"] = run["token"].clone();
            send("POST", &format!("/claims/{what}"), &json!({"runs": [more]}).to_string()).await;
        }
    }

    let job = json!({"job_name": "report", "job_type": "cron_job", "cron_expr": "@yearly", "service_name": "Demo",
        "service_method": "Echo", "args": {"n": 1}});
    let id = value("POST", "/jobs", &job.to_string()).await["id"].to_string();
    send("PUT", "/jobs/by_name/report", &job.to_string()).await;
    send("GET", "/jobs?type=cron_job&limit=1", "").await;
    let shown = value("GET", &format!("/jobs/{id}"), "").await;
    send("PUT", &format!("/jobs/{id}"), &shown.to_string()).await;
    for word in ["disable", "enable"] {
        send("POST", &format!("/jobs/{id}/{word}"), "").await;
    }
    let run = value("POST", &format!("/jobs/{id}/run"), r#"{"reason":"a test"}"#).await["run_id"]
        .as_i64()
        .expect("an id");
    served.gaia.jobs().wait_for_run(run, PATIENCE).await.expect("ends");
    for path in [
        format!("/jobs/{id}/runs?state=ended&limit=1"),
        "/runs?state=open".to_owned(),
        "/runs?limit=1".to_owned(),
        format!("/runs/{run}"),
        format!("/runs/{run}/log"),
        "/events".to_owned(),
    ] {
        send("GET", &path, "").await;
    }
    send("POST", &format!("/jobs/{id}/cancel"), "").await;
    send(
        "POST",
        "/schedules/explain",
        r#"{"cron_expr":"0 9 * * *","time_zone":"Asia/Shanghai","fires":2}"#,
    )
    .await;
    send("DELETE", &format!("/jobs/{id}"), "").await;

    let seen = seen.into_inner();
    let unseen: Vec<&Route> = ROUTES
        .iter()
        .filter(|route| !seen.contains(&(route.method, route.path)))
        .collect();
    assert!(
        unseen.is_empty(),
        "let this test ask these routes for an answer, too: {unseen:?}"
    );
    served.stop().await;
}

/// A caller without access learns nothing but probes.
#[actix_rt::test]
async fn the_description_needs_access() {
    let served = Served::start().await;
    let route = conformance::route_of("GET", "/openapi.json").expect("is a route");
    assert_eq!(route.access, RouteAccess::AnyCaller);
    served
        .raw("GET", &format!("{API}/openapi.json"), &[], "")
        .await
        .refused(401, "no_access");
    let bearer = format!("Bearer {OPERATOR}");
    served
        .raw("GET", &format!("{API}/openapi.json"), &[("authorization", &bearer)], "")
        .await
        .with(200);
    served.stop().await;
}
