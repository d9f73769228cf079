//! Tasks, their records and the nodes that run them, in a database.
//!
//! [`Store`] is the only place that knows SQL. The text of a statement is written once, and the compiler checks it for every database of
//! the build. Only the steps that databases take differently (connecting, migrating, claiming, adding, ending runs) are written for each
//! database.
//!
//! Every write about a run names the task, and the node, the lease token and the log id of the claim. If another claim has taken the task
//! since, nothing is written.

mod backend;
mod cluster;
mod db;
mod enqueue;
mod error;
mod jobs;
mod lenient;
mod locked;
mod migrations;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
mod schema;
mod scratch;
mod server;
#[cfg(feature = "sqlite")]
mod sqlite;
mod statement;
mod tasks;
mod time;
mod url;

pub(crate) use backend::{Announcement, Neighbours};
pub(crate) use cluster::*;
pub use enqueue::{BlockingEnqueueConnection, EnqueueConnection};
pub(crate) use error::StatementError;
pub use error::StoreError;
pub(crate) use jobs::*;
#[cfg(test)]
pub(crate) use lenient::AnyText;
pub(crate) use locked::Rows;
pub(crate) use scratch::Scratch;
pub(crate) use tasks::*;
pub use tasks::{Claim, Claimed, ClaimedTask, Wanted};
pub(crate) use time::UTC;
pub use url::InvalidUrl;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::FixedOffset;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

use self::{
    backend::Backend,
    server::insert_batcher::InsertBatcher,
    tasks::{held::EndSignal, long_args::LongArgs},
};
use crate::clock::Clock;

/// How often, and for how long, a transaction that meets others is tried.
const TRIES: u32 = 10;
const TRY_FOR: Duration = Duration::from_secs(10);

/// Cloneable handle on one database.
///
/// Actors, benchmarks and tests all use this same handle. Applications rarely need it: [`Gaia`](crate::Gaia) opens one
/// from its URL.
#[derive(Clone)]
pub struct Store {
    db: db::Db,
    clock: Clock,
    runtime: Handle,
    /// Tasks that wait for others to be added with.
    insert_batcher: InsertBatcher,
    long_args: LongArgs,
    /// Ends of tasks for which others may wait.
    ends: EndSignal,
    /// Transactions that met others and were done again.
    conflicts: Arc<AtomicU64>,
    /// The system whose jobs this process sees: see [`JobsOptions::system_name`](crate::JobsOptions::system_name).
    system: Arc<str>,
    /// The name of the database, once it is read.
    database_name: Arc<OnceLock<Arc<str>>>,
}

/// The tasks of a database, their records, and the claims that hold them: [`Store::tasks`].
#[derive(Debug, Clone, Copy)]
pub struct TaskStore<'a>(&'a Store);

/// The jobs of a database, and their records: [`Store::jobs`].
#[derive(Debug, Clone, Copy)]
pub struct JobStore<'a>(&'a Store);

/// The nodes of a database, the settings of themes, and what nodes tell each other: [`Store::cluster`].
#[derive(Debug, Clone, Copy)]
pub struct ClusterStore<'a>(&'a Store);

/// A view has whatever all views share: the connections and the clock.
macro_rules! views {
    ($($view:ident)*) => {$(
        impl std::ops::Deref for $view<'_> {
            type Target = Store;

            fn deref(&self) -> &Store {
                self.0
            }
        }
    )*};
}
views! { TaskStore JobStore ClusterStore }

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("url", &self.url()).finish()
    }
}

impl Store {
    /// Opens the database that `url` names, without looking at its tables. To be called inside a tokio runtime (actix's
    /// are).
    ///
    /// # Errors
    /// [`StoreError::Url`] if the URL cannot be used, [`StoreError::Connect`] if the database cannot be opened.
    pub async fn connect(url: &str, clock: Clock) -> Result<Self, StoreError> {
        let url = url::DatabaseUrl::parse(url)?;
        if !url.ignored().is_empty() {
            let names = url.ignored().join(", ");
            say!(
                Warn,
                "parameters of the database URL that have no effect here, and are ignored: {names}"
            );
        }
        if let Some(danger) = url.danger() {
            say!(Warn, "{danger}");
        }
        let connected: BoxFuture<'_, _> = Box::pin(db::Db::connect(&url));
        let store = Self {
            db: connected.await?,
            clock,
            runtime: Handle::current(),
            insert_batcher: InsertBatcher::default(),
            long_args: LongArgs::default(),
            ends: EndSignal::default(),
            conflicts: Arc::default(),
            system: Arc::default(),
            database_name: Arc::default(),
        };
        store.cluster().follow_clock().await?;
        Ok(store)
    }

