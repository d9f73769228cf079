//! Counts of what ended in this process, until they are in the database.
//!
//! `Events` gives each event to the [`Tally`], which counts in *buckets* of 10 s. The node writes closed buckets with its heartbeats. Each row
//! is written once and never changed: ends that come later into the same bucket make another row, and whoever reads adds up the rows. So it
//! does no harm if the clock is set back, or if a last bucket is written before its time is over.

mod names;
mod totals;

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chrono::DateTime;

pub(super) use self::names::Names;
pub(crate) use self::names::OTHER;
pub(crate) use self::totals::Totals;
use super::{
    Event,
    job::{JobEnded, JobRetried},
    task::{TaskEnded, TaskOutcome},
};
use crate::{
    clock::Clock,
    domain::{Figures, HistoryKind, HistoryRow, RunFlag, SHORTEST_SPAN, Series, TaskStatus},
};

/// The most rows in one write.
const BATCH: usize = 500;

/// The most counted methods, summed over all buckets, that wait in memory while the database is away (some 4 MB). If there are more, the
/// oldest bucket is added to the one after it: then its ends count as later than they were, and none is lost.
const MOST_WAITING: usize = 10_000;

/// The methods and the jobs that a process counts by name in one hour; further ones count together.
pub(super) const MOST_METHODS: usize = 500;
pub(super) const MOST_JOBS: usize = 200;

/// Counts what ended in this process. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Tally(Arc<Shared>);

struct Shared {
    clock: Clock,
    counts: Mutex<Counts>,
}

struct Counts {
    /// By the beginning of the bucket, in seconds since 1970.
    buckets: BTreeMap<i64, HashMap<Arc<Series>, Figures>>,
    /// How many counted methods the buckets have together.
    waiting: usize,
    methods: Names,
    jobs: Names,
    /// The hour since 1970 to which the names belong.
    hour: i64,
    /// What has left the buckets since this process began.
    totals: Totals,
    /// Rows that are on their way to the database. If it is not known whether a write was done, the same rows are written again.
    batch: Option<Arc<Vec<HistoryRow>>>,
}

impl std::fmt::Debug for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tally").finish_non_exhaustive()
    }
}

impl Tally {
    pub(crate) fn new(clock: Clock) -> Self {
        Self(Arc::new(Shared {
            clock,
            counts: Mutex::new(Counts {
                buckets: BTreeMap::new(),
                waiting: 0,
                methods: Names::new(HistoryKind::Task, MOST_METHODS),
                jobs: Names::new(HistoryKind::Job, MOST_JOBS),
                hour: 0,
                totals: Totals::default(),
                batch: None,
            }),
        }))
    }

    /// Counts an event, if it says that something ended.
    pub(crate) fn note(&self, event: &Event) {
        match event {
            Event::TaskEnded(ended) => self.note_task(ended),
            Event::JobEnded(ended) => self.note_job(ended),
            Event::JobRetried(retried) => self.note_retry(retried),
            Event::TasksRescued { theme, tasks } => {
                self.count(HistoryKind::Task, [theme, "", ""], |figures| figures.lost += tasks);
            }
            Event::JobRunsLost { runs } => {
                let runs = u64::try_from(*runs).unwrap_or(u64::MAX);
                self.count(HistoryKind::Job, ["", "", ""], |figures| figures.lost += runs);
            }
            _ => {}
        }
    }

    fn note_task(&self, ended: &TaskEnded) {
        let Some(status) = ended.status else { return };
        let is_given_back = matches!(ended.outcome, TaskOutcome::HandedBack | TaskOutcome::NotServed);
        if is_given_back && !status.is_finished() {
            return;
        }
        let run = &ended.run;
        self.count(HistoryKind::Task, [&run.theme, &run.service, &run.method], |figures| {
            match (status, ended.outcome) {
                (TaskStatus::Success, _) => figures.succeeded += 1,
                (TaskStatus::Failed, _) => figures.failed += 1,
                (TaskStatus::Cancelled, _) => figures.cancelled += 1,
                (_, TaskOutcome::Snoozed) => figures.snoozed += 1,
                _ => figures.retried += 1,
            }
            if let Some(waited) = ended.waited {
                figures.waited.note(waited);
                figures.ran.note(ended.ran);
            }
        });
    }

