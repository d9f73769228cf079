//! The same for many tasks at once: what an operator calls. The actor does the work.

mod actor;

use std::time::{Duration, Instant};

pub(crate) use actor::{BulkActor, LookForBulk, StopBulk};

use super::{Admin, BulkTasks, ListBulkOperations, SearchTasks};
use crate::{
    domain::{BulkOperation, BulkPreview, BulkState},
    error::{Error, ask},
    store::Store,
};

/// How long [`Admin::bulk_tasks`] waits for the end of its operation, and how often it looks.
const WAIT_FOR_BULK: Duration = Duration::from_secs(2);
const LOOK_AT_BULK: Duration = Duration::from_millis(25);

/// How far a preview counts, for how long, and how many tasks it shows.
const PREVIEW_COUNT: u64 = 10_000;
const PREVIEW_TIME: Duration = Duration::from_secs(1);
const PREVIEW_PAGE: u32 = 1_000;
const SAMPLES: usize = 10;

impl Admin {
    /// Does the same with all tasks that meet a filter: cancels them, queues them again, has them run now, or deletes them. Tasks that are
    /// added later are not touched. The answer is the operation as it stands at its end, or after two seconds.
    ///
    /// The operation is kept in the database for 90 days. A node works on it, 500 tasks in a transaction, the newest first; if that node
    /// dies, another one goes on. Each task is judged when its turn comes; tasks that the operation leaves as they were are counted by reason.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use gaia_actors::{Gaia, NewTask, admin::{BulkAction, BulkState, BulkTasks, TaskFilter}};
    ///
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gaia = Gaia::builder().database("sqlite::memory:").start().await?;
    /// let orders = gaia.scheduler("order-task")?;
    /// orders.add_task(NewTask::new("OrderService", "AsyncCreateOrder")).await?;
    ///
    /// let orders = TaskFilter { themes: vec!["order-task".to_owned()], ..TaskFilter::default() };
    /// let mut cancel = BulkTasks::new(BulkAction::Cancel, orders);
    /// cancel.reason = Some("the supplier is closed".to_owned());
    /// let operation = gaia.admin().bulk_tasks(cancel).await?;
    /// assert_eq!((operation.state, operation.changed), (BulkState::Done, 1));
    /// # gaia.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] with every fault of the filter and the other fields, [`Error::Store`].
    pub async fn bulk_tasks(&self, bulk: BulkTasks) -> Result<BulkOperation, Error> {
        bulk.check()?;
        let add = |store: Store| async move {
            let newest = store.tasks().newest_before(i64::MAX).await?;
            let below = newest.map_or(i64::MIN, |newest| newest.saturating_add(1));
            store.cluster().add_bulk(&bulk, below).await
        };
        let id = ask(&self.store, add).await?;
        self.bulk.do_send(LookForBulk);
        let began = Instant::now();
        loop {
            let operation = self.bulk_operation(id).await?;
            if operation.state != BulkState::Running || began.elapsed() >= WAIT_FOR_BULK {
                return Ok(operation);
            }
            tokio::time::sleep(LOOK_AT_BULK).await;
        }
    }

    /// What [`bulk_tasks`](Self::bulk_tasks) would change: a count up to 10,000, and ten samples. Changes nothing.
    ///
    /// # Errors
    /// As for [`bulk_tasks`](Self::bulk_tasks).
    pub async fn preview_bulk(&self, bulk: BulkTasks) -> Result<BulkPreview, Error> {
        bulk.check()?;
        let began = Instant::now();
        let most = bulk.most.unwrap_or(u64::MAX).min(PREVIEW_COUNT);
        let mut preview = BulkPreview::default();
        let mut search = SearchTasks {
            filter: bulk.effective_filter(),
            limit: PREVIEW_PAGE,
            before: None,
        };
        loop {
            let page = search.clone();
            let found = ask(&self.store, |store| async move { store.tasks().search(&page).await }).await?;
            for task in found.tasks {
                if bulk.action.why_skipped(&bulk.filter, &task).is_none() && preview.tasks < most {
                    preview.tasks += 1;
                    if preview.samples.len() < SAMPLES {
                        preview.samples.push(task);
                    }
                }
            }
            search.before = found.next;
            if found.next.is_none() || preview.tasks >= most {
                preview.more = found.next.is_some() && bulk.most.is_none_or(|most| preview.tasks < most);
                return Ok(preview);
            }
            if began.elapsed() >= PREVIEW_TIME {
                preview.more = true;
                return Ok(preview);
            }
        }
    }

    /// A bulk operation as it stands.
    ///
    /// # Errors
    /// [`Error::BulkOperationNotFound`], [`Error::Store`].
    pub async fn bulk_operation(&self, id: i64) -> Result<BulkOperation, Error> {
        let found = ask(&self.store, move |store| async move { store.cluster().bulk(id).await }).await?;
        found.ok_or(Error::BulkOperationNotFound { id })
    }

    /// Bulk operations, the newest first.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a limit that is out of range, [`Error::Store`].
    pub async fn bulk_operations(&self, list: ListBulkOperations) -> Result<Vec<BulkOperation>, Error> {
        list.check()?;
        ask(
            &self.store,
            |store| async move { store.cluster().list_bulk(&list).await },
        )
        .await
    }

    /// Ends a bulk operation that is under way, after the chunk on which its node works. What it has changed stays changed. Answers with
    /// the operation; one that has ended is left as it is.
    ///
    /// # Errors
    /// [`Error::BulkOperationNotFound`], [`Error::Store`].
    pub async fn cancel_bulk(&self, id: i64) -> Result<BulkOperation, Error> {
        ask(&self.store, move |store| async move {
            store.cluster().cancel_bulk(id).await
        })
        .await?;
        self.bulk_operation(id).await
    }
}
