//! A server on the loopback address, and a client that sends exactly the bytes of a test.

use std::net::SocketAddr;

use actix_web::{App, HttpServer, dev::ServerHandle, web};
use gaia_actors::{
    async_fn,
    prelude::*,
    web::{Access, AccessToken, AdminOptions, Permission, admin},
};
use serde_json::{Value, value::RawValue};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    conformance,
    support::{Database, Gate, options},
};

/// Where the API is mounted.
pub const API: &str = "/a/b/api/v1";

/// The tokens of the servers that `Served::start` starts, and what their callers may do.
pub const OPERATOR: &str = "operator-0123456789";
pub const VIEWER: &str = "viewer-0123456789";
pub const PRODUCER: &str = "producer-0123456789";
/// May do everything with the theme "allowed" alone.
pub const LIMITED: &str = "limited-0123456789";

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
}

pub fn tokens() -> Access {
    let token = |name: &str, token: &str| AccessToken::new(name, &AccessToken::hash_of(token)).expect("is good");
    Access::tokens([
        token("operator", OPERATOR).permissions(Permission::ALL),
        token("viewer", VIEWER).permissions(Permission::VIEWER),
        token("producer", PRODUCER).permissions(Permission::PRODUCER),
        token("limited", LIMITED)
            .permissions(Permission::ALL)
            .themes(["allowed"]),
    ])
}

impl Served {
    /// Callers with tokens.
    pub async fn start() -> Self {
        Self::with(AdminOptions::new(tokens())).await
    }

    pub async fn with(admin_options: AdminOptions) -> Self {
        let database = Database::fresh();
        let gate = Gate::closed();
        let gaia = database
            .builder()
            .handler("Demo", "Echo", async_fn(async |_, value: Box<RawValue>| Ok(value)))
            .handler(
                "Demo",
                "Fail",
                async_fn(async |_, _: Value| Err::<(), _>(TaskError::discard("refused by a handler"))),
            )
            .handler("Demo", "Gate", gate.handler())
            .scheduler(options())
            .jobs(JobsOptions::default())
            .start()
            .await
            .expect("starts");
        let served = gaia.clone();
        let server = HttpServer::new(move || {
            App::new().service(web::scope("/a/b").service(admin(&served, admin_options.clone())))
        });
        let server = server.workers(1).disable_signals().bind("127.0.0.1:0").expect("binds");
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        actix_rt::spawn(server);
        Self {
            gaia,
            gate,
            address,
            server: handle,
            database,
        }
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

    /// A request with exactly these headers, besides `host` and those about the connection.
    pub async fn raw(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut head = format!("{method} {target} HTTP/1.1\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            head.push_str(&format!("host: {}\r\n", self.address));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        let stream = TcpStream::connect(self.address).await.expect("connects");
        let (mut reader, mut writer) = stream.into_split();
        let mut answer = Vec::new();
        // A server that refuses a body answers before it has read all of it.
        let write = async {
            let _ = writer.write_all(head.as_bytes()).await;
            let _ = writer.write_all(body.as_bytes()).await;
        };
        let read = async {
            let _ = reader.read_to_end(&mut answer).await;
        };
        futures_util::future::join(write, read).await;
        let answer = Answer::of(&answer);
        conformance::check(method, target, &answer);
        answer
    }

    pub async fn stop(self) {
        self.server.stop(false).await;
        self.gaia.stop().await.expect("stops");
    }
}

impl Answer {
    fn of(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).expect("is text");
        let (head, body) = text.split_once("\r\n\r\n").expect("has a head");
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .expect("has a status");
        let headers = lines.filter_map(|line| line.split_once(": "));
        let answer = Self {
            status: status.parse().expect("is a number"),
            headers: headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
            body: body.to_owned(),
        };
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

    /// The answer, which must have this status.
    pub fn with(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        match self.body.as_str() {
            "" => Value::Null,
            body => serde_json::from_str(body).expect("is JSON"),
        }
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
