//! A fresh connection to a hook's host: look-up, judgement of the addresses, connection and TLS handshake, all within one time limit.

use std::{
    cell::Cell,
    fmt::Display,
    io,
    net::{SocketAddr, ToSocketAddrs},
    path::Path,
    sync::Arc,
    time::Duration,
};

use actix_rt::net::TcpStream;
use actix_service::Service;
use actix_tls::connect::{self as transport, Host, rustls_0_23::TlsConnector};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::time::{Instant, timeout};
use url::Url;

use super::{
    HookError,
    address::{Policy, Refused},
    connection::{Connection, Socket},
};
use crate::blocking::{Unfinished, blocking};

/// A function that finds the addresses of a name, with a port. It blocks its thread. Tests bring another one.
pub(super) type Lookup = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Looks the name up as the system is set up to: in the file of hosts, by DNS, or elsewhere.
pub(super) fn system_lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}

/// Makes connections, each within `limit`.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) policy: Policy,
    pub(super) limit: Duration,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) lookup: Arc<Lookup>,
}

impl Connector {
    /// Connects to the host of `url`. The caller has checked the URL.
    pub(super) async fn connect(&self, url: &Url) -> Result<Connection, HookError> {
        let stage = Cell::new("while its name was looked up");
        let connected = timeout(self.limit, self.ready(url, &stage)).await;
        let connected = connected.unwrap_or_else(|_| {
            Err(HookError::ConnectTimeout {
                host: host(url),
                limit: self.limit,
                stage: stage.get(),
            })
        });
        connected.map(Connection::new)
    }

    async fn ready(&self, url: &Url, stage: &Cell<&'static str>) -> Result<Box<dyn Socket>, HookError> {
        let until = Instant::now() + self.limit;
        let addresses = self.allowed(url).await?;
        stage.set("while connecting");
        let stream = self.first_of(url, &addresses, until).await?;
        if url.scheme() != "https" {
            return Ok(Box::new(stream));
        }
        stage.set("during the TLS handshake");
        self.encrypted(url, stream).await
    }

    /// Those addresses of the host that may be called.
    async fn allowed(&self, url: &Url) -> Result<Vec<SocketAddr>, HookError> {
        let mut refused = Vec::new();
        let mut allowed = self.addresses(url).await?;
        allowed.retain(|address| match self.policy.check(address.ip()) {
            Ok(()) => true,
            Err(refusal) => {
                refused.push(refusal);
                false
            }
        });
        match (allowed.is_empty(), refused.is_empty()) {
            (false, _) => Ok(allowed),
            (true, false) => Err(refusal(url, refused)),
            (true, true) => Err(lookup_error(url, &"it has no address")),
        }
    }

    /// All addresses of the host. The parser of URLs has turned odd forms such as `0x7f.1` into addresses, so that the client connects to
    /// the same addresses that are judged.
    async fn addresses(&self, url: &Url) -> Result<Vec<SocketAddr>, HookError> {
        let port = url.port_or_known_default().unwrap_or_default();
        let name = match url.host() {
            Some(url::Host::Ipv4(ip)) => return Ok(vec![(ip, port).into()]),
            Some(url::Host::Ipv6(ip)) => return Ok(vec![(ip, port).into()]),
            Some(url::Host::Domain(name)) => name.to_owned(),
            None => return Err(lookup_error(url, &"it is empty")),
        };
        let lookup = Arc::clone(&self.lookup);
        // If the caller gives up, the thread stays busy until the system's own limit ends the look-up, about half a minute.
        let found = blocking(move || lookup(&name, port)).await;
        match found {
            Ok(found) => found.map_err(|error| lookup_error(url, &error)),
            Err(Unfinished::NoThread) => Err(HookError::NoThread),
            Err(error) => Err(lookup_error(url, &error)),
        }
    }

    /// Tries the addresses in turn. Each gets an equal share of the time that is left, so that a silent address does not take all of the
    /// time. The last has no limit here: `connect` ends it.
    async fn first_of(&self, url: &Url, addresses: &[SocketAddr], until: Instant) -> Result<TcpStream, HookError> {
        let (mut faults, mut refused) = (Vec::new(), true);
        for (address, left) in addresses.iter().zip(left_of(addresses)) {
            match connected(*address, share(until, left)).await {
                Ok(stream) => return self.judged(url, stream),
                Err(error) => {
                    refused &= error.kind() == io::ErrorKind::ConnectionRefused;
                    faults.push(format!("{address}: {error}"));
                }
            }
        }
        Err(connect_error(url, refused, &faults.join("; ")))
    }

    /// Judges once more the address to which the stream is really connected.
    fn judged(&self, url: &Url, stream: TcpStream) -> Result<TcpStream, HookError> {
        let peer = stream.peer_addr().map_err(|error| connect_error(url, false, &error))?;
        match self.policy.check(peer.ip()) {
            Ok(()) => Ok(stream),
            Err(refused) => Err(refusal(url, vec![refused])),
        }
    }

    async fn encrypted(&self, url: &Url, stream: TcpStream) -> Result<Box<dyn Socket>, HookError> {
        let connection = transport::Connection::new(ServerName(host(url)), stream);
        let encrypted = TlsConnector::service(Arc::clone(&self.tls)).call(connection).await;
        let (stream, _) = encrypted.map_err(|error| tls_error(url, &error))?.into_parts();
        Ok(Box::new(stream))
    }
}

/// For each address: how many addresses are left to try, that address included.
fn left_of(addresses: &[SocketAddr]) -> impl Iterator<Item = u32> {
    let all = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    (1..=all).rev()
}

fn share(until: Instant, left: u32) -> Duration {
    match left {
        ..=1 => Duration::MAX,
        _ => until.saturating_duration_since(Instant::now()) / left,
    }
}

async fn connected(address: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    let attempt = timeout(limit, TcpStream::connect(address)).await;
    attempt.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// The host in the form that certificates use: an IPv6 address has no brackets.
struct ServerName(String);

impl Host for ServerName {
    fn hostname(&self) -> &str {
        self.0.trim_matches(['[', ']'])
    }
}

fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

fn refusal(url: &Url, addresses: Vec<Refused>) -> HookError {
    HookError::Refused {
        host: host(url),
        addresses,
    }
}

fn lookup_error(url: &Url, reason: &dyn Display) -> HookError {
    HookError::Lookup {
        host: host(url),
        reason: reason.to_string(),
    }
}

fn connect_error(url: &Url, refused: bool, reason: &dyn Display) -> HookError {
    HookError::Connect {
        host: host(url),
        refused,
        reason: reason.to_string(),
    }
}

fn tls_error(url: &Url, reason: &dyn Display) -> HookError {
    HookError::Tls {
        host: host(url),
        reason: reason.to_string(),
    }
}

/// TLS 1.2 and 1.3 by ring: the provider is named because a process may hold several. HTTP/1.1 only, since a connection carries one
/// request at a time.
pub(super) fn tls(authorities: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots(authorities)?)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The authorities that browsers trust, and the authorities in the file.
fn roots(authorities: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    let Some(path) = authorities else {
        return Ok(roots);
    };
    let unreadable = |error: &dyn Display| format!("cannot read root_certificates {}: {error}", path.display());
    let before = roots.len();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| unreadable(&error))?;
        roots.add(certificate).map_err(|error| unreadable(&error))?;
    }
    if roots.len() == before {
        return Err(unreadable(&"it holds no certificate in PEM"));
    }
    Ok(roots)
}
