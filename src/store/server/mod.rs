//! The parts that all database servers share.

pub(super) mod insert_batcher;
#[cfg(feature = "_server")]
pub(super) mod pool;
