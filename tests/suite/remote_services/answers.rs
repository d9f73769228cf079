//! What each answer means.

use std::time::Duration;

use gaia_actors::{HookOptions, Task, prelude::*};

use super::{Reply, Service, added, calling, json, order, with};
use crate::support::{Tested, ended, eventually};

/// Answers by the name of the method.
fn answer(method: &str) -> Reply {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    match method {
        "Plain" => json(200, r#"{"order": 17}"#),
        "Empty" => json(204, ""),
        "Chunked" => Reply::Keep(format!("{chunked}2\r\n[1\r\n1\r\n]\r\n0\r\n\r\n").into_bytes()),
        "Old" => Reply::Close(b"HTTP/1.0 200 OK\r\n\r\n7".to_vec()),
        "Html" => json(200, "<html>"),
        "Discard" => json(404, r#"{"discard": true, "error": "no such order"}"#),
        "Problem" => with(
            422,
            "content-type: application/problem+json\r\n",
            r#"{"detail": "amount < 0"}"#,
        ),
        "Moved" => with(307, "location: http://me:pass@elsewhere/\r\n", ""),
        "Busy" => json(503, "busy"),
        "Garbage" => Reply::Close(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()),
        "Nothing" => Reply::Close(Vec::new()),
        "CutOff" => Reply::Close(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"order\"".to_vec()),
        "CutChunk" => Reply::Close(format!("{chunked}5\r\n[1,2").into_bytes()),
        "Gigabyte" => Reply::Flood(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n".to_vec()),
        "GigabyteOfError" => Reply::Flood(b"HTTP/1.1 500 x\r\ncontent-length: 1073741824\r\n\r\n".to_vec()),
        other => panic!("{other} is not called"),
    }
}

/// The result of a task that calls this method, or its error; and how often the method was called.
async fn outcome(gaia: &Gaia, service: &Service, method: &str) -> (Task, Result<String, String>, usize) {
    let (tasks, id) = added(gaia, order(method).max_retry(1)).await;
    let task = ended(&tasks, id).await;
    let calls = service.got().iter().filter(|call| call.method() == method).count();
    let outcome = match task.status {
        TaskStatus::Success => Ok(task.last_result.clone().expect("has a result")),
        TaskStatus::Failed => Err(task.last_error.clone().expect("has an error")),
        other => panic!("{method} ends as {other:?}"),
    };
    (task, outcome, calls)
}

#[actix_rt::test]
async fn each_answer_has_its_meaning() {
    let service = Service::start(|call, _| answer(call.method())).await;
    let remote = service.remote().hooks(HookOptions::default().response_limit(1 << 16));
    let gaia = Tested::start(calling(remote)).await;
    for (method, result) in [
        ("Plain", r#"{"order": 17}"#),
        ("Empty", "null"),
        ("Chunked", "[1]"),
        ("Old", "7"),
    ] {
        let (_, outcome, calls) = outcome(&gaia, &service, method).await;
        assert_eq!((outcome.as_deref(), calls), (Ok(result), 1), "{method}");
    }
    for (method, error, calls) in [
        ("Html", "no JSON", 2),
        ("Discard", "no such order", 1),
        ("Problem", "amount < 0", 2),
        ("Moved", "answered 307", 2),
        ("Busy", "503 Service Unavailable, expected 2xx; its body: busy", 2),
        ("Garbage", "gave no answer", 2),
        ("Nothing", "closed the connection", 2),
        ("CutOff", "cut off after 8 bytes", 2),
        ("CutChunk", "cut off after 4 bytes", 2),
        ("Gigabyte", "longer than `HookOptions::response_limit`", 2),
        ("GigabyteOfError", "answered 500", 2),
    ] {
        let (task, outcome, called) = outcome(&gaia, &service, method).await;
        let text = outcome.expect_err(method);
        assert!(text.contains(error) && text.len() < 3_000, "{method}: {text}");
        assert!(!text.contains("pass@"), "{text}");
        assert_eq!(called, calls, "{method}: {task:?}");
    }
}

/// Of a service that asks for patience no attempt is used.
#[actix_rt::test]
async fn a_service_that_asks_for_patience_is_called_again_later() {
    let later = "retry-after: Thu, 01 Jan 2026 05:00:30 GMT\r\ndate: Thu, 01 Jan 2026 05:00:00 GMT\r\n";
    let service = Service::start(move |_, calls| match calls {
        1 => with(429, "retry-after: 60\r\n", ""),
        2 => with(503, later, ""),
        3 => with(503, "retry-after: 99999999\r\n", ""),
        _ => json(200, "1"),
    })
    .await;
    let gaia = Tested::start(calling(service.remote())).await;
    let (tasks, id) = added(&gaia, order("Create").max_retry(0)).await;
    for (calls, wait) in [(1, 60), (2, 30), (3, 86_400)] {
        let task = eventually("the task waits again", async || {
            let task = tasks.get_task_detail(id).await.expect("is there");
            (task.status == TaskStatus::Wait && task.run_at.is_some() && service.got().len() == calls).then_some(task)
        })
        .await;
        assert_eq!(task.run_at, Some(gaia.now() + Duration::from_secs(wait)));
        gaia.advance(Duration::from_secs(wait));
    }
    let task = ended(&tasks, id).await;
    assert_eq!((task.status, task.retry_time), (TaskStatus::Success, 0));
    // Every attempt of it was the first.
    assert!(
        service
            .got()
            .iter()
            .all(|call| call.header("gaia-attempt") == Some("1"))
    );
}
