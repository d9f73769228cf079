//! Counting the ends of tasks for which others wait, and releasing these: one transaction.

mod counts;
mod statements;

use std::collections::HashSet;

use diesel::{ExpressionMethods, QueryDsl};

pub(crate) use self::counts::Released;
use self::counts::{Closing, HeldRow, HeldTask, OpenLink};
pub(in crate::store) use self::statements::Ended;
pub(super) use self::statements::{Words, list};
use crate::{
    domain::TaskStatus,
    store::{
        lenient::AnyText,
        schema::{asynctasks, gaia_held},
        statement::transaction::on_each_connection,
        time::StoredTime,
    },
};

/// The error of a held task that is cancelled.
const NOT_SUCCEEDED: &str = "cancelled, because a task for which it waited has not succeeded";

/// The links are read under the lock on the rows of the held tasks (model: batch::LockedHeld), so each end is counted once, even if other processes
/// count at the same time. A link whose end is counted is open no more (model: batch::ClosedLink). All of it is one transaction, and may be repeated.
///
/// A held task whose row another session has locked stays as it is, and so do its links and counts: no other task waits along.
macro_rules! release {
    ($conn:ident, $ended:ident, $lock:ident, $open:ident, [$($wait:tt)*]) => {{
        let held: Vec<HeldRow> = diesel::sql_query($ended.lock_held()).load($conn)$($wait)*?;
        let mut links: Vec<OpenLink> = diesel::sql_query($ended.open_links()).load($conn)$($wait)*?;
        links.retain(|link| $ended.holds(link.held_id));
        let tasks: HashSet<i64> = links.iter().map(|link| link.open_task).collect();
        let statuses: Vec<(i64, Option<AnyText>)> = asynctasks::table
            .filter(asynctasks::id.eq_any(tasks))
            .select((asynctasks::id, asynctasks::task_status))
            .load($conn)$($wait)*?;
        let mut closing = Closing::of(held, links, statuses);

        let decided = closing.decided();
        let mut tasks = Vec::new();
        let mut locked = HashSet::new();
        if !decided.is_empty() {
            tasks = diesel::sql_query($ended.lock_tasks(&decided)).load::<HeldTask>($conn)$($wait)*?;
            let free: HashSet<i64> = tasks.iter().map(|task| task.id).collect();
            // A task without a row is not locked.
            let others: Vec<i64> = decided.into_iter().filter(|id| !free.contains(id)).collect();
            if !others.is_empty() {
                let others = asynctasks::table.filter(asynctasks::id.eq_any(others));
                locked = others.select(asynctasks::id).load($conn)$($wait)*?.into_iter().collect();
            }
            closing.leave(&locked);
        }

        for (end, (tasks, held)) in closing.by_end() {
            diesel::sql_query($ended.close_links(end, &tasks, &held)).execute($conn)$($wait)*?;
        }
        for ([unfinished, succeeded, failed, cancelled], held) in closing.by_counts() {
            diesel::update(gaia_held::table.filter(gaia_held::task_id.eq_any(held)))
                .set((
                    gaia_held::unfinished.eq(unfinished),
                    gaia_held::succeeded.eq(succeeded),
                    gaia_held::failed.eq(failed),
                    gaia_held::cancelled.eq(cancelled),
                ))
                .execute($conn)$($wait)*?;
        }
        let decided = closing.decide(&tasks);
        if !decided.due.is_empty() {
            diesel::update(asynctasks::table.filter(asynctasks::id.eq_any(&decided.due)))
                .set((
                    asynctasks::run_at.eq(None::<StoredTime>),
                    asynctasks::update_time.eq($ended.now),
                ))
                .execute($conn)$($wait)*?;
        }
        if !decided.cancelled.is_empty() {
            diesel::update(asynctasks::table.filter(asynctasks::id.eq_any(&decided.cancelled)))
                .set((
                    asynctasks::task_status.eq(TaskStatus::Cancelled.as_str()),
                    asynctasks::run_at.eq(None::<StoredTime>),
                    asynctasks::last_err_msg.eq(NOT_SUCCEEDED),
                    asynctasks::update_time.eq($ended.now),
                    asynctasks::finished_at.eq($ended.now),
                ))
                .execute($conn)$($wait)*?;
        }
        if !decided.ended.is_empty() {
            diesel::update(asynctasks::table.filter(asynctasks::id.eq_any(&decided.ended)))
                .set(asynctasks::run_at.eq(None::<StoredTime>))
                .execute($conn)$($wait)*?;
        }
        Ok(Released::new(&decided, tasks, !locked.is_empty()))
    }};
}

on_each_connection!(release, Ended, Released);
