//! A task that a definition has made, before it is added.

use std::{fmt, marker::PhantomData, time::Duration};

use chrono::{DateTime, Utc};

use super::{Added, Schedulers};
use crate::{
    asynctask::Scheduler,
    domain::{NewTask, check_theme},
    error::Error,
    store::{BlockingEnqueueConnection, EnqueueConnection},
};

/// A task that [`TaskDef::task`](crate::TaskDef::task) has made, with the theme and the options of the definition. Each method below gives this
/// task another option. Its result is an `R`.
///
/// As a [`NewTask`] (by `From`) it can be added in other ways, such as [`Scheduler::add_tasks_once`].
#[must_use = "a task does nothing until it is added"]
pub struct TypedTask<R> {
    theme: String,
    task: NewTask,
    result: PhantomData<fn() -> R>,
}

impl<R> Clone for TypedTask<R> {
    fn clone(&self) -> Self {
        Self::new(self.theme.clone(), self.task.clone())
    }
}

impl<R> fmt::Debug for TypedTask<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedTask")
            .field("theme", &self.theme)
            .field("task", &self.task)
            .finish_non_exhaustive()
    }
}

impl<R> From<TypedTask<R>> for NewTask {
    fn from(task: TypedTask<R>) -> Self {
        task.task
    }
}

impl<R> TypedTask<R> {
    pub(super) fn new(theme: impl Into<String>, task: NewTask) -> Self {
        Self {
            theme: theme.into(),
            task,
            result: PhantomData,
        }
    }

    /// Adds the task to this theme instead of the definition's. [`TaskDef::wait_for`](crate::TaskDef::wait_for) does not find it there;
    /// [`Added::wait`] does.
    pub fn theme(self, theme: impl Into<String>) -> Self {
        Self {
            theme: theme.into(),
            ..self
        }
    }

    /// The name that people see in lists: [`NewTask::name`].
    pub fn name(self, name: impl Into<String>) -> Self {
        self.with(|task| task.name(name))
    }

    /// How often the task is tried again, at most: [`NewTask::max_retry`].
    pub fn max_retry(self, times: i64) -> Self {
        self.with(|task| task.max_retry(times))
    }

    /// Tasks with a higher priority run first: [`NewTask::priority`].
    pub fn priority(self, priority: i32) -> Self {
        self.with(|task| task.priority(priority))
    }

    /// The task does not run before this time: [`NewTask::run_at`].
    pub fn run_at(self, at: DateTime<Utc>) -> Self {
        self.with(|task| task.run_at(at))
    }

