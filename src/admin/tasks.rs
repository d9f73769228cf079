//! One task of any theme, as operators see and change it.

use super::Admin;
use crate::{
    asynctask::{CancelAnswer, Scheduler},
    domain::{ActionOnTask, Task},
    error::{Error, ask},
    store::ChangeResult,
};

impl Admin {
    /// A task of any theme as it stands, with its whole arguments, result and error.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use gaia_actors::prelude::*;
    ///
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gaia = Gaia::builder().database("sqlite::memory:").start().await?;
    /// let orders = gaia.scheduler("order-task")?;
    /// let id = orders.add_task(NewTask::new("OrderService", "AsyncCreateOrder")).await?.id;
    ///
    /// let task = gaia.admin().task(id).await?;
    /// assert_eq!((task.theme.as_str(), task.status), ("order-task", TaskStatus::Wait));
    /// # gaia.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::TaskNotFound`], [`Error::Store`].
    pub async fn task(&self, id: i64) -> Result<Task, Error> {
        let task = ask(&self.store, move |store| async move { store.tasks().find(id).await }).await?;
        task.ok_or_else(|| not_found(id))
    }

    /// Queues a Failed or Cancelled task of any theme again, as [`Scheduler::retry_task`] does in a theme.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use gaia_actors::prelude::*;
    ///
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gaia = Gaia::builder().database("sqlite::memory:").start().await?;
    /// let orders = gaia.scheduler("order-task")?;
    /// let id = orders.add_task(NewTask::new("OrderService", "AsyncCreateOrder")).await?.id;
    ///
    /// gaia.admin().cancel_task(id).await?;
    /// gaia.admin().retry_task(id).await?;
    /// assert_eq!(gaia.admin().task(id).await?.status, TaskStatus::Wait);
    /// # gaia.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`Scheduler::retry_task`].
    pub async fn retry_task(&self, id: i64) -> Result<(), Error> {
        self.scheduler_of(id).await?.retry_task(id).await
    }

    /// Cancels a task of any theme that waits, or asks the node that runs it to stop, as [`Scheduler::cancel_task`] does in a theme.
    ///
    /// # Errors
    /// As for [`Scheduler::cancel_task`].
    pub async fn cancel_task(&self, id: i64) -> Result<CancelAnswer, Error> {
        self.scheduler_of(id).await?.cancel_task(id).await
    }

    /// Has a task run now that waits for a later time: a scheduled task, a retry with a delay, a snoozed task. A task that is due already is
    /// left as it is.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use gaia_actors::prelude::*;
    ///
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gaia = Gaia::builder().database("sqlite::memory:").start().await?;
    /// let orders = gaia.scheduler("order-task")?;
    /// let tomorrow = chrono::Utc::now() + chrono::TimeDelta::days(1);
    /// let id = orders.add_task(NewTask::new("OrderService", "AsyncCreateOrder").run_at(tomorrow)).await?.id;
    ///
    /// gaia.admin().run_task_now(id).await?;
    /// assert_eq!(gaia.admin().task(id).await?.run_at, None);
    /// # gaia.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NotAllowed`] unless it is Wait or Retry, [`Error::TaskNotFound`], [`Error::Store`].
    pub async fn run_task_now(&self, id: i64) -> Result<(), Error> {
        let theme = self.theme_of_task(id).await?;
        let change = ask(&self.store, move |store| async move { store.tasks().run_now(id).await });
        changed(ActionOnTask::RunNow, id, change.await?)?;
        if let Some(runtime) = self.themes.get(&theme) {
            runtime.wake();
        }
        self.store.cluster().announce_tasks(&theme, 1);
        Ok(())
    }

    /// Deletes a finished task with its records. It cannot be undone.
    ///
    /// # Errors
    /// [`Error::NotAllowed`] unless it is Success, Failed or Cancelled, [`Error::TaskNotFound`], [`Error::Store`].
    pub async fn delete_task(&self, id: i64) -> Result<(), Error> {
        let change = ask(&self.store, move |store| async move { store.tasks().delete(id).await });
        changed(ActionOnTask::Delete, id, change.await?)
    }

    /// The handle on the theme to which a task belongs.
    async fn scheduler_of(&self, id: i64) -> Result<Scheduler, Error> {
        let theme = self.theme_of_task(id).await?;
        Ok(Scheduler::new(&theme, self.store.clone(), self.themes.clone())?)
    }

    /// The theme to which a task belongs: the cheapest look at a task.
    pub(crate) async fn theme_of_task(&self, id: i64) -> Result<String, Error> {
        let look = ask(
            &self.store,
            move |store| async move { store.tasks().theme_of(id).await },
        );
        look.await?.ok_or_else(|| not_found(id))
    }
}

fn changed(action: ActionOnTask, id: i64, change: ChangeResult) -> Result<(), Error> {
    match change {
        ChangeResult::Done => Ok(()),
        ChangeResult::NotAllowed(status) => Err(Error::NotAllowed { action, id, status }),
        ChangeResult::NotFound => Err(not_found(id)),
    }
}

fn not_found(id: i64) -> Error {
    Error::TaskNotFound { theme: None, id }
}
