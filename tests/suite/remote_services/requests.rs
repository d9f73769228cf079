//! What a service is sent.

use std::time::Duration;

use chrono::{DateTime, Utc};
use gaia_actors::{HookOptions, prelude::*};
use serde_json::json as value;

use super::{Request, SECRET, Service, added, calling, json, order};
use crate::support::{Database, PATIENCE, THEME, Tested, ended, eventually};

#[actix_rt::test]
async fn a_task_comes_with_its_run_in_headers() {
    let service = Service::start(|_, calls| json(if calls == 1 { 500 } else { 200 }, "7")).await;
    let gaia = Tested::start(calling(service.remote())).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let args = value!({"amount": 7, "note": "漢字"});
    let task = order("AsyncCreateOrder").args(&args).max_retry(2);
    let task = task.timeout(Duration::from_secs(90)).traceparent(trace);
    let (tasks, id) = added(&gaia, task).await;
    let task = ended(&tasks, id).await;
    let calls = service.got();
    assert_eq!(calls.len(), 2);
    for (call, attempt) in calls.iter().zip(["1", "2"]) {
        assert!(
            call.head.starts_with("POST /orders/AsyncCreateOrder HTTP/1.1\r\n"),
            "{}",
            call.head
        );
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&call.body).expect("is JSON"),
            args
        );
        let id = id.to_string();
        for (name, expected) in [
            ("content-type", "application/json"),
            ("gaia-task-id", &id),
            ("gaia-theme", THEME),
            ("gaia-attempt", attempt),
            ("gaia-max-attempts", "3"),
            ("gaia-deadline", "2026-01-01T00:01:30.000Z"),
            ("traceparent", trace),
        ] {
            assert_eq!(call.header(name), Some(expected), "{name}");
        }
        for absent in ["gaia-run-id", "gaia-job", "webhook-signature", "connection"] {
            assert_eq!(call.header(absent), None, "{absent}");
        }
        assert_eq!(call.header("idempotency-key"), call.header("gaia-log-id"));
        assert!(call.header("gaia-run-token").is_some(), "{}", call.head);
    }
    assert_eq!(calls[1].header("gaia-log-id"), task.log_id.as_deref());
    for differs in ["gaia-log-id", "gaia-run-token"] {
        assert_ne!(calls[0].header(differs), calls[1].header(differs), "{differs}");
    }
}

/// A header is ASCII: other characters of a theme are percent-encoded.
#[actix_rt::test]
async fn a_theme_of_any_script_fits_its_header() {
    let service = Service::start(|_, _| json(200, "")).await;
    let builder = Gaia::builder().service("Orders", service.remote().timeout(Duration::from_secs(30)));
    let gaia = Tested::start(builder.scheduler(SchedulerOptions::new("订单 1%").worker_num(1))).await;
    let tasks = gaia.scheduler("订单 1%").expect("is a theme");
    let id = tasks
        .add_task(order("Create").timeout(Duration::from_secs(90)))
        .await
        .expect("is added")
        .id;
    assert_eq!(ended(&tasks, id).await.status, TaskStatus::Success);
    let call = service.got().remove(0);
    assert_eq!(call.header("gaia-theme"), Some("%E8%AE%A2%E5%8D%95 1%25"));
    // The service's own timeout is over first.
    assert_eq!(call.header("gaia-deadline"), Some("2026-01-01T00:00:30.000Z"));
}

#[actix_rt::test]
async fn a_job_comes_with_its_fire() {
    let service = Service::start(|_, _| json(200, r#"{"done": true}"#)).await;
    let gaia = Tested::start(calling(service.remote()).jobs(JobsOptions::default())).await;
    let jobs = gaia.jobs();
    let job = NewJob::cron_job("nightly", "0 1 * * *", "Orders", "Report").args(&7);
    let id = jobs.add_job(job).await.expect("is added");
    let by_hand = jobs.execute_job_immediately(id).await.expect("runs");
    let record = jobs.wait_for_run(by_hand.id, PATIENCE).await.expect("ends");
    assert_eq!(record.run_result.as_deref(), Some(r#"{"done": true}"#));
    let call = service.got().remove(0);
    assert_eq!((call.path(), call.body.as_str()), ("/orders/Report", "7"));
    assert_eq!(call.header("gaia-run-id"), Some(record.id.to_string().as_str()));
    assert_eq!(call.header("gaia-job"), Some("nightly"));
    assert_eq!(call.header("gaia-log-id"), record.log_id.as_deref());
    for absent in ["gaia-task-id", "gaia-theme", "gaia-scheduled-at"] {
        assert_eq!(call.header(absent), None, "{absent}");
    }
    gaia.advance(Duration::from_secs(3_600));
    let call = eventually("the fire", async || service.got().get(1).cloned()).await;
    assert_eq!(call.header("gaia-scheduled-at"), Some("2026-01-01T01:00:00.000Z"));
    assert!(
        call.header("gaia-deadline").is_none_or(|at| at > "2026-01-01T01:00:00"),
        "{}",
        call.head
    );
}

fn verify(call: &Request) {
    let mut headers = http::HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let value = call.header(name).expect("is signed");
        headers.insert(name, value.parse().expect("is a value"));
    }
    let webhook = standardwebhooks::Webhook::new(SECRET).expect("is a secret");
    webhook.verify(call.body.as_bytes(), &headers).expect("is signed");
}

#[actix_rt::test]
async fn a_service_with_a_secret_can_verify_its_calls() {
    let service = Service::start(|_, _| json(200, "")).await;
    let database = Database::fresh();
    let builder = database.builder().service("Orders", service.remote().secret(SECRET));
    let gaia = builder
        .scheduler(crate::support::options())
        .start()
        .await
        .expect("starts");
    let (tasks, id) = added(&gaia, order("Create").args(&7)).await;
    assert_eq!(ended(&tasks, id).await.status, TaskStatus::Success);
    let call = service.got().remove(0);
    verify(&call);
    assert_eq!(call.header("webhook-id"), call.header("gaia-log-id"));
    let sent_at = call
        .header("webhook-timestamp")
        .expect("has one")
        .parse()
        .expect("is a number");
    let sent_at = DateTime::<Utc>::from_timestamp(sent_at, 0).expect("is a time");
    assert!((Utc::now() - sent_at).abs().num_seconds() < 60, "{sent_at}");
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn an_address_that_may_not_be_called_is_not_called() {
    let service = Service::start(|_, _| json(200, "")).await;
    let remote = service.remote().hooks(HookOptions::default().allow_loopback(false));
    let gaia = Tested::start(calling(remote)).await;
    let (tasks, id) = added(&gaia, order("Create").max_retry(0)).await;
    let text = ended(&tasks, id).await.last_error.expect("has failed");
    assert!(
        text.contains("may not be called: 127.0.0.1 is a loopback address"),
        "{text}"
    );
    assert_eq!(service.connections(), 0);
}
