//! Writes about runs, inside a transaction. The rows of tasks that their runs still hold are locked in the order of their keys; then one
//! statement changes the rows, and another statement adds their records. Ends are written in pieces of at most 1,000 ends and 4 MiB of
//! texts.
//!
//! A run holds its task in one of two ways. Either the task's row names the node and the lease token of the run. Or the task is unseen: its
//! row is as before the claim, and the row of the claim names the task; then no write about the run has been made yet. Most runs end while
//! their tasks are unseen, so the row of such a task is written once.

use std::{borrow::Cow, collections::BTreeMap};

use diesel::{
    QueryResult,
    sql_types::{BigInt, Integer, Text, Timestamp},
};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};
use serde::Serialize;

use crate::store::{
    statement::{chunks::chunks, prepared::prepared},
    tasks::run_key::{ClaimKey, RunKey},
    time::StoredTime,
    writes::{Begin, Finish, Finished, Progress, Writes, Written},
};

/// The charset and collation of each text column of a `JSON_TABLE`. Without a charset, the column has the charset of the database, not of
/// the tables, and characters that this charset lacks become `?`. Without a collation, it may have another collation than the column with
/// which it is compared, and two collations that ignore case cannot be compared; this collation can be compared with any.
macro_rules! exact {
    () => {
        "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    };
}

/// Joins the runs of a batch with those tasks that the runs still hold, if the tasks' rows say Running.
///
/// The hint makes MySQL find each row by its key. Without it, MySQL would scan a small table, and lock each row for a moment; claims pass
/// over locked rows.
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

/// Reads which claims have a row, and when they were made. If the id of a claim was given to another claim after a crash, the first claim
/// has no row.
const OPEN: &str = concat!(
    "SELECT i.n, c.claimed_at FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]', node VARCHAR(64) ",
    exact!(),
    " PATH '$[1]', mark VARCHAR(100) ",
    exact!(),
    " PATH '$[2]', n FOR ORDINALITY)) i STRAIGHT_JOIN gaia_claims c ON c.id = i.id AND c.node_id = i.node AND c.mark = i.mark"
);

/// Locks the tasks that their runs still hold. `open`, the last value of each run in the parameter, says whether its claim has a row. The
/// last column of the answer says whether the task is unseen.
const LOCK: &str = concat!(
    "SELECT i.n, IF(t.task_status = 'Running', t.cancel_requested, 0), t.task_status <> 'Running' \
     FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]', owner VARCHAR(64) ",
    exact!(),
    " PATH '$[1]', token BIGINT PATH '$[2]', log_id VARCHAR(100) ",
    exact!(),
    " PATH '$[3]', open INT PATH '$[4]', n FOR ORDINALITY)) i STRAIGHT_JOIN asynctasks t FORCE INDEX (PRIMARY) ON t.id = i.id \
     AND (t.task_status = 'Running' AND t.lease_owner = i.owner AND t.lease_token = i.token AND COALESCE(t.log_id, '') = i.log_id \
       OR i.open AND t.queued = 1 AND t.task_status IN ('Wait', 'Retry') AND t.lease_token < i.token) FOR UPDATE"
);

/// Sets the rows of unseen tasks to Running since their claims.
const NOTE_RUNNING: &str = concat!(
    "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]', owner VARCHAR(64) ",
    exact!(),
    " PATH '$[1]', token BIGINT PATH '$[2]', log_id VARCHAR(100) ",
    exact!(),
    " PATH '$[3]', since DATETIME(6) PATH '$[4]')) i STRAIGHT_JOIN asynctasks t FORCE INDEX (PRIMARY) ON t.id = i.id \
     AND t.queued = 1 AND t.task_status IN ('Wait', 'Retry') AND t.lease_token < i.token \
     SET t.task_status = 'Running', t.queued = 2, t.lease_owner = i.owner, t.lease_token = i.token, t.log_id = i.log_id, \
      t.last_run_time = i.since, t.update_time = i.since, t.cancel_requested = 0, t.began = 0, t.progress = NULL, \
      t.progress_note = NULL"
);

/// If plain SQL has ended tasks while they were unseen, takes the tasks out of their claims, so that the tasks can be queued again.
const DETACH_ENDED: &str = "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]', token BIGINT PATH '$[1]')) i \
    STRAIGHT_JOIN asynctasks t FORCE INDEX (PRIMARY) ON t.id = i.id AND t.queued = 1 AND t.lease_token < i.token \
    AND t.task_status NOT IN ('Wait', 'Retry', 'Running') \
    SET t.queued = 0, t.lease_token = i.token, t.update_time = t.update_time";

const BEGIN: &str = concat!("UPDATE ", held!(""), " SET t.began = 1");

const PROGRESS: &str = concat!(
    "UPDATE ",
    held!(", percent INT PATH '$[4]', note TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PATH '$[5]'"),
    " SET t.progress = i.percent, t.progress_note = i.note"
);

/// Writes the ends of runs whose tasks are locked. If a task is handed back without a record, its row keeps the times and texts of an
/// earlier run. If a task is unseen, the marks that an earlier run has left in the row (`began`, progress) are removed.
const FINISH: &str = concat!(
    "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]', status VARCHAR(50) ",
    exact!(),
    " PATH '$[1]', retries INT PATH '$[2]', run_at DATETIME(6) PATH '$[3]', started DATETIME(6) PATH '$[4]', \
     ended DATETIME(6) PATH '$[5]', duration BIGINT PATH '$[6]', result MEDIUMTEXT ",
    exact!(),
    " PATH '$[7]', error MEDIUMTEXT ",
    exact!(),
    " PATH '$[8]', history INT PATH '$[9]', token BIGINT PATH '$[10]', log_id VARCHAR(100) ",
    exact!(),
    " PATH '$[11]', unseen INT PATH '$[12]')) i \
      STRAIGHT_JOIN asynctasks t FORCE INDEX (PRIMARY) ON t.id = i.id \
    SET t.task_status = i.status, t.retry_time = i.retries, t.run_at = i.run_at, \
      t.last_run_time = IF(i.history, i.started, t.last_run_time), \
      t.last_run_end_time = IF(i.history, i.ended, t.last_run_end_time), \
      t.last_run_duration = IF(i.history, i.duration, t.last_run_duration), \
      t.last_result = IF(i.history, i.result, t.last_result), \
      t.last_err_msg = IF(i.history, i.error, t.last_err_msg), \
      t.update_time = i.ended, t.finished_at = IF(i.status IN ('Wait', 'Retry'), NULL, i.ended), \
      t.lease_owner = NULL, t.queued = 0, t.cancel_requested = 0, t.lease_token = i.token, \
      t.log_id = IF(i.history AND i.unseen, i.log_id, t.log_id), t.began = IF(i.unseen, 0, t.began), \
      t.progress = IF(i.status = 'Success', 100, IF(i.unseen, NULL, t.progress)), t.progress_note = IF(i.unseen, NULL, t.progress_note)"
);

/// Copies the tasks' rows, as they are now, into execution records.
const INSERT_RECORD: &str = concat!(
    "INSERT INTO asynctask_exec_row (task_id, task_status, last_result, last_err_msg, last_run_time, \
      last_run_end_time, last_run_duration, log_id, create_time, attempt, node_id, lease_token) \
    SELECT t.id, t.task_status, t.last_result, t.last_err_msg, t.last_run_time, t.last_run_end_time, t.last_run_duration, \
      t.log_id, t.update_time, i.attempt, i.owner, t.lease_token \
    FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]', attempt INT PATH '$[1]', owner VARCHAR(64) ",
    exact!(),
    " PATH '$[2]')) i STRAIGHT_JOIN asynctasks t FORCE INDEX (PRIMARY) ON t.id = i.id"
);

/// The key of a run as the statements read it.
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

fn end(finish: &Finish, is_unseen: bool) -> impl Serialize {
    let (run, next) = (&finish.run, &finish.next);
    (
        run.task_id,
        next.status.as_str(),
        next.retry_time,
        next.run_at.map(StoredTime::from),
        StoredTime::from(finish.started_at),
        StoredTime::from(finish.ended_at),
        finish.duration_ms(),
        next.result.as_deref(),
        next.error.as_deref(),
        i32::from(finish.is_history()),
        run.token,
        &*run.log_id,
        i32::from(is_unseen),
    )
}

fn note(finish: &Finish) -> impl Serialize {
    (finish.run.task_id, finish.attempt, &*finish.run.owner)
}

/// All items as one JSON text.
fn json(items: impl Iterator<Item = impl Serialize>) -> QueryResult<String> {
    let items: Vec<_> = items.collect();
    serde_json::to_string(&items).map_err(|error| diesel::result::Error::SerializationError(Box::new(error)))
}

pub(super) async fn write(conn: &mut AsyncMysqlConnection, writes: &Writes) -> QueryResult<Written> {
    let open = OpenClaims::of(conn, writes).await?;
    if !writes.progress.is_empty() {
        progress(conn, &open, &writes.progress).await?;
    }
    let begins = match writes.begins.is_empty() {
        true => Vec::new(),
        false => begin(conn, &open, &writes.begins).await?,
    };
    let mut finishes = Vec::with_capacity(writes.finishes.len());
    for part in chunks(&writes.finishes) {
        finishes.extend(finish(conn, &open, part).await?);
    }
    Ok(Written { begins, finishes })
}

/// The claims of a batch that have a row in `gaia_claims`, and when they were made.
struct OpenClaims<'a>(BTreeMap<ClaimKey<'a>, StoredTime>);

