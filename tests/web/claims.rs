//! Remote workers: programs that take tasks through the API and say how each run went.

use std::time::Duration;

use gaia_actors::prelude::*;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::{
    client::{LIMITED, OPERATOR, Served, VIEWER, WORKER},
    support::eventually,
};

/// A theme that no node works on.
const THEME: &str = "remote";

/// A lease that is over soon.
const SHORT: u32 = 1_000;

/// The owner of the tasks of the worker `w`.
const OWNER: &str = "remote:w";

async fn add(served: &Served, task: NewTask) -> i64 {
    let scheduler = served.gaia.scheduler(THEME).expect("is a theme");
    scheduler.add_task(task).await.expect("is added").id
}

fn order() -> NewTask {
    NewTask::new("Order", "Create").args(&json!({"order": 7}))
}

fn asks(more: &Value) -> String {
    let mut asked = json!({"worker": "w", "theme": THEME, "methods": [{"service": "Order", "method": "Create"}]});
    let (asked_keys, more) = (
        asked.as_object_mut().expect("is one"),
        more.as_object().expect("is one"),
    );
    asked_keys.extend(more.clone());
    asked.to_string()
}

/// What a claim with these further keys gets.
async fn claim(served: &Served, more: Value) -> Vec<Value> {
    let claimed = served.send_as(WORKER, "POST", "/claims", &asks(&more)).await.with(200);
    assert_eq!(claimed["worker"], OWNER);
    claimed["tasks"].as_array().expect("is a list").clone()
}

async fn claim_one(served: &Served) -> Value {
    let mut tasks = claim(served, json!({})).await;
    assert_eq!(tasks.len(), 1, "{tasks:?}");
    tasks.remove(0)
}

/// A call about one run.
async fn say(served: &Served, what: &str, run: &Value, more: Value) -> crate::client::Answer {
    let mut named = json!({"token": run["token"]});
    let keys = named.as_object_mut().expect("is one");
    keys.extend(more.as_object().expect("is one").clone());
    let body = json!({"runs": [named]}).to_string();
    served.send_as(WORKER, "POST", &format!("/claims/{what}"), &body).await
}

/// The only run of an answer.
fn only(answer: &crate::client::Answer) -> Value {
    let runs = answer.with(200)["runs"].clone();
    assert_eq!(runs.as_array().map(Vec::len), Some(1), "{runs}");
    runs[0].clone()
}

async fn task(served: &Served, id: i64) -> Value {
    served.get(&format!("/tasks/{id}")).await.with(200)
}

async fn records(served: &Served, id: i64) -> Vec<Value> {
    let records = served.get(&format!("/tasks/{id}/records")).await.with(200);
    records["items"].as_array().expect("is a list").clone()
}

/// Waits until the task has this status.
async fn becomes(served: &Served, id: i64, status: &str) -> Value {
    eventually(status, async || {
        let task = task(served, id).await;
        (task["status"] == status).then_some(task)
    })
    .await
}

#[actix_rt::test]
async fn a_worker_takes_a_task_and_ends_it_once() {
    let served = Served::that_looks_often().await;
    let id = add(&served, order()).await;
    let run = claim_one(&served).await;
    for (key, value) in [
        ("id", json!(id)),
        ("theme", json!(THEME)),
        ("service", json!("Order")),
        ("method", json!("Create")),
        ("args", json!({"order": 7})),
        ("attempt", json!(1)),
        ("max_attempts", json!(4)),
        ("timeout_ms", json!(null)),
    ] {
        assert_eq!(run[key], value, "{key}");
    }
    assert!(claim(&served, json!({})).await.is_empty());
    let running = task(&served, id).await;
    assert_eq!(
        (&running["status"], &running["node"]),
        (&json!("Running"), &json!(OWNER))
    );

    let result = json!({"result": {"receipt": 9_007_199_254_740_993_u64, "x": 1.50}});
    let written = only(&say(&served, "finish", &run, result).await);
    assert_eq!(written, json!({"id": id, "state": "written", "status": "Success"}));
    let done = task(&served, id).await;
    assert_eq!(
        (&done["status"], &done["last_result"]["x"]),
        (&json!("Success"), &json!(1.5))
    );
    let [record] = &records(&served, id).await[..] else {
        panic!("one record is expected");
    };
    assert_eq!((&record["node"], &record["log_id"]), (&json!(OWNER), &run["log_id"]));
    // A second end, and whatever else is said about the run, changes nothing.
    for (what, more) in [
        ("finish", json!({"result": 2})),
        ("fail", json!({"error": "no"})),
        ("snooze", json!({"delay_ms": 5})),
        ("release", json!({})),
        ("beat", json!({})),
        ("progress", json!({"percent": 5})),
        ("log", json!({"lines": [{"message": "late"}]})),
    ] {
        say(&served, what, &run, more).await.refused(409, "run_lost");
    }
    assert_eq!(task(&served, id).await, done);
    served.stop().await;
}

