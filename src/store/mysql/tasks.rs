//! Claiming and adding tasks.

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::{
    OptionalExtension, QueryResult, Queryable,
    mysql::Mysql,
    result::{DatabaseErrorKind, Error as DieselError},
    sql_types::{BigInt, Integer, Nullable, Text, Timestamp},
};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};

use crate::{
    domain::AddedTask,
    store::{
        Claim, Claimed,
        bulk::{Bulk, Parameters, bulks},
        lenient::{AnyTime, time},
        parts::runs_of,
        pool::lost_answer,
        prepared::{Prepared, prepared},
        rows::{
            ClaimMark, ClaimedColumns, ClaimedRow, NewTaskRow, PROMOTED_AT_ONCE, TRIES_OF_A_KEY, adding, key_is_elusive,
        },
    },
};

// ---- claiming ----

/// Whether the node may claim is asked here, without a lock: inside the claim, MariaDB would lock the node's row too, and pass
/// it over while its heartbeat is written. A node that is declared dead right after this look has its claim taken over.
///
/// Whether the first time has come is asked here, too: it may be a zero date, which cannot be read.
const PEEK: &str = "SELECT \
    EXISTS (SELECT 1 FROM gaia_nodes WHERE id = ?) \
      AND NOT EXISTS (SELECT 1 FROM gaia_themes WHERE theme = ? AND paused <> 0) AS may_claim, \
    EXISTS (SELECT 1 FROM asynctasks WHERE due_theme = ?) AS due, \
    next_due <= ? AS has_come, next_due \
    FROM (SELECT MIN(run_at) AS next_due FROM asynctasks WHERE later_theme = ?) AS later";

/// What somebody else has locked is somebody else's claim: it is passed over, never waited for.
const PICK_LATER: &str = "SELECT id FROM asynctasks FORCE INDEX (gaia_tasks_scheduled) \
    WHERE later_theme = ? AND run_at <= ? ORDER BY run_at LIMIT ? FOR UPDATE SKIP LOCKED";

const PROMOTE: &str = "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$')) picked \
    STRAIGHT_JOIN asynctasks t FORCE INDEX (PRIMARY) ON t.id = picked.id SET t.run_at = NULL";

/// The number of the next claim of a row. One beyond the last is followed by 1: it is the log id that no two claims have in common.
macro_rules! next_token {
    () => {
        "IF(lease_token < 9223372036854775807, lease_token + 1, 1)"
    };
}

macro_rules! pick_sql {
    ($index:literal, $which:literal) => {
        concat!(
            "SELECT id, service_name, method_name, retry_time, max_retry_time, priority, timeout_ms, \
             retry_delay_ms, ",
            next_token!(),
            " AS lease_token, IF(LENGTH(arg) <= ?, arg, NULL) AS arg, LENGTH(arg) AS arg_bytes FROM asynctasks FORCE INDEX (",
            $index,
            ") WHERE due_theme = ? ",
            $which,
            " FOR UPDATE SKIP LOCKED"
        )
    };
}

const PICK_DUE: &str = pick_sql!("gaia_tasks_claim", "ORDER BY priority DESC, id LIMIT ?");
const PICK_ONE: &str = pick_sql!("PRIMARY", "AND id = ?");

const CLAIM: &str = concat!(
    "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$')) picked \
     STRAIGHT_JOIN asynctasks t FORCE INDEX (PRIMARY) ON t.id = picked.id \
     SET t.task_status = 'Running', t.lease_owner = ?, t.lease_token = ",
    next_token!(),
    ", t.last_run_time = ?, t.update_time = ?, t.log_id = CONCAT(?, '-', t.id), t.cancel_requested = 0, t.began = 0, \
     t.progress = NULL, t.progress_note = NULL"
);

/// What waits.
#[derive(Queryable)]
pub(super) struct Peek {
    may_claim: i64,
    due: i64,
    has_come: Option<i64>,
    next_due: Option<AnyTime>,
}

impl Peek {
    pub(super) fn has_work(&self) -> bool {
        self.may_claim != 0 && (self.due != 0 || self.has_come())
    }

    /// When something becomes due that the node may have.
    pub(super) fn next_due(&self, now: NaiveDateTime) -> Option<DateTime<Utc>> {
        let next_due = if self.has_come() {
            Some(now.and_utc())
        } else {
            time(self.next_due)
        };
        next_due.filter(|_| self.may_claim != 0)
    }

    fn has_come(&self) -> bool {
        self.has_come.is_some_and(|has_come| has_come != 0)
    }
}