impl<'a> OpenClaims<'a> {
    async fn of(conn: &mut AsyncMysqlConnection, writes: &'a Writes) -> QueryResult<Self> {
        let claims: Vec<ClaimKey<'a>> = writes.claims().into_iter().collect();
        if claims.is_empty() {
            return Ok(Self(BTreeMap::new()));
        }
        let open: Vec<(i64, StoredTime)> = prepared(OPEN)
            .bind::<Text, _>(json(claims.iter())?)
            .columns::<(BigInt, Timestamp)>()
            .load(conn)
            .await?;
        // Places in the text are counted from 1.
        let claim = |(n, since)| Some((*claims.get(usize::try_from(n - 1).ok()?)?, since));
        Ok(Self(open.into_iter().filter_map(claim).collect()))
    }

    /// When the task of this run was claimed, if the task may be unseen: its claim has a row.
    fn since(&self, run: &RunKey) -> Option<StoredTime> {
        self.0.get(&run.claim()?).copied()
    }
}

/// A task that a run holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    is_cancel_wanted: bool,
    is_unseen: bool,
}

/// Locks the tasks that their runs still hold. No other session can change those tasks until this transaction ends.
async fn lock(
    conn: &mut AsyncMysqlConnection,
    open: &OpenClaims<'_>,
    runs: &[&RunKey],
) -> QueryResult<Vec<Option<Held>>> {
    let mut order: Vec<usize> = (0..runs.len()).collect();
    order.sort_unstable_by_key(|at| runs[*at].task_id);
    let keys = json(order.iter().map(|at| {
        let run = runs[*at];
        let is_open = i32::from(open.since(run).is_some());
        (run.task_id, &*run.owner, run.token, &*run.log_id, is_open)
    }))?;
    let held: Vec<(i64, i32, i32)> = prepared(LOCK)
        .bind::<Text, _>(keys)
        .columns::<(BigInt, Integer, Integer)>()
        .load(conn)
        .await?;
    let mut answers = vec![None; runs.len()];
    // Places in the text are counted from 1.
    for (n, cancel_requested, is_unseen) in held {
        let place = usize::try_from(n - 1).ok().and_then(|n| order.get(n));
        if let Some(place) = place {
            answers[*place] = Some(Held {
                is_cancel_wanted: cancel_requested != 0,
                is_unseen: is_unseen != 0,
            });
        }
    }
    Ok(answers)
}