    /// The same database, with the jobs of this system.
    pub(crate) fn of_system(self, name: &str) -> Self {
        Self {
            system: name.into(),
            ..self
        }
    }

    /// Brings the tables to this version. Safe to call from many processes at once, and on a database that already holds
    /// the integration guide's tables.
    ///
    /// # Errors
    /// [`StoreError::SchemaTooNew`], [`StoreError::Migration`], [`StoreError::ReadOnly`] or [`StoreError::TimeZone`].
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let migrated: BoxFuture<'_, _> = Box::pin(async { db::on_each!(&self.db, |db| db.migrate().await) });
        migrated.await?;
        self.check_zone().await
    }

    async fn check_zone(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let checked: BoxFuture<'_, _> = Box::pin(async { db::on_each!(&self.db, |db| db.check_zone(now).await) });
        checked.await
    }

    /// Checks that the tables have the schema of this version, without changing them.
    ///
    /// # Errors
    /// [`StoreError::SchemaMissing`], [`StoreError::SchemaTooNew`] or [`StoreError::TimeZone`].
    pub async fn check_schema(&self) -> Result<(), StoreError> {
        match self.pending_migrations().await?.len() {
            0 => self.check_zone().await,
            missing => Err(StoreError::SchemaMissing {
                url: self.url(),
                missing,
            }),
        }
    }

    /// The names of the migrations that the tables lack, in the order in which [`migrate`](Self::migrate) runs them. Changes nothing.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use gaia_actors::{Clock, store::Store};
    ///
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), gaia_actors::StoreError> {
    /// let store = Store::connect("sqlite::memory:", Clock::system()).await?;
    /// assert_eq!(store.pending_migrations().await?[0], "2026-11-22-000001_guide_tables");
    /// store.migrate().await?;
    /// assert!(store.pending_migrations().await?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`StoreError::SchemaTooNew`] if the tables were made by a newer version, and other errors of the database.
    pub async fn pending_migrations(&self) -> Result<Vec<&'static str>, StoreError> {
        let pending: BoxFuture<'_, _> = Box::pin(async { db::on_each!(&self.db, |db| db.pending_migrations().await) });
        pending.await
    }

    /// The statements with which [`migrate`](Self::migrate) would first widen tables of the Go framework. Changes nothing. None on any other
    /// database, and once the tables are adopted.
    ///
    /// # Errors
    /// [`StoreError::Migration`] if a row cannot be adopted, [`StoreError::SchemaTooNew`], and other errors of the database.
    pub async fn changes_before_migrations(&self) -> Result<Vec<String>, StoreError> {
        let changes: BoxFuture<'_, _> =
            Box::pin(async { db::on_each!(&self.db, |db| db.changes_before_migrations().await) });
        changes.await
    }

    /// An error if the files of the database that this process has open are not at their paths any more (SQLite).
    pub(crate) fn check_files(&self) -> Result<(), StoreError> {
        db::on_each!(&self.db, |db| db.check_files())
    }

    /// Whether programs of the Go framework may be on the same tables: they know one of the databases.
    pub(crate) fn may_have_neighbours(&self) -> bool {
        self.db.dialect().has_neighbours
    }

    /// Whether workers of the Go framework may be there: the table of their heartbeats is.
    pub(crate) fn has_neighbours(&self) -> bool {
        db::on_each!(&self.db, |db| db.has_neighbours())
    }

    /// Says to programs of the Go framework which tasks this node runs, and sets back the tasks of these themes that their dead workers have
    /// left.
    pub(crate) async fn meet_neighbours(&self, node: String, themes: Vec<String>) -> Result<Neighbours, StoreError> {
        db::on_each!(&self.db, |db| db.meet_neighbours(node, themes).await)
    }

    /// Waits until this process has the connections that a node cannot do without (two, on a server), and the server could give
    /// one more. For as long as the URL's `start_timeout` says.
    pub(crate) async fn reserve_connections(&self) -> Result<(), StoreError> {
        let reserved: BoxFuture<'_, _> =
            Box::pin(async { db::on_each!(&self.db, |db| db.reserve_connections().await) });
        reserved.await
    }

    /// Operations on tasks.
    #[must_use]
    pub const fn tasks(&self) -> TaskStore<'_> {
        TaskStore(self)
    }

    /// Operations on jobs.
    #[must_use]
    pub const fn jobs(&self) -> JobStore<'_> {
        JobStore(self)
    }

    /// Operations on nodes, and on what nodes tell each other.
    #[must_use]
    pub const fn cluster(&self) -> ClusterStore<'_> {
        ClusterStore(self)
    }

    /// The database's URL, without its password.
    #[must_use]
    pub fn url(&self) -> String {
        db::on_each!(&self.db, |db| db.url())
    }

    /// Does `work` on the runtime in which this store was opened, whatever becomes of the caller.
    ///
    /// A caller that asks for a connection holds up the callers that ask later. A caller that has begun and does not go on (a branch of
    /// a `select!` that is not polled, a thread that blocks) would hold up all of them, heartbeats too. `None`: that runtime
    /// has ended.
    pub(crate) async fn drive<T, W>(&self, work: impl FnOnce(Self) -> W) -> Option<T>
    where
        T: Send + 'static,
        W: Future<Output = T> + Send + 'static,
    {
        self.runtime.spawn(work(self.clone())).await.ok()
    }

    /// Does a transaction again if it met others that changed the same rows: a deadlock, a serialization failure, a lock that
    /// was not given in time. Nothing of it was kept then.
    async fn retrying<T, W>(&self, mut transaction: impl FnMut() -> W) -> Result<T, StoreError>
    where
        W: Future<Output = Result<T, StoreError>>,
    {
        let (began, mut tries) = (Instant::now(), 1);
        loop {
            match transaction().await {
                Err(StoreError::Conflict(reason)) if tries < TRIES && began.elapsed() < TRY_FOR => {
                    say!(Debug, "a transaction met others and is done again: {reason}");
                    self.conflicts.fetch_add(1, Ordering::Relaxed);
                    let most = Duration::from_millis(5).saturating_mul(2_u32.saturating_pow(tries));
                    tokio::time::sleep(most.mul_f64(fastrand::f64())).await;
                    tries += 1;
                }
                done => return done,
            }
        }
    }

    /// As [`Self::retrying`], for a caller that can set the locked row aside: a lock that was not given in time is not waited for
    /// once more.
    async fn retrying_unless_locked<T, W>(&self, mut transaction: impl FnMut() -> W) -> Result<T, StoreError>
    where
        W: Future<Output = Result<T, StoreError>>,
    {
        let once = || {
            let done = transaction();
            async {
                match done.await {
                    Err(StoreError::Conflict(reason)) if error::is_lock_timeout(&reason) => Ok(Err(reason)),
                    done => done.map(Ok),
                }
            }
        };
        self.retrying(once).await?.map_err(StoreError::Conflict)
    }

    /// How many transactions met others (deadlocks, serialization failures, lock timeouts) and were done again.
    #[must_use]
    pub fn conflicts(&self) -> u64 {
        self.conflicts.load(Ordering::Relaxed)
    }

    /// The zone in which the columns of time stand: UTC, unless the URL of a MySQL database names another.
    pub(crate) fn zone(&self) -> FixedOffset {
        db::on_each!(&self.db, |db| db.zone())
    }

    /// What tells this database from any other in this process, for "one scheduler of a theme".
    pub(crate) fn identity(&self) -> String {
        db::on_each!(&self.db, |db| db.identity())
    }

    /// The clock by which due times and time stamps are written.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }
}
