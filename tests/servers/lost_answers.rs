//! The connection breaks between a commit and its answer.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use gaia_actors::{admin::GetTaskLog, async_fn, logs::KeepLogs, prelude::*};
use serde_json::Value;

use crate::support::{Database, Kind, PATIENCE, THEME, options};
#[cfg(feature = "postgres")]
use crate::{
    lines::listen,
    proxy,
    support::{Gate, eventually},
};

/// Stands between a node and its server.
struct Proxy {
    port: u16,
    /// So many answers are swallowed, with their connections.
    lose: Arc<AtomicUsize>,
}

/// What one connection is about to lose.
#[derive(Default)]
struct Wire {
    /// An answer has told of what is to be lost.
    told: AtomicBool,
    /// Whatever the server answers from now on is swallowed.
    is_deaf: AtomicBool,
}

impl Proxy {
    /// The answers that are swallowed are those that hold this text, which is an argument of tasks (their method is told by rows
    /// of nodes, too); or, where a claim commits apart from its
    /// answer, those to the `COMMIT` behind one that does.
    fn start(server: &str, name: &'static str, commits_apart: bool) -> Self {
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
                let (losing, wire) = (Arc::clone(&losing), Arc::new(Wire::default()));
                let loses = move || {
                    let take = |left: usize| left.checked_sub(1);
                    losing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok()
                };
                let (asking, loses_commit) = (Arc::clone(&wire), loses.clone());
                thread::spawn(move || {
                    pass(asks, server, |ask| {
                        if holds(ask, "COMMIT") && asking.told.swap(false, Ordering::SeqCst) && loses_commit() {
                            asking.is_deaf.store(true, Ordering::SeqCst);
                        }
                        false
                    });
                });
                thread::spawn(move || {
                    pass(answers, client, |answer| {
                        let names = holds(answer, name);
                        if commits_apart && names {
                            wire.told.store(true, Ordering::SeqCst);
                        }
                        wire.is_deaf.load(Ordering::SeqCst) || (!commits_apart && names && loses())
                    });
                });
            }
        });
        Self { port, lose }
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
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
async fn tasks_of_a_lost_claim_are_run(kind: Kind, commits_apart: bool, lost_answers: usize) {
    let database = Database::of_kind(kind);
    let (head, rest) = database
        .url()
        .rsplit_once('@')
        .map(|(head, rest)| (head.to_owned(), rest.to_owned()))
        .expect("has one");
    let (server, path) = rest.split_once('/').expect("has a path");
    let proxy = Proxy::start(server, "astray", commits_apart);
    let client = database.builder().start().await.expect("starts");
    let gaia = Gaia::builder()
        .database(format!("{head}@127.0.0.1:{}/{path}", proxy.port))
        .handler("Stray", "Noop", async_fn(async |_, _: Value| Ok(())))
        .start()
        .await
        .expect("starts");
    let demo = gaia.start_scheduler(options()).await.expect("starts");

    proxy.lose.store(lost_answers, Ordering::SeqCst);
    let elsewhere = client.scheduler(THEME).expect("is a theme");
    let tasks = vec![NewTask::new("Stray", "Noop").args(&"astray").max_retry(0); 5];
    let added = elsewhere.add_tasks(tasks).await.expect("are added");
    for task in added {
        let task = elsewhere.wait_for(task.id, PATIENCE).await.expect("comes to an end");
        assert_eq!(task.status, TaskStatus::Success);
    }
    assert_eq!(proxy.lose.load(Ordering::SeqCst), 0, "the answers were lost");
    // No attempt was used up.
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctask_exec_row"), 5);
    let errors = demo.status().await.expect("answers").database_errors;
    assert!(usize::try_from(errors).is_ok_and(|errors| errors >= lost_answers));
    gaia.stop().await.expect("stops");
    client.stop().await.expect("stops");
}

