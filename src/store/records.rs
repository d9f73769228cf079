//! Reading execution records.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    Store, StoreError,
    db::{Look, on_backend},
    rows::RecordRow,
    schema::asynctask_exec_row,
};
use crate::domain::{ExecRecord, Page, PageRequest};

impl Store {
    /// The records of a task's runs, newest first.
    pub(crate) async fn records(&self, task_id: i64, page: PageRequest) -> Result<Page<ExecRecord>, StoreError> {
        let of_task = || asynctask_exec_row::table.filter(asynctask_exec_row::task_id.eq(task_id));
        let mut lease = self.db.look(Look::List).await?;
        let total: i64 = on_backend!(lease, |conn| of_task().count().get_result(conn).await)?;
        let rows: Vec<RecordRow> = on_backend!(lease, |conn| {
            of_task()
                .order(asynctask_exec_row::id.desc())
                .limit(i64::from(page.page_size))
                .offset(page.offset())
                .select(RecordRow::as_select())
                .load(conn)
                .await
        })?;
        Ok(page.of(rows.into_iter().map(Into::into).collect(), total))
    }
}
