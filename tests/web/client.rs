//! A server on the loopback address, and a client that sends exactly the bytes of a test.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use actix_web::{App, HttpServer, dev::ServerHandle, web};
use gaia_actors::{
    RemoteService, async_fn,
    logs::KeepLogs,
    prelude::*,
    web::{Access, AccessToken, AdminOptions, Permission, admin},
};
use serde_json::{Value, json, value::RawValue};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::{
    conformance,
    support::{Database, Gate, eventually, options},
};

/// Where the API is mounted.
pub const API: &str = "/a/b/api/v1";

/// Where the pages lie.
pub const PAGES: &str = "/a/b";

/// The tokens of the servers that `Served::start` starts, and what their callers may do.
pub const OPERATOR: &str = "operator-0123456789";
pub const VIEWER: &str = "viewer-0123456789";
pub const PRODUCER: &str = "producer-0123456789";
pub const WORKER: &str = "worker-0123456789";
/// May do everything with the theme "allowed" alone.
pub const LIMITED: &str = "limited-0123456789";

/// A part of a path, a value of a query, or a reason: every byte but letters and digits is escaped.
pub fn escaped(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// A runtime with workers, and an HTTP server.
pub struct Served {
    pub gaia: Gaia,
    pub gate: Gate,
    pub address: SocketAddr,
    server: ServerHandle,
    // Dropped last.
    pub database: Database,
}

/// What the server has answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// The body has come to its end.
    pub is_whole: bool,
}

pub fn tokens() -> Access {
    let token = |name: &str, token: &str| AccessToken::new(name, &AccessToken::hash_of(token)).expect("is good");
    Access::tokens([
        token("operator", OPERATOR).permissions(Permission::ALL),
        token("viewer", VIEWER).permissions(Permission::VIEWER),
        token("producer", PRODUCER).permissions(Permission::PRODUCER),
        token("worker", WORKER).permissions(Permission::WORKER),
        token("limited", LIMITED)
            .permissions(Permission::ALL)
            .themes(["allowed"]),
    ])
}

/// The API of a process.
fn api(gaia: &Gaia, admin_options: AdminOptions) -> (SocketAddr, ServerHandle) {
    let served = gaia.clone();
    let server =
        HttpServer::new(move || App::new().service(web::scope("/a/b").service(admin(&served, admin_options.clone()))));
    let server = server.workers(1).disable_signals().h1_allow_half_closed(false);
    let server = server.bind("127.0.0.1:0").expect("binds");
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    actix_rt::spawn(server);
    (address, handle)
}

impl Served {
    /// Callers with tokens, who may send as many requests as they like: on a fast machine a test sends more than others may.
    pub async fn start() -> Self {
        Self::with(AdminOptions::new(tokens()).requests_per_second(1_000_000)).await
    }

    /// The same of a node that looks after remote workers more often than by default.
    pub async fn that_looks_often() -> Self {
        let options = AdminOptions::new(tokens()).requests_per_second(1_000_000);
        Self::of_lease(options, Duration::from_secs(6)).await
    }

    pub async fn with(admin_options: AdminOptions) -> Self {
        Self::of_lease(admin_options, Duration::from_secs(20)).await
    }

    async fn of_lease(admin_options: AdminOptions, lease: Duration) -> Self {
        let database = Database::fresh();
        let gate = Gate::closed();
        let gaia = database
            .builder()
            .lease(lease)
            .handler("Demo", "Echo", async_fn(async |_, value: Box<RawValue>| Ok(value)))
            .handler(
                "Demo",
                "Fail",
                async_fn(async |_, _: Value| Err::<(), _>(TaskError::discard("refused by a handler"))),
            )
            .handler("Demo", "Gate", gate.handler())
            .scheduler(options())
            .jobs(JobsOptions::default().keep_logs(KeepLogs::default()))
            .start()
            .await
            .expect("starts");
        let (address, server) = api(&gaia, admin_options);
        Self {
            gaia,
            gate,
            address,
            server,
            database,
        }
    }

