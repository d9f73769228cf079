//! What SQLite does in its own way.
//!
//! One connection writes and one reads (WAL: readers never wait for the writer). Each write runs as one piece of blocking
//! code, transaction included, so that a dropped future can never leave a transaction open, and a batch costs one hop to
//! the thread pool.

mod connection;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use chrono::NaiveDateTime;
use diesel::{
    QueryableByName,
    migration::MigrationSource,
    prelude::*,
    result::OptionalExtension,
    sql_types::{BigInt, Nullable, Text, Timestamp},
    sqlite::{Sqlite as Backend, SqliteConnection},
};
use diesel_async::sync_connection_wrapper::{SpawnBlocking, SyncConnectionWrapper};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

pub(super) use connection::Lease;
use connection::Shared;

use super::{
    Claim, Claimed, StoreError,
    db::sealed,
    error::is_read_only,
    rows::{ClaimedRow, Finish, Finished, NewTaskRow},
    schema::{asynctask_exec_row, asynctasks},
    url::SqliteUrl,
};
use crate::domain::{AddedTask, TaskStatus};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// How many scheduled tasks one claim moves to the due ones at most, so that its transaction stays short.
const PROMOTED_AT_ONCE: i64 = 1_000;

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
    async fn transaction<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut lease = self.write().await;
        let done = lease.spawn_blocking(|conn| conn.immediate_transaction(work));
        Ok(done.await?)
    }

    pub(super) async fn migrate(&self) -> Result<(), StoreError> {
        self.check_not_newer().await?;
        // One transaction around all of them: processes that start together wait for the first one, then find nothing to do.
        let mut lease = self.write().await;
        let migrated = lease.spawn_blocking(|conn| {
            Ok(conn.immediate_transaction(|conn| {
                conn.run_pending_migrations(MIGRATIONS).map(drop).map_err(|error| {
                    let text = error.to_string();
                    diesel::result::Error::QueryBuilderError(text.into())
                })
            }))
        });
        migrated.await?.map_err(|error| {
            let text = error.to_string();
            if is_read_only(&text) {
                StoreError::ReadOnly(text)
            } else {
                StoreError::Migration {
                    url: self.url(),
                    reason: text,
                }
            }
        })
    }

    pub(super) async fn check_schema(&self) -> Result<(), StoreError> {
        self.check_not_newer().await?;
        let applied = self.applied().await?;
        let missing = known_versions()
            .iter()
            .filter(|version| !applied.contains(version))
            .count();
        if missing > 0 {
            return Err(StoreError::SchemaMissing {
                url: self.url(),
                missing,
            });
        }
        Ok(())
    }

    async fn check_not_newer(&self) -> Result<(), StoreError> {
        let known = known_versions();
        let unknown = self
            .applied()
            .await?
            .into_iter()
            .filter(|version| !known.contains(version))
            .max();
        match unknown {
            Some(unknown) => Err(StoreError::SchemaTooNew {
                url: self.url(),
                unknown,
            }),
            None => Ok(()),
        }
    }

    /// The migrations the database has, without making the table in which they are noted.
    async fn applied(&self) -> Result<Vec<String>, StoreError> {
        #[derive(QueryableByName)]
        struct Version {
            #[diesel(sql_type = Text)]
            version: String,
        }
        let mut lease = self.write().await;
        let versions = lease.spawn_blocking(|conn| {
            let tables: i64 = diesel::dsl::sql::<BigInt>(
                "SELECT COUNT(*) FROM sqlite_master WHERE name = '__diesel_schema_migrations'",
            )
            .get_result(conn)?;
            if tables == 0 {
                return Ok(Vec::new());
            }
            diesel::sql_query("SELECT version FROM __diesel_schema_migrations").load::<Version>(conn)
        });
        Ok(versions.await?.into_iter().map(|row| row.version).collect())
    }

    pub(super) async fn claim(&self, claim: Claim, now: NaiveDateTime) -> Result<Claimed, StoreError> {
        self.transaction(move |conn| {
            promote(conn, &claim.theme, now)?;
            let run = uuid::Uuid::now_v7().simple().to_string();
            let mut rows = Vec::new();
            for id in claim.first.iter().take(claim.limit) {
                rows.extend(claim_rows(conn, CLAIM_ONE, &claim, &run, now, *id)?);
            }
            let rest = claim.limit - rows.len();
            if rest > 0 {
                let rest = i64::try_from(rest).unwrap_or(i64::MAX);
                rows.extend(claim_rows(conn, CLAIM_DUE, &claim, &run, now, rest)?);
            }
            Ok(Claimed {
                tasks: rows.into_iter().map(Into::into).collect(),
                next_due: next_due(conn, &claim.theme)?.map(|at| at.and_utc()),
            })
        })
        .await
    }

    pub(super) async fn finish(&self, batch: Arc<Vec<Finish>>) -> Result<Vec<Finished>, StoreError> {
        self.transaction(move |conn| batch.iter().map(|one| finish_one(conn, one)).collect())
            .await
    }

    pub(super) async fn add(&self, rows: Vec<NewTaskRow>) -> Result<Vec<AddedTask>, StoreError> {
        self.transaction(move |conn| insert_tasks(conn, &rows)).await
    }
}

