//! The handle on one theme: every operation as an async method.

use std::{
    collections::BTreeMap,
    slice,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{options::ThemeRules, runtime::ThemeRuntimes, status::SchedulerStatus};
use crate::{
    domain::{
        ActionOnTask, AddedOnce, AddedTask, ExecRecord, Faults, InvalidInput, ListTasks, NewTask, Note, OnceKey, Page,
        PageRequest, Task, TaskStatus, check_theme, check_workers,
    },
    error::{Error, ask},
    store::{Addition, CancelResult, NewTaskRow, Once, RetryResult, Shape, Store},
    traces::Span,
};

/// Cloneable handle on one theme. A theme is a named queue of tasks, with workers in each process that runs it.
///
/// It works in a process that runs the theme's workers and in a process that only adds tasks; only
/// [`resize_workers`](Self::resize_workers) and [`status`](Self::status) need the workers to be here.
///
/// It is an actor too: the same operations are messages to its [address](Self::addr).
///
#[cfg_attr(feature = "sqlite", doc = "```")]
#[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
/// use gaia_actors::{Gaia, NewTask, messages::AddTask};
///
/// # #[actix_rt::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let gaia = Gaia::builder().database("sqlite::memory:").start().await?;
/// let orders = gaia.scheduler("order-task")?;
/// let task = NewTask::new("OrderService", "AsyncCreateOrder");
///
/// let by_method = orders.add_task(task.clone()).await?;
/// let by_message = orders.addr().send(AddTask(task)).await??;
/// assert_eq!(by_message.id, by_method.id + 1);
/// # gaia.stop().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Scheduler {
    pub(super) theme: Arc<str>,
    pub(super) store: Store,
    pub(super) themes: ThemeRuntimes,
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduler")
            .field("theme", &self.theme)
            .finish_non_exhaustive()
    }
}

/// The most tasks in one transaction: more would hold up all other writers for seconds, heartbeats too.
pub(super) const MAX_TASKS_PER_CALL: usize = 100_000;

/// What cancelling did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub enum CancelAnswer {
    /// The task waited; it is Cancelled now.
    Cancelled,
    /// The task runs; its handler is asked to stop, and dropped if it does not end within the scheduler's cancel grace.
    Requested,
}

impl Scheduler {
    pub(crate) fn new(theme: &str, store: Store, themes: ThemeRuntimes) -> Result<Self, InvalidInput> {
        check_theme(theme)?;
        Ok(Self {
            theme: theme.into(),
            store,
            themes,
        })
    }

    /// The handle on a theme of the same database.
    pub(crate) fn of_theme(&self, theme: &str) -> Result<Self, InvalidInput> {
        Self::new(theme, self.store.clone(), self.themes.clone())
    }

    /// The theme this handle is for.
    #[must_use]
    pub fn theme(&self) -> &str {
        &self.theme
    }

    // ---- adding ----

    /// Adds a task. When this returns, the task is durably stored. The workers of this process are woken, and on PostgreSQL those of other
    /// processes, too; on the other databases other processes find the task with their next scan. If a worker of this process is
    /// free and no task waits, the insert itself claims the task for this process: it is Running from its first moment.
    ///
    /// On PostgreSQL and MySQL one insert may store the tasks of several concurrent callers. If one of the tasks is invalid, only its caller
    /// gets the error.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every fault of the task, [`Error::Store`]. After an error nothing is stored, with one exception: after
    /// [`StoreError::Disconnected`](crate::StoreError::Disconnected) the caller cannot know. If the caller adds the task again, a
    /// [unique key](NewTask::unique_key) prevents a second task while the first is not finished.
    pub async fn add_task(&self, task: NewTask) -> Result<AddedTask, Error> {
        let span = self.span_of(slice::from_ref(&task));
        traced(span, self.add(task)).await
    }