    fn note_job(&self, ended: &JobEnded) {
        if !ended.recorded || ended.flag == RunFlag::Skipped {
            return;
        }
        let run = &ended.run;
        let name = run.job_name.as_deref().unwrap_or_default();
        let (service, method) = (run.service.as_deref(), run.method.as_deref());
        let names = [name, service.unwrap_or_default(), method.unwrap_or_default()];
        self.count(HistoryKind::Job, names, |figures| {
            match ended.flag {
                RunFlag::Success => figures.succeeded += 1,
                RunFlag::Failed => figures.failed += 1,
                RunFlag::Cancelled => figures.cancelled += 1,
                RunFlag::Skipped => {}
            }
            if let Some(waited) = ended.waited {
                figures.waited.note(waited);
            }
            if let Some(ran) = ended.ran {
                figures.ran.note(ran);
            }
        });
    }

    fn note_retry(&self, retried: &JobRetried) {
        let run = &retried.run;
        let name = run.job_name.as_deref().unwrap_or_default();
        let (service, method) = (run.service.as_deref(), run.method.as_deref());
        let names = [name, service.unwrap_or_default(), method.unwrap_or_default()];
        self.count(HistoryKind::Job, names, |figures| figures.retried += 1);
    }

    fn count(&self, kind: HistoryKind, names: [&str; 3], add: impl FnOnce(&mut Figures)) {
        let now = self.now();
        let mut counts = self.counts();
        let series = counts.series(kind, names, now);
        add(counts.figures(now, series));
        counts.limit();
    }

    /// The rows to write next: those of the write before, if it was not [`written`](Self::written), or of up to 500 methods of closed
    /// buckets. `with_open`: of the open bucket, too. `None`: there is nothing to write.
    pub(crate) fn next_batch(&self, with_open: bool) -> Option<Arc<Vec<HistoryRow>>> {
        let now = self.now();
        let mut counts = self.counts();
        if counts.batch.is_none() {
            let rows = counts.take(now, with_open);
            counts.batch = (!rows.is_empty()).then(|| Arc::new(rows));
        }
        counts.batch.clone()
    }

    /// Notes that the database has these rows.
    pub(crate) fn written(&self, batch: &Arc<Vec<HistoryRow>>) {
        let mut counts = self.counts();
        counts.batch.take_if(|waiting| Arc::ptr_eq(waiting, batch));
    }

    /// All that was counted since this process began, by method and by job.
    pub(crate) fn totals(&self) -> Totals {
        let counts = self.counts();
        let mut totals = counts.totals.clone();
        for (series, figures) in counts.buckets.values().flatten() {
            totals.add(series, figures);
        }
        totals
    }

    #[cfg(feature = "web")]
    pub(super) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    fn now(&self) -> i64 {
        self.0.clock.now().timestamp()
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn series(&mut self, kind: HistoryKind, names: [&str; 3], now: i64) -> Arc<Series> {
        let hour = now.div_euclid(3_600);
        if self.hour != hour {
            self.hour = hour;
            self.methods.forget();
            self.jobs.forget();
        }
        match kind {
            HistoryKind::Task => self.methods.get(names),
            HistoryKind::Job => self.jobs.get(names),
        }
    }

    fn figures(&mut self, now: i64, series: Arc<Series>) -> &mut Figures {
        let bucket = self.buckets.entry(bucket_of(now)).or_default();
        match bucket.entry(series) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                self.waiting += 1;
                new.insert(Figures::default())
            }
        }
    }

    fn limit(&mut self) {
        while self.waiting > MOST_WAITING && self.buckets.len() > 1 {
            let Some((_, oldest)) = self.buckets.pop_first() else {
                return;
            };
            self.waiting -= oldest.len();
            let Some(mut next) = self.buckets.first_entry() else {
                return;
            };
            let next = next.get_mut();
            let before = next.len();
            for (series, figures) in oldest {
                next.entry(series).or_default().add(&figures);
            }
            self.waiting += next.len() - before;
        }
    }

    /// Takes the rows of one batch, the oldest first. A bucket that begins after this time is closed, too: the clock was set back.
    fn take(&mut self, now: i64, with_open: bool) -> Vec<HistoryRow> {
        let mut rows = Vec::new();
        let open = bucket_of(now);
        let is_closed = |at: i64| with_open || at != open;
        let closed: Vec<i64> = self.buckets.keys().copied().filter(|at| is_closed(*at)).collect();
        for at in closed {
            let Some(bucket) = self.buckets.get_mut(&at) else {
                continue;
            };
            let taken: Vec<Arc<Series>> = bucket.keys().take(BATCH - rows.len()).cloned().collect();
            for series in taken {
                let Some(figures) = bucket.remove(&series) else {
                    continue;
                };
                self.totals.add(&series, &figures);
                rows.push(HistoryRow {
                    at: DateTime::from_timestamp(at, 0).unwrap_or_default(),
                    number: fastrand::i64(0..),
                    series: Arc::unwrap_or_clone(series),
                    figures,
                });
            }
            if bucket.is_empty() {
                self.buckets.remove(&at);
            }
            if rows.len() >= BATCH {
                break;
            }
        }
        self.waiting -= rows.len();
        rows
    }
}

