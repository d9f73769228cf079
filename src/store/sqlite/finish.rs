//! Writes about runs, inside a transaction: row by row, each row by a statement that stays prepared (one statement for the whole batch,
//! with a JSON text as its parameter, takes longer), and then the records of all ends.
//!
//! A run holds its task in one of two ways. Either the task's row names the node and the lease token of the run. Or the task is unseen: its
//! row is as before the claim, and the row of the claim names the task; then no write about the run has been made yet. Most runs end while
//! their tasks are unseen, so the row of such a task is written once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    result::Error,
    sql_types::{BigInt, Integer, Nullable, Text},
    sqlite::SqliteConnection,
};

use crate::store::{
    statement::prepared::prepared,
    tasks::run_key::{ClaimKey, RunKey},
    writes::{Begin, Finish, Finished, Progress, Writes, Written},
};

/// A write about a run whose task is not unseen, with the condition that the run still holds the task.
macro_rules! held {
    ($($set:literal),+) => {
        held!($($set),+; "")
    };
    ($($set:literal),+; $condition:literal) => {
        concat!(
            "UPDATE asynctasks SET ",
            $($set,)+
            " WHERE id = ?1 AND lease_owner = ?2 AND lease_token = ?3 AND IFNULL(log_id, '') = ?4 \
             AND task_status = 'Running' ",
            $condition
        )
    };
}

/// The condition that a task is unseen, if the claim of its run is [open](open_claims).
macro_rules! unseen {
    () => {
        "id = ?1 AND queued = 1 AND task_status IN ('Wait', 'Retry') AND lease_token < ?3"
    };
}

/// The end of a run whose task is unseen. It removes the marks that an earlier run has left in the row (`began`, progress).
macro_rules! held_unseen {
    ($($set:literal),+) => {
        concat!(
            "UPDATE asynctasks SET ",
            $($set,)+
            ", lease_token = ?3, log_id = ?4, began = 0, progress = iif(?5 = 'Success', 100, NULL), progress_note = NULL WHERE ",
            unseen!()
        )
    };
}

/// A write that puts the task back into the queue, unless a caller has asked to cancel the task.
macro_rules! unless_cancelled {
    ($($set:literal),+) => {
        held!($($set),+; "AND cancel_requested = 0")
    };
}

macro_rules! with_end {
    ($held:ident, $finished_at:literal) => {
        $held!(
            $finished_at,
            ", task_status = ?5, retry_time = ?6, run_at = ?7, last_run_time = ?8, last_run_end_time = ?9, \
             last_run_duration = ?10, last_result = ?11, last_err_msg = ?12, update_time = ?9, lease_owner = NULL, \
             queued = 0, cancel_requested = 0"
        )
    };
}

/// Sets the row of an unseen task to Running since its claim.
const NOTE_RUNNING: &str = concat!(
    "UPDATE asynctasks SET task_status = 'Running', queued = 2, lease_owner = ?2, lease_token = ?3, log_id = ?4, \
     (last_run_time, update_time) = (SELECT claimed_at, claimed_at FROM gaia_claims WHERE gaia_claims.id = ?3), \
     cancel_requested = 0, began = 0, progress = NULL, progress_note = NULL WHERE ",
    unseen!()
);

const BEGIN: &str = held!("began = 1");

const HOLDS: &str = "SELECT EXISTS (SELECT 1 FROM asynctasks WHERE id = ?1 AND lease_owner = ?2 AND lease_token = ?3 \
    AND IFNULL(log_id, '') = ?4 AND task_status = 'Running')";

const PROGRESS: &str = held!("progress = ?5, progress_note = ?6");

/// Success leaves the progress at 100.
const END: &str = with_end!(held, "finished_at = ?9, progress = iif(?5 = 'Success', 100, progress)");

const END_UNSEEN: &str = with_end!(held_unseen, "finished_at = ?9");

const REQUEUE: &str = with_end!(unless_cancelled, "finished_at = NULL");

const REQUEUE_UNSEEN: &str = with_end!(held_unseen, "finished_at = NULL");

/// Hands a task back as if it had not been claimed, due now or later. The row keeps the times and texts of an earlier run.
const RELEASE: &str = unless_cancelled!(
    "task_status = ?5, update_time = ?6, lease_owner = NULL, queued = 0, retry_time = ?7, run_at = ?8"
);

const RELEASE_UNSEEN: &str = concat!(
    "UPDATE asynctasks SET task_status = ?5, update_time = ?6, lease_token = ?3, queued = 0, retry_time = ?7, run_at = ?8 WHERE ",
    unseen!()
);

/// If plain SQL has ended a task while it was unseen, takes the task out of its claim, so that the task can be queued again.
const DETACH_ENDED: &str = "UPDATE asynctasks SET queued = 0, lease_token = ?2 \
    WHERE id = ?1 AND queued = 1 AND lease_token < ?2 AND task_status NOT IN ('Wait', 'Retry', 'Running')";

