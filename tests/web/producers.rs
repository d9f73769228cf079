//! Programs that add tasks: requests that are repeated with the same `Idempotency-Key`, and tokens that may only add.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use gaia_actors::web::{Access, AccessToken, AdminOptions, Permission, ROUTES};
use serde_json::json;

use crate::{
    client::{API, Answer, LIMITED, OPERATOR, PRODUCER, Served, VIEWER},
    support::THEME,
};

const ECHO: &str = r#"{"theme": "demo", "service": "Demo", "method": "Echo", "args": 1}"#;
const OTHER: &str = r#"{"theme": "demo", "service": "Demo", "method": "Echo", "args": 2}"#;
const KEY: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";
const REPLAYED: &str = "idempotency-replayed";

fn count(served: &Served) -> i64 {
    served.database.number("SELECT COUNT(*) FROM asynctasks")
}

#[actix_rt::test]
async fn a_repeated_request_gets_the_answer_of_the_first() {
    let served = Served::start().await;
    let first = served.send_once(PRODUCER, "/tasks", KEY, ECHO).await;
    let added = first.with(201);
    assert_eq!(first.header(REPLAYED), None);
    let again = served.send_once(PRODUCER, "/tasks", KEY, ECHO).await;
    assert_eq!((again.with(201), again.header(REPLAYED)), (added, Some("true")));
    assert_eq!(again.header("location"), first.header("location"));
    // Who may see the end may ask for it with the repeated request.
    let first = served.send_once(OPERATOR, "/tasks", KEY, ECHO).await.with(201);
    let again = served.send_once(OPERATOR, "/tasks?wait_ms=60000", KEY, ECHO).await;
    assert_eq!(
        (&again.with(201)["id"], &again.with(201)["task"]["status"]),
        (&first["id"], &json!("Success"))
    );

    let list = r#"[{"theme":"later","service":"A","method":"B"},{"theme":"later","service":"A","method":"B"}]"#;
    let first = served.send_once(PRODUCER, "/tasks/batch", KEY, list).await.with(201);
    let again = served.send_once(PRODUCER, "/tasks/batch", KEY, list).await;
    assert_eq!((again.with(201), again.header(REPLAYED)), (first, Some("true")));
    // Each of these is another key: another caller's, and one of another theme.
    assert_eq!(count(&served), 4);
    served.stop().await;
}

#[actix_rt::test]
async fn the_answer_about_a_duplicate_stays_the_same() {
    let served = Served::start().await;
    let keyed = r#"{"theme": "later", "service": "A", "method": "B", "unique_key": "one"}"#;
    let holder = served.send("POST", "/tasks", keyed).await.with(201);
    let first = served.send_once(PRODUCER, "/tasks", KEY, keyed).await;
    assert_eq!(first.with(200), json!({"id": holder["id"], "duplicate": true}));
    let again = served.send_once(PRODUCER, "/tasks", KEY, keyed).await;
    assert_eq!(
        (again.with(200), again.header(REPLAYED)),
        (first.with(200), Some("true"))
    );
    served.stop().await;
}

#[actix_rt::test]
async fn a_key_is_for_one_body() {
    let served = Served::start().await;
    served.send_once(PRODUCER, "/tasks", KEY, ECHO).await.with(201);
    for (path, body) in [("/tasks", OTHER), ("/tasks/batch", &format!("[{ECHO}]"))] {
        let refused = served.send_once(PRODUCER, path, KEY, body).await;
        refused.refused(422, "idempotency_key_reused");
    }
    // A faulty request uses no key.
    let faulty = r#"{"theme": "demo", "service": "", "method": "Echo"}"#;
    served
        .send_once(PRODUCER, "/tasks", "k", faulty)
        .await
        .refused(422, "invalid");
    let free = served.send_once(PRODUCER, "/tasks", "k", ECHO).await;
    assert_eq!((free.status, free.header(REPLAYED)), (201, None));
    assert_eq!(count(&served), 2);
    served.stop().await;
}