    /// Has another process on the same database take the place of the first one, which stops.
    pub async fn move_on(&mut self) {
        let gaia = self.database.builder().start().await.expect("starts");
        let (address, server) = api(&gaia, AdminOptions::new(tokens()));
        let (before, its_server) = (
            std::mem::replace(&mut self.gaia, gaia),
            std::mem::replace(&mut self.server, server),
        );
        self.address = address;
        its_server.stop(false).await;
        before.stop().await.expect("stops");
    }

    /// Has this process call a service at this URL.
    pub async fn register(&self, name: &str, url: &str) {
        let service = RemoteService::at(url);
        self.gaia
            .registry()
            .register_service(name, service)
            .await
            .expect("is registered");
    }

    /// A request as the operator, whose path is below the API's.
    pub async fn send(&self, method: &str, path: &str, body: &str) -> Answer {
        self.send_as(OPERATOR, method, path, body).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "").await
    }

    pub async fn send_as(&self, token: &str, method: &str, path: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        let mut headers = vec![("authorization", bearer.as_str())];
        if !body.is_empty() {
            headers.push(("content-type", "application/json"));
        }
        self.raw(method, &format!("{API}{path}"), &headers, body).await
    }

    /// A page as this caller sees it.
    pub async fn page(&self, token: &str, path: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        self.raw("GET", &format!("{PAGES}{path}"), &headers, "").await
    }

    /// A form that this caller has sent.
    pub async fn post(&self, token: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        let fields: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{name}={}", escaped(value)))
            .collect();
        self.raw("POST", &format!("{PAGES}{path}"), &headers, &fields.join("&"))
            .await
    }

    /// A request with an idempotency key.
    pub async fn send_once(&self, token: &str, path: &str, key: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
            ("idempotency-key", key),
        ];
        self.raw("POST", &format!("{API}{path}"), &headers, body).await
    }

    /// A request of the operator that names the version that was read.
    pub async fn send_if(&self, tag: &str, method: &str, path: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {OPERATOR}");
        let mut headers = vec![("authorization", bearer.as_str()), ("if-match", tag)];
        if !body.is_empty() {
            headers.push(("content-type", "application/json"));
        }
        self.raw(method, &format!("{API}{path}"), &headers, body).await
    }

    /// A request with exactly these headers, besides `host` and those about the connection. Each comes from another address, so that failures
    /// to say who the caller is do not add up.
    pub async fn raw(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let from = [127, 1, high, low.max(1)].into();
        self.raw_from(from, method, target, headers, body).await
    }

    /// The same from this address.
    pub async fn raw_from(
        &self,
        from: Ipv4Addr,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut lines = vec![format!("{method} {target} HTTP/1.1"), "connection: close".to_owned()];
        if !headers.iter().any(|(name, _)| *name == "host") {
            lines.push(format!("host: {}", self.address));
        }
        lines.extend(headers.iter().map(|(name, value)| format!("{name}: {value}")));
        lines.push(format!("content-length: {}", body.len()));
        let head = lines.join("\r\n") + "\r\n\r\n";
        let stream = self.connect_from(from).await;
        let (mut reader, mut writer) = stream.into_split();
        let mut answer = Vec::new();
        // A server that refuses a body answers before it has read all of it.
        let write = async {
            let _ = writer.write_all(head.as_bytes()).await;
            let _ = writer.write_all(body.as_bytes()).await;
        };
        // A stream of events has no end: its first event is the answer.
        let read = async {
            let mut piece = vec![0; 64 << 10];
            while let Ok(bytes @ 1..) = reader.read(&mut piece).await {
                answer.extend_from_slice(&piece[..bytes]);
                // A long answer is not looked through again with each of its pieces.
                let text = String::from_utf8_lossy(&answer[..answer.len().min(piece.len())]);
                if text.contains("text/event-stream") && text.contains("\n\n") {
                    break;
                }
            }
        };
        futures_util::future::join(write, read).await;
        let answer = Answer::of(&answer);
        conformance::check(method, target, &answer);
        answer
    }

    async fn connect_from(&self, from: Ipv4Addr) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("is made");
        // Not every system has all addresses of the loopback network.
        let _ = socket.bind((from, 0).into());
        let stream = socket.connect(self.address).await.expect("connects");
        // The head and the body are written apart: the body would wait 40 ms until the server's system acknowledges the head.
        stream.set_nodelay(true).expect("is set");
        stream
    }

    /// A connection on which nothing was sent yet.
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("connects")
    }

    /// A connection on which the operator has begun this request. `headers`: more headers, each with its line break.
    pub async fn begin(&self, method: &str, path: &str, headers: &str) -> TcpStream {
        let mut stream = self.connect().await;
        let head = format!(
            "{method} {API}{path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {OPERATOR}\r\n{headers}\r\n",
            self.address
        );
        stream.write_all(head.as_bytes()).await.expect("is sent");
        stream
    }

    /// A task that waits for its limit key: another one of the key runs. `Demo.Gate` has a limit of one for each key.
    pub async fn waits_for_key(&self, key: &str) -> i64 {
        let task = json!({"theme": "demo", "service": "Demo", "method": "Gate", "limit_key": key}).to_string();
        let mut added = Vec::new();
        for _ in 0..2 {
            let task = self.send("POST", "/tasks", &task).await.with(201);
            added.push(task["id"].as_i64().expect("is an id"));
        }
        eventually("one of the tasks waits for the other", async || {
            for id in &added {
                let task = self.get(&format!("/tasks/{id}")).await.with(200);
                if task["waits_for"]["kind"] == "limit" {
                    return Some(*id);
                }
            }
            None
        })
        .await
    }

    pub async fn stop(self) {
        self.server.stop(false).await;
        self.gaia.stop().await.expect("stops");
    }
}

