//! Writing what happened to runs, inside a transaction: the rows that are still held are locked in the order of their keys,
//! then their records are added and they are changed, each by one statement for the whole batch.

use std::collections::HashMap;

use chrono::NaiveDateTime;
use diesel::{
    QueryResult, QueryableByName,
    sql_types::{BigInt, Integer, Text},
};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};
use serde::Serialize;

use crate::store::{
    parts::parts,
    prepared::prepared,
    rows::{Begin, Finish, Finished, Progress, RunKey, Writes, Written},
};

/// Joined to the runs of a batch: the task is still held by its run. The condition of every write about a run.
///
/// By key, one row after the other: a small table would be scanned instead, with every row of it locked for a moment, and
/// claims pass over what is locked.
macro_rules! held {
    ($columns:literal) => {
        concat!(
            "JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$.id', owner VARCHAR(64) PATH '$.owner', \
             token BIGINT PATH '$.token', log_id VARCHAR(100) PATH '$.log_id'",
            $columns,
            ")) i STRAIGHT_JOIN asynctasks t FORCE INDEX (PRIMARY) \
             ON t.id = i.id AND t.lease_owner = i.owner AND t.lease_token = i.token AND t.task_status = 'Running' \
             AND COALESCE(t.log_id, '') = i.log_id"
        )
    };
}

macro_rules! finish_columns {
    ($start:literal, $end:literal) => {
        concat!(
            $start,
            held!(
                ", status VARCHAR(50) PATH '$.status', attempt INT PATH '$.attempt', \
                 started DATETIME(6) PATH '$.started', ended DATETIME(6) PATH '$.ended', \
                 duration BIGINT PATH '$.duration', retries INT PATH '$.retries', \
                 run_at DATETIME(6) PATH '$.run_at' NULL ON EMPTY, result MEDIUMTEXT PATH '$.result' NULL ON EMPTY, \
                 error MEDIUMTEXT PATH '$.error' NULL ON EMPTY, record INT PATH '$.record'"
            ),
            $end
        )
    };
}

const LOCK: &str = concat!(
    "SELECT t.id, t.lease_token, t.cancel_requested FROM ",
    held!(""),
    " FOR UPDATE"
);

const BEGIN: &str = concat!("UPDATE ", held!(""), " SET t.began = 1");

const PROGRESS: &str = concat!(
    "UPDATE ",
    held!(", percent INT PATH '$.percent', note TEXT PATH '$.note'"),
    " SET t.progress = i.percent, t.progress_note = i.note"
);

const NOTE: &str = finish_columns!(
    "INSERT INTO asynctask_exec_row (task_id, task_status, last_result, last_err_msg, last_run_time, last_run_end_time, \
     last_run_duration, log_id, create_time, attempt, node_id, lease_token) \
     SELECT i.id, i.status, i.result, i.error, i.started, i.ended, i.duration, i.log_id, i.ended, i.attempt, i.owner, \
     i.token FROM ",
    " WHERE i.record <> 0"
);

/// A run that is given back without a record leaves the row's history alone.
const FINISH: &str = finish_columns!(
    "UPDATE ",
    " SET t.task_status = i.status, t.retry_time = i.retries, t.run_at = i.run_at, \
      t.last_run_time = IF(i.record, i.started, t.last_run_time), \
      t.last_run_end_time = IF(i.record, i.ended, t.last_run_end_time), \
      t.last_run_duration = IF(i.record, i.duration, t.last_run_duration), \
      t.last_result = IF(i.record, i.result, t.last_result), \
      t.last_err_msg = IF(i.record, i.error, t.last_err_msg), \
      t.update_time = i.ended, t.lease_owner = NULL, t.cancel_requested = 0"
);

#[derive(QueryableByName)]
struct Held {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    lease_token: i64,
    #[diesel(sql_type = Integer)]
    cancel_requested: i32,
}

/// A run as the statements read it.
#[derive(Serialize)]
struct Key<'a> {
    id: i64,
    owner: &'a str,
    token: i64,
    log_id: &'a str,
}

