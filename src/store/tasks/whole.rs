//! Whole tasks of any theme, by their ids.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::rows::TaskRow;
use crate::{
    domain::{Task, TaskFilter},
    store::{StoreError, TaskStore, db::on_backend, schema::asynctasks},
};

impl TaskStore<'_> {
    /// Those of these tasks that still have a status and a node of the filter, whole, the newest first. The caller knows how long their texts
    /// are in all.
    pub(crate) async fn whole(&self, ids: &[i64], filter: &TaskFilter) -> Result<Vec<Task>, StoreError> {
        let claims = self.claims_for(filter).await?;
        let mut conn = self.db.look().await?;
        let rows: Vec<TaskRow> = on_backend!(conn, |conn| {
            asynctasks::table
                .filter(asynctasks::id.eq_any(ids))
                .order(asynctasks::id.desc())
                .select(TaskRow::as_select())
                .load(conn)
                .await
        })?;
        drop(conn);
        let tasks = rows.into_iter().map(|row| row.task(&claims));
        let mut tasks: Vec<Task> = tasks
            .filter(|task| filter.is_met_by(task.status, task.node.as_deref()))
            .collect();
        self.fill_waits(tasks.iter_mut().map(Task::held_fields)).await?;
        Ok(tasks)
    }
}
