//! Claiming and adding tasks.

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::{
    OptionalExtension, QueryResult, Queryable,
    pg::Pg,
    result::Error as DieselError,
    sql_types::{Array, BigInt, Bool, Integer, Nullable, Text, Timestamp},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

use crate::{
    domain::AddedTask,
    store::{
        Claim,
        lenient::{AnyTime, time},
        parts::{parts, runs_of},
        pool::closed,
        postgres::by_key::SETTINGS,
        prepared::prepared,
        rows::{
            ClaimMark, ClaimedColumns, ClaimedRow, NewTaskRow, PROMOTED_AT_ONCE, TRIES_OF_A_KEY, adding, key_is_elusive,
        },
    },
};

// ---- claiming ----

/// The partial indexes serve because the statuses stand in the text, and the order has the planner take them.
///
/// Whether the first time has come is asked here: it may be `-infinity`, which cannot be read.
const PEEK: &str = "SELECT \
    EXISTS (SELECT 1 FROM gaia_nodes WHERE id = $2) \
      AND NOT EXISTS (SELECT 1 FROM gaia_themes WHERE theme = $1 AND paused <> 0) AS may_claim, \
    (SELECT id FROM asynctasks \
      WHERE system_name = $1 AND task_status IN ('Wait', 'Retry') AND run_at IS NULL \
      ORDER BY priority DESC, id LIMIT 1) IS NOT NULL AS due, \
    later.run_at <= $3 AS has_come, later.run_at AS next_due \
    FROM (SELECT 1) AS one LEFT JOIN \
      (SELECT run_at FROM asynctasks \
        WHERE system_name = $1 AND task_status IN ('Wait', 'Retry') AND run_at IS NOT NULL \
        ORDER BY run_at LIMIT 1) AS later ON true";

/// What somebody else has locked is somebody else's claim: it is passed over, never waited for.
const PROMOTE: &str = "WITH come AS MATERIALIZED ( \
      SELECT id FROM asynctasks \
      WHERE system_name = $1 AND task_status IN ('Wait', 'Retry') AND run_at IS NOT NULL AND run_at <= $2 \
      ORDER BY run_at LIMIT $3 FOR UPDATE SKIP LOCKED) \
    UPDATE asynctasks SET run_at = NULL FROM come WHERE asynctasks.id = come.id";

/// A number beyond the last one is followed by 1: it is the log id that no two claims have in common.
///
/// The commit of a claim need not reach the disk before the tasks run: if a crash of the server undoes it, they are claimed
/// again, and what the runs of the lost claim write then names a log id that the row no longer has. The write of an outcome
/// waits for the disk, and what was committed before it is there with it.
macro_rules! claim_sql {
    ($which:literal) => {
        concat!(
            "WITH picked AS MATERIALIZED ( \
               SELECT id FROM asynctasks \
               WHERE system_name = $4 AND task_status IN ('Wait', 'Retry') AND run_at IS NULL \
               AND EXISTS (SELECT 1 FROM gaia_nodes WHERE id = $1) \
               AND NOT EXISTS (SELECT 1 FROM gaia_themes WHERE theme = $4 AND paused <> 0) \
               AND (SELECT set_config('synchronous_commit', 'off', true)) IS NOT NULL ",
            $which,
            " FOR UPDATE OF asynctasks SKIP LOCKED) \
             UPDATE asynctasks t SET task_status = 'Running', lease_owner = $1, lease_token = \
             CASE WHEN t.lease_token < 9223372036854775807 THEN t.lease_token + 1 ELSE 1 END, \
             last_run_time = $2, update_time = $2, log_id = $3 || '-' || t.id, \
             cancel_requested = 0, began = 0, progress = NULL, progress_note = NULL \
             WHERE t.id = ANY (ARRAY(SELECT id FROM picked)) \
             RETURNING t.id, t.service_name, t.method_name, t.retry_time, t.max_retry_time, t.priority, \
             t.timeout_ms, t.retry_delay_ms, t.lease_token, \
             CASE WHEN octet_length(t.arg) <= $5 THEN t.arg END, octet_length(t.arg)::bigint"
        )
    };
}

const CLAIM_DUE: &str = claim_sql!("ORDER BY priority DESC, id LIMIT $6");
const CLAIM_THESE: &str = claim_sql!("AND id = ANY($6) ORDER BY id");

/// What waits.
#[derive(Queryable)]
pub(super) struct Peek {
    may_claim: bool,
    pub(super) due: bool,
    has_come: Option<bool>,
    next_due: Option<AnyTime>,
}

impl Peek {
    pub(super) fn has_work(&self) -> bool {
        self.may_claim && (self.due || self.has_come())
    }

    /// When something becomes due that the node may have.
    pub(super) fn next_due(&self, now: NaiveDateTime) -> Option<DateTime<Utc>> {
        let next_due = if self.has_come() {
            Some(now.and_utc())
        } else {
            time(self.next_due)
        };
        next_due.filter(|_| self.may_claim)
    }

    pub(super) fn has_come(&self) -> bool {
        self.has_come.unwrap_or(false)
    }
}

pub(super) async fn peek(mut conn: &AsyncPgConnection, claim: &Claim, now: NaiveDateTime) -> QueryResult<Peek> {
    prepared(PEEK)
        .bind::<Text, _>(&claim.theme)
        .bind::<Text, _>(&claim.node)
        .bind::<Timestamp, _>(now)
        .columns::<(Bool, Bool, Nullable<Bool>, Nullable<Timestamp>)>()
        .get_result(&mut conn)
        .await
}

/// A statement that claims, with the parameters that each of them begins with.
macro_rules! claiming {
    ($sql:expr, $claim:expr, $mark:expr) => {
        prepared($sql)
            .bind::<Text, _>(&$claim.node)
            .bind::<Timestamp, _>($mark.now)
            .bind::<Text, _>(&*$mark.run)
            .bind::<Text, _>(&$claim.theme)
            .bind::<BigInt, _>($claim.arg_limit($mark))
    };
}

/// Takes the tasks that are wanted before others, and then those that are due. Inside a transaction: the two are one claim.
pub(super) async fn claim_first(
    conn: &mut AsyncPgConnection,
    claim: &Claim,
    mark: &ClaimMark,
) -> QueryResult<Vec<ClaimedRow>> {
    conn.batch_execute(SETTINGS).await?;
    let first: Vec<i64> = claim.first.iter().copied().take(claim.limit).collect();
    let mut rows: Vec<ClaimedRow> = claiming!(CLAIM_THESE, claim, mark)
        .bind::<Array<BigInt>, _>(first)
        .columns::<ClaimedColumns<Pg>>()
        .load(conn)
        .await?;
    let rest = claim.limit.saturating_sub(rows.len());
    if rest > 0 {
        rows.extend(claim_due(conn, claim, mark, rest).await?);
    }
    Ok(rows)
}

/// Takes at most so many of those that are due.
pub(super) async fn claim_due(
    mut conn: &AsyncPgConnection,
    claim: &Claim,
    mark: &ClaimMark,
    most: usize,
) -> QueryResult<Vec<ClaimedRow>> {
    claiming!(CLAIM_DUE, claim, mark)
        .bind::<BigInt, _>(i64::try_from(most).unwrap_or(i64::MAX))
        .columns::<ClaimedColumns<Pg>>()
        .load(&mut conn)
        .await
}

/// Moves scheduled tasks whose time has come to the due ones.
pub(super) async fn promote(mut conn: &AsyncPgConnection, claim: &Claim, now: NaiveDateTime) -> QueryResult<usize> {
    let most = PROMOTED_AT_ONCE.max(i64::try_from(claim.limit).unwrap_or(i64::MAX));
    prepared(PROMOTE)
        .bind::<Text, _>(&claim.theme)
        .bind::<Timestamp, _>(now)
        .bind::<BigInt, _>(most)
        .execute(&mut conn)
        .await
}

// ---- adding ----

/// Ids are given in the order of the rows. The first columns are those of plain tasks.
macro_rules! insert_sql {
    ($columns:literal, $parameters:literal) => {
        concat!(
            "INSERT INTO asynctasks (system_name, task_status, create_time, update_time, \
               service_name, method_name, task_name, arg, max_retry_time",
            $columns,
            ") SELECT $1, 'Wait', $2, $2, service_name, method_name, task_name, arg, max_retry_time",
            $columns,
            " FROM unnest($3, $4, $5, $6, $7",
            $parameters,
            ") WITH ORDINALITY AS added (service_name, method_name, task_name, arg, max_retry_time",
            $columns,
            ", at) ORDER BY at RETURNING id"
        )
    };
}

const INSERT_PLAIN: &str = insert_sql!("", "");
const INSERT_MANY: &str = insert_sql!(", priority, run_at, timeout_ms, retry_delay_ms", ", $8, $9, $10, $11");

const INSERT_ONE: &str = "INSERT INTO asynctasks \
      (system_name, service_name, method_name, task_name, arg, max_retry_time, task_status, create_time, update_time, \
       priority, run_at, timeout_ms, retry_delay_ms, unique_key) \
    VALUES ($1, $2, $3, $4, $5, $6, 'Wait', $7, $7, $8, $9, $10, $11, $12) \
    ON CONFLICT DO NOTHING RETURNING id";

/// Claimed as by [`CLAIM_DUE`], unless that would give nothing; but its commit waits for the disk. Without `OFFSET 0` the planner
/// would put the question in each place of the answer, and plan it as often.
const INSERT_CLAIMED: &str = "INSERT INTO asynctasks \
      (system_name, service_name, method_name, task_name, arg, max_retry_time, create_time, priority, timeout_ms, \
       retry_delay_ms, update_time, task_status, lease_owner, lease_token, last_run_time, log_id) \
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, CASE WHEN may THEN 'Running' ELSE 'Wait' END, \
      CASE WHEN may THEN $12 END, may::int, CASE WHEN may THEN $11 END, CASE WHEN may THEN $13 END \
    FROM (SELECT EXISTS (SELECT 1 FROM gaia_nodes WHERE id = $12) \
      AND NOT EXISTS (SELECT 1 FROM gaia_themes WHERE theme = $1 AND paused <> 0) AS may OFFSET 0) AS node \
    RETURNING id, lease_token";

const HOLDER_OF_KEY: &str = "SELECT id FROM asynctasks \
    WHERE system_name = $1 AND unique_key = $2 AND task_status IN ('Wait', 'Retry', 'Running')";

/// Whether [`insert`] needs no transaction around it to be all or nothing.
pub(super) fn is_one_statement(rows: &[NewTaskRow]) -> bool {
    rows.len() <= 1 || (rows.iter().all(|row| row.unique_key.is_none()) && parts(rows).count() == 1)
}

/// The id and the lease token, which is 0 if it was not claimed. Read to the end, as by [`insert_one`]: the commit comes last, and
/// may be refused.
pub(super) async fn insert_claimed(
    mut conn: &AsyncPgConnection,
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
        .load(&mut conn)
        .await?
        .pop()
        .ok_or(DieselError::NotFound)
}

pub(super) async fn insert(conn: &AsyncPgConnection, rows: &[NewTaskRow]) -> QueryResult<Vec<AddedTask>> {
    let mut added = Vec::with_capacity(rows.len());
    for run in runs_of(rows, |row| row.unique_key.is_some()) {
        // A single one needs no lists, which take longer to plan.
        if run[0].unique_key.is_some() || run.len() == 1 {
            for row in run {
                added.push(insert_one(conn, row).await?);
            }
        } else {
            for part in parts(run) {
                added.extend(insert_many(conn, part).await?);
            }
        }
    }
    Ok(added)
}

async fn insert_many(mut conn: &AsyncPgConnection, rows: &[NewTaskRow]) -> QueryResult<Vec<AddedTask>> {
    fn all<'a, T>(rows: &'a [NewTaskRow], column: impl Fn(&'a NewTaskRow) -> T) -> Vec<T> {
        rows.iter().map(column).collect()
    }
    let is_plain = rows.iter().all(NewTaskRow::is_plain);
    let plain = prepared(if is_plain { INSERT_PLAIN } else { INSERT_MANY })
        .bind::<Text, _>(&*rows[0].system_name)
        .bind::<Timestamp, _>(rows[0].create_time)
        .bind::<Array<Text>, _>(all(rows, |row| row.service_name.as_str()))
        .bind::<Array<Text>, _>(all(rows, |row| row.method_name.as_str()))
        .bind::<Array<Text>, _>(all(rows, |row| row.task_name.as_str()))
        .bind::<Array<Text>, _>(all(rows, |row| row.arg.as_str()))
        .bind::<Array<Integer>, _>(all(rows, |row| row.max_retry_time));
    let mut ids: Vec<i64> = if is_plain {
        plain.columns::<BigInt>().load(&mut conn).await?
    } else {
        plain
            .bind::<Array<Integer>, _>(all(rows, |row| row.priority))
            .bind::<Array<Nullable<Timestamp>>, _>(all(rows, |row| row.run_at))
            .bind::<Array<Nullable<BigInt>>, _>(all(rows, |row| row.timeout_ms))
            .bind::<Array<Nullable<BigInt>>, _>(all(rows, |row| row.retry_delay_ms))
            .columns::<BigInt>()
            .load(&mut conn)
            .await?
    };
    if ids.len() != rows.len() {
        let text = "fewer tasks were inserted than were to be: does a trigger of asynctasks leave some out?";
        return Err(closed(text.to_owned()));
    }
    // `RETURNING` promises no order, but a later row has a greater id.
    ids.sort_unstable();
    Ok(ids.into_iter().map(AddedTask::new).collect())
}

async fn insert_one(mut conn: &AsyncPgConnection, row: &NewTaskRow) -> QueryResult<AddedTask> {
    for _ in 0..TRIES_OF_A_KEY {
        let mut inserted: Vec<i64> = adding!(INSERT_ONE, row)
            .bind::<Integer, _>(row.priority)
            .bind::<Nullable<Timestamp>, _>(row.run_at)
            .bind::<Nullable<BigInt>, _>(row.timeout_ms)
            .bind::<Nullable<BigInt>, _>(row.retry_delay_ms)
            .bind::<Nullable<Text>, _>(&row.unique_key)
            .columns::<BigInt>()
            .load(&mut conn)
            .await?;
        if let Some(id) = inserted.pop() {
            return Ok(AddedTask::new(id));
        }
        let holder: Option<i64> = prepared(HOLDER_OF_KEY)
            .bind::<Text, _>(&*row.system_name)
            .bind::<Nullable<Text>, _>(&row.unique_key)
            .columns::<BigInt>()
            .get_result(&mut conn)
            .await
            .optional()?;
        if let Some(holder) = holder {
            return Ok(AddedTask::duplicate_of(holder));
        }
        // The task that was in the way has ended in between.
    }
    Err(key_is_elusive())
}
