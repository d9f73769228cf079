//! Section `Services`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Config, error::name, list_or_commas};

/// A service of the section `Services`, which is called by HTTP. See `RemoteService`.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[non_exhaustive]
pub struct ServiceConfig {
    /// Where it is called: `POST {Url}/{Method}`. There is no default.
    pub url: String,
    /// The secret that signs the requests, `whsec_…`. Default: requests are not signed.
    pub secret: Option<String>,
    /// Seconds that one call may take. Default: none.
    pub timeout: Option<f64>,
    /// How many calls this process makes at the same time. Default 100.
    pub max_concurrent: Option<usize>,
    /// Methods that are known from the start: a list, or one text with commas. Default: none.
    #[serde(deserialize_with = "list_or_commas")]
    pub methods: Vec<String>,
}

/// Shows neither the URL, which may hold a password, nor the secret.
impl fmt::Debug for ServiceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceConfig")
            .field("timeout", &self.timeout)
            .field("max_concurrent", &self.max_concurrent)
            .field("methods", &self.methods)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// The settings of services that are seconds, with their keys.
    pub(super) fn services_seconds(&self) -> impl Iterator<Item = (String, Option<f64>)> + '_ {
        let services = self.services.iter();
        services.map(|(service, options)| (format!("Services.{}.Timeout", name(service)), options.timeout))
    }
}
