//! TLS to the server.

use std::{fmt::Display, path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::exit::{Failure, Result};

pub type Config = Arc<ClientConfig>;

/// TLS 1.2 and 1.3 that trusts the authorities of browsers, and those in the file.
pub fn config(ca_file: Option<&Path>) -> Result<Config> {
    let provider = Arc::new(ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let versions = versions.map_err(|error| Failure::failed(format!("TLS cannot be used: {error}")))?;
    let mut config = versions.with_root_certificates(roots(ca_file)?).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore> {
    let mut roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    let Some(path) = ca_file else {
        return Ok(roots);
    };
    let unread = |error: &dyn Display| {
        Failure::usage(format!(
            "cannot read certificates from {}: {error}; expected a file of PEM certificates",
            path.display()
        ))
    };
    let before = roots.len();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unread(&error))? {
        let certificate = certificate.map_err(|error| unread(&error))?;
        roots.add(certificate).map_err(|error| unread(&error))?;
    }
    match roots.len() == before {
        true => Err(unread(&"it holds none")),
        false => Ok(roots),
    }
}
