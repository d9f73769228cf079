//! Remote workers and parked runs have slots of limited methods, too.

use gaia_actors::{Limit, admin::SetLimit, prelude::*};
use serde_json::{Value, json};

use crate::{
    client::{Served, WORKER},
    parked::Service,
    support::{THEME, eventually},
};

async fn limited(served: &Served, running: u32) {
    limited_to(served, Limit::running(running)).await;
}

async fn limited_to(served: &Served, limit: Limit) {
    let limit = SetLimit::new("Order", "Create", limit);
    served.gaia.admin().set_limit(limit).await.expect("is set");
}

/// Adds tasks with a limit key, which their argument names, too.
async fn add_of(served: &Served, theme: &str, key: &str, count: usize) {
    let scheduler = served.gaia.scheduler(theme).expect("is a theme");
    let task = NewTask::new("Order", "Create").args(&key).limit_key(key);
    scheduler.add_tasks(vec![task; count]).await.expect("are added");
}

async fn keys_that_wait(served: &Served, expected: u64) {
    eventually("so many keys to wait", async || {
        let limits = served.gaia.admin().limits().await.expect("lists");
        (limits[0].waiting_keys == expected).then_some(())
    })
    .await;
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

/// Remote workers, too, have no more tasks of a key than its limit says.
#[actix_rt::test]
async fn remote_workers_together_have_no_more_tasks_of_a_key_than_its_limit_says() {
    let served = Served::that_looks_often().await;
    limited_to(&served, Limit::running_per_key(2)).await;
    add_of(&served, "remote", "acme", 7).await;
    add_of(&served, "remote", "blue", 1).await;
    add(&served, "remote", 1).await;
    let first = claim(&served, "a", 20).await;
    let of = |runs: &[Value], key: &str| runs.iter().filter(|run| run["args"] == key).count();
    assert_eq!((first.len(), of(&first, "acme"), of(&first, "blue")), (4, 2, 1));
    keys_that_wait(&served, 1).await;
    assert!(claim(&served, "b", 20).await.is_empty());
    let mut held: Vec<String> = first.iter().filter(|run| run["args"] == "acme").map(token).collect();
    let others = first.iter().filter(|run| run["args"] != "acme").map(token);
    finish(&served, &others.collect::<Vec<_>>()).await;
    assert!(claim(&served, "b", 20).await.is_empty());
    // Each end lets another task of the key run, although the claim goes on.
    for left in (0..5).rev() {
        finish(&served, &held[..1]).await;
        held.remove(0);
        let next = eventually("the next task of the key", async || {
            let next = claim(&served, "b", 20).await;
            (!next.is_empty()).then_some(next)
        })
        .await;
        assert_eq!((next.len(), of(&next, "acme")), (1, 1));
        held.extend(next.iter().map(token));
        keys_that_wait(&served, u64::from(left > 0)).await;
    }
    finish(&served, &held).await;
    add_of(&served, "remote", "acme", 3).await;
    let last = eventually("two more", async || {
        let last = claim(&served, "c", 20).await;
        (!last.is_empty()).then_some(last)
    })
    .await;
    assert_eq!(last.len(), 2);
}

#[actix_rt::test]
async fn a_parked_run_keeps_the_slot_of_its_key() {
    let (served, service) = (Served::that_looks_often().await, Service::start(""));
    limited_to(&served, Limit::running_per_key(1)).await;
    served.register("Order", &service.url).await;
    add_of(&served, THEME, "acme", 3).await;
    let first = service.token_of(1).await;
    keys_that_wait(&served, 1).await;
    // The call of another key comes, although that of the first has not ended.
    add_of(&served, THEME, "blue", 1).await;
    let other = service.token_of(2).await;
    assert_eq!(service.tokens().len(), 2);
    finish(&served, &[first]).await;
    let second = service.token_of(3).await;
    finish(&served, &[other]).await;
    assert_eq!(service.tokens().len(), 3);
    finish(&served, &[second]).await;
    let third = service.token_of(4).await;
    finish(&served, &[third]).await;
    keys_that_wait(&served, 0).await;
}
