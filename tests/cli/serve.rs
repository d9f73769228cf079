//! `gaia serve`: a job server from a configuration.

use std::{net::TcpListener, path::PathBuf};

use actix_web::{App, HttpResponse, HttpServer, web};
use gaia_actors::web::{AccessToken, ROUTES};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{
    program::Way,
    served::{Served, kinds},
    serving::{PATIENCE, Serving, TOKEN},
    support::{Database, Kind, eventually},
};

/// Writes a configuration for the database, on a free port.
fn configured(database: &Database, mut config: Value) -> String {
    config["Databases"] = json!({ "default": database.url() });
    if config["Http"]["Listen"].is_null() {
        config["Http"]["Listen"] = json!("127.0.0.1:0");
    }
    written(&database.file("config.json"), &config)
}

fn written(file: &PathBuf, config: &Value) -> String {
    std::fs::write(file, config.to_string()).expect("is written");
    file.display().to_string()
}

/// An endpoint that says when it is called. It answers, unless it is to hang.
fn endpoint(hangs: bool) -> (String, UnboundedReceiver<String>) {
    async fn called(body: String, seen: web::Data<(UnboundedSender<String>, bool)>) -> HttpResponse {
        // The test may have ended.
        let _ = seen.0.send(body);
        match seen.1 {
            true => std::future::pending().await,
            false => HttpResponse::Ok().finish(),
        }
    }
    let (sender, calls) = unbounded_channel();
    let seen = web::Data::new((sender, hangs));
    let server = HttpServer::new(move || App::new().app_data(seen.clone()).default_service(web::to(called)));
    let server = server.workers(1).disable_signals().bind("127.0.0.1:0").expect("binds");
    let url = format!("http://{}/sync", server.addrs()[0]);
    actix_rt::spawn(server.run());
    (url, calls)
}

fn hook(url: &str) -> Value {
    json!({ "job_name": "sync", "job_type": "cron_hook", "cron_expr": "* * * * * *", "hook_url": url, "args": {"full": true} })
}

#[actix_rt::test]
async fn it_serves_a_new_file_and_stops_gracefully() {
    for (path, signal) in [("/", "TERM"), ("/a/b", "INT")] {
        let database = Database::of_kind(Kind::Sqlite);
        let config = configured(
            &database,
            json!({"Themes": {"mail": {"WorkerNum": 3}}, "Http": {"Path": path, "Environment": {"Name": "a test site", "Colour": "Red"}}}),
        );
        let mut serving = Serving::start(&["--config", &config]).await;
        assert!(
            serving.url.ends_with(&format!("{}/", path.trim_end_matches('/'))),
            "{}",
            serving.url
        );
        for path in ["api/v1/healthz", "api/v1/readyz"] {
            assert_eq!(serving.get(path).await.status, 200, "{path}");
        }
        let page = serving.get("").await;
        assert!(page.status == 200 && page.body.contains("a test site"), "{}", page.body);
        assert!(serving.get("api/v1/metrics").await.body.contains("gaia_build_info"));
        serving.has_workers("mail", 3).await;
        // It has no handlers: a task waits for another node.
        let way = Way::database(&database.url());
        let id = way.out(&["task", "add", "mail", "Demo", "Echo"]).await;
        assert_eq!(way.json(&["task", "get", id.trim()]).await["status"], "Wait");
        serving.signal(signal);
        serving.says("gaia: stopped").await;
        serving.ends(0).await;
        assert_eq!(database.number("SELECT COUNT(*) AS number FROM gaia_nodes"), 0);
    }
}

