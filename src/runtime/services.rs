//! Remote services that a builder has been given, or that the configuration names.

use crate::{
    config::Config,
    domain::Faults,
    error::Error,
    registry::{MethodName, Registration, Registry},
    services::RemoteService,
};

/// A remote service and its name.
#[derive(Debug)]
pub(super) struct NamedService {
    pub(super) name: String,
    service: RemoteService,
    /// Where it is named, for faults.
    place: String,
}

impl NamedService {
    #[cfg(feature = "hooks")]
    pub(super) fn in_code(name: String, service: RemoteService) -> Self {
        let place = format!("service {name:?}");
        Self { name, service, place }
    }

    /// The services of the section `Services`.
    pub(super) fn configured(config: &Config) -> Vec<Self> {
        let services = config.services.iter().map(|(name, own)| Self {
            name: name.clone(),
            service: RemoteService::of(own),
            place: format!("Services.{name}"),
        });
        services.collect()
    }

    /// Checks all services of a process, and that their names belong to no two of them, nor to the service of a handler.
    pub(super) fn check_all(all: &[Self], handlers: &[Registration], faults: &mut Faults) {
        for (at, Self { name, service, place }) in all.iter().enumerate() {
            faults.name(&format!("the name of {place}"), name, crate::domain::MAX_NAME_CHARS);
            service.check(place, faults);
            let twice = all[..at].iter().any(|other| other.name == *name);
            faults.require(!twice, || {
                format!("two remote services of the name {name:?}; give each a name of its own")
            });
            let mut methods = handlers.iter().map(Registration::name);
            if let Some(MethodName { method, .. }) = methods.find(|method| method.service == *name) {
                faults.require(false, || {
                    format!(
                        "{place} is remote and would serve every method of {name:?}, but {name}.{method} has a handler; leave one of the \
                         two out, or give the service another name"
                    )
                });
            }
        }
    }

    pub(super) async fn register(self, registry: &Registry) -> Result<(), Error> {
        Ok(registry.put_service(self.name, &self.service, false).await?)
    }

    /// Registers the service anew, in place of the present one.
    pub(super) async fn replace(self, registry: &Registry) -> Result<(), Error> {
        Ok(registry.put_service(self.name, &self.service, true).await?)
    }
}
