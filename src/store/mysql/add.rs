//! Adding tasks.

use diesel::{
    QueryResult,
    mysql::Mysql,
    result::{DatabaseErrorKind, Error as DieselError},
    sql_types::{BigInt, Integer, Nullable, Text, Timestamp},
};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};

use super::queue::Segments;
use crate::{
    domain::AddedTask,
    store::{
        server::pool::lost_answer,
        statement::{
            bulk::{Bulk, Parameters, bulks},
            chunks::runs_of,
            executor::{Async, Executor},
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
    VALUES (?, ?, ?, ?, ?, ?, 'Wait', ?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// Inserts a task as Running under the node, unless the node may not claim. It makes no row in `gaia_claims`, which would take a
/// transaction: a node makes claims later for the few of these tasks that run long enough.
const INSERT_CLAIMED: &str = "INSERT INTO asynctasks \
      (system_name, service_name, method_name, task_name, arg, max_retry_time, create_time, priority, timeout_ms, \
       retry_delay_ms, traceparent, update_time, task_status, lease_owner, lease_token, last_run_time, log_id) \
    SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, IF(may, 'Running', 'Wait'), IF(may, ?, NULL), may, IF(may, ?, NULL), \
      IF(may, ?, NULL) \
    FROM (SELECT EXISTS (SELECT 1 FROM gaia_nodes WHERE id = ?) \
      AND NOT EXISTS (SELECT 1 FROM gaia_themes WHERE theme = ? AND paused <> 0) AS may) AS node";

const INSERTED: &str = "SELECT id, lease_token FROM asynctasks WHERE id = LAST_INSERT_ID()";

const FIRST_ID: &str = "SELECT CAST(LAST_INSERT_ID() AS SIGNED) AS first, \
    CAST(@@auto_increment_increment AS SIGNED) AS step";

const HOLDER_OF_KEY: &str = "SELECT id FROM asynctasks WHERE system_name = ? AND live_key = ?";

/// Whether [`insert`] needs no transaction around it to be all or nothing.
pub(super) fn is_one_statement(rows: &[NewTaskRow]) -> bool {
    !are_queued(rows.len(), false)
        && rows.iter().all(|row| row.unique_key.is_none())
        && bulks(rows, Parameters::Positional, false).count() <= 1
}

/// Answers with the id and the lease token, which is 0 if the task was not claimed, and else 1.
pub(super) async fn insert_claimed(
    conn: &mut AsyncMysqlConnection,
    row: &NewTaskRow,
    claim_id: &ClaimId,
) -> QueryResult<(i64, i64)> {
    adding!(INSERT_CLAIMED, row)
        .bind::<Integer, _>(row.priority)
        .bind::<Nullable<BigInt>, _>(row.timeout_ms)
        .bind::<Nullable<BigInt>, _>(row.retry_delay_ms)
        .bind::<Nullable<Text>, _>(&row.traceparent)
        .bind::<Timestamp, _>(claim_id.now)
        .bind::<Text, _>(&*claim_id.node)
        .bind::<Timestamp, _>(claim_id.now)
        .bind::<Text, _>(&*claim_id.mark)
        .bind::<Text, _>(&*claim_id.node)
        .bind::<Text, _>(&*row.system_name)
        .execute(conn)
        .await?;
    let inserted = prepared(INSERTED).columns::<(BigInt, BigInt)>().get_result(conn);
    inserted.await.map_err(lost_answer)
}

/// Inserts tasks, and their segments if there are many tasks.
pub(super) async fn insert(conn: &mut AsyncMysqlConnection, rows: &[NewTaskRow]) -> QueryResult<Vec<AddedTask>> {
    let added = insert_on(&mut Async(conn), rows, true).await?;
    let mut segments = Segments::default();
    for (row, id) in queued(rows, &added) {
        segments.add(id, &row.service_name, &row.method_name, row.priority);
    }
    let theme = rows.first().map_or("", |row| &row.system_name);
    segments.write(conn, theme).await?;
    Ok(added)
}

/// Inserts tasks on any connection. `is_queued`: the caller puts those into segments that [`queued`] names.
pub(super) async fn insert_on(
    conn: &mut impl Executor<Mysql>,
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
            for bulk in bulks(run, Parameters::Positional, is_queued) {
                let ids = insert_bulk(conn, bulk).await?;
                added.extend(ids.into_iter().map(AddedTask::new));
            }
        }
    }
    Ok(added)
}

/// Inserts tasks, held or not, under a key, unless the key is stored already.
pub(super) async fn insert_once(conn: &mut AsyncMysqlConnection, once: &NewOnce) -> QueryResult<Told> {
    if let Some(told) = Told::without_adding(take::mysql(conn, once).await?) {
        return Ok(told);
    }
    let addition = match &once.new {
        New::Rows(rows) => Addition::all_due(insert(conn, rows).await?),
        New::Held(held) => insert_held(conn, held).await?,
    };
    keep::mysql(conn, &once.kept(&addition)?).await?;
    Ok(Told::Done(addition))
}

/// Inserts held tasks, and the tasks for which they wait.
pub(super) async fn insert_held(conn: &mut AsyncMysqlConnection, new: &NewHeld) -> QueryResult<Addition> {
    let found = link::look::mysql(conn, new).await?;
    let seen = match new.seen(found) {
        Ok(seen) => seen,
        Err(refused) => return Ok(refused),
    };
    let added = insert(conn, &seen.rows).await?;
    link::mysql(conn, &seen.waits(&added)).await?;
    Ok(seen.added(added))
}

/// InnoDB gives the rows of one such statement consecutive ids in every mode, since it knows their number before it inserts them.
async fn insert_bulk(conn: &mut impl Executor<Mysql>, bulk: Bulk<'_>) -> QueryResult<Vec<i64>> {
    conn.execute(Prepared::new(bulk.sql(), bulk)).await?;
    let (first, step) = first_id(conn).await?;
    Ok((0..bulk.len()).map(|at| first + at * step).collect())
}

/// Inserts a task with a unique key. On MySQL the transaction can go on after a row was refused.
async fn insert_keyed(conn: &mut impl Executor<Mysql>, row: &NewTaskRow) -> QueryResult<AddedTask> {
    for _ in 0..TRIES_OF_A_KEY {
        match insert_unless_taken(conn, row).await {
            Err(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => {}
            added => return added,
        }
        let statement = prepared(HOLDER_OF_KEY)
            .bind::<Text, _>(&*row.system_name)
            .bind::<Nullable<Text>, _>(&row.unique_key);
        let holders: Vec<i64> = conn.load(statement.columns::<BigInt>()).await?;
        if let Some(holder) = holders.into_iter().next() {
            return Ok(AddedTask::duplicate_of(holder));
        }
        // The task that was in the way has ended in between.
    }
    Err(key_is_elusive())
}

async fn insert_unless_taken(conn: &mut impl Executor<Mysql>, row: &NewTaskRow) -> QueryResult<AddedTask> {
    let statement = adding!(INSERT_KEYED, row)
        .bind::<Timestamp, _>(row.create_time)
        .bind::<Integer, _>(row.priority)
        .bind::<Nullable<Timestamp>, _>(row.run_at)
        .bind::<Nullable<BigInt>, _>(row.timeout_ms)
        .bind::<Nullable<BigInt>, _>(row.retry_delay_ms)
        .bind::<Nullable<Text>, _>(&row.unique_key)
        .bind::<Nullable<Text>, _>(&row.limit_key)
        .bind::<Nullable<Text>, _>(&row.traceparent);
    conn.execute(statement).await?;
    let (id, _) = first_id(conn).await?;
    Ok(AddedTask::new(id))
}

/// The first id that the last statement gave, and the distance from each id to the next.
pub(super) async fn first_id(conn: &mut impl Executor<Mysql>) -> QueryResult<(i64, i64)> {
    let ids = conn.load(prepared(FIRST_ID).columns::<(BigInt, BigInt)>()).await;
    let ids: Vec<(i64, i64)> = ids.map_err(lost_answer)?;
    ids.into_iter().next().ok_or(DieselError::NotFound)
}
