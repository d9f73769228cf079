//! What an operation of the runtime can answer instead of its result.

use crate::{
    config::ConfigError,
    domain::{ActionOnTask, InvalidInput, TaskStatus},
    registry::RegistryError,
    store::StoreError,
};

/// An error of an operation. Each says what happened, what was expected, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Input that was refused, every fault named. Nothing was changed.
    #[error("invalid input: {0}")]
    Invalid(#[from] InvalidInput),
    /// No task of this theme has the id.
    #[error("theme {theme:?} has no task {id}")]
    TaskNotFound {
        /// The theme that was asked.
        theme: String,
        /// The id.
        id: i64,
    },
    /// The task's status does not allow the action.
    #[error(
        "cannot {action} task {id}: it is {status}, and only {} may be",
        .action.allowed_from().iter().map(|status| status.as_str()).collect::<Vec<_>>().join(", ")
    )]
    NotAllowed {
        /// What was asked.
        action: ActionOnTask,
        /// The task.
        id: i64,
        /// Where it stands.
        status: TaskStatus,
    },
    /// The task cannot be queued again while another unfinished task has its unique key.
    #[error("cannot retry task {id}: another unfinished task has its unique key; wait for that one, or cancel it")]
    UniqueKeyTaken {
        /// The task.
        id: i64,
    },
    /// The wait ended before the task did.
    #[error("task {id} has not come to an end within {waited:?}; it is {status}")]
    WaitTimedOut {
        /// The task.
        id: i64,
        /// How long was waited.
        waited: std::time::Duration,
        /// Where it stands.
        status: TaskStatus,
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
    /// The operation needs the theme's workers, and they are not in this process.
    #[error("theme {theme:?} has no scheduler in this process; start one, or ask a process that has it")]
    NotScheduledHere {
        /// The theme.
        theme: String,
    },
    /// The actors have stopped.
    #[error("this Gaia has stopped")]
    Stopped,
    /// A thread or the actix system is missing.
    #[error("cannot start: {0}")]
    Start(#[from] std::io::Error),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The routing table.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<actix::MailboxError> for Error {
    fn from(_: actix::MailboxError) -> Self {
        Self::Stopped
    }
}
