//! A server on the loopback address that keeps what it is sent, and a client.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(known, _)| known == name);
        header.map(|(_, value)| value.as_str())
    }
}

/// Answers each request with 200, and keeps it.
#[derive(Clone)]
pub struct Server {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = listener.local_addr().expect("is bound");
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let kept = Arc::clone(&requests);
        // Until the process ends.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let request = read(&stream);
                kept.lock().expect("is not poisoned").push(request);
                // A client that is gone needs no answer.
                let _ = (&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}");
            }
        });
        Self { address, requests }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("is not poisoned").clone()
    }
}

fn read(stream: &TcpStream) -> Request {
    let mut reader = BufReader::new(stream);
    let mut request = Request::default();
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|bytes| bytes > 2) {
        if let Some((name, value)) = line.trim_end().split_once(": ") {
            request.headers.push((name.to_lowercase(), value.to_owned()));
        }
        line.clear();
    }
    let length = request
        .header("content-length")
        .map_or(0, |length| length.parse().expect("is a number"));
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("is whole");
    request.body = String::from_utf8(body).expect("is text");
    request
}

/// Sends a request; answers with the status and the body of the answer.
pub fn send(address: SocketAddr, head: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("connects");
    let length = body.len();
    let request = format!("{head}\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).expect("is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("is text");
    let status = answer.get(9..12).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    (status.expect("has a status"), body.expect("has an end of its head"))
}
