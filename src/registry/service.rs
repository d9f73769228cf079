//! Services that answer every method, whatever its name: the registry does not know the methods beforehand.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use futures_util::future::LocalBoxFuture;

use super::{InvokeError, MethodName, RegistryError, TaskContext};
use crate::domain::Json;

/// A service whose methods have one handler.
pub(crate) trait AnyMethod: Send + Sync {
    fn call<'a>(
        &'a self,
        method: &'a str,
        ctx: TaskContext,
        args: &'a str,
    ) -> LocalBoxFuture<'a, Result<Json, InvokeError>>;
}

/// The place of such a service in the table. Every route to a method of the service leads here, so that all of them follow when the service
/// is replaced or removed.
#[derive(Clone, Default)]
pub(super) struct Slot(Arc<ArcSwapOption<Box<dyn AnyMethod>>>);

impl Slot {
    pub(super) fn set(&self, service: Option<Box<dyn AnyMethod>>) {
        self.0.store(service.map(Arc::new));
    }

    pub(super) fn is_taken(&self) -> bool {
        self.0.load().is_some()
    }

    /// Calls the present service. If it is replaced during the call, the call goes on with the old service.
    pub(super) async fn call(&self, name: &MethodName, ctx: TaskContext, args: &str) -> Result<Json, InvokeError> {
        match self.0.load_full() {
            Some(service) => service.call(&name.method, ctx, args).await,
            None => Err(InvokeError::Missing(RegistryError::UnknownService {
                service: name.service.clone(),
                known: "(it was unregistered a moment ago)".to_owned(),
            })),
        }
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Slot").field(&self.is_taken()).finish()
    }
}