    /// The longest one attempt may take: [`NewTask::timeout`].
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with(|task| task.timeout(timeout))
    }

    /// The delay before the first retry: [`NewTask::retry_delay`].
    pub fn retry_delay(self, delay: Duration) -> Self {
        self.with(|task| task.retry_delay(delay))
    }

    /// While an unfinished task of the theme has this key, nothing is added: [`NewTask::unique_key`]. Let only tasks of one definition
    /// share a key: a caller who waits for a [duplicate](Added::duplicate) gets the result of the other task.
    pub fn unique_key(self, key: impl Into<String>) -> Self {
        self.with(|task| task.unique_key(key))
    }

    /// For whom the task works, such as a tenant: [`NewTask::limit_key`].
    pub fn limit_key(self, key: impl Into<String>) -> Self {
        self.with(|task| task.limit_key(key))
    }

    /// The trace to which the task belongs: [`NewTask::traceparent`].
    pub fn traceparent(self, traceparent: impl Into<String>) -> Self {
        self.with(|task| task.traceparent(traceparent))
    }

    /// Adds the task, as [`Scheduler::add_task`] does.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every fault of the task and of its theme, [`Error::Store`].
    pub async fn add(self, schedulers: &(impl Schedulers + ?Sized)) -> Result<Added<R>, Error> {
        let scheduler = self.scheduler(schedulers)?;
        let added = scheduler.add_task(self.task).await?;
        Ok(Added::new(added, scheduler))
    }

    /// Adds the task behind existing ones: it waits until they have succeeded, as [`Scheduler::add_after`] says.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use std::time::Duration;
    /// use gaia_actors::{TaskDef, prelude::*};
    ///
    /// const CUT: TaskDef<u64, u64> = TaskDef::new("Film", "Cut");
    /// const PUBLISH: TaskDef<u64, String> = TaskDef::new("Film", "Publish");
    ///
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gaia = Gaia::builder()
    ///     .database("sqlite::memory:")
    ///     .handlers([
    ///         CUT.handler(async |_, film| Ok(film * 2)),
    ///         PUBLISH.handler(async |_, film| Ok(format!("film {film}"))),
    ///     ])
    ///     .scheduler(SchedulerOptions::new(CUT.theme_name()))
    ///     .start()
    ///     .await?;
    /// let cut = CUT.task(&17).add(&gaia).await?;
    /// let published = PUBLISH.task(&17).add_after(&gaia, [cut.id]).await?;
    /// assert_eq!(published.wait(Duration::from_secs(10)).await?, "film 17");
    /// # gaia.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`Scheduler::add_after`].
    pub async fn add_after(
        self,
        schedulers: &(impl Schedulers + ?Sized),
        ids: impl IntoIterator<Item = i64>,
    ) -> Result<Added<R>, Error> {
        let scheduler = self.scheduler(schedulers)?;
        let added = scheduler.add_after(ids, self.task).await?;
        Ok(Added::new(added, scheduler))
    }

    /// Adds the task on a connection of yours, inside the transaction that is open there: the task exists if and only if your transaction
    /// commits. [`Scheduler::add_task_on`] says what to mind. After the commit [`Added::wake`] has the task claimed at once.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```no_run")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use diesel::SqliteConnection;
    /// use diesel_async::{RunQueryDsl, sync_connection_wrapper::SyncConnectionWrapper};
    /// use gaia_actors::{Error, Gaia, TaskDef};
    ///
    /// const CONFIRM: TaskDef<u64, ()> = TaskDef::new("OrderService", "ConfirmOrder");
    ///
    /// # async fn place(
    /// #     gaia: &Gaia,
    /// #     conn: &mut SyncConnectionWrapper<SqliteConnection>,
    /// # ) -> Result<(), Error> {
    /// // The error of the transaction is `Error`, into which `?` converts the errors of diesel.
    /// let added = conn
    ///     .immediate_transaction(async |conn| {
    ///         diesel::sql_query("INSERT INTO orders (amount) VALUES (7)").execute(conn).await?;
    ///         CONFIRM.task(&7).add_on(gaia, conn).await
    ///     })
    ///     .await?;
    /// added.wake();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`add`](Self::add).
    pub async fn add_on<C: EnqueueConnection>(
        self,
        schedulers: &(impl Schedulers + ?Sized),
        conn: &mut C,
    ) -> Result<Added<R>, Error> {
        let scheduler = self.scheduler(schedulers)?;
        let added = scheduler.add_task_on(conn, self.task).await?;
        Ok(Added::new(added, scheduler))
    }

    /// Adds the task on a connection of diesel without async, like [`add_on`](Self::add_on). It blocks the thread until the database has answered.
    ///
    /// # Errors
    /// As for [`add`](Self::add).
    pub fn blocking_add_on<C: BlockingEnqueueConnection>(
        self,
        schedulers: &(impl Schedulers + ?Sized),
        conn: &mut C,
    ) -> Result<Added<R>, Error> {
        let scheduler = self.scheduler(schedulers)?;
        let added = scheduler.blocking_add_task_on(conn, self.task)?;
        Ok(Added::new(added, scheduler))
    }

    fn with(self, change: impl FnOnce(NewTask) -> NewTask) -> Self {
        Self {
            task: change(self.task),
            ..self
        }
    }

    fn scheduler(&self, schedulers: &(impl Schedulers + ?Sized)) -> Result<Scheduler, Error> {
        // A scheduler checks the task; without one, the faults of both are named here.
        if check_theme(&self.theme).is_err() {
            self.task.check_of_theme(&self.theme)?;
        }
        schedulers.scheduler(&self.theme)
    }
}
