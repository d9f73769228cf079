//! The table of methods. Only the registry's actor changes it; all threads read it without waiting.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

use super::{RegistryError, Route};

/// Methods by service.
pub(super) type Services = BTreeMap<String, BTreeMap<String, Route>>;

/// A handle on the table. Clones share the table.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    services: Arc<ArcSwap<Services>>,
    changed: Arc<watch::Sender<()>>,
}

impl Table {
    /// A snapshot of the present table.
    pub(super) fn services(&self) -> Guard<Arc<Services>> {
        self.services.load()
    }

    /// Replaces the table, and notifies the watchers.
    pub(super) fn set(&self, services: Services) {
        self.services.store(Arc::new(services));
        self.announce();
    }

    /// Leaves an empty table; answers with the old one. Does not notify the watchers.
    pub(super) fn take(&self) -> Arc<Services> {
        self.services.swap(Arc::default())
    }

    /// Notifies the watchers that a handler was added, removed or replaced.
    pub(super) fn announce(&self) {
        self.changed.send_replace(());
    }

    /// A receiver that [`announce`](Self::announce) notifies from now on.
    pub(super) fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Whether the method has a handler that can be called.
    pub(super) fn serves(&self, service: &str, method: &str) -> bool {
        let services = self.services();
        let route = services.get(service).and_then(|methods| methods.get(method));
        route.is_some_and(Route::is_alive)
    }

    pub(super) fn find(&self, service: &str, method: &str) -> Result<Route, RegistryError> {
        let services = self.services();
        let Some(methods) = services.get(service) else {
            return Err(RegistryError::UnknownService {
                service: service.to_owned(),
                known: listed(services.keys()),
            });
        };
        methods
            .get(method)
            .cloned()
            .ok_or_else(|| RegistryError::UnknownMethod {
                service: service.to_owned(),
                method: method.to_owned(),
                known: listed(methods.keys()),
            })
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}
