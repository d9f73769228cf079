//! Finding tasks: pages, counts, and pages of whole tasks.

use super::{Admin, ExportedTasks, FoundTasks, SearchTasks, TaskCount, TaskFilter, TaskSummary};
use crate::{
    domain::{Faults, InvalidInput},
    error::{Error, ask},
    store::{Store, StoreError},
};

impl Admin {
    /// Finds tasks of all themes, newest first, a page at a time. A page costs as much beside ten million tasks as beside a hundred, however
    /// far the caller has turned the pages.
    ///
    /// A search that has looked for half a second ends, and says how far back it has looked; the next page goes on from there. Searches by
    /// ids, by log id, by node, or for unfinished statuses alone read only the tasks in question.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every fault of the filter and the limit, [`Error::Store`].
    pub async fn search_tasks(&self, search: SearchTasks) -> Result<FoundTasks, Error> {
        search.check()?;
        ask(&self.store, |store| async move { store.tasks().search(&search).await }).await
    }

    /// How many tasks meet a filter. The count ends at `up_to` tasks (`None`: no limit), or after half a second, and then says that there may
    /// be more.
    ///
    /// Nothing else than the count is read, so a count up to 10,000 costs little more than a page. An exact count of millions of tasks does not
    /// come to its end within half a second; [`history`](Self::history) has counts of finished tasks, and
    /// [`count_by_status`](crate::Scheduler::count_by_status) reads all tasks of a theme, however long that takes.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use gaia_actors::{Gaia, NewTask, admin::TaskFilter};
    ///
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gaia = Gaia::builder().database("sqlite::memory:").start().await?;
    /// let orders = gaia.scheduler("order-task")?;
    /// orders.add_tasks((0..20).map(|_| NewTask::new("OrderService", "AsyncCreateOrder")).collect()).await?;
    ///
    /// let count = gaia.admin().count_tasks(TaskFilter::default(), Some(10)).await?;
    /// assert_eq!((count.tasks, count.more), (10, true));
    /// # gaia.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] with every fault of the filter, [`Error::Store`].
    pub async fn count_tasks(&self, filter: TaskFilter, up_to: Option<u64>) -> Result<TaskCount, Error> {
        checked(&filter)?;
        let up_to = up_to.unwrap_or(u64::MAX);
        ask(&self.store, move |store| async move {
            store.tasks().count(&filter, up_to).await
        })
        .await
    }

    /// As [`search_tasks`](Self::search_tasks), with the whole texts of the tasks. To export all tasks of a filter, ask for the page that
    /// begins at [`ExportedTasks::next`] until there is none.
    ///
    /// A page has fewer tasks than its limit if their texts are long: about 4 MiB of them, or one task. A task that has changed between the
    /// search and the reading, so that it has no status of the filter any more, is left out.
    ///
    /// # Errors
    /// As for [`search_tasks`](Self::search_tasks).
    pub async fn export_tasks(&self, search: SearchTasks) -> Result<ExportedTasks, Error> {
        search.check()?;
        ask(&self.store, |store| async move { page(&store, &search).await }).await
    }
}

async fn page(store: &Store, search: &SearchTasks) -> Result<ExportedTasks, StoreError> {
    let found = store.tasks().search(search).await?;
    let kept = fitting(&found.tasks);
    let ids: Vec<i64> = found.tasks.iter().take(kept).map(|task| task.id).collect();
    let tasks = match ids.is_empty() {
        true => Vec::new(),
        false => store.tasks().whole(&ids, &search.filter).await?,
    };
    Ok(match kept < found.tasks.len() {
        true => ExportedTasks {
            tasks,
            next: ids.last().copied(),
            searched_back_to: None,
        },
        false => ExportedTasks {
            tasks,
            next: found.next,
            searched_back_to: found.searched_back_to,
        },
    })
}

/// The most bytes of long texts on a page of an export, unless its first task alone has more.
const EXPORT_BYTES: u64 = 4 << 20;

/// How many of these tasks go onto a page of an export: at least one.
fn fitting(tasks: &[TaskSummary]) -> usize {
    let mut bytes = 0_u64;
    let fits = tasks.iter().take_while(|task| {
        bytes = bytes.saturating_add(task.text_bytes());
        bytes <= EXPORT_BYTES
    });
    fits.count().max(1)
}

fn checked(filter: &TaskFilter) -> Result<(), InvalidInput> {
    let mut faults = Faults::default();
    filter.check(&mut faults);
    faults.into_result()
}
