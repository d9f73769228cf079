//! The table of methods. Only the registry's actor changes it; all threads read it without waiting.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

use super::{
    Endpoint, MethodName, Registration, RegistryError, Route,
    registration::checked,
    service::Slot,
    shared::{Shared, SharedValues},
};

/// The most methods of one service that answers every method: callers may add tasks with any method name.
pub(super) const MAX_DISCOVERED: usize = 1_000;

/// Methods by service.
pub(super) type Methods = BTreeMap<String, BTreeMap<String, Route>>;

/// What is registered.
#[derive(Debug, Clone, Default)]
pub(super) struct Services {
    pub(super) methods: Methods,
    /// Services that answer every method. Those of their methods that are known have routes in `methods`, too.
    pub(super) wholes: BTreeMap<String, Slot>,
}

impl Services {
    pub(super) fn routes(&self) -> impl Iterator<Item = &Route> {
        self.methods.values().flat_map(BTreeMap::values)
    }

    fn route(&self, service: &str, method: &str) -> Option<&Route> {
        self.methods.get(service)?.get(method)
    }

    /// Why handlers cannot be registered; a handler that is there already is an error unless `replace`.
    pub(super) fn refusals(&self, registrations: &[Registration], replace: bool) -> Vec<RegistryError> {
        let mut names = BTreeSet::new();
        let refusal = |registration: &'_ Registration| {
            let name = registration.name();
            if let Err(faults) = registration.check() {
                return Some(faults.into());
            }
            if self.wholes.contains_key(&name.service) {
                let service = name.service.clone();
                return Some(RegistryError::RegisteredAsWhole { service });
            }
            let is_there = self.route(&name.service, &name.method).is_some_and(Route::is_alive);
            let is_twice = !names.insert(name.clone());
            (!replace && (is_there || is_twice)).then(|| RegistryError::AlreadyRegistered(name.clone()))
        };
        registrations.iter().filter_map(refusal).collect()
    }

    /// Makes a route to a handler, which shares these values, or has the present route lead to it.
    pub(super) fn put(&mut self, registration: Registration, shared: &Shared) {
        let Registration { name, endpoint, .. } = registration;
        let methods = self.methods.entry(name.service.clone()).or_default();
        match methods.get(&name.method) {
            Some(route) => route.set(Some(endpoint)),
            None => {
                methods.insert(name.method.clone(), Route::new(name, endpoint, shared.clone()));
            }
        }
    }

    /// The services that answer every method and have room for further routes.
    pub(super) fn growing(&self) -> impl Iterator<Item = &String> {
        let known = |service: &String| self.methods.get(service).map_or(0, BTreeMap::len);
        self.wholes
            .keys()
            .filter(move |service| known(service) < MAX_DISCOVERED)
    }

    /// The service that answers every method, if this method is not among its known ones and may become one.
    pub(super) fn undiscovered(&self, service: &str, method: &str) -> Option<&Slot> {
        let slot = self.wholes.get(service)?;
        let known = self.methods.get(service);
        let is_new = known.is_none_or(|known| known.len() < MAX_DISCOVERED && !known.contains_key(method));
        (is_new && checked(service, method).is_ok()).then_some(slot)
    }
}

/// A handle on the table. Clones share the table.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    services: Arc<ArcSwap<Services>>,
    changed: Arc<watch::Sender<()>>,
    shared: Shared,
}

impl Table {
    /// An empty table, for handlers that share these values.
    pub(super) fn sharing(values: SharedValues) -> Self {
        Self {
            shared: values.into(),
            ..Self::default()
        }
    }

    /// What the handlers share.
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// A route to a method, for this table or for one call.
    pub(super) fn route(&self, name: MethodName, endpoint: Endpoint) -> Route {
        Route::new(name, endpoint, self.shared.clone())
    }

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

    /// Whether the method has a handler that can be called, or its service answers every method and takes this one, too.
    pub(super) fn serves(&self, service: &str, method: &str) -> bool {
        let services = self.services();
        match services.route(service, method) {
            Some(route) => route.is_alive(),
            None => services.undiscovered(service, method).is_some(),
        }
    }

    /// Whether the method would be served if it were known: its service answers every method.
    pub(super) fn is_undiscovered(&self, service: &str, method: &str) -> bool {
        self.services().undiscovered(service, method).is_some()
    }

    pub(super) fn find(&self, service: &str, method: &str) -> Result<Route, RegistryError> {
        let services = self.services();
        if let Some(route) = services.route(service, method) {
            return Ok(route.clone());
        }
        if let Some(slot) = services.wholes.get(service) {
            let name = MethodName {
                service: service.to_owned(),
                method: method.to_owned(),
            };
            return Ok(self.route(name.clone(), Endpoint::service(slot.clone(), name)));
        }
        match services.methods.get(service) {
            Some(methods) => Err(RegistryError::UnknownMethod {
                service: service.to_owned(),
                method: method.to_owned(),
                known: listed(methods.keys()),
            }),
            None => Err(RegistryError::UnknownService {
                service: service.to_owned(),
                known: listed(services.methods.keys()),
            }),
        }
    }
}

pub(super) fn listed<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}
