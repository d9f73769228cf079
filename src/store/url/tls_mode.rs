//! The protection of a connection.

/// The protection of a connection, with libpq's names, in the order of strictness: if a URL names several modes, the strictest holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) enum TlsMode {
    Disable,
    /// Encrypted if the server offers TLS. Its certificate is then checked as for `Require`.
    Prefer,
    /// Encrypted. The certificate must come from the given authority, if one is given, and may name any host.
    Require,
    /// As `Require`, and an authority is given.
    VerifyCa,
    /// Encrypted, and the certificate must name the host.
    VerifyFull,
}
