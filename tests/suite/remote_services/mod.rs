//! Remote services: methods that are called by HTTP, against servers on this machine.

mod answers;
mod connections;
mod discovery;
mod refused;
mod registering;
mod requests;

use std::{
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use gaia_actors::{GaiaBuilder, RemoteService, prelude::*};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::support::{THEME, options};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A call as the service has got it.
#[derive(Debug, Clone)]
struct Request {
    head: String,
    body: String,
    /// The number of its connection, from 1.
    connection: usize,
}

impl Request {
    fn path(&self) -> &str {
        self.head.split(' ').nth(1).expect("is a request")
    }

    /// The method that is called, as the path has it.
    fn method(&self) -> &str {
        self.path().rsplit('/').next().expect("has a path")
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let (_, value) = fields.find(|(field, _)| field.eq_ignore_ascii_case(name))?;
        Some(value)
    }
}

/// What a service does with a call.
enum Reply {
    /// Answers, and keeps the connection.
    Keep(Vec<u8>),
    /// Answers, and closes.
    Close(Vec<u8>),
    /// Answers, and then sends zeros for as long as they are read.
    Flood(Vec<u8>),
    /// Waits until the caller closes.
    Never,
}

/// An answer in JSON, after which the connection stays open.
fn json(status: u16, body: &str) -> Reply {
    with(status, "", body)
}

/// With further lines of the head.
fn with(status: u16, lines: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::Keep(format!("HTTP/1.1 {status} x\r\n{lines}content-length: {length}\r\n\r\n{body}").into_bytes())
}

/// A service on this machine.
struct Service {
    port: u16,
    got: Arc<Mutex<Vec<Request>>>,
    connections: Arc<AtomicUsize>,
    /// Connections that the callers have closed.
    closed: Arc<AtomicUsize>,
}

impl Service {
    /// `answer` gets each call, and the number of its calls so far.
    async fn start(answer: impl Fn(&Request, usize) -> Reply + 'static) -> Self {
        Self::start_at(0, answer).await
    }

    async fn start_at(port: u16, answer: impl Fn(&Request, usize) -> Reply + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("binds");
        let service = Self {
            port: listener.local_addr().expect("has one").port(),
            got: Arc::default(),
            connections: Arc::default(),
            closed: Arc::default(),
        };
        let (got, connections, closed) = (
            Arc::clone(&service.got),
            Arc::clone(&service.connections),
            Arc::clone(&service.closed),
        );
        let answer = Rc::new(answer);
        actix_rt::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("accepts");
                let connection = connections.fetch_add(1, Ordering::SeqCst) + 1;
                let (got, closed, answer) = (Arc::clone(&got), Arc::clone(&closed), Rc::clone(&answer));
                actix_rt::spawn(async move {
                    serve(stream, connection, &got, &*answer).await;
                    closed.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        service
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/orders/", self.port)
    }

    fn remote(&self) -> RemoteService {
        RemoteService::at(self.url())
    }

    fn got(&self) -> Vec<Request> {
        self.got.lock().expect("is sound").clone()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn closed(&self) -> usize {
        self.closed.load(Ordering::SeqCst)
    }
}

async fn serve(
    mut stream: TcpStream,
    connection: usize,
    got: &Mutex<Vec<Request>>,
    answer: &dyn Fn(&Request, usize) -> Reply,
) {
    while let Some((head, body)) = read(&mut stream).await {
        let request = Request { head, body, connection };
        let calls = {
            let mut got = got.lock().expect("is sound");
            got.push(request.clone());
            got.len()
        };
        match answer(&request, calls) {
            Reply::Keep(bytes) => stream.write_all(&bytes).await.expect("is read"),
            Reply::Close(bytes) => return stream.write_all(&bytes).await.expect("is read"),
            Reply::Flood(bytes) => {
                stream.write_all(&bytes).await.expect("is read");
                while stream.write_all(&[b'0'; 1 << 14]).await.is_ok() {}
                return;
            }
            Reply::Never => {
                // A reset is an end, too.
                let _ = stream.read(&mut [0]).await;
                return;
            }
        }
    }
}

/// The head and the body of the next request; `None`: the caller has closed the connection.
async fn read(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.expect("has a body").parse().expect("is a number");
            if body.len() >= length {
                return Some((head.to_owned(), body.to_owned()));
            }
        }
        match stream.read_buf(&mut bytes).await {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

/// A process that runs the theme, and calls this service by the name `Orders`.
fn calling(service: RemoteService) -> GaiaBuilder {
    Gaia::builder().service("Orders", service).scheduler(options())
}

fn order(method: &str) -> NewTask {
    NewTask::new("Orders", method)
}

async fn added(gaia: &Gaia, task: NewTask) -> (Scheduler, i64) {
    let tasks = gaia.scheduler(THEME).expect("is a theme");
    let id = tasks.add_task(task).await.expect("is added").id;
    (tasks, id)
}
