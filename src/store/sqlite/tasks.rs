//! Claiming and adding tasks.

use chrono::NaiveDateTime;
use diesel::{
    prelude::*,
    sql_types::{BigInt, Integer, Nullable, Text, Timestamp},
    sqlite::{Sqlite, SqliteConnection},
};

use crate::{
    domain::AddedTask,
    store::{
        Claim,
        bulk::{Bulk, Parameters, bulks},
        lenient::{AnyTime, time},
        parts::runs_of,
        prepared::{Prepared, prepared},
        rows::{
            ClaimMark, ClaimedColumns, ClaimedRow, NewTaskRow, PROMOTED_AT_ONCE, TRIES_OF_A_KEY, adding, key_is_elusive,
        },
    },
};

// ---- claiming ----

/// What waits.
pub(super) struct Look {
    pub(super) due: bool,
    pub(super) next_due: Option<NaiveDateTime>,
}

/// The index is named: left to itself, SQLite reads every scheduled task of the theme on its way to one that is due.
///
/// A `run_at` that is no time is compared as SQLite compares: numbers, and texts that come before today's date, are due; other
/// texts (`infinity`, `now`) and blobs never are. What comes after now as a text and lies before it as a time is passed over
/// here, so that the look neither ends a sleep for it again and again nor hides what comes behind it.
pub(super) fn look(conn: &mut SqliteConnection, theme: &str, now: NaiveDateTime) -> QueryResult<Look> {
    let (due, next_due): (i64, Option<AnyTime>) = prepared(
        "SELECT EXISTS (SELECT 1 FROM asynctasks INDEXED BY gaia_tasks_claim \
             WHERE system_name = ?1 AND task_status IN ('Wait', 'Retry') AND run_at IS NULL) \
           OR EXISTS (SELECT 1 FROM asynctasks \
             WHERE system_name = ?1 AND task_status IN ('Wait', 'Retry') AND run_at IS NOT NULL AND run_at <= ?2) AS due, \
           (SELECT strftime('%Y-%m-%d %H:%M:%f', run_at) FROM asynctasks \
             WHERE system_name = ?1 AND task_status IN ('Wait', 'Retry') AND run_at IS NOT NULL AND run_at > ?2 \
             AND run_at GLOB '[0-9]*' AND julianday(run_at) >= julianday(?2) ORDER BY run_at LIMIT 1) AS next_due",
    )
    .bind::<Text, _>(theme)
    .bind::<Timestamp, _>(now)
    .columns::<(BigInt, Nullable<Timestamp>)>()
    .get_result(conn)?;
    Ok(Look {
        due: due != 0,
        // SQLite has rounded it to a millisecond, perhaps into the past.
        next_due: time(next_due).map(|due| due.naive_utc().max(now)),
    })
}

pub(super) fn claim_due(conn: &mut SqliteConnection, claim: &Claim, mark: &ClaimMark) -> QueryResult<Vec<ClaimedRow>> {
    promote(conn, claim, mark.now)?;
    let mut rows = Vec::new();
    for id in claim.first.iter().take(claim.limit) {
        rows.extend(claim_rows(conn, CLAIM_ONE, claim, mark, *id)?);
    }
    let rest = claim.limit.saturating_sub(rows.len());
    if rest > 0 {
        let rest = i64::try_from(rest).unwrap_or(i64::MAX);
        rows.extend(claim_rows(conn, CLAIM_DUE, claim, mark, rest)?);
    }
    Ok(rows)
}

/// Moves scheduled tasks whose time has come to the due ones: at least as many as are to be claimed.
fn promote(conn: &mut SqliteConnection, claim: &Claim, now: NaiveDateTime) -> QueryResult<usize> {
    let most = PROMOTED_AT_ONCE.max(i64::try_from(claim.limit).unwrap_or(i64::MAX));
    prepared(
        "UPDATE asynctasks SET run_at = NULL WHERE id IN ( \
           SELECT id FROM asynctasks \
           WHERE system_name = ? AND task_status IN ('Wait', 'Retry') AND run_at IS NOT NULL AND run_at <= ? \
           ORDER BY run_at LIMIT ? + 0)",
    )
    .bind::<Text, _>(&claim.theme)
    .bind::<Timestamp, _>(now)
    .bind::<BigInt, _>(most)
    .execute(conn)
}

/// The number of the next claim of a row. A number beyond the last one, and what is none, is followed by 1: it is the log id that
/// no two claims have in common.
macro_rules! next_token {
    () => {
        "CASE WHEN typeof(lease_token) = 'integer' AND lease_token < 9223372036854775807 THEN lease_token + 1 ELSE 1 END"
    };
}

/// The statuses stand in the text, not in parameters: only so can SQLite prove that the partial index serves. And the limit is a
/// sum: for one that is a parameter and nothing else SQLite prepares the statement anew with each value.
macro_rules! claim_sql {
    ($which:literal) => {
        concat!(
            "UPDATE OR FAIL asynctasks SET task_status = 'Running', lease_owner = ?1, lease_token = ",
            next_token!(),
            ", \
             last_run_time = ?2, update_time = ?2, log_id = ?3 || '-' || id, \
             cancel_requested = 0, began = 0, progress = NULL, progress_note = NULL \
             WHERE id IN (SELECT id FROM asynctasks \
               WHERE system_name = ?4 AND task_status IN ('Wait', 'Retry') AND run_at IS NULL ",
            $which,
            ") AND EXISTS (SELECT 1 FROM gaia_nodes WHERE id = ?1) \
             AND NOT EXISTS (SELECT 1 FROM gaia_themes WHERE theme = ?4 AND paused <> 0) \
             RETURNING id, service_name, method_name, retry_time, max_retry_time, priority, \
             timeout_ms, retry_delay_ms, lease_token, \
             CASE WHEN octet_length(arg) <= ?5 THEN arg END, octet_length(arg)"
        )
    };
}

