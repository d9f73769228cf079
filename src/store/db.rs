//! The databases of this build behind one enum.

use crate::domain::AddedTask;

#[cfg(feature = "mysql")]
use super::mysql;
#[cfg(feature = "postgres")]
use super::postgres;
#[cfg(feature = "sqlite")]
use super::sqlite;
use super::{StoreError, rows::NewTaskRow, url::DatabaseUrl};

/// One variant for each database of the build; cloning clones a handle.
#[derive(Clone)]
pub(super) enum Db {
    #[cfg(feature = "sqlite")]
    Sqlite(sqlite::Sqlite),
    #[cfg(feature = "postgres")]
    Postgres(postgres::Postgres),
    #[cfg(feature = "mysql")]
    Mysql(mysql::Mysql),
}

/// What somebody looks at. On SQLite, where a statement has its connection for itself, each kind has a connection of its own:
/// a look at many rows holds up neither the engine nor a look at one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// One row, by its key.
    Detail,
    /// Many rows, perhaps all.
    List,
}

/// A connection taken for one statement, or for a few in a row.
#[allow(clippy::large_enum_variant, reason = "it lives on the stack for one statement")]
pub(super) enum Lease {
    #[cfg(feature = "sqlite")]
    Sqlite(sqlite::Lease),
    #[cfg(feature = "postgres")]
    Postgres(postgres::Lease),
    #[cfg(feature = "mysql")]
    Mysql(mysql::Lease),
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
            #[cfg(feature = "postgres")]
            $crate::store::db::Lease::Postgres(lease) => {
                $crate::store::pool::on_server!(*lease, |$conn| $query)
            }
            #[cfg(feature = "mysql")]
            $crate::store::db::Lease::Mysql(lease) => {
                $crate::store::pool::on_server!(*lease, |$conn| $query)
            }
        }
    };
}
pub(super) use on_backend;

/// Does the same with whatever database there is.
macro_rules! on_each {
    ($db:expr, |$one:ident| $what:expr) => {
        match $db {
            #[cfg(feature = "sqlite")]
            $crate::store::db::Db::Sqlite($one) => $what,
            #[cfg(feature = "postgres")]
            $crate::store::db::Db::Postgres($one) => $what,
            #[cfg(feature = "mysql")]
            $crate::store::db::Db::Mysql($one) => $what,
        }
    };
}
pub(super) use on_each;

impl Db {
    pub(super) async fn connect(url: &DatabaseUrl) -> Result<Self, StoreError> {
        match url {
            #[cfg(feature = "sqlite")]
            DatabaseUrl::Sqlite(url) => sqlite::Sqlite::connect(url).await.map(Self::Sqlite),
            #[cfg(feature = "postgres")]
            DatabaseUrl::Postgres(url) => postgres::Postgres::connect(url).await.map(Self::Postgres),
            #[cfg(feature = "mysql")]
            DatabaseUrl::Mysql(url) => mysql::Mysql::connect(url).await.map(Self::Mysql),
        }
    }

    /// The URL, without its password.
    pub(super) fn url(&self) -> String {
        on_each!(self, |db| db.url())
    }

    pub(super) fn identity(&self) -> String {
        on_each!(self, |db| db.identity())
    }

