//! What SQLite does in its own way.
//!
//! One connection writes and one reads (WAL: readers never wait for the writer). Each write runs as one piece of blocking
//! code, transaction included, so that a dropped future can never leave a transaction open, and a batch costs one hop to
//! the thread pool.

mod connection;
mod migrations;
mod runs;
mod tasks;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use diesel::{connection::SimpleConnection, prelude::*, sqlite::SqliteConnection};
use diesel_async::sync_connection_wrapper::{SpawnBlocking, SyncConnectionWrapper};

pub(super) use connection::Lease;
use connection::Shared;

use super::{
    Claim, Claimed, StoreError,
    db::sealed,
    rows::{ClaimMark, NewTaskRow, Writes, Written},
    url::SqliteUrl,
    wake::Wake,
};
use crate::domain::AddedTask;

#[derive(Clone)]
pub(super) struct Sqlite {
    writer: Shared,
    reader: Shared,
    url: SqliteUrl,
    identity: Arc<str>,
}

impl Sqlite {
    pub(super) async fn connect(url: &SqliteUrl) -> Result<Self, StoreError> {
        let writer = Shared::open(url).await?;
        let reader = match &url.path {
            Some(_) => Shared::open(url).await?,
            // Each connection to `:memory:` is a database of its own.
            None => writer.clone(),
        };
        Ok(Self {
            writer,
            reader,
            url: url.clone(),
            identity: identity(url).into(),
        })
    }

    pub(super) async fn read(&self) -> Lease {
        self.reader.lease().await
    }

    pub(super) async fn write(&self) -> Lease {
        self.writer.lease().await
    }

    pub(super) fn url(&self) -> String {
        super::url::DatabaseUrl::Sqlite(self.url.clone()).to_string()
    }

    pub(super) fn identity(&self) -> String {
        self.identity.to_string()
    }

    /// Runs `work` in one transaction that takes the write lock at its beginning.
    pub(super) async fn transaction<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        Ok(self.writer.run(|conn| conn.immediate_transaction(work)).await?)
    }

    pub(super) async fn migrate(&self) -> Result<(), StoreError> {
        let mut lease = self.write().await;
        let migrated = lease.spawn_blocking(|conn| Ok(migrations::run(conn)));
        migrated.await?.map_err(|error| error.of(self.url()))
    }

    pub(super) async fn check_schema(&self) -> Result<(), StoreError> {
        let mut lease = self.write().await;
        let checked = lease.spawn_blocking(|conn| Ok(migrations::check(conn)));
        checked.await?.map_err(|error| error.of(self.url()))
    }

    /// Looks first: an idle theme takes no lock.
    pub(super) async fn claim(&self, claim: Claim, mark: Arc<ClaimMark>) -> Result<Claimed, StoreError> {
        let synchronous = self.url.synchronous;
        let marked = Arc::clone(&mark);
        let claimed = self.writer.run(move |conn| {
            let look = tasks::look(conn, &claim.theme, marked.now)?;
            let claim = |conn: &mut SqliteConnection| {
                conn.immediate_transaction(|conn| tasks::claim_due(conn, &claim, &marked))
            };
            let rows = match look.due {
                true => without_disk(conn, synchronous, claim)?,
                false => Vec::new(),
            };
            // What was due until now is claimed or moved; what comes later is as it was.
            Ok((rows, look.next_due))
        });
        let (rows, next_due) = claimed.await?;
        Ok(Claimed {
            tasks: rows.into_iter().map(|row| mark.task(row)).collect(),
            next_due: next_due.map(|at| at.and_utc()),
            passed_over: false,
        })
    }

    pub(super) async fn write_runs(&self, writes: Arc<Writes>) -> Result<Written, StoreError> {
        self.transaction(move |conn| runs::write(conn, &writes)).await
    }

    pub(super) async fn add(&self, rows: Arc<Vec<NewTaskRow>>) -> Result<Vec<AddedTask>, StoreError> {
        self.transaction(move |conn| tasks::insert(conn, &rows)).await
    }

    pub(super) async fn add_claimed(
        &self,
        row: Arc<NewTaskRow>,
        mark: Arc<ClaimMark>,
    ) -> Result<(i64, i64), StoreError> {
        self.transaction(move |conn| tasks::insert_claimed(conn, &row, &mark))
            .await
    }
}

impl Wake for Sqlite {}

impl<S: SpawnBlocking + Send> sealed::Insert for SyncConnectionWrapper<SqliteConnection, S> {
    async fn insert_tasks(&mut self, rows: sealed::Rows) -> Result<Vec<AddedTask>, StoreError> {
        Ok(self.spawn_blocking(move |conn| tasks::insert(conn, &rows.0)).await?)
    }
}

/// Commits without waiting for the disk. It is for claims: if power fails, one that is lost is only made again, and what the runs
/// of the lost one write names a log id that the row no longer has. The commit of an outcome waits, and takes with it what was
/// committed before.
fn without_disk<T>(
    conn: &mut SqliteConnection,
    synchronous: &str,
    commit: impl FnOnce(&mut SqliteConnection) -> QueryResult<T>,
) -> QueryResult<T> {
    conn.batch_execute("PRAGMA synchronous = NORMAL")?;
    let committed = commit(conn);
    conn.batch_execute(&format!("PRAGMA synchronous = {synchronous}"))?;
    committed
}

/// The file's real path, so that two spellings of it are one database; a number of its own for each one in memory.
fn identity(url: &SqliteUrl) -> String {
    static IN_MEMORY: AtomicU64 = AtomicU64::new(0);
    match &url.path {
        Some(path) => std::fs::canonicalize(path)
            .unwrap_or_else(|_| PathBuf::from(path))
            .display()
            .to_string(),
        None => format!(":memory:{}", IN_MEMORY.fetch_add(1, Ordering::Relaxed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(QueryableByName)]
    struct Level {
        #[diesel(sql_type = diesel::sql_types::Integer)]
        synchronous: i32,
    }

    fn level(conn: &mut SqliteConnection) -> i32 {
        let level: Level = diesel::sql_query("PRAGMA synchronous")
            .get_result(conn)
            .expect("is known");
        level.synchronous
    }

    #[test]
    fn only_the_commit_of_a_claim_does_not_wait_for_the_disk() {
        let mut conn = SqliteConnection::establish(":memory:").expect("opens");
        assert_eq!(without_disk(&mut conn, "FULL", |conn| Ok(level(conn))), Ok(1));
        assert_eq!(level(&mut conn), 2);
        let failed = without_disk(&mut conn, "FULL", |_| {
            QueryResult::<()>::Err(diesel::result::Error::NotFound)
        });
        assert_eq!(failed, Err(diesel::result::Error::NotFound));
        assert_eq!(level(&mut conn), 2);
    }
}
