//! Deleting finished tasks, each with its records and with what it has waited for: one transaction.

use diesel::{ExpressionMethods, QueryDsl};

use super::held::forget_waits;
use crate::store::{
    schema::{asynctask_exec_row, asynctasks},
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

/// Answers how many tasks were deleted.
macro_rules! delete_finished {
    ($conn:ident, $unwanted:ident, $lock:ident, $open:ident, [$($wait:tt)*]) => {{
        let finished = asynctasks::table
            .filter(asynctasks::id.eq_any(&$unwanted.ids))
            .filter(asynctasks::task_status.eq_any(&$unwanted.statuses));
        let deleted = diesel::delete(finished).execute($conn)$($wait)*?;
        let left: Vec<i64> = asynctasks::table
            .filter(asynctasks::id.eq_any(&$unwanted.ids))
            .select(asynctasks::id)
            .load($conn)$($wait)*?;
        let gone: Vec<i64> = $unwanted.ids.iter().copied().filter(|id| !left.contains(id)).collect();
        diesel::delete(asynctask_exec_row::table.filter(asynctask_exec_row::task_id.eq_any(&gone)))
            .execute($conn)$($wait)*?;
        forget_waits!($conn, &gone, [$($wait)*]);
        Ok(deleted)
    }};
}

on_each_connection!(delete_finished, Unwanted, usize);