#[actix_rt::test]
async fn each_end_leads_where_the_same_end_of_a_handler_leads() {
    let served = Served::that_looks_often().await;
    for (what, more, status, retried) in [
        ("fail", json!({"error": "no stock"}), "Retry", 1),
        ("fail", json!({"error": "no such order", "discard": true}), "Failed", 0),
        ("fail", json!({"error": "PARAM_ERROR: no amount"}), "Failed", 0),
        ("snooze", json!({"delay_ms": 3_600_000}), "Wait", 0),
        ("release", json!({}), "Wait", 0),
        ("release", json!({"started": false}), "Wait", 0),
    ] {
        let id = add(&served, order()).await;
        let run = claim_one(&served).await;
        let written = only(&say(&served, what, &run, more.clone()).await);
        assert_eq!(written["status"], status, "{what} {more}");
        let task = task(&served, id).await;
        assert_eq!(
            (&task["status"], &task["retry_time"]),
            (&json!(status), &json!(retried)),
            "{what} {more}"
        );
        assert_eq!(
            task["last_error"].as_str().filter(|_| what == "fail"),
            more["error"].as_str()
        );
        served.send("POST", &format!("/tasks/{id}/cancel"), "").await;
    }
    served.stop().await;
}

#[actix_rt::test]
async fn many_runs_are_ended_in_one_call() {
    let served = Served::that_looks_often().await;
    let scheduler = served.gaia.scheduler(THEME).expect("is a theme");
    scheduler.add_tasks(vec![order(); 300]).await.expect("are added");
    let runs = claim(&served, json!({"count": 1_000})).await;
    assert_eq!(runs.len(), 300);
    let (lost, kept) = runs.split_at(1);
    say(&served, "release", &lost[0], json!({})).await.with(200);
    let named: Vec<Value> = runs.iter().map(|run| json!({"token": run["token"]})).collect();
    let body = json!({"runs": named}).to_string();
    let states = served.send_as(WORKER, "POST", "/claims/finish", &body).await.with(200);
    assert_eq!(states["runs"][0], json!({"id": lost[0]["id"], "state": "lost"}));
    for (state, run) in states["runs"].as_array().expect("is a list")[1..].iter().zip(kept) {
        assert_eq!(
            *state,
            json!({"id": run["id"], "state": "written", "status": "Success"})
        );
    }
    // The claim is settled, and both of its rows go.
    eventually("the claim to go", async || {
        let left = "SELECT (SELECT COUNT(*) FROM gaia_claims) + (SELECT COUNT(*) FROM gaia_remote_claims)";
        (served.database.number(left) == 0).then_some(())
    })
    .await;
    served.stop().await;
}

#[actix_rt::test]
async fn a_token_of_another_kind_is_refused() {
    let served = Served::that_looks_often().await;
    for _ in 0..2 {
        add(&served, order()).await;
    }
    let (run, other) = (claim_one(&served).await, claim_one(&served).await);
    let token = run["token"].as_str().expect("is a text");
    let other = other["token"].as_str().expect("is a text");
    // The facts of one run with the code of another.
    let mixed = format!("{}{}", &token[..token.len() - 21], &other[other.len() - 21..]);
    for bad in ["", "x", "not base64!", &token[1..], &mixed, &"A".repeat(10_000)] {
        let body = json!({"runs": [{"token": token, "result": 1}, {"token": bad, "result": 1}]}).to_string();
        let refused = served.send_as(WORKER, "POST", "/claims/finish", &body).await;
        let problem = refused.refused(422, "invalid");
        assert_eq!(problem["faults"][0]["pointer"], "/runs/1/token", "{bad}");
    }
    let twice = json!({"runs": [{"token": token}, {"token": token}]}).to_string();
    served
        .send_as(WORKER, "POST", "/claims/finish", &twice)
        .await
        .refused(422, "invalid");
    for (body, pointer) in [
        (json!({"runs": []}), None),
        (
            json!({"runs": [{"token": token, "percent": 101}]}),
            Some("/runs/0/percent"),
        ),
        (
            json!({"runs": [{"token": token, "percent": 5, "nota": ""}]}),
            Some("/runs/0/nota"),
        ),
    ] {
        let refused = served
            .send_as(WORKER, "POST", "/claims/progress", &body.to_string())
            .await;
        let problem = refused.refused(422, "invalid");
        assert_eq!(problem["faults"][0]["pointer"].as_str(), pointer, "{problem}");
    }
    // Nothing of it has touched the run.
    assert_eq!(only(&say(&served, "beat", &run, json!({})).await)["state"], "held");
    served.stop().await;
}

