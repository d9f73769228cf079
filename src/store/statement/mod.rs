//! How statements are made, whatever they are about.

#[cfg(any(feature = "sqlite", feature = "mysql"))]
pub(super) mod bulk;
pub(super) mod chunks;
pub(super) mod executor;
pub(super) mod id_row;
pub(super) mod lists;
pub(super) mod prepared;
pub(super) mod transaction;
