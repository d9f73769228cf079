//! Attempts that have failed, whatever became of their tasks.
//!
//! No index has the times at which runs ended, so the look walks over the tasks from the newest on, as a search does.

use std::time::Instant;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    rows::status_of,
    search::{EXCERPT, FIRST_WINDOW, LOOK_FOR, next_window},
};
use crate::{
    domain::{Excerpt, FailedAttempt, SearchedTo},
    store::{
        StoreError, TaskStore,
        db::on_backend,
        lenient::{AnyInt, AnyText, AnyTime, number, text, time},
        schema::{asynctask_exec_row, asynctasks},
        statement::lists::{octet_length, substr},
        time::StoredTime,
    },
};

/// How many attempts are read at a time.
const PAGE: usize = 1_000;

/// The ids of the task and of the record; service, method and status of the task; end and error of the run, and how long the error is.
type Row = (
    i64,
    i64,
    AnyText,
    AnyText,
    Option<AnyText>,
    Option<AnyTime>,
    Option<AnyText>,
    Option<AnyInt>,
);

/// Where to look.
struct Window<'a> {
    theme: &'a str,
    ended_from: Option<DateTime<Utc>>,
    first: i64,
    last: i64,
    /// Only attempts behind this one: the ids of its task and of its record.
    behind: Option<(i64, i64)>,
}

impl TaskStore<'_> {
    /// Hands over the attempts of the theme's tasks that have failed and ended at or after a time: those of the newest task first, the newest
    /// of each task first. It looks for half a second; `None`: that was enough to look at all tasks.
    pub(crate) async fn failed_attempts(
        &self,
        theme: &str,
        ended_from: Option<DateTime<Utc>>,
        mut take: impl FnMut(FailedAttempt),
    ) -> Result<Option<SearchedTo>, StoreError> {
        let began = Instant::now();
        let (mut looked_to, mut length) = (i64::MAX, FIRST_WINDOW);
        while began.elapsed() < LOOK_FOR {
            let before = Instant::now();
            let Some(last) = self.newest_before(looked_to).await? else {
                return Ok(None);
            };
            let mut window = Window {
                theme,
                ended_from,
                first: last.saturating_sub(length - 1),
                last,
                behind: None,
            };
            loop {
                let rows = self.failures_in(&window).await?;
                let is_last = rows.len() < PAGE;
                window.behind = rows.last().map(|row| (row.0, row.1));
                rows.into_iter().map(attempt).for_each(&mut take);
                match window.behind {
                    _ if is_last => break,
                    Some((task, _)) if began.elapsed() >= LOOK_FOR => return Ok(Some(self.searched_to(task).await?)),
                    _ => {}
                }
            }
            looked_to = window.first;
            length = next_window(length, before.elapsed());
        }
        Ok(Some(self.searched_to(looked_to).await?))
    }

    async fn failures_in(&self, window: &Window<'_>) -> Result<Vec<Row>, StoreError> {
        let mut conn = self.db.look().await?;
        Ok(on_backend!(conn, |conn| {
            let mut query = asynctask_exec_row::table
                .inner_join(asynctasks::table.on(asynctasks::id.eq(asynctask_exec_row::task_id)))
                .filter(asynctask_exec_row::task_id.ge(window.first))
                .filter(asynctask_exec_row::task_id.le(window.last))
                .filter(asynctasks::system_name.eq(window.theme))
                .filter(asynctask_exec_row::task_status.eq_any(["Retry", "Failed"]))
                // A run that asked to run again later has no error.
                .filter(
                    asynctask_exec_row::last_err_msg
                        .is_not_null()
                        .or(asynctask_exec_row::task_status.eq("Failed").assume_not_null()),
                )
                .into_boxed();
            if let Some(from) = window.ended_from {
                query = query.filter(asynctask_exec_row::last_run_end_time.ge(StoredTime::from(from)));
            }
            if let Some((task, record)) = window.behind {
                let is_of_task = asynctask_exec_row::task_id.eq(task);
                let is_older = asynctask_exec_row::task_id.lt(task);
                query = query.filter(is_older.or(is_of_task.and(asynctask_exec_row::id.lt(record))));
            }
            query
                .order((asynctask_exec_row::task_id.desc(), asynctask_exec_row::id.desc()))
                .limit(i64::try_from(PAGE).unwrap_or(i64::MAX))
                .select((
                    asynctask_exec_row::task_id,
                    asynctask_exec_row::id,
                    asynctasks::service_name,
                    asynctasks::method_name,
                    asynctasks::task_status,
                    asynctask_exec_row::last_run_end_time,
                    substr(asynctask_exec_row::last_err_msg, 1, EXCERPT),
                    octet_length(asynctask_exec_row::last_err_msg),
                ))
                .load(conn)
                .await
        })?)
    }
}

fn attempt((task, _, service, method, status, ended, error, bytes): Row) -> FailedAttempt {
    let excerpt = |text: String| Excerpt {
        bytes: number_of(bytes, &text),
        text,
    };
    FailedAttempt {
        task,
        service: service.0,
        method: method.0,
        status: status_of(text(status).as_deref()),
        ended: time(ended),
        error: text(error).map(excerpt),
    }
}

/// How many bytes the whole text has.
fn number_of(bytes: Option<AnyInt>, text: &str) -> i64 {
    number(bytes).unwrap_or_else(|| i64::try_from(text.len()).unwrap_or(i64::MAX))
}
