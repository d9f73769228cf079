//! Hooks end to end: what the client does by itself is tested beside it.

use std::time::Duration;

use gaia_actors::{HookSecret, JobRecord, RunFlag, prelude::*};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::{flag, running};
use crate::support::{Database, PATIENCE};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What a server was sent.
struct Request {
    head: String,
    body: String,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines
            .find(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

/// A server that answers each request with the next of `answers`; with the empty one it waits until the client hangs up.
/// Answers with its URL, and tells of requests; and of hang-ups, as requests without a head.
async fn server<const N: usize>(answers: [&'static str; N]) -> (String, mpsc::UnboundedReceiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("http://{}/hook", listener.local_addr().expect("has one"));
    let (tell, told) = mpsc::unbounded_channel();
    actix_rt::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.expect("is called");
            // Whoever listens may have heard enough.
            let _ = tell.send(request(&mut stream).await);
            if answer.is_empty() {
                let mut rest = [0; 16];
                // A reset is an end, too.
                let _ = stream.read(&mut rest).await;
                let _ = tell.send(Request {
                    head: String::new(),
                    body: String::new(),
                });
            } else {
                stream.write_all(answer.as_bytes()).await.expect("is read");
            }
        }
    });
    (url, told)
}

async fn request(stream: &mut TcpStream) -> Request {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4_096]);
    loop {
        let count = stream.read(&mut piece).await.expect("is sent");
        bytes.extend(&piece[..count]);
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let request = Request {
                head: head.to_owned(),
                body: body.to_owned(),
            };
            let length = request
                .header("content-length")
                .map_or(0, |length| length.parse().expect("a number"));
            if body.len() >= length {
                return request;
            }
        }
    }
}

async fn run(jobs: &Jobs, job: NewJob) -> JobRecord {
    let id = jobs.add_job(job).await.expect("is added");
    let run = jobs.execute_job_immediately(id).await.expect("runs");
    jobs.wait_for_run(run.id, PATIENCE).await.expect("comes to an end")
}

#[actix_rt::test]
async fn a_hook_is_called_signed_and_its_answer_recorded() {
    let database = Database::fresh();
    let gaia = running(&database).await;
    let (url, mut requests) = server(["HTTP/1.1 201 Created\r\ncontent-length: 4\r\n\r\ndone"]).await;
    let job = NewJob::cron_hook("sync", "0 */5 * * * *", url)
        .args(&serde_json::json!({ "type": "full" }))
        .header("x-team", "data")
        .secret(&HookSecret::parse(SECRET).expect("is one"));
    let record = run(&gaia.jobs(), job).await;
    assert_eq!(
        (flag(&record), record.run_result.as_deref()),
        (Some(RunFlag::Success), Some("done"))
    );

    let request = requests.recv().await.expect("was called");
    assert!(request.head.starts_with("POST /hook HTTP/1.1"), "{}", request.head);
    assert_eq!(request.body, r#"{"type":"full"}"#);
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("x-team"), Some("data"));
    assert_eq!(request.header("idempotency-key"), record.log_id.as_deref());
    assert!(
        request
            .header("user-agent")
            .expect("has one")
            .starts_with("gaia-actors/")
    );
    let mut headers = http::HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let value = request.header(name).expect("is signed").parse().expect("is a header");
        headers.insert(name, value);
    }
    let webhook = standardwebhooks::Webhook::new(SECRET).expect("is one");
    webhook.verify(request.body.as_bytes(), &headers).expect("is ours");
    webhook.verify(b"{}", &headers).expect_err("is not what was signed");
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn an_answer_that_is_no_success_is_a_failure_and_is_tried_again_under_the_same_key() {
    let database = Database::fresh();
    let gaia = running(&database).await;
    let bad = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 6\r\n\r\nboiler";
    let moved = "HTTP/1.1 302 Found\r\nlocation: http://elsewhere.invalid/\r\ncontent-length: 0\r\n\r\n";
    let (url, mut requests) = server([bad, moved]).await;
    let job = NewJob::cron_hook("x", "@yearly", url)
        .max_retry(1)
        .retry_delay(Duration::ZERO);
    let record = run(&gaia.jobs(), job).await;
    assert_eq!((flag(&record), record.attempt), (Some(RunFlag::Failed), Some(2)));
    let error = record.run_err.expect("says why");
    assert!(
        error.contains("302 Found") && error.contains("redirects are not followed"),
        "{error}"
    );
    let mut keys = Vec::new();
    for _ in 0..2 {
        let request = requests.recv().await.expect("was called");
        keys.push(request.header("idempotency-key").expect("has one").to_owned());
    }
    assert_eq!(keys[0], keys[1]);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_request_that_is_out_of_time_is_closed_and_its_run_gone_from_the_list_within_a_second() {
    let database = Database::fresh();
    let gaia = running(&database).await;
    let jobs = gaia.jobs();
    let (url, mut requests) = server([""]).await;
    let job = NewJob::cron_hook("slow", "@yearly", url).timeout(Duration::from_secs(1));
    let id = jobs.add_job(job).await.expect("is added");
    let run = jobs.execute_job_immediately(id).await.expect("runs");
    requests.recv().await.expect("was called");
    assert_eq!(jobs.get_running_jobs().await.expect("answers").len(), 1);
    let hung_up = tokio::time::timeout(Duration::from_secs(2), requests.recv()).await;
    assert!(
        hung_up
            .expect("within a second of its time")
            .expect("the server lives")
            .head
            .is_empty()
    );
    let record = jobs
        .wait_for_run(run.id, Duration::from_secs(1))
        .await
        .expect("is recorded");
    assert_eq!(record.run_err.as_deref(), Some("timed out after 1s"));
    let late = record.ended_at.expect("has ended") - record.started_at.expect("has begun");
    assert!((1_000..2_000).contains(&late.num_milliseconds()), "{late}");
    assert!(jobs.get_running_jobs().await.expect("answers").is_empty());
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_cancelled_request_is_closed_at_once() {
    let database = Database::fresh();
    let gaia = running(&database).await;
    let jobs = gaia.jobs();
    let (url, mut requests) = server([""]).await;
    let id = jobs
        .add_job(NewJob::cron_hook("slow", "@yearly", url))
        .await
        .expect("is added");
    jobs.execute_job_immediately(id).await.expect("runs");
    requests.recv().await.expect("was called");
    assert_eq!(jobs.cancel_job(id).await.expect("is there"), 1);
    let hung_up = tokio::time::timeout(Duration::from_secs(2), requests.recv()).await;
    assert!(hung_up.expect("at once").expect("the server lives").head.is_empty());
    let record = super::ended(&jobs, id, 1).await.remove(0);
    assert_eq!(flag(&record), Some(RunFlag::Cancelled));
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn an_address_that_is_not_allowed_is_not_called() {
    let database = Database::fresh();
    let options = JobsOptions::default().hooks(HookOptions::default().allow_loopback(false));
    let gaia = database.builder().jobs(options).start().await.expect("starts");
    let (url, mut requests) = server(["HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"]).await;
    let record = run(&gaia.jobs(), NewJob::cron_hook("x", "@yearly", url)).await;
    let error = record.run_err.expect("says why");
    assert!(
        error.contains("may not be called") && error.contains("allow_loopback"),
        "{error}"
    );
    assert!(requests.try_recv().is_err());
    gaia.stop().await.expect("stops");
}
