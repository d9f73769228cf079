//! Adding tasks that wait until others have ended.

use std::collections::BTreeSet;

use super::{
    of_handlers::SchedulersOfHandlers,
    scheduler::{MAX_TASKS_PER_CALL, Scheduler, traced},
};
use crate::{
    domain::{
        AddedBatch, AddedBatchOnce, AddedOnce, AddedTask, Faults, InvalidInput, MAX_AFTER, MAX_CHAIN, NewTask, OnceKey,
        Predecessor, WaitsFor,
    },
    error::{Error, ask, shared_by_gaia},
    registry::TaskContext,
    store::{NewTaskRow, Shape, Store},
};

/// The key of a call. A fault of it is named after the faults of the tasks.
type Key = Result<OnceKey, InvalidInput>;

impl Scheduler {
    /// Adds a chain of 1 to 1,000 tasks in one transaction: all of them, or none. The first is due at once. Each other task waits until the one
    /// before it has succeeded, and reads its result by [`TaskContext::predecessors`](crate::TaskContext::predecessors).
    ///
    /// A task that has failed for good, or was cancelled, cancels the tasks behind it. A task that waits can be cancelled, too, and then the
    /// tasks behind it are. [`retry_task`](Self::retry_task) of a task in the middle runs that task alone: those behind it stay Cancelled until
    /// each of them is retried. A task that waits has the status Wait and [`Task::waits_for`](crate::Task::waits_for).
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use std::time::Duration;
    /// use gaia_actors::prelude::*;
    ///
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gaia = Gaia::builder()
    ///     .database("sqlite::memory:")
    ///     .handler("Film", "Cut", async_fn(async |_, film: u64| Ok::<_, TaskError>(film * 2)))
    ///     .handler("Film", "Publish", async_fn(async |_, film: u64| Ok::<_, TaskError>(film)))
    ///     .scheduler(SchedulerOptions::new("films"))
    ///     .start()
    ///     .await?;
    /// let films = gaia.scheduler("films")?;
    /// let chain = vec![NewTask::new("Film", "Cut").args(&17), NewTask::new("Film", "Publish").args(&17)];
    /// let added = films.add_chain(chain).await?;
    /// let published = films.wait_for(added[1].id, Duration::from_secs(10)).await?;
    /// assert_eq!(published.status, TaskStatus::Success);
    /// # gaia.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`add_tasks`](Self::add_tasks). [`Error::Invalid`], too, if the chain has no task or too many, or if a task that waits has a
    /// [`run_at`](NewTask::run_at) or a [unique key](NewTask::unique_key).
    pub async fn add_chain(&self, tasks: Vec<NewTask>) -> Result<Vec<AddedTask>, Error> {
        Ok(self.add_chain_by(None, tasks).await?.tasks)
    }

    /// Adds a chain as [`add_chain`](Self::add_chain) does, and only once, as [`add_tasks_once`](Self::add_tasks_once) says: if an earlier call
    /// with this key has added the chain, the answer is that call's, and nothing is added.
    ///
    /// # Errors
    /// As for [`add_chain`](Self::add_chain) and [`add_tasks_once`](Self::add_tasks_once). After an error the key is free.
    pub async fn add_chain_once(&self, key: &str, tasks: Vec<NewTask>) -> Result<AddedOnce, Error> {
        let key = OnceKey::of_tasks(&self.theme, key, Some("chain"), &tasks);
        self.add_chain_by(Some(key), tasks).await
    }

    async fn add_chain_by(&self, key: Option<Key>, tasks: Vec<NewTask>) -> Result<AddedOnce, Error> {
        traced(self.span_of(&tasks), async {
            check_chain(&tasks)?;
            let rows = self.rows(tasks)?;
            self.add_held(key, rows, Shape::Chain).await
        })
        .await
    }