impl Answer {
    pub fn of(bytes: &[u8]) -> Self {
        let end = bytes
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .expect("has a head");
        let head = std::str::from_utf8(&bytes[..end]).expect("is text");
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .expect("has a status");
        let headers = lines.filter_map(|line| line.split_once(": "));
        let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let (body, is_whole) = match is_chunked {
            true => of_chunks(&bytes[end + 4..]),
            false => (bytes[end + 4..].to_vec(), true),
        };
        let body = match is_whole {
            true => String::from_utf8(body).expect("is text"),
            false => String::from_utf8_lossy(&body).into_owned(),
        };
        let answer = Self {
            status: status.parse().expect("is a number"),
            headers: headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
            body,
            is_whole,
        };
        // The server itself answers heads that are no HTTP or never end.
        if answer.header("content-type").is_none() {
            return answer;
        }
        // Every answer has these, whatever it says.
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{answer:?}");
        }
        answer
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The page, which must have this status and the policy of pages.
    pub fn html(&self, status: u16) -> &str {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("text/html; charset=utf-8"));
        let policy = self.header("content-security-policy").expect("has a policy");
        assert!(
            policy.starts_with("default-src 'none';") && !policy.contains("unsafe"),
            "{policy}"
        );
        &self.body
    }

    /// The answer, which must have this status.
    pub fn with(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        match self.body.as_str() {
            "" => Value::Null,
            body => serde_json::from_str(body).expect("is JSON"),
        }
    }

    /// Where the answer to a form leads to.
    pub fn leads_to(&self) -> &str {
        assert_eq!(self.status, 303, "{self:?}");
        self.header("location").expect("has a location")
    }

    /// The refusal, which must have this status and this code.
    pub fn refused(&self, status: u16, code: &str) -> Value {
        let problem = self.with(status);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], "about:blank");
        assert!(
            problem["title"].is_string() && problem["detail"].is_string(),
            "{problem}"
        );
        problem
    }
}

/// The content of a body that came in chunks, and whether the last chunk was there.
fn of_chunks(mut bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
        let length = std::str::from_utf8(&bytes[..end]).expect("is text");
        let length = usize::from_str_radix(length, 16).expect("is a length");
        if length == 0 {
            return (body, true);
        }
        let rest = &bytes[end + 2..];
        body.extend_from_slice(&rest[..length.min(rest.len())]);
        bytes = rest.get(length + 2..).unwrap_or_default();
    }
    (body, false)
}
