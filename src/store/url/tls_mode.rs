//! How far a connection is protected.

/// How far the connection is protected, with libpq's names. In the order of strictness: of several in one URL the strictest holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) enum TlsMode {
    Disable,
    /// Encrypted if the server can; no certificate is checked.
    Prefer,
    /// Encrypted. The certificate must come from the given authority, if one is given, and may name any host.
    Require,
    /// The same, and there is an authority.
    VerifyCa,
    /// Encrypted, and the certificate must name the host.
    VerifyFull,
}
