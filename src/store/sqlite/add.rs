//! Adding tasks.

use diesel::{
    prelude::*,
    result::Error as DieselError,
    sql_types::{BigInt, Integer, Nullable, Text, Timestamp},
    sqlite::{Sqlite, SqliteConnection},
};

use super::queue::{Segments, json};
use crate::{
    domain::AddedTask,
    store::{
        statement::{
            bulk::{Bulk, Parameters, bulks},
            chunks::runs_of,
            executor::{Blocking, Executor, at_once},
            prepared::{Prepared, prepared},
        },
        tasks::{
            claimed::ClaimId,
            held::{Addition, NewHeld, link},
            new_row::{NewTaskRow, TRIES_OF_A_KEY, adding, key_is_elusive},
            once::{
                keep,
                request::{New, NewOnce, Told},
                take,
            },
            queue::{are_queued, queued},
        },
    },
};

const INSERT_KEYED: &str = "INSERT INTO asynctasks \
      (system_name, service_name, method_name, task_name, arg, max_retry_time, task_status, create_time, update_time, \
       priority, run_at, timeout_ms, retry_delay_ms, unique_key, limit_key, traceparent) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'Wait', ?7, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) \
    ON CONFLICT DO NOTHING RETURNING id";

const LAST_ID: &str = "SELECT last_insert_rowid() AS id";

const HOLDER_OF_KEY: &str = "SELECT id FROM asynctasks \
    WHERE system_name = ?1 AND unique_key = ?2 AND task_status IN ('Wait', 'Retry', 'Running')";

/// Inserts a task as Running under the node, unless the node may not claim. The statement reads the id that the row of the claim will get:
/// that is safe, since there is one writer at a time.
const INSERT_CLAIMED: &str = "INSERT INTO asynctasks \
      (system_name, service_name, method_name, task_name, arg, max_retry_time, create_time, priority, timeout_ms, \
       retry_delay_ms, traceparent, update_time, task_status, lease_owner, lease_token, last_run_time, log_id, queued) \
    SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, iif(may, 'Running', 'Wait'), iif(may, ?13, NULL), \
      iif(may, (SELECT seq + 1 FROM sqlite_sequence WHERE name = 'gaia_claims'), 0), \
      iif(may, ?12, NULL), iif(may, ?14, NULL), iif(may, 2, 0) \
    FROM (SELECT EXISTS (SELECT 1 FROM gaia_nodes WHERE id = ?13) \
      AND NOT EXISTS (SELECT 1 FROM gaia_themes WHERE theme = ?1 AND paused <> 0) AS may) \
    RETURNING id, lease_token";

/// Answers with the id and the lease token, which is 0 if the task was not claimed.
pub(super) fn insert_claimed(
    conn: &mut SqliteConnection,
    row: &NewTaskRow,
    claim_id: &ClaimId,
) -> QueryResult<(i64, i64)> {
    let (id, token): (i64, i64) = adding!(INSERT_CLAIMED, row)
        .bind::<Integer, _>(row.priority)
        .bind::<Nullable<BigInt>, _>(row.timeout_ms)
        .bind::<Nullable<BigInt>, _>(row.retry_delay_ms)
        .bind::<Nullable<Text>, _>(&row.traceparent)
        .bind::<Timestamp, _>(claim_id.now)
        .bind::<Text, _>(&*claim_id.node)
        .bind::<Text, _>(&*claim_id.mark)
        .columns::<(BigInt, BigInt)>()
        .get_result(conn)?;
    if token != 0 {
        prepared("INSERT INTO gaia_claims (id, theme, node_id, mark, claimed_at, ids) VALUES (?, ?, ?, ?, ?, ?)")
            .bind::<BigInt, _>(token)
            .bind::<Text, _>(&*row.system_name)
            .bind::<Text, _>(&*claim_id.node)
            .bind::<Text, _>(&*claim_id.mark)
            .bind::<Timestamp, _>(claim_id.now)
            .bind::<Text, _>(json(&[id]))
            .execute(conn)?;
    }
    Ok((id, token))
}

/// Inserts tasks, and their segments if there are many tasks.
pub(super) fn insert(conn: &mut SqliteConnection, rows: &[NewTaskRow]) -> QueryResult<Vec<AddedTask>> {
    let added = at_once(insert_on(&mut Blocking(conn), rows, true))?;
    let mut segments = Segments::default();
    for (row, id) in queued(rows, &added) {
        segments.add(id, &row.service_name, &row.method_name, row.priority);
    }
    let theme = rows.first().map_or("", |row| &row.system_name);
    segments.write(conn, theme)?;
    Ok(added)
}

