//! The errors of a theme, in groups.

use std::time::Instant;

use super::{Admin, GetErrors, SearchTasks, TaskErrors};
use crate::{
    domain::{ErrorAttempts, ErrorGroups},
    error::{Error, ask},
    store::{LOOK_FOR, Store, StoreError},
};

/// How many tasks are read at a time.
const PAGE: u32 = 1_000;

impl Admin {
    /// What goes wrong in a theme: the errors of the tasks that have failed or wait for another attempt, in groups. A group has the errors of
    /// one method that differ in numbers, ids and quoted parts alone.
    ///
    /// The tasks are read from the newest on, for half a second; the answer says how far that has come. Only the last error of each task
    /// counts, unless [`GetErrors::attempts`] asks for the errors of all attempts that have failed.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use gaia_actors::{admin::{ErrorsSince, GetErrors}, prelude::*};
    ///
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let refuse = async_fn(async |_: TaskContext, order: u64| {
    ///     Err::<(), _>(TaskError::discard(format!("order {order} is unknown")))
    /// });
    /// let gaia = Gaia::builder()
    ///     .database("sqlite::memory:")
    ///     .handler("Order", "Refuse", refuse)
    ///     .scheduler(SchedulerOptions::new("orders"))
    ///     .start()
    ///     .await?;
    /// let orders = gaia.scheduler("orders")?;
    /// for order in [17, 18] {
    ///     let added = orders.add_task(NewTask::new("Order", "Refuse").args(&order)).await?;
    ///     orders.wait_for(added.id, std::time::Duration::from_secs(10)).await?;
    /// }
    ///
    /// let errors = gaia.admin().errors(GetErrors { since: ErrorsSince::Hour, ..GetErrors::new("orders") }).await?;
    /// assert_eq!(errors.groups[0].error, "order … is unknown");
    /// assert_eq!(errors.groups[0].tasks, 2);
    /// # gaia.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad theme or a limit that is out of range, [`Error::Store`].
    pub async fn errors(&self, get: GetErrors) -> Result<TaskErrors, Error> {
        get.check()?;
        ask(&self.store, |store| async move { read(&store, &get).await }).await
    }
}

async fn read(store: &Store, get: &GetErrors) -> Result<TaskErrors, StoreError> {
    match get.attempts {
        ErrorAttempts::Last => read_last(store, get).await,
        ErrorAttempts::All => read_all(store, get).await,
    }
}

async fn read_all(store: &Store, get: &GetErrors) -> Result<TaskErrors, StoreError> {
    let mut groups = ErrorGroups::default();
    let from = get.from(store.clock().now());
    let take = |attempt| groups.take(attempt);
    let searched_back_to = store.tasks().failed_attempts(&get.theme, from, take).await?;
    Ok(groups.into_errors(get.limit, searched_back_to))
}

async fn read_last(store: &Store, get: &GetErrors) -> Result<TaskErrors, StoreError> {
    let began = Instant::now();
    let mut groups = ErrorGroups::default();
    let mut search = SearchTasks {
        filter: get.filter(store.clock().now()),
        limit: PAGE,
        before: None,
    };
    loop {
        let look_for = LOOK_FOR.saturating_sub(began.elapsed());
        let found = store.tasks().search_for(&search, look_for).await?;
        found.tasks.into_iter().for_each(|task| groups.take(task.into()));
        let (Some(next), None) = (found.next, found.searched_back_to) else {
            return Ok(groups.into_errors(get.limit, found.searched_back_to));
        };
        search.before = Some(next);
    }
}
