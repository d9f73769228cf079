//! Claiming and adding tasks.

use chrono::NaiveDateTime;
use diesel::{
    QueryableByName,
    prelude::*,
    result::OptionalExtension,
    sql_types::{BigInt, Nullable, Text, Timestamp},
    sqlite::SqliteConnection,
};

use crate::{
    domain::AddedTask,
    store::{
        Claim,
        rows::{ClaimedRow, NewTaskRow, PROMOTED_AT_ONCE, TRIES_OF_A_KEY, key_is_elusive},
        schema::asynctasks,
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
    let row: Row = diesel::sql_query(
        "SELECT EXISTS (SELECT 1 FROM asynctasks INDEXED BY gaia_tasks_claim \
             WHERE system_name = ?1 AND task_status IN ('Wait', 'Retry') AND run_at IS NULL) \
           OR EXISTS (SELECT 1 FROM asynctasks \
             WHERE system_name = ?1 AND task_status IN ('Wait', 'Retry') AND run_at IS NOT NULL AND run_at <= ?2) AS due, \
           (SELECT strftime('%Y-%m-%d %H:%M:%f', run_at) FROM asynctasks \
             WHERE system_name = ?1 AND task_status IN ('Wait', 'Retry') AND run_at IS NOT NULL AND run_at > ?2 \
             AND datetime(run_at) IS NOT NULL ORDER BY run_at LIMIT 1) AS next_due",
    )
    .bind::<Text, _>(theme)
    .bind::<Timestamp, _>(now)
    .get_result(conn)?;
    Ok(Look {
        due: row.due != 0,
        next_due: row.next_due.and_then(|due| parse_due(&due, now)),
    })
}

pub(super) fn claim_due(
    conn: &mut SqliteConnection,
    claim: &Claim,
    now: NaiveDateTime,
) -> QueryResult<Vec<ClaimedRow>> {
    promote(conn, claim, now)?;
    let run = uuid::Uuid::now_v7().simple().to_string();
    let mut rows = Vec::new();
    for id in claim.first.iter().take(claim.limit) {
        rows.extend(claim_rows(conn, CLAIM_ONE, claim, &run, now, *id)?);
    }
    let rest = claim.limit.saturating_sub(rows.len());
    if rest > 0 {
        let rest = i64::try_from(rest).unwrap_or(i64::MAX);
        rows.extend(claim_rows(conn, CLAIM_DUE, claim, &run, now, rest)?);
    }
    Ok(rows)
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
fn parse_due(due: &str, now: NaiveDateTime) -> Option<NaiveDateTime> {
    let parsed = NaiveDateTime::parse_from_str(due, "%Y-%m-%d %H:%M:%S%.f").ok();
    // SQLite has rounded it to a millisecond, perhaps into the past.
    let rounded = chrono::TimeDelta::milliseconds(1);
    parsed.filter(|due| *due > now - rounded).map(|due| due.max(now))
}

// ---- adding ----

pub(super) fn insert(conn: &mut SqliteConnection, rows: &[NewTaskRow]) -> QueryResult<Vec<AddedTask>> {
    rows.iter().map(|row| insert_task(conn, row)).collect()
}

fn insert_task(conn: &mut SqliteConnection, row: &NewTaskRow) -> QueryResult<AddedTask> {
    for _ in 0..TRIES_OF_A_KEY {
        let added = diesel::insert_into(asynctasks::table)
            .values(row)
            .on_conflict_do_nothing()
            .returning(asynctasks::id)
            .get_result(conn)
            .optional()?;
        if let Some(id) = added {
            return Ok(AddedTask::new(id));
        }
        let holder = asynctasks::table
            .filter(asynctasks::system_name.eq(&row.system_name))
            .filter(asynctasks::unique_key.eq(&row.unique_key))
            .filter(asynctasks::task_status.eq_any(["Wait", "Retry", "Running"]))
            .select(asynctasks::id)
            .first(conn)
            .optional()?;
        if let Some(id) = holder {
            return Ok(AddedTask::duplicate_of(id));
        }
        // On a connection without a transaction the task that was in the way may have ended in between.
    }
    Err(key_is_elusive())
}
