//! The rows of remote workers in `gaia_nodes`: operators see the workers there, and nodes see which methods are served.
//!
//! A row says no more than that the worker has been heard of. The tasks of the worker depend on the leases of their claims alone.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
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

/// Signs of life are noted so often in the length of a lease.
const BEATS: u32 = 4;

/// Beyond so many workers, those that have not been heard of for long are forgotten here. Their rows are removed by nodes.
const MOST: usize = 1_000;
const LONG: Duration = Duration::from_secs(3_600);

/// The workers that this process has heard of. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Workers(Arc<Mutex<HashMap<String, Worker>>>);

#[derive(Debug)]
struct Worker {
    /// How many tasks it takes at once, by theme.
    themes: BTreeMap<String, usize>,
    methods: BTreeSet<MethodName>,
    lease: Duration,
    /// When its row was written last.
    noted: Option<Instant>,
    heard: Instant,
    /// How many runs it had when it named all of them last.
    running: usize,
}

impl Workers {
    /// A worker asks for tasks. Makes its row, or has it say that the worker lives, if the row does not say so already.
    pub(super) async fn asks(
        &self,
        store: &Store,
        id: &str,
        (theme, methods, count): (&str, &[MethodName], usize),
        lease: Duration,
    ) -> Result<(), StoreError> {
        let row = {
            let mut workers = self.workers();
            forget_some(&mut workers);
            let worker = workers.entry(id.to_owned()).or_insert_with(Worker::new);
            worker.heard = Instant::now();
            worker.lease = lease.max(SHORTEST);
            let known = worker.methods.len() + worker.themes.len();
            worker.methods.extend(methods.iter().cloned());
            let most = worker.themes.entry(theme.to_owned()).or_default();
            *most = count.max(*most);
            let is_new = worker.methods.len() + worker.themes.len() > known;
            worker.row_if_due(id, is_new)
        };
        let Some(row) = row else { return Ok(()) };
        if store.cluster().beat(&row).await? == Beat::Alive {
            return Ok(());
        }
        match store.cluster().register_node(&row).await {
            // Another process has been quicker.
            Err(StoreError::Duplicate(_)) => Ok(()),
            made => made,
        }
    }

    /// A worker names the runs that it has.
    pub(super) async fn holds(&self, store: &Store, id: &str, runs: usize) -> Result<(), StoreError> {
        let known = self.workers().get_mut(id).map(|worker| {
            (worker.heard, worker.running) = (Instant::now(), runs);
            worker.row_if_due(id, false)
        });
        match known {
            Some(Some(row)) => store.cluster().beat(&row).await.map(drop),
            Some(None) => Ok(()),
            // After a restart of this process the worker's themes are not known here before it asks for tasks again.
            None => store.cluster().note_alive(id, number()).await,
        }
    }

    fn workers(&self) -> MutexGuard<'_, HashMap<String, Worker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forget_some(workers: &mut HashMap<String, Worker>) {
    if workers.len() >= MOST {
        workers.retain(|_, worker| worker.heard.elapsed() < LONG);
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
            methods: BTreeSet::new(),
            lease: SHORTEST,
            noted: None,
            heard: Instant::now(),
            running: 0,
        }
    }

    /// Its row, if it must be written: the worker is new, has new methods, or its row was written a while ago.
    fn row_if_due(&mut self, id: &str, is_new: bool) -> Option<NodeRow> {
        let is_due = self.noted.is_none_or(|noted| noted.elapsed() >= self.lease / BEATS);
        (is_due || is_new).then(|| {
            self.noted = Some(Instant::now());
            self.row(id)
        })
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
            methods: methods_column(self.methods.iter().cloned().collect()),
            protocol: PROTOCOL,
        }
    }
}
