//! Services that answer a call with 202 and end the run later, by its token.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, web};
use gaia_actors::prelude::*;
use serde_json::{Value, json};

use crate::{
    client::{Answer, Served, WORKER},
    support::{THEME, eventually},
};

/// The owner of what the service has parked.
const OWNER: &str = "remote:Order";

/// A service that parks each run.
pub struct Service {
    pub url: String,
    /// The tokens of the calls, in their order.
    tokens: Arc<Mutex<Vec<String>>>,
    server: ServerHandle,
}

impl Service {
    /// `body`: of each answer.
    pub fn start(body: &'static str) -> Self {
        let tokens = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&tokens);
        let park = move |request: HttpRequest| {
            let token = request.headers().get("gaia-run-token");
            let token = token.and_then(|token| token.to_str().ok()).unwrap_or_default();
            noted.lock().expect("is free").push(token.to_owned());
            async move { HttpResponse::Accepted().body(body) }
        };
        let server = HttpServer::new(move || App::new().default_service(web::post().to(park.clone())));
        let server = server.workers(1).disable_signals().bind("127.0.0.1:0").expect("binds");
        let url = format!("http://{}", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        actix_rt::spawn(server);
        Self {
            url,
            tokens,
            server: handle,
        }
    }

    pub fn tokens(&self) -> Vec<String> {
        self.tokens.lock().expect("is free").clone()
    }

    /// The token of the last call, once there were so many.
    pub async fn token_of(&self, call: usize) -> String {
        eventually("the service to be called", async || {
            self.tokens().get(call - 1).cloned()
        })
        .await
    }
}

async fn with_service(body: &'static str) -> (Served, Service) {
    let (served, service) = (Served::that_looks_often().await, Service::start(body));
    served.register("Order", &service.url).await;
    (served, service)
}

async fn add(served: &Served, task: NewTask) -> i64 {
    let scheduler = served.gaia.scheduler(THEME).expect("is a theme");
    scheduler.add_task(task).await.expect("is added").id
}

fn order() -> NewTask {
    NewTask::new("Order", "Create").args(&json!({"order": 7}))
}

async fn say(served: &Served, what: &str, token: &str, mut more: Value) -> Answer {
    more["token"] = json!(token);
    let body = json!({"runs": [more]}).to_string();
    served.send_as(WORKER, "POST", &format!("/claims/{what}"), &body).await
}

async fn becomes(served: &Served, id: i64, is_so: impl Fn(&Value) -> bool) -> Value {
    eventually("the task to be so", async || {
        let task = served.get(&format!("/tasks/{id}")).await.with(200);
        is_so(&task).then_some(task)
    })
    .await
}

async fn is_parked(served: &Served, id: i64) -> Value {
    becomes(served, id, |task| task["node"] == OWNER).await
}

#[actix_rt::test]
async fn a_parked_run_holds_no_worker_and_is_ended_by_its_token() {
    let (served, service) = with_service("").await;
    let id = add(&served, order()).await;
    let token = service.token_of(1).await;
    let parked = is_parked(&served, id).await;
    assert_eq!(parked["status"], "Running");
    eventually("the worker to be free", async || {
        let status = served
            .gaia
            .scheduler(THEME)
            .expect("is a theme")
            .status()
            .await
            .expect("answers");
        (status.running_workers == 0).then_some(())
    })
    .await;
    let progress = say(&served, "progress", &token, json!({"percent": 60, "note": "packed"}))
        .await
        .with(200);
    assert_eq!(progress["runs"][0]["state"], "held");
    say(&served, "log", &token, json!({"lines": [{"message": "packed"}]}))
        .await
        .with(200);
    assert_eq!(is_parked(&served, id).await["progress"], 60);
    let ended = say(&served, "finish", &token, json!({"result": {"parcel": 3}}))
        .await
        .with(200);
    assert_eq!(
        ended["runs"][0],
        json!({"id": id, "state": "written", "status": "Success"})
    );
    let done = becomes(&served, id, |task| task["status"] == "Success").await;
    assert_eq!(
        (&done["last_result"], &done["log_id"]),
        (&json!({"parcel": 3}), &parked["log_id"])
    );
    let records = served.get(&format!("/tasks/{id}/records")).await.with(200);
    assert_eq!(
        (&records["total"], &records["items"][0]["node"]),
        (&json!(1), &json!(OWNER))
    );
    let log = served.get(&format!("/tasks/{id}/log")).await.with(200);
    assert_eq!(log["lines"][0]["message"], "packed");
    for (what, more) in [
        ("finish", json!({})),
        ("fail", json!({"error": "no"})),
        ("beat", json!({})),
    ] {
        say(&served, what, &token, more).await.refused(409, "run_lost");
    }
    assert_eq!(service.tokens().len(), 1);
    service.server.stop(false).await;
    served.stop().await;
}

