//! Errors of the registry and of direct calls.

use super::MethodName;
#[cfg(all(feature = "hooks", feature = "web"))]
use super::Ticket;
use crate::{
    blocking::Unfinished,
    domain::{InvalidInput, TaskError},
};

/// An error of the routing table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The method has a handler already.
    #[error("{0} is registered already; unregister it first, or use `replace`")]
    AlreadyRegistered(MethodName),
    /// No method of the service is registered.
    #[error("service {service:?} is not registered; registered services: {known}")]
    UnknownService {
        /// The service that was asked for.
        service: String,
        /// The registered services.
        known: String,
    },
    /// The service has registered methods, but not this method.
    #[error("service {service:?} has no method {method:?}; its registered methods: {known}")]
    UnknownMethod {
        /// The service.
        service: String,
        /// The method that was asked for.
        method: String,
        /// The service's registered methods.
        known: String,
    },
    /// The method's handler is an actor that has died or was stopped.
    #[error("the actor that serves {0} has died or was stopped; register a living one in its place")]
    HandlerDied(MethodName),
    /// The service is one that answers every method, so that none of its methods can have a handler beside it.
    #[error(
        "service {service:?} is registered as a whole, as a service that answers every method; unregister it first"
    )]
    RegisteredAsWhole {
        /// The service.
        service: String,
    },
    /// The service was to be registered as a whole, but some of its methods have handlers.
    #[error(
        "service {service:?} has handlers of single methods already ({methods}); unregister them first, or choose another name"
    )]
    HasMethods {
        /// The service.
        service: String,
        /// Its registered methods.
        methods: String,
    },
    /// A name is empty, too long, or holds a control character.
    #[error("cannot register: {0}")]
    Invalid(#[from] InvalidInput),
    /// Several handlers were to be registered, and none was: each error names one of them.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Several(Vec<RegistryError>),
    /// The registry's actor has stopped.
    #[error("the registry has stopped")]
    Stopped,
}

impl RegistryError {
    /// All of these errors as one; `Ok` if there is none.
    pub(super) fn none_of(mut errors: Vec<Self>) -> Result<(), Self> {
        match errors.pop() {
            None => Ok(()),
            Some(only) if errors.is_empty() => Err(only),
            Some(last) => {
                errors.push(last);
                Err(Self::Several(errors))
            }
        }
    }
}

impl From<actix::MailboxError> for RegistryError {
    fn from(_: actix::MailboxError) -> Self {
        Self::Stopped
    }
}

/// Why a direct call has no result.
#[derive(Debug)]
#[non_exhaustive]
pub enum CallError {
    /// There is no handler to call.
    Registry(RegistryError),
    /// The handler answered with this error, or the arguments or the result do not fit their types.
    Handler(TaskError),
    /// The handler panicked, with this message.
    Panicked(String),
    /// A [layer](crate::Endpoint::layer) around the handler panicked, with this message.
    LayerPanicked(String),
    /// The handler gave no answer: its actor or its thread is gone (it may have panicked), or the system gives no thread for a blocking
    /// function.
    HandlerGone(String),
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Registry(error) => error.fmt(f),
            Self::Handler(error) => error.fmt(f),
            Self::Panicked(message) => write!(f, "the handler panicked: {message}"),
            Self::LayerPanicked(message) => write!(f, "a layer panicked: {message}"),
            Self::HandlerGone(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for CallError {}

impl From<RegistryError> for CallError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(error)
    }
}

/// Why no other run than that of a task can be parked.
#[cfg(all(feature = "hooks", feature = "web"))]
pub(crate) const ONLY_TASKS: &str = "the service answered 202, by which it would end the run later: only the run of a task can be parked; add a task instead";

/// Why an endpoint gave no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvokeError {
    /// The handler answered with this error.
    #[error("{0}")]
    Handler(TaskError),
    /// The handler panicked with this message.
    #[error("the handler panicked: {0}")]
    Panicked(String),
    /// A layer around the handler panicked with this message.
    #[error("a layer panicked: {0}")]
    LayerPanicked(String),
    /// The actor that is the handler has died or did not answer, or the runtime of a blocking function ends.
    #[error("{0}")]
    Gone(String),
    /// There is no handler, or none any more.
    #[error("{0}")]
    Missing(RegistryError),
    /// A service has taken the run over, and will end it later. The lease: for how long the service may be silent, if it beats.
    #[cfg(all(feature = "hooks", feature = "web"))]
    #[error("the service has parked the run, and will end it")]
    Parked(Ticket, Option<std::time::Duration>),
    /// The run was asked to stop, and its handler has not begun, or was given up.
    #[error("{0}")]
    Stopped(&'static str),
    /// The handler was not called: this node does not own the run any more.
    #[error("the call was withdrawn before it began")]
    Withdrawn,
    /// The handler was not called: the system gives no thread for a blocking function.
    #[error("{}", Unfinished::NoThread)]
    NoThread,
}

impl From<InvokeError> for CallError {
    fn from(error: InvokeError) -> Self {
        match error {
            InvokeError::Handler(error) => Self::Handler(error),
            InvokeError::Panicked(message) => Self::Panicked(message),
            InvokeError::LayerPanicked(message) => Self::LayerPanicked(message),
            InvokeError::Gone(message) => Self::HandlerGone(message),
            InvokeError::Missing(error) => Self::Registry(error),
            InvokeError::Stopped(message) => Self::Handler(TaskError::failed(message)),
            #[cfg(all(feature = "hooks", feature = "web"))]
            InvokeError::Parked(..) => Self::Handler(TaskError::failed(ONLY_TASKS)),
            gone @ (InvokeError::Withdrawn | InvokeError::NoThread) => Self::HandlerGone(gone.to_string()),
        }
    }
}