const CLAIM_DUE: &str = claim_sql!("ORDER BY priority DESC, id LIMIT ?6 + 0");
const CLAIM_ONE: &str = claim_sql!("AND id = ?6");

fn claim_rows(
    conn: &mut SqliteConnection,
    sql: &'static str,
    claim: &Claim,
    mark: &ClaimMark,
    which: i64,
) -> QueryResult<Vec<ClaimedRow>> {
    prepared(sql)
        .bind::<Text, _>(&claim.node)
        .bind::<Timestamp, _>(mark.now)
        .bind::<Text, _>(&*mark.run)
        .bind::<Text, _>(&claim.theme)
        .bind::<BigInt, _>(claim.arg_limit(mark))
        .bind::<BigInt, _>(which)
        .columns::<ClaimedColumns<Sqlite>>()
        .load(conn)
}

// ---- adding ----

const INSERT_KEYED: &str = "INSERT INTO asynctasks \
      (system_name, service_name, method_name, task_name, arg, max_retry_time, task_status, create_time, update_time, \
       priority, run_at, timeout_ms, retry_delay_ms, unique_key) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'Wait', ?7, ?7, ?8, ?9, ?10, ?11, ?12) \
    ON CONFLICT DO NOTHING RETURNING id";

const LAST_ID: &str = "SELECT last_insert_rowid() AS id";

const HOLDER_OF_KEY: &str = "SELECT id FROM asynctasks \
    WHERE system_name = ?1 AND unique_key = ?2 AND task_status IN ('Wait', 'Retry', 'Running')";

/// Claimed as by [`CLAIM_DUE`], unless that would give nothing.
const INSERT_CLAIMED: &str = "INSERT INTO asynctasks \
      (system_name, service_name, method_name, task_name, arg, max_retry_time, create_time, priority, timeout_ms, \
       retry_delay_ms, update_time, task_status, lease_owner, lease_token, last_run_time, log_id) \
    SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, iif(may, 'Running', 'Wait'), iif(may, ?12, NULL), may, \
      iif(may, ?11, NULL), iif(may, ?13, NULL) \
    FROM (SELECT EXISTS (SELECT 1 FROM gaia_nodes WHERE id = ?12) \
      AND NOT EXISTS (SELECT 1 FROM gaia_themes WHERE theme = ?1 AND paused <> 0) AS may) \
    RETURNING id, lease_token";

/// The id and the lease token, which is 0 if it was not claimed.
pub(super) fn insert_claimed(
    conn: &mut SqliteConnection,
    row: &NewTaskRow,
    mark: &ClaimMark,
) -> QueryResult<(i64, i64)> {
    adding!(INSERT_CLAIMED, row)
        .bind::<Integer, _>(row.priority)
        .bind::<Nullable<BigInt>, _>(row.timeout_ms)
        .bind::<Nullable<BigInt>, _>(row.retry_delay_ms)
        .bind::<Timestamp, _>(mark.now)
        .bind::<Text, _>(&*mark.node)
        .bind::<Text, _>(&*mark.run)
        .columns::<(BigInt, BigInt)>()
        .get_result(conn)
}

pub(super) fn insert(conn: &mut SqliteConnection, rows: &[NewTaskRow]) -> QueryResult<Vec<AddedTask>> {
    let mut added = Vec::with_capacity(rows.len());
    for run in runs_of(rows, |row| row.unique_key.is_some()) {
        if run[0].unique_key.is_some() {
            for row in run {
                added.push(insert_keyed(conn, row)?);
            }
        } else {
            for bulk in bulks(run, Parameters::Numbered) {
                insert_bulk(conn, bulk, &mut added)?;
            }
        }
    }
    Ok(added)
}

fn insert_bulk(conn: &mut SqliteConnection, bulk: Bulk<'_>, added: &mut Vec<AddedTask>) -> QueryResult<()> {
    Prepared::new(bulk.sql(), bulk).execute(conn)?;
    let last: i64 = prepared(LAST_ID).columns::<BigInt>().get_result(conn)?;
    // One writer at a time, and AUTOINCREMENT: the ids of one statement are consecutive.
    let ids = last + 1 - bulk.len()..=last;
    added.extend(ids.map(AddedTask::new));
    Ok(())
}

fn insert_keyed(conn: &mut SqliteConnection, row: &NewTaskRow) -> QueryResult<AddedTask> {
    for _ in 0..TRIES_OF_A_KEY {
        if let Some(id) = insert_unless_taken(conn, row)? {
            return Ok(AddedTask::new(id));
        }
        let holder: Option<i64> = prepared(HOLDER_OF_KEY)
            .bind::<Text, _>(&*row.system_name)
            .bind::<Nullable<Text>, _>(&row.unique_key)
            .columns::<BigInt>()
            .get_result(conn)
            .optional()?;
        if let Some(holder) = holder {
            return Ok(AddedTask::duplicate_of(holder));
        }
        // On a connection without a transaction the task that was in the way may have ended in between.
    }
    Err(key_is_elusive())
}

fn insert_unless_taken(conn: &mut SqliteConnection, row: &NewTaskRow) -> QueryResult<Option<i64>> {
    adding!(INSERT_KEYED, row)
        .bind::<Integer, _>(row.priority)
        .bind::<Nullable<Timestamp>, _>(row.run_at)
        .bind::<Nullable<BigInt>, _>(row.timeout_ms)
        .bind::<Nullable<BigInt>, _>(row.retry_delay_ms)
        .bind::<Nullable<Text>, _>(&row.unique_key)
        .columns::<BigInt>()
        .get_result(conn)
        .optional()
}
