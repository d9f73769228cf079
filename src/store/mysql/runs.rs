//! Writing what happened to runs, inside a transaction: the rows that are still held are locked in the order of their keys,
//! then they are changed and their records are added, each by one statement for the whole batch.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use diesel::{
    QueryResult,
    sql_types::{BigInt, Integer, Text},
};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};
use serde::Serialize;

use crate::store::{
    parts::parts,
    prepared::prepared,
    rows::{Begin, Finish, Finished, Progress, RunKey, Writes, Written},
};

/// What a text in `JSON_TABLE` must say: without a charset it has that of the database, whatever the tables have, and what that
/// one lacks becomes `?`. Without a collation it may have another one than the column that it is compared with, and two that
/// ignore case cannot be compared; this one can be compared with any.
macro_rules! exact {
    () => {
        "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    };
}

/// Joined to the runs of a batch: the task is still held by its run. The condition of every write about a run.
///
/// By key, one row after the other: a small table would be scanned instead, with every row of it locked for a moment, and
/// claims pass over what is locked.
macro_rules! held {
    ($columns:literal) => {
        concat!(
            "JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]', owner VARCHAR(64) ",
            exact!(),
            " PATH '$[1]', token BIGINT PATH '$[2]', log_id VARCHAR(100) ",
            exact!(),
            " PATH '$[3]', n FOR ORDINALITY",
            $columns,
            ")) i STRAIGHT_JOIN asynctasks t FORCE INDEX (PRIMARY) \
             ON t.id = i.id AND t.lease_owner = i.owner AND t.lease_token = i.token AND t.task_status = 'Running' \
             AND COALESCE(t.log_id, '') = i.log_id"
        )
    };
}

const LOCK: &str = concat!("SELECT i.n, t.cancel_requested FROM ", held!(""), " FOR UPDATE");

const BEGIN: &str = concat!("UPDATE ", held!(""), " SET t.began = 1");

const PROGRESS: &str = concat!(
    "UPDATE ",
    held!(", percent INT PATH '$[4]', note TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PATH '$[5]'"),
    " SET t.progress = i.percent, t.progress_note = i.note"
);

/// Of tasks that are locked. A run that is given back without a record leaves the row's history alone.
const FINISH: &str = concat!(
    "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]', status VARCHAR(50) ",
    exact!(),
    " PATH '$[1]', retries INT PATH '$[2]', run_at DATETIME(6) PATH '$[3]', started DATETIME(6) PATH '$[4]', \
     ended DATETIME(6) PATH '$[5]', duration BIGINT PATH '$[6]', result MEDIUMTEXT ",
    exact!(),
    " PATH '$[7]', error MEDIUMTEXT ",
    exact!(),
    " PATH '$[8]', history INT PATH '$[9]')) i \
      STRAIGHT_JOIN asynctasks t FORCE INDEX (PRIMARY) ON t.id = i.id \
    SET t.task_status = i.status, t.retry_time = i.retries, t.run_at = i.run_at, \
      t.last_run_time = IF(i.history, i.started, t.last_run_time), \
      t.last_run_end_time = IF(i.history, i.ended, t.last_run_end_time), \
      t.last_run_duration = IF(i.history, i.duration, t.last_run_duration), \
      t.last_result = IF(i.history, i.result, t.last_result), \
      t.last_err_msg = IF(i.history, i.error, t.last_err_msg), \
      t.update_time = i.ended, t.finished_at = IF(i.status IN ('Wait', 'Retry'), NULL, i.ended), \
      t.lease_owner = NULL, t.queued = 0, t.cancel_requested = 0"
);

/// The record says what the task's row says now.
const NOTE: &str = concat!(
    "INSERT INTO asynctask_exec_row (task_id, task_status, last_result, last_err_msg, last_run_time, \
      last_run_end_time, last_run_duration, log_id, create_time, attempt, node_id, lease_token) \
    SELECT t.id, t.task_status, t.last_result, t.last_err_msg, t.last_run_time, t.last_run_end_time, t.last_run_duration, \
      t.log_id, t.update_time, i.attempt, i.owner, t.lease_token \
    FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]', attempt INT PATH '$[1]', owner VARCHAR(64) ",
    exact!(),
    " PATH '$[2]')) i STRAIGHT_JOIN asynctasks t FORCE INDEX (PRIMARY) ON t.id = i.id"
);

/// A run as the statements read it.
fn key(run: &RunKey) -> impl Serialize {
    (run.task_id, &*run.owner, run.token, &*run.log_id)
}

fn report(report: &Progress) -> impl Serialize {
    let run = &report.run;
    (
        run.task_id,
        &*run.owner,
        run.token,
        &*run.log_id,
        report.percent,
        &report.note,
    )
}

fn end(finish: &Finish) -> impl Serialize {
    let next = &finish.next;
    (
        finish.run.task_id,
        next.status.as_str(),
        next.retry_time,
        next.run_at.map(time),
        time(finish.started_at),
        time(finish.ended_at),
        finish.duration_ms(),
        next.result.as_deref(),
        next.error.as_deref(),
        i32::from(finish.is_history()),
    )
}

fn note(finish: &Finish) -> impl Serialize {
    (finish.run.task_id, finish.attempt, &*finish.run.owner)
}

fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S%.6f").to_string()
}

