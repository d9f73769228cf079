//! Deleting rows that were finished long ago.
//!
//! The pruner reads the tables page by page in the order of their keys, up to the newest row that may be old enough: so no index over
//! finished rows is needed, and rows that stay cost little. It then deletes expired rows in small batches by key, and judges each row again
//! there: no claim and no end has to wait for more than one batch.

mod delete;
mod line;

use std::{collections::HashSet, sync::Arc};

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use crate::{
    domain::TaskStatus,
    store::{
        ClusterStore, StoreError,
        backend::ReadKind,
        db::on_backend,
        schema::{asynctask_exec_row, asynctasks, gaia_links, job_record},
        statement::transaction::transact,
        time::StoredTime,
    },
};
use delete::Doomed;
pub(crate) use line::Line;

/// How many rows one statement reads.
const PAGE: i64 = 2_000;

/// Which rows may be deleted.
#[derive(Debug, Clone)]
pub(crate) struct Expired {
    /// Rows that ended before this time.
    pub(crate) before: StoredTime,
    /// Tasks must belong to one of these themes.
    pub(crate) themes: Vec<String>,
    /// Also rows that other programs have finished.
    pub(crate) foreign: bool,
}

/// A row on its page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paged {
    pub(crate) id: i64,
    pub(crate) end: End,
}

/// The key of a record: PostgreSQL finds it by its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordKey {
    pub(crate) task_id: i64,
    pub(crate) id: i64,
}

impl RecordKey {
    /// A key before all others.
    pub(crate) const FIRST: Self = Self {
        task_id: i64::MIN,
        id: i64::MIN,
    };
}

/// The end of a row, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The row has no end, or must not be judged.
    None,
    /// This crate has ended it.
    Ours { is_old: bool },
    /// Another program has ended it.
    Foreign { is_old: bool },
}

impl End {
    /// Whether the row may be deleted.
    pub(crate) fn is_expired(self, foreign: bool) -> bool {
        self == Self::Ours { is_old: true } || (foreign && self == Self::Foreign { is_old: true })
    }
}

/// Id; whether the row has an end; whether the end is old; whether this crate has ended it. `None`: a column of the comparison is NULL.
type JudgedRow = (i64, Option<bool>, Option<bool>, Option<bool>);

fn paged((id, is_finished, is_old, is_ours): JudgedRow) -> Paged {
    let is_old = is_old.unwrap_or(false);
    let end = match (is_finished.unwrap_or(false), is_ours.unwrap_or(false)) {
        (false, _) => End::None,
        (true, true) => End::Ours { is_old },
        (true, false) => End::Foreign { is_old },
    };
    Paged { id, end }
}

fn finished() -> Vec<&'static str> {
    let finished = TaskStatus::ALL.into_iter().filter(|status| status.is_finished());
    finished.map(TaskStatus::as_str).collect()
}

/// The condition that a task is finished.
macro_rules! is_finished {
    () => {
        asynctasks::task_status.eq_any($crate::store::cluster::prune::finished())
    };
}

/// The condition that this crate has ended a finished task: it has noted the time, and no run ended after that. A task that is
/// cancelled while it waits has no run, but no other program knows that status.
macro_rules! is_ours {
    () => {
        asynctasks::finished_at.is_not_null().and(
            asynctasks::last_run_end_time
                .eq(asynctasks::finished_at)
                .or(asynctasks::task_status.eq($crate::domain::TaskStatus::Cancelled.as_str())),
        )
    };
}

/// The query for those of these tasks for which others wait that are not finished: they read the results.
macro_rules! waited_for {
    ($ids:expr) => {
        gaia_links::table
            .inner_join(asynctasks::table.on(asynctasks::id.eq(gaia_links::held_id)))
            .filter(gaia_links::task_id.eq_any($ids))
            .filter(asynctasks::task_status.eq_any(["Wait", "Retry", "Running"]))
            .select(gaia_links::task_id)
            .distinct()
    };
}

use {is_finished, is_ours, waited_for};

/// The last id among the rows of `$table` with the latest `$time` before `$before`, by the index of that column. If no row has a later
/// time, the answer covers all rows, also those without a time.
macro_rules! last_old {
    ($store:expr, $table:ident, $time:ident, $before:expr) => {{
        let mut conn = $store.db.read_as(ReadKind::List).await?;
        let young: Option<i64> = on_backend!(conn, |conn| {
            $table::table
                .filter($table::$time.ge($before))
                .order($table::$time)
                .select($table::id)
                .first(conn)
                .await
                .optional()
        })?;
        match young {
            None => Ok(Some(i64::MAX)),
            Some(_) => Ok(on_backend!(conn, |conn| {
                $table::table
                    .filter($table::$time.lt($before))
                    .order(($table::$time.desc(), $table::id.desc()))
                    .select($table::id)
                    .first(conn)
                    .await
                    .optional()
            })?),
        }
    }};
}