    async fn add(&self, task: NewTask) -> Result<AddedTask, Error> {
        let row = self.row(task)?;
        let wakes = self.wakes_local_workers(std::iter::once(&row));
        let runtime = self.themes.get(&self.theme);
        let runtime = runtime.filter(|runtime| row.claimable_on_insert() && runtime.takes(row.calls()));
        let add = |store: Store| async move {
            match runtime {
                Some(runtime) => runtime.add(&store, row).await,
                None => Ok((store.add_one(row).await?, false)),
            }
        };
        let (added, is_claimed) = ask(&self.store, add).await?;
        self.themes.note_added(&self.theme, &[added]);
        if !is_claimed {
            self.wake(1, wakes);
        }
        Ok(added)
    }

    /// Adds many tasks, at most 100,000, in one transaction: all of them, or none.
    ///
    /// # Errors
    /// As for [`add_task`](Self::add_task); the faults name the task by its position in the list.
    pub async fn add_tasks(&self, tasks: Vec<NewTask>) -> Result<Vec<AddedTask>, Error> {
        traced(self.span_of(&tasks), async {
            let rows = self.rows(tasks)?;
            let wakes = self.wakes_local_workers(rows.iter());
            let added = ask(&self.store, |store| async move { store.tasks().add(rows).await }).await?;
            self.themes.note_added(&self.theme, &added);
            self.wake(added.len(), wakes);
            Ok(added)
        })
        .await
    }

    /// Adds many tasks, at most 100,000, in one transaction, and only once: a caller who does not know whether a call was done repeats the
    /// call with the same key and the same tasks. If the earlier call was done, the answer is that call's, and nothing is added.
    ///
    /// The transaction that adds the tasks stores the key, which is kept for 24 hours. A call that fails leaves the key free. A second
    /// call with the same key waits while the transaction of the first is under way. The key belongs to this theme; keys of callers of the
    /// HTTP API are separate. Unlike a [unique key](NewTask::unique_key), which counts while its task is unfinished, the key of a call
    /// also counts when the tasks have ended.
    ///
    /// The tasks are the same if each of them is the same JSON: a [`run_at`](NewTask::run_at) that is made from the time of the call
    /// differs from call to call. Choose the key by what causes the tasks, such as the id of an order or of a message.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use gaia_actors::{Gaia, NewTask};
    ///
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gaia = Gaia::builder().database("sqlite::memory:").start().await?;
    /// let orders = gaia.scheduler("order-task")?;
    /// let tasks = || vec![NewTask::new("OrderService", "AsyncCreateOrder").args(&17)];
    ///
    /// let first = orders.add_tasks_once("message-4711", tasks()).await?;
    /// let again = orders.add_tasks_once("message-4711", tasks()).await?;
    /// assert_eq!((first.replayed, again.replayed), (false, true));
    /// assert_eq!(first.tasks, again.tasks);
    /// # gaia.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`add_tasks`](Self::add_tasks), and [`Error::Invalid`] if the key is not 1 to 255 visible ASCII characters,
    /// [`Error::IdempotencyKeyReused`] if the key was used for other tasks, [`Error::IdempotencyKeyBusy`] if another call with this key has
    /// been under way for 5 s.
    pub async fn add_tasks_once(&self, key: &str, tasks: Vec<NewTask>) -> Result<AddedOnce, Error> {
        let key = OnceKey::of_tasks(&self.theme, key, None, &tasks);
        traced(self.span_of(&tasks), async {
            // A fault of a task is named first, with the task's place.
            let rows = self.rows(tasks)?;
            self.add_rows_once(key?, rows, None, true).await
        })
        .await
    }

    /// Adds tasks under a key that the caller has made.
    #[cfg(feature = "web")]
    pub(crate) async fn add_once(&self, key: OnceKey, tasks: Vec<NewTask>, wakes: bool) -> Result<AddedOnce, Error> {
        traced(self.span_of(&tasks), async {
            let rows = self.rows(tasks)?;
            self.add_rows_once(key, rows, None, wakes).await
        })
        .await
    }