fn bucket_of(now: i64) -> i64 {
    now.div_euclid(SHORTEST_SPAN) * SHORTEST_SPAN
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BUCKET: Duration = Duration::from_secs(SHORTEST_SPAN.unsigned_abs());

    fn tally() -> (Clock, Tally) {
        let clock = Clock::manual(DateTime::from_timestamp(1_767_225_600, 0).expect("is a time"));
        (clock.clone(), Tally::new(clock))
    }

    fn lose(tally: &Tally, theme: &str) {
        tally.note(&Event::TasksRescued {
            theme: theme.into(),
            tasks: 1,
        });
    }

    fn lost(batch: Option<&Arc<Vec<HistoryRow>>>) -> u64 {
        batch.map_or(0, |rows| rows.iter().map(|row| row.figures.lost).sum())
    }

    #[test]
    fn a_bucket_is_written_once_it_is_closed_and_again_until_it_is_known_to_be_written() {
        let (clock, tally) = tally();
        lose(&tally, "a");
        assert!(tally.next_batch(false).is_none());
        clock.advance(BUCKET);
        lose(&tally, "a");
        let first = tally.next_batch(false);
        assert_eq!(lost(first.as_ref()), 1);
        let again = tally.next_batch(true);
        let number = |batch: &Option<Arc<Vec<HistoryRow>>>| batch.as_ref().map(|rows| rows[0].number);
        assert_eq!(number(&first), number(&again));
        tally.written(&again.expect("waits"));
        assert!(tally.next_batch(false).is_none());
        let open = tally.next_batch(true);
        assert_eq!(lost(open.as_ref()), 1);
        assert_ne!(number(&first), number(&open));
    }

    #[cfg(feature = "web")]
    #[test]
    fn totals_are_the_same_before_and_after_a_write_and_their_names_are_limited() {
        let (clock, tally) = tally();
        let totals = |tally: &Tally| {
            let totals = tally.totals();
            let lost: Vec<u64> = totals.of(HistoryKind::Task).map(|(_, figures)| figures.lost).collect();
            (lost.len(), lost.iter().sum::<u64>())
        };
        lose(&tally, "a");
        assert_eq!(totals(&tally), (1, 1));
        let batch = tally.next_batch(true).expect("has a row");
        assert_eq!(totals(&tally), (1, 1));
        tally.written(&batch);
        lose(&tally, "a");
        assert_eq!(totals(&tally), (1, 2));
        for hour in 0..3 {
            for theme in 0..400 {
                lose(&tally, &format!("{hour} {theme}"));
            }
            clock.advance(Duration::from_secs(3_600));
        }
        while let Some(batch) = tally.next_batch(true) {
            tally.written(&batch);
        }
        assert_eq!(totals(&tally), (2 * MOST_METHODS + 1, 1_202));
    }

    #[test]
    fn counts_that_wait_are_limited_and_none_is_lost() {
        let (clock, tally) = tally();
        for _ in 0..100 {
            for theme in 0..150 {
                lose(&tally, &theme.to_string());
            }
            clock.advance(BUCKET);
        }
        assert!(tally.counts().waiting <= MOST_WAITING);
        let (mut rows, mut all) = (0, 0);
        while let Some(batch) = tally.next_batch(true) {
            assert!(batch.len() <= BATCH);
            (rows, all) = (rows + batch.len(), all + lost(Some(&batch)));
            tally.written(&batch);
        }
        assert!(rows <= MOST_WAITING, "{rows}");
        assert_eq!((all, tally.counts().waiting), (15_000, 0));
    }

    #[test]
    fn names_beyond_the_limit_count_together() {
        let (clock, tally) = tally();
        for theme in 0..MOST_METHODS + 7 {
            lose(&tally, &theme.to_string());
        }
        lose(&tally, "0");
        assert_eq!(tally.counts().waiting, MOST_METHODS + 7);
        let other = |tally: &Tally| {
            let counts = tally.counts();
            let all = counts.buckets.values().flatten();
            all.filter(|(series, _)| series.method == "_other").count()
        };
        assert_eq!(other(&tally), 7);
        clock.advance(Duration::from_secs(3_600));
        lose(&tally, "another");
        assert_eq!(other(&tally), 7);
    }
}