impl<S: SpawnBlocking + Send> sealed::Insert for SyncConnectionWrapper<SqliteConnection, S> {
    async fn insert_tasks(&mut self, rows: sealed::Rows) -> Result<Vec<AddedTask>, StoreError> {
        Ok(self.spawn_blocking(move |conn| insert_tasks(conn, &rows.0)).await?)
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

fn known_versions() -> Vec<String> {
    MigrationSource::<Backend>::migrations(&MIGRATIONS)
        .unwrap_or_default()
        .iter()
        .map(|migration| migration.name().version().to_string())
        .collect()
}

/// Moves scheduled tasks whose time has come to the due ones.
fn promote(conn: &mut SqliteConnection, theme: &str, now: NaiveDateTime) -> QueryResult<usize> {
    diesel::sql_query(
        "UPDATE asynctasks SET run_at = NULL WHERE id IN ( \
           SELECT id FROM asynctasks \
           WHERE system_name = ? AND task_status IN ('Wait', 'Retry') AND run_at IS NOT NULL AND run_at <= ? \
           ORDER BY run_at LIMIT ?)",
    )
    .bind::<Text, _>(theme)
    .bind::<Timestamp, _>(now)
    .bind::<BigInt, _>(PROMOTED_AT_ONCE)
    .execute(conn)
}

/// The statuses stand in the text, not in parameters: only so can SQLite prove that the partial index serves.
macro_rules! claim_sql {
    ($which:literal) => {
        concat!(
            "UPDATE asynctasks SET task_status = 'Running', lease_owner = ?1, lease_token = lease_token + 1, \
             last_run_time = ?2, update_time = ?2, log_id = ?3 || '-' || id, \
             cancel_requested = 0, progress = NULL, progress_note = NULL \
             WHERE id IN (SELECT id FROM asynctasks \
               WHERE system_name = ?4 AND task_status IN ('Wait', 'Retry') AND run_at IS NULL ",
            $which,
            ") AND EXISTS (SELECT 1 FROM gaia_nodes WHERE id = ?1) \
             AND NOT EXISTS (SELECT 1 FROM gaia_themes WHERE theme = ?4 AND paused <> 0) \
             RETURNING id, service_name, method_name, arg, retry_time, max_retry_time, priority, \
             timeout_ms, retry_delay_ms, lease_owner, lease_token, log_id, last_run_time"
        )
    };
}

const CLAIM_DUE: &str = claim_sql!("ORDER BY priority DESC, id LIMIT ?5");
const CLAIM_ONE: &str = claim_sql!("AND id = ?5");

fn claim_rows(
    conn: &mut SqliteConnection,
    sql: &str,
    claim: &Claim,
    run: &str,
    now: NaiveDateTime,
    which: i64,
) -> QueryResult<Vec<ClaimedRow>> {
    diesel::sql_query(sql)
        .bind::<Text, _>(&claim.node)
        .bind::<Timestamp, _>(now)
        .bind::<Text, _>(run)
        .bind::<Text, _>(&claim.theme)
        .bind::<BigInt, _>(which)
        .load(conn)
}

fn next_due(conn: &mut SqliteConnection, theme: &str) -> QueryResult<Option<NaiveDateTime>> {
    #[derive(QueryableByName)]
    struct Due {
        #[diesel(sql_type = Nullable<Timestamp>)]
        due: Option<NaiveDateTime>,
    }
    diesel::sql_query(
        "SELECT MIN(run_at) AS due FROM asynctasks \
         WHERE system_name = ? AND task_status IN ('Wait', 'Retry') AND run_at IS NOT NULL",
    )
    .bind::<Text, _>(theme)
    .get_result::<Due>(conn)
    .map(|row| row.due)
}

fn finish_one(conn: &mut SqliteConnection, finish: &Finish) -> QueryResult<Finished> {
    if write_end(conn, finish)? {
        return Ok(Finished::Written(finish.next.status));
    }
    if !finish.next.requeues() {
        return Ok(Finished::Stale);
    }
    // Either the task is in other hands, or somebody has asked to cancel it.
    let cancelled = Finish {
        next: finish.next.clone().cancelled_instead(),
        ..finish.clone()
    };
    Ok(if write_end(conn, &cancelled)? {
        Finished::Written(cancelled.next.status)
    } else {
        Finished::Stale
    })
}

/// Writes the end of a run and its record, if the run still holds its task, and if nobody wants the task cancelled where it
/// would be queued again.
fn write_end(conn: &mut SqliteConnection, finish: &Finish) -> QueryResult<bool> {
    let held = asynctasks::table
        .filter(asynctasks::id.eq(finish.task_id))
        .filter(asynctasks::lease_owner.eq(&finish.owner))
        .filter(asynctasks::lease_token.eq(finish.token))
        .filter(asynctasks::task_status.eq(TaskStatus::Running.as_str()));
    let wanted = held.filter(asynctasks::cancel_requested.eq(0));
    let written = match (finish.next.requeues(), finish.next.record) {
        (false, _) => diesel::update(held).set(finish.task()).execute(conn)?,
        (true, true) => diesel::update(wanted).set(finish.task()).execute(conn)?,
        (true, false) => diesel::update(wanted).set(finish.release()).execute(conn)?,
    };
    if written > 0 && finish.next.record {
        diesel::insert_into(asynctask_exec_row::table)
            .values(finish.record())
            .execute(conn)?;
    }
    Ok(written > 0)
}

fn insert_tasks(conn: &mut SqliteConnection, rows: &[NewTaskRow]) -> QueryResult<Vec<AddedTask>> {
    rows.iter().map(|row| insert_task(conn, row)).collect()
}

fn insert_task(conn: &mut SqliteConnection, row: &NewTaskRow) -> QueryResult<AddedTask> {
    let added = diesel::insert_into(asynctasks::table)
        .values(row)
        .on_conflict_do_nothing()
        .returning(asynctasks::id)
        .get_result(conn)
        .optional()?;
    if let Some(id) = added {
        return Ok(AddedTask { id, duplicate: false });
    }
    let id = asynctasks::table
        .filter(asynctasks::system_name.eq(&row.system_name))
        .filter(asynctasks::unique_key.eq(&row.unique_key))
        .filter(asynctasks::task_status.eq_any(["Wait", "Retry", "Running"]))
        .select(asynctasks::id)
        .first(conn)?;
    Ok(AddedTask { id, duplicate: true })
}
