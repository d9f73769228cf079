//! One type for handlers of all kinds, called in the same way.

use std::{borrow::Cow, panic::AssertUnwindSafe, sync::Arc};

use actix::{MailboxError, Recipient};
use futures_util::{FutureExt, future::LocalBoxFuture};

use super::{Invoke, InvokeError, MethodName, Next, TaskContext, layer::Layers, service::Slot};
use crate::{
    blocking::{Unfinished, blocking},
    domain::{Json, TaskError},
    panic_text::panic_text,
};

/// A registered handler. Made from a `Recipient<Invoke>`, by [`async_fn`](super::async_fn) or by
/// [`blocking_fn`](super::blocking_fn).
#[derive(Clone)]
pub struct Endpoint {
    kind: Kind,
    layers: Layers,
}

#[derive(Clone)]
enum Kind {
    Actor(Recipient<Invoke>),
    Async(Arc<dyn AsyncHandler>),
    Blocking(Arc<BlockingHandler>),
    /// A method of a service that answers every method.
    Service(Slot, MethodName),
}

pub(super) type Answer = Result<Json, TaskError>;
pub(super) type BlockingHandler = dyn Fn(TaskContext, &str) -> Answer + Send + Sync;

/// An async function with any types of arguments and result. `call` parses `args` before it returns the future.
pub(super) trait AsyncHandler: Send + Sync {
    fn call(&self, ctx: TaskContext, args: &str) -> LocalBoxFuture<'_, Answer>;
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.kind {
            Kind::Actor(_) => "Endpoint::Actor",
            Kind::Async(_) => "Endpoint::Async",
            Kind::Blocking(_) => "Endpoint::Blocking",
            Kind::Service(..) => "Endpoint::Service",
        })
    }
}

impl Endpoint {
    /// Calls this function around each call of the handler, in runs of tasks and of jobs and in direct calls, inside of the layers of the
    /// scheduler or of the runner of jobs. Of several layers the first that is added is the outermost. See
    /// [`SchedulerOptions::layer`](crate::SchedulerOptions::layer).
    ///
    /// ```
    /// use gaia_actors::{Json, Next, Registry, TaskContext, TaskError, async_fn};
    ///
    /// # #[actix_rt::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let double = async_fn(async |_: TaskContext, n: i64| Ok::<_, TaskError>(2 * n)).layer(
    ///     async |ctx: TaskContext, next: Next| {
    ///         let doubled: i64 = next.run(ctx).await?.parse()?;
    ///         Json::of(&(doubled + 1))
    ///     },
    /// );
    /// let registry = Registry::start();
    /// registry.register("Math", "Double", double).await?;
    /// assert_eq!(registry.call::<i64>("Math", "Double", &20).await?, 41);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn layer<F>(mut self, layer: F) -> Self
    where
        F: AsyncFn(TaskContext, Next) -> Result<Json, TaskError> + Send + Sync + 'static,
    {
        self.layers.add_fn(layer);
        self
    }

    pub(super) fn layers(&self) -> &Layers {
        &self.layers
    }

    fn of(kind: Kind) -> Self {
        let layers = Layers::default();
        Self { kind, layers }
    }

    pub(super) fn actor(recipient: Recipient<Invoke>) -> Self {
        Self::of(Kind::Actor(recipient))
    }

    pub(super) fn asynchronous(handler: Arc<dyn AsyncHandler>) -> Self {
        Self::of(Kind::Async(handler))
    }

    pub(super) fn blocking(handler: Arc<BlockingHandler>) -> Self {
        Self::of(Kind::Blocking(handler))
    }

    pub(super) fn service(slot: Slot, method: MethodName) -> Self {
        Self::of(Kind::Service(slot, method))
    }

    /// Whether the handler can be called: an actor that has died or was stopped cannot.
    pub(super) fn is_alive(&self) -> bool {
        match &self.kind {
            Kind::Actor(recipient) => recipient.connected(),
            Kind::Async(_) | Kind::Blocking(_) => true,
            Kind::Service(slot, _) => slot.is_taken(),
        }
    }

    /// Calls the handler, without its layers. A panic of the handler becomes an error. An async function runs on the calling thread and is dropped with this
    /// future; a blocking function runs on a pool of threads and goes on if this future is dropped.
    pub(crate) async fn invoke(&self, ctx: TaskContext, args: Cow<'_, str>) -> Result<Json, InvokeError> {
        if !ctx.is_ours() {
            return Err(InvokeError::Withdrawn);
        }
        match &self.kind {
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
            Kind::Service(slot, method) => {
                let call = AssertUnwindSafe(slot.call(method, ctx.clone(), &args));
                let panicked = |payload: Box<dyn std::any::Any + Send>| InvokeError::Panicked(panic_text(&*payload));
                let answer = call.catch_unwind().await;
                match answer.unwrap_or_else(|payload| Err(panicked(payload))) {
                    // The service works already, and will beat: this is noted before any layer sees the end of the call.
                    #[cfg(all(feature = "hooks", feature = "web"))]
                    Err(InvokeError::Parked(ticket, lease)) => Err(ctx.park(ticket, lease).await),
                    answer => answer,
                }
            }
            Kind::Blocking(handler) => {
                let (handler, args, scope) = (Arc::clone(handler), args.into_owned(), ctx.scope());
                // The pool of threads may be full: a call must not begin if its run was stopped while it waited for a thread.
                let call = move || match (ctx.is_ours(), ctx.is_cancelled()) {
                    (false, _) => Err(InvokeError::Withdrawn),
                    (true, true) => Err(InvokeError::Stopped("told to stop before it began")),
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
