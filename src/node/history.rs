//! Writing the counts of this node into the table of the history.

use crate::{
    events::Tally,
    store::{Store, StoreError},
};

/// Writes what has been counted in closed buckets; `with_open`: in the open one, too. What could not be written stays with the tally.
pub(crate) async fn write_history(store: &Store, tally: &Tally, node: &str, with_open: bool) -> Result<(), StoreError> {
    while let Some(batch) = tally.next_batch(with_open) {
        store.cluster().write_history(node, &batch).await?;
        tally.written(&batch);
    }
    Ok(())
}
