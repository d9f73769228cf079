//! A method has no limit for its keys any more: tasks that wait for one are due.

use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, SelectableHelper,
    dsl::{exists, not},
};

use crate::{
    domain::TaskStatus,
    store::{
        cluster::limits::{LimitRow, of_method},
        lenient::AnyText,
        schema::{asynctasks, gaia_aside, gaia_keys, gaia_limits},
        statement::transaction::on_each_connection,
        tasks::held::HELD_UNTIL,
        time::StoredTime,
    },
};

/// How many tasks one transaction frees.
pub(super) const PIECE: i64 = 500;

/// The method.
#[derive(Debug)]
pub(in crate::store) struct FreeAside {
    pub(super) service: String,
    pub(super) method: String,
}

impl FreeAside {
    pub(super) fn new(service: &str, method: &str) -> Self {
        Self {
            service: service.to_owned(),
            method: method.to_owned(),
        }
    }

    #[cfg(feature = "sqlite")]
    #[expect(clippy::unused_self, reason = "as others have it")]
    pub(in crate::store) fn rows(&self) -> usize {
        2 * usize::try_from(PIECE).unwrap_or(1)
    }
}

/// Answers with the themes of the tasks, once for each, and with whether more may be left.
macro_rules! free_aside {
    ($conn:ident, $free:ident, $lock:ident, $open:ident, [$($wait:tt)*]) => {{
        let (service, method) = (&$free.service, &$free.method);
        let locked = diesel::update(of_method!(gaia_limits, service, method))
            .set(gaia_limits::settled.eq(gaia_limits::settled + 1))
            .execute($conn)$($wait)*?;
        let row: Option<LimitRow> = match locked {
            0 => None,
            _ => of_method!(gaia_limits, service, method).select(LimitRow::as_select()).first($conn)$($wait)*.optional()?,
        };
        if row.and_then(LimitRow::stored).is_some_and(|stored| stored.limit.is_of_keys()) {
            // It has one again.
            return Ok((Vec::new(), false));
        }
        let aside: Vec<i64> = of_method!(gaia_aside, service, method)
            .order(gaia_aside::task_id)
            .limit(PIECE)
            .select(gaia_aside::task_id)
            .load($conn)$($wait)*?;
        if aside.is_empty() {
            // If the method has got a limit in between, tasks wait for these keys again.
            let waits = gaia_aside::table
                .filter(gaia_aside::service.eq(gaia_keys::service))
                .filter(gaia_aside::method.eq(gaia_keys::method))
                .filter(gaia_aside::limit_key.eq(gaia_keys::limit_key));
            let over = of_method!(gaia_keys, service, method).filter(not(exists(waits)));
            diesel::delete(over).execute($conn)$($wait)*?;
            return Ok((Vec::new(), false));
        }
        let waiting = [TaskStatus::Wait.as_str(), TaskStatus::Retry.as_str()];
        let tasks = asynctasks::table
            .filter(asynctasks::id.eq_any(&aside))
            .filter(asynctasks::task_status.eq_any(waiting))
            .filter(asynctasks::run_at.eq(HELD_UNTIL));
        let themes: Vec<AnyText> = tasks.clone().select(asynctasks::system_name).distinct().load($conn)$($wait)*?;
        if !themes.is_empty() {
            diesel::update(tasks)
                .set((
                    asynctasks::run_at.eq(None::<StoredTime>),
                    asynctasks::update_time.eq(asynctasks::update_time),
                ))
                .execute($conn)$($wait)*?;
        }
        diesel::delete(gaia_aside::table.filter(gaia_aside::task_id.eq_any(&aside))).execute($conn)$($wait)*?;
        Ok((themes.into_iter().map(|theme| theme.0).collect(), true))
    }};
}

on_each_connection!(free_aside, FreeAside, (Vec<String>, bool));
