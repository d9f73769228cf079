//! The definition of a kind of task.

use std::{any::type_name, borrow::Borrow, fmt, marker::PhantomData, time::Duration};

use actix::Recipient;
use serde::{Serialize, de::DeserializeOwned};

use super::{Added, Schedulers, TypedTask, added::result_of};
use crate::{
    asynctask::Scheduler,
    domain::{AddedTask, NewJob, NewTask, TaskError},
    error::Error,
    registry::{Endpoint, Invoke, Registration, TaskContext, async_fn, blocking_fn},
    store::EnqueueConnection,
};

/// The theme of a definition that names none.
const DEFAULT_THEME: &str = "default";

/// The definition of a kind of task, as a `const`: which method of which service it calls, with which type of arguments `A` and which type of
/// result `R`, in which theme and with which options. The handler is registered by it, and tasks are added by it: the compiler refuses
/// arguments, a handler or a result of another type.
///
#[cfg_attr(feature = "sqlite", doc = "```")]
#[cfg_attr(not(feature = "sqlite"), doc = "```no_run")]
/// use std::time::Duration;
///
/// use gaia_actors::prelude::*;
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct CreateOrder { item: String, amount: u32 }
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Receipt { order: u64 }
///
/// const CREATE_ORDER: TaskDef<CreateOrder, Receipt> = TaskDef::new("OrderService", "AsyncCreateOrder")
///     .theme("orders")
///     .max_retry(5)
///     .timeout(Duration::from_secs(30));
///
/// # #[actix_rt::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let gaia = Gaia::builder()
///     .database("sqlite::memory:")
///     .handlers(CREATE_ORDER.handler(async |ctx, order| {
///         log::info!("task {} orders {} {}", ctx.id(), order.amount, order.item);
///         Ok(Receipt { order: 17 })
///     }))
///     .theme("orders")
///     .start()
///     .await?;
///
/// let order = CreateOrder { item: "tea".to_owned(), amount: 2 };
/// let added = CREATE_ORDER.add(&gaia, &order).await?;
/// assert_eq!(added.wait(Duration::from_secs(10)).await?.order, 17);
///
/// // A task with further options of its own:
/// let task = CREATE_ORDER.task(&order).priority(10).unique_key("order-18");
/// let added = task.add(&gaia).await?;
/// # added.wait(Duration::from_secs(10)).await?;
/// # gaia.stop().await?;
/// # Ok(())
/// # }
/// ```
///
/// Arguments of another type do not compile:
///
/// ```compile_fail,E0308
/// use gaia_actors::TaskDef;
///
/// const SEND: TaskDef<String, ()> = TaskDef::new("Mail", "Send");
///
/// let task = SEND.task(&17);
/// ```
///
/// Nor does a handler that takes them:
///
/// ```compile_fail,E0631
/// use gaia_actors::{TaskContext, TaskDef};
///
/// const SEND: TaskDef<String, ()> = TaskDef::new("Mail", "Send");
///
/// let handler = SEND.handler(async |_: TaskContext, to: u32| Ok(()));
/// ```
///
/// Arguments and results are JSON in the database, so that an older process may have added a task, or another language: what does not fit `A` then
/// fails the task with `PARAM_ERROR`, and what does not fit `R` is [`Error::ResultMismatch`] for the caller who waits.
pub struct TaskDef<A, R> {
    service: &'static str,
    method: &'static str,
    theme: &'static str,
    /// `None` in an option: the default of [`NewTask`].
    max_retry: Option<i64>,
    priority: Option<i32>,
    timeout: Option<Duration>,
    retry_delay: Option<Duration>,
    types: PhantomData<fn(A) -> R>,
}

impl<A, R> Clone for TaskDef<A, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A, R> Copy for TaskDef<A, R> {}

impl<A, R> fmt::Debug for TaskDef<A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskDef")
            .field("service", &self.service)
            .field("method", &self.method)
            .field("theme", &self.theme)
            .field("args", &type_name::<A>())
            .field("result", &type_name::<R>())
            .finish_non_exhaustive()
    }
}