/// That of the claim, and that of the claim after what it took was given back.
#[cfg(feature = "postgres")]
#[actix_rt::test]
async fn on_postgresql_tasks_of_a_claim_whose_answer_was_lost_are_run() {
    tasks_of_a_lost_claim_are_run(Kind::Postgres, false, 2).await;
}

#[cfg(feature = "mysql")]
#[actix_rt::test]
async fn on_mysql_tasks_of_a_claim_whose_answer_was_lost_are_run() {
    tasks_of_a_lost_claim_are_run(Kind::Mysql, true, 1).await;
}

/// The row of a node that was declared dead is made anew, and the answer to that is lost: the next beat finds the row. What ran
/// belongs to others all the same.
#[cfg(feature = "postgres")]
#[actix_rt::test]
async fn a_node_whose_new_row_is_made_without_an_answer_cancels_its_runs() {
    let database = Database::of_kind(Kind::Postgres);
    let url = database.url();
    let (head, rest) = url.rsplit_once('@').expect("names a user");
    let (server, path) = rest.split_once('/').expect("has a path");
    let proxy = Proxy::start(server, "INSERT 0 1", false);
    let gate = Gate::closed();
    let gaia = Gaia::builder()
        .database(format!("{head}@127.0.0.1:{}/{path}?sslmode=disable", proxy.port))
        .lease(std::time::Duration::from_secs(2))
        .handler("Demo", "Gate", gate.handler())
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    demo.add_task(NewTask::new("Demo", "Gate")).await.expect("is added");
    gate.entered(1).await;
    proxy.lose.store(1, Ordering::SeqCst);
    database.execute("DELETE FROM gaia_nodes");
    eventually("the end of the run", async || (gate.inside() == 0).then_some(())).await;
    assert_eq!(proxy.lose.load(Ordering::SeqCst), 0, "the answer was lost");
    // The node goes on under its new row.
    gate.entered(1).await;
    gate.let_pass(1);
    eventually("the end of the task", async || {
        let done = database.number("SELECT COUNT(*) FROM asynctasks WHERE task_status = 'Success'");
        (done == 1).then_some(())
    })
    .await;
    gaia.stop().await.expect("stops");
}

/// Where an answer holds this argument of a task, the length in front of it is made that of a NULL: the columns behind it cannot
/// be read.
#[cfg(feature = "postgres")]
fn garbled(answer: &[u8], left: &AtomicUsize) -> Vec<u8> {
    const ARGUMENT: &[u8] = b"\"garbled\"";
    let mut answer = answer.to_vec();
    let found = answer.windows(ARGUMENT.len()).position(|part| part == ARGUMENT);
    let take = |left: usize| left.checked_sub(1);
    if let Some(at) = found.and_then(|at| at.checked_sub(4))
        && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok()
    {
        answer[at..at + 4].fill(0xff);
    }
    answer
}

/// The claim is committed when its answer is read.
#[cfg(feature = "postgres")]
#[actix_rt::test]
async fn tasks_of_a_claim_whose_answer_cannot_be_read_are_run() {
    let database = Database::of_kind(Kind::Postgres);
    let left = Arc::new(AtomicUsize::new(0));
    let garbles = Arc::clone(&left);
    let proxy = proxy::Proxy::start(&database.url(), move || {
        let left = Arc::clone(&garbles);
        move |answer: &[u8]| garbled(answer, &left)
    });
    let gaia = Gaia::builder()
        .database(format!("{}?sslmode=disable", proxy.url))
        .handler("Demo", "Noop", async_fn(async |_, _: Value| Ok(())))
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let client = database.builder().start().await.expect("starts");
    let elsewhere = client.scheduler(THEME).expect("is a theme");
    left.store(2, Ordering::SeqCst);
    let tasks = vec![NewTask::new("Demo", "Noop").args(&"garbled").max_retry(0); 5];
    for task in elsewhere.add_tasks(tasks).await.expect("are added") {
        let task = elsewhere.wait_for(task.id, PATIENCE).await.expect("comes to an end");
        assert_eq!((task.status, task.retry_time), (TaskStatus::Success, 0));
    }
    assert_eq!(left.load(Ordering::SeqCst), 0, "answers were garbled");
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctask_exec_row"), 5);
    assert!(demo.status().await.expect("answers").database_errors >= 2);
    gaia.stop().await.expect("stops");
    client.stop().await.expect("stops");
}

