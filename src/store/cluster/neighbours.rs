//! Programs of the Go framework on the same tables.

use std::collections::BTreeMap;

use crate::store::{ClusterStore, StoreError, backend::Backend, db};

/// What they do.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    /// How many tasks a dead worker of theirs had left at Running. They wait again.
    pub(crate) set_back: usize,
    /// The themes in which workers of theirs run tasks, and how many tasks.
    pub(crate) alive: BTreeMap<String, usize>,
}

impl ClusterStore<'_> {
    /// Whether such programs can be there: they know one of the databases.
    pub(crate) fn may_have_neighbours(self) -> bool {
        self.db.dialect().has_neighbours
    }

    /// Whether their workers may be there: the table of their heartbeats is.
    pub(crate) fn has_neighbours(self) -> bool {
        db::on_each!(&self.db, |db| db.has_neighbours())
    }

    /// Says to them which tasks this node runs, and sets back the tasks of these themes that their dead workers have left.
    pub(crate) async fn meet_neighbours(&self, node: String, themes: Vec<String>) -> Result<Neighbours, StoreError> {
        db::on_each!(&self.db, |db| db.meet_neighbours(node, themes).await)
    }
}
