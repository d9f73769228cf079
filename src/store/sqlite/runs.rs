//! Writing what happened to runs, inside a transaction: row by row, each by a statement that stays prepared. One statement for
//! the whole batch, out of a JSON text, takes longer.

use diesel::{
    prelude::*,
    sql_types::{BigInt, Integer, Nullable, Text, Timestamp},
    sqlite::SqliteConnection,
};

use crate::store::{
    prepared::prepared,
    rows::{Begin, Finish, Finished, Progress, RunKey, Writes, Written},
};

/// The condition of every write about a run: the run still holds its task.
macro_rules! held {
    ($set:literal) => {
        held!($set, "")
    };
    ($set:literal, $condition:literal) => {
        concat!(
            "UPDATE asynctasks SET ",
            $set,
            " WHERE id = ?1 AND lease_owner = ?2 AND lease_token = ?3 AND IFNULL(log_id, '') = ?4 \
             AND task_status = 'Running' ",
            $condition
        )
    };
}

/// What goes back to the queue does not, if somebody wants it cancelled.
macro_rules! unless_cancelled {
    ($set:literal) => {
        held!($set, "AND cancel_requested = 0")
    };
}

macro_rules! with_end {
    ($held:ident) => {
        $held!(
            "task_status = ?5, retry_time = ?6, run_at = ?7, last_run_time = ?8, last_run_end_time = ?9, \
             last_run_duration = ?10, last_result = ?11, last_err_msg = ?12, update_time = ?9, lease_owner = NULL, \
             cancel_requested = 0"
        )
    };
}

const BEGIN: &str = held!("began = 1");

const PROGRESS: &str = held!("progress = ?5, progress_note = ?6");

const END: &str = with_end!(held);

const REQUEUE: &str = with_end!(unless_cancelled);

/// A claim is given back as if it had not been made.
const RELEASE: &str = unless_cancelled!("task_status = ?5, update_time = ?6, lease_owner = NULL");

/// The record says what the task's row says now.
const NOTE: &str = "INSERT INTO asynctask_exec_row (task_id, task_status, last_result, last_err_msg, last_run_time, \
      last_run_end_time, last_run_duration, log_id, create_time, attempt, node_id, lease_token) \
    SELECT id, task_status, last_result, last_err_msg, last_run_time, last_run_end_time, last_run_duration, log_id, \
      update_time, ?2, ?3, lease_token FROM asynctasks WHERE id = ?1";

pub(super) fn write(conn: &mut SqliteConnection, writes: &Writes) -> QueryResult<Written> {
    for progress in &writes.progress {
        write_progress(conn, progress)?;
    }
    let begins = writes.begins.iter().map(|begin| write_begin(conn, begin));
    let begins = begins.collect::<QueryResult<_>>()?;
    let finishes = writes.finishes.iter().map(|finish| finish_one(conn, finish));
    Ok(Written {
        begins,
        finishes: finishes.collect::<QueryResult<_>>()?,
    })
}

fn finish_one(conn: &mut SqliteConnection, finish: &Finish) -> QueryResult<Finished> {
    if write_end(conn, finish)? {
        return Ok(Finished::Written(finish.next.status));
    }
    if !finish.next.requeues() {
        return Ok(Finished::Stale);
    }
    // Either the task is in other hands, or somebody has asked to cancel it.
    let cancelled = finish.cancelled_instead();
    Ok(if write_end(conn, &cancelled)? {
        Finished::Written(cancelled.next.status)
    } else {
        Finished::Stale
    })
}

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

fn write_begin(conn: &mut SqliteConnection, begin: &Begin) -> QueryResult<bool> {
    Ok(about!(BEGIN, &begin.run).execute(conn)? > 0)
}

fn write_progress(conn: &mut SqliteConnection, progress: &Progress) -> QueryResult<usize> {
    about!(PROGRESS, &progress.run)
        .bind::<Integer, _>(progress.percent)
        .bind::<Text, _>(&progress.note)
        .execute(conn)
}

/// Writes the end of a run and its record, if the run still holds its task, and if nobody wants the task cancelled where it
/// would be queued again.
fn write_end(conn: &mut SqliteConnection, finish: &Finish) -> QueryResult<bool> {
    let written = match (finish.next.requeues(), finish.next.record) {
        (false, _) => end(conn, END, finish)?,
        (true, true) => end(conn, REQUEUE, finish)?,
        (true, false) => release(conn, finish)?,
    };
    if written > 0 && finish.next.record {
        note(conn, finish)?;
    }
    Ok(written > 0)
}

fn end(conn: &mut SqliteConnection, sql: &'static str, finish: &Finish) -> QueryResult<usize> {
    about!(sql, &finish.run)
        .bind::<Text, _>(finish.next.status.as_str())
        .bind::<Integer, _>(finish.next.retry_time)
        .bind::<Nullable<Timestamp>, _>(finish.next.run_at.map(|at| at.naive_utc()))
        .bind::<Timestamp, _>(finish.started_at.naive_utc())
        .bind::<Timestamp, _>(finish.ended_at.naive_utc())
        .bind::<BigInt, _>(finish.duration_ms())
        .bind::<Nullable<Text>, _>(finish.next.result.as_deref())
        .bind::<Nullable<Text>, _>(finish.next.error.as_deref())
        .execute(conn)
}

fn release(conn: &mut SqliteConnection, finish: &Finish) -> QueryResult<usize> {
    about!(RELEASE, &finish.run)
        .bind::<Text, _>(finish.next.status.as_str())
        .bind::<Timestamp, _>(finish.ended_at.naive_utc())
        .execute(conn)
}

fn note(conn: &mut SqliteConnection, finish: &Finish) -> QueryResult<usize> {
    prepared(NOTE)
        .bind::<BigInt, _>(finish.run.task_id)
        .bind::<Integer, _>(finish.attempt)
        .bind::<Text, _>(&*finish.run.owner)
        .execute(conn)
}