const IS_OPEN: &str = "SELECT EXISTS (SELECT 1 FROM gaia_claims WHERE id = ?1 AND node_id = ?2 AND mark = ?3)";

/// Copies the tasks' rows, as they are now, into execution records. `OR FAIL`: if one record cannot be written, the whole transaction is
/// undone anyway, so SQLite need not prepare to undo this statement alone.
const INSERT_RECORD: &str = "INSERT OR FAIL INTO asynctask_exec_row (task_id, task_status, last_result, last_err_msg, last_run_time, \
      last_run_end_time, last_run_duration, log_id, create_time, attempt, node_id, lease_token) \
    SELECT t.id, t.task_status, t.last_result, t.last_err_msg, t.last_run_time, t.last_run_end_time, t.last_run_duration, \
      t.log_id, t.update_time, t.retry_time + ?2, ?3, t.lease_token \
    FROM json_each(?1) i CROSS JOIN asynctasks t ON t.id = i.value";

/// A statement about a run, with the parameters that name it.
macro_rules! about {
    ($sql:expr, $run:expr) => {{
        let run: &RunKey = $run;
        prepared($sql)
            .bind::<BigInt, _>(run.task_id)
            .bind::<Text, _>(&*run.owner)
            .bind::<BigInt, _>(run.token)
            .bind::<Text, _>(&*run.log_id)
    }};
}

pub(super) fn write(conn: &mut SqliteConnection, writes: &Writes) -> QueryResult<Written> {
    let open = open_claims(conn, writes)?;
    for progress in &writes.progress {
        if is_open(&open, &progress.run) {
            note_running(conn, &progress.run)?;
        }
        write_progress(conn, progress)?;
    }
    let begins = writes.begins.iter().map(|begin| write_begin(conn, &open, begin));
    let begins = begins.collect::<QueryResult<_>>()?;
    let (mut notes, mut times) = (Notes::default(), Times::default());
    let finishes = writes.finishes.iter();
    let finishes = finishes.map(|finish| finish_one(conn, &open, finish, &mut notes, &mut times));
    let finishes = finishes.collect::<QueryResult<_>>()?;
    notes.write(conn)?;
    Ok(Written { begins, finishes })
}

/// The claims of a batch that have a row in `gaia_claims`.
type OpenClaims<'a> = BTreeSet<ClaimKey<'a>>;

fn open_claims<'a>(conn: &mut SqliteConnection, writes: &'a Writes) -> QueryResult<OpenClaims<'a>> {
    let mut open = OpenClaims::new();
    for claim in writes.claims() {
        let (token, node, mark) = claim;
        let is_open: i64 = prepared(IS_OPEN)
            .bind::<BigInt, _>(token)
            .bind::<Text, _>(node)
            .bind::<Text, _>(mark)
            .columns::<BigInt>()
            .get_result(conn)?;
        if is_open != 0 {
            open.insert(claim);
        }
    }
    Ok(open)
}

/// Whether the task of this run may be unseen: its claim has a row.
fn is_open(open: &OpenClaims<'_>, run: &RunKey) -> bool {
    run.claim().is_some_and(|claim| open.contains(&claim))
}

fn finish_one(
    conn: &mut SqliteConnection,
    open: &OpenClaims<'_>,
    finish: &Finish,
    notes: &mut Notes,
    times: &mut Times,
) -> QueryResult<Finished> {
    let is_open = is_open(open, &finish.run);
    let mut write = |finish: &Finish| {
        let written = (is_open && write_end(conn, &UNSEEN, finish, times)?) || write_end(conn, &SEEN, finish, times)?;
        if written && finish.next.record {
            notes.add(finish);
        }
        QueryResult::Ok(written)
    };
    if write(finish)? {
        return Ok(Finished::Written(finish.next.status));
    }
    if finish.next.requeues() {
        // Either the run no longer holds its task, or a caller has asked to cancel it.
        let cancelled = finish.cancelled_instead();
        if write(&cancelled)? {
            return Ok(Finished::Written(cancelled.next.status));
        }
    }
    if is_open {
        prepared(DETACH_ENDED)
            .bind::<BigInt, _>(finish.run.task_id)
            .bind::<BigInt, _>(finish.run.token)
            .execute(conn)?;
    }
    Ok(Finished::Stale)
}

/// Sets the row of the task to Running, if the task is unseen. The claim must have a row.
pub(super) fn note_running(conn: &mut SqliteConnection, run: &RunKey) -> QueryResult<bool> {
    Ok(about!(NOTE_RUNNING, run).execute(conn)? > 0)
}

