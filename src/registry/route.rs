//! The route to a handler: callers keep it, and the registry changes it.

use std::{borrow::Cow, sync::Arc};

use arc_swap::ArcSwapOption;
use futures_util::FutureExt;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    CallError, Endpoint, InvokeError, MethodName, RegistryError, TaskContext,
    layer::{Answer, Layers},
    shared::Shared,
};
use crate::domain::JsonText;

/// The route to one method's handler: the answer of [`Registry::route`](super::Registry::route). The route stays valid when the handler is
/// replaced. Once the handler is removed, calls give an error; a handler that is registered after that needs a new route.
#[derive(Debug, Clone)]
pub struct Route(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: MethodName,
    endpoint: ArcSwapOption<Endpoint>,
    shared: Shared,
}

impl Route {
    pub(super) fn new(name: MethodName, endpoint: Endpoint, shared: Shared) -> Self {
        Self(Arc::new(Inner {
            name,
            endpoint: ArcSwapOption::from_pointee(endpoint),
            shared,
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

    /// Removes the handler.
    pub(super) fn take(&self) -> Option<Arc<Endpoint>> {
        self.0.endpoint.swap(None)
    }

    /// Calls the method like [`Registry::call`](super::Registry::call), but without a look into the table.
    ///
    /// # Errors
    /// As for [`Registry::call`](super::Registry::call).
    pub async fn call<R: DeserializeOwned>(&self, args: &(impl Serialize + ?Sized)) -> Result<R, CallError> {
        let args = JsonText::of(args).map_err(CallError::Handler)?;
        let args = Cow::Borrowed(args.as_str());
        let result = self.invoke(self.direct(), args).await?;
        result.parse().map_err(CallError::Handler)
    }

    /// The context of a direct call.
    pub(super) fn direct(&self) -> TaskContext {
        TaskContext::direct(self.0.shared.clone())
    }

    /// Calls the method within these layers.
    pub(crate) async fn invoke_within(&self, layers: &Layers, ctx: TaskContext, args: Cow<'_, str>) -> Answer {
        if layers.is_empty() {
            return self.invoke(ctx, args).await;
        }
        let route = self.clone();
        let call = |ctx, args| async move { route.invoke(ctx, args).await }.boxed_local();
        layers.around(&self.0.name, ctx, args, call).await
    }

    /// Calls the present handler, within its layers. If the handler is replaced during the call, the call goes on with the old handler.
    pub(crate) async fn invoke(&self, ctx: TaskContext, args: Cow<'_, str>) -> Answer {
        match self.0.endpoint.load_full() {
            Some(endpoint) if endpoint.layers().is_empty() => endpoint.invoke(ctx, args).await,
            Some(endpoint) => {
                let layers = endpoint.layers().clone();
                let call = |ctx, args| async move { endpoint.invoke(ctx, args).await }.boxed_local();
                layers.around(&self.0.name, ctx, args, call).await
            }
            None => Err(InvokeError::Missing(RegistryError::UnknownMethod {
                service: self.0.name.service.clone(),
                method: self.0.name.method.clone(),
                known: "(it was unregistered a moment ago)".to_owned(),
            })),
        }
    }
}