    /// Adds tasks, of which the `shape` says which waits for which.
    pub(super) async fn add_rows_once(
        &self,
        key: OnceKey,
        rows: Vec<NewTaskRow>,
        shape: Option<Shape>,
        wakes: bool,
    ) -> Result<AddedOnce, Error> {
        let wakes_here = self.wakes_local_workers(rows.iter());
        let add = |store: Store| async move { store.tasks().add_once(key, rows, shape).await };
        let theme = || self.theme.to_string();
        match ask(&self.store, add).await? {
            Once::Done(addition) => {
                let tasks = self.note_addition(addition, wakes.then_some(wakes_here))?;
                Ok(AddedOnce { tasks, replayed: false })
            }
            Once::Replayed(tasks) => Ok(AddedOnce { tasks, replayed: true }),
            Once::OtherBody => Err(Error::IdempotencyKeyReused { theme: theme() }),
            Once::Busy => Err(Error::IdempotencyKeyBusy { theme: theme() }),
        }
    }

    /// Adds a task, like [`add_task`](Self::add_task), but wakes no worker: the next scan finds the task, or
    /// [`task_quick_queue`](Self::task_quick_queue) has it claimed immediately. (The name is the Go framework's.)
    ///
    /// # Errors
    /// As for [`add_task`](Self::add_task).
    pub async fn receive_task(&self, task: NewTask) -> Result<AddedTask, Error> {
        traced(self.span_of(slice::from_ref(&task)), async {
            let row = self.row(task)?;
            let added = ask(&self.store, |store| async move { store.add_one(row).await }).await?;
            self.themes.note_added(&self.theme, &[added]);
            Ok(added)
        })
        .await
    }

    /// Has this process claim the task now, before others, if a worker is free. Does not wait. In a process without workers of this theme it
    /// does nothing, and a scan finds the task.
    pub fn task_quick_queue(&self, id: i64) {
        if let Some(runtime) = self.themes.get(&self.theme) {
            runtime.quick_queue(id);
        }
    }

    /// Notes that this process adds tasks to the theme.
    pub(super) fn note_use(&self) {
        self.themes.note_use(&self.theme);
    }

    /// The span around the addition of these tasks.
    pub(super) fn span_of(&self, tasks: &[NewTask]) -> Span {
        self.themes.traces().of_addition(&self.theme, tasks)
    }

    /// Whether [`Self::retry_task`] takes a task with this status.
    #[cfg(feature = "web")]
    pub(crate) fn may_retry(&self, status: TaskStatus) -> bool {
        let is_allowed = ActionOnTask::Retry.allowed_from().contains(&status);
        is_allowed || (status == TaskStatus::Success && self.rules().retry_succeeded)
    }

    fn rules(&self) -> ThemeRules {
        self.themes.rules(&self.theme)
    }

    pub(super) fn row(&self, task: NewTask) -> Result<NewTaskRow, InvalidInput> {
        let task = task.or_traceparent(|| self.themes.traces().current());
        task.check()?;
        let max_retry = self.rules().max_retry;
        Ok(NewTaskRow::new(&self.theme, task, max_retry, self.store.clock().now()))
    }

    pub(super) fn rows(&self, tasks: Vec<NewTask>) -> Result<Vec<NewTaskRow>, InvalidInput> {
        let mut faults = Faults::default();
        faults.require(tasks.len() <= MAX_TASKS_PER_CALL, || {
            let count = tasks.len();
            format!("{count} tasks at once, expected at most {MAX_TASKS_PER_CALL}; add them in parts")
        });
        faults.into_result()?;
        let now = self.store.clock().now();
        let traceparent = self.themes.traces().current();
        let max_retry = self.rules().max_retry;
        tasks
            .into_iter()
            .enumerate()
            .map(|(at, task)| {
                let task = task.or_traceparent(|| traceparent.clone());
                task.check()
                    .map_err(|error| error.of(&format!("task {at} of the list")))?;
                Ok(NewTaskRow::new(&self.theme, task, max_retry, now))
            })
            .collect()
    }

