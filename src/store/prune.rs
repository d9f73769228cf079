//! Removing what has been finished for long.
//!
//! Ids are found without a lock, then deleted in small batches by key: nobody who claims or finishes has to wait for more
//! than one batch.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    Store, StoreError,
    db::on_backend,
    schema::{asynctask_exec_row, asynctasks, job_record},
};
use crate::domain::TaskStatus;

fn finished() -> Vec<&'static str> {
    let finished = TaskStatus::ALL.into_iter().filter(|status| status.is_finished());
    finished.map(TaskStatus::as_str).collect()
}

/// Finds ids with `$find` and deletes their rows with `$delete`; the answer is how many rows that were.
macro_rules! prune {
    ($store:ident, $find:expr, |$ids:ident| $delete:expr) => {{
        let mut lease = $store.db.read().await?;
        let $ids: Vec<i64> = on_backend!(lease, |conn| $find.load(conn).await)?;
        drop(lease);
        if $ids.is_empty() {
            return Ok(0);
        }
        let delete = || async {
            let mut lease = $store.db.write().await?;
            Ok(on_backend!(lease, |conn| $delete.execute(conn).await)?)
        };
        $store.retrying(delete).await
    }};
}

impl Store {
    /// Deletes at most `limit` tasks that came to their end before `before`; answers how many there were.
    ///
    /// A task that ended before then was also created before then: the index of creation times leads to it.
    pub(crate) async fn prune_tasks(&self, before: NaiveDateTime, limit: i64) -> Result<usize, StoreError> {
        prune!(
            self,
            asynctasks::table
                .filter(asynctasks::create_time.lt(before))
                .filter(asynctasks::task_status.eq_any(finished()))
                .filter(asynctasks::update_time.lt(before))
                .order(asynctasks::create_time)
                .limit(limit)
                .select(asynctasks::id),
            // Somebody may have queued one of them again meanwhile.
            |ids| diesel::delete(asynctasks::table)
                .filter(asynctasks::id.eq_any(&ids))
                .filter(asynctasks::task_status.eq_any(finished()))
                .filter(asynctasks::update_time.lt(before))
        )
    }

    /// Deletes at most `limit` execution records of runs that began before `before`; answers how many there were.
    pub(crate) async fn prune_records(&self, before: NaiveDateTime, limit: i64) -> Result<usize, StoreError> {
        prune!(
            self,
            asynctask_exec_row::table
                .filter(asynctask_exec_row::last_run_time.lt(before))
                .order(asynctask_exec_row::last_run_time)
                .limit(limit)
                .select(asynctask_exec_row::id),
            |ids| diesel::delete(asynctask_exec_row::table).filter(asynctask_exec_row::id.eq_any(&ids))
        )
    }

    /// Deletes at most `limit` records of jobs' runs that ended before `before`; answers how many there were.
    pub(crate) async fn prune_job_records(&self, before: NaiveDateTime, limit: i64) -> Result<usize, StoreError> {
        let ended = || {
            job_record::job_result_flag
                .is_not_null()
                .or(job_record::node_id.is_null())
        };
        prune!(
            self,
            job_record::table
                .filter(job_record::create_time.lt(before))
                .filter(job_record::update_time.lt(before))
                .filter(ended())
                .order(job_record::create_time)
                .limit(limit)
                .select(job_record::id),
            |ids| diesel::delete(job_record::table).filter(job_record::id.eq_any(&ids))
        )
    }
}
