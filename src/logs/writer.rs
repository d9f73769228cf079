//! Lines that wait to be written: of runs that have ended in packs of many runs, of runs that go on as separate rows.
//!
//! A pack is found by the time when its runs ended, which their records have: so hundreds of runs cost one row, and no index grows with
//! each run. The actor that writes them is the node's.

use std::{
    collections::{BTreeMap, VecDeque},
    mem::take,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;

use super::stored::{Lines, compressed};
#[cfg(feature = "web")]
use super::{MESSAGE, TARGET};
#[cfg(feature = "web")]
use crate::line::beginning;

/// A run that has lines and goes on for so many looks of the actor, a second or a little more, gets separate rows.
const LIVE_AFTER: u64 = 5;

/// A pack is closed once it has so many bytes. LZ4 finds no likeness over longer distances.
const PACK: usize = 60 << 10;

/// The runs of a pack ended within this time, whichever way the clock went.
pub(crate) const PACK_SPAN: TimeDelta = TimeDelta::seconds(1);

/// The most bytes of rows that wait while the database is away. The oldest are dropped beyond that.
const MOST_WAITING: usize = 64 << 20;

/// A run whose lines are kept.
pub(super) trait LoggedRun: Send + Sync {
    /// The theme, or empty for a job.
    fn scope(&self) -> &Arc<str>;

    fn log_id(&self) -> &Arc<str>;

    /// The time by the clock of the run.
    fn now(&self) -> DateTime<Utc>;

    /// Takes the lines that can be written while the run goes on. There are none if the run has ended.
    fn take_first(&self) -> Lines;
}

/// Where a run stands in the list of runs that go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(u64);

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
    /// Compressed.
    pub(crate) content: Vec<u8>,
}

/// A row to which runs are added.
struct OpenRow {
    scope: Arc<str>,
    log_id: Option<Arc<str>>,
    first_at: DateTime<Utc>,
    last_at: DateTime<Utc>,
    content: Vec<u8>,
}

/// Runs with lines that go on, in the order in which they were listed. A run's place counts from the first run that was ever listed.
#[derive(Default)]
struct Live {
    /// `None`: the run has ended, or its lines were taken. The first one is a run.
    runs: VecDeque<Option<(u64, Arc<dyn LoggedRun>)>>,
    /// The place of the first of them.
    first: u64,
    /// How often the lines of runs were taken.
    looks: u64,
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
    packs: BTreeMap<Arc<str>, OpenRow>,
    /// Closed packs, and rows of single runs.
    rows: VecDeque<LogRow>,
    live: Live,
    /// Of the rows.
    bytes: usize,
    /// How many rows were dropped, because too much waited.
    dropped: usize,
    /// The actor knows that something waits.
    is_told: bool,
}

impl LogWriter {
    /// A run has its first line since its lines were taken.
    pub(super) fn list(&self, run: Arc<dyn LoggedRun>) -> Place {
        self.add(|waiting| waiting.live.list(run))
    }

    /// A run has ended, and has these lines left. Without a record that says when it ended, they are a separate row.
    pub(super) fn ended(
        &self,
        run: &dyn LoggedRun,
        place: Option<Place>,
        ended_at: DateTime<Utc>,
        lines: &Lines,
        is_recorded: bool,
    ) {
        if place.is_none() && lines.is_empty() {
            return;
        }
        let full = self.add(|waiting| {
            if let Some(place) = place {
                waiting.live.remove(place);
            }
            match is_recorded {
                _ if lines.is_empty() => None,
                true => waiting.pack(run, ended_at, lines),
                false => Some(OpenRow::of_run(run, ended_at, lines)),
            }
        });
        // Outside the lock: this takes some time.
        if let Some(row) = full.map(OpenRow::close) {
            self.add(|waiting| waiting.push(row));
        }
    }

    fn add<T>(&self, add: impl FnOnce(&mut Waiting) -> T) -> T {
        let mut waiting = self.waiting();
        let added = add(&mut waiting);
        let is_first = !std::mem::replace(&mut waiting.is_told, true);
        drop(waiting);
        if is_first {
            self.0.wake.notify_one();
        }
        added
    }

