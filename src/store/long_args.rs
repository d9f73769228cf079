//! Long arguments: what claims leave in the database, and how much of it this process has in memory at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory for arguments that claims have left out, in kilobytes. What a handler makes of them comes on top.
const ROOM: u32 = 64 << 10;

/// Shared by all clones of a store.
#[derive(Debug, Clone)]
pub(super) struct LongArgs(Arc<Semaphore>);

impl Default for LongArgs {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ROOM as usize)))
    }
}

impl LongArgs {
    /// Waits until there is room for so many bytes; it is free again when the answer is dropped. What is larger than all the room
    /// has it alone. Callers have their turns in the order in which they asked.
    pub(super) async fn room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let kilobytes = u32::try_from(bytes >> 10).unwrap_or(u32::MAX).saturating_add(1);
        // The semaphore is never closed.
        Arc::clone(&self.0).acquire_many_owned(kilobytes.min(ROOM)).await.ok()
    }
}
