//! Which addresses a hook may call, so that a job's URL cannot reach the machine's own secrets.
//!
//! The ranges come from the IANA special-purpose registries. An address that is not known to be an ordinary one is refused.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// The kind of an address, which the [`Policy`] judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An address of the internet: always allowed.
    Public,
    /// An address of this machine.
    Loopback,
    /// An address of a network that is not the internet: private, shared, benchmarking, unique local, site-local.
    Private,
    /// 169.254.0.0/16 and fe80::/10, valid on one network link only. Clouds serve credentials there.
    LinkLocal,
    /// A cloud's service that hands credentials to the machine, at an address outside the link-local ranges.
    Metadata,
    /// 0.0.0.0/8 and ::, which many systems take for this machine.
    Unspecified,
    Multicast,
    Broadcast,
    /// Addresses that are not for use, or for no use that a hook could have.
    Reserved,
}

impl Kind {
    /// The kind with its article, for a sentence.
    const fn name(self) -> &'static str {
        match self {
            Self::Public => "a public",
            Self::Loopback => "a loopback",
            Self::Private => "a private",
            Self::LinkLocal => "a link-local",
            Self::Metadata => "a cloud metadata",
            Self::Unspecified => "an unspecified",
            Self::Multicast => "a multicast",
            Self::Broadcast => "a broadcast",
            Self::Reserved => "a reserved",
        }
    }

    /// The option that allows the kind, if there is one.
    const fn switch(self) -> Option<&'static str> {
        match self {
            Self::Loopback => Some("allow_loopback"),
            Self::Private => Some("allow_private"),
            Self::LinkLocal | Self::Metadata => Some("allow_link_local"),
            _ => None,
        }
    }

    /// The kind of an address, and the kind of the IPv4 address that it hides, to which a tunnel takes the packets. An address that hides
    /// none has its own kind twice.
    pub(super) fn of(address: IpAddr) -> [Self; 2] {
        match address {
            IpAddr::V4(address) => [of_v4(address); 2],
            IpAddr::V6(address) => {
                let kind = embedded(address).map_or_else(|| of_v6(address), of_v4);
                [kind, tunnelled(address).map_or(kind, of_v4)]
            }
        }
    }
}

/// Addresses of [`Kind::Metadata`].
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200), // Alibaba Cloud
    Ipv4Addr::new(168, 63, 129, 16),   // Azure
    Ipv4Addr::new(192, 0, 0, 192),     // Oracle Cloud
];
const METADATA_V6: [Ipv6Addr; 4] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),      // AWS
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),       // Google Cloud
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),        // Scaleway
    Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe), // Oracle Cloud
];

fn of_v4(address: Ipv4Addr) -> Kind {
    match address.octets() {
        _ if METADATA_V4.contains(&address) => Kind::Metadata,
        [0, ..] => Kind::Unspecified,
        [127, ..] => Kind::Loopback,
        [169, 254, ..] => Kind::LinkLocal,
        _ if address.is_private() => Kind::Private,
        // 100.64.0.0/10 is shared with the provider (RFC 6598); overlay networks use it, too. 198.18.0.0/15 is for benchmarking
        // (RFC 2544); proxies on developers' machines answer every name with addresses of this range.
        [100, 64..=127, ..] | [198, 18 | 19, ..] => Kind::Private,
        [255, 255, 255, 255] => Kind::Broadcast,
        [224..=239, ..] => Kind::Multicast,
        // Protocol assignments, the former 6to4 relays, and ranges that were never given out; on the next line documentation.
        [192, 0, 0, _] | [192, 88, 99, _] | [240..=255, ..] => Kind::Reserved,
        _ if address.is_documentation() => Kind::Reserved,
        _ => Kind::Public,
    }
}

fn of_v6(address: Ipv6Addr) -> Kind {
    match address.segments() {
        _ if METADATA_V6.contains(&address) => Kind::Metadata,
        _ if address.is_unspecified() => Kind::Unspecified,
        _ if address.is_loopback() => Kind::Loopback,
        _ if address.is_multicast() => Kind::Multicast,
        [0xfe80..=0xfebf, ..] => Kind::LinkLocal,
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Kind::Private,
        // Protocol assignments (among them Teredo, whose addresses hide an IPv4 address) and documentation. A network's own NAT64
        // (64:ff9b:1::/48, RFC 8215) is reserved, too, by the last arm: only that network knows where its addresses hold the IPv4 address.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Kind::Reserved,
        [0x2000..=0x3fff, ..] => Kind::Public,
        _ => Kind::Reserved,
    }
}

/// The IPv4 address to which packets to `address` go, if `address` is only a form of that IPv4 address.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.segments() {
        // :: and ::1 have meanings of IPv6; they are not compatible forms of 0.0.0.0 and 0.0.0.1.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        // Mapped, compatible (RFC 4291), translated (RFC 2765), NAT64 (RFC 6052).
        [0, 0, 0, 0, 0, 0xffff | 0, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        // 6to4 (RFC 3056).
        | [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

/// The IPv4 address in an ISATAP interface identifier (RFC 5214, section 6.1), which may follow any prefix: this machine or the
/// prefix's router unpacks the packet. Two bits of the identifier say whether the address is unique, and whether it is of a group.
fn tunnelled(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.segments() {
        [.., 0 | 0x100 | 0x200 | 0x300, 0x5efe, high, low] => Some(join(high, low)),
        _ => None,
    }
}

fn join(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

/// Which kinds are allowed besides [`Kind::Public`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy {
    pub(super) loopback: bool,
    pub(super) private: bool,
    pub(super) link_local: bool,
}

impl Policy {
    pub(super) fn check(self, address: IpAddr) -> Result<(), Refused> {
        match Kind::of(address).into_iter().find(|kind| !self.allows(*kind)) {
            None => Ok(()),
            Some(kind) => Err(Refused { address, kind }),
        }
    }

    fn allows(self, kind: Kind) -> bool {
        match kind {
            Kind::Public => true,
            Kind::Loopback => self.loopback,
            Kind::Private => self.private,
            Kind::LinkLocal | Kind::Metadata => self.link_local,
            Kind::Unspecified | Kind::Multicast | Kind::Broadcast | Kind::Reserved => false,
        }
    }
}

/// An address that hooks may not call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    address: IpAddr,
    kind: Kind,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, kind } = self;
        write!(f, "{address} is {} address, ", kind.name())?;
        match kind.switch() {
            Some(switch) => write!(f, "which `HookOptions::{switch}(true)` would allow"),
            None => f.write_str("which is never allowed"),
        }
    }
}
