//! Plain SQL beside the product, and the databases on which it runs.

use chrono::NaiveDateTime;
use clap::ValueEnum;
use diesel::{
    ConnectionResult, QueryResult, QueryableByName,
    sql_types::{BigInt, Timestamp},
};
use tempfile::TempDir;

#[cfg(any(feature = "postgres", feature = "mysql"))]
use crate::server::Server;

/// Which kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Kind {
    #[cfg(feature = "sqlite")]
    Sqlite,
    #[cfg(feature = "postgres")]
    Postgres,
    #[cfg(feature = "mysql")]
    Mysql,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite => "sqlite",
            #[cfg(feature = "postgres")]
            Self::Postgres => "postgres",
            #[cfg(feature = "mysql")]
            Self::Mysql => "mysql",
        }
    }

    pub fn is_server(self) -> bool {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite => false,
            #[cfg(any(feature = "postgres", feature = "mysql"))]
            _ => true,
        }
    }
}

/// Where databases are made: a private server, or nothing but files.
#[derive(Debug)]
pub struct Backend {
    pub kind: Kind,
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    pub server: Option<Server>,
}

impl Backend {
    pub fn start(kind: Kind) -> Result<Self, String> {
        Ok(Self {
            kind,
            #[cfg(any(feature = "postgres", feature = "mysql"))]
            server: kind.is_server().then(|| Server::new(kind)).transpose()?,
        })
    }
}

/// A database of one fault, in a folder with everything that its nodes write.
pub struct Database {
    pub kind: Kind,
    pub url: String,
    pub folder: TempDir,
}

impl Database {
    pub fn fresh(backend: &Backend) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = match backend.kind {
            #[cfg(feature = "sqlite")]
            Kind::Sqlite => format!("sqlite:{}", folder.path().join("gaia.db").display()),
            #[cfg(any(feature = "postgres", feature = "mysql"))]
            _ => backend.server.as_ref().expect("was started").fresh_database(),
        };
        let kind = backend.kind;
        Self { kind, url, folder }
    }

    /// The one number that a query answers with.
    pub fn number(&self, sql: &str) -> i64 {
        self.numbers(&format!("SELECT ({sql}) AS number"))[0]
    }

    /// The column `number` of a query.
    pub fn numbers(&self, sql: &str) -> Vec<i64> {
        let rows = block_on(async { self.connect().await.numbers(sql).await });
        let rows = rows.expect("plain SQL answers");
        rows.into_iter().map(|row| row.number).collect()
    }

    /// The columns `number` and `time` of a query.
    pub fn times(&self, sql: &str) -> Vec<NumberAndTime> {
        block_on(async { self.connect().await.times(sql).await }).expect("plain SQL answers")
    }

    pub fn execute(&self, sql: &str) {
        block_on(async { self.connect().await.execute(sql).await }).expect("plain SQL runs");
    }

    async fn connect(&self) -> Connection {
        Connection::open(self.kind, &self.url).await.expect("connects")
    }
}

#[derive(QueryableByName)]
pub struct Number {
    #[diesel(sql_type = BigInt)]
    pub number: i64,
}

#[derive(QueryableByName)]
pub struct NumberAndTime {
    #[diesel(sql_type = BigInt)]
    pub number: i64,
    #[diesel(sql_type = Timestamp)]
    pub time: NaiveDateTime,
}

/// A connection of somebody who has nothing to do with the product.
#[allow(clippy::large_enum_variant, reason = "there are few, and not in every build")]
pub enum Connection {
    #[cfg(feature = "sqlite")]
    Sqlite(diesel::SqliteConnection),
    #[cfg(feature = "postgres")]
    Postgres(diesel_async::AsyncPgConnection),
    #[cfg(feature = "mysql")]
    Mysql(diesel_async::AsyncMysqlConnection),
}

macro_rules! query {
    ($name:ident, $row:ty) => {
        pub async fn $name(&mut self, sql: &str) -> QueryResult<Vec<$row>> {
            let query = diesel::sql_query(sql);
            match self {
                #[cfg(feature = "sqlite")]
                Self::Sqlite(conn) => diesel::RunQueryDsl::load(query, conn),
                #[cfg(feature = "postgres")]
                Self::Postgres(conn) => diesel_async::RunQueryDsl::load(query, conn).await,
                #[cfg(feature = "mysql")]
                Self::Mysql(conn) => diesel_async::RunQueryDsl::load(query, conn).await,
            }
        }
    };
}

impl Connection {
    pub async fn open(kind: Kind, url: &str) -> ConnectionResult<Self> {
        #[cfg(any(feature = "postgres", feature = "mysql"))]
        use diesel_async::AsyncConnection;
        match kind {
            #[cfg(feature = "sqlite")]
            Kind::Sqlite => {
                use diesel::{Connection, connection::SimpleConnection};
                let path = url.strip_prefix("sqlite:").expect("is a file");
                let mut conn = diesel::SqliteConnection::establish(path)?;
                conn.batch_execute("PRAGMA busy_timeout = 20000").expect("is set");
                Ok(Self::Sqlite(conn))
            }
            #[cfg(feature = "postgres")]
            Kind::Postgres => diesel_async::AsyncPgConnection::establish(url)
                .await
                .map(Self::Postgres),
            #[cfg(feature = "mysql")]
            Kind::Mysql => diesel_async::AsyncMysqlConnection::establish(url)
                .await
                .map(Self::Mysql),
        }
    }

    query!(numbers, Number);
    query!(times, NumberAndTime);

    pub async fn execute(&mut self, sql: &str) -> QueryResult<()> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(conn) => diesel::connection::SimpleConnection::batch_execute(conn, sql),
            #[cfg(feature = "postgres")]
            Self::Postgres(conn) => diesel_async::SimpleAsyncConnection::batch_execute(conn, sql).await,
            #[cfg(feature = "mysql")]
            Self::Mysql(conn) => diesel_async::SimpleAsyncConnection::batch_execute(conn, sql).await,
        }
    }
}

/// Connections live as long as the runtime in which they were made: open, use and drop them in one call.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("starts").block_on(future)
}
