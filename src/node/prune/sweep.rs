//! Reading the tables page by page, and deleting expired rows.

use std::{
    fmt,
    time::{Duration, Instant},
};

use chrono::TimeDelta;

use crate::store::{End, Expired, RecordKey, Rows, Store, StoreError};

/// The most rows that one transaction deletes.
const BATCH: usize = 500;

/// How many rows were deleted, and how long it took to read pages on which there was nothing to delete.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Deleted {
    pub(super) in_vain: Duration,
    tasks: usize,
    /// Records of tasks that do not exist any more, or are not finished. Records that are deleted with their tasks are not counted.
    records: usize,
    job_records: usize,
}

/// How many rows have an end.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct History {
    /// Rows that this crate has finished, and that are old.
    pub(super) expired: u64,
    /// Rows that other programs have finished.
    pub(super) foreign: u64,
    /// Those of them that are old.
    pub(super) foreign_and_old: u64,
}

impl Deleted {
    /// Notes that a page was read, since `began`. `in_vain`: there was nothing to delete on it.
    fn looked(&mut self, began: Instant, in_vain: bool) {
        if in_vain {
            self.in_vain += began.elapsed();
        }
    }

    pub(super) fn is_nothing(self) -> bool {
        self.tasks + self.records + self.job_records == 0
    }
}

impl fmt::Display for Deleted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tasks,
            records,
            job_records,
            ..
        } = self;
        write!(
            f,
            "{tasks} tasks with their records, {records} other records of tasks, {job_records} records of jobs"
        )
    }
}

impl History {
    fn note(&mut self, end: End) {
        match end {
            End::Ours { is_old: true } => self.expired += 1,
            End::Foreign { is_old } => {
                self.foreign += 1;
                self.foreign_and_old += u64::from(is_old);
            }
            End::Ours { is_old: false } | End::None => {}
        }
    }
}

/// Deletes the expired rows.
pub(super) async fn sweep(store: &Store, expired: &Expired, with_jobs: bool) -> Result<Deleted, StoreError> {
    let mut deleted = Deleted::default();
    if !expired.themes.is_empty() {
        sweep_tasks(store, expired, &mut deleted).await?;
        sweep_records(store, expired, &mut deleted).await?;
    }
    if with_jobs {
        sweep_job_records(store, expired, &mut deleted).await?;
    }
    Ok(deleted)
}

async fn sweep_tasks(store: &Store, expired: &Expired, deleted: &mut Deleted) -> Result<(), StoreError> {
    let mut after = i64::MIN;
    let Some(last) = store.cluster().last_old_task(expired.before).await? else {
        return Ok(());
    };
    loop {
        let began = Instant::now();
        let page = store.cluster().task_page(expired, after, last).await?;
        let Some(end) = page.last() else {
            return Ok(());
        };
        after = end.id;
        let goes = page.iter().filter(|row| row.end.is_expired(expired.foreign));
        let ids: Vec<i64> = goes.map(|row| row.id).collect();
        deleted.looked(began, ids.is_empty());
        rest(began).await;
        for ids in ids.chunks(BATCH) {
            let began = Instant::now();
            deleted.tasks += delete_tasks(store, expired, &free(store, Rows::Tasks, ids).await?).await?;
            rest(began).await;
        }
    }
}

