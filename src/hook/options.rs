//! What hooks may reach and how much they may answer.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::address::Policy;

/// How the HTTP endpoints of jobs are called.
///
/// Addresses are judged when a connection is made, each time anew, by the address that is really connected to. Never
/// allowed are unspecified, multicast, broadcast and reserved addresses.
///
/// ```
/// use gaia_actors::HookOptions;
///
/// // Jobs are written by people who must not reach the services beside this one.
/// let options = HookOptions::default().allow_loopback(false).allow_private(false);
/// # let _ = options;
/// ```
#[derive(Debug, Clone)]
#[must_use = "options do nothing until hooks are called with them"]
pub struct HookOptions {
    pub(super) policy: Policy,
    pub(super) response_limit: usize,
    pub(super) connect_timeout: Duration,
    pub(super) root_certificates: Option<PathBuf>,
}

impl Default for HookOptions {
    fn default() -> Self {
        Self {
            policy: Policy {
                loopback: true,
                private: true,
                link_local: false,
            },
            response_limit: 1 << 20,
            connect_timeout: Duration::from_secs(10),
            root_certificates: None,
        }
    }
}

impl HookOptions {
    /// Whether hooks may call this machine: 127.0.0.0/8 and ::1. Default true.
    pub fn allow_loopback(mut self, allow: bool) -> Self {
        self.policy.loopback = allow;
        self
    }

    /// Whether hooks may call private networks: 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7, and the shared
    /// 100.64.0.0/10 and 198.18.0.0/15. Default true.
    pub fn allow_private(mut self, allow: bool) -> Self {
        self.policy.private = allow;
        self
    }

    /// Whether hooks may call link-local addresses (169.254.0.0/16, fe80::/10) and the metadata services of clouds, which
    /// hand out the machine's credentials. Default false; leave it so unless you alone write jobs.
    pub fn allow_link_local(mut self, allow: bool) -> Self {
        self.policy.link_local = allow;
        self
    }

    /// Most bytes of an answer's body that are read and kept. Default 1 MiB; a longer body is cut, visibly.
    pub fn response_limit(mut self, bytes: usize) -> Self {
        self.response_limit = bytes;
        self
    }

    /// Longest time from looking up the name to a connection that is ready, TLS included. Default 10 s; not zero.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// A file of authorities in PEM that are trusted for `https`, in addition to those that browsers trust. Default none.
    pub fn root_certificates(mut self, pem: impl AsRef<Path>) -> Self {
        self.root_certificates = Some(pem.as_ref().to_owned());
        self
    }
}