    /// The rows that can be written now. `all`: also the lines of runs that go on for a short time only.
    pub(crate) fn take(&self, all: bool) -> Vec<LogRow> {
        let due = self.waiting().live.take(all);
        // Outside this lock: each run has its lock.
        let live = due.into_iter().filter_map(|run| {
            let lines = run.take_first();
            (!lines.is_empty()).then(|| OpenRow::of_run(&*run, run.now(), &lines))
        });
        let mut open: Vec<OpenRow> = live.collect();
        let mut waiting = self.waiting();
        let closed = take(&mut waiting.rows);
        open.extend(take(&mut waiting.packs).into_values());
        waiting.bytes = 0;
        waiting.is_told = !waiting.live.is_empty();
        drop(waiting);
        closed.into_iter().chain(open.into_iter().map(OpenRow::close)).collect()
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

impl Live {
    fn list(&mut self, run: Arc<dyn LoggedRun>) -> Place {
        self.runs.push_back(Some((self.looks, run)));
        Place(self.first + self.runs.len() as u64 - 1)
    }

    fn remove(&mut self, Place(place): Place) {
        let at = place.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        if let Some(run) = at.and_then(|at| self.runs.get_mut(at)) {
            *run = None;
        }
        self.trim();
    }

    /// Takes the runs that were there at the last [`LIVE_AFTER`] looks. `all`: all of them.
    fn take(&mut self, all: bool) -> Vec<Arc<dyn LoggedRun>> {
        self.looks += 1;
        let mut due = Vec::new();
        while let Some(Some((listed, run))) = self.runs.front()
            && (all || self.looks - listed >= LIVE_AFTER)
        {
            due.push(Arc::clone(run));
            self.runs[0] = None;
            self.trim();
        }
        due
    }

    fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    fn trim(&mut self) {
        while let Some(None) = self.runs.front() {
            self.runs.pop_front();
            self.first += 1;
        }
    }
}

impl Waiting {
    /// Adds a run to the pack of its scope. If that one is full, it is the answer, and a new one begins.
    fn pack(&mut self, run: &dyn LoggedRun, ended_at: DateTime<Utc>, lines: &Lines) -> Option<OpenRow> {
        if let Some(pack) = self.packs.get_mut(&**run.scope()).filter(|pack| pack.takes(ended_at)) {
            pack.add(run, ended_at, lines);
            return None;
        }
        let mut pack = OpenRow::new(run, None, ended_at);
        pack.add(run, ended_at, lines);
        self.packs.insert(Arc::clone(run.scope()), pack)
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

/// The row of lines that a remote worker has logged in one run. `None`: there are none.
#[cfg(feature = "web")]
pub(crate) fn row_of(
    scope: Arc<str>,
    log_id: Arc<str>,
    target: &str,
    lines: impl Iterator<Item = (DateTime<Utc>, log::Level, String)>,
) -> Option<LogRow> {
    let (mut kept, mut first_at, mut last_at) = (Lines::default(), None, None);
    for (at, level, message) in lines {
        let message = beginning(&message, MESSAGE);
        kept.add(at.timestamp_micros(), level, beginning(target, TARGET), message, 0);
        first_at = first_at.min(Some(at)).or(Some(at));
        last_at = last_at.max(Some(at));
    }
    let mut row = Vec::new();
    kept.append_to(&mut row, &log_id);
    Some(LogRow {
        id: uuid::Uuid::now_v7().simple().to_string(),
        scope,
        log_id: Some(log_id),
        first_at: first_at?,
        last_at: last_at?,
        content: compressed(&row),
    })
}

impl OpenRow {
    fn new(run: &dyn LoggedRun, log_id: Option<Arc<str>>, at: DateTime<Utc>) -> Self {
        Self {
            scope: Arc::clone(run.scope()),
            log_id,
            first_at: at,
            last_at: at,
            content: Vec::new(),
        }
    }

    /// A row of one run alone.
    fn of_run(run: &dyn LoggedRun, at: DateTime<Utc>, lines: &Lines) -> Self {
        let mut row = Self::new(run, Some(Arc::clone(run.log_id())), at);
        row.add(run, at, lines);
        row
    }

    fn takes(&self, at: DateTime<Utc>) -> bool {
        let span = self.last_at.max(at) - self.first_at.min(at);
        self.content.len() < PACK && span <= PACK_SPAN
    }

    fn add(&mut self, run: &dyn LoggedRun, at: DateTime<Utc>, lines: &Lines) {
        self.first_at = self.first_at.min(at);
        self.last_at = self.last_at.max(at);
        lines.append_to(&mut self.content, run.log_id());
    }

    fn close(self) -> LogRow {
        LogRow {
            id: uuid::Uuid::now_v7().simple().to_string(),
            scope: self.scope,
            log_id: self.log_id,
            first_at: self.first_at,
            last_at: self.last_at,
            content: compressed(&self.content),
        }
    }
}
