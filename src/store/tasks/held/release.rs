//! Counting the ends of tasks for which others wait, and releasing these: one transaction.

use std::{collections::BTreeMap, fmt::Write as _};

use chrono::NaiveDateTime;
use diesel::{ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl};

use super::{HELD_UNTIL, HeldId, end_of};
use crate::{
    domain::{TaskStatus, WaitKind},
    store::{
        lenient::AnyText,
        schema::{asynctasks, gaia_held, gaia_links},
        statement::transaction::on_each_connection,
    },
};

/// Tasks that may have ended, and held tasks that may wait for them.
pub(in crate::store) struct Ended {
    ids: Vec<i64>,
    held: Vec<i64>,
    /// The statement that waits until no other transaction counts ends for these held tasks.
    lock: String,
    now: NaiveDateTime,
}

/// What a release has done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Released {
    /// How many held tasks of each theme are due now.
    pub(crate) due: BTreeMap<String, usize>,
    /// The held tasks that were cancelled, with their themes.
    pub(crate) cancelled: Vec<(String, i64)>,
}

/// How many tasks have ended in each way: succeeded, failed, cancelled.
type Ends = [i64; 3];

/// A row of `gaia_held`: task, kind, tasks that have not ended, tasks that have not succeeded.
type HeldState = (i64, String, i64, i64);

impl Released {
    pub(super) fn extend(&mut self, other: Self) {
        for (theme, count) in other.due {
            *self.due.entry(theme).or_default() += count;
        }
        self.cancelled.extend(other.cancelled);
    }
}

impl Ended {
    /// The held tasks are in ascending order.
    pub(super) fn new(ids: &[i64], held: Vec<i64>, is_server: bool, now: NaiveDateTime) -> Self {
        let list = held.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
        let mut lock = format!("SELECT task_id AS id FROM gaia_held WHERE task_id IN ({list}) ORDER BY task_id");
        if is_server {
            // Writing to a text does not fail.
            let _ = write!(lock, " FOR UPDATE");
        }
        Self {
            ids: ids.to_vec(),
            held,
            lock,
            now,
        }
    }

    #[cfg(feature = "sqlite")]
    pub(in crate::store) fn rows(&self) -> usize {
        self.ids.len() + 2 * self.held.len()
    }
}

/// The open links that can be closed: which tasks have ended in each way, and what that adds to the counts of which held tasks.
#[derive(Default)]
struct Closing {
    tasks: BTreeMap<TaskStatus, Vec<i64>>,
    ends: BTreeMap<i64, Ends>,
}

impl Closing {
    fn of(links: Vec<(i64, i64, Option<i64>, Option<AnyText>)>) -> Self {
        let mut closing = Self::default();
        for (held, task, row, status) in links {
            let Some(end) = end_of(row.is_some(), status) else {
                continue;
            };
            closing.tasks.entry(end).or_default().push(task);
            let at = match end {
                TaskStatus::Success => 0,
                TaskStatus::Cancelled => 2,
                _ => 1,
            };
            closing.ends.entry(held).or_default()[at] += 1;
        }
        closing
    }

    /// The held tasks to whose counts the same is added, together: one statement for all chains that go on.
    fn by_ends(&self) -> BTreeMap<Ends, Vec<i64>> {
        let mut groups: BTreeMap<Ends, Vec<i64>> = BTreeMap::new();
        for (held, ends) in &self.ends {
            groups.entry(*ends).or_default().push(*held);
        }
        groups
    }
}

/// Held tasks that run now, and held tasks that never will.
#[derive(Default)]
struct Verdicts {
    due: Vec<i64>,
    cancelled: Vec<i64>,
}

impl Verdicts {
    fn of(states: Vec<HeldState>) -> Self {
        let mut verdicts = Self::default();
        for (held, kind, unfinished, not_succeeded) in states {
            if kind == WaitKind::Chain.as_str() && not_succeeded > 0 {
                verdicts.cancelled.push(held);
            } else if unfinished <= 0 {
                verdicts.due.push(held);
            }
        }
        verdicts
    }
}

/// The error of a held task that is cancelled.
const NOT_SUCCEEDED: &str = "cancelled, because a task for which it waited has not succeeded";