/// Locks the tasks of runs, and sets the rows of unseen tasks to Running. Answers which runs hold their tasks.
async fn lock_and_note_running(
    conn: &mut AsyncMysqlConnection,
    open: &OpenClaims<'_>,
    runs: &[&RunKey],
) -> QueryResult<Vec<Option<Held>>> {
    let held = lock(conn, open, runs).await?;
    let unseen = runs.iter().zip(&held);
    let unseen = unseen.filter(|(_, held)| held.is_some_and(|held| held.is_unseen));
    let unseen: Vec<_> = unseen.filter_map(|(run, _)| Some((*run, open.since(run)?))).collect();
    note_running(conn, &unseen).await?;
    Ok(held)
}

/// Sets the rows of those tasks that are unseen to Running since these times. The claims must have rows. Answers how many rows were
/// changed.
pub(super) async fn note_running(
    conn: &mut AsyncMysqlConnection,
    runs: &[(&RunKey, StoredTime)],
) -> QueryResult<usize> {
    if runs.is_empty() {
        return Ok(0);
    }
    let runs = runs
        .iter()
        .map(|(run, since)| (run.task_id, &*run.owner, run.token, &*run.log_id, *since));
    prepared(NOTE_RUNNING).bind::<Text, _>(json(runs)?).execute(conn).await
}