    /// Whether to wake the workers of this process: they take at least one of these tasks.
    pub(super) fn wakes_local_workers<'a>(&self, mut rows: impl Iterator<Item = &'a NewTaskRow>) -> bool {
        let runtime = self.themes.get(&self.theme);
        runtime.is_some_and(|runtime| rows.any(|row| runtime.takes(row.calls())))
    }

    /// Tells workers that so many tasks were added: those of this process if `wakes`, and those of other processes if the database announces
    /// it.
    pub(super) fn wake(&self, count: usize, wakes: bool) {
        if let Some(runtime) = self.themes.get(&self.theme).filter(|_| wakes) {
            runtime.wake();
        }
        self.store.cluster().announce_tasks(&self.theme, count);
    }

    /// Notes what was added, and tells workers of due tasks as [`Self::wake`] does, unless `wakes` is `None`.
    pub(super) fn note_addition(&self, addition: Addition, wakes: Option<bool>) -> Result<Vec<AddedTask>, Error> {
        match addition {
            Addition::Added { tasks, due } => {
                self.themes.note_added(&self.theme, &tasks);
                if let Some(wakes) = wakes.filter(|_| due > 0) {
                    self.wake(due, wakes);
                }
                Ok(tasks)
            }
            Addition::NoPredecessor(id) => Err(Error::TaskNotFound { theme: None, id }),
            Addition::PredecessorEnded(id, status) => Err(Error::PredecessorEnded { id, status }),
        }
    }

    // ---- looking ----

    /// Lists tasks, newest first.
    ///
    /// Long texts of a long page are cut, and say so. On a page of n rows, a text is cut if it is longer than 16 MB / n; then its first
    /// 4,000,000 / n characters are shown. So a page of 20 rows shows texts of up to 800 kB whole.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every fault of the page and the filter, [`Error::Store`].
    pub async fn list_tasks(&self, list: ListTasks) -> Result<Page<Task>, Error> {
        list.check(&self.theme)?;
        let theme = Arc::clone(&self.theme);
        ask(
            &self.store,
            |store| async move { store.tasks().list(&theme, &list).await },
        )
        .await
    }

    /// A task as it stands.
    ///
    /// # Errors
    /// [`Error::TaskNotFound`], [`Error::Store`].
    pub async fn get_task_detail(&self, id: i64) -> Result<Task, Error> {
        let theme = Arc::clone(&self.theme);
        let task = ask(&self.store, |store| async move { store.tasks().get(&theme, id).await }).await?;
        task.ok_or_else(|| self.not_found(id))
    }

    /// The records of a task's runs, newest first. Long texts of a long page are cut, and say so: as in a page of
    /// [`list_tasks`](Self::list_tasks).
    ///
    /// # Errors
    /// [`Error::TaskNotFound`], [`Error::Invalid`] for a page or page size out of range, [`Error::Store`].
    pub async fn get_task_exec_records(&self, id: i64, page: PageRequest) -> Result<Page<ExecRecord>, Error> {
        self.task_with_records(id, page).await.map(|(_, records)| records)
    }

    /// A task as it stands, and a page of the records of its runs.
    pub(crate) async fn task_with_records(
        &self,
        id: i64,
        page: PageRequest,
    ) -> Result<(Task, Page<ExecRecord>), Error> {
        page.check()?;
        let task = self.get_task_detail(id).await?;
        let records = ask(
            &self.store,
            |store| async move { store.tasks().records(id, page).await },
        );
        Ok((task, records.await?))
    }

    /// How many tasks of the theme have each status.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn count_by_status(&self) -> Result<BTreeMap<TaskStatus, i64>, Error> {
        let theme = Arc::clone(&self.theme);
        ask(&self.store, |store| async move {
            store.tasks().count_by_status(&theme).await
        })
        .await
    }

    /// Waits until a task is finished, and answers with it. A timeout of zero looks once.
    ///
    /// # Errors
    /// [`Error::WaitTimedOut`] if it is not finished after `timeout`, [`Error::TaskNotFound`], [`Error::Store`].
    pub async fn wait_for(&self, id: i64, timeout: Duration) -> Result<Task, Error> {
        match tokio::time::timeout(timeout, self.wait_for_end(id)).await {
            Ok(task) => task,
            Err(_) => match self.get_task_detail(id).await? {
                task if task.status.is_finished() => Ok(task),
                Task { status, .. } => Err(Error::WaitTimedOut {
                    id,
                    waited: timeout,
                    status,
                }),
            },
        }
    }

    /// Reads the row when this process records the end of a run of the task. Another process may record it, so this also polls: after a
    /// quarter of the time waited so far, so that many callers who wait for long do not keep the database busy. The pause is at least 0.5 s
    /// (10 ms if this process does not run the theme) and at most 5 s.
    async fn wait_for_end(&self, id: i64) -> Result<Task, Error> {
        let began = Instant::now();
        let runtime = self.themes.get(&self.theme);
        let watch = runtime.as_ref().map(|runtime| runtime.completions().watch(id));
        let shortest = match watch {
            Some(_) => Duration::from_millis(500),
            None => Duration::from_millis(10),
        };
        loop {
            let ended = watch.as_ref().map(|watch| watch.ended());
            let task = self.get_task_detail(id).await?;
            if task.status.is_finished() {
                return Ok(task);
            }
            let pause = (began.elapsed() / 4).clamp(shortest, Duration::from_secs(5));
            match ended {
                // Whether this caller was woken or the pause is over: the row has the truth.
                Some(ended) => drop(tokio::time::timeout(pause, ended).await),
                None => tokio::time::sleep(pause).await,
            }
        }
    }

    // ---- changing ----

    /// Queues a Failed or Cancelled task again: its attempts start anew, its records stay. So can a task be queued that is Running without a
    /// node: another framework, or plain SQL, has left it so, and no node of this crate runs it. With
    /// [`SchedulerOptions::retry_succeeded`](crate::SchedulerOptions::retry_succeeded) a task that is Success can be queued again, too.
    ///
    /// # Errors
    /// [`Error::NotAllowed`] if its status is another, [`Error::UniqueKeyTaken`], [`Error::TaskNotFound`],
    /// [`Error::Store`].
    pub async fn retry_task(&self, id: i64) -> Result<(), Error> {
        let (theme, succeeded) = (Arc::clone(&self.theme), self.rules().retry_succeeded);
        match ask(&self.store, |store| async move {
            store.tasks().retry(&theme, id, succeeded).await
        })
        .await?
        {
            RetryResult::Queued => {
                self.wake(1, true);
                Ok(())
            }
            RetryResult::NotAllowed(status) => Err(not_allowed(ActionOnTask::Retry, id, status)),
            RetryResult::KeyTaken => Err(Error::UniqueKeyTaken { id }),
            RetryResult::NotFound => Err(self.not_found(id)),
        }
    }

    /// Cancels a task that waits, or asks the node that runs it to stop.
    ///
    /// # Errors
    /// [`Error::NotAllowed`] if it is finished, [`Error::TaskNotFound`], [`Error::Store`].
    pub async fn cancel_task(&self, id: i64) -> Result<CancelAnswer, Error> {
        let theme = Arc::clone(&self.theme);
        match ask(
            &self.store,
            |store| async move { store.tasks().cancel(&theme, id).await },
        )
        .await?
        {
            CancelResult::Cancelled => {
                if let Some(runtime) = self.themes.get(&self.theme) {
                    runtime.ended_by_caller(id);
                }
                Ok(CancelAnswer::Cancelled)
            }
            CancelResult::Requested => {
                if let Some(runtime) = self.themes.get(&self.theme) {
                    runtime.cancel_run(id);
                }
                // If another node runs the task, the node actor there finds the request in the database.
                self.store.cluster().announce_requests();
                Ok(CancelAnswer::Requested)
            }
            CancelResult::NotAllowed(status) => Err(not_allowed(ActionOnTask::Cancel, id, status)),
            CancelResult::NotFound => Err(self.not_found(id)),
        }
    }

    /// Stops every node from taking tasks of this theme; runs end normally. Kept in the database until
    /// [`resume`](Self::resume).
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn pause(&self) -> Result<(), Error> {
        self.set_paused(true, Note::default()).await
    }

    /// Lets every node take tasks of this theme again. Nodes elsewhere follow within 5 seconds.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn resume(&self) -> Result<(), Error> {
        self.set_paused(false, Note::default()).await
    }

    /// Pauses or resumes the theme, and keeps who did it and why.
    pub(crate) async fn set_paused(&self, paused: bool, note: Note) -> Result<(), Error> {
        let theme = Arc::clone(&self.theme);
        ask(&self.store, |store| async move {
            store.cluster().set_paused(&theme, paused, &note).await
        })
        .await?;
        self.follow_settings().await
    }

    /// Changes how many workers *every* process has for the theme: running processes follow within 5 seconds, processes that start
    /// later begin with this number. The database keeps it until the next call; `None` lets each process go back to its own
    /// [`worker_num`](crate::SchedulerOptions::worker_num). A later [`resize_workers`](Self::resize_workers) in one process
    /// holds there until the next call of this method.
    ///
    /// # Errors
    /// [`Error::Invalid`] for more than 100,000, [`Error::Store`].
    pub async fn resize_theme(&self, workers: impl Into<Option<usize>>) -> Result<(), Error> {
        self.set_size(workers.into(), Note::default()).await
    }

    /// Resizes the theme, and keeps who did it and why.
    pub(crate) async fn set_size(&self, workers: Option<usize>, note: Note) -> Result<(), Error> {
        check_size(workers.unwrap_or(0))?;
        let theme = Arc::clone(&self.theme);
        ask(&self.store, |store| async move {
            store.cluster().set_size(&theme, workers, &note).await
        })
        .await?;
        self.follow_settings().await
    }

    /// Applies the theme's stored settings in this process now, and announces to other processes that they have changed.
    async fn follow_settings(&self) -> Result<(), Error> {
        self.store.cluster().announce_requests();
        if let Some(runtime) = self.themes.get(&self.theme) {
            let theme = Arc::clone(&self.theme);
            let settings = ask(
                &self.store,
                |store| async move { store.cluster().settings(&theme).await },
            )
            .await?;
            runtime.follow(settings);
        }
        Ok(())
    }

    /// Changes how many workers this process has for the theme, until the next call of this method or of
    /// [`resize_theme`](Self::resize_theme). New workers start immediately; workers that are no longer wanted end the tasks they have. With 0
    /// this process takes no work.
    ///
    /// # Errors
    /// [`Error::NotScheduledHere`], [`Error::Invalid`] for more than 100,000.
    pub async fn resize_workers(&self, workers: usize) -> Result<(), Error> {
        check_size(workers)?;
        self.runtime()?.resize(workers).await
    }

    /// The counters of the theme's actors in this process.
    ///
    /// # Errors
    /// [`Error::NotScheduledHere`], [`Error::Stopped`].
    pub async fn status(&self) -> Result<SchedulerStatus, Error> {
        self.runtime()?.status().await
    }

    fn runtime(&self) -> Result<super::ThemeRuntime, Error> {
        self.themes.get(&self.theme).ok_or_else(|| Error::NotScheduledHere {
            theme: self.theme.to_string(),
        })
    }

    fn not_found(&self, id: i64) -> Error {
        Error::TaskNotFound {
            theme: Some(self.theme.to_string()),
            id,
        }
    }
}

/// The addition within its span.
pub(super) async fn traced<T>(span: Span, addition: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let added = span.clone().around(addition).await;
    if let Err(error) = &added {
        span.failed(&error.to_string());
    }
    added
}

fn check_size(workers: usize) -> Result<(), InvalidInput> {
    let mut faults = Faults::default();
    check_workers(&mut faults, workers);
    faults.into_result()
}

fn not_allowed(action: ActionOnTask, id: i64, status: TaskStatus) -> Error {
    Error::NotAllowed { action, id, status }
}
