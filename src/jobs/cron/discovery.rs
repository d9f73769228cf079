//! The methods of services that answer every method, as far as jobs call them: they become known before the first run, so that operators see
//! that this node serves them.

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};

use super::CronActor;
use crate::{
    registry::{MethodName, Registry},
    store::{Store, StoreError},
};

/// The most methods of one service that are read.
const MAX_LOOKED_AT: i64 = 1_000;

impl CronActor {
    /// Looks for such methods, if there are services that were not there at the last look.
    pub(super) fn look_at_services(&mut self, ctx: &mut Context<Self>) {
        let services = self.context.registry.growing();
        if services != self.services {
            self.services = services;
            self.discover(ctx);
        }
    }

    /// Looks for such methods. If that fails, they become known by the first run, or by the next look.
    pub(super) fn discover(&self, ctx: &mut Context<Self>) {
        if self.services.is_empty() {
            return;
        }
        let (store, registry, services) = (self.store.clone(), self.context.registry.clone(), self.services.clone());
        let look = async move { look(&store, &registry, services).await };
        ctx.spawn(look.into_actor(self).map(|looked, _, _| {
            if let Err(error) = looked {
                say!(
                    Debug,
                    "jobs: cannot look which methods of remote services they call: {error}"
                );
            }
        }));
    }
}

async fn look(store: &Store, registry: &Registry, services: Vec<String>) -> Result<(), StoreError> {
    let mut found = Vec::new();
    for service in services {
        let methods = store.jobs().methods_of(&service, MAX_LOOKED_AT).await?.into_iter();
        let new = methods.filter(|method| registry.is_undiscovered(&service, method));
        found.extend(new.map(|method| MethodName {
            service: service.clone(),
            method,
        }));
    }
    if !found.is_empty() {
        // A registry that has stopped serves nothing any more.
        let _ = registry.discover(found).await;
    }
    Ok(())
}