async fn begin(conn: &mut AsyncMysqlConnection, open: &OpenClaims<'_>, begins: &[Begin]) -> QueryResult<Vec<bool>> {
    let runs: Vec<&RunKey> = begins.iter().map(|begin| &begin.run).collect();
    let held = lock_and_note_running(conn, open, &runs).await?;
    let last = || begins.iter().filter(|begin| begin.is_last);
    if last().next().is_some() {
        let keys = json(last().map(|begin| key(&begin.run)))?;
        prepared(BEGIN).bind::<Text, _>(keys).execute(conn).await?;
    }
    Ok(held.iter().map(Option::is_some).collect())
}

async fn progress(conn: &mut AsyncMysqlConnection, open: &OpenClaims<'_>, reports: &[Progress]) -> QueryResult<()> {
    let runs: Vec<&RunKey> = reports.iter().map(|report| &report.run).collect();
    lock_and_note_running(conn, open, &runs).await?;
    let reports = json(reports.iter().map(report))?;
    prepared(PROGRESS).bind::<Text, _>(reports).execute(conn).await?;
    Ok(())
}

async fn finish(
    conn: &mut AsyncMysqlConnection,
    open: &OpenClaims<'_>,
    finishes: &[Finish],
) -> QueryResult<Vec<Finished>> {
    let runs: Vec<&RunKey> = finishes.iter().map(|finish| &finish.run).collect();
    let held = lock(conn, open, &runs).await?;
    // A task that would go back to the queue ends as Cancelled if a caller has asked to cancel it.
    let written: Vec<Option<(Cow<'_, Finish>, bool)>> = finishes
        .iter()
        .zip(&held)
        .map(|(finish, held)| {
            let held = (*held)?;
            let finish = match held.is_cancel_wanted && finish.next.requeues() {
                true => Cow::Owned(finish.cancelled_instead()),
                false => Cow::Borrowed(finish),
            };
            Some((finish, held.is_unseen))
        })
        .collect();
    let ends = || written.iter().flatten();
    if ends().next().is_some() {
        prepared(FINISH)
            .bind::<Text, _>(json(ends().map(|(finish, is_unseen)| end(finish, *is_unseen)))?)
            .execute(conn)
            .await?;
    }
    let noted = || ends().map(|(finish, _)| finish).filter(|finish| finish.next.record);
    if noted().next().is_some() {
        prepared(INSERT_RECORD)
            .bind::<Text, _>(json(noted().map(|finish| note(finish)))?)
            .execute(conn)
            .await?;
    }
    let stale = runs.iter().zip(&held).filter(|(_, held)| held.is_none());
    let stale = stale.filter(|(run, _)| open.since(run).is_some());
    let stale: Vec<(i64, i64)> = stale.map(|(run, _)| (run.task_id, run.token)).collect();
    if !stale.is_empty() {
        prepared(DETACH_ENDED)
            .bind::<Text, _>(json(stale.into_iter())?)
            .execute(conn)
            .await?;
    }
    let finished = |written: &Option<(Cow<'_, Finish>, bool)>| match written {
        Some((finish, _)) => Finished::Written(finish.next.status),
        None => Finished::Stale,
    };
    Ok(written.iter().map(finished).collect())
}
