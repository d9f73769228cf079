//! Writing what happened to runs: each kind of write is one statement, however many runs there are.

use chrono::NaiveDateTime;
use diesel::{
    QueryResult,
    sql_types::{Array, BigInt, Bool, Integer, Nullable, Text, Timestamp},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::store::{
    parts::parts,
    prepared::prepared,
    rows::{Begin, Finish, Finished, Progress, RunKey, Writes, Written},
};

/// The runs of a batch, numbered, and the condition of every write about one: it still holds its task.
///
/// Each row is looked up by its key, in the order of the keys, so that two batches never wait for each other in a circle.
/// `OFFSET 0` keeps the planner from any other way: when nothing ran while it took its statistics, it would go through all
/// running tasks instead, and perhaps once for each run. `held` has all columns of the runs: to join them again, it would
/// compare each with each.
macro_rules! with_held {
    ($parameters:literal, $columns:literal, $condition:literal) => {
        concat!(
            "WITH i AS (SELECT * FROM unnest(",
            $parameters,
            ") WITH ORDINALITY AS i (id, owner, token, log_id",
            $columns,
            ", n) ORDER BY id), \
             held AS MATERIALIZED ( \
               SELECT i.* FROM i CROSS JOIN LATERAL ( \
                 SELECT lease_owner, lease_token, task_status, log_id, cancel_requested FROM asynctasks \
                 WHERE id = i.id OFFSET 0 FOR UPDATE) t \
               WHERE t.lease_owner = i.owner AND t.lease_token = i.token AND t.task_status = 'Running' \
               AND COALESCE(t.log_id, '') = i.log_id ",
            $condition,
            ")"
        )
    };
}

const BEGIN: &str = concat!(
    with_held!("$1, $2, $3, $4", "", ""),
    " UPDATE asynctasks t SET began = 1 FROM held i WHERE t.id = i.id RETURNING i.n"
);

const PROGRESS: &str = concat!(
    with_held!("$1, $2, $3, $4, $5, $6", ", percent, note", ""),
    " UPDATE asynctasks t SET progress = i.percent, progress_note = i.note \
      FROM held i WHERE t.id = i.id"
);

/// A run that is given back without a record leaves the row's history alone. The record says what the task's row says now.
const FINISH: &str = concat!(
    with_held!(
        "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15",
        ", status, attempt, started, ended, duration, retries, run_at, result, error, record, requeues",
        "AND (NOT i.requeues OR t.cancel_requested = 0)"
    ),
    ", done AS ( \
      UPDATE asynctasks t SET task_status = i.status, retry_time = i.retries, run_at = i.run_at, \
        last_run_time = CASE WHEN i.record OR NOT i.requeues THEN i.started ELSE t.last_run_time END, \
        last_run_end_time = CASE WHEN i.record OR NOT i.requeues THEN i.ended ELSE t.last_run_end_time END, \
        last_run_duration = CASE WHEN i.record OR NOT i.requeues THEN i.duration ELSE t.last_run_duration END, \
        last_result = CASE WHEN i.record OR NOT i.requeues THEN i.result ELSE t.last_result END, \
        last_err_msg = CASE WHEN i.record OR NOT i.requeues THEN i.error ELSE t.last_err_msg END, \
        update_time = i.ended, finished_at = CASE WHEN i.requeues THEN NULL ELSE i.ended END, \
        lease_owner = NULL, cancel_requested = 0 \
      FROM held i WHERE t.id = i.id \
      RETURNING i.n, i.record, i.attempt, i.owner, t.id, t.task_status, t.last_result, t.last_err_msg, t.last_run_time, \
        t.last_run_end_time, t.last_run_duration, t.log_id, t.update_time, t.lease_token), \
    noted AS ( \
      INSERT INTO asynctask_exec_row (task_id, task_status, last_result, last_err_msg, last_run_time, \
        last_run_end_time, last_run_duration, log_id, create_time, attempt, node_id, lease_token) \
      SELECT id, task_status, last_result, last_err_msg, last_run_time, last_run_end_time, last_run_duration, log_id, \
        update_time, attempt, owner, lease_token \
      FROM done WHERE record) \
    SELECT n FROM done"
);

/// Which places of a batch, counted from 1, are among those of the runs that still held their tasks.
fn places(count: usize, held: Vec<i64>) -> Vec<bool> {
    let mut places = vec![false; count];
    for n in held {
        let place = usize::try_from(n - 1).ok().and_then(|n| places.get_mut(n));
        if let Some(place) = place {
            *place = true;
        }
    }
    places
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
    let held: Vec<i64> = prepared(BEGIN)
        .bind::<Array<BigInt>, _>(ids)
        .bind::<Array<Text>, _>(owners)
        .bind::<Array<BigInt>, _>(tokens)
        .bind::<Array<Text>, _>(log_ids)
        .columns::<BigInt>()
        .load(conn)
        .await?;
    Ok(places(begins.len(), held))
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
    let status = |(finish, done): (&Finish, bool)| match done {
        true => Finished::Written(finish.next.status),
        false => Finished::Stale,
    };
    let mut finished: Vec<Finished> = finishes.iter().zip(done).map(status).collect();
    let is_open = |at: &usize| finished[*at] == Finished::Stale && finishes[*at].next.requeues();
    let open: Vec<usize> = (0..finishes.len()).filter(is_open).collect();
    if open.is_empty() {
        return Ok(finished);
    }
    let instead: Vec<Finish> = open.iter().map(|at| finishes[*at].cancelled_instead()).collect();
    let cancelled = write_ends(conn, &instead).await?;
    for (at, answer) in open.into_iter().zip(instead.iter().zip(cancelled).map(status)) {
        finished[at] = answer;
    }
    Ok(finished)
}

async fn write_ends(conn: &mut AsyncPgConnection, finishes: &[Finish]) -> QueryResult<Vec<bool>> {
    fn all<'a, T>(finishes: &'a [Finish], column: impl Fn(&'a Finish) -> T) -> Vec<T> {
        finishes.iter().map(column).collect()
    }
    let (ids, owners, tokens, log_ids) = keys(finishes.iter().map(|finish| &finish.run));
    let run_at = |finish: &Finish| -> Option<NaiveDateTime> { finish.next.run_at.map(|at| at.naive_utc()) };
    let done: Vec<i64> = prepared(FINISH)
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
        .columns::<BigInt>()
        .load(conn)
        .await?;
    Ok(places(finishes.len(), done))
}
