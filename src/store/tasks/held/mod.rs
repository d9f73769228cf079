//! Tasks that wait until other tasks have ended: chains and batches.
//!
//! Such a task is *held*: a scheduled task whose time is [`HELD_UNTIL`], so that no claim takes it. A row of `gaia_held` counts how the tasks
//! have ended for which it waits, and `gaia_links` names them. No end of a task writes these tables. A separate step, the *release*, counts
//! ends that it finds, and has held tasks run when their time has come.

mod forget;
pub(in crate::store) mod link;
mod look;
pub(in crate::store) mod new_held;
mod read;
pub(in crate::store) mod release;
mod signal;

use std::sync::Arc;

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

use super::{new_row::NewTaskRow, rows::status_of};
use crate::{
    domain::{AddedTask, TaskStatus},
    store::{
        StoreError, TaskStore,
        backend::Backend,
        db::on_each,
        lenient::{AnyText, text},
        time::StoredTime,
    },
};
pub(in crate::store) use forget::forget_waits;
pub(crate) use new_held::{Addition, NewHeld, Shape};
pub(crate) use release::Released;
use release::{Ended, Words, list};
pub(in crate::store) use signal::EndSignal;
pub(crate) use signal::{Look, Wanted};

/// The time for which held tasks are scheduled, the last second that every database can store.
pub(in crate::store) const HELD_UNTIL: StoredTime = {
    let (Some(day), Some(time)) = (
        NaiveDate::from_ymd_opt(9999, 12, 31),
        NaiveTime::from_hms_opt(23, 59, 59),
    ) else {
        panic!("there is such a second");
    };
    StoredTime::new(NaiveDateTime::new(day, time))
};

/// How many ended tasks, and how many held tasks, one release is about.
pub(crate) const PIECE: usize = 500;

/// How many links, or held tasks, one page of a look reads.
const PAGE: usize = 1_000;

/// A number in a statement. `PostgreSQL` reads the digits of the least one as a number of another type.
fn literal(number: i64) -> i64 {
    number.max(-i64::MAX)
}

/// Whether a task of this status has ended, and how.
fn end_of(status: Option<AnyText>) -> Option<TaskStatus> {
    Some(status_of(text(status).as_deref())).filter(|status| status.is_finished())
}

impl TaskStore<'_> {
    /// Waits until ends of tasks are noted, or a look is requested.
    pub(crate) async fn release_wanted(&self) -> Wanted {
        self.ends.take().await
    }

    /// The same without waiting.
    pub(crate) fn release_noted(self) -> Wanted {
        self.ends.take_noted()
    }

    /// Has this process look for ended tasks for which others wait.
    pub(crate) fn request_release(self, look: Look) {
        self.ends.request_look(look);
    }

    /// Adds held tasks, and the tasks for which they wait, in one transaction: all or none.
    pub(crate) async fn add_held(&self, rows: Vec<NewTaskRow>, shape: Shape) -> Result<Addition, StoreError> {
        let new = Arc::new(NewHeld::new(rows, shape));
        let add = || async { on_each!(&self.db, |db| db.add_held(Arc::clone(&new)).await) };
        let addition = self.retrying(add).await?;
        if let Addition::Added { tasks, .. } = &addition {
            self.note_held(&new, tasks);
        }
        Ok(addition)
    }

    /// Those of these tasks for which others may wait. Most ends are of tasks for which none does, and then two ends of an index tell.
    pub(crate) async fn among_open_links(&self, ids: &[i64]) -> Result<Vec<i64>, StoreError> {
        let links = self.db.dialect().open_links;
        let query = format!(
            "SELECT id FROM (SELECT MIN(open_task) AS id FROM {links} WHERE open_task IS NOT NULL \
             UNION ALL SELECT MAX(open_task) AS id FROM {links} WHERE open_task IS NOT NULL) AS bounds WHERE id IS NOT NULL"
        );
        let bounds = self.ids_by_key(query).await?;
        let (least, greatest) = match bounds[..] {
            [one, other] => (one.min(other), one.max(other)),
            _ => return Ok(Vec::new()),
        };
        Ok(ids
            .iter()
            .copied()
            .filter(|id| (least..=greatest).contains(id))
            .collect())
    }

    /// These held tasks are stored.
    pub(super) fn note_held(self, new: &NewHeld, added: &[AddedTask]) {
        self.ends.expect_some();
        // Tasks that were there before may have ended while the transaction was under way, when no other process could see the links.
        self.ends.note(new.older_tasks(added));
    }

    /// A page of the held tasks that wait for one of these tasks, with greater ids than `after`, in ascending order.
    pub(crate) async fn waiting_for(&self, ids: &[i64], after: i64) -> Result<Vec<i64>, StoreError> {
        // The order by a sum keeps the database from going through the links in the order of their keys.
        let query = format!(
            "SELECT DISTINCT held_id + 0 AS id FROM {} WHERE open_task IN ({}) AND held_id > {} ORDER BY id LIMIT {PIECE}",
            self.db.dialect().open_links,
            list(ids),
            literal(after)
        );
        self.ids_by_key(query).await
    }

    /// Counts the ends of these tasks, as far as they have ended, for these held tasks, which are such a page or a part of it. Releases those
    /// whose time has come.
    pub(crate) async fn release(&self, ids: &[i64], held: &[i64]) -> Result<Released, StoreError> {
        let now = StoredTime::from(self.clock().now());
        let dialect = self.db.dialect();
        let words = Words {
            is_server: dialect.is_server,
            by_key: dialect.by_key,
            open_links: dialect.open_links,
        };
        let ended = Arc::new(Ended::new(ids, held, now, words));
        let release = || async { on_each!(&self.db, |db| db.release(Arc::clone(&ended)).await) };
        let released = self.retrying_unless_locked(release).await?;
        // Others may wait for these.
        self.ends.note(released.cancelled.iter().map(|(_, id)| *id));
        Ok(released)
    }

    async fn ids_by_key(&self, query: String) -> Result<Vec<i64>, StoreError> {
        on_each!(&self.db, |db| db.ids_by_key(query).await)
    }
}
