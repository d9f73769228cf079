//! An object whose methods are handlers.

use std::{fmt, sync::Arc, vec};

use serde::{Serialize, de::DeserializeOwned};

use super::TaskDef;
use crate::{
    domain::TaskError,
    registry::{Registration, TaskContext, async_fn},
};

/// Methods of one object as handlers, which [`GaiaBuilder::handlers`](crate::GaiaBuilder::handlers) or
/// [`Registry::register_all`](crate::Registry::register_all) registers together.
///
#[cfg_attr(feature = "sqlite", doc = "```")]
#[cfg_attr(not(feature = "sqlite"), doc = "```no_run")]
/// use std::{sync::Arc, time::Duration};
///
/// use gaia_actors::prelude::*;
///
/// const CREATE: TaskDef<String, u64> = TaskDef::new("OrderService", "Create");
/// const CANCEL: TaskDef<u64, ()> = TaskDef::new("OrderService", "Cancel");
///
/// struct OrderService { shop: String }
///
/// impl OrderService {
///     async fn create(&self, ctx: TaskContext, item: String) -> Result<u64, TaskError> {
///         log::info!("{}: task {} orders {item}", self.shop, ctx.id());
///         Ok(17)
///     }
///
///     async fn cancel(&self, _: TaskContext, order: u64) -> Result<(), TaskError> {
///         log::info!("{}: order {order} is cancelled", self.shop);
///         Ok(())
///     }
/// }
///
/// # #[actix_rt::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let service = Arc::new(OrderService { shop: "tea shop".to_owned() });
/// let methods = ServiceMethods::of(service)
///     .method(CREATE, OrderService::create)
///     .method(CANCEL, OrderService::cancel);
/// let gaia = Gaia::builder().database("sqlite::memory:").handlers(methods).theme("default").start().await?;
///
/// let order = CREATE.add(&gaia, &"tea".to_owned()).await?.wait(Duration::from_secs(10)).await?;
/// CANCEL.add(&gaia, &order).await?.wait(Duration::from_secs(10)).await?;
/// # gaia.stop().await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "the methods serve nothing until they are registered"]
pub struct ServiceMethods<S> {
    service: Arc<S>,
    registrations: Vec<Registration>,
}

impl<S> fmt::Debug for ServiceMethods<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceMethods")
            .field("registrations", &self.registrations)
            .finish_non_exhaustive()
    }
}

impl<S: Send + Sync + 'static> ServiceMethods<S> {
    /// No method of this object yet.
    pub fn of(service: Arc<S>) -> Self {
        Self {
            service,
            registrations: Vec::new(),
        }
    }

    /// Adds an async method as the handler of a definition.
    pub fn method<A, R, F>(self, definition: TaskDef<A, R>, method: F) -> Self
    where
        F: AsyncFn(&S, TaskContext, A) -> Result<R, TaskError> + Send + Sync + 'static,
        A: DeserializeOwned + 'static,
        R: Serialize + 'static,
    {
        let service = Arc::clone(&self.service);
        let call = async move |ctx: TaskContext, args: A| method(&service, ctx, args).await;
        self.with(definition.handler(call))
    }

    /// Adds a blocking method as the handler of a definition. It runs on a pool of threads, as [`blocking_fn`](crate::blocking_fn) says.
    pub fn blocking_method<A, R, F>(self, definition: TaskDef<A, R>, method: F) -> Self
    where
        F: Fn(&S, TaskContext, A) -> Result<R, TaskError> + Send + Sync + 'static,
        A: DeserializeOwned + 'static,
        R: Serialize + 'static,
    {
        let service = Arc::clone(&self.service);
        let call = move |ctx: TaskContext, args: A| method(&service, ctx, args);
        self.with(definition.blocking_handler(call))
    }

    /// Adds an async method by its names: for callers that have no definition, such as jobs or programs in other languages.
    pub fn method_named<A, R, F>(self, service: impl Into<String>, name: impl Into<String>, method: F) -> Self
    where
        F: AsyncFn(&S, TaskContext, A) -> Result<R, TaskError> + Send + Sync + 'static,
        A: DeserializeOwned + 'static,
        R: Serialize + 'static,
    {
        let object = Arc::clone(&self.service);
        let call = async move |ctx: TaskContext, args: A| method(&object, ctx, args).await;
        self.with(Registration::new(service, name, async_fn(call)))
    }

    fn with(mut self, registration: Registration) -> Self {
        self.registrations.push(registration);
        self
    }
}

impl<S> IntoIterator for ServiceMethods<S> {
    type Item = Registration;
    type IntoIter = vec::IntoIter<Registration>;

    fn into_iter(self) -> Self::IntoIter {
        self.registrations.into_iter()
    }
}
