//! The table of methods: changed by the registry's actor alone, read by everybody without waiting.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::{ArcSwap, Guard};

use super::{RegistryError, Route};

/// Methods by service.
pub(super) type Services = BTreeMap<String, BTreeMap<String, Route>>;

/// Cloneable view of one table.
#[derive(Debug, Clone, Default)]
pub(super) struct Table(Arc<ArcSwap<Services>>);

impl Table {
    /// As it is now.
    pub(super) fn services(&self) -> Guard<Arc<Services>> {
        self.0.load()
    }

    /// Puts another one in its place.
    pub(super) fn set(&self, services: Services) {
        self.0.store(Arc::new(services));
    }

    /// Leaves an empty one; answers with what was there.
    pub(super) fn take(&self) -> Arc<Services> {
        self.0.swap(Arc::default())
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