/// One JSON text of all of them.
fn json(items: impl Iterator<Item = impl Serialize>) -> QueryResult<String> {
    let items: Vec<_> = items.collect();
    serde_json::to_string(&items).map_err(|error| diesel::result::Error::SerializationError(Box::new(error)))
}

pub(super) async fn write(conn: &mut AsyncMysqlConnection, writes: &Writes) -> QueryResult<Written> {
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

/// Which runs still hold their tasks, and if so, whether somebody has asked to cancel them. Nobody else can change those tasks
/// until this transaction ends.
async fn lock(conn: &mut AsyncMysqlConnection, runs: &[&RunKey]) -> QueryResult<Vec<Option<bool>>> {
    let mut order: Vec<usize> = (0..runs.len()).collect();
    order.sort_unstable_by_key(|at| runs[*at].task_id);
    let keys = json(order.iter().map(|at| key(runs[*at])))?;
    let held: Vec<(i64, i32)> = prepared(LOCK)
        .bind::<Text, _>(keys)
        .columns::<(BigInt, Integer)>()
        .load(conn)
        .await?;
    let mut answers = vec![None; runs.len()];
    // Places in the text are counted from 1.
    for (n, cancel_requested) in held {
        let place = usize::try_from(n - 1).ok().and_then(|n| order.get(n));
        if let Some(place) = place {
            answers[*place] = Some(cancel_requested != 0);
        }
    }
    Ok(answers)
}

async fn begin(conn: &mut AsyncMysqlConnection, begins: &[Begin]) -> QueryResult<Vec<bool>> {
    let runs: Vec<&RunKey> = begins.iter().map(|begin| &begin.run).collect();
    let held = lock(conn, &runs).await?;
    let keys = json(runs.into_iter().map(key))?;
    prepared(BEGIN).bind::<Text, _>(keys).execute(conn).await?;
    Ok(held.iter().map(Option::is_some).collect())
}

async fn progress(conn: &mut AsyncMysqlConnection, reports: &[Progress]) -> QueryResult<()> {
    let runs: Vec<&RunKey> = reports.iter().map(|report| &report.run).collect();
    lock(conn, &runs).await?;
    let reports = json(reports.iter().map(report))?;
    prepared(PROGRESS).bind::<Text, _>(reports).execute(conn).await?;
    Ok(())
}

async fn finish(conn: &mut AsyncMysqlConnection, finishes: &[Finish]) -> QueryResult<Vec<Finished>> {
    let runs: Vec<&RunKey> = finishes.iter().map(|finish| &finish.run).collect();
    let held = lock(conn, &runs).await?;
    // What would go back to the queue, and somebody wants cancelled, is cancelled.
    let written: Vec<Option<Cow<'_, Finish>>> = finishes
        .iter()
        .zip(held)
        .map(|(finish, is_unwanted)| {
            Some(match is_unwanted? && finish.next.requeues() {
                true => Cow::Owned(finish.cancelled_instead()),
                false => Cow::Borrowed(finish),
            })
        })
        .collect();
    let ends = || written.iter().flatten().map(Cow::as_ref);
    if ends().next().is_some() {
        prepared(FINISH)
            .bind::<Text, _>(json(ends().map(end))?)
            .execute(conn)
            .await?;
    }
    let noted = || ends().filter(|finish| finish.next.record);
    if noted().next().is_some() {
        prepared(NOTE)
            .bind::<Text, _>(json(noted().map(note))?)
            .execute(conn)
            .await?;
    }
    let finished = |finish: &Option<Cow<'_, Finish>>| match finish {
        Some(finish) => Finished::Written(finish.next.status),
        None => Finished::Stale,
    };
    Ok(written.iter().map(finished).collect())
}
