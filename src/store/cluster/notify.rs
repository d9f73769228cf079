//! Telling other processes that there is something to look at, and hearing it from them.
//!
//! Only PostgreSQL can do it. On the others, and whenever it fails, nodes find new tasks by looking from time to time.

use crate::store::{
    ClusterStore,
    backend::{Backend, Heard},
    db::on_each,
};

impl ClusterStore<'_> {
    /// Tells other processes that the theme has so many more tasks that wait. Does not wait for it.
    pub(crate) fn announce_tasks(self, theme: &str, count: usize) {
        self.announce(Heard::Tasks(theme), count);
    }

    /// Tells other processes that there are requests to running nodes. Does not wait for it.
    pub(crate) fn announce_requests(self) {
        self.announce(Heard::Requests, 0);
    }

    fn announce(self, what: Heard<'_>, count: usize) {
        let _runtime = self.runtime.enter();
        on_each!(&self.db, |db| db.announce(what, count));
    }

    /// Whether other processes are heard at once, at the moment, so that looking from time to time is only a fallback.
    pub(crate) fn hears_others(self) -> bool {
        on_each!(&self.db, |db| db.hears_others())
    }

    /// Calls `heard` for whatever other processes announce. Never ends.
    pub(crate) async fn listen(&self, heard: impl Fn(Heard<'_>)) {
        on_each!(&self.db, |db| db.listen(heard).await);
    }
}
