//! Adding tasks on connections of callers.

use diesel::QueryDsl;
use diesel_async::RunQueryDsl;

use super::new_row::NewTaskRow;
use crate::{
    domain::AddedTask,
    store::{
        BlockingEnqueueConnection, EnqueueConnection, Store, StoreError,
        db::on_backend,
        enqueue::{NewRows, Target},
        schema::gaia_database,
        statement::executor::at_once,
    },
};

impl Store {
    /// Reads the name of the database, by which a connection to another one is noticed.
    pub(crate) async fn read_database_id(&self) -> Result<(), StoreError> {
        let mut conn = self.db.read().await?;
        let ids: Vec<String> = on_backend!(conn, |conn| gaia_database::table
            .select(gaia_database::id)
            .load(conn)
            .await)?;
        if let Some(id) = ids.into_iter().next() {
            // It does not change.
            let _ = self.database_id.set(id.into());
        }
        Ok(())
    }

    /// Adds tasks on a connection of the caller's, inside whatever transaction is open there.
    pub(crate) async fn add_on<C: EnqueueConnection>(
        &self,
        conn: &mut C,
        rows: Vec<NewTaskRow>,
    ) -> Result<Vec<AddedTask>, StoreError> {
        conn.insert_tasks(self.of_caller(rows)).await
    }

    /// As [`Self::add_on`], on a connection that blocks the thread.
    pub(crate) fn blocking_add_on<C: BlockingEnqueueConnection>(
        &self,
        conn: &mut C,
        rows: Vec<NewTaskRow>,
    ) -> Result<Vec<AddedTask>, StoreError> {
        at_once(conn.insert_tasks(self.of_caller(rows)))
    }

    fn of_caller(&self, rows: Vec<NewTaskRow>) -> NewRows {
        NewRows {
            rows,
            target: Target {
                product: self.db.dialect().product,
                id: self.database_id.get().cloned(),
                url: self.url(),
            },
        }
    }
}
