//! What operators see and change, across the themes and nodes of a database.

mod messages;

pub use messages::SearchTasks;

pub use crate::domain::{Excerpt, FoundTasks, SearchedTo, TaskFilter, TaskSummary};
use crate::{
    error::{Error, ask},
    store::Store,
};

/// Cloneable handle for operators: looks and changes across all themes of the database, from any process that is connected to it.
///
/// Looks have connections that only read, and that hold up neither the actors of this crate nor other looks for long.
///
/// It is an actor too: start a clone, and the same operations are messages to its address.
///
#[cfg_attr(feature = "sqlite", doc = "```")]
#[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
/// use gaia_actors::{Gaia, NewTask, TaskStatus, admin::{SearchTasks, TaskFilter}};
///
/// # #[actix_rt::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let gaia = Gaia::builder().database("sqlite::memory:").start().await?;
/// let orders = gaia.scheduler("order-task")?;
/// let added = orders.add_task(NewTask::new("OrderService", "AsyncCreateOrder")).await?;
///
/// let filter = TaskFilter { statuses: vec![TaskStatus::Wait], ..TaskFilter::default() };
/// let found = gaia.admin().search_tasks(SearchTasks { filter, ..SearchTasks::default() }).await?;
/// assert_eq!(found.tasks[0].id, added.id);
/// assert_eq!(found.next, None);
/// # gaia.stop().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Admin {
    store: Store,
}

impl Admin {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

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
}
