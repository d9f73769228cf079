//! One type for handlers of all kinds, called in the same way.

use std::{borrow::Cow, panic::AssertUnwindSafe, sync::Arc};

use actix::{MailboxError, Recipient};
use futures_util::{FutureExt, future::LocalBoxFuture};

use super::{CallError, Invoke, RegistryError, TaskContext};
use crate::{
    blocking::{Unfinished, blocking},
    domain::{Json, TaskError},
    panic_text::panic_text,
};

/// A registered handler. Made from a `Recipient<Invoke>`, by [`async_fn`](super::async_fn) or by
/// [`blocking_fn`](super::blocking_fn).
#[derive(Clone)]
pub struct Endpoint(Kind);

#[derive(Clone)]
enum Kind {
    Actor(Recipient<Invoke>),
    Async(Arc<dyn AsyncHandler>),
    Blocking(Arc<BlockingHandler>),
}

pub(super) type Answer = Result<Json, TaskError>;
pub(super) type BlockingHandler = dyn Fn(TaskContext, &str) -> Answer + Send + Sync;

/// An async function with any types of arguments and result. `call` parses `args` before it returns the future.
pub(super) trait AsyncHandler: Send + Sync {
    fn call(&self, ctx: TaskContext, args: &str) -> LocalBoxFuture<'_, Answer>;
}

/// Why an endpoint gave no result.
#[derive(Debug)]
pub(crate) enum InvokeError {
    /// The handler answered with this error.
    Handler(TaskError),
    /// The handler panicked with this message.
    Panicked(String),
    /// The actor that is the handler has died or did not answer, or the runtime of a blocking function ends.
    Gone(String),
    /// There is no handler, or none any more.
    Missing(RegistryError),
    /// The handler was not called: this node does not own the run any more.
    Withdrawn,
    /// The handler was not called: the system gives no thread for a blocking function.
    NoThread,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Kind::Actor(_) => "Endpoint::Actor",
            Kind::Async(_) => "Endpoint::Async",
            Kind::Blocking(_) => "Endpoint::Blocking",
        })
    }
}

impl Endpoint {
    pub(super) fn actor(recipient: Recipient<Invoke>) -> Self {
        Self(Kind::Actor(recipient))
    }

    pub(super) fn asynchronous(handler: Arc<dyn AsyncHandler>) -> Self {
        Self(Kind::Async(handler))
    }

    pub(super) fn blocking(handler: Arc<BlockingHandler>) -> Self {
        Self(Kind::Blocking(handler))
    }

    /// Whether the handler can be called: an actor that has died or was stopped cannot.
    pub(super) fn is_alive(&self) -> bool {
        match &self.0 {
            Kind::Actor(recipient) => recipient.connected(),
            Kind::Async(_) | Kind::Blocking(_) => true,
        }
    }

    /// Calls the handler. A panic of the handler becomes an error. An async function runs on the calling thread and is dropped with this
    /// future; a blocking function runs on a pool of threads and goes on if this future is dropped.
    pub(crate) async fn invoke(&self, ctx: TaskContext, args: Cow<'_, str>) -> Result<Json, InvokeError> {
        if !ctx.is_ours() {
            return Err(InvokeError::Withdrawn);
        }
        match &self.0 {
            Kind::Actor(recipient) => match recipient.send(Invoke::new(ctx, args)).await {
                Ok(answer) => answer.map_err(InvokeError::Handler),
                Err(MailboxError::Closed) => Err(InvokeError::Gone(
                    "the actor that serves this method is gone; it may have panicked or been stopped".to_owned(),
                )),
                Err(MailboxError::Timeout) => Err(InvokeError::Gone(
                    "the actor that serves this method did not answer in time".to_owned(),
                )),
            },
            Kind::Async(handler) => {
                // The call may panic, too, not only the future that it returns.
                let run = AssertUnwindSafe(async { handler.call(ctx, &args).await });
                match run.catch_unwind().await {
                    Ok(answer) => answer.map_err(InvokeError::Handler),
                    Err(payload) => Err(InvokeError::Panicked(panic_text(&*payload))),
                }
            }
            Kind::Blocking(handler) => {
                let (handler, args, scope) = (Arc::clone(handler), args.into_owned(), ctx.scope());
                // The pool of threads may be full: a call must not begin if its run was stopped while it waited for a thread.
                let call = move || match (ctx.is_ours(), ctx.is_cancelled()) {
                    (false, _) => Err(InvokeError::Withdrawn),
                    (true, true) => Err(InvokeError::Handler(TaskError::failed("told to stop before it began"))),
                    (true, false) => scope.call(|| handler(ctx, &args)).map_err(InvokeError::Handler),
                };
                match blocking(call).await {
                    Ok(answer) => answer,
                    Err(Unfinished::NoThread) => Err(InvokeError::NoThread),
                    Err(Unfinished::Panicked(payload)) => Err(InvokeError::Panicked(panic_text(&*payload))),
                    Err(gone) => Err(InvokeError::Gone(gone.to_string())),
                }
            }
        }
    }
}

impl From<InvokeError> for CallError {
    fn from(error: InvokeError) -> Self {
        match error {
            InvokeError::Handler(error) => Self::Handler(error),
            InvokeError::Panicked(message) => Self::Panicked(message),
            InvokeError::Gone(message) => Self::HandlerGone(message),
            InvokeError::Missing(error) => Self::Registry(error),
            InvokeError::Withdrawn => Self::HandlerGone("the call was withdrawn before it began".to_owned()),
            InvokeError::NoThread => Self::HandlerGone(Unfinished::NoThread.to_string()),
        }
    }
}
