//! Deleting finished tasks, each with its records and with what it has waited for: one transaction.

use std::collections::BTreeMap;

use diesel::{ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl};

use super::held::forget_waits;
use crate::store::{
    lenient::AnyText,
    schema::{asynctask_exec_row, asynctasks, gaia_links},
    statement::transaction::on_each_connection,
};

/// Tasks to delete, if they have one of the statuses.
pub(in crate::store) struct Unwanted {
    pub(in crate::store) ids: Vec<i64>,
    pub(in crate::store) statuses: Vec<&'static str>,
}

#[cfg(feature = "sqlite")]
impl Unwanted {
    pub(in crate::store) fn rows(&self) -> usize {
        2 * self.ids.len()
    }
}

/// Answers how many tasks were deleted. If the end of one is not counted yet for a task that waits for it, the link keeps it.
macro_rules! delete_finished {
    ($conn:ident, $unwanted:ident, $lock:ident, $open:ident, [$($wait:tt)*]) => {{
        let finished = asynctasks::table
            .filter(asynctasks::id.eq_any(&$unwanted.ids))
            .filter(asynctasks::task_status.eq_any(&$unwanted.statuses));
        let uncounted: Vec<(i64, Option<AnyText>)> = gaia_links::table
            .inner_join(asynctasks::table.on(asynctasks::id.nullable().eq(gaia_links::open_task)))
            .filter(gaia_links::open_task.eq_any(&$unwanted.ids))
            .select((asynctasks::id, asynctasks::task_status))
            .load($conn)$($wait)*?;
        let deleted = diesel::delete(finished).execute($conn)$($wait)*?;
        let left: Vec<i64> = asynctasks::table
            .filter(asynctasks::id.eq_any(&$unwanted.ids))
            .select(asynctasks::id)
            .load($conn)$($wait)*?;
        let gone: Vec<i64> = $unwanted.ids.iter().copied().filter(|id| !left.contains(id)).collect();
        diesel::delete(asynctask_exec_row::table.filter(asynctask_exec_row::task_id.eq_any(&gone)))
            .execute($conn)$($wait)*?;
        forget_waits!($conn, &gone, [$($wait)*]);
        let mut ends: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for (id, status) in uncounted {
            if let Some(AnyText(status)) = status.filter(|_| gone.contains(&id)) {
                ends.entry(status).or_default().push(id);
            }
        }
        for (end, tasks) in ends {
            diesel::update(gaia_links::table.filter(gaia_links::open_task.eq_any(tasks)))
                .set(gaia_links::task_status.eq(end))
                .execute($conn)$($wait)*?;
        }
        Ok(deleted)
    }};
}

on_each_connection!(delete_finished, Unwanted, usize);