#[actix_rt::test]
async fn a_claim_that_asks_for_nonsense_is_refused_with_every_fault() {
    let served = Served::that_looks_often().await;
    let nonsense = json!({
        "worker": "w/../x", "theme": "", "methods": [], "count": 0, "lease_ms": 5, "wait_ms": 60_001,
    });
    let refused = served.send_as(WORKER, "POST", "/claims", &nonsense.to_string()).await;
    let problem = refused.refused(422, "invalid");
    assert_eq!(problem["faults"].as_array().map(Vec::len), Some(6), "{problem}");
    assert_eq!(served.database.number("SELECT COUNT(*) FROM gaia_nodes"), 1);
    served.stop().await;
}

#[actix_rt::test]
async fn only_workers_of_the_theme_get_its_tasks() {
    let served = Served::that_looks_often().await;
    add(&served, order()).await;
    let asked = asks(&json!({}));
    served
        .send_as(VIEWER, "POST", "/claims", &asked)
        .await
        .refused(403, "no_permission");
    served
        .send_as(LIMITED, "POST", "/claims", &asked)
        .await
        .refused(403, "theme_not_allowed");
    served
        .send_as("unknown-0123456789", "POST", "/claims", &asked)
        .await
        .refused(401, "no_access");
    let run = claim_one(&served).await;
    let body = json!({"runs": [{"token": run["token"]}]}).to_string();
    for (token, code) in [(VIEWER, "no_permission"), (LIMITED, "theme_not_allowed")] {
        served
            .send_as(token, "POST", "/claims/finish", &body)
            .await
            .refused(403, code);
    }
    served
        .send_as(OPERATOR, "POST", "/claims/finish", &body)
        .await
        .with(200);
    served.stop().await;
}

#[actix_rt::test]
async fn a_worker_that_waits_gets_a_task_that_is_added_meanwhile() {
    let served = Served::that_looks_often().await;
    let waits = claim(&served, json!({"wait_ms": 60_000}));
    let adds = async {
        eventually("the worker to be known", async || {
            let known = "SELECT COUNT(*) FROM gaia_nodes WHERE id = 'remote:w'";
            (served.database.number(known) == 1).then_some(())
        })
        .await;
        add(&served, order()).await
    };
    let (tasks, id) = futures_util::future::join(waits, adds).await;
    assert_eq!(tasks[0]["id"], id);
    let none = tokio::time::Instant::now();
    assert!(claim(&served, json!({"wait_ms": 300})).await.is_empty());
    assert!(none.elapsed() >= Duration::from_millis(300));
    served.stop().await;
}

#[actix_rt::test]
async fn a_worker_that_has_hung_up_gets_no_task() {
    let served = Served::that_looks_often().await;
    let body = asks(&json!({"wait_ms": 60_000}));
    let headers = format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    let mut waiting = served.begin("POST", "/claims", &headers).await;
    waiting.write_all(body.as_bytes()).await.expect("is sent");
    eventually("the worker to be known", async || {
        let known = "SELECT COUNT(*) FROM gaia_nodes WHERE id = 'remote:w'";
        (served.database.number(known) == 1).then_some(())
    })
    .await;
    drop(waiting);
    let id = add(&served, order()).await;
    let run = eventually("the task to be handed to a worker that lives", async || {
        claim(&served, json!({"wait_ms": 1_000})).await.pop()
    })
    .await;
    assert_eq!((&run["id"], &run["attempt"]), (&json!(id), &json!(1)));
    served.stop().await;
}

#[actix_rt::test]
async fn a_paused_theme_and_other_methods_give_nothing() {
    let served = Served::that_looks_often().await;
    add(&served, NewTask::new("Order", "Delete")).await;
    assert!(claim(&served, json!({})).await.is_empty());
    add(&served, order()).await;
    served
        .send(
            "POST",
            &format!("/themes/{THEME}/pause"),
            r#"{"reason": "stock-taking"}"#,
        )
        .await
        .with(200);
    assert!(claim(&served, json!({})).await.is_empty());
    served
        .send("POST", &format!("/themes/{THEME}/resume"), "")
        .await
        .with(200);
    claim_one(&served).await;
    served.stop().await;
}

