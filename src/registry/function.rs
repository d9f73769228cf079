//! Functions as handlers: the one place where the types of arguments and results are erased.

use std::{marker::PhantomData, sync::Arc};

use futures_util::{FutureExt, future::LocalBoxFuture};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Endpoint, TaskContext,
    endpoint::{Answer, AsyncHandler},
};
use crate::domain::{Json, TaskError, parsed_args};

/// An async function as a handler. It runs on the arbiter of the worker that calls it: its future need not be `Send`, and it must not
/// block the thread. A function that blocks is registered with [`blocking_fn`].
///
/// The arbiter belongs to a separate actix system of [`Gaia`](crate::Gaia). In a handler, `System::current()` is that system, and a
/// `SystemService` found there is not the application's: let the function hold the addresses that it needs.
///
/// ```
/// use gaia_actors::{TaskContext, TaskError, async_fn};
///
/// # #[derive(serde::Deserialize)] struct CreateOrder { amount: u32 }
/// # #[derive(serde::Serialize)] struct Receipt { order: u32 }
/// let handler = async_fn(async |ctx: TaskContext, order: CreateOrder| {
///     log::info!("task {} creates an order of {}", ctx.id(), order.amount);
///     Ok::<_, TaskError>(Receipt { order: 17 })
/// });
/// ```
pub fn async_fn<F, T, R>(function: F) -> Endpoint
where
    F: AsyncFn(TaskContext, T) -> Result<R, TaskError> + Send + Sync + 'static,
    T: DeserializeOwned + 'static,
    R: Serialize + 'static,
{
    let types = PhantomData;
    Endpoint::asynchronous(Arc::new(AsyncFunction { function, types }))
}

struct AsyncFunction<F, T, R> {
    function: F,
    types: PhantomData<fn(T) -> R>,
}

impl<F, T, R> AsyncHandler for AsyncFunction<F, T, R>
where
    F: AsyncFn(TaskContext, T) -> Result<R, TaskError> + Send + Sync,
    T: DeserializeOwned + 'static,
    R: Serialize + 'static,
{
    fn call(&self, ctx: TaskContext, args: &str) -> LocalBoxFuture<'_, Answer> {
        let args = parsed_args(args);
        async move { Json::of(&(self.function)(ctx, args?).await?) }.boxed_local()
    }
}

/// A blocking function as a handler. It runs on a separate pool of threads, never on an arbiter.
///
/// A thread cannot be stopped from outside. A run that is cancelled or out of time is recorded as such at once, while the function goes on
/// until it ends by itself: let it ask [`TaskContext::is_cancelled`].
///
/// ```
/// use gaia_actors::{TaskContext, TaskError, blocking_fn};
///
/// let handler = blocking_fn(|_: TaskContext, path: String| {
///     Ok::<_, TaskError>(std::fs::read_to_string(path)?)
/// });
/// ```
pub fn blocking_fn<F, T, R>(function: F) -> Endpoint
where
    F: Fn(TaskContext, T) -> Result<R, TaskError> + Send + Sync + 'static,
    T: DeserializeOwned + 'static,
    R: Serialize + 'static,
{
    Endpoint::blocking(Arc::new(move |ctx, args| Json::of(&function(ctx, parsed_args(args)?)?)))
}
