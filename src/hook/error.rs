//! Why a call of a hook failed.

use std::time::Duration;

use awc::http::StatusCode;

use super::address::Refused;
use crate::traces::Span;

/// Why a call failed. No message shows a secret, a signature or the value of a header that was sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HookError {
    /// The URL or a header cannot be sent.
    #[error("the hook was not called: {0}")]
    Invalid(String),
    /// The name has no address.
    #[error("cannot find the address of the host {host:?}: {reason}; check the name, and this machine's DNS")]
    Lookup {
        /// The name.
        host: String,
        /// The resolver's words.
        reason: String,
    },
    /// The host has no address that may be called.
    #[error("the host {host:?} may not be called: {}", listed(addresses))]
    Refused {
        /// The host.
        host: String,
        /// All addresses of the host that were refused.
        addresses: Vec<Refused>,
    },
    /// No connection was made.
    #[error("cannot connect to the host {host:?}: {reason}; check that the service runs and listens there")]
    Connect {
        /// The host.
        host: String,
        /// Every address has refused the connection: nothing listens there.
        refused: bool,
        /// Each address that was tried, with its error.
        reason: String,
    },
    /// The connection was not ready within the time limit.
    #[error(
        "no connection to the host {host:?} within {limit:?}, {stage}; \
         check the service and the network, or raise `HookOptions::connect_timeout`"
    )]
    ConnectTimeout {
        /// The host.
        host: String,
        /// The limit.
        limit: Duration,
        /// The step that was not done in time.
        stage: &'static str,
    },
    /// The TLS handshake failed.
    #[error(
        "no TLS with the host {host:?}: {reason}; expected a certificate for that name by an authority that \
         browsers trust, or one added by `HookOptions::root_certificates`"
    )]
    Tls {
        /// The host.
        host: String,
        /// The fault.
        reason: String,
    },
    /// This node does not own the run any more, and nothing was sent.
    #[error("the call was withdrawn before it was sent")]
    Withdrawn,
    /// There was no thread for looking up the host's name, and nothing was sent.
    #[error("the hook was not called: the system gives this process no thread for looking up its host's name")]
    NoThread,
    /// The connection broke, or the bytes that came over it were not HTTP.
    #[error("the host {host:?} gave no answer: {reason}; expected an HTTP response, so see the service's own log")]
    NoAnswer {
        /// The host.
        host: String,
        /// The fault.
        reason: String,
    },
    /// The connection ended within the body.
    #[error(
        "the hook's answer {status} was cut off after {received} bytes of its body; \
         expected all of it, so see the service's own log"
    )]
    CutOff {
        /// The status.
        status: u16,
        /// How many bytes of the body came.
        received: usize,
    },
    /// The service answered with a status other than 2xx.
    #[error("the hook answered {}, expected 2xx{}", named(*status), details(location.as_deref(), body))]
    Status {
        /// The status.
        status: u16,
        /// The target of a redirect.
        location: Option<String>,
        /// The beginning of the body.
        body: String,
    },
}

impl HookError {
    /// The status of the answer, if there was one.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } | Self::CutOff { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Tells the span of the call how the call failed, without any text of the service: that may name an address, or hold a secret.
    pub(super) fn tell(&self, span: &Span) {
        if let Self::Status { status, .. } | Self::CutOff { status, .. } = self {
            span.answered(*status);
        }
        span.failed(match self {
            Self::Invalid(_) => "the URL or a header cannot be sent",
            Self::Lookup { .. } => "the host's name has no address",
            Self::Refused { .. } => "the host may not be called",
            Self::Connect { .. } => "no connection",
            Self::ConnectTimeout { .. } => "no connection in time",
            Self::Tls { .. } => "no TLS",
            Self::Withdrawn => "withdrawn before it was sent",
            Self::NoThread => "no thread for looking up the host's name",
            Self::NoAnswer { .. } => "no answer",
            Self::CutOff { .. } => "the answer was cut off",
            Self::Status { .. } => "expected the status 2xx",
        });
    }
}

fn listed(addresses: &[Refused]) -> String {
    let each: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    each.join("; ")
}

/// The status with its usual name, if it has one.
pub(crate) fn named(status: u16) -> String {
    match StatusCode::from_u16(status)
        .ok()
        .and_then(|code| code.canonical_reason())
    {
        Some(reason) => format!("{status} {reason}"),
        None => status.to_string(),
    }
}

fn details(location: Option<&str>, body: &str) -> String {
    let target = location.map(|target| {
        format!("; redirects are not followed: if {target:?} is the right address, give the job that URL")
    });
    let text = Some(body.trim()).filter(|body| !body.is_empty());
    target.unwrap_or_default() + &text.map(|body| format!("; its body: {body}")).unwrap_or_default()
}
