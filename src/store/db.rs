//! The databases of this build behind one enum.

#[cfg(feature = "mysql")]
use super::mysql;
#[cfg(feature = "postgres")]
use super::postgres;
#[cfg(feature = "sqlite")]
use super::sqlite;
use super::{
    StoreError,
    backend::{Backend, Dialect, ReadKind},
    url::DatabaseUrl,
};

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

/// A connection taken for one statement, or for a few in a row.
#[allow(clippy::large_enum_variant, reason = "it lives on the stack for one statement")]
pub(super) enum Conn {
    #[cfg(feature = "sqlite")]
    Sqlite(sqlite::Conn),
    #[cfg(feature = "postgres")]
    Postgres(postgres::Conn),
    #[cfg(feature = "mysql")]
    Mysql(mysql::Conn),
}

/// Runs one diesel-async expression on the database of a connection. The expression is compiled once for each
/// database of the build, so a statement that one of them cannot do does not compile.
macro_rules! on_backend {
    ($held:expr, |$conn:ident| $query:expr) => {
        match &mut $held {
            #[cfg(feature = "sqlite")]
            $crate::store::db::Conn::Sqlite(held) => {
                let $conn = &mut **held;
                $query
            }
            #[cfg(feature = "postgres")]
            $crate::store::db::Conn::Postgres(held) => {
                $crate::store::server::pool::on_server!(*held, |$conn| $query)
            }
            #[cfg(feature = "mysql")]
            $crate::store::db::Conn::Mysql(held) => {
                $crate::store::server::pool::on_server!(*held, |$conn| $query)
            }
        }
    };
}
pub(super) use on_backend;

/// Runs the same code on the database that this process uses, whichever it is.
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

    pub(super) fn dialect(&self) -> &'static Dialect {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => &sqlite::Sqlite::DIALECT,
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => &postgres::Postgres::DIALECT,
            #[cfg(feature = "mysql")]
            Self::Mysql(_) => &mysql::Mysql::DIALECT,
        }
    }

    /// Whether this process and the database may have different clocks, and other sessions lock single rows.
    pub(super) fn is_server(&self) -> bool {
        self.dialect().is_server
    }

    /// A connection for people who read, and for statements that may take long.
    pub(super) async fn read_as(&self, kind: ReadKind) -> Result<Conn, StoreError> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(sqlite) => Ok(Conn::Sqlite(sqlite.read_as(kind).await?)),
            #[cfg(feature = "_server")]
            _ => {
                // On a server all connections are alike.
                let _ = kind;
                self.read().await
            }
        }
    }

    /// A connection for looks by people over many rows: it only reads, and a server ends a statement there after 5 s.
    pub(super) async fn look(&self) -> Result<Conn, StoreError> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(sqlite) => Ok(Conn::Sqlite(sqlite.read_as(ReadKind::List).await?)),
            #[cfg(feature = "postgres")]
            Self::Postgres(postgres) => Ok(Conn::Postgres(postgres.connections.look().await?)),
            #[cfg(feature = "mysql")]
            Self::Mysql(mysql) => Ok(Conn::Mysql(mysql.connections.look().await?)),
        }
    }

    /// A connection for reading by the actors of this crate.
    pub(super) async fn read(&self) -> Result<Conn, StoreError> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(sqlite) => Ok(Conn::Sqlite(sqlite.read().await?)),
            #[cfg(feature = "postgres")]
            Self::Postgres(postgres) => Ok(Conn::Postgres(postgres.connections.acquire().await?)),
            #[cfg(feature = "mysql")]
            Self::Mysql(mysql) => Ok(Conn::Mysql(mysql.connections.acquire().await?)),
        }
    }

    /// A connection for writing.
    pub(super) async fn write(&self) -> Result<Conn, StoreError> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(sqlite) => Ok(Conn::Sqlite(sqlite.write().await?)),
            #[cfg(feature = "_server")]
            _ => self.read().await,
        }
    }

    /// The connection for heartbeats. On a server it is a separate one, so that heartbeats do not wait for other statements.
    pub(super) async fn heartbeat(&self) -> Result<Conn, StoreError> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(sqlite) => Ok(Conn::Sqlite(sqlite.write().await?)),
            #[cfg(feature = "postgres")]
            Self::Postgres(postgres) => Ok(Conn::Postgres(postgres.connections.heartbeat().await?)),
            #[cfg(feature = "mysql")]
            Self::Mysql(mysql) => Ok(Conn::Mysql(mysql.connections.heartbeat().await?)),
        }
    }
}