impl<A, R> TaskDef<A, R> {
    /// Tasks that call `method` of `service`, in the theme `default`. Its names and options are checked when a handler is registered by the
    /// definition, and when a task is added by it.
    #[must_use]
    pub const fn new(service: &'static str, method: &'static str) -> Self {
        Self {
            service,
            method,
            theme: DEFAULT_THEME,
            max_retry: None,
            priority: None,
            timeout: None,
            retry_delay: None,
            types: PhantomData,
        }
    }

    // ---- options ----

    /// The theme, that is, the queue to which tasks are added: 1 to 100 characters. Default: `default`.
    #[must_use]
    pub const fn theme(self, theme: &'static str) -> Self {
        Self { theme, ..self }
    }

    /// How often a task is tried again, at most: see [`NewTask::max_retry`]. Default: as the process says that adds it,
    /// 3 unless that is set.
    #[must_use]
    pub const fn max_retry(self, times: i64) -> Self {
        Self {
            max_retry: Some(times),
            ..self
        }
    }

    /// Tasks with a higher priority run first: see [`NewTask::priority`]. Default 0.
    #[must_use]
    pub const fn priority(self, priority: i32) -> Self {
        Self {
            priority: Some(priority),
            ..self
        }
    }

    /// The longest one attempt may take: see [`NewTask::timeout`]. Default: the timeout of the process that runs the task.
    #[must_use]
    pub const fn timeout(self, timeout: Duration) -> Self {
        Self {
            timeout: Some(timeout),
            ..self
        }
    }

    /// The delay before the first retry: see [`NewTask::retry_delay`]. Default: the delay of the process that runs the task.
    #[must_use]
    pub const fn retry_delay(self, delay: Duration) -> Self {
        Self {
            retry_delay: Some(delay),
            ..self
        }
    }