/// Held tasks among these that still wait.
macro_rules! still_held {
    ($ids:expr) => {
        asynctasks::table
            .filter(asynctasks::id.eq_any($ids))
            .filter(asynctasks::task_status.eq_any(["Wait", "Retry"]))
            .filter(asynctasks::run_at.eq(HELD_UNTIL))
    };
}

/// The links are read under the lock on the rows of the held tasks, so each end is counted once, even if other processes count at the same time. A link whose end is
/// counted is open no more. All of it is one transaction, and may be repeated.
macro_rules! release {
    ($conn:ident, $ended:ident, $lock:ident, $open:ident, [$($wait:tt)*]) => {{
        let _: Vec<HeldId> = diesel::sql_query(&$ended.lock).load($conn)$($wait)*?;
        let links = gaia_links::table
            .left_join(asynctasks::table.on(asynctasks::id.nullable().eq(gaia_links::open_task)))
            .filter(gaia_links::held_id.eq_any(&$ended.held))
            .filter(gaia_links::open_task.eq_any(&$ended.ids))
            .select((
                gaia_links::held_id,
                gaia_links::task_id,
                asynctasks::id.nullable(),
                asynctasks::task_status.nullable(),
            ))
            .load($conn)$($wait)*?;
        let closing = Closing::of(links);
        for (status, tasks) in &closing.tasks {
            let links = gaia_links::table
                .filter(gaia_links::held_id.eq_any(&$ended.held))
                .filter(gaia_links::open_task.eq_any(tasks));
            diesel::update(links)
                .set((
                    gaia_links::task_status.eq(status.as_str()),
                    gaia_links::open_task.eq(None::<i64>),
                ))
                .execute($conn)$($wait)*?;
        }
        for ([succeeded, failed, cancelled], held) in closing.by_ends() {
            diesel::update(gaia_held::table.filter(gaia_held::task_id.eq_any(held)))
                .set((
                    gaia_held::unfinished.eq(gaia_held::unfinished - (succeeded + failed + cancelled)),
                    gaia_held::succeeded.eq(gaia_held::succeeded + succeeded),
                    gaia_held::failed.eq(gaia_held::failed + failed),
                    gaia_held::cancelled.eq(gaia_held::cancelled + cancelled),
                ))
                .execute($conn)$($wait)*?;
        }
        let counted: Vec<i64> = closing.ends.into_keys().collect();
        let states = gaia_held::table
            .filter(gaia_held::task_id.eq_any(counted))
            .select((
                gaia_held::task_id,
                gaia_held::kind,
                gaia_held::unfinished,
                gaia_held::failed + gaia_held::cancelled,
            ))
            .load($conn)$($wait)*?;
        let Verdicts { due, cancelled } = Verdicts::of(states);
        let mut released = Released::default();
        if !due.is_empty() {
            let themes: Vec<AnyText> = still_held!(&due).select(asynctasks::system_name).load($conn)$($wait)*?;
            for AnyText(theme) in themes {
                *released.due.entry(theme).or_default() += 1;
            }
            diesel::update(still_held!(&due))
                .set((
                    asynctasks::run_at.eq(None::<NaiveDateTime>),
                    asynctasks::update_time.eq($ended.now),
                ))
                .execute($conn)$($wait)*?;
        }
        if !cancelled.is_empty() {
            let tasks: Vec<(AnyText, i64)> = still_held!(&cancelled)
                .select((asynctasks::system_name, asynctasks::id))
                .load($conn)$($wait)*?;
            released.cancelled = tasks.into_iter().map(|(theme, id)| (theme.0, id)).collect();
            diesel::update(still_held!(&cancelled))
                .set((
                    asynctasks::task_status.eq(TaskStatus::Cancelled.as_str()),
                    asynctasks::run_at.eq(None::<NaiveDateTime>),
                    asynctasks::last_err_msg.eq(NOT_SUCCEEDED),
                    asynctasks::update_time.eq($ended.now),
                    asynctasks::finished_at.eq($ended.now),
                ))
                .execute($conn)$($wait)*?;
        }
        Ok(released)
    }};
}

on_each_connection!(release, Ended, Released);
