//! Deleting tasks, each with its records and with what it has waited for: one transaction.

use diesel::{BoolExpressionMethods, ExpressionMethods, JoinOnDsl, QueryDsl};

use super::{Expired, is_finished, is_ours, waited_for};
use crate::store::{
    schema::{asynctask_exec_row, asynctasks, gaia_links},
    statement::transaction::on_each_connection,
    tasks::held::forget_waits,
};

/// Tasks to delete, if they are still expired then.
pub(in crate::store) struct Doomed {
    pub(in crate::store) expired: Expired,
    pub(in crate::store) ids: Vec<i64>,
}

#[cfg(feature = "sqlite")]
impl Doomed {
    pub(in crate::store) fn rows(&self) -> usize {
        2 * self.ids.len()
    }
}

/// Deletes tasks. A caller may have queued one of them again since they were read, so the statement that deletes them judges each again
/// (model: task::PruneLooksAgain). Then the records of the deleted tasks are deleted. A task stays while another one, which is not finished,
/// waits for it: that one reads its result.
macro_rules! delete_tasks {
    ($conn:ident, $doomed:ident, $lock:ident, $open:ident, [$($wait:tt)*]) => {{
        let expired = &$doomed.expired;
        let waited_for: Vec<i64> = waited_for!(&$doomed.ids).load($conn)$($wait)*?;
        let ids: Vec<i64> = $doomed.ids.iter().copied().filter(|id| !waited_for.contains(id)).collect();
        let still = asynctasks::table
            .filter(asynctasks::id.eq_any(&ids))
            .filter(asynctasks::system_name.eq_any(&expired.themes))
            .filter(is_finished!())
            .filter(asynctasks::update_time.lt(expired.before));
        let deleted = match expired.foreign {
            true => diesel::delete(still).execute($conn)$($wait)*?,
            false => diesel::delete(still.filter(is_ours!())).execute($conn)$($wait)*?,
        };
        let left: Vec<i64> = asynctasks::table
            .filter(asynctasks::id.eq_any(&ids))
            .select(asynctasks::id)
            .load($conn)$($wait)*?;
        let gone: Vec<i64> = ids.into_iter().filter(|id| !left.contains(id)).collect();
        diesel::delete(asynctask_exec_row::table.filter(asynctask_exec_row::task_id.eq_any(&gone)))
            .execute($conn)$($wait)*?;
        forget_waits!($conn, &gone, [$($wait)*]);
        Ok(deleted)
    }};
}

on_each_connection!(delete_tasks, Doomed, usize);
