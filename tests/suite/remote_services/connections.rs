//! Connections are kept from call to call, and closed when a call must not go on.

#[cfg(feature = "web")]
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gaia_actors::{Next, Registry, RemoteService, prelude::*};
#[cfg(feature = "web")]
use tokio::sync::Semaphore;

use super::{Reply, Service, added, calling, json, order};
use crate::support::{Tested, ended, eventually, options, refusal};

/// A registry on the thread of the test, so that all calls share its connections.
async fn registry(service: RemoteService) -> Registry {
    let registry = Registry::start();
    registry
        .register_service("Orders", service)
        .await
        .expect("is registered");
    registry
}

async fn call(registry: &Registry, method: &str) -> Result<u64, String> {
    let answer = registry.call::<u64>("Orders", method, &7).await;
    answer.map_err(|error| error.to_string())
}

#[actix_rt::test]
async fn a_connection_is_kept_for_the_next_call() {
    let service = Service::start(|_, calls| match calls % 3 {
        0 => Reply::Keep(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n7\r\n0\r\n\r\n".to_vec()),
        1 => json(500, r#"{"error": "no"}"#),
        _ => json(200, "7"),
    })
    .await;
    let registry = registry(service.remote()).await;
    for calls in 1..=9 {
        let answer = call(&registry, "Create").await;
        assert_eq!(answer.is_ok(), calls % 3 != 1, "{answer:?}");
    }
    assert_eq!((service.got().len(), service.connections()), (9, 1));
    registry.unregister_service("Orders").await.expect("was there");
    eventually("the connection is closed", async || {
        (service.closed() == 1).then_some(())
    })
    .await;
}

/// The service has closed an idle connection, or closes it just when the request comes: one further try.
#[actix_rt::test]
async fn a_kept_connection_that_is_closed_costs_no_attempt() {
    let service = Service::start(|call, calls| match (calls, call.connection) {
        // The second call comes on the kept connection, which ends without an answer.
        (2, 1) => Reply::Close(Vec::new()),
        (4, _) => Reply::Close(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n7".to_vec()),
        _ => json(200, "7"),
    })
    .await;
    let registry = registry(service.remote()).await;
    for _ in 0..4 {
        assert_eq!(call(&registry, "Create").await, Ok(7));
    }
    let connections: Vec<usize> = service.got().iter().map(|call| call.connection).collect();
    assert_eq!(
        connections[..4],
        [1, 1, 2, 2],
        "the request on the closed connection was sent again"
    );
    // The fourth call has closed the second connection.
    assert_eq!(call(&registry, "Create").await, Ok(7));
    assert_eq!(service.got().last().expect("was called").connection, 3);
}

#[actix_rt::test]
async fn a_service_that_never_answers_is_not_called_without_end() {
    let service = Service::start(|_, _| Reply::Close(Vec::new())).await;
    let registry = registry(service.remote()).await;
    let text = refusal(call(&registry, "Create").await);
    assert!(text.contains("closed the connection"), "{text}");
    assert_eq!(service.got().len(), 1);
}

#[actix_rt::test]
async fn an_answer_that_is_cut_off_on_a_kept_connection_is_a_failure() {
    let service = Service::start(|_, calls| match calls {
        2 => Reply::Close(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n7".to_vec()),
        _ => json(200, "7"),
    })
    .await;
    let registry = registry(service.remote()).await;
    assert_eq!(call(&registry, "Create").await, Ok(7));
    let text = refusal(call(&registry, "Create").await);
    assert!(text.contains("cut off after 1 bytes"), "{text}");
    assert_eq!((service.got().len(), service.connections()), (2, 1));
    assert_eq!(call(&registry, "Create").await, Ok(7));
}

/// What comes behind an answer must not become the answer to the next call.
#[actix_rt::test]
async fn a_connection_with_more_than_the_answer_is_not_used_again() {
    let twice = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n7".repeat(2);
    let service = Service::start(move |_, calls| match calls {
        1 => Reply::Keep(twice.clone().into_bytes()),
        2 => Reply::Flood(b"HTTP/1.1 500 x\r\ncontent-length: 1073741824\r\n\r\n".to_vec()),
        3 => Reply::Keep(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\n8".to_vec()),
        _ => json(200, "9"),
    })
    .await;
    let registry = registry(service.remote()).await;
    assert_eq!(call(&registry, "Create").await, Ok(7));
    refusal(call(&registry, "Create").await);
    assert_eq!(call(&registry, "Create").await, Ok(8));
    assert_eq!(call(&registry, "Create").await, Ok(9));
    let connections: Vec<usize> = service.got().iter().map(|call| call.connection).collect();
    assert_eq!(connections, [1, 2, 3, 4]);
}

#[actix_rt::test]
async fn a_run_that_is_cancelled_closes_its_connection() {
    let service = Service::start(|_, _| Reply::Never).await;
    let gaia = Tested::start(calling(service.remote())).await;
    let (tasks, id) = added(&gaia, order("Create")).await;
    eventually("the call", async || (service.got().len() == 1).then_some(())).await;
    tasks.cancel_task(id).await.expect("is there");
    // The time stands still: no grace passes.
    eventually("the end of the connection", async || {
        (service.closed() == 1).then_some(())
    })
    .await;
    assert_eq!(ended(&tasks, id).await.status, TaskStatus::Cancelled);
}

#[actix_rt::test]
async fn a_run_that_is_cancelled_stays_so_whatever_a_layer_answers() {
    let service = Service::start(|_, _| Reply::Never).await;
    let options = options().layer(async |ctx: TaskContext, next: Next| {
        next.run(ctx).await.ok();
        Json::of("all is well")
    });
    let builder = Gaia::builder().service("Orders", service.remote()).scheduler(options);
    let gaia = Tested::start(builder).await;
    let (tasks, id) = added(&gaia, order("Create")).await;
    eventually("the call", async || (service.got().len() == 1).then_some(())).await;
    tasks.cancel_task(id).await.expect("is there");
    let task = ended(&tasks, id).await;
    assert_eq!((task.status, task.last_result), (TaskStatus::Cancelled, None));
}

#[cfg(feature = "web")]
#[actix_rt::test]
async fn a_run_is_parked_before_its_layers_see_the_end_of_the_call() {
    let service = Service::start(|_, _| json(202, "")).await;
    let (seen, may_end) = (Arc::new(Mutex::new(None)), Arc::new(Semaphore::new(0)));
    let (sees, waits) = (Arc::clone(&seen), Arc::clone(&may_end));
    let options = options().layer(async move |ctx: TaskContext, next: Next| {
        let answer = next.run(ctx).await;
        *sees.lock().expect("is sound") = answer.err();
        drop(waits.acquire().await);
        Json::of("all is well")
    });
    let builder = Gaia::builder().service("Orders", service.remote()).scheduler(options);
    let gaia = Tested::start(builder).await;
    let (tasks, id) = added(&gaia, order("Create")).await;
    let error = eventually("the end of the call", async || seen.lock().expect("is sound").take()).await;
    assert_eq!(
        error,
        TaskError::failed("the service has parked the run, and will end it")
    );
    let task = tasks.get_task_detail(id).await.expect("is there");
    assert_eq!(task.node.as_deref(), Some("remote:Orders"));
    may_end.add_permits(1);
    eventually("the worker to be free", async || {
        let status = tasks.status().await.expect("runs here");
        (status.running_workers == 0).then_some(())
    })
    .await;
    let task = tasks.get_task_detail(id).await.expect("is there");
    assert_eq!((task.status, task.last_result), (TaskStatus::Running, None));
}

#[actix_rt::test]
async fn a_call_that_is_out_of_time_closes_its_connection() {
    let service = Service::start(|_, _| Reply::Never).await;
    let remote = service.remote().timeout(Duration::from_secs(30));
    let gaia = Tested::start(calling(remote)).await;
    for (timeout, error) in [
        (Some(Duration::from_secs(5)), "timed out after 5s"),
        (None, "no answer within 30s, the timeout of the service"),
    ] {
        let before = service.closed();
        let task = order("Create").max_retry(0);
        let task = timeout.into_iter().fold(task, NewTask::timeout);
        let (tasks, id) = added(&gaia, task).await;
        eventually("the call", async || (service.got().len() > before).then_some(())).await;
        gaia.advance(timeout.unwrap_or(Duration::from_secs(30)));
        let task = ended(&tasks, id).await;
        let text = task.last_error.expect("has failed");
        assert!(text.contains(error), "{text}");
        eventually("the end of the connection", async || {
            (service.closed() > before).then_some(())
        })
        .await;
    }
}

#[actix_rt::test]
async fn only_so_many_calls_are_made_at_the_same_time() {
    let service = Service::start(|_, _| Reply::Never).await;
    let gaia = Tested::start(calling(service.remote().max_concurrent(2))).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        let (_, id) = added(&gaia, order("Create").max_retry(0)).await;
        ids.push(id);
    }
    let tasks = gaia.scheduler(crate::support::THEME).expect("is a theme");
    eventually("all tasks run", async || {
        let status = tasks.status().await.expect("runs here");
        (status.running_workers == 4 && service.got().len() == 2).then_some(())
    })
    .await;
    assert_eq!(service.connections(), 2);
    // A call that ends makes room for one that waits.
    let called: Vec<i64> = service
        .got()
        .iter()
        .map(|call| {
            call.header("gaia-task-id")
                .expect("is a task")
                .parse()
                .expect("is an id")
        })
        .collect();
    tasks.cancel_task(called[0]).await.expect("is there");
    eventually("the third call", async || (service.got().len() == 3).then_some(())).await;
    for id in ids {
        // The first is cancelled already.
        let _ = tasks.cancel_task(id).await;
        assert_eq!(ended(&tasks, id).await.status, TaskStatus::Cancelled);
    }
}