    /// Adds a task that waits until 1 to 1,000 existing tasks, of any theme, have succeeded. If they have succeeded already, the new one is due
    /// at once. If one of them fails for good or is cancelled, the new one is cancelled. Many tasks may wait for the same one. All else is as in
    /// a [chain](Self::add_chain), but for the unique key, which this task may have: if an unfinished task has it, nothing is added.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use gaia_actors::prelude::*;
    ///
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gaia = Gaia::builder().database("sqlite::memory:").start().await?;
    /// let films = gaia.scheduler("films")?;
    /// let cut = films.add_task(NewTask::new("Film", "Cut").args(&17)).await?;
    /// let publish = films.add_after([cut.id], NewTask::new("Film", "Publish").args(&17)).await?;
    /// let waits_for = films.get_task_detail(publish.id).await?.waits_for;
    /// assert_eq!(waits_for.map(|waits_for| waits_for.to_string()), Some(format!("waits for task {}", cut.id)));
    /// # gaia.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`add_task`](Self::add_task). [`Error::Invalid`], too, if there is no id or too many, or if the task has a
    /// [`run_at`](NewTask::run_at); [`Error::TaskNotFound`]; [`Error::PredecessorEnded`] if one of those tasks has failed for good or was
    /// cancelled.
    pub async fn add_after(&self, ids: impl IntoIterator<Item = i64>, task: NewTask) -> Result<AddedTask, Error> {
        let added = self.add_after_by(None, ids.into_iter().collect(), None, task).await?;
        Ok(added.tasks[0])
    }

    /// Adds a task as [`add_after`](Self::add_after) does, and only once, as [`add_tasks_once`](Self::add_tasks_once) says: if an earlier call
    /// with this key has added the task, the answer is that call's, and nothing is added. So it is also if one of those tasks has failed since.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use gaia_actors::prelude::*;
    ///
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gaia = Gaia::builder().database("sqlite::memory:").start().await?;
    /// let films = gaia.scheduler("films")?;
    /// let cut = films.add_task(NewTask::new("Film", "Cut").args(&17)).await?;
    /// let publish = || NewTask::new("Film", "Publish").args(&17);
    ///
    /// let first = films.add_after_once("message-4711", [cut.id], publish()).await?;
    /// films.cancel_task(cut.id).await?;
    /// let again = films.add_after_once("message-4711", [cut.id], publish()).await?;
    /// assert_eq!((first.replayed, again.replayed), (false, true));
    /// assert_eq!(first.tasks, again.tasks);
    /// # gaia.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`add_after`](Self::add_after) and [`add_tasks_once`](Self::add_tasks_once). After an error the key is free.
    pub async fn add_after_once(
        &self,
        key: &str,
        ids: impl IntoIterator<Item = i64>,
        task: NewTask,
    ) -> Result<AddedOnce, Error> {
        let ids = BTreeSet::from_iter(ids);
        let key = OnceKey::of_tasks(&self.theme, key, Some(&format!("after {ids:?}")), [&task]);
        self.add_after_by(Some(key), ids, None, task).await
    }

    /// Adds a task that waits for others. `hidden`: one of them does not exist for the caller, and none is added, but a repeated call gets its
    /// answer.
    pub(crate) async fn add_after_by(
        &self,
        key: Option<Key>,
        ids: BTreeSet<i64>,
        hidden: Option<i64>,
        task: NewTask,
    ) -> Result<AddedOnce, Error> {
        let tasks = vec![task];
        traced(self.span_of(&tasks), async {
            check_after(&ids, &tasks[0])?;
            let row = tasks.into_iter().map(|task| self.row(task)).collect::<Result<_, _>>()?;
            self.add_held(key, row, Shape::After { tasks: ids, hidden }).await
        })
        .await
    }

    /// Adds a batch of 1 to 100,000 tasks, and a callback's task that runs once when all of them have ended, whether they have succeeded or not: in
    /// one transaction, all of it or nothing. The callback reads how many have succeeded, failed and were cancelled by
    /// [`TaskContext::waited_for`](crate::TaskContext::waited_for), and their results by
    /// [`TaskContext::predecessors`](crate::TaskContext::predecessors).
    ///
    /// A task of the batch may have a [unique key](NewTask::unique_key): if an unfinished task has it, the batch waits for that one. A task that
    /// is retried by hand after its end was counted does not change the counts, and the callback does not run again. To cancel the callback's task does not cancel the batch.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use std::time::Duration;
    /// use gaia_actors::prelude::*;
    ///
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gaia = Gaia::builder()
    ///     .database("sqlite::memory:")
    ///     .handler("Mail", "Send", async_fn(async |_, to: String| Ok::<_, TaskError>(to.len())))
    ///     .handler("Mail", "Report", async_fn(async |ctx: TaskContext, ()| {
    ///         let mails = ctx.waited_for().await?.ok_or("no batch")?;
    ///         Ok::<_, TaskError>((mails.succeeded, mails.failed))
    ///     }))
    ///     .scheduler(SchedulerOptions::new("mail"))
    ///     .start()
    ///     .await?;
    /// let mail = gaia.scheduler("mail")?;
    /// let mails = ["ann@example.com", "bob@example.com"].map(|to| NewTask::new("Mail", "Send").args(&to));
    /// let batch = mail.add_batch(mails.into(), NewTask::new("Mail", "Report")).await?;
    /// let report = mail.wait_for(batch.id, Duration::from_secs(10)).await?;
    /// assert_eq!(report.last_result.as_deref(), Some("[2,0]"));
    /// # gaia.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`add_tasks`](Self::add_tasks). [`Error::Invalid`], too, if the batch has no task or too many, or if the callback has a
    /// [`run_at`](NewTask::run_at) or a [unique key](NewTask::unique_key).
    pub async fn add_batch(&self, tasks: Vec<NewTask>, callback: NewTask) -> Result<AddedBatch, Error> {
        Ok(self.add_batch_by(None, tasks, callback).await?.batch)
    }

