//! Writing what happened to runs: each kind of write is one statement, however many runs there are.

use chrono::NaiveDateTime;
use diesel::{
    QueryResult,
    sql_types::{Array, BigInt, Bool, Integer, Nullable, Text, Timestamp},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::by_key::by_key;
use crate::{
    domain::TaskStatus,
    store::{
        parts::parts,
        prepared::prepared,
        rows::{Begin, Finish, Finished, Progress, RunKey, Writes, Written},
    },
};

/// The runs of a batch, numbered, as the table `i` of an update. `OFFSET 0` keeps the planner from taking it apart.
macro_rules! runs {
    ($parameters:literal, $columns:literal) => {
        concat!(
            " FROM (SELECT * FROM unnest(",
            $parameters,
            ") WITH ORDINALITY AS i (id, owner, token, log_id",
            $columns,
            ", n) OFFSET 0) i"
        )
    };
}

/// The condition of every write about a run: it still holds its task. The row is found by its key: with `COALESCE` no index of
/// the other columns serves: for each run the server might read the whole index over running tasks.
macro_rules! held {
    () => {
        " WHERE t.id = i.id AND COALESCE(t.task_status, '') = 'Running' AND COALESCE(t.lease_owner, '') = i.owner \
          AND t.lease_token = i.token AND COALESCE(t.log_id, '') = i.log_id"
    };
}

/// How many runs of a batch still held their tasks, and the numbers of these if not all did.
macro_rules! answer {
    () => {
        "SELECT count(*), CASE WHEN count(*) < cardinality($1) THEN array_agg(n) END FROM done"
    };
}

/// Only last attempts are noted: of all others the claim has written that they run.
const BEGIN: &str = concat!(
    "WITH done AS (UPDATE asynctasks t SET began = GREATEST(t.began, i.is_last)",
    runs!("$1, $2, $3, $4, $5", ", is_last"),
    held!(),
    " RETURNING i.n) ",
    answer!()
);

const PROGRESS: &str = concat!(
    "UPDATE asynctasks t SET progress = i.percent, progress_note = i.note",
    runs!("$1, $2, $3, $4, $5, $6", ", percent, note"),
    held!()
);

/// A run that is given back without a record leaves the row's history alone. The record says what the task's row says now.
const FINISH: &str = concat!(
    "WITH done AS ( \
      UPDATE asynctasks t SET task_status = i.status, retry_time = i.retries, run_at = i.run_at, \
        last_run_time = CASE WHEN i.record OR NOT i.requeues THEN i.started ELSE t.last_run_time END, \
        last_run_end_time = CASE WHEN i.record OR NOT i.requeues THEN i.ended ELSE t.last_run_end_time END, \
        last_run_duration = CASE WHEN i.record OR NOT i.requeues THEN i.duration ELSE t.last_run_duration END, \
        last_result = CASE WHEN i.record OR NOT i.requeues THEN i.result ELSE t.last_result END, \
        last_err_msg = CASE WHEN i.record OR NOT i.requeues THEN i.error ELSE t.last_err_msg END, \
        update_time = i.ended, finished_at = CASE WHEN i.requeues THEN NULL ELSE i.ended END, \
        lease_owner = NULL, cancel_requested = 0",
    runs!(
        "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15",
        ", status, attempt, started, ended, duration, retries, run_at, result, error, record, requeues"
    ),
    held!(),
    " AND (NOT i.requeues OR t.cancel_requested = 0) \
      RETURNING i.n, i.record, i.attempt, i.owner, t.id, t.task_status, t.last_result, t.last_err_msg, t.last_run_time, \
        t.last_run_end_time, t.last_run_duration, t.log_id, t.update_time, t.lease_token), \
    noted AS ( \
      INSERT INTO asynctask_exec_row (task_id, task_status, last_result, last_err_msg, last_run_time, \
        last_run_end_time, last_run_duration, log_id, create_time, attempt, node_id, lease_token) \
      SELECT id, task_status, last_result, last_err_msg, last_run_time, last_run_end_time, last_run_duration, log_id, \
        update_time, attempt, owner, lease_token \
      FROM done WHERE record) ",
    answer!()
);

/// The same for a batch of successes only, as most batches are: [`is_plain_success`].
const FINISH_WELL: &str = concat!(
    "WITH done AS ( \
      UPDATE asynctasks t SET task_status = 'Success', retry_time = i.retries, run_at = NULL, \
        last_run_time = i.started, last_run_end_time = i.ended, last_run_duration = i.duration, \
        last_result = i.result, last_err_msg = NULL, update_time = i.ended, finished_at = i.ended, \
        lease_owner = NULL, cancel_requested = 0",
    runs!(
        "$1, $2, $3, $4, $5, $6, $7, $8, $9",
        ", started, ended, duration, retries, result"
    ),
    held!(),
    " RETURNING i.n, i.owner, t.id, t.task_status, t.last_result, t.last_err_msg, t.last_run_time, t.last_run_end_time, \
        t.last_run_duration, t.log_id, t.update_time, t.lease_token, t.retry_time), \
    noted AS ( \
      INSERT INTO asynctask_exec_row (task_id, task_status, last_result, last_err_msg, last_run_time, \
        last_run_end_time, last_run_duration, log_id, create_time, attempt, node_id, lease_token) \
      SELECT id, task_status, last_result, last_err_msg, last_run_time, last_run_end_time, last_run_duration, log_id, \
        update_time, retry_time + 1, owner, lease_token \
      FROM done) ",
    answer!()
);

/// Whether an end is one that [`FINISH_WELL`] writes: a success with its record, on the attempt after those that were used.
fn is_plain_success(finish: &Finish) -> bool {
    let next = &finish.next;
    next.status == TaskStatus::Success
        && next.record
        && next.error.is_none()
        && next.run_at.is_none()
        && next.retry_time.checked_add(1) == Some(finish.attempt)
}

/// The types of [`answer!`].
type Answer = (BigInt, Nullable<Array<BigInt>>);

/// Which places of a batch, counted from 1, are among those of the runs that still held their tasks.
fn places(count: usize, (held, numbers): (i64, Option<Vec<i64>>)) -> Vec<bool> {
    let Some(numbers) = numbers else {
        return vec![held > 0; count];
    };
    let mut places = vec![false; count];
    for n in numbers {
        let place = usize::try_from(n - 1).ok().and_then(|n| places.get_mut(n));
        if let Some(place) = place {
            *place = true;
        }
    }
    places
}

/// Begins, ends and progress in one to three statements. Each may be repeated if a later one fails.
pub(super) async fn write(conn: &AsyncPgConnection, writes: &Writes) -> QueryResult<Written> {
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

/// The runs in the order of their tasks, with their places: rows are changed in the order of a batch, and two batches that
/// change them in the same order never wait for each other in a circle.
fn in_order<T>(runs: &[T], key: impl Fn(&T) -> &RunKey) -> (Vec<usize>, Vec<&T>) {
    let mut at: Vec<usize> = (0..runs.len()).collect();
    at.sort_unstable_by_key(|at| key(&runs[*at]).task_id);
    let ordered = at.iter().map(|at| &runs[*at]).collect();
    (at, ordered)
}

/// The answers about the runs in that order, each at the place of its run.
fn at_their_places(at: Vec<usize>, said: Vec<bool>) -> Vec<bool> {
    let mut placed = vec![false; at.len()];
    for (at, said) in at.into_iter().zip(said) {
        placed[at] = said;
    }
    placed
}

async fn begin(mut conn: &AsyncPgConnection, begins: &[Begin]) -> QueryResult<Vec<bool>> {
    let (at, begins) = in_order(begins, |begin| &begin.run);
    let (ids, owners, tokens, log_ids) = keys(begins.iter().map(|begin| &begin.run));
    let begun = prepared(BEGIN)
        .bind::<Array<BigInt>, _>(ids)
        .bind::<Array<Text>, _>(owners)
        .bind::<Array<BigInt>, _>(tokens)
        .bind::<Array<Text>, _>(log_ids)
        .bind::<Array<Integer>, _>(begins.iter().map(|begin| i32::from(begin.is_last)).collect::<Vec<_>>())
        .columns::<Answer>()
        .get_result(&mut conn);
    let begun = by_key(conn, begun).await?;
    let places = places(at.len(), begun);
    Ok(at_their_places(at, places))
}

async fn progress(mut conn: &AsyncPgConnection, reports: &[Progress]) -> QueryResult<usize> {
    let (_, reports) = in_order(reports, |report| &report.run);
    let (ids, owners, tokens, log_ids) = keys(reports.iter().map(|report| &report.run));
    let noted = prepared(PROGRESS)
        .bind::<Array<BigInt>, _>(ids)
        .bind::<Array<Text>, _>(owners)
        .bind::<Array<BigInt>, _>(tokens)
        .bind::<Array<Text>, _>(log_ids)
        .bind::<Array<Integer>, _>(reports.iter().map(|report| report.percent).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(reports.iter().map(|report| report.note.as_str()).collect::<Vec<_>>())
        .execute(&mut conn);
    by_key(conn, noted).await
}

/// What would go back to the queue and was not written is either stale, or somebody wants it cancelled.
async fn finish(conn: &AsyncPgConnection, finishes: &[Finish]) -> QueryResult<Vec<Finished>> {
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

async fn write_ends(conn: &AsyncPgConnection, finishes: &[Finish]) -> QueryResult<Vec<bool>> {
    let (at, finishes) = in_order(finishes, |finish| &finish.run);
    let done = match finishes.iter().all(|finish| is_plain_success(finish)) {
        true => write_successes(conn, &finishes).await?,
        false => write_any(conn, &finishes).await?,
    };
    Ok(at_their_places(at, places(finishes.len(), done)))
}

fn all<'a, T>(finishes: &[&'a Finish], column: impl Fn(&'a Finish) -> T) -> Vec<T> {
    finishes.iter().copied().map(column).collect()
}

async fn write_successes(mut conn: &AsyncPgConnection, finishes: &[&Finish]) -> QueryResult<(i64, Option<Vec<i64>>)> {
    let (ids, owners, tokens, log_ids) = keys(finishes.iter().map(|finish| &finish.run));
    let done = prepared(FINISH_WELL)
        .bind::<Array<BigInt>, _>(ids)
        .bind::<Array<Text>, _>(owners)
        .bind::<Array<BigInt>, _>(tokens)
        .bind::<Array<Text>, _>(log_ids)
        .bind::<Array<Timestamp>, _>(all(finishes, |finish| finish.started_at.naive_utc()))
        .bind::<Array<Timestamp>, _>(all(finishes, |finish| finish.ended_at.naive_utc()))
        .bind::<Array<BigInt>, _>(all(finishes, Finish::duration_ms))
        .bind::<Array<Integer>, _>(all(finishes, |finish| finish.next.retry_time))
        .bind::<Array<Nullable<Text>>, _>(all(finishes, |finish| finish.next.result.as_deref()))
        .columns::<Answer>()
        .get_result(&mut conn);
    by_key(conn, done).await
}

async fn write_any(mut conn: &AsyncPgConnection, finishes: &[&Finish]) -> QueryResult<(i64, Option<Vec<i64>>)> {
    let (ids, owners, tokens, log_ids) = keys(finishes.iter().map(|finish| &finish.run));
    let run_at = |finish: &Finish| -> Option<NaiveDateTime> { finish.next.run_at.map(|at| at.naive_utc()) };
    let done = prepared(FINISH)
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
        .columns::<Answer>()
        .get_result(&mut conn);
    by_key(conn, done).await
}