pub(super) async fn peek(conn: &mut AsyncMysqlConnection, claim: &Claim, now: NaiveDateTime) -> QueryResult<Peek> {
    prepared(PEEK)
        .bind::<Text, _>(&claim.node)
        .bind::<Text, _>(&claim.theme)
        .bind::<Text, _>(&claim.theme)
        .bind::<Timestamp, _>(now)
        .bind::<Text, _>(&claim.theme)
        .columns::<(BigInt, BigInt, Nullable<BigInt>, Nullable<Timestamp>)>()
        .get_result(conn)
        .await
}

/// Inside a transaction.
pub(super) async fn claim(
    conn: &mut AsyncMysqlConnection,
    claim: &Claim,
    peek: &Peek,
    mark: &ClaimMark,
) -> QueryResult<Claimed> {
    let now = mark.now;
    // What is promoted now is claimed now; the next look tells what comes after it.
    let mut passed_over = peek.has_come() && promote(conn, claim, now).await? == 0;
    let mut rows: Vec<ClaimedRow> = Vec::new();
    for id in claim.first.iter().take(claim.limit) {
        rows.extend(pick(conn, PICK_ONE, claim, mark, *id).await?);
    }
    let rest = claim.limit.saturating_sub(rows.len());
    if rest > 0 {
        let wanted: Vec<i64> = rows.iter().map(ClaimedRow::id).collect();
        let rest = i64::try_from(claim.limit).unwrap_or(i64::MAX);
        let due = pick(conn, PICK_DUE, claim, mark, rest).await?;
        // Rows of our own that are picked twice are not locked for us.
        rows.extend(due.into_iter().filter(|row| !wanted.contains(&row.id())));
        rows.truncate(claim.limit);
    }
    passed_over |= rows.is_empty() && peek.due != 0;
    if !rows.is_empty() {
        prepared(CLAIM)
            .bind::<Text, _>(ids(rows.iter().map(ClaimedRow::id)))
            .bind::<Text, _>(&claim.node)
            .bind::<Timestamp, _>(mark.now)
            .bind::<Timestamp, _>(mark.now)
            .bind::<Text, _>(&*mark.run)
            .execute(conn)
            .await?;
    }
    Ok(Claimed {
        tasks: rows.into_iter().map(|row| mark.task(row)).collect(),
        next_due: peek.next_due(now),
        passed_over,
        more: false,
    })
}

async fn pick(
    conn: &mut AsyncMysqlConnection,
    sql: &'static str,
    claim: &Claim,
    mark: &ClaimMark,
    which: i64,
) -> QueryResult<Vec<ClaimedRow>> {
    prepared(sql)
        .bind::<BigInt, _>(claim.arg_limit(mark))
        .bind::<Text, _>(&claim.theme)
        .bind::<BigInt, _>(which)
        .columns::<ClaimedColumns<Mysql>>()
        .load(conn)
        .await
}

async fn promote(conn: &mut AsyncMysqlConnection, claim: &Claim, now: NaiveDateTime) -> QueryResult<usize> {
    let most = PROMOTED_AT_ONCE.max(i64::try_from(claim.limit).unwrap_or(i64::MAX));
    let picked: Vec<i64> = prepared(PICK_LATER)
        .bind::<Text, _>(&claim.theme)
        .bind::<Timestamp, _>(now)
        .bind::<BigInt, _>(most)
        .columns::<BigInt>()
        .load(conn)
        .await?;
    if picked.is_empty() {
        return Ok(0);
    }
    prepared(PROMOTE)
        .bind::<Text, _>(ids(picked.into_iter()))
        .execute(conn)
        .await
}

/// A JSON list, in the order in which rows are locked.
fn ids(ids: impl Iterator<Item = i64>) -> String {
    let mut ids: Vec<i64> = ids.collect();
    ids.sort_unstable();
    let ids: Vec<String> = ids.into_iter().map(|id| id.to_string()).collect();
    format!("[{}]", ids.join(","))
}

// ---- adding ----

const INSERT_KEYED: &str = "INSERT INTO asynctasks \
      (system_name, service_name, method_name, task_name, arg, max_retry_time, task_status, create_time, update_time, \
       priority, run_at, timeout_ms, retry_delay_ms, unique_key) \
    VALUES (?, ?, ?, ?, ?, ?, 'Wait', ?, ?, ?, ?, ?, ?, ?)";

/// Claimed as by [`CLAIM`], unless the node may not claim.
const INSERT_CLAIMED: &str = "INSERT INTO asynctasks \
      (system_name, service_name, method_name, task_name, arg, max_retry_time, create_time, priority, timeout_ms, \
       retry_delay_ms, update_time, task_status, lease_owner, lease_token, last_run_time, log_id) \
    SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, IF(may, 'Running', 'Wait'), IF(may, ?, NULL), may, IF(may, ?, NULL), \
      IF(may, ?, NULL) \
    FROM (SELECT EXISTS (SELECT 1 FROM gaia_nodes WHERE id = ?) \
      AND NOT EXISTS (SELECT 1 FROM gaia_themes WHERE theme = ? AND paused <> 0) AS may) AS node";