    /// Adds a batch as [`add_batch`](Self::add_batch) does, and only once, as [`add_tasks_once`](Self::add_tasks_once) says: if an earlier call
    /// with this key has added the batch, the answer is that call's, and nothing is added.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use gaia_actors::prelude::*;
    ///
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gaia = Gaia::builder().database("sqlite::memory:").start().await?;
    /// let mail = gaia.scheduler("mail")?;
    /// let mails = || ["ann@example.com", "bob@example.com"].map(|to| NewTask::new("Mail", "Send").args(&to));
    /// let report = || NewTask::new("Mail", "Report");
    ///
    /// let first = mail.add_batch_once("newsletter-17", mails().into(), report()).await?;
    /// let again = mail.add_batch_once("newsletter-17", mails().into(), report()).await?;
    /// assert_eq!((first.replayed, again.replayed), (false, true));
    /// assert_eq!(first.batch, again.batch);
    /// # gaia.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`add_batch`](Self::add_batch) and [`add_tasks_once`](Self::add_tasks_once). After an error the key is free.
    pub async fn add_batch_once(
        &self,
        key: &str,
        tasks: Vec<NewTask>,
        callback: NewTask,
    ) -> Result<AddedBatchOnce, Error> {
        let all = tasks.iter().chain([&callback]);
        let key = OnceKey::of_tasks(&self.theme, key, Some("batch"), all);
        self.add_batch_by(Some(key), tasks, callback).await
    }

    pub(crate) async fn add_batch_by(
        &self,
        key: Option<Key>,
        tasks: Vec<NewTask>,
        callback: NewTask,
    ) -> Result<AddedBatchOnce, Error> {
        traced(self.span_of(&tasks), async {
            check_batch(&tasks, &callback)?;
            let mut rows = self.rows(tasks)?;
            rows.push(self.row(callback).map_err(|error| error.of("the callback"))?);
            Ok(self.add_held(key, rows, Shape::Batch).await?.into_batch())
        })
        .await
    }

    /// How many tasks a task waits for, or has waited for, and how they have ended. `None`: for none.
    ///
    /// # Errors
    /// [`Error::TaskNotFound`], [`Error::Store`].
    pub async fn waited_for(&self, id: i64) -> Result<Option<WaitsFor>, Error> {
        self.get_task_detail(id).await?;
        ask(&self.store, |store| async move { store.tasks().waits_of(id).await }).await
    }

    /// The tasks for which a task has waited and that have ended, with ids greater than `after`, in the order of their ids: at most 100. To read
    /// all of them, begin with 0 and go on with the last id, until nothing comes.
    ///
    /// Long results and errors are cut, and say so: if a task has waited for n tasks, but no more than 100 count, those that are longer than
    /// 16 MB / n.
    ///
    /// # Errors
    /// [`Error::TaskNotFound`], [`Error::Store`].
    pub async fn predecessors(&self, id: i64, after: i64) -> Result<Vec<Predecessor>, Error> {
        self.get_task_detail(id).await?;
        ask(&self.store, |store| async move {
            store.tasks().predecessors(id, after).await
        })
        .await
    }

    async fn add_held(&self, key: Option<Key>, rows: Vec<NewTaskRow>, shape: Shape) -> Result<AddedOnce, Error> {
        if let Some(key) = key.transpose()? {
            return self.add_rows_once(key, rows, Some(shape), true).await;
        }
        let wakes = self.wakes_local_workers(rows.iter());
        let add = |store: Store| async move { store.tasks().add_held(rows, shape).await };
        let tasks = self.note_addition(ask(&self.store, add).await?, Some(wakes))?;
        Ok(AddedOnce { tasks, replayed: false })
    }
}

