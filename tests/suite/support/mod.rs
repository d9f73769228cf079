//! What the tests share: fresh databases, gates that tests open and close, and worker processes.

mod database;
mod example;
pub mod hang;
mod held;
mod refusal;

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    ops::Deref,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

pub use database::*;
pub use example::example;
use gaia_actors::{GaiaBuilder, Task, TaskStatus, async_fn, prelude::*, testing::TestGaia};
use serde_json::Value;
use tokio::sync::Semaphore;

pub const THEME: &str = "demo";

/// Longer than anything takes here, even on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Options under which nothing waits for long.
pub fn options() -> SchedulerOptions {
    SchedulerOptions::new(THEME)
        .worker_num(4)
        .scan_interval(Duration::from_millis(200))
        .retry(RetryPolicy::immediate())
        .cancel_grace(Duration::from_millis(200))
}

/// A runtime whose time stands still, on a database of its own.
pub struct Tested {
    // Dropped before its database.
    gaia: TestGaia,
    pub database: Database,
}

impl Tested {
    pub async fn start(builder: GaiaBuilder) -> Self {
        let database = Database::fresh();
        let gaia = TestGaia::start_on(database.url(), builder).await.expect("starts");
        Self { gaia, database }
    }
}

impl Deref for Tested {
    type Target = TestGaia;

    fn deref(&self) -> &TestGaia {
        &self.gaia
    }
}

pub fn task(method: &str) -> NewTask {
    NewTask::new("Demo", method)
}

pub async fn ended(scheduler: &Scheduler, id: i64) -> Task {
    scheduler.wait_for(id, PATIENCE).await.expect("comes to an end")
}

/// The error text of an operation that must not succeed.
pub fn refusal<T: std::fmt::Debug, E: std::fmt::Display>(result: Result<T, E>) -> String {
    match result {
        Ok(value) => panic!("expected a refusal, got {value:?}"),
        Err(error) => error.to_string(),
    }
}

/// Looks again and again until `look` answers. For what other threads or processes bring about and nobody can be asked to
/// announce.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain for: {what}");
        actix_rt::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A handler that says when it runs, and ends when the test lets it.
#[derive(Clone)]
pub struct Gate {
    entered: Arc<Semaphore>,
    open: Arc<Semaphore>,
    inside: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Gate {
    pub fn closed() -> Self {
        Self {
            entered: Arc::new(Semaphore::new(0)),
            open: Arc::new(Semaphore::new(0)),
            inside: Arc::default(),
            most: Arc::default(),
        }
    }

    pub fn handler(&self) -> gaia_actors::Endpoint {
        let gate = self.clone();
        async_fn(async move |_, _: Value| gate.pass().await)
    }

    /// Says that a run is here, and waits until the test lets it go on.
    pub async fn pass(&self) -> Result<(), TaskError> {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(inside, Ordering::SeqCst);
        let _leave = Leave(&self.inside);
        self.entered.add_permits(1);
        self.open.acquire().await?.forget();
        Ok(())
    }

    /// Waits until `count` more runs have begun.
    pub async fn entered(&self, count: u32) {
        let entered = tokio::time::timeout(PATIENCE, self.entered.acquire_many(count));
        entered.await.expect("runs begin").expect("never closed").forget();
    }

    /// Lets `count` runs end.
    pub fn let_pass(&self, count: usize) {
        self.open.add_permits(count);
    }

    pub fn inside(&self) -> usize {
        self.inside.load(Ordering::SeqCst)
    }

    /// The most that were ever inside at once.
    pub fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

struct Leave<'a>(&'a AtomicUsize);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A process of `examples/node`, killed with the test that started it.
pub struct NodeProcess(Child);

impl NodeProcess {
    /// Starts a node and waits until it takes work.
    pub fn start(database: &Database, settings: &[(&str, &str)]) -> Self {
        let mut node = Self::spawn(database, settings);
        let stdout = node.0.stdout.take().expect("is piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("speaks");
        assert_eq!(line.trim(), "ready", "the node says why on standard error");
        node
    }

    /// Starts a node without waiting for it.
    pub fn spawn(database: &Database, settings: &[(&str, &str)]) -> Self {
        let child = Command::new(example("node"))
            .env("DATABASE_URL", database.url())
            .env("EFFECTS", database.file("effects"))
            .env("JOB_EFFECTS", database.file("job_effects"))
            .env(
                "RUST_LOG",
                std::env::var("RUST_LOG").unwrap_or_else(|_| "off".to_owned()),
            )
            .env("RUST_BACKTRACE", "0")
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("starts");
        Self(child)
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.pid().to_string()])
            .status()
            .expect("kill runs");
        assert!(status.success());
    }

    /// SIGKILL, and the end of the process.
    pub fn kill(&mut self) {
        self.0.kill().expect("is ours");
        self.0.wait().expect("ends");
    }

    pub fn is_running(&mut self) -> bool {
        self.0.try_wait().expect("is ours").is_none()
    }

    /// The code with which it has ended by itself; `None` while it runs.
    pub fn code(&mut self) -> Option<i32> {
        self.0.try_wait().expect("is ours")?.code()
    }

    /// SIGTERM; the code with which it ends.
    pub fn stop(mut self) -> Option<i32> {
        self.signal("TERM");
        self.0.wait().expect("ends").code()
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the nodes of a database really did, from their `EFFECTS` file.
pub struct Effect {
    pub task_id: i64,
    pub attempt: u32,
    pub is_start: bool,
    pub millis: i64,
}

pub fn effects(database: &Database) -> Vec<Effect> {
    effects_in(&database.file("effects"))
}

/// Those of a file.
pub fn effects_in(file: &Path) -> Vec<Effect> {
    let text = std::fs::read_to_string(file).expect("nodes have run");
    let parse = |line: &str| {
        let mut fields = line.split(' ');
        let mut field = || fields.next().expect("five fields");
        let (task_id, attempt, _pid) = (field(), field(), field());
        Effect {
            task_id: task_id.parse().expect("an id"),
            attempt: attempt.parse().expect("a number"),
            is_start: field() == "start",
            millis: field().parse().expect("a time"),
        }
    };
    text.lines().map(parse).collect()
}

pub fn total(counts: &BTreeMap<TaskStatus, i64>) -> i64 {
    counts.values().sum()
}