const INSERTED: &str = "SELECT id, lease_token FROM asynctasks WHERE id = LAST_INSERT_ID()";

const FIRST_ID: &str = "SELECT CAST(LAST_INSERT_ID() AS SIGNED) AS first, \
    CAST(@@auto_increment_increment AS SIGNED) AS step";

const HOLDER_OF_KEY: &str = "SELECT id FROM asynctasks WHERE system_name = ? AND live_key = ?";

/// Whether [`insert`] needs no transaction around it to be all or nothing.
pub(super) fn is_one_statement(rows: &[NewTaskRow]) -> bool {
    rows.iter().all(|row| row.unique_key.is_none()) && bulks(rows, Parameters::Positional).count() <= 1
}

/// The id and the lease token, which is 0 if it was not claimed.
pub(super) async fn insert_claimed(
    conn: &mut AsyncMysqlConnection,
    row: &NewTaskRow,
    mark: &ClaimMark,
) -> QueryResult<(i64, i64)> {
    adding!(INSERT_CLAIMED, row)
        .bind::<Integer, _>(row.priority)
        .bind::<Nullable<BigInt>, _>(row.timeout_ms)
        .bind::<Nullable<BigInt>, _>(row.retry_delay_ms)
        .bind::<Timestamp, _>(mark.now)
        .bind::<Text, _>(&*mark.node)
        .bind::<Timestamp, _>(mark.now)
        .bind::<Text, _>(&*mark.run)
        .bind::<Text, _>(&*mark.node)
        .bind::<Text, _>(&*row.system_name)
        .execute(conn)
        .await?;
    let inserted = prepared(INSERTED).columns::<(BigInt, BigInt)>().get_result(conn);
    inserted.await.map_err(lost_answer)
}

pub(super) async fn insert(conn: &mut AsyncMysqlConnection, rows: &[NewTaskRow]) -> QueryResult<Vec<AddedTask>> {
    let mut added = Vec::with_capacity(rows.len());
    for run in runs_of(rows, |row| row.unique_key.is_some()) {
        if run[0].unique_key.is_some() {
            for row in run {
                added.push(insert_keyed(conn, row).await?);
            }
        } else {
            for bulk in bulks(run, Parameters::Positional) {
                insert_bulk(conn, bulk, &mut added).await?;
            }
        }
    }
    Ok(added)
}

/// The ids of one statement whose rows are all there are consecutive, in every mode of InnoDB.
async fn insert_bulk(conn: &mut AsyncMysqlConnection, bulk: Bulk<'_>, added: &mut Vec<AddedTask>) -> QueryResult<()> {
    Prepared::new(bulk.sql(), bulk).execute(conn).await?;
    let (first, step) = first_id(conn).await?;
    let ids = (0..bulk.len()).map(|at| first + at * step);
    added.extend(ids.map(AddedTask::new));
    Ok(())
}

/// A row that is refused does not spoil the transaction.
async fn insert_keyed(conn: &mut AsyncMysqlConnection, row: &NewTaskRow) -> QueryResult<AddedTask> {
    for _ in 0..TRIES_OF_A_KEY {
        match insert_unless_taken(conn, row).await {
            Err(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => {}
            added => return added,
        }
        let holder: Option<i64> = prepared(HOLDER_OF_KEY)
            .bind::<Text, _>(&*row.system_name)
            .bind::<Nullable<Text>, _>(&row.unique_key)
            .columns::<BigInt>()
            .get_result(conn)
            .await
            .optional()?;
        if let Some(holder) = holder {
            return Ok(AddedTask::duplicate_of(holder));
        }
        // The task that was in the way has ended in between.
    }
    Err(key_is_elusive())
}

async fn insert_unless_taken(conn: &mut AsyncMysqlConnection, row: &NewTaskRow) -> QueryResult<AddedTask> {
    adding!(INSERT_KEYED, row)
        .bind::<Timestamp, _>(row.create_time)
        .bind::<Integer, _>(row.priority)
        .bind::<Nullable<Timestamp>, _>(row.run_at)
        .bind::<Nullable<BigInt>, _>(row.timeout_ms)
        .bind::<Nullable<BigInt>, _>(row.retry_delay_ms)
        .bind::<Nullable<Text>, _>(&row.unique_key)
        .execute(conn)
        .await?;
    let (id, _) = first_id(conn).await?;
    Ok(AddedTask::new(id))
}

/// The first id that the last statement gave, and how far the next one is from it.
async fn first_id(conn: &mut AsyncMysqlConnection) -> QueryResult<(i64, i64)> {
    let ids = prepared(FIRST_ID).columns::<(BigInt, BigInt)>().get_result(conn);
    ids.await.map_err(lost_answer)
}