/// Inserts tasks on any connection. `is_queued`: the caller puts those into segments that [`queued`] names. The next claim puts the other
/// tasks into segments: for few tasks this costs less than a separate segment.
pub(super) async fn insert_on(
    conn: &mut impl Executor<Sqlite>,
    rows: &[NewTaskRow],
    is_queued: bool,
) -> QueryResult<Vec<AddedTask>> {
    let mut added = Vec::with_capacity(rows.len());
    for run in runs_of(rows, |row| row.unique_key.is_some()) {
        if run[0].unique_key.is_some() {
            for row in run {
                added.push(insert_keyed(conn, row).await?);
            }
        } else {
            let is_queued = is_queued && are_queued(run.len(), false);
            for bulk in bulks(run, Parameters::Numbered, is_queued) {
                let ids = insert_bulk(conn, bulk).await?;
                added.extend(ids.into_iter().map(AddedTask::new));
            }
        }
    }
    Ok(added)
}

/// Inserts tasks, held or not, under a key, unless the key is stored already.
pub(super) fn insert_once(conn: &mut SqliteConnection, once: &NewOnce) -> QueryResult<Told> {
    if let Some(told) = Told::without_adding(take::sqlite(conn, once)?) {
        return Ok(told);
    }
    let addition = match &once.new {
        New::Rows(rows) => Addition::all_due(insert(conn, rows)?),
        New::Held(held) => insert_held(conn, held)?,
    };
    keep::sqlite(conn, &once.kept(&addition)?)?;
    Ok(Told::Done(addition))
}

/// Inserts held tasks, and the tasks for which they wait.
pub(super) fn insert_held(conn: &mut SqliteConnection, new: &NewHeld) -> QueryResult<Addition> {
    let found = link::look::sqlite(conn, new)?;
    let seen = match new.seen(found) {
        Ok(seen) => seen,
        Err(refused) => return Ok(refused),
    };
    let added = insert(conn, &seen.rows)?;
    link::sqlite(conn, &seen.waits(&added))?;
    Ok(seen.added(added))
}

async fn insert_bulk(conn: &mut impl Executor<Sqlite>, bulk: Bulk<'_>) -> QueryResult<Vec<i64>> {
    conn.execute(Prepared::new(bulk.sql(), bulk)).await?;
    let last: Vec<i64> = conn.load(prepared(LAST_ID).columns::<BigInt>()).await?;
    let last = last.into_iter().next().ok_or(DieselError::NotFound)?;
    // One writer at a time, and AUTOINCREMENT: the ids of one statement are consecutive.
    Ok((last + 1 - bulk.len()..=last).collect())
}

async fn insert_keyed(conn: &mut impl Executor<Sqlite>, row: &NewTaskRow) -> QueryResult<AddedTask> {
    for _ in 0..TRIES_OF_A_KEY {
        if let Some(id) = insert_unless_taken(conn, row).await? {
            return Ok(AddedTask::new(id));
        }
        let statement = prepared(HOLDER_OF_KEY)
            .bind::<Text, _>(&*row.system_name)
            .bind::<Nullable<Text>, _>(&row.unique_key);
        let holders: Vec<i64> = conn.load(statement.columns::<BigInt>()).await?;
        if let Some(holder) = holders.into_iter().next() {
            return Ok(AddedTask::duplicate_of(holder));
        }
        // On a connection without a transaction the task that was in the way may have ended in between.
    }
    Err(key_is_elusive())
}

async fn insert_unless_taken(conn: &mut impl Executor<Sqlite>, row: &NewTaskRow) -> QueryResult<Option<i64>> {
    let statement = adding!(INSERT_KEYED, row)
        .bind::<Integer, _>(row.priority)
        .bind::<Nullable<Timestamp>, _>(row.run_at)
        .bind::<Nullable<BigInt>, _>(row.timeout_ms)
        .bind::<Nullable<BigInt>, _>(row.retry_delay_ms)
        .bind::<Nullable<Text>, _>(&row.unique_key)
        .bind::<Nullable<Text>, _>(&row.limit_key)
        .bind::<Nullable<Text>, _>(&row.traceparent);
    Ok(conn.load(statement.columns::<BigInt>()).await?.pop())
}
