//! The tasks for which held tasks wait, and how these have ended.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::HELD_UNTIL;
use crate::{
    domain::{HeldFields, PageRequest, Predecessor, WaitKind, WaitsFor},
    store::{
        StoreError, TaskStore,
        backend::ReadKind,
        db::{Conn, on_backend},
        lenient::{AnyText, text},
        schema::{asynctasks, gaia_held, gaia_links},
        statement::lists::{Cut, shown},
        tasks::rows::status_of,
    },
};

/// The most predecessors that are read at once.
const MOST: u32 = 100;

/// Task, kind, and how many tasks it waits for, have not ended, succeeded, failed, were cancelled.
type HeldRow = (i64, AnyText, i64, i64, i64, i64, i64);

/// Task, how it ended, its result, its error.
type PredecessorRow = (i64, Option<AnyText>, Option<AnyText>, Option<AnyText>);

fn waits_for((_, kind, total, unfinished, succeeded, failed, cancelled): &HeldRow, task: Option<i64>) -> WaitsFor {
    let count = |number: &i64| u64::try_from(*number).unwrap_or(0);
    WaitsFor {
        kind: kind.0.parse().unwrap_or(WaitKind::Chain),
        total: count(total),
        unfinished: count(unfinished),
        succeeded: count(succeeded),
        failed: count(failed),
        cancelled: count(cancelled),
        task,
    }
}

/// What these tasks wait for, or have waited for.
async fn waits(conn: &mut Conn, ids: &[i64]) -> Result<HashMap<i64, WaitsFor>, StoreError> {
    let rows: Vec<HeldRow> = on_backend!(*conn, |conn| {
        gaia_held::table.filter(gaia_held::task_id.eq_any(ids)).load(conn).await
    })?;
    let alone: Vec<i64> = rows.iter().filter(|row| row.2 == 1).map(|row| row.0).collect();
    let links: Vec<(i64, i64)> = match alone.is_empty() {
        true => Vec::new(),
        false => on_backend!(*conn, |conn| {
            gaia_links::table
                .filter(gaia_links::held_id.eq_any(&alone))
                .select((gaia_links::held_id, gaia_links::task_id))
                .load(conn)
                .await
        })?,
    };
    let links: HashMap<i64, i64> = links.into_iter().collect();
    let wait = |row: &HeldRow| (row.0, waits_for(row, links.get(&row.0).copied()));
    Ok(rows.iter().map(wait).collect())
}

impl TaskStore<'_> {
    /// Says of the held tasks among these for which tasks they wait, instead of the time for which they are scheduled.
    pub(in crate::store) async fn fill_waits<'a>(
        &self,
        tasks: impl Iterator<Item = HeldFields<'a>>,
    ) -> Result<(), StoreError> {
        let held_until = HELD_UNTIL.utc();
        let held: Vec<HeldFields<'_>> = tasks.filter(|task| *task.run_at == Some(held_until)).collect();
        if held.is_empty() {
            return Ok(());
        }
        let ids: Vec<i64> = held.iter().map(|task| task.id).collect();
        let aside = self.cluster().aside_of(&ids).await?;
        let mut conn = self.db.read_as(ReadKind::List).await?;
        let mut waits = waits(&mut conn, &ids).await?;
        // A task may have waited for others before it came to wait for its key.
        waits.extend(aside.into_iter().map(|id| (id, WaitsFor::limit())));
        for task in held {
            if let Some(wait) = waits.remove(&task.id) {
                (*task.run_at, *task.waits_for) = (None, Some(wait));
            }
        }
        Ok(())
    }

    /// What a task waits for, or has waited for. `None`: for nothing.
    pub(crate) async fn waits_of(&self, id: i64) -> Result<Option<WaitsFor>, StoreError> {
        let mut conn = self.db.read_as(ReadKind::Detail).await?;
        Ok(waits(&mut conn, &[id]).await?.remove(&id))
    }

    /// The tasks for which a task has waited, and whose ends are counted, with greater ids than `after`, in the order of their ids: at most 100.
    pub(crate) async fn predecessors(&self, id: i64, after: i64) -> Result<Vec<Predecessor>, StoreError> {
        let Some(wait) = self.waits_of(id).await? else {
            return Ok(Vec::new());
        };
        let rows = u32::try_from(wait.total).unwrap_or(MOST).min(MOST);
        let cut = Cut::of(PageRequest::new(1, rows));
        let mut conn = self.db.read_as(ReadKind::Detail).await?;
        let rows: Vec<PredecessorRow> = on_backend!(conn, |conn| {
            gaia_links::table
                .left_join(asynctasks::table.on(asynctasks::id.eq(gaia_links::task_id)))
                .filter(gaia_links::held_id.eq(id))
                .filter(gaia_links::task_id.gt(after))
                .filter(gaia_links::open_task.is_null())
                .order(gaia_links::task_id)
                .limit(i64::from(rows))
                .select((
                    gaia_links::task_id,
                    gaia_links::task_status,
                    shown!(asynctasks::last_result.nullable(), cut),
                    shown!(asynctasks::last_err_msg.nullable(), cut),
                ))
                .load(conn)
                .await
        })?;
        let predecessor = |(id, status, result, error)| Predecessor {
            id,
            status: status_of(text(status).as_deref()),
            result: text(result),
            error: text(error),
        };
        Ok(rows.into_iter().map(predecessor).collect())
    }
}
