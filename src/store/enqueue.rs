//! Adding tasks on a connection of the caller's.

use std::sync::Arc;

use chrono::FixedOffset;
use diesel::{
    backend::Backend,
    connection::{Connection, LoadConnection},
};
use diesel_async::AsyncConnectionCore;

use super::{
    StoreError,
    statement::executor::{Async, Blocking, Executor},
    tasks::new_row::NewTaskRow,
    time::ZONE,
};
use crate::domain::AddedTask;

/// A connection of diesel-async on which [`Scheduler::add_task_on`](crate::Scheduler::add_task_on) adds tasks, inside whatever transaction
/// is open there.
///
/// Every [`AsyncConnection`](diesel_async::AsyncConnection) to a database of the build is one:
///
/// - `AsyncPgConnection`, `AsyncMysqlConnection` and `SyncConnectionWrapper<SqliteConnection>` of diesel-async 0.9;
/// - what diesel-async's pools of deadpool 0.13, bb8 0.9 and mobc 0.9 give, and any other type that dereferences to a connection;
/// - the `conn` of `conn.transaction(async |conn| …)`.
///
/// The application must use the same versions of diesel (2.3) and diesel-async (0.9) as this crate. Cannot be implemented elsewhere. Connections of diesel
/// itself are [`BlockingEnqueueConnection`]s.
pub trait EnqueueConnection: sealed::Insert {}

impl<C: sealed::Insert> EnqueueConnection for C {}

/// A connection of diesel, without async, on which
/// [`Scheduler::blocking_add_task_on`](crate::Scheduler::blocking_add_task_on) adds tasks, inside whatever transaction is open there.
///
/// Every [`Connection`](diesel::Connection) of diesel 2.3 to a database of the build is one: `PgConnection`, `MysqlConnection`,
/// `SqliteConnection`, what a pool of diesel's `r2d2` gives, and the `conn` of `conn.transaction(|conn| …)`.
///
/// Cannot be implemented elsewhere.
pub trait BlockingEnqueueConnection: sealed::BlockingInsert {}

impl<C: sealed::BlockingInsert> BlockingEnqueueConnection for C {}

/// The database to which a connection of a caller's must lead.
#[derive(Debug, Clone)]
pub(in crate::store) struct Target {
    /// What the database calls itself.
    pub(in crate::store) product: &'static str,
    /// Its name: see [`Dialect::database_name`](super::backend::Dialect::database_name). `None`: it has none, so nothing can be compared.
    pub(in crate::store) name: Option<Arc<str>>,
    /// The URL, without its password.
    pub(in crate::store) url: String,
    /// The zone of its columns of time.
    pub(in crate::store) zone: FixedOffset,
}

impl Target {
    /// An error if the connection leads to another kind of database.
    fn check_product(&self, product: &'static str) -> Result<(), StoreError> {
        match product == self.product {
            true => Ok(()),
            false => Err(self.other(format!("it is a connection to {product}"))),
        }
    }

    /// An error if the connection's database has another name than this one. A database without a name cannot be compared.
    pub(in crate::store) fn check_name(&self, found: Option<&str>) -> Result<(), StoreError> {
        match (&self.name, found) {
            (Some(name), Some(found)) if *found != **name => {
                Err(self.other(format!("it leads to the database {found:?}, not to {name:?}")))
            }
            _ => Ok(()),
        }
    }

    fn other(&self, reason: String) -> StoreError {
        StoreError::OtherDatabase {
            url: self.url.clone(),
            reason,
        }
    }
}

/// Tasks to insert on a connection of a caller's.
pub struct NewRows {
    pub(in crate::store) rows: Vec<NewTaskRow>,
    pub(in crate::store) target: Target,
}

/// A database of the build, as the connections of callers know it.
pub(in crate::store) trait Callers: Backend + 'static {
    const PRODUCT: &'static str;

    /// Inserts the tasks, and looks whether the connection leads to the right database.
    fn insert(
        conn: &mut impl Executor<Self>,
        rows: &NewRows,
    ) -> impl Future<Output = Result<Vec<AddedTask>, StoreError>> + Send;
}

async fn insert<DB: Callers>(mut conn: impl Executor<DB>, rows: NewRows) -> Result<Vec<AddedTask>, StoreError> {
    rows.target.check_product(DB::PRODUCT)?;
    if rows.rows.is_empty() {
        return Ok(Vec::new());
    }
    match ZONE.scope(rows.target.zone, DB::insert(&mut conn, &rows)).await {
        Err(StoreError::Database(text)) if is_table_missing(&text) => Err(rows
            .target
            .other(format!("the tables of gaia-actors are not there ({text})"))),
        inserted => inserted,
    }
}

/// Whether a database says that it lacks a table that every database of this version has.
fn is_table_missing(text: &str) -> bool {
    let missing = ["no such table", "does not exist", "doesn't exist"];
    let ours = ["asynctasks", "gaia_due", "gaia_database"];
    [&missing[..], &ours]
        .iter()
        .all(|words| words.iter().any(|word| text.contains(word)))
}

pub(super) mod sealed {
    use super::{
        AddedTask, Async, AsyncConnectionCore, Blocking, Callers, Connection, LoadConnection, NewRows, StoreError,
        insert,
    };

    pub trait Insert {
        #[doc(hidden)]
        fn insert_tasks(&mut self, rows: NewRows) -> impl Future<Output = Result<Vec<AddedTask>, StoreError>> + Send;
    }

    impl<C> Insert for C
    where
        C: AsyncConnectionCore,
        C::Backend: Callers,
    {
        fn insert_tasks(&mut self, rows: NewRows) -> impl Future<Output = Result<Vec<AddedTask>, StoreError>> + Send {
            insert::<C::Backend>(Async(self), rows)
        }
    }

    pub trait BlockingInsert {
        #[doc(hidden)]
        fn insert_tasks(&mut self, rows: NewRows) -> impl Future<Output = Result<Vec<AddedTask>, StoreError>> + Send;
    }

    impl<C> BlockingInsert for C
    where
        C: LoadConnection,
        C::Backend: Callers,
    {
        fn insert_tasks(&mut self, rows: NewRows) -> impl Future<Output = Result<Vec<AddedTask>, StoreError>> + Send {
            insert::<<C as Connection>::Backend>(Blocking(self), rows)
        }
    }
}
