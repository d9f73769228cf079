//! Deleting what tasks have waited for.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::PAGE;
use crate::store::{StoreError, TaskStore, backend::ReadKind, db::on_backend, schema::gaia_links};

/// Inside a transaction: deletes what these tasks have waited for. The links to tasks that are deleted stay, with the notes how these have
/// ended.
macro_rules! forget_waits {
    ($conn:ident, $tasks:expr, [$($wait:tt)*]) => {{
        use $crate::store::schema::{gaia_held, gaia_links};
        diesel::delete(gaia_links::table.filter(gaia_links::held_id.eq_any($tasks))).execute($conn)$($wait)*?;
        diesel::delete(gaia_held::table.filter(gaia_held::task_id.eq_any($tasks))).execute($conn)$($wait)*?;
    }};
}
pub(in crate::store) use forget_waits;

impl TaskStore<'_> {
    /// Deletes links of these tasks, which are about to be deleted, until less than a page of them is left: a task may have waited for very
    /// many.
    pub(in crate::store) async fn thin_out_links(&self, ids: &[i64]) -> Result<(), StoreError> {
        loop {
            let mut conn = self.db.read_as(ReadKind::List).await?;
            let links: Vec<(i64, i64)> = on_backend!(conn, |conn| {
                gaia_links::table
                    .filter(gaia_links::held_id.eq_any(ids))
                    .filter(gaia_links::open_task.is_null())
                    .limit(PAGE)
                    .select((gaia_links::held_id, gaia_links::task_id))
                    .load(conn)
                    .await
            })?;
            drop(conn);
            if i64::try_from(links.len()).unwrap_or(i64::MAX) < PAGE {
                return Ok(());
            }
            let (held, tasks): (Vec<i64>, Vec<i64>) = links.into_iter().unzip();
            let delete = || async {
                let mut conn = self.db.write().await?;
                Ok(on_backend!(conn, |conn| {
                    let links = gaia_links::table.filter(gaia_links::held_id.eq_any(&held));
                    diesel::delete(links.filter(gaia_links::task_id.eq_any(&tasks)))
                        .execute(conn)
                        .await
                })?)
            };
            self.retrying(delete).await?;
        }
    }
}
