//! A resolved route: kept by callers, changed by the registry.

use std::sync::{Arc, PoisonError, RwLock};

use super::{Endpoint, InvokeError, MethodName, RegistryError, TaskContext};
use crate::domain::Json;

/// The way to one method's handler. It stays good when the handler is replaced, and says so when it is taken away.
#[derive(Debug, Clone)]
pub(crate) struct Route(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: MethodName,
    endpoint: RwLock<Option<Endpoint>>,
}

impl Route {
    pub(super) fn new(name: MethodName, endpoint: Endpoint) -> Self {
        Self(Arc::new(Inner {
            name,
            endpoint: RwLock::new(Some(endpoint)),
        }))
    }

    pub(super) fn set(&self, endpoint: Option<Endpoint>) {
        *self.0.endpoint.write().unwrap_or_else(PoisonError::into_inner) = endpoint;
    }

    /// Whether there is a handler.
    pub(super) fn is_served(&self) -> bool {
        self.endpoint().is_some()
    }

    fn endpoint(&self) -> Option<Endpoint> {
        self.0.endpoint.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) async fn invoke(&self, ctx: TaskContext, args: Json) -> Result<Json, InvokeError> {
        match self.endpoint() {
            Some(endpoint) => endpoint.invoke(ctx, args).await,
            None => Err(InvokeError::Missing(RegistryError::UnknownMethod {
                service: self.0.name.service.clone(),
                method: self.0.name.method.clone(),
                known: "(it was unregistered a moment ago)".to_owned(),
            })),
        }
    }
}
