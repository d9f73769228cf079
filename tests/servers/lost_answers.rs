//! The connection breaks between a commit and its answer.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use gaia_actors::{async_fn, prelude::*};
use serde_json::Value;

use crate::support::{Database, Kind, PATIENCE, THEME, options};

/// Stands between a node and its server.
struct Proxy {
    port: u16,
    /// So many answers that name this are swallowed, with their connections.
    lose: Arc<AtomicUsize>,
}

impl Proxy {
    fn start(server: &str, name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let port = listener.local_addr().expect("has one").port();
        let lose = Arc::new(AtomicUsize::new(0));
        let (losing, server) = (Arc::clone(&lose), server.to_owned());
        // Until the process of the tests ends.
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("accepts");
                let server = TcpStream::connect(&server).expect("connects");
                let (asks, answers) = (client.try_clone().expect("clones"), server.try_clone().expect("clones"));
                let losing = Arc::clone(&losing);
                thread::spawn(move || pass(asks, server, |_| false));
                thread::spawn(move || {
                    pass(answers, client, |answer| {
                        let names = answer.windows(name.len()).any(|part| part == name.as_bytes());
                        let take = |left: usize| left.checked_sub(1);
                        names && losing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok()
                    });
                });
            }
        });
        Self { port, lose }
    }
}

/// Copies until one side ends, or something is not to pass.
fn pass(mut from: TcpStream, mut to: TcpStream, stops: impl Fn(&[u8]) -> bool) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count) = from.read(&mut buffer)
        && count > 0
        && !stops(&buffer[..count])
        && to.write_all(&buffer[..count]).is_ok()
    {}
    for stream in [from, to] {
        // Perhaps it is closed already.
        let _ = stream.shutdown(Shutdown::Both);
    }
}

/// The node lives on, and nobody else may take over what it does not know it has.
#[actix_rt::test]
async fn tasks_of_a_claim_whose_answer_was_lost_are_run() {
    let database = Database::of_kind(Kind::Postgres);
    let (head, rest) = database
        .url()
        .rsplit_once('@')
        .map(|(head, rest)| (head.to_owned(), rest.to_owned()))
        .expect("has one");
    let (server, path) = rest.split_once('/').expect("has a path");
    let proxy = Proxy::start(server, "Stray");
    let client = database.builder().start().await.expect("starts");
    let gaia = Gaia::builder()
        .database(format!("{head}@127.0.0.1:{}/{path}", proxy.port))
        .handler("Stray", "Noop", async_fn(async |_, _: Value| Ok(())))
        .start()
        .await
        .expect("starts");
    let demo = gaia.start_scheduler(options()).await.expect("starts");

    // That of the claim, and that of the first look for what it took.
    proxy.lose.store(2, Ordering::SeqCst);
    let elsewhere = client.scheduler(THEME).expect("is a theme");
    let tasks = vec![NewTask::new("Stray", "Noop").max_retry(0); 5];
    let added = elsewhere.add_tasks(tasks).await.expect("are added");
    for task in added {
        let task = elsewhere.wait_for(task.id, PATIENCE).await.expect("comes to an end");
        assert_eq!(task.status, TaskStatus::Success);
    }
    assert_eq!(proxy.lose.load(Ordering::SeqCst), 0, "both answers were lost");
    // No attempt was used up.
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctask_exec_row"), 5);
    assert!(demo.status().await.expect("answers").database_errors >= 2);
    gaia.stop().await.expect("stops");
    client.stop().await.expect("stops");
}
