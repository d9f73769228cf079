//! Users whom a proxy has checked, and names in a header.

use std::net::IpAddr;

use actix_web::http::header::HeaderName;
use ipnet::IpNet;

use super::{AccessRequest, Caller};
use crate::domain::{Faults, InvalidInput};

/// Which header is believed, and from whom.
pub(super) struct Forwarded {
    header: HeaderName,
    peers: Vec<IpNet>,
    role: Caller,
}

impl Forwarded {
    pub(super) fn new<'a>(
        header: &str,
        peers: impl IntoIterator<Item = &'a str>,
        role: Caller,
    ) -> Result<Self, InvalidInput> {
        let mut faults = Faults::default();
        let name = HeaderName::try_from(header);
        faults.require(name.is_ok(), || format!("{header:?} is no name of a header"));
        let mut networks = Vec::new();
        for peer in peers {
            match network(peer) {
                Some(network) => networks.push(network),
                None => faults.require(false, || {
                    format!("{peer:?} is no IP address and no network, expected such as 10.0.0.7 or 10.0.0.0/8")
                }),
            }
        }
        faults.require(!networks.is_empty(), || {
            "no peer is trusted: name the addresses of the proxies that set the header".to_owned()
        });
        match name {
            Ok(header) => {
                faults.into_result()?;
                Ok(Self {
                    header,
                    peers: networks,
                    role,
                })
            }
            Err(_) => Err(faults.into_error()),
        }
    }

    /// A header that is there twice names nobody: the proxy may have added its own behind the client's.
    pub(super) fn caller(&self, request: &AccessRequest<'_>) -> Option<Caller> {
        let peer = request.peer?.to_canonical();
        if !self.peers.iter().any(|network| network.contains(&peer)) {
            return None;
        }
        let mut values = request.headers.get_all(&self.header);
        let (user, None) = (values.next()?, values.next()) else {
            return None;
        };
        let user = std::str::from_utf8(user.as_bytes()).ok()?.trim();
        (!user.is_empty()).then(|| self.role.clone().named(user))
    }
}

/// A network, or an address as the network of that address alone. IPv4 addresses that are written as IPv6 count as IPv4.
fn network(text: &str) -> Option<IpNet> {
    match text.trim().parse::<IpAddr>() {
        Ok(address) => Some(address.to_canonical().into()),
        Err(_) => text.trim().parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderMap, HeaderValue};

    use super::*;

    #[test]
    fn the_header_is_believed_from_these_peers_alone() {
        let access = Forwarded::new(
            "X-Forwarded-User",
            ["10.1.0.0/16", "2001:db8::/32", "::1"],
            Caller::new("role"),
        );
        let access = access.expect("is good");
        let name = HeaderName::from_static("x-forwarded-user");
        let mut headers = HeaderMap::new();
        headers.append(name.clone(), HeaderValue::from_static("ada"));
        let from = |peer: &str, headers: &HeaderMap| {
            let peer = peer.parse().ok();
            let caller = access.caller(&AccessRequest { peer, headers });
            caller.map(|caller| caller.name().to_owned())
        };
        for peer in ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::7", "::1"] {
            assert_eq!(from(peer, &headers).as_deref(), Some("ada"), "{peer}");
        }
        for peer in ["10.2.0.1", "127.0.0.1", "2001:db9::1", "a Unix socket"] {
            assert_eq!(from(peer, &headers), None, "{peer}");
        }
        headers.append(name.clone(), HeaderValue::from_static("root"));
        assert_eq!(from("::1", &headers), None);
        for empty in ["", "  "] {
            headers.insert(name.clone(), HeaderValue::from_static(empty));
            assert_eq!(from("::1", &headers), None);
        }
    }

    #[test]
    fn every_fault_is_named() {
        let faults = |header: &str, peers: &[&'static str]| {
            let access = Forwarded::new(header, peers.iter().copied(), Caller::new("role"));
            access.err().map_or(0, |input| input.faults().len())
        };
        assert_eq!(faults("x-user", &["10.0.0.0/8"]), 0);
        assert_eq!(faults("x user", &["10.0.0.0/33", "proxy"]), 4);
        assert_eq!(faults("x-user", &[]), 1);
    }
}
