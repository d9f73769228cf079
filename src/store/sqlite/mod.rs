//! What SQLite does in its own way.
//!
//! One connection writes and one reads (WAL: readers never wait for the writer). Each transaction runs as one piece of blocking
//! code, so that a dropped future can never leave one open, and a batch costs one hop to the thread pool. Those that wait for
//! the connection are done together.

mod connection;
mod group;
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

use diesel::{prelude::*, sqlite::SqliteConnection};
use diesel_async::sync_connection_wrapper::{SpawnBlocking, SyncConnectionWrapper};

pub(super) use connection::Lease;
use connection::Shared;
use group::{Durability, Work};

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

    /// Does `change`, which changes about so many rows, in a transaction that takes the write lock at its beginning, perhaps
    /// together with others'. It may be done again.
    pub(super) async fn transaction<T: Send + 'static>(
        &self,
        rows: usize,
        change: impl Fn(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        Ok(self.writer.transaction(Work::new(rows, change)).await?)
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
        let (theme, now, marked) = (claim.theme.clone(), mark.now, Arc::clone(&mark));
        let work = Work {
            rows: claim.limit,
            durability: Durability::NoDisk,
            look: Some(Box::new(move |conn| {
                let look = tasks::look(conn, &theme, now)?;
                Ok((!look.due).then(|| (Vec::new(), look.next_due)))
            })),
            change: Box::new(move |conn| {
                let look = tasks::look(conn, &claim.theme, marked.now)?;
                // What was due until now is claimed or moved; what comes later is as it was.
                Ok((tasks::claim_due(conn, &claim, &marked)?, look.next_due))
            }),
        };
        let (rows, next_due) = self.writer.transaction(work).await?;
        Ok(Claimed {
            tasks: rows.into_iter().map(|row| mark.task(row)).collect(),
            next_due: next_due.map(|at| at.and_utc()),
            passed_over: false,
        })
    }

    pub(super) async fn write_runs(&self, writes: Arc<Writes>) -> Result<Written, StoreError> {
        self.transaction(writes.rows(), move |conn| runs::write(conn, &writes))
            .await
    }

    pub(super) async fn add(&self, rows: Arc<Vec<NewTaskRow>>) -> Result<Vec<AddedTask>, StoreError> {
        self.transaction(rows.len(), move |conn| tasks::insert(conn, &rows))
            .await
    }

    pub(super) async fn add_claimed(
        &self,
        row: Arc<NewTaskRow>,
        mark: Arc<ClaimMark>,
    ) -> Result<(i64, i64), StoreError> {
        self.transaction(1, move |conn| tasks::insert_claimed(conn, &row, &mark))
            .await
    }
}

impl Wake for Sqlite {}

impl<S: SpawnBlocking + Send> sealed::Insert for SyncConnectionWrapper<SqliteConnection, S> {
    async fn insert_tasks(&mut self, rows: sealed::Rows) -> Result<Vec<AddedTask>, StoreError> {
        Ok(self.spawn_blocking(move |conn| tasks::insert(conn, &rows.0)).await?)
    }
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
