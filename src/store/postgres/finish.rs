//! Writes about runs: one statement, in a separate transaction, for all runs of a batch with one kind of write. Ends take a statement for
//! each 1,000 ends or 4 MiB of texts, and further statements for tasks that a caller has cancelled and for stale ends.

use std::collections::BTreeSet;

use diesel::{
    QueryResult,
    sql_types::{Array, BigInt, Bool, Integer, Nullable, Text, Timestamp},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::by_key::by_keys;
use crate::{
    domain::TaskStatus,
    store::{
        statement::{chunks::chunks, prepared::prepared},
        tasks::run_key::{ClaimKey, RunKey},
        time::StoredTime,
        writes::{Begin, Finish, Finished, Progress, Writes, Written},
    },
};

/// The claims of a batch that have a row in `gaia_claims`, numbered.
macro_rules! open {
    () => {
        "WITH open AS MATERIALIZED (SELECT k.at, c.claimed_at \
           FROM unnest($1::bigint[], $2::text[], $3::text[]) WITH ORDINALITY AS k (id, node, mark, at) \
           JOIN gaia_claims c ON c.id = k.id AND c.node_id = k.node AND c.mark = k.mark WHERE c.id = ANY ($1)), "
    };
}

/// The runs of a batch, numbered, as the table `i` of an update; `claim` is the number of the run's claim in `open`. `OFFSET 0` keeps the
/// planner from merging this query into the update.
macro_rules! runs {
    () => {
        runs!("", "")
    };
    ($parameters:literal, $columns:literal) => {
        concat!(
            " FROM (SELECT * FROM unnest($4::bigint[], $5::text[], $6::bigint[], $7::text[], $8::bigint[]",
            $parameters,
            ") WITH ORDINALITY AS i (id, owner, token, log_id, claim",
            $columns,
            ", n) OFFSET 0) i"
        )
    };
}

/// The condition that the task is unseen and the claim of the run has a row: no write about the run has been made yet.
macro_rules! unseen {
    () => {
        "t.queued = 1 AND t.lease_token < i.token AND i.claim = ANY (ARRAY(SELECT at FROM open))"
    };
}

/// The condition of every write about a run: the run still holds its task, in one of two ways. Either the task's row names the run; or the
/// task is unseen. `COALESCE` keeps the server from using the index over running tasks, which it might read as a whole for each run: the
/// server finds the row by its key instead.
macro_rules! held {
    () => {
        concat!(
            " WHERE t.id = ANY ($4) AND t.id = i.id AND (COALESCE(t.task_status, '') = 'Running' AND COALESCE(t.lease_owner, '') = i.owner \
              AND t.lease_token = i.token AND COALESCE(t.log_id, '') = i.log_id \
              OR t.task_status IN ('Wait', 'Retry') AND ",
            unseen!(),
            ")"
        )
    };
}

/// How many runs of a batch still held their tasks, and the numbers of these runs unless all of them did.
macro_rules! answer {
    () => {
        "SELECT count(*), CASE WHEN count(*) < cardinality($4) THEN array_agg(n) END FROM done"
    };
}

/// Sets the row of the task to Running. An unseen task counts as Running since its claim.
macro_rules! note_running {
    ($began:literal, $progress:literal, $note:literal) => {
        concat!(
            "UPDATE asynctasks t SET task_status = 'Running', queued = 2, lease_owner = i.owner, lease_token = i.token, \
               log_id = i.log_id, \
               last_run_time = CASE t.task_status WHEN 'Running' THEN t.last_run_time \
                 ELSE (SELECT claimed_at FROM open WHERE at = i.claim) END, \
               update_time = CASE t.task_status WHEN 'Running' THEN t.update_time \
                 ELSE (SELECT claimed_at FROM open WHERE at = i.claim) END, \
               cancel_requested = CASE t.task_status WHEN 'Running' THEN t.cancel_requested ELSE 0 END, ",
            "began = ",
            $began,
            ", progress = ",
            $progress,
            ", progress_note = ",
            $note
        )
    };
}

const BEGIN: &str = concat!(
    open!(),
    "done AS (",
    note_running!(
        "CASE t.task_status WHEN 'Running' THEN GREATEST(t.began, i.is_last) ELSE i.is_last END",
        "CASE t.task_status WHEN 'Running' THEN t.progress END",
        "CASE t.task_status WHEN 'Running' THEN t.progress_note END"
    ),
    runs!(", $9::int[]", ", is_last"),
    held!(),
    " RETURNING i.n) ",
    answer!()
);

const PROGRESS: &str = concat!(
    open!(),
    "done AS (",
    note_running!(
        "CASE t.task_status WHEN 'Running' THEN t.began ELSE 0 END",
        "i.percent",
        "i.note"
    ),
    runs!(", $9::int[], $10::text[]", ", percent, note"),
    held!(),
    " RETURNING i.n) ",
    answer!()
);

/// Writes ends of runs and their records, and raises the tokens of unseen tasks (model: task::RaisedToken). If a task is handed back
/// without a record, its row keeps the times and texts of an earlier run. A record is a copy of the task's row after this statement.
const FINISH: &str = concat!(
    open!(),
    "done AS ( \
      UPDATE asynctasks t SET task_status = i.status, retry_time = i.retries, run_at = i.run_at, queued = 0, \
        last_run_time = CASE WHEN i.is_kept THEN i.started ELSE t.last_run_time END, \
        last_run_end_time = CASE WHEN i.is_kept THEN i.ended ELSE t.last_run_end_time END, \
        last_run_duration = CASE WHEN i.is_kept THEN i.duration ELSE t.last_run_duration END, \
        last_result = CASE WHEN i.is_kept THEN i.result ELSE t.last_result END, \
        last_err_msg = CASE WHEN i.is_kept THEN i.error ELSE t.last_err_msg END, \
        log_id = CASE WHEN i.is_kept THEN i.log_id ELSE t.log_id END, \
        began = CASE WHEN t.task_status <> 'Running' AND i.is_kept THEN 0 ELSE t.began END, \
        progress = CASE WHEN i.status = 'Success' THEN 100 \
          WHEN t.task_status = 'Running' OR NOT i.is_kept THEN t.progress END, \
        progress_note = CASE WHEN t.task_status = 'Running' OR NOT i.is_kept THEN t.progress_note END, \
        update_time = i.ended, finished_at = CASE WHEN i.requeues THEN NULL ELSE i.ended END, \
        lease_owner = NULL, lease_token = i.token, cancel_requested = 0, \
        live_key = CASE WHEN i.requeues THEN t.live_key END",
    runs!(
        ", $9::text[], $10::int[], $11::timestamp[], $12::timestamp[], $13::bigint[], $14::int[], $15::timestamp[], $16::text[], \
         $17::text[], $18::bool[], $19::bool[], $20::bool[]",
        ", status, attempt, started, ended, duration, retries, run_at, result, error, record, requeues, is_kept"
    ),
    held!(),
    " AND (NOT i.requeues OR t.cancel_requested = 0 OR t.task_status <> 'Running') \
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

/// As [`FINISH`], for a batch that has only successes, as most batches have: [`is_plain_success`].
const FINISH_WELL: &str = concat!(
    open!(),
    "done AS ( \
      UPDATE asynctasks t SET task_status = 'Success', retry_time = i.retries, run_at = NULL, queued = 0, \
        last_run_time = i.started, last_run_end_time = i.ended, last_run_duration = i.duration, \
        last_result = i.result, last_err_msg = NULL, update_time = i.ended, finished_at = i.ended, \
        lease_owner = NULL, lease_token = i.token, log_id = i.log_id, cancel_requested = 0, live_key = NULL, \
        began = CASE t.task_status WHEN 'Running' THEN t.began ELSE 0 END, \
        progress = 100, \
        progress_note = CASE t.task_status WHEN 'Running' THEN t.progress_note END",
    runs!(
        ", $9::timestamp[], $10::timestamp[], $11::bigint[], $12::int[], $13::text[]",
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

/// If plain SQL has ended tasks, or left them Running without a node, while they were unseen, takes the tasks out of their claims, so that
/// the tasks can be queued again.
const DETACH_ENDED: &str = concat!(
    open!(),
    "done AS (UPDATE asynctasks t SET queued = 0, lease_token = i.token",
    runs!(),
    " WHERE t.id = ANY ($4) AND t.id = i.id AND COALESCE(t.task_status, '') NOT IN ('Wait', 'Retry') AND ",
    unseen!(),
    " RETURNING i.n) ",
    answer!()
);

/// Whether [`FINISH_WELL`] can write this end: a success with a record, whose attempt is the number of retries used plus 1.
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
type Answered = (i64, Option<Vec<i64>>);

/// For each run of a batch, whether it still held its task. The answer of the database counts the runs from 1.
fn places(count: usize, (held, numbers): Answered) -> Vec<bool> {
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

/// Writes progress, notes that tasks are running, and ends. Each statement commits alone: if a later statement fails, the caller may repeat
/// the whole call.
pub(super) async fn write(conn: &AsyncPgConnection, writes: &Writes) -> QueryResult<Written> {
    if !writes.progress.is_empty() {
        progress(conn, &writes.progress).await?;
    }
    let begins = match writes.begins.is_empty() {
        true => Vec::new(),
        false => begin(conn, &writes.begins).await?,
    };
    let mut finishes = Vec::with_capacity(writes.finishes.len());
    for part in chunks(&writes.finishes) {
        finishes.extend(finish(conn, part).await?);
    }
    Ok(Written { begins, finishes })
}

/// In which ways the runs of a statement may hold their tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    Any,
    /// The task's row names the run.
    Seen,
}

/// A statement about runs, with the parameters that name them and their claims.
macro_rules! about {
    ($sql:expr, $runs:expr) => {
        about!($sql, $runs, Held::Any)
    };
    ($sql:expr, $runs:expr, $held:expr) => {{
        let (runs, held): (Vec<&RunKey>, Held) = ($runs.collect(), $held);
        let claims = runs.iter().map(|run| run.claim().filter(|_| held == Held::Any));
        let claims: Vec<Option<ClaimKey<'_>>> = claims.collect();
        let known: BTreeSet<ClaimKey<'_>> = claims.iter().flatten().copied().collect();
        let known: Vec<ClaimKey<'_>> = known.into_iter().collect();
        let number = |claim: &Option<ClaimKey<'_>>| {
            let at = claim.and_then(|claim| known.binary_search(&claim).ok());
            // Counted from 1. 0 means that the task of this run cannot be unseen.
            at.and_then(|at| i64::try_from(at + 1).ok()).unwrap_or(0)
        };
        prepared($sql)
            .bind::<Array<BigInt>, _>(known.iter().map(|(id, ..)| *id).collect::<Vec<_>>())
            .bind::<Array<Text>, _>(known.iter().map(|(_, node, _)| *node).collect::<Vec<_>>())
            .bind::<Array<Text>, _>(known.iter().map(|(.., mark)| *mark).collect::<Vec<_>>())
            .bind::<Array<BigInt>, _>(runs.iter().map(|run| run.task_id).collect::<Vec<_>>())
            .bind::<Array<Text>, _>(runs.iter().map(|run| &*run.owner).collect::<Vec<_>>())
            .bind::<Array<BigInt>, _>(runs.iter().map(|run| run.token).collect::<Vec<_>>())
            .bind::<Array<Text>, _>(runs.iter().map(|run| &*run.log_id).collect::<Vec<_>>())
            .bind::<Array<BigInt>, _>(claims.iter().map(number).collect::<Vec<_>>())
    }};
}

/// The runs in the order of their tasks' ids, with their indexes. The server changes the rows in the order of the table or of the batch,
/// depending on its join. In this order the two are nearly the same, so that two batches with the same tasks hardly ever deadlock.
fn in_order<T>(runs: &[T], key: impl Fn(&T) -> &RunKey) -> (Vec<usize>, Vec<&T>) {
    let mut at: Vec<usize> = (0..runs.len()).collect();
    at.sort_unstable_by_key(|at| key(&runs[*at]).task_id);
    let ordered = at.iter().map(|at| &runs[*at]).collect();
    (at, ordered)
}

/// Puts answers in the order of [`in_order`] back into the order of the batch.
fn at_their_places(at: Vec<usize>, said: Vec<bool>) -> Vec<bool> {
    let mut placed = vec![false; at.len()];
    for (at, said) in at.into_iter().zip(said) {
        placed[at] = said;
    }
    placed
}

/// Sets the row of the task to Running, if the run holds the task. Runs inside a transaction.
pub(super) async fn note_running(mut conn: &AsyncPgConnection, run: RunKey) -> QueryResult<bool> {
    let (held, _): Answered = about!(BEGIN, [&run].into_iter())
        .bind::<Array<Integer>, _>(vec![0])
        .columns::<Answer>()
        .get_result(&mut conn)
        .await?;
    Ok(held > 0)
}

async fn begin(mut conn: &AsyncPgConnection, begins: &[Begin]) -> QueryResult<Vec<bool>> {
    let (at, begins) = in_order(begins, |begin| &begin.run);
    let begun = about!(BEGIN, begins.iter().map(|begin| &begin.run))
        .bind::<Array<Integer>, _>(begins.iter().map(|begin| i32::from(begin.is_last)).collect::<Vec<_>>())
        .columns::<Answer>()
        .get_result(&mut conn);
    let begun = by_keys(conn, begun).await?;
    let places = places(at.len(), begun);
    Ok(at_their_places(at, places))
}

async fn progress(mut conn: &AsyncPgConnection, reports: &[Progress]) -> QueryResult<()> {
    let (_, reports) = in_order(reports, |report| &report.run);
    let noted = about!(PROGRESS, reports.iter().map(|report| &report.run))
        .bind::<Array<Integer>, _>(reports.iter().map(|report| report.percent).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(reports.iter().map(|report| report.note.as_str()).collect::<Vec<_>>())
        .columns::<Answer>()
        .get_result::<Answered>(&mut conn);
    by_keys(conn, noted).await.map(drop)
}

/// Writes ends. If an end that would put its task back into the queue was not written, the end is stale, or a caller has asked to cancel
/// the task, whose row then says Running: this function tries the same end again as Cancelled.
async fn finish(conn: &AsyncPgConnection, finishes: &[Finish]) -> QueryResult<Vec<Finished>> {
    let done = write_ends(conn, finishes, Held::Any).await?;
    let status = |(finish, done): (&Finish, bool)| match done {
        true => Finished::Written(finish.next.status),
        false => Finished::Stale,
    };
    let mut finished: Vec<Finished> = finishes.iter().zip(done).map(status).collect();
    let is_open = |at: &usize| finished[*at] == Finished::Stale && finishes[*at].next.requeues();
    let open: Vec<usize> = (0..finishes.len()).filter(is_open).collect();
    let instead: Vec<Finish> = open.iter().map(|at| finishes[*at].cancelled_instead()).collect();
    let cancelled = match instead.is_empty() {
        true => Vec::new(),
        false => write_ends(conn, &instead, Held::Seen).await?,
    };
    for (at, answer) in open.into_iter().zip(instead.iter().zip(cancelled).map(status)) {
        finished[at] = answer;
    }
    detach_ended(conn, finishes, &finished).await?;
    Ok(finished)
}

async fn detach_ended(mut conn: &AsyncPgConnection, finishes: &[Finish], finished: &[Finished]) -> QueryResult<()> {
    let ended = finishes.iter().zip(finished);
    let stale: Vec<&RunKey> = ended
        .filter(|(_, finished)| **finished == Finished::Stale)
        .map(|(finish, _)| &finish.run)
        .collect();
    if stale.is_empty() {
        return Ok(());
    }
    let (_, stale) = in_order(&stale, |run| run);
    let out = about!(DETACH_ENDED, stale.into_iter().copied()).columns::<Answer>();
    by_keys(conn, out.get_result::<Answered>(&mut conn)).await.map(drop)
}

async fn write_ends(conn: &AsyncPgConnection, finishes: &[Finish], held: Held) -> QueryResult<Vec<bool>> {
    let (at, finishes) = in_order(finishes, |finish| &finish.run);
    let done = match finishes.iter().all(|finish| is_plain_success(finish)) {
        true => write_successes(conn, &finishes, held).await?,
        false => write_any(conn, &finishes, held).await?,
    };
    Ok(at_their_places(at, places(finishes.len(), done)))
}

fn all<'a, T>(finishes: &[&'a Finish], column: impl Fn(&'a Finish) -> T) -> Vec<T> {
    finishes.iter().copied().map(column).collect()
}

async fn write_successes(mut conn: &AsyncPgConnection, finishes: &[&Finish], held: Held) -> QueryResult<Answered> {
    let done = about!(FINISH_WELL, finishes.iter().map(|finish| &finish.run), held)
        .bind::<Array<Timestamp>, _>(all(finishes, |finish| StoredTime::from(finish.started_at)))
        .bind::<Array<Timestamp>, _>(all(finishes, |finish| StoredTime::from(finish.ended_at)))
        .bind::<Array<BigInt>, _>(all(finishes, Finish::duration_ms))
        .bind::<Array<Integer>, _>(all(finishes, |finish| finish.next.retry_time))
        .bind::<Array<Nullable<Text>>, _>(all(finishes, |finish| finish.next.result.as_deref()))
        .columns::<Answer>()
        .get_result(&mut conn);
    by_keys(conn, done).await
}

async fn write_any(mut conn: &AsyncPgConnection, finishes: &[&Finish], held: Held) -> QueryResult<Answered> {
    let run_at = |finish: &Finish| -> Option<StoredTime> { finish.next.run_at.map(StoredTime::from) };
    let done = about!(FINISH, finishes.iter().map(|finish| &finish.run), held)
        .bind::<Array<Text>, _>(all(finishes, |finish| finish.next.status.as_str()))
        .bind::<Array<Integer>, _>(all(finishes, |finish| finish.attempt))
        .bind::<Array<Timestamp>, _>(all(finishes, |finish| StoredTime::from(finish.started_at)))
        .bind::<Array<Timestamp>, _>(all(finishes, |finish| StoredTime::from(finish.ended_at)))
        .bind::<Array<BigInt>, _>(all(finishes, Finish::duration_ms))
        .bind::<Array<Integer>, _>(all(finishes, |finish| finish.next.retry_time))
        .bind::<Array<Nullable<Timestamp>>, _>(all(finishes, run_at))
        .bind::<Array<Nullable<Text>>, _>(all(finishes, |finish| finish.next.result.as_deref()))
        .bind::<Array<Nullable<Text>>, _>(all(finishes, |finish| finish.next.error.as_deref()))
        .bind::<Array<Bool>, _>(all(finishes, |finish| finish.next.record))
        .bind::<Array<Bool>, _>(all(finishes, |finish| finish.next.requeues()))
        .bind::<Array<Bool>, _>(all(finishes, |finish| finish.next.record || !finish.next.requeues()))
        .columns::<Answer>()
        .get_result(&mut conn);
    by_keys(conn, done).await
}
