//! Lines that wait to be written: of runs that have ended in packs of many runs, of runs that go on as separate rows.
//!
//! A pack is found by the time when its runs ended, which their records have: so hundreds of runs cost one row, and no index grows with
//! each run. The actor that writes them is the node's.

use std::{
    collections::{BTreeMap, VecDeque},
    mem::take,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use tokio::sync::Notify;

/// A run that has lines and goes on for so long gets separate rows.
const LIVE_AFTER: Duration = Duration::from_secs(1);

/// A pack is closed once it has so many bytes.
const PACK: usize = 256 << 10;

/// The most bytes that wait while the database is away. The oldest are dropped beyond that.
const MOST_WAITING: usize = 64 << 20;

/// A run whose lines are kept.
pub(super) trait LoggedRun: Send + Sync {
    /// The theme, or empty for a job.
    fn scope(&self) -> &Arc<str>;

    fn log_id(&self) -> &Arc<str>;

    /// The time by the clock of the run.
    fn now(&self) -> DateTime<Utc>;

    /// Takes the lines that can be written while the run goes on. `None`: there are none, or the run has ended.
    fn take_first(&self) -> Option<String>;
}

/// A row of `gaia_run_logs`.
#[derive(Debug, Clone)]
pub(crate) struct LogRow {
    /// Ids of one process rise.
    pub(crate) id: String,
    /// The theme, or empty for jobs.
    pub(crate) scope: Arc<str>,
    /// `None`: a pack of runs that ended between `first_at` and `last_at`.
    pub(crate) log_id: Option<Arc<str>>,
    pub(crate) first_at: DateTime<Utc>,
    pub(crate) last_at: DateTime<Utc>,
    pub(crate) content: String,
}

/// The way from runs to the actor that writes the lines of their process. Cloning is cheap.
#[derive(Clone, Default)]
pub(crate) struct LogWriter(Arc<Shared>);

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// Something waits, and nothing did before.
    wake: Notify,
}

#[derive(Default)]
struct Waiting {
    /// The open pack of each scope.
    packs: BTreeMap<Arc<str>, LogRow>,
    /// Closed packs, and rows of single runs.
    rows: VecDeque<LogRow>,
    /// Runs with lines that go on, in the order in which they were listed.
    live: VecDeque<(Instant, Arc<dyn LoggedRun>)>,
    bytes: usize,
    /// How many rows were dropped, because too much waited.
    dropped: usize,
    /// The actor knows that something waits.
    is_told: bool,
}

impl LogWriter {
    /// A run has its first line since its last look.
    pub(super) fn list(&self, run: Arc<dyn LoggedRun>) {
        self.add(|waiting| waiting.live.push_back((Instant::now(), run)));
    }

    /// The lines that were left when a run ended. Without a record that says when it ended, they are a separate row.
    pub(super) fn ended(&self, run: &dyn LoggedRun, ended_at: DateTime<Utc>, text: &str, is_recorded: bool) {
        self.add(|waiting| match is_recorded {
            true => waiting.pack(run.scope(), ended_at, text),
            false => waiting.push(row_of(run, ended_at, text.to_owned())),
        });
    }

    fn add(&self, add: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.waiting();
        add(&mut waiting);
        let is_first = !std::mem::replace(&mut waiting.is_told, true);
        drop(waiting);
        if is_first {
            self.0.wake.notify_one();
        }
    }

    /// The rows that can be written now. `all`: also the lines of runs that go on for a short time only.
    pub(crate) fn take(&self, all: bool) -> Vec<LogRow> {
        let due = self.waiting().take_live(all);
        // Outside this lock: each run has its lock.
        let live = due
            .iter()
            .filter_map(|run| Some(row_of(&**run, run.now(), run.take_first()?)));
        let mut rows: Vec<LogRow> = live.collect();
        let mut waiting = self.waiting();
        rows.extend(take(&mut waiting.rows));
        rows.extend(take(&mut waiting.packs).into_values());
        waiting.bytes = 0;
        waiting.is_told = !waiting.live.is_empty();
        rows
    }

    /// Completes when something waits.
    pub(crate) async fn has_work(&self) {
        if !self.waiting().is_told {
            self.0.wake.notified().await;
        }
    }

    /// Rows that could not be written wait before the others.
    pub(crate) fn put_back(&self, rows: Vec<LogRow>) {
        let mut waiting = self.waiting();
        waiting.bytes += rows.iter().map(|row| row.content.len()).sum::<usize>();
        for row in rows.into_iter().rev() {
            waiting.rows.push_front(row);
        }
        waiting.is_told = true;
        waiting.drop_oldest();
    }

    /// How many rows were dropped since the last call.
    pub(crate) fn take_dropped(&self) -> usize {
        take(&mut self.waiting().dropped)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// The runs that have been listed for long enough.
    fn take_live(&mut self, all: bool) -> Vec<Arc<dyn LoggedRun>> {
        let now = Instant::now();
        let is_due = |(since, _): &(Instant, _)| all || now.saturating_duration_since(*since) >= LIVE_AFTER;
        let due = self.live.iter().take_while(|listed| is_due(listed)).count();
        self.live.drain(..due).map(|(_, run)| run).collect()
    }

    fn pack(&mut self, scope: &Arc<str>, at: DateTime<Utc>, text: &str) {
        let pack = self.packs.entry(Arc::clone(scope)).or_insert_with(|| LogRow {
            id: new_id(),
            scope: Arc::clone(scope),
            log_id: None,
            first_at: at,
            last_at: at,
            content: String::new(),
        });
        pack.first_at = pack.first_at.min(at);
        pack.last_at = pack.last_at.max(at);
        pack.content.push_str(text);
        self.bytes += text.len();
        if pack.content.len() >= PACK {
            let full = self.packs.remove(scope);
            self.rows.extend(full);
        }
        self.drop_oldest();
    }

    fn push(&mut self, row: LogRow) {
        self.bytes += row.content.len();
        self.rows.push_back(row);
        self.drop_oldest();
    }

    fn drop_oldest(&mut self) {
        while self.bytes > MOST_WAITING {
            let Some(row) = self.rows.pop_front() else {
                return;
            };
            self.bytes -= row.content.len();
            self.dropped += 1;
        }
    }
}

fn row_of(run: &dyn LoggedRun, at: DateTime<Utc>, content: String) -> LogRow {
    LogRow {
        id: new_id(),
        scope: Arc::clone(run.scope()),
        log_id: Some(Arc::clone(run.log_id())),
        first_at: at,
        last_at: at,
        content,
    }
}

fn new_id() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}