#[cfg(feature = "postgres")]
const LINE: &str = "astray among lines";

/// What becomes of the lines of runs on their way to the server.
#[cfg(feature = "postgres")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lines {
    Pass,
    /// The answer to the `COMMIT` of the next ones is lost.
    LoseTheAnswer,
    /// Connections that send some end.
    Stop,
}

/// What is sent is compressed, but a text that comes for the first time is in it as it is.
#[cfg(feature = "postgres")]
fn through_the_proxy(lines: Arc<Mutex<Lines>>) -> (impl proxy::Tap, impl proxy::Tap) {
    let is_deaf = Arc::new(AtomicBool::new(false));
    let (deaf, mut has_sent) = (Arc::clone(&is_deaf), false);
    let ask = move |ask: &[u8]| {
        let mut lines = lines.lock().expect("is not poisoned");
        has_sent |= holds(ask, LINE);
        match *lines {
            Lines::Stop if holds(ask, LINE) => return None,
            Lines::LoseTheAnswer if has_sent && holds(ask, "COMMIT") => {
                is_deaf.store(true, Ordering::SeqCst);
                *lines = Lines::Stop;
            }
            _ => {}
        }
        Some(ask.to_vec())
    };
    (ask, move |answer: &[u8]| {
        (!deaf.load(Ordering::SeqCst)).then(|| answer.to_vec())
    })
}

/// The lines are there once, and so are those that have come to them while the node did not know it.
#[cfg(feature = "postgres")]
#[actix_rt::test]
async fn lines_whose_write_was_not_answered_are_kept_once_with_those_that_came_since() {
    listen();
    let database = Database::of_kind(Kind::Postgres);
    let lines = Arc::new(Mutex::new(Lines::LoseTheAnswer));
    let of_proxy = Arc::clone(&lines);
    let proxy = proxy::Proxy::between(&database.url(), move || through_the_proxy(Arc::clone(&of_proxy)));
    let talk = async_fn(async |ctx: TaskContext, _: Value| {
        log::info!("{LINE} of task {}", ctx.id());
        Ok(())
    });
    let gaia = Gaia::builder()
        .database(format!("{}?sslmode=disable", proxy.url))
        .handler("Demo", "Talk", talk)
        .scheduler(options().keep_logs(KeepLogs::default()))
        .start()
        .await
        .expect("starts");
    let (demo, admin) = (gaia.scheduler(THEME).expect("is a theme"), gaia.admin());
    let rows = || database.number("SELECT COUNT(*) FROM gaia_run_logs");
    let now = || *lines.lock().expect("is not poisoned");

    let first = demo.add_task(NewTask::new("Demo", "Talk")).await.expect("is added").id;
    eventually("the lost answer", async || (now() == Lines::Stop).then_some(())).await;
    let second = demo.add_task(NewTask::new("Demo", "Talk")).await.expect("is added").id;
    demo.wait_for(second, PATIENCE).await.expect("comes to an end");
    assert_eq!(rows(), 1);
    *lines.lock().expect("is not poisoned") = Lines::Pass;
    eventually("both rows", async || (rows() == 2).then_some(())).await;
    for id in [first, second] {
        let log = admin.task_log(GetTaskLog { id, log_id: None }).await.expect("answers");
        let messages: Vec<&str> = log.lines.iter().map(|line| line.message.as_str()).collect();
        assert_eq!(messages, [format!("{LINE} of task {id}")]);
    }
    gaia.stop().await.expect("stops");
}
