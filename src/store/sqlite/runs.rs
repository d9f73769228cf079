//! Writing what happened to runs, inside a transaction.

use chrono::NaiveDateTime;
use diesel::{prelude::*, sqlite::SqliteConnection};

use crate::{
    domain::TaskStatus,
    store::{
        rows::{Begin, Finish, Finished, Progress, Writes, Written},
        schema::{asynctask_exec_row, asynctasks},
    },
};

#[derive(AsChangeset)]
#[diesel(table_name = asynctasks, treat_none_as_null = true)]
struct FinishedTask<'a> {
    task_status: &'static str,
    retry_time: i32,
    run_at: Option<NaiveDateTime>,
    last_run_time: NaiveDateTime,
    last_run_end_time: NaiveDateTime,
    last_run_duration: i64,
    last_result: Option<&'a str>,
    last_err_msg: Option<&'a str>,
    update_time: NaiveDateTime,
    lease_owner: Option<&'a str>,
    cancel_requested: i32,
}

/// A claim that is given back as if it had not been made.
#[derive(AsChangeset)]
#[diesel(table_name = asynctasks, treat_none_as_null = true)]
struct ReleasedTask<'a> {
    task_status: &'static str,
    update_time: NaiveDateTime,
    lease_owner: Option<&'a str>,
}

#[derive(Insertable)]
#[diesel(table_name = asynctask_exec_row)]
struct NewRecord<'a> {
    task_id: i64,
    task_status: &'static str,
    last_result: Option<&'a str>,
    last_err_msg: Option<&'a str>,
    last_run_time: NaiveDateTime,
    last_run_end_time: NaiveDateTime,
    last_run_duration: i64,
    log_id: &'a str,
    create_time: NaiveDateTime,
    attempt: i32,
    node_id: &'a str,
    lease_token: i64,
}

impl Finish {
    fn task(&self) -> FinishedTask<'_> {
        FinishedTask {
            task_status: self.next.status.as_str(),
            retry_time: self.next.retry_time,
            run_at: self.next.run_at.map(|at| at.naive_utc()),
            last_run_time: self.started_at.naive_utc(),
            last_run_end_time: self.ended_at.naive_utc(),
            last_run_duration: self.duration_ms(),
            last_result: self.next.result.as_deref(),
            last_err_msg: self.next.error.as_deref(),
            update_time: self.ended_at.naive_utc(),
            lease_owner: None,
            cancel_requested: 0,
        }
    }

    fn release(&self) -> ReleasedTask<'_> {
        ReleasedTask {
            task_status: self.next.status.as_str(),
            update_time: self.ended_at.naive_utc(),
            lease_owner: None,
        }
    }

    fn record(&self) -> NewRecord<'_> {
        NewRecord {
            task_id: self.run.task_id,
            task_status: self.next.status.as_str(),
            last_result: self.next.result.as_deref(),
            last_err_msg: self.next.error.as_deref(),
            last_run_time: self.started_at.naive_utc(),
            last_run_end_time: self.ended_at.naive_utc(),
            last_run_duration: self.duration_ms(),
            log_id: &self.log_id,
            create_time: self.ended_at.naive_utc(),
            attempt: self.attempt,
            node_id: &self.run.owner,
            lease_token: self.run.token,
        }
    }
}

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

/// The task, if the run with this lease still holds it. The condition of every write about a run.
macro_rules! held {
    ($write:expr) => {
        asynctasks::table
            .filter(asynctasks::id.eq($write.run.task_id))
            .filter(asynctasks::lease_owner.eq(&$write.run.owner))
            .filter(asynctasks::lease_token.eq($write.run.token))
            .filter(asynctasks::task_status.eq(TaskStatus::Running.as_str()))
    };
}

fn write_begin(conn: &mut SqliteConnection, begin: &Begin) -> QueryResult<bool> {
    let begun = diesel::update(held!(begin)).set(asynctasks::began.eq(1));
    Ok(begun.execute(conn)? > 0)
}

fn write_progress(conn: &mut SqliteConnection, progress: &Progress) -> QueryResult<usize> {
    diesel::update(held!(progress))
        .set((
            asynctasks::progress.eq(progress.percent),
            asynctasks::progress_note.eq(&progress.note),
        ))
        .execute(conn)
}

/// Writes the end of a run and its record, if the run still holds its task, and if nobody wants the task cancelled where it
/// would be queued again.
fn write_end(conn: &mut SqliteConnection, finish: &Finish) -> QueryResult<bool> {
    let held = held!(finish);
    let wanted = held.filter(asynctasks::cancel_requested.eq(0));
    let written = match (finish.next.requeues(), finish.next.record) {
        (false, _) => diesel::update(held).set(finish.task()).execute(conn)?,
        (true, true) => diesel::update(wanted).set(finish.task()).execute(conn)?,
        (true, false) => diesel::update(wanted).set(finish.release()).execute(conn)?,
    };
    if written > 0 && finish.next.record {
        diesel::insert_into(asynctask_exec_row::table)
            .values(finish.record())
            .execute(conn)?;
    }
    Ok(written > 0)
}