fn write_begin(
    conn: &mut SqliteConnection,
    open: &OpenClaims<'_>,
    Begin { run, is_last }: &Begin,
) -> QueryResult<bool> {
    let is_shown = is_open(open, run) && note_running(conn, run)?;
    if *is_last {
        return Ok(about!(BEGIN, run).execute(conn)? > 0);
    }
    if is_shown {
        return Ok(true);
    }
    let holds: i64 = about!(HOLDS, run).columns::<BigInt>().get_result(conn)?;
    Ok(holds != 0)
}

fn write_progress(conn: &mut SqliteConnection, progress: &Progress) -> QueryResult<usize> {
    about!(PROGRESS, &progress.run)
        .bind::<Integer, _>(progress.percent)
        .bind::<Text, _>(&progress.note)
        .execute(conn)
}

/// The statements for ends of runs: the task is finished, the task goes back to the queue, the task is handed back as if not claimed.
struct Ends {
    end: &'static str,
    requeue: &'static str,
    release: &'static str,
}

/// For tasks whose rows say Running.
const SEEN: Ends = Ends {
    end: END,
    requeue: REQUEUE,
    release: RELEASE,
};

/// For unseen tasks.
const UNSEEN: Ends = Ends {
    end: END_UNSEEN,
    requeue: REQUEUE_UNSEEN,
    release: RELEASE_UNSEEN,
};

/// Writes the end of a run, if the run still holds its task. An end that puts the task back into the queue is not written if a caller has
/// asked to cancel the task.
fn write_end(conn: &mut SqliteConnection, ends: &Ends, finish: &Finish, times: &mut Times) -> QueryResult<bool> {
    let written = match (finish.next.requeues(), finish.next.record) {
        (false, _) => end(conn, ends.end, finish, times)?,
        (true, true) => end(conn, ends.requeue, finish, times)?,
        (true, false) => release(conn, ends.release, finish, times)?,
    };
    Ok(written > 0)
}

fn end(conn: &mut SqliteConnection, sql: &'static str, finish: &Finish, times: &mut Times) -> QueryResult<usize> {
    about!(sql, &finish.run)
        .bind::<Text, _>(finish.next.status.as_str())
        .bind::<Integer, _>(finish.next.retry_time)
        .bind::<Nullable<Text>, _>(finish.next.run_at.map(|at| times.text(at)))
        .bind::<Text, _>(times.text(finish.started_at))
        .bind::<Text, _>(times.text(finish.ended_at))
        .bind::<BigInt, _>(finish.duration_ms())
        .bind::<Nullable<Text>, _>(finish.next.result.as_deref())
        .bind::<Nullable<Text>, _>(finish.next.error.as_deref())
        .execute(conn)
}

fn release(conn: &mut SqliteConnection, sql: &'static str, finish: &Finish, times: &mut Times) -> QueryResult<usize> {
    about!(sql, &finish.run)
        .bind::<Text, _>(finish.next.status.as_str())
        .bind::<Text, _>(times.text(finish.ended_at))
        .bind::<Integer, _>(finish.next.retry_time)
        .bind::<Nullable<Text>, _>(finish.next.run_at.map(|at| times.text(at)))
        .execute(conn)
}

/// The tasks whose runs get an execution record, by the facts that are not in the tasks' rows: the node, and the attempt minus the
/// retries used.
#[derive(Default)]
struct Notes(BTreeMap<(Arc<str>, i32), Vec<i64>>);

impl Notes {
    fn add(&mut self, finish: &Finish) {
        let beyond = finish.attempt - finish.next.retry_time;
        let kind = (Arc::clone(&finish.run.owner), beyond);
        self.0.entry(kind).or_default().push(finish.run.task_id);
    }

    fn write(self, conn: &mut SqliteConnection) -> QueryResult<()> {
        for ((owner, beyond), ids) in self.0 {
            let ids = serde_json::to_string(&ids).map_err(|error| Error::SerializationError(Box::new(error)))?;
            prepared(INSERT_RECORD)
                .bind::<Text, _>(ids)
                .bind::<Integer, _>(beyond)
                .bind::<Text, _>(&*owner)
                .execute(conn)?;
        }
        Ok(())
    }
}

/// Times as diesel writes them. The times of a batch lie close together, so the text of a second is made once.
#[derive(Default)]
struct Times {
    second: Option<i64>,
    text: String,
}

impl Times {
    fn text(&mut self, at: DateTime<Utc>) -> String {
        if self.second != Some(at.timestamp()) {
            self.second = Some(at.timestamp());
            self.text = at.format("%F %T").to_string();
        }
        let (second, micros) = (&self.text, at.timestamp_subsec_micros());
        match (micros, micros % 1_000) {
            (0, _) => second.clone(),
            (_, 0) => format!("{second}.{:03}", micros / 1_000),
            _ => format!("{second}.{micros:06}"),
        }
    }
}
