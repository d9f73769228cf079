//! The same change of many tasks at once. Each statement judges each task again: since the caller has read the tasks, nodes and other callers
//! may have changed them.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::delete::{self, Unwanted};
use crate::{
    domain::{BulkAction, TaskStatus},
    store::{
        Rows, StoreError, TaskStore,
        backend::Backend,
        db::{on_backend, on_each},
        schema::asynctasks,
        statement::transaction::transact,
        time::StoredTime,
    },
};

/// How often, and after which pause, rows that another session has locked are looked at again before they are left alone.
const LOOKS_AT_LOCKED: u32 = 4;
const PAUSE: Duration = Duration::from_millis(250);

fn statuses(action: BulkAction) -> Vec<&'static str> {
    action.allowed_from().iter().map(|status| status.as_str()).collect()
}

impl TaskStore<'_> {
    /// Those of these tasks whose rows another session has locked for a second. Rows that are locked for a moment are waited for.
    pub(crate) async fn locked_for_long(&self, ids: &[i64]) -> Result<BTreeSet<i64>, StoreError> {
        let mut locked = self.locked(Rows::Tasks, ids).await?;
        for _ in 1..LOOKS_AT_LOCKED {
            if locked.is_empty() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            let still: Vec<i64> = locked.into_iter().collect();
            locked = self.locked(Rows::Tasks, &still).await?;
        }
        Ok(locked)
    }

    /// Ends those of these tasks that wait and that no claim names; answers with their ids.
    pub(crate) async fn cancel_many(&self, mut ids: Vec<i64>) -> Result<Vec<i64>, StoreError> {
        ids.sort_unstable();
        let now = StoredTime::from(self.clock().now());
        let cancel = || async { on_each!(&self.db, |db| db.cancel_many(ids.clone(), now).await) };
        let cancelled = self.retrying(cancel).await?;
        self.ends.note(cancelled.iter().copied());
        Ok(cancelled)
    }

    /// Queues those of these tasks again that are Failed or Cancelled. Answers how many there were.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] if another unfinished task has the unique key of one of them; then none is queued.
    pub(crate) async fn retry_many(&self, ids: &[i64]) -> Result<usize, StoreError> {
        let now = StoredTime::from(self.clock().now());
        let retry = || async {
            let mut conn = self.db.write().await?;
            Ok(on_backend!(conn, |conn| {
                diesel::update(asynctasks::table)
                    .filter(asynctasks::id.eq_any(ids))
                    .filter(asynctasks::task_status.eq_any(statuses(BulkAction::Retry)))
                    .set((
                        asynctasks::task_status.eq(TaskStatus::Wait.as_str()),
                        asynctasks::retry_time.eq(0),
                        asynctasks::run_at.eq(None::<StoredTime>),
                        asynctasks::cancel_requested.eq(0),
                        asynctasks::update_time.eq(now),
                        asynctasks::finished_at.eq(None::<StoredTime>),
                    ))
                    .execute(conn)
                    .await
            })?)
        };
        self.retrying(retry).await
    }

    /// Has those of these tasks run now that wait for a later time. Answers how many there were.
    pub(crate) async fn run_now_many(&self, ids: &[i64]) -> Result<usize, StoreError> {
        let now = StoredTime::from(self.clock().now());
        let run_now = || async {
            let mut conn = self.db.write().await?;
            Ok(on_backend!(conn, |conn| {
                diesel::update(asynctasks::table)
                    .filter(asynctasks::id.eq_any(ids))
                    .filter(asynctasks::task_status.eq_any(statuses(BulkAction::RunNow)))
                    .filter(asynctasks::run_at.is_not_null())
                    .set((
                        asynctasks::run_at.eq(None::<StoredTime>),
                        asynctasks::update_time.eq(now),
                    ))
                    .execute(conn)
                    .await
            })?)
        };
        self.retrying(run_now).await
    }

    /// Deletes those of these tasks that are finished, with their records. Answers how many there were.
    pub(crate) async fn delete_finished(&self, ids: Vec<i64>) -> Result<usize, StoreError> {
        let unwanted = Arc::new(Unwanted {
            ids,
            statuses: statuses(BulkAction::Delete),
        });
        self.thin_out_links(&unwanted.ids).await?;
        let delete = || async { self.delete_once(&unwanted).await };
        let deleted = self.retrying(delete).await?;
        // Others may wait for one of them.
        self.ends.note(unwanted.ids.iter().copied());
        Ok(deleted)
    }

    async fn delete_once(&self, unwanted: &Arc<Unwanted>) -> Result<usize, StoreError> {
        transact!(&self.db, delete, unwanted)
    }
}