#[actix_rt::test]
async fn a_silent_worker_loses_its_tasks_and_one_that_beats_keeps_them() {
    let served = Served::that_looks_often().await;
    let id = add(&served, order()).await;
    let last = add(&served, order().max_retry(0)).await;
    let kept = add(&served, order()).await;
    let mut lost = claim(&served, json!({"lease_ms": SHORT, "count": 2})).await;
    lost.sort_by_key(|run| run["id"].as_i64());
    let held = claim(&served, json!({"lease_ms": SHORT})).await;
    assert_eq!(
        (&lost[0]["id"], &lost[1]["id"], &held[0]["id"]),
        (&json!(id), &json!(last), &json!(kept))
    );
    let ended = eventually("the silent worker's task to be tried again", async || {
        assert_eq!(only(&say(&served, "beat", &held[0], json!({})).await)["state"], "held");
        let task = task(&served, id).await;
        (task["status"] == "Retry").then_some(task)
    })
    .await;
    let error = ended["last_error"].as_str().expect("has an error");
    assert!(error.starts_with("its worker remote:w was silent"), "{error}");
    assert_eq!(ended["retry_time"], 1);
    // No task runs more often than it may: its last attempt had begun.
    becomes(&served, last, "Failed").await;
    say(&served, "finish", &lost[0], json!({}))
        .await
        .refused(409, "run_lost");
    only(&say(&served, "finish", &held[0], json!({})).await);
    // Another worker gets the task, and the old token does not end the new run.
    let again = eventually("the task to be due again", async || {
        claim(&served, json!({})).await.pop()
    })
    .await;
    assert_eq!((&again["id"], &again["attempt"]), (&json!(id), &json!(2)));
    say(&served, "finish", &lost[0], json!({}))
        .await
        .refused(409, "run_lost");
    assert_eq!(
        only(&say(&served, "finish", &again, json!({})).await)["status"],
        "Success"
    );
    served.stop().await;
}

#[actix_rt::test]
async fn a_cancelled_run_is_told_to_stop_and_is_cancelled_when_it_does() {
    let served = Served::that_looks_often().await;
    let id = add(&served, order()).await;
    let run = claim_one(&served).await;
    served.send("POST", &format!("/tasks/{id}/cancel"), "").await.with(202);
    assert_eq!(only(&say(&served, "beat", &run, json!({})).await)["state"], "cancelled");
    let released = only(&say(&served, "release", &run, json!({})).await);
    assert_eq!(released["status"], "Cancelled");
    assert_eq!(task(&served, id).await["status"], "Cancelled");
    // A worker that does not obey is not waited for.
    let id = add(&served, order()).await;
    let run = claim_one(&served).await;
    served.send("POST", &format!("/tasks/{id}/cancel"), "").await.with(202);
    becomes(&served, id, "Cancelled").await;
    say(&served, "finish", &run, json!({})).await.refused(409, "run_lost");
    served.stop().await;
}

#[actix_rt::test]
async fn the_timeout_of_the_task_rules() {
    let served = Served::that_looks_often().await;
    let slow = add(&served, order().timeout(Duration::from_millis(200))).await;
    let free = add(&served, order()).await;
    let runs = claim(&served, json!({"count": 2})).await;
    assert_eq!(runs.iter().filter(|run| run["timeout_ms"] == 200).count(), 1);
    let ended = becomes(&served, slow, "Retry").await;
    assert_eq!(ended["last_error"], "timed out after 200ms");
    let run = runs.iter().find(|run| run["id"] == free).expect("is there");
    assert_eq!(only(&say(&served, "finish", run, json!({})).await)["status"], "Success");
    served.stop().await;
}

#[actix_rt::test]
async fn the_timeout_of_a_task_ends_no_other_of_its_claim() {
    let served = Served::that_looks_often().await;
    let quick = add(&served, order().timeout(Duration::from_secs(1))).await;
    add(&served, order()).await;
    let runs = claim(&served, json!({"count": 2})).await;
    let (quick, other): (Vec<&Value>, Vec<&Value>) = runs.iter().partition(|run| run["id"] == quick);
    only(&say(&served, "finish", quick[0], json!({})).await);
    eventually("a node to look for the run that is out of time", async || {
        let free = "SELECT COUNT(*) FROM gaia_remote_claims WHERE deadline IS NULL";
        (served.database.number(free) == 1).then_some(())
    })
    .await;
    assert_eq!(only(&say(&served, "beat", other[0], json!({})).await)["state"], "held");
    served.stop().await;
}

