//! The client against real servers on this machine.

mod addresses;
mod answers;
mod framing;
mod limits;
mod properties;
mod requests;
mod signatures;
mod tls;

use std::{collections::BTreeMap, time::Duration};

use actix_rt::{
    net::{TcpListener, TcpStream},
    spawn,
    task::JoinHandle,
};
use chrono::Utc;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{HookAnswer, HookCall, HookClient, HookError, HookOptions, KeptClient};
use crate::domain::{HookMethod, HookSecret};

const RUN_ID: &str = "0195f3c2-7d0e-7b1a-9c55-3f6b1f0f0a01";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

fn client(options: &HookOptions) -> HookClient {
    HookClient::new(options).unwrap()
}

/// A call that posts `{"n":1}`, without headers and without a secret.
fn to(url: impl Into<String>) -> HookCall {
    HookCall {
        method: HookMethod::Post,
        url: url.into(),
        headers: BTreeMap::new(),
        body: r#"{"n":1}"#.to_owned(),
        secret: None,
        traceparent: None,
        run_id: RUN_ID.to_owned(),
        sent_at: Utc::now(),
        hold: None,
    }
}

async fn call(url: impl Into<String>) -> Result<HookAnswer, HookError> {
    client(&HookOptions::default()).call(to(url)).await
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Serves one connection by `script`. Returns the URL, and the script's result to await.
async fn serving<T: 'static>(script: impl AsyncFnOnce(TcpStream) -> T + 'static) -> (String, JoinHandle<T>) {
    let (listener, port) = listener().await;
    let served = spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        script(stream).await
    });
    (format!("http://127.0.0.1:{port}/report"), served)
}

/// Answers one request and closes. Returns the URL, and the request to await.
async fn answering(answer: impl AsRef<[u8]> + 'static) -> (String, JoinHandle<String>) {
    serving(async move |mut stream| {
        let request = request(&mut stream).await;
        stream.write_all(answer.as_ref()).await.unwrap();
        stream.shutdown().await.unwrap();
        request
    })
    .await
}

/// Reads one whole request.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = header(head, "content-length").map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return text.into_owned();
            }
        }
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the request ends early");
    }
}

fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let head = request.split("\r\n\r\n").next().unwrap_or_default();
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let mut found = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
    let (_, value) = found.next()?;
    assert!(found.next().is_none(), "{name} is sent twice");
    Some(value)
}

fn body(request: &str) -> &str {
    request.split_once("\r\n\r\n").unwrap().1
}

/// Awaits a future that must complete within a second.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(1), what).await.expect("within a second")
}
