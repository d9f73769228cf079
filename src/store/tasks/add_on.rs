//! Adding tasks on connections of callers.

use diesel::{QueryableByName, sql_query, sql_types::Text};
use diesel_async::RunQueryDsl;

use super::new_row::NewTaskRow;
use crate::{
    domain::AddedTask,
    store::{
        BlockingEnqueueConnection, EnqueueConnection, Store, StoreError,
        db::on_backend,
        enqueue::{NewRows, Target},
        lenient::AnyText,
        statement::executor::at_once,
    },
};

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: AnyText,
}

impl Store {
    /// Reads the name of the database, by which a connection to another one is noticed.
    pub(crate) async fn read_database_name(&self) -> Result<(), StoreError> {
        let query = self.db.dialect().database_name;
        let mut conn = self.db.read().await?;
        let names: Vec<Name> = on_backend!(conn, |conn| sql_query(query).load(conn).await)?;
        if let Some(Name { name }) = names.into_iter().next() {
            // It does not change.
            let _ = self.database_name.set(name.0.into());
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
                name: self.database_name.get().cloned(),
                url: self.url(),
                zone: self.zone(),
            },
        }
    }
}
