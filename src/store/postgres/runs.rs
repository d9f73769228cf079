//! Writing what happened to runs: each kind of write is one statement, however many runs there are.

use std::collections::HashSet;

use chrono::NaiveDateTime;
use diesel::{
    QueryResult, QueryableByName,
    sql_types::{Array, BigInt, Bool, Integer, Nullable, Text, Timestamp},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::store::{
    parts::parts,
    prepared::prepared,
    rows::{Begin, Finish, Finished, Progress, RunKey, Writes, Written},
};

/// The condition of every write about a run: the task is still held by the run that `i` names. Rows are locked in the order
/// of their keys, so that two batches never wait for each other in a circle.
macro_rules! held {
    ($condition:literal) => {
        concat!(
            "held AS MATERIALIZED ( \
               SELECT t.id FROM asynctasks t JOIN i ON t.id = i.id \
               WHERE t.lease_owner = i.owner AND t.lease_token = i.token AND t.task_status = 'Running' \
               AND COALESCE(t.log_id, '') = i.log_id ",
            $condition,
            " ORDER BY t.id FOR UPDATE OF t)"
        )
    };
}

const BEGIN: &str = concat!(
    "WITH i AS (SELECT * FROM unnest($1, $2, $3, $4) AS i (id, owner, token, log_id)), ",
    held!(""),
    " UPDATE asynctasks t SET began = 1 FROM i, held \
      WHERE t.id = i.id AND t.lease_owner = i.owner AND t.lease_token = i.token AND t.id = held.id \
      RETURNING t.id, t.lease_token"
);

const PROGRESS: &str = concat!(
    "WITH i AS (SELECT * FROM unnest($1, $2, $3, $4, $5, $6) AS i (id, owner, token, log_id, percent, note)), ",
    held!(""),
    " UPDATE asynctasks t SET progress = i.percent, progress_note = i.note FROM i, held \
      WHERE t.id = i.id AND t.lease_owner = i.owner AND t.lease_token = i.token AND t.id = held.id"
);

/// A run that is given back without a record leaves the row's history alone.
const FINISH: &str = concat!(
    "WITH i AS (SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) \
       AS i (id, owner, token, log_id, status, attempt, started, ended, duration, retries, run_at, result, error, \
             record, requeues)), ",
    held!("AND (NOT i.requeues OR t.cancel_requested = 0)"),
    ", done AS ( \
      UPDATE asynctasks t SET task_status = i.status, retry_time = i.retries, run_at = i.run_at, \
        last_run_time = CASE WHEN i.record THEN i.started ELSE t.last_run_time END, \
        last_run_end_time = CASE WHEN i.record THEN i.ended ELSE t.last_run_end_time END, \
        last_run_duration = CASE WHEN i.record THEN i.duration ELSE t.last_run_duration END, \
        last_result = CASE WHEN i.record THEN i.result ELSE t.last_result END, \
        last_err_msg = CASE WHEN i.record THEN i.error ELSE t.last_err_msg END, \
        update_time = i.ended, lease_owner = NULL, cancel_requested = 0 \
      FROM i, held \
      WHERE t.id = i.id AND t.lease_owner = i.owner AND t.lease_token = i.token AND t.id = held.id \
      RETURNING t.id, t.lease_token), \
    noted AS ( \
      INSERT INTO asynctask_exec_row (task_id, task_status, last_result, last_err_msg, last_run_time, \
        last_run_end_time, last_run_duration, log_id, create_time, attempt, node_id, lease_token) \
      SELECT i.id, i.status, i.result, i.error, i.started, i.ended, i.duration, i.log_id, i.ended, i.attempt, \
        i.owner, i.token \
      FROM i JOIN done ON done.id = i.id AND done.lease_token = i.token WHERE i.record) \
    SELECT id, lease_token FROM done"
);

/// A run that still held its task.
#[derive(QueryableByName, PartialEq, Eq, Hash)]
struct Held {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    lease_token: i64,
}

impl Held {
    fn of(run: &RunKey) -> Self {
        Self {
            id: run.task_id,
            lease_token: run.token,
        }
    }
}

/// Begins, ends and progress in one to three statements. Each may be repeated if a later one fails.
pub(super) async fn write(conn: &mut AsyncPgConnection, writes: &Writes) -> QueryResult<Written> {
    if !writes.progress.is_empty() {
        progress(conn, &writes.progress).await?;
    }
    let begins = match writes.begins.is_empty() {
        true => Vec::new(),
        false => begin(conn, &writes.begins).await?,
    };
    let mut finishes = Vec::with_capacity(writes.finishes.len());
    for part in parts(&writes.finishes) {
        finishes.extend(finish(conn, part).await?);
    }
    Ok(Written { begins, finishes })
}

/// The columns of the keys.
type Keys<'a> = (Vec<i64>, Vec<&'a str>, Vec<i64>, Vec<&'a str>);

fn keys<'a>(runs: impl Iterator<Item = &'a RunKey>) -> Keys<'a> {
    runs.map(|run| (run.task_id, &*run.owner, run.token, &*run.log_id))
        .collect()
}

