//! What stands between a process and its server, and spoils the connection in one way or another.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// Makes what is passed on, of what comes. `None` ends the connection.
pub trait Tap: FnMut(&[u8]) -> Option<Vec<u8>> + Send + 'static {}

impl<F: FnMut(&[u8]) -> Option<Vec<u8>> + Send + 'static> Tap for F {}

/// Passes connections on, until the process of the tests ends.
pub struct Proxy {
    /// Leads through the proxy.
    pub url: String,
    /// How often all connections were forgotten.
    forgotten: Arc<AtomicUsize>,
}

impl Proxy {
    /// `answers` makes what the client gets, of what the server sends on one connection.
    pub fn start<A>(url: &str, answers: impl Fn() -> A + Send + 'static) -> Self
    where
        A: FnMut(&[u8]) -> Vec<u8> + Send + 'static,
    {
        Self::between(url, move || {
            let mut answer = answers();
            (|ask: &[u8]| Some(ask.to_vec()), move |sent: &[u8]| Some(answer(sent)))
        })
    }

    /// Of each connection the first function makes what the server gets of what the client sends, and the second one what the client
    /// gets of what the server sends.
    pub fn between<Q: Tap, A: Tap>(url: &str, both_ways: impl Fn() -> (Q, A) + Send + 'static) -> Self {
        let (head, rest) = url.rsplit_once('@').expect("names a user");
        let (server, path) = rest.split_once('/').expect("names a database");
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let port = listener.local_addr().expect("has one").port();
        let forgotten = Arc::new(AtomicUsize::new(0));
        let (now, server) = (Arc::clone(&forgotten), server.to_owned());
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("accepts");
                let Ok(server) = TcpStream::connect(&server) else {
                    continue;
                };
                let (asks, replies) = (client.try_clone().expect("clones"), server.try_clone().expect("clones"));
                let (born, now, (ask, answer)) = (now.load(Ordering::SeqCst), Arc::clone(&now), both_ways());
                let is_forgotten = move || now.load(Ordering::SeqCst) > born;
                let forgets = is_forgotten.clone();
                thread::spawn(move || pass(asks, server, ask, forgets));
                thread::spawn(move || pass(replies, client, answer, is_forgotten));
            }
        });
        Self {
            url: format!("{head}@127.0.0.1:{port}/{path}"),
            forgotten,
        }
    }

    /// Passes nothing more on the connections that there are, and closes none, as a firewall does, or a host that vanishes. The
    /// server does not hear of it either if the client ends.
    pub fn forget_all(&self) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
    }
}

/// Copies until one side ends.
fn pass(mut from: TcpStream, mut to: TcpStream, mut made_of: impl Tap, is_forgotten: impl Fn() -> bool) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count) = from.read(&mut buffer)
        && count > 0
        && (is_forgotten() || made_of(&buffer[..count]).is_some_and(|made| to.write_all(&made).is_ok()))
    {}
    if is_forgotten() {
        std::mem::forget((from, to));
        return;
    }
    for stream in [from, to] {
        // Perhaps it is closed already.
        let _ = stream.shutdown(Shutdown::Both);
    }
}
