//! The rows of remote workers in `gaia_nodes`: operators see the workers there, and nodes see which methods are served.
//!
//! A row says no more than that the worker has been heard of. The tasks of the worker depend on the leases of their claims alone.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    node::{NodeTheme, methods_column},
    registry::MethodName,
    store::{Beat, NodeRow, PROTOCOL, Store, StoreError},
};

/// The row of a worker with a shorter lease has this one, so that a worker that pauses for a moment does not come and go.
const SHORTEST: Duration = Duration::from_secs(15);

/// Signs of life are noted so often in the length of a lease, and not less often than in this time.
const BEATS: u32 = 4;
const OFTEN: Duration = Duration::from_secs(5);

/// A worker that has not asked for a method for so long does not serve it any more.
const SERVES: Duration = Duration::from_secs(120);

/// The most workers that one process knows: each has a row, which every node reads with each heartbeat.
const MOST: usize = 1_000;

/// The workers that this process has heard of. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Workers(Arc<Mutex<HashMap<String, Worker>>>);

#[derive(Debug)]
struct Worker {
    /// How many tasks it takes at once, by theme. None: this process has not heard it ask for tasks.
    themes: BTreeMap<String, usize>,
    /// When it has asked for tasks of these methods.
    methods: BTreeMap<MethodName, Instant>,
    lease: Duration,
    /// When its row was written last.
    noted: Option<Instant>,
    heard: Instant,
    /// How many runs it had when it named all of them last.
    running: usize,
}

/// What a worker asks for.
pub(super) struct Wish<'a> {
    pub(super) theme: &'a str,
    pub(super) methods: &'a [MethodName],
    pub(super) count: usize,
    pub(super) lease: Duration,
}

impl Workers {
    /// Whether this process may get to know one more worker of this name.
    pub(super) fn has_room(&self, id: &str) -> bool {
        let mut workers = self.workers();
        if workers.len() >= MOST {
            workers.retain(|_, worker| worker.heard.elapsed() < worker.lease);
        }
        workers.len() < MOST || workers.contains_key(id)
    }

    /// A worker asks for tasks. Makes its row, or has it say that the worker lives, if the row does not say so already.
    pub(super) async fn asks(&self, store: &Store, id: &str, wish: Wish<'_>) -> Result<(), StoreError> {
        let row = self
            .workers()
            .entry(id.to_owned())
            .or_insert_with(Worker::new)
            .asks(id, &wish);
        let Some(row) = row else { return Ok(()) };
        if store.cluster().beat(&row).await? != Beat::Alive {
            match store.cluster().register_node(&row).await {
                // Another process has been quicker.
                Ok(()) | Err(StoreError::Duplicate(_)) => {}
                Err(error) => return Err(error),
            }
        }
        self.noted(id);
        Ok(())
    }

    /// A worker names the runs that it has.
    pub(super) async fn holds(&self, store: &Store, id: &str, runs: usize) -> Result<(), StoreError> {
        if !self.has_room(id) {
            return Ok(());
        }
        let (row, is_known) = {
            let mut workers = self.workers();
            let worker = workers.entry(id.to_owned()).or_insert_with(Worker::new);
            (worker.heard, worker.running) = (Instant::now(), runs);
            (worker.is_due().then(|| worker.row(id)), !worker.themes.is_empty())
        };
        match row {
            None => return Ok(()),
            Some(row) if is_known => drop(store.cluster().beat(&row).await?),
            // After a restart of this process the worker's themes are not known here before it asks for tasks again. A service has no row.
            Some(row) => store.cluster().note_alive(id, row.beat).await?,
        }
        self.noted(id);
        Ok(())
    }

    /// The worker's row is written.
    fn noted(&self, id: &str) {
        if let Some(worker) = self.workers().get_mut(id) {
            worker.noted = Some(Instant::now());
        }
    }

    fn workers(&self) -> MutexGuard<'_, HashMap<String, Worker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number that no beat of the worker had before, whichever process has noted it.
fn number() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

impl Worker {
    fn new() -> Self {
        Self {
            themes: BTreeMap::new(),
            methods: BTreeMap::new(),
            lease: SHORTEST,
            noted: None,
            heard: Instant::now(),
            running: 0,
        }
    }

    /// Its row, if it must be written: the worker is new, has new methods, or its row was written a while ago.
    fn asks(&mut self, id: &str, wish: &Wish<'_>) -> Option<NodeRow> {
        let now = Instant::now();
        (self.heard, self.lease) = (now, wish.lease.max(SHORTEST));
        let mut is_new = self.themes.insert(wish.theme.to_owned(), wish.count) != Some(wish.count);
        for method in wish.methods {
            is_new |= match self.methods.get_mut(method) {
                Some(asked) => std::mem::replace(asked, now).elapsed() >= SERVES,
                None => self.methods.insert(method.clone(), now).is_none(),
            };
        }
        self.methods.retain(|_, asked| asked.elapsed() < SERVES);
        (is_new || self.is_due()).then(|| self.row(id))
    }

    fn is_due(&self) -> bool {
        let pause = (self.lease / BEATS).min(OFTEN);
        self.noted.is_none_or(|noted| noted.elapsed() >= pause)
    }

    fn row(&self, id: &str) -> NodeRow {
        let only = self.themes.len() == 1;
        let theme = |(theme, workers): (&String, &usize)| NodeTheme {
            theme: theme.clone(),
            workers: *workers,
            // The runs of a worker of many themes are not told apart.
            running: if only { self.running } else { 0 },
        };
        let themes: Vec<NodeTheme> = self.themes.iter().map(theme).collect();
        NodeRow {
            id: id.to_owned(),
            host: "remote".to_owned(),
            pid: 0,
            version: "remote".to_owned(),
            beat: number(),
            lease_ms: i64::try_from(self.lease.as_millis()).unwrap_or(i64::MAX),
            themes: serde_json::to_string(&themes).unwrap_or_default(),
            methods: methods_column(self.methods.keys().cloned().collect()),
            protocol: PROTOCOL,
        }
    }
}
