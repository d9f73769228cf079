//! A service that is down.

use std::time::Duration;

use gaia_actors::{RemoteService, Task, prelude::*};

use super::{Service, added, calling, json, order};
use crate::support::{PATIENCE, Tested, ended, eventually};

/// A port on which nothing listens.
async fn free_port() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    listener.local_addr().expect("has one").port()
}

fn at(port: u16) -> RemoteService {
    RemoteService::at(format!("http://127.0.0.1:{port}/orders"))
}

/// Lets time pass until the task has come back so many times, or has ended. Answers with the pauses in seconds.
async fn pauses(gaia: &Tested, tasks: &Scheduler, id: i64, within: Duration) -> (Vec<i64>, Task) {
    let (mut pauses, until) = (Vec::new(), gaia.now() + within);
    loop {
        let task = eventually("the task waits or has ended", async || {
            let task = tasks.get_task_detail(id).await.expect("is there");
            let waits = task.status == TaskStatus::Wait && task.run_at.is_some_and(|at| at > gaia.now());
            (waits || task.status.is_finished()).then_some(task)
        })
        .await;
        let Some(run_at) = task.run_at.filter(|_| !task.status.is_finished()) else {
            return (pauses, task);
        };
        if run_at > until {
            return (pauses, task);
        }
        let pause = run_at - gaia.now();
        pauses.push(pause.num_seconds());
        gaia.advance(pause.to_std().expect("is later"));
    }
}

#[actix_rt::test]
async fn a_service_that_is_down_for_a_minute_uses_no_attempt() {
    let port = free_port().await;
    let gaia = Tested::start(calling(at(port))).await;
    let (tasks, id) = added(&gaia, order("Create").max_retry(0)).await;
    let (waited, task) = pauses(&gaia, &tasks, id, Duration::from_secs(60)).await;
    assert_eq!(waited, [1, 1, 2, 4, 8, 16]);
    assert_eq!((task.status, task.retry_time), (TaskStatus::Wait, 0));
    let _service = Service::start_at(port, |_, _| json(200, "7")).await;
    gaia.advance(Duration::from_secs(30));
    let task = ended(&tasks, id).await;
    assert_eq!((task.status, task.retry_time), (TaskStatus::Success, 0));
}

#[actix_rt::test]
async fn a_service_that_is_down_for_ten_minutes_uses_attempts() {
    let port = free_port().await;
    let gaia = Tested::start(calling(at(port))).await;
    let (tasks, id) = added(&gaia, order("Create").max_retry(1)).await;
    let (waited, task) = pauses(&gaia, &tasks, id, Duration::from_secs(3_600)).await;
    assert_eq!(waited.iter().sum::<i64>(), 602);
    assert_eq!((task.status, task.retry_time), (TaskStatus::Failed, 1));
    let text = task.last_error.expect("has failed");
    assert!(text.contains("cannot connect to the host \"127.0.0.1\""), "{text}");
    // Once it has answered, its silence is counted anew.
    let service = Service::start_at(port, |_, _| {
        super::Reply::Close(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec())
    })
    .await;
    let (_, id) = added(&gaia, order("Create")).await;
    assert_eq!(ended(&tasks, id).await.status, TaskStatus::Success);
    assert_eq!(service.got().len(), 1);
}

/// A run of a job cannot be put off: each refusal is a failed attempt.
#[actix_rt::test]
async fn a_job_makes_attempts_at_a_service_that_is_down() {
    let port = free_port().await;
    let gaia = Tested::start(calling(at(port)).jobs(JobsOptions::default())).await;
    let job = NewJob::cron_job("orders", "0 0 1 1 *", "Orders", "Create").max_retry(0);
    let jobs = gaia.jobs();
    let id = jobs.add_job(job).await.expect("is added");
    let run = jobs.execute_job_immediately(id).await.expect("runs");
    let run = jobs.wait_for_run(run.id, PATIENCE).await.expect("ends");
    let text = run.run_err.expect("has failed");
    assert!(
        text.contains("cannot connect to the host") && text.contains(&port.to_string()),
        "{text}"
    );
}
