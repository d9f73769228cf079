//! What database servers have in common.

pub(super) mod insert_batcher;
#[cfg(feature = "_server")]
pub(super) mod pool;
