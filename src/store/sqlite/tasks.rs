//! Claiming and adding tasks.

use chrono::NaiveDateTime;
use diesel::{
    prelude::*,
    sql_types::{BigInt, Integer, Nullable, Text, Timestamp},
    sqlite::SqliteConnection,
};

use crate::{
    domain::AddedTask,
    store::{
        Claim, ClaimedTask,
        bulk::{Bulk, Parameters, bulks},
        parts::runs_of,
        prepared::{Prepared, prepared},
        rows::{ClaimMark, ClaimedRow, NewTaskRow, PROMOTED_AT_ONCE, TRIES_OF_A_KEY, key_is_elusive},
    },
};

// ---- claiming ----

/// What waits.
pub(super) struct Look {
    pub(super) due: bool,
    pub(super) next_due: Option<NaiveDateTime>,
}

/// The index is named: left to itself, SQLite reads every scheduled task of the theme on its way to one that is due.
pub(super) fn look(conn: &mut SqliteConnection, theme: &str, now: NaiveDateTime) -> QueryResult<Look> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        due: i64,
        #[diesel(sql_type = Nullable<Text>)]
        next_due: Option<String>,
    }
    let row: Row = prepared(
        "SELECT EXISTS (SELECT 1 FROM asynctasks INDEXED BY gaia_tasks_claim \
             WHERE system_name = ?1 AND task_status IN ('Wait', 'Retry') AND run_at IS NULL) \
           OR EXISTS (SELECT 1 FROM asynctasks \
             WHERE system_name = ?1 AND task_status IN ('Wait', 'Retry') AND run_at IS NOT NULL AND run_at <= ?2) AS due, \
           (SELECT strftime('%Y-%m-%d %H:%M:%f', run_at) FROM asynctasks \
             WHERE system_name = ?1 AND task_status IN ('Wait', 'Retry') AND run_at IS NOT NULL AND run_at > ?2 \
             AND datetime(run_at) IS NOT NULL ORDER BY run_at LIMIT 1) AS next_due",
    )
    .bind::<Text, _>(theme)
    .bind::<Timestamp, _>(now).get_result(conn)?;
    Ok(Look {
        due: row.due != 0,
        next_due: row.next_due.and_then(|due| parse_due(&due, now)),
    })
}

pub(super) fn claim_due(
    conn: &mut SqliteConnection,
    claim: &Claim,
    now: NaiveDateTime,
) -> QueryResult<Vec<ClaimedTask>> {
    promote(conn, claim, now)?;
    let mark = ClaimMark::new(claim, now);
    let mut rows = Vec::new();
    for id in claim.first.iter().take(claim.limit) {
        rows.extend(claim_rows(conn, CLAIM_ONE, claim, &mark, *id)?);
    }
    let rest = claim.limit.saturating_sub(rows.len());
    if rest > 0 {
        let rest = i64::try_from(rest).unwrap_or(i64::MAX);
        rows.extend(claim_rows(conn, CLAIM_DUE, claim, &mark, rest)?);
    }
    Ok(rows.into_iter().map(|row| mark.task(row)).collect())
}

/// Moves scheduled tasks whose time has come to the due ones: at least as many as are to be claimed.
fn promote(conn: &mut SqliteConnection, claim: &Claim, now: NaiveDateTime) -> QueryResult<usize> {
    let most = PROMOTED_AT_ONCE.max(i64::try_from(claim.limit).unwrap_or(i64::MAX));
    prepared(
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
             timeout_ms, retry_delay_ms, lease_token"
        )
    };
}

const CLAIM_DUE: &str = claim_sql!("ORDER BY priority DESC, id LIMIT ?5");
const CLAIM_ONE: &str = claim_sql!("AND id = ?5");

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
        .bind::<Text, _>(&mark.run)
        .bind::<Text, _>(&claim.theme)
        .bind::<BigInt, _>(which)
        .load(conn)
}

/// When the next scheduled task is due. A time that plain SQL wrote and nobody can read is passed over: its task waits, and
/// no other.
fn parse_due(due: &str, now: NaiveDateTime) -> Option<NaiveDateTime> {
    let parsed = NaiveDateTime::parse_from_str(due, "%Y-%m-%d %H:%M:%S%.f").ok();
    // SQLite has rounded it to a millisecond, perhaps into the past.
    let rounded = chrono::TimeDelta::milliseconds(1);
    parsed.filter(|due| *due > now - rounded).map(|due| due.max(now))
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

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    id: i64,
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
    let last: Id = prepared(LAST_ID).get_result(conn)?;
    // One writer at a time, and AUTOINCREMENT: the ids of one statement are consecutive.
    let ids = last.id + 1 - bulk.len()..=last.id;
    added.extend(ids.map(AddedTask::new));
    Ok(())
}

fn insert_keyed(conn: &mut SqliteConnection, row: &NewTaskRow) -> QueryResult<AddedTask> {
    for _ in 0..TRIES_OF_A_KEY {
        if let Some(added) = insert_unless_taken(conn, row)? {
            return Ok(AddedTask::new(added.id));
        }
        let holder: Option<Id> = prepared(HOLDER_OF_KEY)
            .bind::<Text, _>(&row.system_name)
            .bind::<Nullable<Text>, _>(&row.unique_key)
            .get_result(conn)
            .optional()?;
        if let Some(holder) = holder {
            return Ok(AddedTask::duplicate_of(holder.id));
        }
        // On a connection without a transaction the task that was in the way may have ended in between.
    }
    Err(key_is_elusive())
}

fn insert_unless_taken(conn: &mut SqliteConnection, row: &NewTaskRow) -> QueryResult<Option<Id>> {
    prepared(INSERT_KEYED)
        .bind::<Text, _>(&row.system_name)
        .bind::<Text, _>(&row.service_name)
        .bind::<Text, _>(&row.method_name)
        .bind::<Text, _>(&row.task_name)
        .bind::<Text, _>(&row.arg)
        .bind::<Integer, _>(row.max_retry_time)
        .bind::<Timestamp, _>(row.create_time)
        .bind::<Integer, _>(row.priority)
        .bind::<Nullable<Timestamp>, _>(row.run_at)
        .bind::<Nullable<BigInt>, _>(row.timeout_ms)
        .bind::<Nullable<BigInt>, _>(row.retry_delay_ms)
        .bind::<Nullable<Text>, _>(&row.unique_key)
        .get_result(conn)
        .optional()
}
