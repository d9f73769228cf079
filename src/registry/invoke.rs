//! The message that calls a handler.

use std::borrow::Cow;

use actix::Message;
use serde::de::DeserializeOwned;

use super::TaskContext;
use crate::domain::{Json, TaskError, parsed_args};

/// One call of a method. Any actor that handles this message can serve methods.
///
/// ```
/// use actix::prelude::*;
/// use gaia_actors::{Invoke, Json, TaskError};
///
/// struct OrderService {
///     orders: u64,
/// }
///
/// impl Actor for OrderService {
///     type Context = Context<Self>;
/// }
///
/// impl Handler<Invoke> for OrderService {
///     type Result = Result<Json, TaskError>;
///
///     fn handle(&mut self, call: Invoke, _: &mut Context<Self>) -> Self::Result {
///         let amount: u64 = call.args()?;
///         self.orders += amount;
///         Json::of(&self.orders)
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Invoke {
    /// The context of the run: task id, attempt, cancellation, deadline.
    pub ctx: TaskContext,
    /// The arguments as JSON text.
    pub args: Json,
}

impl Invoke {
    pub(super) fn new(ctx: TaskContext, args: Cow<'_, str>) -> Self {
        let args = Json::from_text(args);
        Self { ctx, args }
    }

    /// The arguments as a value of type `T`.
    ///
    /// # Errors
    /// [`TaskError::Discard`] with `PARAM_ERROR` if the arguments do not fit `T`.
    pub fn args<T: DeserializeOwned>(&self) -> Result<T, TaskError> {
        parsed_args(self.args.as_str())
    }
}

impl Message for Invoke {
    type Result = Result<Json, TaskError>;
}