async fn begin(conn: &mut AsyncPgConnection, begins: &[Begin]) -> QueryResult<Vec<bool>> {
    let (ids, owners, tokens, log_ids) = keys(begins.iter().map(|begin| &begin.run));
    let held: Vec<Held> = prepared(BEGIN)
        .bind::<Array<BigInt>, _>(ids)
        .bind::<Array<Text>, _>(owners)
        .bind::<Array<BigInt>, _>(tokens)
        .bind::<Array<Text>, _>(log_ids)
        .load(conn)
        .await?;
    let held: HashSet<Held> = held.into_iter().collect();
    Ok(begins
        .iter()
        .map(|begin| held.contains(&Held::of(&begin.run)))
        .collect())
}

async fn progress(conn: &mut AsyncPgConnection, reports: &[Progress]) -> QueryResult<usize> {
    let (ids, owners, tokens, log_ids) = keys(reports.iter().map(|report| &report.run));
    prepared(PROGRESS)
        .bind::<Array<BigInt>, _>(ids)
        .bind::<Array<Text>, _>(owners)
        .bind::<Array<BigInt>, _>(tokens)
        .bind::<Array<Text>, _>(log_ids)
        .bind::<Array<Integer>, _>(reports.iter().map(|report| report.percent).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(reports.iter().map(|report| report.note.as_str()).collect::<Vec<_>>())
        .execute(conn)
        .await
}

/// What would go back to the queue and was not written is either stale, or somebody wants it cancelled.
async fn finish(conn: &mut AsyncPgConnection, finishes: &[Finish]) -> QueryResult<Vec<Finished>> {
    let done = write_ends(conn, finishes).await?;
    let is_open = |finish: &&Finish| finish.next.requeues() && !done.contains(&Held::of(&finish.run));
    let instead: Vec<Finish> = finishes.iter().filter(is_open).map(Finish::cancelled_instead).collect();
    let cancelled = match instead.is_empty() {
        true => HashSet::new(),
        false => write_ends(conn, &instead).await?,
    };
    let finished = |finish: &Finish| {
        let key = Held::of(&finish.run);
        if done.contains(&key) {
            Finished::Written(finish.next.status)
        } else if cancelled.contains(&key) {
            Finished::Written(crate::domain::TaskStatus::Cancelled)
        } else {
            Finished::Stale
        }
    };
    Ok(finishes.iter().map(finished).collect())
}

async fn write_ends(conn: &mut AsyncPgConnection, finishes: &[Finish]) -> QueryResult<HashSet<Held>> {
    fn all<'a, T>(finishes: &'a [Finish], column: impl Fn(&'a Finish) -> T) -> Vec<T> {
        finishes.iter().map(column).collect()
    }
    let (ids, owners, tokens, log_ids) = keys(finishes.iter().map(|finish| &finish.run));
    let run_at = |finish: &Finish| -> Option<NaiveDateTime> { finish.next.run_at.map(|at| at.naive_utc()) };
    let done: Vec<Held> = prepared(FINISH)
        .bind::<Array<BigInt>, _>(ids)
        .bind::<Array<Text>, _>(owners)
        .bind::<Array<BigInt>, _>(tokens)
        .bind::<Array<Text>, _>(log_ids)
        .bind::<Array<Text>, _>(all(finishes, |finish| finish.next.status.as_str()))
        .bind::<Array<Integer>, _>(all(finishes, |finish| finish.attempt))
        .bind::<Array<Timestamp>, _>(all(finishes, |finish| finish.started_at.naive_utc()))
        .bind::<Array<Timestamp>, _>(all(finishes, |finish| finish.ended_at.naive_utc()))
        .bind::<Array<BigInt>, _>(all(finishes, Finish::duration_ms))
        .bind::<Array<Integer>, _>(all(finishes, |finish| finish.next.retry_time))
        .bind::<Array<Nullable<Timestamp>>, _>(all(finishes, run_at))
        .bind::<Array<Nullable<Text>>, _>(all(finishes, |finish| finish.next.result.as_deref()))
        .bind::<Array<Nullable<Text>>, _>(all(finishes, |finish| finish.next.error.as_deref()))
        .bind::<Array<Bool>, _>(all(finishes, |finish| finish.next.record))
        .bind::<Array<Bool>, _>(all(finishes, |finish| finish.next.requeues()))
        .load(conn)
        .await?;
    Ok(done.into_iter().collect())
}