#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    key: Key<'a>,
    percent: i32,
    note: &'a str,
}

#[derive(Serialize)]
struct End<'a> {
    #[serde(flatten)]
    key: Key<'a>,
    status: &'static str,
    attempt: i32,
    started: String,
    ended: String,
    duration: i64,
    retries: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    record: i32,
}

impl<'a> From<&'a RunKey> for Key<'a> {
    fn from(run: &'a RunKey) -> Self {
        Self {
            id: run.task_id,
            owner: &run.owner,
            token: run.token,
            log_id: &run.log_id,
        }
    }
}

impl<'a> From<&'a Finish> for End<'a> {
    fn from(finish: &'a Finish) -> Self {
        Self {
            key: (&finish.run).into(),
            status: finish.next.status.as_str(),
            attempt: finish.attempt,
            started: time(finish.started_at.naive_utc()),
            ended: time(finish.ended_at.naive_utc()),
            duration: finish.duration_ms(),
            retries: finish.next.retry_time,
            run_at: finish.next.run_at.map(|at| time(at.naive_utc())),
            result: finish.next.result.as_deref(),
            error: finish.next.error.as_deref(),
            record: i32::from(finish.next.record),
        }
    }
}

fn time(at: NaiveDateTime) -> String {
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

/// The runs that still hold their tasks, and whether somebody has asked to cancel them. Nobody else can change their tasks
/// until this transaction ends.
async fn lock<'a>(
    conn: &mut AsyncMysqlConnection,
    runs: impl Iterator<Item = &'a RunKey>,
) -> QueryResult<HashMap<(i64, i64), bool>> {
    let mut runs: Vec<&RunKey> = runs.collect();
    runs.sort_unstable_by_key(|run| run.task_id);
    let keys = json(runs.into_iter().map(Key::from))?;
    let held: Vec<Held> = prepared(LOCK).bind::<Text, _>(keys).load(conn).await?;
    let entry = |held: Held| ((held.id, held.lease_token), held.cancel_requested != 0);
    Ok(held.into_iter().map(entry).collect())
}

async fn begin(conn: &mut AsyncMysqlConnection, begins: &[Begin]) -> QueryResult<Vec<bool>> {
    let runs = || begins.iter().map(|begin| &begin.run);
    let held = lock(conn, runs()).await?;
    let keys = json(runs().map(Key::from))?;
    prepared(BEGIN).bind::<Text, _>(keys).execute(conn).await?;
    Ok(runs().map(|run| held.contains_key(&(run.task_id, run.token))).collect())
}

async fn progress(conn: &mut AsyncMysqlConnection, reports: &[Progress]) -> QueryResult<()> {
    lock(conn, reports.iter().map(|report| &report.run)).await?;
    let reports = json(reports.iter().map(|report| Report {
        key: (&report.run).into(),
        percent: report.percent,
        note: &report.note,
    }))?;
    prepared(PROGRESS).bind::<Text, _>(reports).execute(conn).await?;
    Ok(())
}

async fn finish(conn: &mut AsyncMysqlConnection, finishes: &[Finish]) -> QueryResult<Vec<Finished>> {
    let held = lock(conn, finishes.iter().map(|finish| &finish.run)).await?;
    // What would go back to the queue, and somebody wants cancelled, is cancelled.
    let written: Vec<Option<Finish>> = finishes
        .iter()
        .map(|finish| {
            let is_unwanted = *held.get(&(finish.run.task_id, finish.run.token))?;
            Some(match is_unwanted && finish.next.requeues() {
                true => finish.cancelled_instead(),
                false => finish.clone(),
            })
        })
        .collect();
    let ends = json(written.iter().flatten().map(End::from))?;
    if written.iter().any(Option::is_some) {
        prepared(NOTE).bind::<Text, _>(&ends).execute(conn).await?;
        prepared(FINISH).bind::<Text, _>(&ends).execute(conn).await?;
    }
    let finished = |finish: Option<Finish>| match finish {
        Some(finish) => Finished::Written(finish.next.status),
        None => Finished::Stale,
    };
    Ok(written.into_iter().map(finished).collect())
}
