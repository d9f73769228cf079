//! The registry: which handler answers a call of a method of a service.
//!
//! A handler is any actor that answers [`Invoke`], an async function, or a blocking function. [`RegistryActor`] owns the table. A
//! [`Registry`] is the handle on that actor, and reads the table without asking it. A caller that calls often keeps a [`Route`]: if the
//! handler is replaced or removed later, every kept route follows.

mod actor;
mod context;
mod endpoint;
mod error;
mod function;
mod invoke;
mod layer;
mod registration;
mod route;
mod scope;
mod service;
mod shared;
mod table;
#[cfg(all(feature = "hooks", feature = "web"))]
mod ticket;

use actix::{Actor, Addr, Recipient};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::watch;

pub use actor::{Call, RegistryActor};
use actor::{Clear, Discover, List, Register, RegisterWhole, Unregister, UnregisterWhole};
pub use context::TaskContext;
pub(crate) use context::{CancelReason, RunFacts, RunKind, RunOfContext, TestFacts};
pub use endpoint::Endpoint;
pub(crate) use error::InvokeError;
#[cfg(all(feature = "hooks", feature = "web"))]
pub(crate) use error::ONLY_TASKS;
pub use error::{CallError, RegistryError};
pub use function::{async_fn, blocking_fn};
pub use invoke::Invoke;
pub use layer::Next;
pub(crate) use layer::{Answer, Layer, Layers, Rest};
pub use registration::Registration;
pub use route::Route;
pub(crate) use service::AnyMethod;
pub(crate) use shared::{Shared, SharedValues};

use table::Table;
#[cfg(all(feature = "hooks", feature = "web"))]
pub(crate) use ticket::Ticket;

use crate::{clock::Clock, traces::Traces};

/// A service and one of its methods.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
pub struct MethodName {
    /// The service.
    pub service: String,
    /// The method.
    pub method: String,
}

impl std::fmt::Display for MethodName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.service, self.method)
    }
}

/// Cloneable handle on a [`RegistryActor`].
///
/// ```
/// use gaia_actors::{Registry, TaskContext, TaskError, async_fn};
///
/// #[actix_rt::main]
/// async fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let registry = Registry::start();
///     registry
///         .register("Math", "Double", async_fn(async |_: TaskContext, n: i64| Ok::<_, TaskError>(2 * n)))
///         .await?;
///     let doubled: i64 = registry.call("Math", "Double", &21).await?;
///     assert_eq!(doubled, 42);
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Registry {
    actor: Addr<RegistryActor>,
    table: Table,
    clock: Clock,
    traces: Traces,
}

impl Registry {
    /// Starts an empty registry on the calling arbiter.
    #[must_use]
    pub fn start() -> Self {
        Self::of(RegistryActor::default(), Actor::start)
    }

    /// The handle on `actor`, which the function `start` starts.
    pub(crate) fn of(actor: RegistryActor, start: impl FnOnce(RegistryActor) -> Addr<RegistryActor>) -> Self {
        let (table, clock, traces) = (actor.table(), actor.clock.clone(), actor.traces.clone());
        let actor = start(actor);
        Self {
            actor,
            table,
            clock,
            traces,
        }
    }

    /// What the handlers share.
    pub(crate) fn shared(&self) -> &Shared {
        self.table.shared()
    }

    /// The clock by which services are told the time.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The traces of which services are told.
    pub(crate) fn traces(&self) -> &Traces {
        &self.traces
    }

    /// Registers a handler: a `Recipient<Invoke>` of any actor, [`async_fn`] or [`blocking_fn`].
    ///
    /// # Errors
    /// [`RegistryError::AlreadyRegistered`] if the method has a handler: [`replace`](Self::replace) it. An actor that has died does not
    /// count. [`RegistryError::Invalid`] and [`RegistryError::Stopped`].
    pub async fn register(
        &self,
        service: impl Into<String>,
        method: impl Into<String>,
        handler: impl Into<Endpoint>,
    ) -> Result<(), RegistryError> {
        self.put(vec![Registration::new(service, method, handler)], false).await
    }

    /// Registers handlers of several methods, such as [`ServiceMethods`](crate::ServiceMethods): all of them, or none.
    ///
    /// ```
    /// use gaia_actors::{Registry, TaskContext, TaskDef};
    ///
    /// const DOUBLE: TaskDef<i64, i64> = TaskDef::new("Math", "Double");
    /// const HALVE: TaskDef<i64, i64> = TaskDef::new("Math", "Halve");
    ///
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let registry = Registry::start();
    /// registry
    ///     .register_all([DOUBLE.handler(async |_, n| Ok(2 * n)), HALVE.handler(async |_, n| Ok(n / 2))])
    ///     .await?;
    /// assert_eq!(registry.call::<i64>("Math", "Halve", &42).await?, 21);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`register`](Self::register), and [`RegistryError::RegisteredAsWhole`] if the service is a remote one.
    /// [`RegistryError::Several`] if there is more than one such error: it names all of them.
    pub async fn register_all(&self, handlers: impl IntoIterator<Item = Registration>) -> Result<(), RegistryError> {
        self.put(handlers.into_iter().collect(), false).await
    }

    /// Registers a handler, in place of the method's present handler if there is one. Runs that have begun end with the old handler.
    ///
    /// # Errors
    /// [`RegistryError::Stopped`] or [`RegistryError::Invalid`].
    pub async fn replace(
        &self,
        service: impl Into<String>,
        method: impl Into<String>,
        handler: impl Into<Endpoint>,
    ) -> Result<(), RegistryError> {
        self.put(vec![Registration::new(service, method, handler)], true).await
    }

