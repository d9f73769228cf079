//! An access that is replaced while the API is served.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{Access, Kind};

/// An access that can be replaced while the API is served: a token can be revoked without a new start of the process.
///
/// ```
/// use gaia_actors::web::{Access, AccessToken, AdminOptions, ReplaceableAccess};
///
/// let access = ReplaceableAccess::new(Access::loopback_only());
/// let options = AdminOptions::new(access.access());
///
/// let hash = AccessToken::hash_of("kept by the order service alone");
/// access.replace(Access::tokens([AccessToken::new("order service", &hash)?]));
/// # Ok::<(), gaia_actors::InvalidInput>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct ReplaceableAccess(Arc<ArcSwap<Access>>);

impl ReplaceableAccess {
    /// Begins with this access.
    pub fn new(access: Access) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(access)))
    }

    /// The access for [`AdminOptions`](crate::web::AdminOptions).
    pub fn access(&self) -> Access {
        Access(Kind::Replaceable(Arc::clone(&self.0)))
    }

    /// Judges all further requests by this access, which must not be the one of [`access`](Self::access): that one would ask itself for ever.
    pub fn replace(&self, access: Access) {
        self.0.store(Arc::new(access));
    }
}