/// Deletes old records without a task, and old records of tasks that are not finished: the records of a task that snoozes for years must not
/// pile up.
async fn sweep_records(store: &Store, expired: &Expired, deleted: &mut Deleted) -> Result<(), StoreError> {
    let mut after = RecordKey::FIRST;
    let last = store.cluster().last_task_with_old_records(expired.before).await?;
    loop {
        let began = Instant::now();
        let page = store.cluster().record_page(expired, after, last).await?;
        let Some((end, _)) = page.last() else {
            return Ok(());
        };
        after = *end;
        let old = page.iter().filter(|(_, end)| end.is_expired(expired.foreign));
        let old: Vec<RecordKey> = old.map(|(record, _)| *record).collect();
        deleted.looked(began, old.is_empty());
        rest(began).await;
        for records in old.chunks(BATCH) {
            let began = Instant::now();
            let task_ids: Vec<i64> = records.iter().map(|record| record.task_id).collect();
            let keepers = store.cluster().keepers(expired, &task_ids).await?;
            let goes = records.iter().filter(|record| !keepers.contains(&record.task_id));
            let goes: Vec<RecordKey> = goes.copied().collect();
            let locked = store.locked_records(&goes).await?;
            let goes: Vec<RecordKey> = goes.into_iter().filter(|record| !locked.contains(&record.id)).collect();
            if !goes.is_empty() {
                deleted.records += store.cluster().delete_records(&goes).await?;
            }
            rest(began).await;
        }
    }
}

async fn sweep_job_records(store: &Store, expired: &Expired, deleted: &mut Deleted) -> Result<(), StoreError> {
    let mut after = i64::MIN;
    let Some(last) = store.cluster().last_old_job_record(expired.before).await? else {
        return Ok(());
    };
    loop {
        let began = Instant::now();
        let page = store.cluster().job_record_page(expired, after, last).await?;
        let Some(end) = page.last() else {
            return Ok(());
        };
        after = end.id;
        let goes = page.iter().filter(|row| row.end.is_expired(expired.foreign));
        let ids: Vec<i64> = goes.map(|row| row.id).collect();
        deleted.looked(began, ids.is_empty());
        rest(began).await;
        for ids in ids.chunks(BATCH) {
            let began = Instant::now();
            let ids = free(store, Rows::JobRecords, ids).await?;
            deleted.job_records += store.cluster().delete_job_records(&ids).await?;
            rest(began).await;
        }
    }
}

/// Deletes tasks. If the deletion meets locked rows, deletes one task after the other: to delete several rows of a small table, MySQL scans
/// the whole table and meets locked rows; a single row it finds by its key.
async fn delete_tasks(store: &Store, expired: &Expired, ids: &[i64]) -> Result<usize, StoreError> {
    match store.cluster().delete_tasks(expired, ids).await {
        Err(StoreError::Conflict(_)) => {}
        done => return done,
    }
    let mut deleted = 0;
    for id in ids {
        deleted += store.cluster().delete_tasks(expired, &[*id]).await?;
    }
    Ok(deleted)
}

/// Those of these rows that no other session has locked. A later look deletes the locked ones.
async fn free(store: &Store, rows: Rows, ids: &[i64]) -> Result<Vec<i64>, StoreError> {
    let locked = store.locked(rows, ids).await?;
    Ok(ids.iter().copied().filter(|id| !locked.contains(id)).collect())
}

/// Counts the rows with an end: tasks of the themes in `expired`, or records of jobs.
pub(super) async fn history(store: &Store, expired: &Expired, of_jobs: bool) -> Result<History, StoreError> {
    let (mut history, mut after) = (History::default(), i64::MIN);
    loop {
        let began = Instant::now();
        let page = match of_jobs {
            true => store.cluster().job_record_page(expired, after, i64::MAX).await?,
            false => store.cluster().task_page(expired, after, i64::MAX).await?,
        };
        let Some(end) = page.last() else {
            return Ok(history);
        };
        after = end.id;
        for row in &page {
            history.note(row.end);
        }
        rest(began).await;
    }
}

/// Pauses as long as the last step took: half of the time is for other sessions.
pub(super) async fn rest(began: Instant) {
    actix_rt::time::sleep(began.elapsed()).await;
}

/// A length of time in words, for people.
pub(super) fn said(length: TimeDelta) -> String {
    let seconds = length.num_seconds().abs();
    let (count, unit) = match seconds {
        0..120 => (seconds, "s"),
        120..7_200 => (seconds / 60, "minutes"),
        7_200..172_800 => (seconds / 3_600, "hours"),
        _ => (seconds / 86_400, "days"),
    };
    format!("{count} {unit}")
}
