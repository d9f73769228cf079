//! A client that never lets the backlog run out, and remembers what it was promised.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use gaia_actors::prelude::*;
use serde_json::json;

use crate::{
    cluster::{Setup, now},
    effects::Effects,
    interrupt::within,
    jobs, limited,
    sql::Database,
};

pub const THEME: &str = "demo";

const BATCH: usize = 100;

/// One of so many tasks is of a method of which two run at once.
const LIMITED: usize = 33;

/// With one of so many additions come a batch of tasks and its callback.
const BATCHED: usize = 10;
const SIZE: usize = 10;

/// One of so many tasks may run only once.
const ONCE: usize = 20;

/// No answer for so long is none.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the client has seen.
#[derive(Default)]
pub struct Fed {
    /// Tasks whose addition was acknowledged, with the time of that in milliseconds. An id may be given again if the database has
    /// forgotten it.
    pub acknowledged: HashMap<i64, i64>,
    /// What was said of additions that failed. Whether their tasks exist is not known.
    pub errors: BTreeSet<String>,
}

pub struct Feeder {
    enough: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    #[cfg_attr(
        not(any(feature = "postgres", feature = "mysql")),
        expect(dead_code, reason = "only faults of servers pause it")
    )]
    pause: Arc<Pause>,
    fed: Arc<Mutex<Fed>>,
    /// Taken when it is waited for.
    thread: Option<JoinHandle<()>>,
}

/// A time in which nothing is added.
#[derive(Default)]
struct Pause {
    is_wanted: AtomicBool,
    is_there: AtomicBool,
}

fn new(at: usize) -> NewTask {
    match at.is_multiple_of(LIMITED) {
        true => limited::task(at / LIMITED),
        false => sleep(at),
    }
}

/// A task of 50 ms in the mean. Were all the same, workers would end in step, and a window hold 19 rounds or 20.
fn sleep(at: usize) -> NewTask {
    let ms = fastrand::u64(40..=60);
    // A killed run is a lost attempt: enough of them for anybody's luck, and no long waits.
    let max_retry = if at.is_multiple_of(ONCE) { 0 } else { 1_000 };
    NewTask::new("Demo", "Sleep")
        .args(&json!({ "ms": ms }))
        .max_retry(max_retry)
        .retry_delay(Duration::from_millis(100))
}

impl Feeder {
    /// Returns when the first tasks wait.
    pub fn start(database: &Database, setup: &Setup, effects: Arc<Mutex<Effects>>) -> Self {
        let mut builder = limited::limit(Gaia::builder().database(&database.url).arbiters(1));
        if let Some(lease) = setup.lease {
            builder = builder.lease(lease);
        }
        let (enough, over) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let (fed, pause) = (Arc::<Mutex<Fed>>::default(), Arc::<Pause>::default());
        let feed = Feed {
            enough: Arc::clone(&enough),
            over: Arc::clone(&over),
            pause: Arc::clone(&pause),
            fed: Arc::clone(&fed),
            effects,
            backlog: setup.backlog,
        };
        let thread = thread::spawn(move || {
            actix_rt::System::new().block_on(async {
                let client = builder.start().await.expect("the client starts");
                jobs::add(&client.jobs()).await;
                feed.run(&client.scheduler(THEME).expect("is a theme")).await;
                client.stop().await.expect("the client stops");
            });
        });
        let feeder = Self {
            enough,
            over,
            pause,
            fed,
            thread: Some(thread),
        };
        let has_begun = || acknowledged(&feeder.fed) > 0;
        let begun = within(PATIENCE, || (has_begun() || !feeder.is_alive()).then(has_begun));
        assert_eq!(begun, Some(true), "the client adds nothing");
        feeder
    }

    /// Adds no more. The client stays: it is a node that takes over what dead ones held.
    pub fn stop_adding(&self) {
        self.enough.store(true, Ordering::SeqCst);
    }

    pub fn finish(&mut self) -> Fed {
        self.stop_adding();
        self.over.store(true, Ordering::SeqCst);
        let thread = self.thread.take().expect("is waited for once");
        thread.join().expect("the client does not panic");
        std::mem::take(&mut *self.fed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds nothing while `strike` runs, and has no addition under way.
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    pub fn paused<T>(&self, strike: impl FnOnce() -> T) -> T {
        self.pause.is_wanted.store(true, Ordering::SeqCst);
        let is_there = || self.pause.is_there.load(Ordering::SeqCst).then_some(());
        within(PATIENCE * 2, is_there).expect("each addition has its answer");
        let done = strike();
        self.pause.is_wanted.store(false, Ordering::SeqCst);
        done
    }

    /// Forgets acknowledged tasks; answers with the times of these.
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    pub fn forget(&self, is_gone: impl Fn(i64) -> bool) -> Vec<i64> {
        let mut fed = self.fed.lock().expect("nobody panics with it");
        let gone = fed.acknowledged.extract_if(|id, _| is_gone(*id));
        gone.map(|(_, millis)| millis).collect()
    }

    pub fn is_alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

/// A fault that failed half-way must not leave a client to the next one.
impl Drop for Feeder {
    fn drop(&mut self) {
        self.stop_adding();
        self.over.store(true, Ordering::SeqCst);
    }
}

/// The feeder's side on its thread.
struct Feed {
    enough: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    pause: Arc<Pause>,
    fed: Arc<Mutex<Fed>>,
    effects: Arc<Mutex<Effects>>,
    backlog: usize,
}

impl Feed {
    async fn run(&self, demo: &Scheduler) {
        let mut rounds: usize = 0;
        while !self.enough.load(Ordering::SeqCst) {
            let is_paused = self.pause.is_wanted.load(Ordering::SeqCst);
            self.pause.is_there.store(is_paused, Ordering::SeqCst);
            if is_paused || self.ahead() >= self.backlog {
                actix_rt::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
            rounds += 1;
            let added = tokio::time::timeout(PATIENCE, add(demo, rounds.is_multiple_of(BATCHED))).await;
            let added = added.unwrap_or_else(|_| panic!("an addition gave no answer within {PATIENCE:?}"));
            let failed = added.is_err();
            self.note(added);
            if failed {
                actix_rt::time::sleep(Duration::from_millis(100)).await;
            }
        }
        while !self.over.load(Ordering::SeqCst) {
            actix_rt::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn note(&self, added: Result<Vec<gaia_actors::AddedTask>, Error>) {
        let mut fed = self.fed.lock().expect("nobody panics with it");
        match added {
            Ok(added) => fed.acknowledged.extend(added.iter().map(|added| (added.id, now()))),
            Err(error) => {
                fed.errors.insert(error.to_string());
            }
        }
    }

    fn ahead(&self) -> usize {
        let mut effects = self.effects.lock().expect("nobody panics with it");
        effects.refresh();
        acknowledged(&self.fed).saturating_sub(effects.ended())
    }
}

async fn add(demo: &Scheduler, is_batch: bool) -> Result<Vec<gaia_actors::AddedTask>, Error> {
    if !is_batch {
        return demo.add_tasks((0..BATCH).map(new).collect()).await;
    }
    // Its callback must run, whatever becomes of the tasks: no task but this one waits for it.
    let batch = demo.add_batch((0..SIZE).map(sleep).collect(), sleep(1)).await?;
    let callback = gaia_actors::AddedTask {
        id: batch.id,
        duplicate: false,
    };
    Ok(batch.tasks.into_iter().chain([callback]).collect())
}

fn acknowledged(fed: &Mutex<Fed>) -> usize {
    fed.lock().expect("nobody panics with it").acknowledged.len()
}