impl TaskContext {
    /// How many tasks the running task has waited for, and how they have ended: [`Scheduler::waited_for`], with an example in
    /// [`add_batch`](Scheduler::add_batch). `None`: for none; so it is in a job and in a direct call.
    ///
    /// # Errors
    /// [`Error::Store`]; [`Error::NoGaia`] in a context that a test has made; [`Error::Stopped`] if the Gaia has stopped.
    pub async fn waited_for(&self) -> Result<Option<WaitsFor>, Error> {
        let Some(id) = self.task_id() else { return Ok(None) };
        let shared = shared_by_gaia::<SchedulersOfHandlers>(self)?;
        ask(&shared.store, |store| async move { store.tasks().waits_of(id).await }).await
    }

    /// The tasks for which the running task has waited, with their results: [`Scheduler::predecessors`].
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use std::time::Duration;
    /// use gaia_actors::prelude::*;
    ///
    /// async fn publish(ctx: TaskContext, film: u64) -> Result<String, TaskError> {
    ///     let before = ctx.predecessors(0).await?;
    ///     // An operator may have had this task run before its time.
    ///     let cut = before.first().ok_or("the film is not cut yet")?;
    ///     Ok(format!("film {film} has {} minutes", cut.result.as_deref().unwrap_or("no")))
    /// }
    ///
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gaia = Gaia::builder()
    ///     .database("sqlite::memory:")
    ///     .handler("Film", "Cut", async_fn(async |_, _: u64| Ok::<_, TaskError>(90)))
    ///     .handler("Film", "Publish", async_fn(publish))
    ///     .scheduler(SchedulerOptions::new("films"))
    ///     .start()
    ///     .await?;
    /// let films = gaia.scheduler("films")?;
    /// let chain = vec![NewTask::new("Film", "Cut").args(&17), NewTask::new("Film", "Publish").args(&17)];
    /// let added = films.add_chain(chain).await?;
    /// let published = films.wait_for(added[1].id, Duration::from_secs(10)).await?;
    /// assert_eq!(published.last_result.as_deref(), Some(r#""film 17 has 90 minutes""#));
    /// # gaia.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`waited_for`](Self::waited_for).
    pub async fn predecessors(&self, after: i64) -> Result<Vec<Predecessor>, Error> {
        let Some(id) = self.task_id() else {
            return Ok(Vec::new());
        };
        let shared = shared_by_gaia::<SchedulersOfHandlers>(self)?;
        ask(&shared.store, |store| async move {
            store.tasks().predecessors(id, after).await
        })
        .await
    }
}

fn check_after(ids: &BTreeSet<i64>, task: &NewTask) -> Result<(), InvalidInput> {
    let mut faults = Faults::default();
    faults.require(!ids.is_empty(), || {
        "after names no task; name 1 at least, or add the task by itself".to_owned()
    });
    faults.require(ids.len() <= MAX_AFTER, || {
        let count = ids.len();
        format!("after names {count} tasks, expected at most {MAX_AFTER}; add them as a batch")
    });
    task.check_held(&mut faults, "the task", true);
    faults.into_result()
}

fn check_chain(tasks: &[NewTask]) -> Result<(), InvalidInput> {
    let mut faults = Faults::default();
    faults.require(!tasks.is_empty(), || {
        "the chain has no task; give it 1 at least".to_owned()
    });
    faults.require(tasks.len() <= MAX_CHAIN, || {
        let count = tasks.len();
        format!("the chain has {count} tasks, expected at most {MAX_CHAIN}; have its last task add the next chain")
    });
    for (at, task) in tasks.iter().enumerate().take(MAX_CHAIN).skip(1) {
        task.check_held(&mut faults, &format!("task {at} of the list"), false);
    }
    faults.into_result()
}

fn check_batch(tasks: &[NewTask], callback: &NewTask) -> Result<(), InvalidInput> {
    let mut faults = Faults::default();
    faults.require(!tasks.is_empty(), || {
        "the batch has no task; give it 1 at least, or add the callback alone".to_owned()
    });
    faults.require(tasks.len() <= MAX_TASKS_PER_CALL, || {
        let count = tasks.len();
        format!("the batch has {count} tasks, expected at most {MAX_TASKS_PER_CALL}; add several batches")
    });
    callback.check_held(&mut faults, "the callback", false);
    faults.into_result()
}
