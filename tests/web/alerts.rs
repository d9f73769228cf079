//! Open alerts by the API and as a page.

use gaia_actors::web::AdminOptions;
use serde_json::{Value, json};

use crate::client::{LIMITED, OPERATOR, PRODUCER, Served, VIEWER, tokens};

/// An open alert as a process writes it.
fn raise(served: &Served, kind: &str, subject: &str, theme: Option<&str>, place: &str, text: &str) {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let theme = theme.map_or_else(|| "NULL".to_owned(), quoted);
    let (subject, place, text) = (quoted(subject), quoted(place), quoted(text));
    served.database.execute(&format!(
        "INSERT INTO gaia_alerts VALUES ('key of {kind}', '{kind}', {subject}, {theme}, 'node-1', '2026-01-31 08:00:00', \
         '2026-01-31 08:05:00', '2026-01-31 08:00:00', 26, 25, 3, {place}, {text}, {text})"
    ));
}

const HOSTILE: &str = "\"><script>alert(1)</script>";

fn raise_three(served: &Served) {
    raise(
        served,
        "task_failed",
        "allowed Demo.Fail",
        Some("allowed"),
        "tasks/1",
        "a secret reason",
    );
    raise(served, "oldest_due", "covert", Some("covert"), "themes/covert", HOSTILE);
    raise(served, "node_dead", HOSTILE, None, "javascript:alert(1)", HOSTILE);
}

fn kinds(answer: &Value) -> Vec<&str> {
    let alerts = answer["alerts"].as_array().expect("is a list");
    let mut kinds: Vec<&str> = alerts.iter().filter_map(|alert| alert["kind"].as_str()).collect();
    kinds.sort_unstable();
    kinds
}

#[actix_rt::test]
async fn open_alerts_are_listed_to_those_who_may_see_their_themes() {
    let served = Served::start().await;
    assert_eq!(served.get("/alerts").await.with(200), json!({ "alerts": [] }));
    raise_three(&served);
    let all = served.get("/alerts").await.with(200);
    assert_eq!(kinds(&all), ["node_dead", "oldest_due", "task_failed"]);
    let of_theme = served.get("/alerts?theme=allowed").await.with(200);
    assert_eq!(
        of_theme["alerts"][0],
        json!({
            "kind": "task_failed",
            "severity": "ticket",
            "subject": "allowed Demo.Fail",
            "theme": "allowed",
            "node": "node-1",
            "since": "2026-01-31T08:00:00Z",
            "last_time": "2026-01-31T08:05:00Z",
            "last_sent": "2026-01-31T08:00:00Z",
            "times": 26,
            "held_back": 25,
            "place": "tasks/1",
            "text_en": "a secret reason",
            "text_zh": "a secret reason",
        })
    );
    let limited = served.send_as(LIMITED, "GET", "/alerts", "").await.with(200);
    assert_eq!(kinds(&limited), ["task_failed"]);
    served
        .send_as(LIMITED, "GET", "/alerts?theme=covert", "")
        .await
        .refused(403, "theme_not_allowed");
    served
        .send_as(PRODUCER, "GET", "/alerts", "")
        .await
        .refused(403, "no_permission");
    served.stop().await;
}

#[actix_rt::test]
async fn the_text_of_an_alert_is_redacted_like_an_error() {
    let options =
        AdminOptions::new(tokens()).redact(|text| text.text.contains("secret").then(|| "(redacted)".to_owned()));
    let served = Served::with(options).await;
    raise_three(&served);
    let answer = served.get("/alerts?theme=allowed").await;
    assert_eq!(answer.with(200)["alerts"][0]["redacted"], json!(true));
    assert!(
        answer.body.contains("(redacted)") && !answer.body.contains("secret"),
        "{}",
        answer.body
    );
    let page = served.page(OPERATOR, "/alerts").await;
    assert!(
        page.html(200).contains("(redacted)") && !page.body.contains("secret"),
        "{}",
        page.body
    );
    served.stop().await;
}

#[actix_rt::test]
async fn the_pages_show_open_alerts_and_no_hostile_text_acts() {
    let served = Served::start().await;
    let page = served.page(VIEWER, "/alerts").await;
    assert!(page.html(200).contains("No alert is open."), "{}", page.body);
    assert!(!served.page(VIEWER, "/").await.html(200).contains("alerts are open"));
    raise_three(&served);

    let page = served.page(VIEWER, "/alerts").await;
    for part in [
        "Task failed for good",
        "Tasks wait too long",
        "href=\"tasks/1\"",
        "href=\"themes/covert\"",
        "&lt;script&gt;alert(1)",
        "a secret reason",
        ">26<",
    ] {
        assert!(page.html(200).contains(part), "{part}: {}", page.body);
    }
    for part in ["<script>alert", "javascript:"] {
        assert!(!page.html(200).contains(part), "{part}: {}", page.body);
    }
    crate::support::eventually("the overview to tell of alerts", async || {
        let overview = served.page(VIEWER, "/").await;
        overview
            .html(200)
            .contains("<a href=\"alerts\">3 alerts are open</a>")
            .then_some(())
    })
    .await;
    let limited = served.page(LIMITED, "/").await;
    assert!(limited.html(200).contains("1 alert is open"), "{}", limited.body);
    let limited = served.page(LIMITED, "/alerts").await;
    assert!(
        limited.html(200).contains("Demo.Fail") && !limited.body.contains("covert"),
        "{}",
        limited.body
    );
    served.page(PRODUCER, "/alerts").await.html(403);
    served.stop().await;
}
