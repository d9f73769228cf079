//! Adding tasks.

use diesel::{
    QueryResult,
    pg::Pg,
    result::Error as DieselError,
    sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamp},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::{
    domain::AddedTask,
    store::{
        server::pool::closed,
        statement::{
            chunks::{chunks, runs_of},
            executor::{Async, Executor},
            prepared::prepared,
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
        },
    },
};

/// Inserts tasks; the server gives them ids in the order of the rows. The first columns are the columns of plain tasks. The statement also
/// puts the due tasks into segments: the trigger that does this for plain SQL would take longer.
macro_rules! insert_sql {
    ($columns:literal, $parameters:literal, $queued:literal, $priority:literal, $due:literal) => {
        concat!(
            "WITH added AS (INSERT INTO asynctasks (system_name, task_status, queued, create_time, update_time, \
               service_name, method_name, task_name, arg, max_retry_time",
            $columns,
            ") SELECT $1, 'Wait', ",
            $queued,
            ", $2, $2, service_name, method_name, task_name, arg, max_retry_time",
            $columns,
            " FROM unnest($3, $4, $5, $6, $7",
            $parameters,
            ") WITH ORDINALITY AS added (service_name, method_name, task_name, arg, max_retry_time",
            $columns,
            ", at) ORDER BY at RETURNING id, service_name, method_name, priority, run_at), \
             queue AS (INSERT INTO gaia_due (theme, service, method, priority, n, ids, min_id, max_id) \
               SELECT $1, service_name, method_name, ",
            $priority,
            ", count(*), array_agg(id ORDER BY id), min(id), max(id) FROM added ",
            $due,
            " GROUP BY 2, 3, 4 ORDER BY min(id)) \
             SELECT id FROM added"
        )
    };
}

const INSERT_PLAIN: &str = insert_sql!("", "", "1", "0", "");

const INSERT_MANY: &str = insert_sql!(
    ", priority, run_at, timeout_ms, retry_delay_ms, limit_key, traceparent",
    ", $8, $9, $10, $11, $12, $13",
    "CASE WHEN run_at IS NULL THEN 1 ELSE 0 END",
    "priority",
    "WHERE run_at IS NULL"
);

const INSERT_ONE: &str = "WITH added AS (INSERT INTO asynctasks \
        (system_name, service_name, method_name, task_name, arg, max_retry_time, task_status, queued, create_time, \
         update_time, priority, run_at, timeout_ms, retry_delay_ms, unique_key, live_key, limit_key, traceparent) \
      VALUES ($1, $2, $3, $4, $5, $6, 'Wait', CASE WHEN $9 IS NULL THEN 1 ELSE 0 END, $7, $7, $8, $9, $10, $11, $12, $12, $13, $14) \
      ON CONFLICT DO NOTHING RETURNING id, run_at), \
    queue AS (INSERT INTO gaia_due (theme, service, method, priority, n, ids, min_id, max_id) \
      SELECT $1, $2, $3, $8, 1, ARRAY[id], id, id FROM added WHERE run_at IS NULL) \
    SELECT id FROM added";

/// Inserts a task as Running under the node, and the row of its claim, unless the node may not claim. Unlike the commit of other claims,
/// this commit waits for the disk, since the caller's task must be durable.
const INSERT_CLAIMED: &str = "WITH node AS MATERIALIZED ( \
      SELECT EXISTS (SELECT 1 FROM gaia_nodes WHERE id = $13) \
        AND NOT EXISTS (SELECT 1 FROM gaia_themes WHERE theme = $1 AND paused <> 0) AS may), \
    claim AS MATERIALIZED ( \
      SELECT may, CASE WHEN may THEN nextval('gaia_claims_id_seq') ELSE 0 END AS token FROM node), \
    task AS (INSERT INTO asynctasks \
        (system_name, service_name, method_name, task_name, arg, max_retry_time, create_time, priority, timeout_ms, \
         retry_delay_ms, traceparent, update_time, task_status, lease_owner, lease_token, last_run_time, log_id, queued) \
      SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, CASE WHEN may THEN 'Running' ELSE 'Wait' END, \
        CASE WHEN may THEN $13 END, token, CASE WHEN may THEN $12 END, CASE WHEN may THEN $14 END, CASE WHEN may THEN 2 ELSE 1 END \
      FROM claim RETURNING id, lease_token), \
    noted AS (INSERT INTO gaia_claims (id, theme, node_id, mark, claimed_at, ids) \
      SELECT lease_token, $1, $13, $14, $12, ARRAY[id] FROM task WHERE lease_token <> 0), \
    queue AS (INSERT INTO gaia_due (theme, service, method, priority, n, ids, min_id, max_id) \
      SELECT $1, $2, $3, $8, 1, ARRAY[id], id, id FROM task WHERE lease_token = 0) \
    SELECT id, lease_token FROM task";

const HOLDER_OF_KEY: &str = "SELECT id FROM asynctasks \
    WHERE system_name = $1 AND live_key = $2";

/// Whether [`insert`] needs no transaction around it to be all or nothing.
pub(super) fn is_one_statement(rows: &[NewTaskRow]) -> bool {
    rows.len() <= 1 || (rows.iter().all(|row| row.unique_key.is_none()) && chunks(rows).count() == 1)
}