#[actix_rt::test]
async fn a_bad_key_is_refused() {
    let served = Served::start().await;
    for bad in ["", "two words", "schlüssel", &"k".repeat(256)] {
        for path in ["/tasks", "/tasks/batch", "/batches"] {
            let refused = served.send_once(PRODUCER, path, bad, ECHO).await;
            refused.refused(400, "bad_idempotency_key");
        }
    }
    let bearer = format!("Bearer {PRODUCER}");
    let twice = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("idempotency-key", "a"),
        ("idempotency-key", "a"),
    ];
    let refused = served.raw("POST", &format!("{API}/tasks"), &twice, ECHO).await;
    refused.refused(400, "bad_idempotency_key");
    assert_eq!(count(&served), 0);
    served
        .send_once(PRODUCER, "/tasks", &"~".repeat(255), ECHO)
        .await
        .with(201);
    served.stop().await;
}

#[actix_rt::test]
async fn of_many_requests_at_once_one_adds() {
    let served = Served::start().await;
    let requests = (0..20).map(|_| served.send_once(PRODUCER, "/tasks", KEY, ECHO));
    let answers: Vec<Answer> = join_all(requests).await;
    let ids: BTreeSet<String> = answers
        .iter()
        .map(|answer| answer.with(201)["id"].to_string())
        .collect();
    assert_eq!(ids.len(), 1);
    let added = answers.iter().filter(|answer| answer.header(REPLAYED).is_none());
    assert_eq!((added.count(), count(&served)), (1, 1));
    served.stop().await;
}

#[actix_rt::test]
async fn a_producer_adds_and_does_nothing_else() {
    let token = |name: &str, token: &str| AccessToken::new(name, &AccessToken::hash_of(token)).expect("is good");
    let producer = token("producer", PRODUCER)
        .permissions(Permission::PRODUCER)
        .themes([THEME]);
    let operator = token("operator", OPERATOR).permissions(Permission::ALL);
    let served = Served::with(AdminOptions::new(Access::tokens([producer, operator]))).await;
    let mut open = BTreeSet::new();
    for route in ROUTES {
        let path = route.path.replace("{id}", "1").replace("{theme}", THEME);
        let path = path.replace("{name}", "report").replace("{node}", "n");
        let path = path.replace("{service}", "S").replace("{method}", "M");
        // A body that is no JSON: nothing is changed.
        let body = if route.method == "GET" { "" } else { "!" };
        let answer = served.send_as(PRODUCER, route.method, &path, body).await;
        if answer.status == 403 {
            answer.refused(403, "no_permission");
        } else {
            open.insert((route.method, route.path));
        }
    }
    let expected = [
        ("GET", "/healthz"),
        ("GET", "/openapi.json"),
        ("GET", "/readyz"),
        ("GET", "/whoami"),
        ("POST", "/batches"),
        ("POST", "/tasks"),
        ("POST", "/tasks/batch"),
    ];
    assert_eq!(open, BTreeSet::from(expected));
    served.send_as(PRODUCER, "POST", "/tasks", ECHO).await.with(201);
    let list = format!("[{ECHO},{OTHER}]");
    served.send_as(PRODUCER, "POST", "/tasks/batch", &list).await.with(201);
    assert_eq!(count(&served), 3);
    for (path, body) in [
        ("/tasks", ECHO.replace("demo", "other")),
        ("/tasks/batch", list.replace("demo", "other")),
    ] {
        let refused = served.send_once(PRODUCER, path, KEY, &body).await;
        refused.refused(403, "theme_not_allowed");
    }
    served.stop().await;
}

#[actix_rt::test]
async fn callers_do_not_share_keys() {
    let served = Served::start().await;
    let body = ECHO.replace("demo", "allowed");
    let mut ids = BTreeSet::new();
    for token in [OPERATOR, PRODUCER, LIMITED] {
        let added = served.send_once(token, "/tasks", KEY, &body).await;
        assert_eq!(added.header(REPLAYED), None);
        ids.insert(added.with(201)["id"].to_string());
    }
    assert_eq!(ids.len(), 3);
    served
        .send_once(VIEWER, "/tasks", KEY, &body)
        .await
        .refused(403, "no_permission");
    served.stop().await;
}