impl ClusterStore<'_> {
    /// The id up to which there may be expired tasks: that of the newest task that was added before `before`. Hardly any task that ended before
    /// then has a greater id.
    pub(crate) async fn last_old_task(&self, before: StoredTime) -> Result<Option<i64>, StoreError> {
        last_old!(self, asynctasks, create_time, before)
    }

    /// Tasks with ids greater than `after`, up to `last`, in the order of their ids: one page.
    pub(crate) async fn task_page(&self, expired: &Expired, after: i64, last: i64) -> Result<Vec<Paged>, StoreError> {
        let mut conn = self.db.read_as(ReadKind::List).await?;
        let rows: Vec<JudgedRow> = on_backend!(conn, |conn| {
            asynctasks::table
                .filter(asynctasks::id.gt(after).and(asynctasks::id.le(last)))
                .order(asynctasks::id)
                .limit(PAGE)
                .select((
                    asynctasks::id,
                    is_finished!().and(asynctasks::system_name.eq_any(&expired.themes)),
                    asynctasks::update_time.lt(expired.before),
                    is_ours!(),
                ))
                .load(conn)
                .await
        })?;
        Ok(rows.into_iter().map(paged).collect())
    }

    /// Deletes the tasks among these that may go, each with its records; answers how many tasks those were.
    pub(crate) async fn delete_tasks(&self, expired: &Expired, ids: &[i64]) -> Result<usize, StoreError> {
        let waited_for = self.waited_for(ids).await?;
        let ids: Vec<i64> = ids.iter().copied().filter(|id| !waited_for.contains(id)).collect();
        self.thin_out(&ids).await?;
        self.tasks().thin_out_links(&ids).await?;
        let doomed = Arc::new(Doomed {
            expired: expired.clone(),
            ids,
        });
        let delete = || async { self.delete_once(&doomed).await };
        self.retrying_unless_locked(delete).await
    }

    /// Those of these tasks for which others wait that are not finished.
    async fn waited_for(&self, ids: &[i64]) -> Result<Vec<i64>, StoreError> {
        let mut conn = self.db.read_as(ReadKind::List).await?;
        Ok(on_backend!(conn, |conn| waited_for!(ids).load(conn).await)?)
    }

    async fn delete_once(&self, doomed: &Arc<Doomed>) -> Result<usize, StoreError> {
        transact!(&self.db, delete, doomed)
    }

    /// Deletes records of these tasks in separate batches, until less than a page of them is left: a task may have run very often.
    async fn thin_out(&self, task_ids: &[i64]) -> Result<(), StoreError> {
        loop {
            let mut conn = self.db.read_as(ReadKind::List).await?;
            let records: Vec<(i64, i64)> = on_backend!(conn, |conn| {
                asynctask_exec_row::table
                    .filter(asynctask_exec_row::task_id.eq_any(task_ids))
                    .limit(PAGE)
                    .select((asynctask_exec_row::task_id, asynctask_exec_row::id))
                    .load(conn)
                    .await
            })?;
            drop(conn);
            let records: Vec<RecordKey> = records
                .into_iter()
                .map(|(task_id, id)| RecordKey { task_id, id })
                .collect();
            if i64::try_from(records.len()).unwrap_or(i64::MAX) < PAGE {
                return Ok(());
            }
            self.delete_records(&records).await?;
        }
    }

    /// The id of the last task that may have old records: records are not older than their task.
    pub(crate) async fn last_task_with_old_records(&self, before: StoredTime) -> Result<i64, StoreError> {
        let mut conn = self.db.read_as(ReadKind::List).await?;
        let young: Option<i64> = on_backend!(conn, |conn| {
            asynctasks::table
                .filter(asynctasks::create_time.ge(before))
                .order(asynctasks::create_time)
                .select(asynctasks::id)
                .first(conn)
                .await
                .optional()
        })?;
        Ok(young.map_or(i64::MAX, |young| young.saturating_sub(1)))
    }

    /// Records of tasks up to `last` that come after the record `after`, in the order of their tasks and of their ids: one page.
    pub(crate) async fn record_page(
        &self,
        expired: &Expired,
        after: RecordKey,
        last: i64,
    ) -> Result<Vec<(RecordKey, End)>, StoreError> {
        let mut conn = self.db.read_as(ReadKind::List).await?;
        let rows: Vec<(i64, i64, Option<bool>, bool)> = on_backend!(conn, |conn| {
            let has_no_time = asynctask_exec_row::last_run_time.is_null();
            let of_task = asynctask_exec_row::task_id.eq(after.task_id);
            let is_later = asynctask_exec_row::task_id
                .gt(after.task_id)
                .or(of_task.and(asynctask_exec_row::id.gt(after.id)));
            asynctask_exec_row::table
                // Implied by the next conditions; it makes the index serve.
                .filter(asynctask_exec_row::task_id.ge(after.task_id))
                .filter(asynctask_exec_row::task_id.le(last))
                .filter(is_later)
                .order((asynctask_exec_row::task_id, asynctask_exec_row::id))
                .limit(PAGE)
                .select((
                    asynctask_exec_row::id,
                    asynctask_exec_row::task_id,
                    asynctask_exec_row::last_run_time
                        .lt(expired.before)
                        .or(has_no_time.and(asynctask_exec_row::create_time.lt(expired.before))),
                    asynctask_exec_row::node_id.is_not_null(),
                ))
                .load(conn)
                .await
        })?;
        let row = |(id, task_id, is_old, is_ours)| {
            let Paged { id, end } = paged((id, Some(true), is_old, Some(is_ours)));
            (RecordKey { task_id, id }, end)
        };
        Ok(rows.into_iter().map(row).collect())
    }

    /// Which of these tasks keep their records: tasks of other themes, and finished tasks, whose records are deleted with them.
    pub(crate) async fn keepers(&self, expired: &Expired, task_ids: &[i64]) -> Result<HashSet<i64>, StoreError> {
        let mut conn = self.db.read_as(ReadKind::List).await?;
        let rows: Vec<(i64, Option<bool>)> = on_backend!(conn, |conn| {
            asynctasks::table
                .filter(asynctasks::id.eq_any(task_ids))
                .select((
                    asynctasks::id,
                    asynctasks::system_name
                        .eq_any(&expired.themes)
                        .and(asynctasks::task_status.eq_any(["Wait", "Retry", "Running"])),
                ))
                .load(conn)
                .await
        })?;
        let keepers = rows.into_iter().filter(|(_, is_underway)| *is_underway != Some(true));
        Ok(keepers.map(|(id, _)| id).collect())
    }

    /// Deletes these records; answers how many there were.
    pub(crate) async fn delete_records(&self, records: &[RecordKey]) -> Result<usize, StoreError> {
        let ids: Vec<i64> = records.iter().map(|record| record.id).collect();
        let task_ids: Vec<i64> = records.iter().map(|record| record.task_id).collect();
        let delete = || async {
            let mut conn = self.db.write().await?;
            Ok(on_backend!(conn, |conn| {
                let of_tasks = asynctask_exec_row::table.filter(asynctask_exec_row::task_id.eq_any(&task_ids));
                diesel::delete(of_tasks.filter(asynctask_exec_row::id.eq_any(&ids)))
                    .execute(conn)
                    .await
            })?)
        };
        self.retrying(delete).await
    }

    /// The id up to which there may be expired records of jobs.
    pub(crate) async fn last_old_job_record(&self, before: StoredTime) -> Result<Option<i64>, StoreError> {
        last_old!(self, job_record, create_time, before)
    }

    /// Records of jobs with ids greater than `after`, up to `last`, in the order of their ids: one page. A record counts as written by this
    /// crate if it has a node or a second.
    pub(crate) async fn job_record_page(
        &self,
        expired: &Expired,
        after: i64,
        last: i64,
    ) -> Result<Vec<Paged>, StoreError> {
        let mut conn = self.db.read_as(ReadKind::List).await?;
        let rows: Vec<(i64, bool, Option<bool>, bool)> = on_backend!(conn, |conn| {
            job_record::table
                .filter(job_record::id.gt(after).and(job_record::id.le(last)))
                .order(job_record::id)
                .limit(PAGE)
                .select((
                    job_record::id,
                    job_record::job_result_flag
                        .is_not_null()
                        .or(job_record::node_id.is_null()),
                    job_record::update_time.lt(expired.before),
                    job_record::node_id
                        .is_not_null()
                        .or(job_record::scheduled_at.is_not_null()),
                ))
                .load(conn)
                .await
        })?;
        let row = |(id, has_ended, is_old, is_ours)| paged((id, Some(has_ended), is_old, Some(is_ours)));
        Ok(rows.into_iter().map(row).collect())
    }

    /// Deletes these records of jobs; answers how many there were.
    pub(crate) async fn delete_job_records(&self, ids: &[i64]) -> Result<usize, StoreError> {
        let delete = || async {
            let mut conn = self.db.write().await?;
            Ok(on_backend!(conn, |conn| {
                diesel::delete(job_record::table.filter(job_record::id.eq_any(ids)))
                    .execute(conn)
                    .await
            })?)
        };
        self.retrying(delete).await
    }
}