    async fn put(&self, registrations: Vec<Registration>, replace: bool) -> Result<(), RegistryError> {
        let register = Register { registrations, replace };
        self.actor.send(register).await?
    }

    /// Removes a handler; answers whether there was one. From then on tasks that call the method wait for another node that serves it, or
    /// for a handler that is registered later (see [`MissingHandler`](crate::MissingHandler)).
    ///
    /// # Errors
    /// [`RegistryError::Stopped`].
    pub async fn unregister(&self, service: &str, method: &str) -> Result<bool, RegistryError> {
        let name = MethodName {
            service: service.to_owned(),
            method: method.to_owned(),
        };
        Ok(self.actor.send(Unregister(name)).await?)
    }

    /// Registers a service that answers every method, in place of the present one if `replace`. `methods`: those that are known already.
    pub(crate) async fn put_whole(
        &self,
        name: String,
        service: Box<dyn AnyMethod>,
        methods: Vec<String>,
        replace: bool,
    ) -> Result<(), RegistryError> {
        let register = RegisterWhole {
            name,
            service,
            methods,
            replace,
        };
        self.actor.send(register).await?
    }

    /// Removes a service that answers every method. Answers whether there was one.
    pub(crate) async fn remove_whole(&self, name: &str) -> Result<bool, RegistryError> {
        Ok(self.actor.send(UnregisterWhole(name.to_owned())).await?)
    }

    /// The services that answer every method, as far as further methods of them can become known.
    pub(crate) fn growing(&self) -> Vec<String> {
        self.table.services().growing().cloned().collect()
    }

    /// Whether the method has no route yet, and its service answers every method.
    pub(crate) fn is_undiscovered(&self, service: &str, method: &str) -> bool {
        self.table.is_undiscovered(service, method)
    }

    /// Gives routes to methods of services that answer every method.
    pub(crate) async fn discover(&self, methods: Vec<MethodName>) -> Result<(), RegistryError> {
        Ok(self.actor.send(Discover(methods)).await?)
    }

    /// Removes all handlers, and with them the values that they hold and share: a value that holds the `Gaia` would keep the `Gaia` alive.
    pub(crate) async fn clear(&self) -> Result<(), RegistryError> {
        Ok(self.actor.send(Clear).await?)
    }

    /// The registered methods, sorted.
    ///
    /// # Errors
    /// [`RegistryError::Stopped`].
    pub async fn list(&self) -> Result<Vec<MethodName>, RegistryError> {
        Ok(self.actor.send(List).await?)
    }

    /// Calls a method directly, without a queue: no record, no retry, no timeout.
    ///
    /// # Errors
    /// [`CallError::Registry`] if there is no such handler, [`CallError::Handler`] with the handler's error (or if the arguments or the
    /// result do not fit), [`CallError::Panicked`] or [`CallError::LayerPanicked`] if the handler or a layer panicked,
    /// [`CallError::HandlerGone`] if it gave no answer.
    pub async fn call<R: DeserializeOwned>(
        &self,
        service: &str,
        method: &str,
        args: &(impl Serialize + ?Sized),
    ) -> Result<R, CallError> {
        self.route(service, method)?.call(args).await
    }

    /// The route to a method's handler, for callers that call it often.
    ///
    /// ```
    /// # use gaia_actors::{Registry, TaskContext, async_fn};
    /// # #[actix_rt::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let registry = Registry::start();
    /// registry.register("Math", "Double", async_fn(async |_: TaskContext, n: i64| Ok(2 * n))).await?;
    /// let double = registry.route("Math", "Double")?;
    /// assert_eq!(double.call::<i64>(&4).await?, 8);
    /// assert_eq!(double.call::<i64>(&8).await?, 16);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`RegistryError::UnknownService`] or [`RegistryError::UnknownMethod`] if there is no handler,
    /// [`RegistryError::Stopped`].
    pub fn route(&self, service: &str, method: &str) -> Result<Route, RegistryError> {
        self.table
            .find(service, method)
            .map_err(|error| match self.actor.connected() {
                true => error,
                false => RegistryError::Stopped,
            })
    }

    /// The route to a handler that can be called now. An error if there is none, or if it is an actor that has died or was stopped.
    pub(crate) fn serving(&self, service: &str, method: &str) -> Result<Route, RegistryError> {
        let route = self.route(service, method)?;
        match route.is_alive() {
            true => Ok(route),
            false => Err(RegistryError::HandlerDied(route.name().clone())),
        }
    }

    /// Whether a method has a handler that can be called now.
    pub(crate) fn serves(&self, service: &str, method: &str) -> bool {
        self.table.serves(service, method)
    }

    /// The methods whose handlers can be called now, sorted.
    pub(crate) fn served(&self) -> Vec<MethodName> {
        let services = self.table.services();
        let alive = services.routes().filter(|route| route.is_alive());
        alive.map(|route| route.name().clone()).collect()
    }

    /// A receiver that is notified of every handler that is added, removed or replaced from now on, but not of [`clear`](Self::clear).
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.table.watch()
    }

    /// The address of the actor behind this handle, for callers that want to send it a [`Call`].
    #[must_use]
    pub fn addr(&self) -> Addr<RegistryActor> {
        self.actor.clone()
    }
}

impl From<Recipient<Invoke>> for Endpoint {
    fn from(recipient: Recipient<Invoke>) -> Self {
        Self::actor(recipient)
    }
}
