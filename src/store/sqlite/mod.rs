//! What SQLite does in its own way.
//!
//! One connection writes and one reads (WAL: readers never wait for the writer). Each write runs as one piece of blocking
//! code, transaction included, so that a dropped future can never leave a transaction open, and a batch costs one hop to
//! the thread pool.

mod connection;
mod migrations;

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
    prelude::*,
    result::OptionalExtension,
    sql_types::{BigInt, Text, Timestamp},
    sqlite::SqliteConnection,
};
use diesel_async::sync_connection_wrapper::{SpawnBlocking, SyncConnectionWrapper};

pub(super) use connection::Lease;
use connection::Shared;

use super::{
    Claim, Claimed, StoreError,
    db::sealed,
    rows::{Begin, ClaimedRow, Finish, Finished, NewTaskRow, Progress, Writes, Written},
    schema::{asynctask_exec_row, asynctasks},
    url::SqliteUrl,
};
use crate::domain::{AddedTask, TaskStatus};

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
        let mut lease = self.write().await;
        let migrated = lease.spawn_blocking(|conn| Ok(migrations::run(conn)));
        migrated.await?.map_err(|error| error.of(self.url()))
    }

    pub(super) async fn check_schema(&self) -> Result<(), StoreError> {
        let mut lease = self.write().await;
        let checked = lease.spawn_blocking(|conn| Ok(migrations::check(conn)));
        checked.await?.map_err(|error| error.of(self.url()))
    }

    pub(super) async fn claim(&self, claim: Claim, now: NaiveDateTime) -> Result<Claimed, StoreError> {
        self.transaction(move |conn| {
            promote(conn, &claim, now)?;
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
                next_due: next_due(conn, &claim.theme, now)?.map(|at| at.and_utc()),
            })
        })
        .await
    }

    pub(super) async fn write_runs(&self, writes: Arc<Writes>) -> Result<Written, StoreError> {
        self.transaction(move |conn| {
            for progress in &writes.progress {
                write_progress(conn, progress)?;
            }
            let begins = writes.begins.iter().map(|begin| write_begin(conn, begin));
            Ok(Written {
                begins: begins.collect::<QueryResult<_>>()?,
                finishes: writes
                    .finishes
                    .iter()
                    .map(|finish| finish_one(conn, finish))
                    .collect::<QueryResult<_>>()?,
            })
        })
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

/// Moves scheduled tasks whose time has come to the due ones: at least as many as are to be claimed.
fn promote(conn: &mut SqliteConnection, claim: &Claim, now: NaiveDateTime) -> QueryResult<usize> {
    let most = PROMOTED_AT_ONCE.max(i64::try_from(claim.limit).unwrap_or(i64::MAX));
    diesel::sql_query(
        "UPDATE asynctasks SET run_at = NULL WHERE id IN ( \
           SELECT id FROM asynctasks \
           WHERE system_name = ? AND task_status IN ('Wait', 'Retry') AND run_at IS NOT NULL AND run_at <= ? \
           ORDER BY run_at LIMIT ?)",
    )
    .bind::<Text, _>(&claim.theme)
    .bind::<Timestamp, _>(now)
    .bind::<BigInt, _>(most)
    .execute(conn)
}

/// The statuses stand in the text, not in parameters: only so can SQLite prove that the partial index serves.
macro_rules! claim_sql {
    ($which:literal) => {
        concat!(
            "UPDATE asynctasks SET task_status = 'Running', lease_owner = ?1, lease_token = lease_token + 1, \
             last_run_time = ?2, update_time = ?2, log_id = ?3 || '-' || id, \
             cancel_requested = 0, began = 0, progress = NULL, progress_note = NULL \
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

/// When the next scheduled task is due. A time that plain SQL wrote and nobody can read is passed over: its task waits, and
/// no other.
fn next_due(conn: &mut SqliteConnection, theme: &str, now: NaiveDateTime) -> QueryResult<Option<NaiveDateTime>> {
    #[derive(QueryableByName)]
    struct Due {
        #[diesel(sql_type = Text)]
        due: String,
    }
    let next = diesel::sql_query(
        "SELECT strftime('%Y-%m-%d %H:%M:%f', run_at) AS due FROM asynctasks \
         WHERE system_name = ? AND task_status IN ('Wait', 'Retry') AND run_at IS NOT NULL AND run_at > ? \
         AND datetime(run_at) IS NOT NULL ORDER BY run_at LIMIT 1",
    )
    .bind::<Text, _>(theme)
    .bind::<Timestamp, _>(now)
    .get_result::<Due>(conn)
    .optional()?;
    let parsed = next.and_then(|next| NaiveDateTime::parse_from_str(&next.due, "%Y-%m-%d %H:%M:%S%.f").ok());
    Ok(parsed.filter(|due| *due > now))
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

/// The task, if the run with this lease still holds it. The condition of every write about a run.
macro_rules! held {
    ($run:expr) => {
        asynctasks::table
            .filter(asynctasks::id.eq($run.task_id))
            .filter(asynctasks::lease_owner.eq(&$run.owner))
            .filter(asynctasks::lease_token.eq($run.token))
            .filter(asynctasks::task_status.eq(TaskStatus::Running.as_str()))
    };
}

fn write_begin(conn: &mut SqliteConnection, begin: &Begin) -> QueryResult<bool> {
    let begun = diesel::update(held!(begin)).set(asynctasks::began.eq(1));
    Ok(begun.execute(conn)? > 0)
}

fn write_progress(conn: &mut SqliteConnection, progress: &Progress) -> QueryResult<usize> {
    diesel::update(held!(progress))
        .set((
            asynctasks::progress.eq(progress.percent),
            asynctasks::progress_note.eq(&progress.note),
        ))
        .execute(conn)
}

/// Writes the end of a run and its record, if the run still holds its task, and if nobody wants the task cancelled where it
/// would be queued again.
fn write_end(conn: &mut SqliteConnection, finish: &Finish) -> QueryResult<bool> {
    let held = held!(finish);
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
    loop {
        let added = diesel::insert_into(asynctasks::table)
            .values(row)
            .on_conflict_do_nothing()
            .returning(asynctasks::id)
            .get_result(conn)
            .optional()?;
        if let Some(id) = added {
            return Ok(AddedTask { id, duplicate: false });
        }
        let there = asynctasks::table
            .filter(asynctasks::system_name.eq(&row.system_name))
            .filter(asynctasks::unique_key.eq(&row.unique_key))
            .filter(asynctasks::task_status.eq_any(["Wait", "Retry", "Running"]))
            .select(asynctasks::id)
            .first(conn)
            .optional()?;
        if let Some(id) = there {
            return Ok(AddedTask { id, duplicate: true });
        }
        // On a connection without a transaction the task that was in the way may have ended in between.
    }
}
