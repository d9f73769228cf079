//! Deleting what tasks have waited for.

use std::sync::Arc;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::PAGE;
use crate::store::{
    StoreError, TaskStore,
    backend::ReadKind,
    db::on_backend,
    schema::{asynctasks, gaia_links},
    statement::transaction::{on_each_connection, transact},
};

/// Inside a transaction: deletes what these tasks have waited for. The links to tasks that are deleted stay, with the notes how these have
/// ended. In the order in which a release locks the tables.
macro_rules! forget_waits {
    ($conn:ident, $tasks:expr, [$($wait:tt)*]) => {{
        use $crate::store::schema::{gaia_held, gaia_links};
        diesel::delete(gaia_held::table.filter(gaia_held::task_id.eq_any($tasks))).execute($conn)$($wait)*?;
        diesel::delete(gaia_links::table.filter(gaia_links::held_id.eq_any($tasks))).execute($conn)$($wait)*?;
    }};
}
pub(in crate::store) use forget_waits;

/// Held tasks that do not exist any more.
struct Orphans(Vec<i64>);

#[cfg(feature = "sqlite")]
impl Orphans {
    fn rows(&self) -> usize {
        self.0.len()
    }
}

macro_rules! forget_orphans {
    ($conn:ident, $orphans:ident, $lock:ident, $open:ident, [$($wait:tt)*]) => {{
        forget_waits!($conn, &$orphans.0, [$($wait)*]);
        Ok(())
    }};
}

mod orphans {
    use diesel::{ExpressionMethods, QueryDsl};

    use super::{Orphans, on_each_connection};

    on_each_connection!(forget_orphans, Orphans, ());
}

impl TaskStore<'_> {
    /// Deletes closed links of these tasks, as far as they are finished and are about to be deleted, until less than a page of them is left: a task
    /// may have waited for very many.
    pub(in crate::store) async fn thin_out_links(&self, ids: &[i64]) -> Result<(), StoreError> {
        loop {
            let mut conn = self.db.read_as(ReadKind::List).await?;
            let links: Vec<(i64, i64)> = on_backend!(conn, |conn| {
                gaia_links::table
                    .inner_join(asynctasks::table.on(asynctasks::id.eq(gaia_links::held_id)))
                    .filter(gaia_links::held_id.eq_any(ids))
                    .filter(gaia_links::open_task.is_null())
                    .filter(asynctasks::task_status.eq_any(["Success", "Failed", "Cancelled"]))
                    .order((gaia_links::held_id, gaia_links::task_id))
                    .limit(i64::try_from(PAGE).unwrap_or(i64::MAX))
                    .select((gaia_links::held_id, gaia_links::task_id))
                    .load(conn)
                    .await
            })?;
            drop(conn);
            if links.len() < PAGE {
                return Ok(());
            }
            self.delete_links(&links).await?;
        }
    }

    /// Deletes the traces of held tasks that do not exist any more.
    pub(crate) async fn forget_orphans(&self, ids: Vec<i64>) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        loop {
            let mut conn = self.db.read_as(ReadKind::List).await?;
            let links: Vec<(i64, i64)> = on_backend!(conn, |conn| {
                gaia_links::table
                    .filter(gaia_links::held_id.eq_any(&ids))
                    .order((gaia_links::held_id, gaia_links::task_id))
                    .limit(i64::try_from(PAGE).unwrap_or(i64::MAX))
                    .select((gaia_links::held_id, gaia_links::task_id))
                    .load(conn)
                    .await
            })?;
            drop(conn);
            if links.len() < PAGE {
                break;
            }
            self.delete_links(&links).await?;
        }
        let orphans = Arc::new(Orphans(ids));
        let forget = || async { self.forget_once(&orphans).await };
        self.retrying(forget).await
    }

    async fn forget_once(&self, orphans: &Arc<Orphans>) -> Result<(), StoreError> {
        transact!(&self.db, orphans, orphans)
    }

    /// Deletes these links, which are in the order of their keys: by the key of one held task after the other.
    async fn delete_links(&self, links: &[(i64, i64)]) -> Result<(), StoreError> {
        for links in links.chunk_by(|one, next| one.0 == next.0) {
            let (held, tasks) = (links[0].0, links.iter().map(|(_, task)| *task).collect::<Vec<_>>());
            let delete = || async {
                let mut conn = self.db.write().await?;
                Ok(on_backend!(conn, |conn| {
                    let links = gaia_links::table.filter(gaia_links::held_id.eq(held));
                    diesel::delete(links.filter(gaia_links::task_id.eq_any(&tasks)))
                        .execute(conn)
                        .await
                })?)
            };
            self.retrying(delete).await?;
        }
        Ok(())
    }
}
