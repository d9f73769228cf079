//! Writing what happened to runs, inside a transaction: row by row, each by a statement that stays prepared (one statement for
//! the whole batch, out of a JSON text, takes longer), and the records of all of them at the end.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    result::Error,
    sql_types::{BigInt, Integer, Nullable, Text},
    sqlite::SqliteConnection,
};

use crate::store::{
    prepared::prepared,
    rows::{Begin, Finish, Finished, Progress, RunKey, Writes, Written},
};

/// The condition of every write about a run: the run still holds its task.
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

/// What goes back to the queue does not, if somebody wants it cancelled.
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

const BEGIN: &str = held!("began = 1");

const PROGRESS: &str = held!("progress = ?5, progress_note = ?6");

const END: &str = with_end!(held, "finished_at = ?9");

const REQUEUE: &str = with_end!(unless_cancelled, "finished_at = NULL");

/// A claim is given back as if it had not been made; at once or for later; the row's history stays.
const RELEASE: &str = unless_cancelled!(
    "task_status = ?5, update_time = ?6, lease_owner = NULL, queued = 0, retry_time = ?7, run_at = ?8"
);

/// The records say what the tasks' rows say now. `OR FAIL`: the transaction is undone anyway if one cannot be written, and
/// SQLite need not be able to undo this statement alone.
const NOTE: &str = "INSERT OR FAIL INTO asynctask_exec_row (task_id, task_status, last_result, last_err_msg, last_run_time, \
      last_run_end_time, last_run_duration, log_id, create_time, attempt, node_id, lease_token) \
    SELECT t.id, t.task_status, t.last_result, t.last_err_msg, t.last_run_time, t.last_run_end_time, t.last_run_duration, \
      t.log_id, t.update_time, t.retry_time + ?2, ?3, t.lease_token \
    FROM json_each(?1) i CROSS JOIN asynctasks t ON t.id = i.value";

pub(super) fn write(conn: &mut SqliteConnection, writes: &Writes) -> QueryResult<Written> {
    for progress in &writes.progress {
        write_progress(conn, progress)?;
    }
    let begins = writes.begins.iter().map(|begin| write_begin(conn, begin));
    let begins = begins.collect::<QueryResult<_>>()?;
    let (mut notes, mut times) = (Notes::default(), Times::default());
    let finishes = writes.finishes.iter();
    let finishes = finishes.map(|finish| finish_one(conn, finish, &mut notes, &mut times));
    let finishes = finishes.collect::<QueryResult<_>>()?;
    notes.write(conn)?;
    Ok(Written { begins, finishes })
}

fn finish_one(
    conn: &mut SqliteConnection,
    finish: &Finish,
    notes: &mut Notes,
    times: &mut Times,
) -> QueryResult<Finished> {
    let mut write = |finish: &Finish| {
        let written = write_end(conn, finish, times)?;
        if written && finish.next.record {
            notes.add(finish);
        }
        QueryResult::Ok(written)
    };
    if write(finish)? {
        return Ok(Finished::Written(finish.next.status));
    }
    if !finish.next.requeues() {
        return Ok(Finished::Stale);
    }
    // Either the task is in other hands, or somebody has asked to cancel it.
    let cancelled = finish.cancelled_instead();
    Ok(match write(&cancelled)? {
        true => Finished::Written(cancelled.next.status),
        false => Finished::Stale,
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

/// Writes the end of a run, if the run still holds its task, and if nobody wants the task cancelled where it would be queued
/// again.
fn write_end(conn: &mut SqliteConnection, finish: &Finish, times: &mut Times) -> QueryResult<bool> {
    let written = match (finish.next.requeues(), finish.next.record) {
        (false, _) => end(conn, END, finish, times)?,
        (true, true) => end(conn, REQUEUE, finish, times)?,
        (true, false) => release(conn, finish, times)?,
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

fn release(conn: &mut SqliteConnection, finish: &Finish, times: &mut Times) -> QueryResult<usize> {
    about!(RELEASE, &finish.run)
        .bind::<Text, _>(finish.next.status.as_str())
        .bind::<Text, _>(times.text(finish.ended_at))
        .bind::<Integer, _>(finish.next.retry_time)
        .bind::<Nullable<Text>, _>(finish.next.run_at.map(|at| times.text(at)))
        .execute(conn)
}

/// The tasks whose runs leave a record, by what is not in their rows: the node, and by how much the attempt exceeds the retries.
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
            prepared(NOTE)
                .bind::<Text, _>(ids)
                .bind::<Integer, _>(beyond)
                .bind::<Text, _>(&*owner)
                .execute(conn)?;
        }
        Ok(())
    }
}

/// Times as diesel writes them. Those of a batch lie close together, so the text of a second is made once.
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