#[actix_rt::test]
async fn progress_and_lines_are_seen_while_the_run_goes_on() {
    let served = Served::that_looks_often().await;
    let id = add(&served, order()).await;
    let run = claim_one(&served).await;
    let more = json!({"percent": 40, "note": "half of it"});
    assert_eq!(only(&say(&served, "progress", &run, more).await)["state"], "held");
    let shown = task(&served, id).await;
    assert_eq!(
        (&shown["progress"], &shown["progress_note"]),
        (&json!(40), &json!("half of it"))
    );
    let (before, wrong) = ("2026-01-01T00:00:00Z", "9999-12-31T23:59:59Z");
    let time = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let lines = json!({"lines": [
        {"level": "warn", "message": "stock is low", "time": time},
        {"message": "by a clock that is off", "time": before},
        {"message": "by another one", "time": wrong},
        {"message": "x".repeat(10_000)},
    ]});
    assert_eq!(only(&say(&served, "log", &run, lines).await)["state"], "held");
    let log = served.get(&format!("/tasks/{id}/log")).await.with(200);
    let lines = log["lines"].as_array().expect("is a list");
    assert_eq!(
        (&lines[0]["level"], &lines[0]["message"]),
        (&json!("WARN"), &json!("stock is low"))
    );
    assert_eq!(lines[0]["at"], json!(time));
    for line in &lines[1..3] {
        let at = line["at"].as_str().expect("is a text");
        assert!(at != before && at != wrong, "{line}");
    }
    assert!(lines[3]["message"].as_str().is_some_and(|text| text.len() <= 8 << 10));
    only(&say(&served, "finish", &run, json!({})).await);
    let log = served
        .get(&format!("/tasks/{id}/log?after=4&wait_ms=60000"))
        .await
        .with(200);
    assert_eq!((&log["lines"], &log["is_over"]), (&json!([]), &json!(true)));
    served.stop().await;
}

#[actix_rt::test]
async fn long_arguments_come_in_answers_of_bounded_size() {
    let served = Served::that_looks_often().await;
    for _ in 0..12 {
        add(&served, NewTask::new("Order", "Create").args(&"x".repeat(3 << 20))).await;
    }
    let first = claim(&served, json!({"count": 12})).await;
    assert!((1..12).contains(&first.len()), "{}", first.len());
    let bytes = first[0]["args"].as_str().map(str::len);
    assert_eq!(bytes, Some(3 << 20));
    let mut left = 12 - first.len();
    while left > 0 {
        let next = claim(&served, json!({"count": 12})).await;
        assert!(!next.is_empty());
        assert!(next.iter().all(|run| run["attempt"] == 1));
        left -= next.len();
    }
    served.stop().await;
}

#[actix_rt::test]
async fn a_claim_whose_worker_never_heard_of_it_uses_no_attempt() {
    let served = Served::that_looks_often().await;
    let id = add(&served, order()).await;
    claim_one(&served).await;
    // The process that made the claim has died before it could note the lease.
    served.database.execute("DELETE FROM gaia_remote_claims");
    let past = served.database.in_seconds(-60);
    served
        .database
        .execute(&format!("UPDATE gaia_claims SET claimed_at = {past}"));
    becomes(&served, id, "Wait").await;
    let again = claim_one(&served).await;
    assert_eq!((&again["id"], &again["attempt"]), (&json!(id), &json!(1)));
    served.stop().await;
}

#[actix_rt::test]
async fn workers_are_among_the_nodes_while_they_are_heard_of() {
    let served = Served::that_looks_often().await;
    add(&served, order()).await;
    let run = claim_one(&served).await;
    let nodes = served.get("/nodes").await.with(200);
    let list = nodes["nodes"].as_array().expect("is a list");
    let worker = list.iter().find(|node| node["id"] == OWNER).expect("is listed");
    assert_eq!(
        (&worker["alive"], &worker["themes"][0]["theme"]),
        (&json!(true), &json!(THEME))
    );
    assert_eq!(worker["methods"][0]["method"], "Create");
    // The theme is served: no node warns of it.
    let theme = served.get(&format!("/themes/{THEME}/methods")).await.with(200);
    assert!(theme.to_string().contains("Create"), "{theme}");
    only(&say(&served, "finish", &run, json!({})).await);
    eventually("the worker that has gone to leave the list", async || {
        let nodes = served.get("/nodes").await.with(200);
        let listed = nodes["nodes"]
            .as_array()
            .is_some_and(|list| list.iter().any(|node| node["id"] == OWNER));
        (!listed).then_some(())
    })
    .await;
    served.stop().await;
}
