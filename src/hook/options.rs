//! Options for hooks: which addresses they may reach, and how long an answer may be.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::address::Policy;

/// How the HTTP endpoints of jobs are called.
///
/// Each call judges the addresses of its host anew, and last of all the address to which it is really connected. Unspecified, multicast,
/// broadcast and reserved addresses are never allowed.
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

    /// Whether hooks may call private networks: 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7, fec0::/10, and the shared
    /// 100.64.0.0/10 and 198.18.0.0/15. Default true.
    pub fn allow_private(mut self, allow: bool) -> Self {
        self.policy.private = allow;
        self
    }

    /// Whether hooks may call link-local addresses (169.254.0.0/16, fe80::/10) and the metadata services of clouds, which hand out the
    /// machine's credentials. Default false; leave the default unless you alone write jobs.
    pub fn allow_link_local(mut self, allow: bool) -> Self {
        self.policy.link_local = allow;
        self
    }

    /// At most this many bytes of an answer's body are read and kept. Default 1 MiB. A longer body is cut, and a note at its end says so.
    /// Of an answer other than 2xx at most 2 KiB are kept.
    pub fn response_limit(mut self, bytes: usize) -> Self {
        self.response_limit = bytes;
        self
    }

    /// The longest time from looking up the name to a connection that is ready, TLS included. Default 10 s; must not be zero.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// A PEM file of authorities that are trusted for `https`, in addition to the authorities that browsers trust. Default none.
    pub fn root_certificates(mut self, pem: impl AsRef<Path>) -> Self {
        self.root_certificates = Some(pem.as_ref().to_owned());
        self
    }
}
