//! Announcing new tasks and requests to other processes, and hearing their announcements.
//!
//! Only PostgreSQL can do that. On the other databases, and whenever it fails, nodes find new tasks by polling.

use crate::store::{
    ClusterStore,
    backend::{Announcement, Backend},
    db::on_each,
};

impl ClusterStore<'_> {
    /// Announces to other processes that the theme has so many more waiting tasks. Does not wait for it.
    pub(crate) fn announce_tasks(self, theme: &str, count: usize) {
        self.announce(Announcement::Tasks(theme), count);
    }

    /// Announces to other processes that there are requests for them. Does not wait for it.
    pub(crate) fn announce_requests(self) {
        self.announce(Announcement::Requests, 0);
    }

    fn announce(self, what: Announcement<'_>, count: usize) {
        let _runtime = self.runtime.enter();
        on_each!(&self.db, |db| db.announce(what, count));
    }

    /// Whether this process hears announcements immediately, at present, so that polling is only a fallback.
    pub(crate) fn hears_others(self) -> bool {
        on_each!(&self.db, |db| db.hears_others())
    }

    /// Calls `heard` for each announcement of another process. Never ends.
    pub(crate) async fn listen(&self, heard: impl Fn(Announcement<'_>)) {
        on_each!(&self.db, |db| db.listen(heard).await);
    }
}
