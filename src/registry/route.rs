//! The route to a handler: callers keep it, and the registry changes it.

use std::{borrow::Cow, sync::Arc};

use arc_swap::ArcSwapOption;
use serde::{Serialize, de::DeserializeOwned};

use super::{CallError, Endpoint, InvokeError, MethodName, RegistryError, TaskContext};
use crate::domain::{Json, JsonText};

/// The route to one method's handler: the answer of [`Registry::route`](super::Registry::route). The route stays valid when the handler is
/// replaced. Once the handler is removed, calls give an error; a handler that is registered after that needs a new route.
#[derive(Debug, Clone)]
pub struct Route(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: MethodName,
    endpoint: ArcSwapOption<Endpoint>,
}

impl Route {
    pub(super) fn new(name: MethodName, endpoint: Endpoint) -> Self {
        Self(Arc::new(Inner {
            name,
            endpoint: ArcSwapOption::from_pointee(endpoint),
        }))
    }

    pub(super) fn name(&self) -> &MethodName {
        &self.0.name
    }

    /// Whether there is a handler that can be called.
    pub(super) fn is_alive(&self) -> bool {
        let endpoint = self.0.endpoint.load();
        endpoint.as_ref().is_some_and(|endpoint| endpoint.is_alive())
    }

    pub(super) fn set(&self, endpoint: Option<Endpoint>) {
        self.0.endpoint.store(endpoint.map(Arc::new));
    }

    /// Calls the method like [`Registry::call`](super::Registry::call), but without a look into the table.
    ///
    /// # Errors
    /// As for [`Registry::call`](super::Registry::call).
    pub async fn call<R: DeserializeOwned>(&self, args: &(impl Serialize + ?Sized)) -> Result<R, CallError> {
        let args = JsonText::of(args).map_err(CallError::Handler)?;
        let args = Cow::Borrowed(args.as_str());
        let result = self.invoke(TaskContext::direct(), args).await?;
        result.parse().map_err(CallError::Handler)
    }

    /// Calls the present handler. If the handler is replaced during the call, the call goes on with the old handler.
    pub(crate) async fn invoke(&self, ctx: TaskContext, args: Cow<'_, str>) -> Result<Json, InvokeError> {
        match self.0.endpoint.load_full() {
            Some(endpoint) => endpoint.invoke(ctx, args).await,
            None => Err(InvokeError::Missing(RegistryError::UnknownMethod {
                service: self.0.name.service.clone(),
                method: self.0.name.method.clone(),
                known: "(it was unregistered a moment ago)".to_owned(),
            })),
        }
    }
}