#[actix_rt::test]
async fn declared_jobs_fire_and_a_second_signal_ends_what_runs() {
    let database = Database::of_kind(Kind::Sqlite);
    let (url, mut calls) = endpoint(true);
    let config = configured(
        &database,
        json!({"Jobs": {"Declared": [hook(&url)], "KeepLogs": "Info"}, "Node": {"Grace": 600}}),
    );
    let serving = Serving::start(&["--config", &config]).await;
    let body = tokio::time::timeout(PATIENCE, calls.recv()).await.expect("is called");
    assert_eq!(body.as_deref(), Some(r#"{"full":true}"#));
    serving.signal("TERM");
    eventually("it takes no work any more", async || {
        (serving.get("api/v1/readyz").await.status == 503).then_some(())
    })
    .await;
    // The endpoint never answers: without this signal the grace would go on for ten minutes.
    serving.signal("TERM");
    serving.ends(0).await;
}

/// On each database that can be had here.
#[actix_rt::test]
async fn a_limit_that_a_method_has_is_left_as_it_is() {
    for kind in kinds() {
        let database = Database::of_kind(kind);
        let limits = json!([
            { "Service": "Mail", "Method": "Send", "Running": 5, "Starts": 100, "PerMs": 60_000 },
            { "Service": "Maps", "Method": "Locate", "Running": 3 },
            { "Service": "Shop", "Method": "Sync", "RunningPerKey": 2, "StartsPerKey": 10, "PerKeyMs": 1_000 },
        ]);
        let config = configured(&database, json!({ "Limits": limits }));
        let seen = async |serving: &Serving| -> Value {
            let limits: Value = serde_json::from_str(&serving.get("api/v1/limits").await.body).expect("is JSON");
            let limits = limits["limits"].as_array().expect("is a list").clone();
            limits.into_iter().map(|limit| limit["limit"].clone()).collect()
        };
        let serving = Serving::start(&["--config", &config]).await;
        let pace = json!({"count": 100, "per_ms": 60_000});
        let both = json!({"running": 5, "starts": pace, "running_per_key": null, "starts_per_key": null});
        let running =
            |most: u32| json!({"running": most, "starts": null, "running_per_key": null, "starts_per_key": null});
        let of_keys = json!({
            "running": null, "starts": null, "running_per_key": 2, "starts_per_key": {"count": 10, "per_ms": 1_000},
        });
        assert_eq!(seen(&serving).await, json!([both, running(3), of_keys]));
        Way::database(&database.url())
            .ends(0, &["limit", "set", "Maps", "Locate", "--running", "9"])
            .await;
        serving.stop().await;
        let serving = Serving::start(&["--config", &config]).await;
        assert_eq!(seen(&serving).await, json!([both, running(9), of_keys]));
        serving.stop().await;
    }
}

#[actix_rt::test]
async fn a_hangup_takes_over_what_can_change() {
    let database = Database::of_kind(Kind::Sqlite);
    let (url, mut calls) = endpoint(false);
    let config = |workers: u64, token: &str, lease: f64, jobs: Value| {
        let user = json!({ "Hash": AccessToken::hash_of(token), "Permissions": ["all"] });
        json!({
            "Databases": { "default": database.url() },
            "Themes": { "mail": { "WorkerNum": workers }, "orders": {} },
            "AsyncTask": { "WorkerNum": 2 },
            "Http": { "Listen": "127.0.0.1:0", "Access": { "Tokens": { "ops": user } } },
            "Jobs": { "Declared": jobs },
            "Node": { "Lease": lease },
        })
    };
    let file = database.file("config.json");
    let path = written(&file, &config(3, TOKEN, 20.0, json!([])));
    let mut serving = Serving::start(&["--config", &path]).await;
    serving.has_workers("mail", 3).await;
    serving.has_workers("orders", 2).await;

    // A faulty file changes nothing.
    let mut faulty = config(7, "another-0123456789", 20.0, json!([hook(&url)]));
    faulty["Themes"]["mail"]["WorkrNum"] = json!(1);
    written(&file, &faulty);
    serving.signal("HUP");
    let said = serving.says("nothing is changed").await;
    assert!(said.contains("WorkrNum") && said.contains("WorkerNum"), "{said}");
    let bad_job =
        json!([{ "job_name": "sync", "job_type": "cron_hook", "cron_expr": "61 * * * * *", "hook_url": url }]);
    written(&file, &config(7, "another-0123456789", 20.0, bad_job));
    serving.signal("HUP");
    let said = serving.says("nothing is changed").await;
    assert!(said.contains("Jobs.Declared[0] (\"sync\"): cron_expr"), "{said}");
    assert_eq!(serving.workers("mail").await, 3);

    let mut good = config(7, TOKEN, 30.0, json!([hook(&url)]));
    good["Themes"]["imports"] = json!({ "WorkerNum": 4 });
    good["AsyncTask"]["WorkerNum"] = json!(5);
    good["Limits"] = json!([{ "Service": "Mail", "Method": "Send", "Running": 5 }]);
    written(&file, &good);
    serving.signal("HUP");
    let said = serving.says("is taken over").await;
    assert!(said.ends_with("warning: Node.Lease needs a restart"), "{said}");
    for (theme, workers) in [("mail", 7), ("orders", 5), ("imports", 4)] {
        serving.has_workers(theme, workers).await;
    }
    tokio::time::timeout(PATIENCE, calls.recv())
        .await
        .expect("the new job fires");
    let limits = serving.send("GET", "api/v1/limits", Some(TOKEN)).await.body;
    assert!(limits.contains(r#""limit":{"running":5,"#), "{limits}");

    // A token that is revoked opens nothing any more.
    let mut revoked = config(7, "another-0123456789", 20.0, json!([]));
    revoked["Themes"]["imports"] = json!({ "WorkerNum": 4, "Timeout": 9 });
    written(&file, &revoked);
    serving.signal("HUP");
    let said = serving.says("is taken over").await;
    // The theme runs with the options that it had when the file named it first.
    assert!(
        said.ends_with("warning: Themes.imports.Timeout needs a restart"),
        "{said}"
    );
    assert_eq!(serving.send("GET", "api/v1/whoami", Some(TOKEN)).await.status, 401);
    assert_eq!(
        serving
            .send("GET", "api/v1/whoami", Some("another-0123456789"))
            .await
            .status,
        200
    );
    serving.stop().await;
}

#[actix_rt::test]
async fn read_only_changes_nothing_by_any_route() {
    let served = Served::start().await;
    let id = served
        .local()
        .out(&["task", "add", "later", "Demo", "Echo", "1", "--in", "1h"])
        .await;
    served
        .local()
        .ends(
            0,
            &["job", "add", "report", "--cron", "0 0 1 1 *", "--call", "Demo.Echo"],
        )
        .await;
    let all = json!({ "ops": { "Hash": AccessToken::hash_of(TOKEN), "Permissions": ["all"] } });
    let config = configured(
        &served.database,
        json!({
            "Http": { "Access": { "Tokens": all, "Loopback": true } },
            "Themes": { "demo": {} },
            "Jobs": { "Declared": [hook("http://127.0.0.1:1/")] },
        }),
    );
    let state = || {
        let count = |table: &str| {
            served
                .database
                .number(&format!("SELECT COUNT(*) AS number FROM {table}"))
        };
        ["asynctasks", "job_center", "gaia_audit", "gaia_bulk"].map(count)
    };
    let before = state();
    let serving = Serving::start(&["--config", &config, "--read-only"]).await;
    let mut refused = 0;
    for route in ROUTES {
        let path = format!("api/v1{}", route.path.replace("/wait", "/wait?wait_ms=0"))
            .replace("{theme}", "later")
            .replace("{name}", "report")
            .replace("{service}", "Demo")
            .replace("{method}", "Echo")
            .replace("{node}", served.gaia.node_id())
            .replace(
                "{id}",
                if route.path.starts_with("/tasks") {
                    id.trim()
                } else {
                    "1"
                },
            );
        for token in [None, Some(TOKEN)] {
            let answer = serving.send(route.method, &path, token).await;
            let is_refused = answer.status == 403 && answer.body.contains("no_permission");
            assert_eq!(
                is_refused, route.changes,
                "{route:?}: {} {}",
                answer.status, answer.body
            );
            refused += usize::from(is_refused);
        }
    }
    assert!(refused > 20, "{refused}");
    assert_eq!(state(), before);
    // Arguments may be seen, and nothing runs here.
    assert!(
        serving
            .get("api/v1/whoami")
            .await
            .body
            .contains(r#""permissions":["view","view_args"]"#)
    );
    assert_eq!(serving.workers("demo").await, 0);
    serving.stop().await;
    served.stop().await;
}

#[actix_rt::test]
async fn bad_configurations_are_refused_before_anything_starts() {
    let database = Database::of_kind(Kind::Sqlite);
    let hash = AccessToken::hash_of(TOKEN);
    for (config, said) in [
        (
            json!({"Node": {"Leese": 1}}),
            &["unknown key Node.Leese", "\"Lease\""][..],
        ),
        (
            json!({"Themes": {"mail": {"WorkerNumber": 1}}}),
            &["Themes.mail.WorkerNumber", "\"WorkerNum\""],
        ),
        (
            json!({"Themes": {"mail": {"ScanTaskNum": 0}}}),
            &["theme \"mail\"", "scan_task_num is 0"],
        ),
        (
            json!({"Jobs": {"Declared": [hook("http://127.0.0.1/"), {"job_name": "b", "job_type": "cron_hook", "cron_exp": "@daily"}]}}),
            &["Jobs.Declared[1] (\"b\")", "cron_exp", "cron_expr"],
        ),
        (
            json!({"Jobs": {"Declared": [hook("no url"), hook("http://127.0.0.1/")]}}),
            &["Jobs.Declared[0] (\"sync\")", "URL", "an earlier job has this job_name"],
        ),
        (
            json!({"Limits": [{"Service": "Mail", "Method": "Send", "Runing": 5}]}),
            &["Limits[0]", "`Running`"],
        ),
        (
            json!({"Limits": [{"Service": "Mail", "Method": "Send"}, {"Service": "Mail", "Method": "Send", "Running": 0, "PerMs": 5}]}),
            &[
                "Limits[0] (Mail.Send): the limit limits nothing",
                "Limits[1] (Mail.Send): an earlier limit is of this method",
                "Limits[1] (Mail.Send): one of Starts and PerMs alone says nothing",
                "Limits[1] (Mail.Send): 0 tasks at once",
            ],
        ),
        (
            json!({"Limits": [{"Service": "Mail", "Method": "Send", "RunningPerKey": 0, "StartsPerKey": 5}]}),
            &[
                "Limits[0] (Mail.Send): one of StartsPerKey and PerKeyMs alone says nothing",
                "Limits[0] (Mail.Send): 0 tasks at once",
            ],
        ),
        (
            json!({"Http": {"Listen": "0.0.0.0:0"}}),
            &["0.0.0.0:0 can be reached by other machines", "Http.Access", "127.0.0.1"],
        ),
        (json!({"Http": {"Listen": "8080"}}), &["\"8080\"", "127.0.0.1:8080"]),
        (json!({"Http": {"Path": "gaia"}}), &["Http.Path must begin with /"]),
        (
            json!({"Http": {"Access": {"Tokens": {"a": {"Hash": "s3cret"}, "b": {"Hash": hash, "Permissions": ["veiw"]}}}}}),
            &["Http.Access.Tokens.a", "Http.Access.Tokens.b.Permissions", "\"view\""],
        ),
        (
            json!({"Http": {"Access": {"Basic": {"ops": {"Hash": "s3cret"}}, "Header": {"Name": "x-user"}}}}),
            &[
                "Http.Access.Basic.ops",
                "Argon2",
                "Http.Access.Header: no peer is trusted",
            ],
        ),
        (
            json!({"Alerts": {"Webhooks": [{"Format": "Slack", "Url": "s3cret"}]}}),
            &["webhook 1 of the alerts"],
        ),
    ] {
        let file = configured(&database, config);
        for more in [&[][..], &["--check"]] {
            let refused = Way::default()
                .ends(2, &[&["serve", "--config", &file], more].concat())
                .await;
            for text in said {
                assert!(refused.stderr.contains(text), "{text}: {refused:?}");
            }
            assert!(
                !refused.stderr.contains("s3cret") && refused.stdout.is_empty(),
                "{refused:?}"
            );
        }
    }
    assert!(!database.path().exists(), "nothing was started");
    let good = configured(&database, json!({}));
    Way::default().ends(0, &["serve", "--config", &good, "--check"]).await;
    let shared = configured(
        &database,
        json!({"Server": {"Port": ":8080"}, "Framework": {"Redis": {}}, "Theems": {}}),
    );
    let left_alone = Way::default().ends(0, &["serve", "--config", &shared, "--check"]).await;
    assert!(
        left_alone
            .stderr
            .contains("the key Theems is left alone; is \"Themes\" meant?")
            && !left_alone.stderr.contains("Server"),
        "{left_alone:?}"
    );
    let strict = Way::default()
        .ends(2, &["serve", "--config", &shared, "--check", "--strict"])
        .await;
    assert!(strict.stderr.contains("unknown key Framework.Redis"), "{strict:?}");
    let good = configured(&database, json!({}));
    Way::default().ends(2, &["serve", "--config", "no such file"]).await;
    Way::default()
        .ends(2, &["serve", "--server", "http://127.0.0.1:1"])
        .await;
    assert!(!database.path().exists(), "a check starts nothing");

    let missing = Way::default()
        .ends(8, &["serve", "--config", &good, "--read-only"])
        .await;
    assert!(missing.stderr.contains("gaia migrate"), "{missing:?}");
    let url = "postgres://me:s3cret@127.0.0.1:1/none";
    let away = Way::default()
        .ends(8, &["serve", "--listen", "127.0.0.1:0", "--database", url])
        .await;
    assert!(!away.stderr.contains("s3cret"), "{away:?}");
    let holder = TcpListener::bind("127.0.0.1:0").expect("binds");
    let taken = holder.local_addr().expect("has one").to_string();
    let refused = Way::default()
        .ends(1, &["serve", "--config", &good, "--listen", &taken])
        .await;
    assert!(
        refused.stderr.contains("another program listens on") && refused.stderr.contains("--listen"),
        "{refused:?}"
    );
    assert!(!database.path().exists(), "the port comes first");
}

#[actix_rt::test]
async fn the_demo_is_a_shop_that_works() {
    let database = Database::of_kind(Kind::Sqlite);
    let serving = Serving::of(&["demo", "--listen", "127.0.0.1:0", "--database", &database.url()]).await;
    assert_eq!(serving.get("").await.status, 200);
    let way = Way::database(&database.url());
    eventually("an order is confirmed, and its handler's line is kept", async || {
        let found = way
            .out(&["task", "list", "status:success", "method:Order.Confirm", "-o", "name"])
            .await;
        let log = way.out(&["task", "log", found.lines().next()?]).await;
        log.contains("is confirmed").then_some(())
    })
    .await;
    serving.stop().await;
    for words in [
        &["demo", "--listen", "0.0.0.0:0"][..],
        &["demo", "--server", "http://127.0.0.1:1"],
    ] {
        Way::default().ends(2, words).await;
    }
}

/// On each database server that can be had here.
#[actix_rt::test]
async fn two_on_a_server_are_a_cluster() {
    for kind in kinds().into_iter().filter(|kind| *kind != Kind::Sqlite) {
        let database = Database::of_kind(kind);
        let (url, mut calls) = endpoint(false);
        let config = configured(
            &database,
            json!({"Jobs": {"Declared": [hook(&url)]}, "Themes": {"mail": {}}}),
        );
        let words = ["--config", config.as_str()];
        let (first, second) = tokio::join!(Serving::start(&words), Serving::start(&words));
        let nodes = async |serving: &Serving| {
            let answer: Value = serde_json::from_str(&serving.get("api/v1/nodes").await.body).expect("is JSON");
            answer["nodes"].as_array().map(Vec::len).unwrap_or_default()
        };
        assert_eq!((nodes(&first).await, nodes(&second).await), (2, 2));
        assert_eq!(database.number("SELECT COUNT(*) AS number FROM job_center"), 1);
        tokio::time::timeout(PATIENCE, calls.recv()).await.expect("is called");
        first.stop().await;
        assert_eq!(nodes(&second).await, 1);
        // The other goes on with the job.
        while calls.try_recv().is_ok() {}
        tokio::time::timeout(PATIENCE, calls.recv())
            .await
            .expect("is called again");
        second.stop().await;
    }
}
