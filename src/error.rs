//! The errors of the runtime's operations.

use std::sync::Arc;

use crate::{
    config::ConfigError,
    domain::{ActionOnTask, InvalidInput, TaskStatus},
    registry::{RegistryError, TaskContext},
    store::{StatementError, Store, StoreError},
};

/// An error of an operation. Its text says what happened, what was expected, and what to do.
///
#[cfg_attr(feature = "sqlite", doc = "```")]
#[cfg_attr(not(feature = "sqlite"), doc = "```no_run")]
/// use gaia_actors::{Error, StoreError, prelude::*};
///
/// /// The answer of a web page to the button "cancel".
/// async fn cancel(orders: &Scheduler, id: i64) -> Result<String, Error> {
///     match orders.cancel_task(id).await {
///         Ok(_) => Ok("cancelled, or about to be".to_owned()),
///         Err(Error::NotAllowed { status, .. }) => Ok(format!("too late: it is {status}")),
///         Err(error @ Error::TaskNotFound { .. }) => Ok(error.to_string()),
///         Err(Error::Store(StoreError::Disconnected(_))) => Ok("look again".to_owned()),
///         Err(error) => Err(error),
///     }
/// }
///
/// # #[actix_rt::main]
/// # async fn main() -> Result<(), Error> {
/// let gaia = Gaia::builder().database("sqlite::memory:").start().await?;
/// let orders = gaia.scheduler("order-task")?;
/// let added = orders.add_task(NewTask::new("OrderService", "AsyncCreateOrder")).await?;
/// assert_eq!(cancel(&orders, added.id).await?, "cancelled, or about to be");
/// assert_eq!(cancel(&orders, added.id).await?, "too late: it is Cancelled");
/// assert_eq!(cancel(&orders, 1_000).await?, r#"theme "order-task" has no task 1000"#);
/// # gaia.stop().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input was refused. The error names every fault; nothing was changed.
    #[error("invalid input: {0}")]
    Invalid(#[from] InvalidInput),
    /// No task, or no task of this theme, has the id.
    #[error("{}", no_task(.theme.as_deref(), *.id))]
    TaskNotFound {
        /// The theme in which the task was looked for. `None`: in all of them.
        theme: Option<String>,
        /// The id.
        id: i64,
    },
    /// The task's status does not allow the action.
    #[error(
        "cannot {action} task {id}: it is {status}, and only {} may be",
        .action.allowed_from().iter().map(|status| status.as_str()).collect::<Vec<_>>().join(", ")
    )]
    NotAllowed {
        /// The action that was asked for.
        action: ActionOnTask,
        /// The task.
        id: i64,
        /// Its status.
        status: TaskStatus,
    },
    /// No task can wait for this one, which has not succeeded.
    #[error(
        "no task can be added behind task {id}: it is {status}; retry that task and add the new one then, or add the new one by itself"
    )]
    PredecessorEnded {
        /// The task that has ended.
        id: i64,
        /// Its status.
        status: TaskStatus,
    },
    /// The task cannot be queued again while another unfinished task has its unique key.
    #[error("cannot retry task {id}: another unfinished task has its unique key; wait for that one, or cancel it")]
    UniqueKeyTaken {
        /// The task.
        id: i64,
    },
    /// The idempotency key belongs to other tasks, which the caller has added less than 24 hours ago.
    #[error(
        "the idempotency key was used less than 24 hours ago for other tasks of theme {theme:?}, and nothing was added; \
         take a new key for new tasks"
    )]
    IdempotencyKeyReused {
        /// The theme.
        theme: String,
    },
    /// Another call with the same idempotency key has begun, and its transaction has not ended in time.
    #[error(
        "another call with the same idempotency key still adds its tasks to theme {theme:?}; try again, and the answer will be \
         that call's"
    )]
    IdempotencyKeyBusy {
        /// The theme.
        theme: String,
    },
    /// The caller's wait ended before the task did.
    #[error("task {id} has not come to an end within {waited:?}; it is {status}")]
    WaitTimedOut {
        /// The task.
        id: i64,
        /// How long the caller waited.
        waited: std::time::Duration,
        /// Its status.
        status: TaskStatus,
    },
    /// The task has come to an end without a result.
    #[error("task {id} has no result: it has ended as {status}{}", .last_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default())]
    TaskUnsuccessful {
        /// The task.
        id: i64,
        /// Failed or Cancelled.
        status: TaskStatus,
        /// The error of its last run, if a run has left one.
        last_error: Option<String>,
    },
    /// The result of the task does not fit the type that its definition names.
    #[error(
        "the result of task {id} does not fit {expected}: {fault}; let the definition name the type that the handler answers with \
         (a result beyond 1 MiB is cut, and fits none)"
    )]
    ResultMismatch {
        /// The task.
        id: i64,
        /// The type of the definition.
        expected: &'static str,
        /// Why the result does not fit.
        fault: String,
    },
    /// This process already has a scheduler of the theme on the same database.
    #[error(
        "this process already runs a scheduler of theme {theme:?} on this database; \
         resize that one instead of starting another"
    )]
    AlreadyScheduled {
        /// The theme.
        theme: String,
    },
    /// The operation needs the theme's workers, which are not in this process.
    #[error("theme {theme:?} has no scheduler in this process; start one, or ask a process that has it")]
    NotScheduledHere {
        /// The theme.
        theme: String,
    },
    /// No bulk operation has the id, or it ended more than 90 days ago.
    #[error("there is no bulk operation {id}")]
    BulkOperationNotFound {
        /// The id.
        id: i64,
    },
    /// No job has the id.
    #[error("there is no job {id}")]
    JobNotFound {
        /// The id.
        id: i64,
    },
    /// The definition of the job has changed since the caller read it.
    #[error("the definition of job {id} has changed since version {version}; look at the job again, then change it")]
    JobChanged {
        /// The job.
        id: i64,
        /// The version that the caller has named.
        version: i64,
    },
    /// Another job has the name already.
    #[error("job {holder} has the name {name:?} already; choose another, or update that job")]
    JobNameTaken {
        /// The name.
        name: String,
        /// The id of the job that has the name.
        holder: i64,
    },
    /// The job cannot run, because plain SQL has written a bad row.
    #[error("job {id} cannot run: {fault}; mend it with `update_job`")]
    JobIsBad {
        /// The job.
        id: i64,
        /// Every fault of its row.
        fault: InvalidInput,
    },
    /// The job's overlap policy allows no other run now.
    #[error("job {id} does not run now: {reason}; wait for that run, or cancel it with `cancel_job`")]
    JobIsRunning {
        /// The job.
        id: i64,
        /// The reason, which names the run that is under way.
        reason: String,
    },
    /// Another session holds a lock on the job's row.
    #[error("job {id} is locked by another transaction, which has not ended within 5 s; end it, or try again")]
    JobIsLocked {
        /// The job.
        id: i64,
    },
    /// No run has the id.
    #[error("there is no run {run_id}; records are deleted after the retention time")]
    RunNotFound {
        /// The id.
        run_id: i64,
    },
    /// The caller's wait ended before the run did.
    #[error("run {run_id} has not ended within {waited:?}")]
    RunWaitTimedOut {
        /// The run.
        run_id: i64,
        /// How long the caller waited.
        waited: std::time::Duration,
    },
    /// The operation needs a runner of jobs, which this process does not have.
    #[error("this process runs no jobs; start it with `GaiaBuilder::jobs`, or ask a process that does")]
    JobsNotRunHere,
    /// No node has taken a request. The request is withdrawn: nothing was done, and nothing will be.
    #[error("no node has taken the request within {waited:?}: {why}; the request is withdrawn, and nothing was done")]
    NotTaken {
        /// How long the caller waited.
        waited: std::time::Duration,
        /// Which node should have taken it.
        why: String,
    },
    /// A node has taken a request and has given no answer.
    #[error(
        "node {node} has taken the request and {why}; whether it was followed is unknown, so look before you ask again"
    )]
    NotAnswered {
        /// The node.
        node: String,
        /// Whether the node is dead, or only slow.
        why: String,
    },
    /// A node has taken a request and could not follow it.
    #[error("node {node} could not follow the request: {reason}")]
    NotFollowed {
        /// The node.
        node: String,
        /// The error of the node.
        reason: String,
    },
    /// No node has the id.
    #[error("there is no node {node:?}; it has stopped, or other nodes have declared it dead")]
    NodeNotFound {
        /// The id.
        node: String,
    },
    /// The node does not run the theme.
    #[error("node {node} runs no scheduler of theme {theme:?}, by its last heartbeat")]
    NotScheduledThere {
        /// The node.
        node: String,
        /// The theme.
        theme: String,
    },
    /// Jobs must not run in the environment of this process.
    #[error("jobs must not run in the environment {environment:?}: it is in Jobs.BanEnvList")]
    JobsBanned {
        /// The environment.
        environment: String,
    },
    /// This node holds no lease: its heartbeat fails, or other nodes have declared it dead.
    #[error("this node has no heartbeat in the database and may claim nothing until it has; try again")]
    Fenced,
    /// A handler asks for a part of its Gaia, and its context belongs to none: the context is a `TestContext`, or of a registry without a Gaia.
    #[error(
        "this context belongs to no Gaia, so there is no scheduler and there are no jobs: it is of a test, or of a registry without \
         a Gaia; use `TestGaia`, call the handler through `Gaia::registry`, or add a task"
    )]
    NoGaia,
    /// The actors have stopped.
    #[error("this Gaia has stopped")]
    Stopped,
    /// The actors have ended although they were not stopped.
    #[error(
        "the actors of this Gaia are gone: {what}; nothing runs here any more, and other nodes take over what ran; \
         restart the process"
    )]
    ActorsGone {
        /// The actor or system that has ended.
        what: String,
    },
    /// A thread, the actix system or the listening for signals cannot be started.
    #[error("cannot start: {0}")]
    Start(#[from] std::io::Error),
    /// An error of the configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An error of the registry of handlers.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// An error of the database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A statement of the caller has failed, in a transaction of diesel-async whose error is this type: see
    /// [`Scheduler::add_task_on`](crate::Scheduler::add_task_on). No operation of this crate answers with it.
    #[error("a statement of the caller's own transaction failed: {0}")]
    Statement(#[from] StatementError),
}

impl From<actix::MailboxError> for Error {
    fn from(_: actix::MailboxError) -> Self {
        Self::Stopped
    }
}

fn no_task(theme: Option<&str>, id: i64) -> String {
    match theme {
        Some(theme) => format!("theme {theme:?} has no task {id}"),
        None => format!("there is no task {id}"),
    }
}

/// What the runtime has given to all handlers of its process.
pub(crate) fn shared_by_gaia<T: Send + Sync + 'static>(ctx: &TaskContext) -> Result<Arc<T>, Error> {
    match ctx.shared() {
        Some(shared) => Ok(shared),
        None if ctx.is_orphaned() => Err(Error::Stopped),
        None => Err(Error::NoGaia),
    }
}

/// Asks the store. The work goes on even if the caller drops this future: see [`Store::drive`].
pub(crate) async fn ask<T, W>(store: &Store, work: impl FnOnce(Store) -> W) -> Result<T, Error>
where
    T: Send + 'static,
    W: Future<Output = Result<T, StoreError>> + Send + 'static,
{
    let answer = store.drive(work).await;
    Ok(answer.ok_or(Error::Stopped)??)
}