    /// The database's own time in UTC, as an SQL expression.
    pub(super) fn now(&self) -> &'static str {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => "strftime('%Y-%m-%d %H:%M:%f', 'now')",
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => "(clock_timestamp() AT TIME ZONE 'UTC')",
            #[cfg(feature = "mysql")]
            Self::Mysql(_) => "UTC_TIMESTAMP(6)",
        }
    }

    /// Whether any task of any theme runs, an SQL condition. On PostgreSQL triggers see to it that each is in a claim.
    pub(super) fn any_runs(&self) -> &'static str {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => sqlite::ANY_RUNS,
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => "EXISTS (SELECT 1 FROM gaia_claims)",
            #[cfg(feature = "mysql")]
            Self::Mysql(_) => mysql::ANY_RUNS,
        }
    }

    /// Whether any task of any theme is due, an SQL condition.
    pub(super) fn any_due(&self) -> &'static str {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => sqlite::ANY_DUE,
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => "EXISTS (SELECT 1 FROM gaia_due)",
            #[cfg(feature = "mysql")]
            Self::Mysql(_) => mysql::ANY_DUE,
        }
    }

    /// The ids of a claim or a segment as a JSON list, an SQL expression.
    pub(super) fn claimed_ids(&self) -> &'static str {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => "array_to_json(ids)::text",
            #[cfg(any(feature = "sqlite", feature = "mysql"))]
            _ => "ids",
        }
    }

    /// The tasks `t` whose ids the row of a table holds, each by its key.
    pub(super) fn tasks_of(&self, table: &str) -> String {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => format!("json_each({table}.ids) i CROSS JOIN asynctasks t ON t.id = i.value"),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => format!("unnest({table}.ids) i (id) JOIN asynctasks t ON t.id = i.id"),
            #[cfg(feature = "mysql")]
            Self::Mysql(_) => format!(
                "JSON_TABLE({table}.ids, '$[*]' COLUMNS (id BIGINT PATH '$')) i \
                 STRAIGHT_JOIN asynctasks t FORCE INDEX (PRIMARY) ON t.id = i.id"
            ),
        }
    }

    /// Whether the task `t` of a row of `gaia_claims` runs, and by no later claim of another node; or is in no order, so that the row of
    /// the claim must stay.
    pub(super) fn runs_by_claim(&self) -> &'static str {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => {
                "(t.task_status = 'Running' AND t.lease_owner IS NOT NULL AND (t.lease_owner = gaia_claims.node_id \
                 OR t.lease_token <= gaia_claims.id OR typeof(t.lease_token) <> 'integer') \
                 OR t.queued = 1 AND t.lease_token < gaia_claims.id)"
            }
            #[cfg(feature = "_server")]
            _ => {
                "(t.task_status = 'Running' AND t.lease_owner IS NOT NULL AND (t.lease_owner = gaia_claims.node_id \
                 OR t.lease_token <= gaia_claims.id) OR t.queued = 1 AND t.lease_token < gaia_claims.id)"
            }
        }
    }

    /// How a parameter of a statement is written, counted from 1.
    pub(super) fn parameter(&self, number: usize) -> String {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => format!("${number}"),
            #[cfg(any(feature = "sqlite", feature = "mysql"))]
            _ => {
                let _ = number;
                "?".to_owned()
            }
        }
    }

    /// The tasks `t` that run under a claim, and of which their rows do not say so yet: the tables and conditions of a query. The
    /// theme of claim and task are these two parameters.
    pub(super) fn unseen(&self, themes: [usize; 2]) -> String {
        let tasks = self.tasks_of("gaia_claims");
        let [claim, task] = themes.map(|number| self.parameter(number));
        format!(
            "FROM gaia_claims CROSS JOIN {tasks} WHERE gaia_claims.theme = {claim} AND t.system_name = {task} AND t.queued = 1 \
             AND t.task_status IN ('Wait', 'Retry') AND t.lease_token < gaia_claims.id"
        )
    }

    /// Whether the id of a task is in a JSON list: what stands before the parameter, and what behind it.
    pub(super) fn is_listed(&self) -> [&'static str; 2] {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => ["asynctasks.id IN (SELECT value FROM json_each(", "))"],
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => [
                "asynctasks.id IN (SELECT listed::bigint FROM json_array_elements_text(",
                "::json) AS listed)",
            ],
            #[cfg(feature = "mysql")]
            Self::Mysql(_) => [
                "asynctasks.id IN (SELECT listed.id FROM JSON_TABLE(",
                ", '$[*]' COLUMNS (id BIGINT PATH '$')) listed)",
            ],
        }
    }

    /// Whether somebody has asked to cancel a task, as the index over such requests knows it.
    pub(super) fn cancel_is_wanted(&self) -> &'static str {
        match self {
            #[cfg(feature = "mysql")]
            Self::Mysql(_) => "stray IN ('cancel', 'unheld') AND cancel_requested <> 0",
            #[cfg(any(feature = "sqlite", feature = "postgres"))]
            _ => "cancel_requested <> 0",
        }
    }

    /// Whether this process and the database may have different clocks.
    pub(super) fn is_remote(&self) -> bool {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => false,
            #[cfg(feature = "_server")]
            _ => true,
        }
    }

    /// Whether tasks that are added at the same time are to share inserts. SQLite's transactions share commits as they are.
    pub(super) fn gathers(&self) -> bool {
        self.is_remote()
    }

    /// A connection for looks of people, and for what may take long.
    pub(super) async fn look(&self, look: Look) -> Result<Lease, StoreError> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(sqlite) => Ok(Lease::Sqlite(sqlite.look(look).await?)),
            #[cfg(feature = "_server")]
            _ => {
                // The servers' connections are as good as each other.
                let _ = look;
                self.read().await
            }
        }
    }

    /// Waits until a server has given the connections that a node cannot do without, and could give one more.
    pub(super) async fn secure(&self) -> Result<(), StoreError> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => std::future::ready(Ok(())).await,
            #[cfg(feature = "postgres")]
            Self::Postgres(postgres) => postgres.connections.secure().await,
            #[cfg(feature = "mysql")]
            Self::Mysql(mysql) => mysql.connections.secure().await,
        }
    }

    /// A connection for what the engine reads.
    pub(super) async fn read(&self) -> Result<Lease, StoreError> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(sqlite) => Ok(Lease::Sqlite(sqlite.read().await?)),
            #[cfg(feature = "postgres")]
            Self::Postgres(postgres) => Ok(Lease::Postgres(postgres.connections.lease().await?)),
            #[cfg(feature = "mysql")]
            Self::Mysql(mysql) => Ok(Lease::Mysql(mysql.connections.lease().await?)),
        }
    }

    /// A connection for writing.
    pub(super) async fn write(&self) -> Result<Lease, StoreError> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(sqlite) => Ok(Lease::Sqlite(sqlite.write().await?)),
            #[cfg(feature = "_server")]
            _ => self.read().await,
        }
    }

    /// The connection for heartbeats, which wait for nothing else where the database allows it.
    pub(super) async fn heartbeat(&self) -> Result<Lease, StoreError> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(sqlite) => Ok(Lease::Sqlite(sqlite.write().await?)),
            #[cfg(feature = "postgres")]
            Self::Postgres(postgres) => Ok(Lease::Postgres(postgres.connections.heartbeat().await?)),
            #[cfg(feature = "mysql")]
            Self::Mysql(mysql) => Ok(Lease::Mysql(mysql.connections.heartbeat().await?)),
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
