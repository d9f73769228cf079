//! Remote workers and parked runs have slots of limited methods, too.

use gaia_actors::{Limit, admin::SetLimit, prelude::*};
use serde_json::{Value, json};

use crate::{
    client::{Served, WORKER},
    parked::Service,
    support::{THEME, eventually},
};

async fn limited(served: &Served, running: u32) {
    let limit = SetLimit::new("Order", "Create", Limit::running(running));
    served.gaia.admin().set_limit(limit).await.expect("is set");
}

async fn add(served: &Served, theme: &str, count: usize) {
    let scheduler = served.gaia.scheduler(theme).expect("is a theme");
    let tasks = vec![NewTask::new("Order", "Create"); count];
    scheduler.add_tasks(tasks).await.expect("are added");
}

async fn claim(served: &Served, worker: &str, count: usize) -> Vec<Value> {
    let asked = json!({
        "worker": worker, "theme": "remote", "count": count,
        "methods": [{"service": "Order", "method": "Create"}],
    });
    let claimed = served
        .send_as(WORKER, "POST", "/claims", &asked.to_string())
        .await
        .with(200);
    claimed["tasks"].as_array().expect("is a list").clone()
}

async fn finish(served: &Served, tokens: &[String]) {
    let runs: Vec<Value> = tokens.iter().map(|token| json!({ "token": token })).collect();
    let body = json!({ "runs": runs }).to_string();
    served.send_as(WORKER, "POST", "/claims/finish", &body).await.with(200);
}

fn token(run: &Value) -> String {
    run["token"].as_str().expect("is a text").to_owned()
}

async fn slots(served: &Served) -> u64 {
    let limits = served.gaia.admin().limits().await.expect("lists");
    limits[0].slots
}

async fn slots_become(served: &Served, expected: u64) {
    eventually("the slots to be so many", async || {
        (slots(served).await == expected).then_some(())
    })
    .await;
}

/// The workers do not wait for tasks: each claim gets what is free, and no more.
#[actix_rt::test]
async fn remote_workers_together_have_no_more_tasks_than_the_limit_says() {
    let served = Served::that_looks_often().await;
    limited(&served, 5).await;
    add(&served, "remote", 12).await;
    let mut tokens: Vec<String> = claim(&served, "a", 3).await.iter().map(token).collect();
    assert_eq!(tokens.len(), 3);
    slots_become(&served, 3).await;
    tokens.extend(claim(&served, "b", 10).await.iter().map(token));
    assert_eq!(tokens.len(), 5);
    slots_become(&served, 5).await;
    assert!(claim(&served, "c", 10).await.is_empty());
    // Each end gives a slot back, although its claim goes on.
    finish(&served, &tokens[..1]).await;
    slots_become(&served, 4).await;
    let more: Vec<String> = claim(&served, "c", 10).await.iter().map(token).collect();
    assert_eq!(more.len(), 1);
    tokens.extend(more);
    finish(&served, &tokens[1..]).await;
    let mut done = tokens.len();
    while done < 12 {
        let next: Vec<String> = claim(&served, "a", 10).await.iter().map(token).collect();
        assert!((1..=5).contains(&next.len()), "{}", next.len());
        finish(&served, &next).await;
        done += next.len();
    }
    slots_become(&served, 0).await;
}

/// A service that parks its runs has the slots until it ends these.
#[actix_rt::test]
async fn a_parked_run_keeps_its_slot() {
    let (served, service) = (Served::that_looks_often().await, Service::start(""));
    limited(&served, 3).await;
    served.register("Order", &service.url).await;
    add(&served, THEME, 9).await;
    let mut ended = 0;
    while ended < 9 {
        service.token_of(ended + 3).await;
        slots_become(&served, 3).await;
        assert_eq!(service.tokens().len(), ended + 3);
        finish(&served, &service.tokens()[ended..ended + 3]).await;
        ended += 3;
    }
    slots_become(&served, 0).await;
}
