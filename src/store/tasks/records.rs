//! Reading execution records.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::rows::RecordFacts;
use crate::{
    domain::{ExecRecord, Page, PageRequest},
    store::{
        StoreError, TaskStore,
        backend::ReadKind,
        db::on_backend,
        lenient::AnyText,
        schema::asynctask_exec_row,
        statement::lists::{Cut, shown},
    },
};

impl TaskStore<'_> {
    /// The records of a task's runs, newest first.
    pub(crate) async fn records(&self, task_id: i64, page: PageRequest) -> Result<Page<ExecRecord>, StoreError> {
        let of_task = || asynctask_exec_row::table.filter(asynctask_exec_row::task_id.eq(task_id));
        let mut conn = self.db.read_as(ReadKind::List).await?;
        let total: i64 = on_backend!(conn, |conn| of_task().count().get_result(conn).await)?;
        let cut = Cut::of(page);
        let rows: Vec<(RecordFacts, Option<AnyText>, Option<AnyText>)> = on_backend!(conn, |conn| {
            of_task()
                .order(asynctask_exec_row::id.desc())
                .limit(i64::from(page.page_size))
                .offset(page.offset())
                .select((
                    RecordFacts::as_select(),
                    shown!(asynctask_exec_row::last_result, cut),
                    shown!(asynctask_exec_row::last_err_msg, cut),
                ))
                .load(conn)
                .await
        })?;
        let records = rows
            .into_iter()
            .map(|(facts, result, error)| facts.listed([result, error]));
        Ok(page.of(records.collect(), total))
    }
}