#[actix_rt::test]
async fn a_failed_parked_run_is_called_again_with_a_token_of_its_own() {
    let (served, service) = with_service("").await;
    let id = add(&served, order().retry_delay(Duration::ZERO)).await;
    let first = service.token_of(1).await;
    is_parked(&served, id).await;
    let ended = say(&served, "fail", &first, json!({"error": "no stock"}))
        .await
        .with(200);
    assert_eq!(ended["runs"][0]["status"], "Retry");
    let second = service.token_of(2).await;
    assert_ne!(first, second);
    // The token of the first run does not end the second one.
    say(&served, "finish", &first, json!({})).await.refused(409, "run_lost");
    is_parked(&served, id).await;
    say(&served, "finish", &second, json!({})).await.with(200);
    let done = becomes(&served, id, |task| task["status"] == "Success").await;
    assert_eq!(done["retry_time"], 1);
    service.server.stop(false).await;
    served.stop().await;
}

#[actix_rt::test]
async fn an_end_may_come_before_the_answer_that_parks_the_run() {
    let (served, service) = with_service("").await;
    for call in 1..=5 {
        let id = add(&served, order()).await;
        let token = service.token_of(call).await;
        // The 202 may not have arrived, or is not stored.
        say(&served, "finish", &token, json!({"result": call})).await.with(200);
        assert_eq!(
            becomes(&served, id, |task| task["status"] == "Success").await["last_result"],
            call
        );
    }
    service.server.stop(false).await;
    served.stop().await;
}

#[actix_rt::test]
async fn a_parked_run_outlives_the_process_that_has_called_the_service() {
    let (mut served, service) = with_service("").await;
    let id = add(&served, order()).await;
    let token = service.token_of(1).await;
    let parked = is_parked(&served, id).await;
    served.move_on().await;
    assert_eq!(is_parked(&served, id).await["log_id"], parked["log_id"]);
    say(&served, "finish", &token, json!({"result": 1})).await.with(200);
    becomes(&served, id, |task| task["status"] == "Success").await;
    service.server.stop(false).await;
    served.stop().await;
}

#[actix_rt::test]
async fn the_timeout_and_the_lease_end_parked_runs() {
    let (served, service) = with_service(r#"{"lease_ms": 1000}"#).await;
    let slow = add(&served, order().timeout(Duration::from_secs(1)).max_retry(0)).await;
    service.token_of(1).await;
    let silent = add(&served, order().max_retry(0)).await;
    let token = service.token_of(2).await;
    let ended = becomes(&served, silent, |task| task["status"] == "Failed").await;
    let error = ended["last_error"].as_str().expect("has an error");
    assert!(error.contains("its worker remote:Order was silent"), "{error}");
    say(&served, "finish", &token, json!({})).await.refused(409, "run_lost");
    becomes(&served, slow, |task| task["status"] == "Failed").await;
    service.server.stop(false).await;
    served.stop().await;
}

#[actix_rt::test]
async fn a_parked_run_that_is_cancelled_ends() {
    let (served, service) = with_service("").await;
    let id = add(&served, order()).await;
    let token = service.token_of(1).await;
    is_parked(&served, id).await;
    served.send("POST", &format!("/tasks/{id}/cancel"), "").await.with(202);
    let beat = say(&served, "beat", &token, json!({})).await.with(200);
    assert_eq!(beat["runs"][0]["state"], "cancelled");
    let released = say(&served, "release", &token, json!({})).await.with(200);
    assert_eq!(released["runs"][0]["status"], "Cancelled");
    service.server.stop(false).await;
    served.stop().await;
}

#[actix_rt::test]
async fn the_run_of_a_job_cannot_be_parked() {
    let (served, service) = with_service("").await;
    let (jobs, pack) = (served.gaia.jobs(), NewJob::cron_job("pack", "@yearly", "Order", "Pack"));
    let job = jobs.add_job(pack).await.expect("is added");
    let run = jobs.execute_job_immediately(job).await.expect("runs");
    let ended = jobs.wait_for_run(run.id, Duration::from_secs(60)).await.expect("ends");
    let error = ended.run_err.unwrap_or_default();
    assert!(error.contains("only the run of a task can be parked"), "{error}");
    assert_eq!(service.tokens(), [""]);
    service.server.stop(false).await;
    served.stop().await;
}
