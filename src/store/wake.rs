//! Telling other processes that there is something to look at, and hearing it from them.
//!
//! Only PostgreSQL can do it. On the others, and whenever it fails, what is new is found by looking from time to time.

use super::{Store, db::on_each};

/// What another process has announced. It carries no data: whoever hears it looks at the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard<'a> {
    /// The theme has new tasks.
    Tasks(&'a str),
    /// Somebody wants a task or a job's run cancelled, a theme paused or resized, or has changed a job.
    Requests,
    /// Nothing was heard for a while: there may be anything.
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "only PostgreSQL is heard"))]
    Anything,
}

/// What a database can do of this; nothing, unless it says so.
pub(super) trait Wake {
    /// Whether other processes are heard at once, at the moment.
    fn hears_others(&self) -> bool {
        false
    }

    /// Tells other processes, without waiting for it. `count`: of how many tasks.
    fn announce(&self, _: Heard<'_>, _count: usize) {}

    /// Calls `heard` for whatever other processes announce. Never ends.
    fn listen(&self, _: impl Fn(Heard<'_>)) -> impl Future<Output = ()> {
        std::future::pending()
    }
}

impl Store {
    /// Tells other processes that the theme has so many more tasks that wait. Does not wait for it.
    pub(crate) fn announce_tasks(&self, theme: &str, count: usize) {
        self.announce(Heard::Tasks(theme), count);
    }

    /// Tells other processes that there are requests to running nodes. Does not wait for it.
    pub(crate) fn announce_requests(&self) {
        self.announce(Heard::Requests, 0);
    }

    fn announce(&self, what: Heard<'_>, count: usize) {
        let _runtime = self.runtime.enter();
        on_each!(&self.db, |db| db.announce(what, count));
    }

    /// Whether other processes are heard at once, at the moment, so that looking from time to time is only a fallback.
    pub(crate) fn hears_others(&self) -> bool {
        on_each!(&self.db, |db| db.hears_others())
    }

    /// Calls `heard` for whatever other processes announce. Never ends.
    pub(crate) async fn listen(self, heard: impl Fn(Heard<'_>)) {
        on_each!(&self.db, |db| db.listen(heard).await);
    }
}
