//! The databases of this build behind one enum.

use crate::domain::AddedTask;

#[cfg(feature = "sqlite")]
use super::sqlite;
use super::{StoreError, rows::NewTaskRow, url::DatabaseUrl};

/// One variant for each database of the build; cloning clones a handle.
#[derive(Clone)]
pub(super) enum Db {
    #[cfg(feature = "sqlite")]
    Sqlite(sqlite::Sqlite),
}

/// A connection taken for one statement, or for a few in a row.
pub(super) enum Lease {
    #[cfg(feature = "sqlite")]
    Sqlite(sqlite::Lease),
}

/// Runs one diesel-async expression on whatever database the lease is for. The expression is compiled once for each
/// database of the build, so a statement that one of them cannot do does not compile.
macro_rules! on_backend {
    ($lease:expr, |$conn:ident| $query:expr) => {
        match &mut $lease {
            #[cfg(feature = "sqlite")]
            $crate::store::db::Lease::Sqlite(lease) => {
                let $conn = &mut **lease;
                $query
            }
        }
    };
}
pub(super) use on_backend;

impl Db {
    pub(super) async fn connect(url: &DatabaseUrl) -> Result<Self, StoreError> {
        match url {
            #[cfg(feature = "sqlite")]
            DatabaseUrl::Sqlite(url) => sqlite::Sqlite::connect(url).await.map(Self::Sqlite),
        }
    }

    pub(super) async fn migrate(&self) -> Result<(), StoreError> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(sqlite) => sqlite.migrate().await,
        }
    }

    pub(super) async fn check_schema(&self) -> Result<(), StoreError> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(sqlite) => sqlite.check_schema().await,
        }
    }

    pub(super) fn url(&self) -> String {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(sqlite) => sqlite.url(),
        }
    }

    pub(super) fn identity(&self) -> String {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(sqlite) => sqlite.identity(),
        }
    }

    /// A connection for reading.
    pub(super) async fn read(&self) -> Result<Lease, StoreError> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(sqlite) => Ok(Lease::Sqlite(sqlite.read().await)),
        }
    }

    /// A connection for writing.
    pub(super) async fn write(&self) -> Result<Lease, StoreError> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(sqlite) => Ok(Lease::Sqlite(sqlite.write().await)),
        }
    }
}

/// A diesel-async connection of the caller's, on which a task can be added inside the caller's own transaction.
///
/// Implemented for the connection types of the enabled databases; not meant to be implemented elsewhere.
pub trait EnqueueConnection: sealed::Insert {}

impl<C: sealed::Insert> EnqueueConnection for C {}

pub(super) mod sealed {
    use super::{AddedTask, NewTaskRow, StoreError};

    pub trait Insert {
        #[doc(hidden)]
        fn insert_tasks(&mut self, rows: Rows) -> impl Future<Output = Result<Vec<AddedTask>, StoreError>> + Send;
    }

    /// Rows to insert, opaque outside the crate.
    pub struct Rows(pub(in crate::store) Vec<NewTaskRow>);
}
