//! Methods become known as tasks call them.

use std::collections::BTreeSet;

use gaia_actors::{MethodName, prelude::*};

use super::{Service, added, calling, json, order};
use crate::support::{Database, PATIENCE, THEME, Tested, ended, eventually, options};

fn name(method: &str) -> MethodName {
    MethodName {
        service: "Orders".to_owned(),
        method: method.to_owned(),
    }
}

/// Tasks that another program adds: this process sees them by its scans alone.
#[actix_rt::test]
async fn methods_are_found_that_tasks_call_later() {
    let service = Service::start(|call, _| json(200, &format!("{:?}", call.method()))).await;
    let database = Database::fresh();
    let client = database.builder().start().await.expect("starts");
    let theirs = client.scheduler(THEME).expect("is a theme");
    let first = theirs.add_task(order("Early")).await.expect("is added").id;
    let remote = service.remote().methods(["Known"]);
    let builder = database.builder().service("Orders", remote).scheduler(options());
    let gaia = builder.start().await.expect("starts");
    assert!(gaia.registry().list().await.expect("lives").contains(&name("Known")));
    assert_eq!(ended(&theirs, first).await.last_result.as_deref(), Some("\"Early\""));
    let mut ids = Vec::new();
    for at in 0..20 {
        let method = format!("Late{at}");
        ids.push(theirs.add_task(order(&method)).await.expect("is added").id);
    }
    for (at, id) in ids.into_iter().enumerate() {
        let task = ended(&theirs, id).await;
        assert_eq!(task.last_result, Some(format!("\"Late{at}\"")));
    }
    let known: BTreeSet<MethodName> = gaia.registry().list().await.expect("lives").into_iter().collect();
    assert_eq!(known.len(), 22, "{known:?}");
    // Other processes see them, too, once the node has beaten.
    eventually("the methods in the node's row", async || {
        let nodes = client.nodes().await.expect("answers");
        let ours = nodes.into_iter().find(|node| node.id == gaia.node_id())?;
        (ours.methods.len() == 22).then_some(())
    })
    .await;
    gaia.stop().await.expect("stops");
    client.stop().await.expect("stops");
}

/// A job's method is known before its first run, so that nobody is told that no node serves it.
#[actix_rt::test]
async fn a_method_is_found_that_a_job_calls() {
    let gaia = Tested::start(Gaia::builder().jobs(JobsOptions::default())).await;
    let jobs = gaia.jobs();
    let job = |name: &str| NewJob::cron_job(name, "0 0 1 1 *", "Orders", name);
    jobs.add_job(job("Report")).await.expect("is added");
    let remote = gaia_actors::RemoteService::at("http://127.0.0.1:1/");
    let registry = gaia.registry();
    registry
        .register_service("Orders", remote)
        .await
        .expect("is registered");
    let known = async |methods: &[&str]| {
        eventually("the methods", async || {
            let list = registry.list().await.expect("lives");
            (list == methods.iter().map(|method| name(method)).collect::<Vec<_>>()).then_some(())
        })
        .await;
    };
    known(&["Report"]).await;
    jobs.add_job(job("Archive")).await.expect("is added");
    known(&["Archive", "Report"]).await;
}

/// Names come from whoever adds tasks, also by plain SQL.
#[actix_rt::test]
async fn a_method_of_any_name_is_one_segment_of_the_path() {
    let service = Service::start(|_, _| json(200, "")).await;
    let gaia = Tested::start(calling(service.remote())).await;
    for (method, path) in [
        ("../../admin", "/orders/..%2F..%2Fadmin"),
        ("a b?c=d#e", "/orders/a%20b%3Fc%3Dd%23e"),
        ("%2e%2e", "/orders/%252e%252e"),
        ("http://evil/", "/orders/http%3A%2F%2Fevil%2F"),
        ("建单", "/orders/%E5%BB%BA%E5%8D%95"),
    ] {
        let (tasks, id) = added(&gaia, order(method)).await;
        assert_eq!(ended(&tasks, id).await.status, TaskStatus::Success, "{method}");
        assert_eq!(service.got().last().expect("was called").path(), path);
    }
    let calls = service.got().len();
    for method in [".", ".."] {
        let (tasks, id) = added(&gaia, order(method)).await;
        let task = ended(&tasks, id).await;
        let text = task.last_error.expect("has failed");
        assert!(text.contains("another path") && task.retry_time <= 1, "{text}");
    }
    assert_eq!(service.got().len(), calls);
}

/// Somebody adds tasks with names without end: the table stays small, and what was known goes on.
#[actix_rt::test]
async fn a_flood_of_names_fills_no_table() {
    let service = Service::start(|_, _| json(200, "")).await;
    let gaia = Tested::start(calling(service.remote().methods(["Known"])).theme("other")).await;
    let tasks = gaia.scheduler(THEME).expect("is a theme");
    tasks.pause().await.expect("is paused");
    let flood = (0..1_100).map(|at| order(&format!("Flood{at:04}"))).collect();
    tasks.add_tasks(flood).await.expect("are added");
    tasks.resume().await.expect("goes on");
    let registry = gaia.registry();
    eventually("a full table", async || {
        let known = registry.list().await.expect("lives").len();
        assert!(known <= 1_000, "{known}");
        (known == 1_000).then_some(())
    })
    .await;
    let id = tasks.add_task(order("Known")).await.expect("is added").id;
    let task = tasks.wait_for(id, PATIENCE).await.expect("ends");
    assert_eq!(task.status, TaskStatus::Success);
    assert_eq!(registry.list().await.expect("lives").len(), 1_000);
}

/// Tasks of a service that is down are not taken for tasks that nobody serves.
#[actix_rt::test]
async fn a_task_of_a_remote_service_is_not_unserved() {
    let gaia = Tested::start(calling(gaia_actors::RemoteService::at("http://127.0.0.1:1/"))).await;
    let tasks = gaia.scheduler(THEME).expect("is a theme");
    tasks.pause().await.expect("is paused");
    let (_, id) = added(&gaia, order("Create")).await;
    let (_, other) = added(&gaia, NewTask::new("Nobody", "Create")).await;
    let unserved = eventually("a look", async || {
        let found = tasks.status().await.expect("runs here").unserved;
        (!found.is_empty()).then_some(found)
    })
    .await;
    let services: Vec<&str> = unserved.iter().map(|method| method.service.as_str()).collect();
    assert_eq!(services, ["Nobody"]);
    for id in [id, other] {
        tasks.cancel_task(id).await.expect("is there");
    }
}
