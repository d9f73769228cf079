//! Registers remote services.

use super::RemoteService;
use crate::registry::{Registry, RegistryError};

impl Registry {
    /// Registers a remote service, which serves every method of this name.
    ///
    /// ```
    /// use gaia_actors::{Registry, RemoteService};
    ///
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let registry = Registry::start();
    /// registry.register_service("Orders", RemoteService::at("http://127.0.0.1:9/orders")).await?;
    /// // A direct call, without a queue. Nothing listens there.
    /// assert!(registry.call::<u64>("Orders", "Create", &7).await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`RegistryError::Invalid`] with every fault of the service, [`RegistryError::RegisteredAsWhole`] if there is a remote service of this
    /// name ([`replace_service`](Self::replace_service) replaces it), [`RegistryError::HasMethods`] if single methods of this name have
    /// handlers, [`RegistryError::Stopped`].
    #[cfg(feature = "hooks")]
    pub async fn register_service(&self, name: impl Into<String>, service: RemoteService) -> Result<(), RegistryError> {
        self.put_service(name.into(), &service, false).await
    }

    /// Registers a remote service, in place of the present one if there is one. Calls that have begun end with the old service.
    ///
    /// # Errors
    /// As for [`register_service`](Self::register_service), but for a remote service of this name.
    #[cfg(feature = "hooks")]
    pub async fn replace_service(&self, name: impl Into<String>, service: RemoteService) -> Result<(), RegistryError> {
        self.put_service(name.into(), &service, true).await
    }

    /// Removes a remote service with all its methods; answers whether there was one. From then on tasks that call it wait for another node
    /// that serves it.
    ///
    /// # Errors
    /// [`RegistryError::Stopped`].
    #[cfg(feature = "hooks")]
    pub async fn unregister_service(&self, name: &str) -> Result<bool, RegistryError> {
        self.remove_whole(name).await
    }

    pub(crate) async fn put_service(
        &self,
        name: String,
        service: &RemoteService,
        replace: bool,
    ) -> Result<(), RegistryError> {
        let ready = service.ready(&name, self.clock(), self.traces())?;
        self.put_whole(name, ready, service.known_methods().to_vec(), replace)
            .await
    }
}