/// Answers with the id and the lease token, which is 0 if the task was not claimed. Like [`insert_one`], it reads the answer to its end:
/// the commit comes last, and may be refused.
pub(super) async fn insert_claimed(
    mut conn: &AsyncPgConnection,
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
        .bind::<Text, _>(&*claim_id.mark)
        .columns::<(BigInt, BigInt)>()
        .load(&mut conn)
        .await?
        .pop()
        .ok_or(DieselError::NotFound)
}

pub(super) async fn insert(mut conn: &AsyncPgConnection, rows: &[NewTaskRow]) -> QueryResult<Vec<AddedTask>> {
    insert_on(&mut Async(&mut conn), rows).await
}

/// The same on any connection.
pub(super) async fn insert_on(conn: &mut impl Executor<Pg>, rows: &[NewTaskRow]) -> QueryResult<Vec<AddedTask>> {
    let mut added = Vec::with_capacity(rows.len());
    for run in runs_of(rows, |row| row.unique_key.is_some()) {
        // A single row needs no lists, which take longer to plan.
        if run[0].unique_key.is_some() || run.len() == 1 {
            for row in run {
                added.push(insert_one(conn, row).await?);
            }
        } else {
            for part in chunks(run) {
                added.extend(insert_many(conn, part).await?);
            }
        }
    }
    Ok(added)
}

/// Inserts tasks, held or not, under a key, unless the key is stored already.
pub(super) async fn insert_once(conn: &mut AsyncPgConnection, once: &NewOnce) -> QueryResult<Told> {
    if let Some(told) = Told::without_adding(take::postgres(conn, once).await?) {
        return Ok(told);
    }
    let addition = match &once.new {
        New::Rows(rows) => Addition::all_due(insert(conn, rows).await?),
        New::Held(held) => insert_held(conn, held).await?,
    };
    keep::postgres(conn, &once.kept(&addition)?).await?;
    Ok(Told::Done(addition))
}

/// Inserts held tasks, and the tasks for which they wait.
pub(super) async fn insert_held(conn: &mut AsyncPgConnection, new: &NewHeld) -> QueryResult<Addition> {
    let found = link::look::postgres(conn, new).await?;
    let seen = match new.seen(found) {
        Ok(seen) => seen,
        Err(refused) => return Ok(refused),
    };
    let added = insert(conn, &seen.rows).await?;
    link::postgres(conn, &seen.waits(&added)).await?;
    Ok(seen.added(added))
}

async fn insert_many(conn: &mut impl Executor<Pg>, rows: &[NewTaskRow]) -> QueryResult<Vec<AddedTask>> {
    fn all<'a, T>(rows: &'a [NewTaskRow], column: impl Fn(&'a NewTaskRow) -> T) -> Vec<T> {
        rows.iter().map(column).collect()
    }
    let has_defaults_only = rows.iter().all(NewTaskRow::has_defaults_only);
    let plain = prepared(if has_defaults_only { INSERT_PLAIN } else { INSERT_MANY })
        .bind::<Text, _>(&*rows[0].system_name)
        .bind::<Timestamp, _>(rows[0].create_time)
        .bind::<Array<Text>, _>(all(rows, |row| row.service_name.as_str()))
        .bind::<Array<Text>, _>(all(rows, |row| row.method_name.as_str()))
        .bind::<Array<Text>, _>(all(rows, |row| row.task_name.as_str()))
        .bind::<Array<Text>, _>(all(rows, |row| row.arg.as_str()))
        .bind::<Array<Integer>, _>(all(rows, |row| row.max_retry_time));
    let mut ids: Vec<i64> = if has_defaults_only {
        conn.load(plain.columns::<BigInt>()).await?
    } else {
        let full = plain
            .bind::<Array<Integer>, _>(all(rows, |row| row.priority))
            .bind::<Array<Nullable<Timestamp>>, _>(all(rows, |row| row.run_at))
            .bind::<Array<Nullable<BigInt>>, _>(all(rows, |row| row.timeout_ms))
            .bind::<Array<Nullable<BigInt>>, _>(all(rows, |row| row.retry_delay_ms))
            .bind::<Array<Nullable<Text>>, _>(all(rows, |row| row.limit_key.as_deref()))
            .bind::<Array<Nullable<Text>>, _>(all(rows, |row| row.traceparent.as_deref()));
        conn.load(full.columns::<BigInt>()).await?
    };
    if ids.len() != rows.len() {
        let text = "fewer tasks were inserted than were to be: does a trigger of asynctasks leave some out?";
        return Err(closed(text.to_owned()));
    }
    // `RETURNING` promises no order, but a later row has a greater id.
    ids.sort_unstable();
    Ok(ids.into_iter().map(AddedTask::new).collect())
}

async fn insert_one(conn: &mut impl Executor<Pg>, row: &NewTaskRow) -> QueryResult<AddedTask> {
    for _ in 0..TRIES_OF_A_KEY {
        let statement = adding!(INSERT_ONE, row)
            .bind::<Integer, _>(row.priority)
            .bind::<Nullable<Timestamp>, _>(row.run_at)
            .bind::<Nullable<BigInt>, _>(row.timeout_ms)
            .bind::<Nullable<BigInt>, _>(row.retry_delay_ms)
            .bind::<Nullable<Text>, _>(&row.unique_key)
            .bind::<Nullable<Text>, _>(&row.limit_key)
            .bind::<Nullable<Text>, _>(&row.traceparent);
        let mut inserted: Vec<i64> = conn.load(statement.columns::<BigInt>()).await?;
        if let Some(id) = inserted.pop() {
            return Ok(AddedTask::new(id));
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
