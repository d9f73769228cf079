//! Tasks that wait until other tasks have ended: chains and batches.
//!
//! Such a task is *held*: a scheduled task whose time is [`HELD_UNTIL`], so that no claim takes it. A row of `gaia_held` counts how the tasks
//! have ended for which it waits, and `gaia_links` names them. No end of a task writes these tables. A separate step, the *release*, counts
//! ends that it finds, and has held tasks run when their time has come.

mod forget;
pub(in crate::store) mod link;
pub(in crate::store) mod new_held;
mod read;
mod release;
mod signal;

use std::sync::Arc;

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use diesel::{QueryableByName, prelude::*, sql_types::BigInt};
use diesel_async::RunQueryDsl;

use super::{new_row::NewTaskRow, rows::status_of};
use crate::{
    domain::TaskStatus,
    store::{
        StoreError, TaskStore,
        backend::Backend,
        db::{on_backend, on_each},
        lenient::{AnyText, text},
        schema::{asynctasks, gaia_links},
        statement::transaction::transact,
    },
};
pub(in crate::store) use forget::forget_waits;
pub(crate) use new_held::{HeldAddition, NewHeld, Shape};
use release::Ended;
pub(crate) use release::Released;
pub(in crate::store) use signal::EndSignal;
pub(crate) use signal::Wanted;

/// The time for which held tasks are scheduled, the last second that every database can store.
pub(in crate::store) const HELD_UNTIL: NaiveDateTime = {
    let (Some(day), Some(time)) = (
        NaiveDate::from_ymd_opt(9999, 12, 31),
        NaiveTime::from_hms_opt(23, 59, 59),
    ) else {
        panic!("there is such a second");
    };
    NaiveDateTime::new(day, time)
};

/// How many ended tasks, and how many held tasks, one transaction is about.
const PIECE: usize = 500;

/// How many links one page of a look reads.
const PAGE: i64 = 1_000;

/// What a page of a look has found.
#[derive(Debug)]
pub(crate) struct EndedPage {
    /// Tasks that have ended, and whose ends are not counted.
    pub(crate) ended: Vec<i64>,
    /// The last task of the page; `None`: there are no further pages.
    pub(crate) last: Option<i64>,
}

/// Whether the end of a task is to be counted, and as what. The task may have no row any more.
fn end_of(has_row: bool, status: Option<AnyText>) -> Option<TaskStatus> {
    if !has_row {
        return Some(TaskStatus::Cancelled);
    }
    Some(status_of(text(status).as_deref())).filter(|status| status.is_finished())
}

impl TaskStore<'_> {
    /// Waits until ends of tasks are noted, or a look is requested.
    pub(crate) async fn release_wanted(&self) -> Wanted {
        self.ends.take().await
    }

    /// Has this process look for all ended tasks for which others wait.
    pub(crate) fn request_release(self) {
        self.ends.request_look();
    }

    /// Notes again the work that has failed.
    pub(crate) fn release_failed(self, wanted: Wanted) {
        self.ends.put_back(wanted);
    }

    /// Adds held tasks, and the tasks for which they wait, in one transaction: all or none.
    pub(crate) async fn add_held(&self, rows: Vec<NewTaskRow>, shape: Shape) -> Result<HeldAddition, StoreError> {
        let new = Arc::new(NewHeld::new(rows, shape));
        let add = || async { on_each!(&self.db, |db| db.add_held(Arc::clone(&new)).await) };
        let added = self.retrying(add).await?;
        self.ends.expect_some();
        if let (Shape::After(predecessor), HeldAddition::Added(_)) = (shape, &added) {
            // It may have ended while the transaction was under way, when no other process could see the link.
            self.ends.note([predecessor]);
        }
        Ok(added)
    }

    /// Counts the ends of these tasks, as far as they have ended, and releases the held tasks whose time has come.
    pub(crate) async fn release(&self, ids: &[i64]) -> Result<Released, StoreError> {
        let mut released = Released::default();
        for ids in ids.chunks(PIECE) {
            let mut after = i64::MIN;
            loop {
                let held = self.waiting_for(ids, after).await?;
                let Some(last) = held.last() else { break };
                after = *last;
                let ended = Arc::new(Ended::new(
                    ids,
                    held,
                    self.db.is_server(),
                    self.clock().now().naive_utc(),
                ));
                let count = || async { self.release_once(&ended).await };
                released.extend(self.retrying(count).await?);
            }
        }
        // Others may wait for these.
        self.ends.note(released.cancelled.iter().map(|(_, id)| *id));
        Ok(released)
    }

    async fn release_once(&self, ended: &Arc<Ended>) -> Result<Released, StoreError> {
        transact!(&self.db, release, ended)
    }

    /// Held tasks that wait for one of these tasks, in ascending order.
    async fn waiting_for(&self, ids: &[i64], after: i64) -> Result<Vec<i64>, StoreError> {
        let mut conn = self.db.read().await?;
        Ok(on_backend!(conn, |conn| {
            gaia_links::table
                .filter(gaia_links::open_task.eq_any(ids))
                .filter(gaia_links::held_id.gt(after))
                .select(gaia_links::held_id)
                .distinct()
                .order(gaia_links::held_id)
                .limit(i64::try_from(PIECE).unwrap_or(i64::MAX))
                .load(conn)
                .await
        })?)
    }

    /// A page of the tasks for which others wait, in the order of their ids: those that have ended, by whatever program.
    pub(crate) async fn ended_page(&self, after: i64) -> Result<EndedPage, StoreError> {
        let mut conn = self.db.read().await?;
        let rows: Vec<(Option<i64>, Option<i64>, Option<AnyText>)> = on_backend!(conn, |conn| {
            gaia_links::table
                .left_join(asynctasks::table.on(asynctasks::id.nullable().eq(gaia_links::open_task)))
                .filter(gaia_links::open_task.gt(after))
                .order(gaia_links::open_task)
                .limit(PAGE)
                .select((
                    gaia_links::open_task,
                    asynctasks::id.nullable(),
                    asynctasks::task_status.nullable(),
                ))
                .load(conn)
                .await
        })?;
        let is_full = i64::try_from(rows.len()).unwrap_or(i64::MAX) >= PAGE;
        let last = rows.last().and_then(|(task, ..)| *task).filter(|_| is_full);
        let ended =
            |(task, row, status): (Option<i64>, Option<i64>, Option<AnyText>)| end_of(row.is_some(), status).and(task);
        let mut ended: Vec<i64> = rows.into_iter().filter_map(ended).collect();
        ended.dedup();
        Ok(EndedPage { ended, last })
    }
}

/// The id of a held task, as plain SQL answers with it.
#[derive(Debug, QueryableByName)]
struct HeldId {
    #[diesel(sql_type = BigInt)]
    #[expect(dead_code, reason = "the statement is for its lock")]
    id: i64,
}