    /// The service that its tasks call.
    #[must_use]
    pub const fn service_name(self) -> &'static str {
        self.service
    }

    /// The method that its tasks call.
    #[must_use]
    pub const fn method_name(self) -> &'static str {
        self.method
    }

    /// The theme to which its tasks are added, unless a task names another.
    #[must_use]
    pub const fn theme_name(self) -> &'static str {
        self.theme
    }

    // ---- handlers ----

    /// An async function as the handler, as for [`async_fn`].
    pub fn handler<F>(self, function: F) -> Registration
    where
        F: AsyncFn(TaskContext, A) -> Result<R, TaskError> + Send + Sync + 'static,
        A: DeserializeOwned + 'static,
        R: Serialize + 'static,
    {
        self.registration(async_fn(function))
    }

    /// A blocking function as the handler, as for [`blocking_fn`].
    pub fn blocking_handler<F>(self, function: F) -> Registration
    where
        F: Fn(TaskContext, A) -> Result<R, TaskError> + Send + Sync + 'static,
        A: DeserializeOwned + 'static,
        R: Serialize + 'static,
    {
        self.registration(blocking_fn(function))
    }

    /// An actor as the handler. It reads the arguments and writes the result itself: the compiler does not check their types.
    pub fn actor(self, actor: Recipient<Invoke>) -> Registration {
        self.registration(actor)
    }

    fn registration(self, handler: impl Into<Endpoint>) -> Registration {
        let check = self.new_task().check_of_theme(self.theme);
        // A method without a theme may be there for jobs alone.
        let theme = (self.theme != DEFAULT_THEME).then_some(self.theme);
        Registration::new(self.service, self.method, handler).defined(theme, check)
    }

    // ---- tasks ----

    /// A task with these arguments, which [`TypedTask::add`] adds. Before that it can get further options.
    pub fn task(self, args: &A) -> TypedTask<R>
    where
        A: Serialize,
    {
        TypedTask::new(self.theme, self.new_task().args(args))
    }

    /// Adds a task with these arguments, as [`Scheduler::add_task`](crate::Scheduler::add_task) does.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every fault of the definition and of the arguments, [`Error::Store`].
    pub async fn add(self, schedulers: &(impl Schedulers + ?Sized), args: &A) -> Result<Added<R>, Error>
    where
        A: Serialize,
    {
        self.task(args).add(schedulers).await
    }

    /// Adds a task for each of these arguments, at most 100,000, in one transaction: all of them, or none.
    ///
    /// # Errors
    /// As for [`add`](Self::add); a fault of arguments names them by their position.
    pub async fn add_all<T: Borrow<A>>(
        self,
        schedulers: &(impl Schedulers + ?Sized),
        args: impl IntoIterator<Item = T>,
    ) -> Result<Vec<Added<R>>, Error>
    where
        A: Serialize,
    {
        let (scheduler, tasks) = self.tasks(schedulers, args)?;
        let added = scheduler.add_tasks(tasks).await?;
        Ok(typed(added, &scheduler))
    }

    /// Adds a task for each of these arguments on a connection of yours, like [`Scheduler::add_tasks_on`](crate::Scheduler::add_tasks_on): all or none
    /// inside your transaction.
    ///
    /// # Errors
    /// As for [`add_all`](Self::add_all).
    pub async fn add_all_on<T: Borrow<A>, C: EnqueueConnection>(
        self,
        schedulers: &(impl Schedulers + ?Sized),
        conn: &mut C,
        args: impl IntoIterator<Item = T>,
    ) -> Result<Vec<Added<R>>, Error>
    where
        A: Serialize,
    {
        let (scheduler, tasks) = self.tasks(schedulers, args)?;
        let added = scheduler.add_tasks_on(conn, tasks).await?;
        Ok(typed(added, &scheduler))
    }

    /// A cron job that calls the method with these arguments, and has the definition's timeout, retries and their delay where it names them.
    ///
    /// ```
    /// use gaia_actors::{NewJob, TaskDef};
    ///
    /// const REPORT: TaskDef<u32, ()> = TaskDef::new("Reports", "Monthly");
    ///
    /// let job: NewJob = REPORT.cron_job("monthly report", "0 0 6 1 * *", &31).time_zone("Europe/Paris");
    /// ```
    pub fn cron_job(self, name: impl Into<String>, cron_expr: impl Into<String>, args: &A) -> NewJob
    where
        A: Serialize,
    {
        let mut job = NewJob::cron_job(name, cron_expr, self.service, self.method).args(args);
        if let Some(timeout) = self.timeout {
            job = job.timeout(timeout);
        }
        if let Some(times) = self.max_retry {
            job = job.max_retry(times);
        }
        if let Some(delay) = self.retry_delay {
            job = job.retry_delay(delay);
        }
        job
    }

    /// Waits until the task with this id is finished, and answers with its result: for a task whose id the caller has kept.
    /// [`Added::wait`] needs no id.
    ///
    /// # Errors
    /// As for [`Added::wait`], and [`Error::TaskNotFound`] if the task is not of the definition's theme.
    pub async fn wait_for(self, schedulers: &(impl Schedulers + ?Sized), id: i64, timeout: Duration) -> Result<R, Error>
    where
        R: DeserializeOwned,
    {
        result_of(schedulers.scheduler(self.theme)?.wait_for(id, timeout).await?)
    }

    /// A task for each of these arguments, and the handle on their theme.
    fn tasks<T: Borrow<A>>(
        self,
        schedulers: &(impl Schedulers + ?Sized),
        args: impl IntoIterator<Item = T>,
    ) -> Result<(Scheduler, Vec<NewTask>), Error>
    where
        A: Serialize,
    {
        let definition = self.new_task();
        definition.check_of_theme(self.theme)?;
        let scheduler = schedulers.scheduler(self.theme)?;
        let tasks = args.into_iter().map(|args| definition.clone().args(args.borrow()));
        Ok((scheduler, tasks.collect()))
    }

    fn new_task(self) -> NewTask {
        let mut task = NewTask::new(self.service, self.method);
        task.max_retry = self.max_retry;
        task.priority = self.priority.unwrap_or(task.priority);
        (task.timeout, task.retry_delay) = (self.timeout, self.retry_delay);
        task
    }
}

/// Added tasks, with the type of their results.
fn typed<R>(added: Vec<AddedTask>, scheduler: &Scheduler) -> Vec<Added<R>> {
    let typed = |task| Added::new(task, scheduler.clone());
    added.into_iter().map(typed).collect()
}
