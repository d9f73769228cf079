//! Databases that a benchmark makes for itself and drops at the end, and plain SQL on them.
//!
//! Each is named at random. The user of a server's URL must be allowed to create databases.

#![cfg_attr(
    not(any(feature = "postgres", feature = "mysql")),
    allow(clippy::unused_async, reason = "SQLite answers at once")
)]

use diesel::{
    QueryableByName,
    backend::Backend,
    deserialize::{self, FromSql},
    row::NamedRow,
    sql_types,
};
use tempfile::TempDir;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
    Mysql,
}

/// SQLite, and the servers of `GAIA_BENCH_POSTGRES_URL` and `GAIA_BENCH_MYSQL_URL`, as far as they are in this build.
pub(crate) fn databases_of_this_build() -> Vec<String> {
    let server = |is_built: bool, variable: &str| std::env::var(variable).ok().filter(|_| is_built);
    let sqlite = cfg!(feature = "sqlite").then(|| "sqlite".to_owned());
    let postgres = server(cfg!(feature = "postgres"), "GAIA_BENCH_POSTGRES_URL");
    let mysql = server(cfg!(feature = "mysql"), "GAIA_BENCH_MYSQL_URL");
    [sqlite, postgres, mysql].into_iter().flatten().collect()
}

/// A name that no other database has.
pub(crate) fn name(what: &str) -> String {
    format!("gaia_{what}_{:012x}", fastrand::u64(..1 << 48))
}

impl Kind {
    /// What kind `sqlite`, `sqlite:FOLDER` or the URL of a server names.
    pub(crate) fn of(database: &str) -> Result<Self> {
        match database.split(':').next().unwrap_or_default() {
            "sqlite" => Ok(Self::Sqlite),
            "postgres" | "postgresql" => Ok(Self::Postgres),
            "mysql" | "mariadb" => Ok(Self::Mysql),
            scheme => Err(format!("{scheme:?} is no kind of database: sqlite, postgres or mysql").into()),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
        }
    }

    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT sqlite_version() AS line",
            Self::Postgres | Self::Mysql => "SELECT version() AS line",
        }
    }

    /// The time so many seconds from now, in UTC.
    pub(crate) fn time(self, seconds: &str) -> String {
        match self {
            Self::Sqlite => format!("strftime('%Y-%m-%d %H:%M:%f', 'now', ({seconds}) || ' seconds')"),
            Self::Postgres => format!("(now() AT TIME ZONE 'UTC') + ({seconds}) * interval '1 second'"),
            Self::Mysql => format!("UTC_TIMESTAMP(6) + INTERVAL ({seconds}) SECOND"),
        }
    }
}

/// Where databases are made.
pub(crate) struct Home {
    pub(crate) kind: Kind,
    /// Of a user who may create databases.
    url: String,
    /// Of SQLite's files.
    folder: TempDir,
}

impl Home {
    pub(crate) fn new(database: &str) -> Result<Self> {
        let kind = Kind::of(database)?;
        let (_, rest) = database.split_once(':').unwrap_or_default();
        let folder = match kind {
            Kind::Sqlite if !rest.is_empty() => TempDir::new_in(rest)?,
            _ => TempDir::new()?,
        };
        let url = database.to_owned();
        Ok(Self { kind, url, folder })
    }

    pub(crate) fn url_of(&self, name: &str) -> Result<String> {
        if self.kind == Kind::Sqlite {
            return Ok(format!("sqlite:{}", self.folder.path().join(name).display()));
        }
        let (url, query) = self.url.split_once('?').unwrap_or((&self.url, ""));
        let (server, _) = url.rsplit_once('/').ok_or("the URL names no database")?;
        let joint = if query.is_empty() { "" } else { "?" };
        Ok(format!("{server}/{name}{joint}{query}"))
    }

    pub(crate) async fn create(&self, name: &str) -> Result<()> {
        if self.kind == Kind::Sqlite {
            return Ok(());
        }
        let mut admin = self.admin().await?;
        admin.run(&format!("CREATE DATABASE {name}")).await?;
        if self.kind == Kind::Postgres {
            // Small tables have no such thing: a scan that goes on where the last one stopped would hide a bad plan.
            let alter = format!("ALTER DATABASE {name} SET synchronize_seqscans = off");
            admin.run(&alter).await?;
        }
        Ok(())
    }

    /// SQLite's files go with their folder.
    pub(crate) async fn remove(&self, names: &[String]) -> Result<()> {
        let how = match self.kind {
            Kind::Sqlite => return Ok(()),
            Kind::Postgres => " WITH (FORCE)",
            Kind::Mysql => "",
        };
        let mut admin = self.admin().await?;
        for name in names {
            admin.run(&format!("DROP DATABASE IF EXISTS {name}{how}")).await?;
        }
        Ok(())
    }

    async fn admin(&self) -> Result<Plain> {
        Plain::connect(self.kind, &self.url).await
    }
}

/// A connection for plain SQL.
pub(crate) enum Plain {
    #[cfg(feature = "sqlite")]
    Sqlite(Box<diesel::SqliteConnection>),
    #[cfg(feature = "postgres")]
    Postgres(Box<diesel_async::AsyncPgConnection>),
    #[cfg(feature = "mysql")]
    Mysql(Box<diesel_async::AsyncMysqlConnection>),
}

impl Plain {
    pub(crate) async fn connect(kind: Kind, url: &str) -> Result<Self> {
        match kind {
            #[cfg(feature = "sqlite")]
            Kind::Sqlite => {
                let file = url.strip_prefix("sqlite:").unwrap_or(url);
                let mut conn = <diesel::SqliteConnection as diesel::Connection>::establish(file)?;
                diesel::connection::SimpleConnection::batch_execute(&mut conn, "PRAGMA busy_timeout = 20000")?;
                Ok(Self::Sqlite(Box::new(conn)))
            }
            #[cfg(feature = "postgres")]
            Kind::Postgres => {
                let conn = <diesel_async::AsyncPgConnection as diesel_async::AsyncConnection>::establish(url);
                Ok(Self::Postgres(Box::new(conn.await?)))
            }
            #[cfg(feature = "mysql")]
            Kind::Mysql => {
                let conn = <diesel_async::AsyncMysqlConnection as diesel_async::AsyncConnection>::establish(url);
                Ok(Self::Mysql(Box::new(conn.await?)))
            }
            #[cfg(not(all(feature = "sqlite", feature = "postgres", feature = "mysql")))]
            _ => Err(format!("this build has no {}", kind.name()).into()),
        }
    }

    pub(crate) async fn run(&mut self, sql: &str) -> Result<()> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(conn) => diesel::connection::SimpleConnection::batch_execute(&mut **conn, sql)?,
            #[cfg(feature = "postgres")]
            Self::Postgres(conn) => diesel_async::SimpleAsyncConnection::batch_execute(&mut **conn, sql).await?,
            #[cfg(feature = "mysql")]
            Self::Mysql(conn) => diesel_async::SimpleAsyncConnection::batch_execute(&mut **conn, sql).await?,
        }
        Ok(())
    }

    pub(crate) async fn lines(&mut self, sql: &str) -> Result<Vec<String>> {
        let query = diesel::sql_query(sql);
        let lines: Vec<Line> = match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(conn) => diesel::RunQueryDsl::load(query, &mut **conn)?,
            #[cfg(feature = "postgres")]
            Self::Postgres(conn) => diesel_async::RunQueryDsl::load(query, &mut **conn).await?,
            #[cfg(feature = "mysql")]
            Self::Mysql(conn) => diesel_async::RunQueryDsl::load(query, &mut **conn).await?,
        };
        Ok(lines.into_iter().map(|line| line.0).collect())
    }

    pub(crate) async fn is_mariadb(&mut self, kind: Kind) -> Result<bool> {
        Ok(kind == Kind::Mysql && self.lines(kind.version()).await?.join("").contains("MariaDB"))
    }

    /// Lets a recursive query count so far; only MySQL has to be told.
    pub(crate) async fn allow_recursion(&mut self, kind: Kind, most: usize) -> Result<()> {
        if kind != Kind::Mysql {
            return Ok(());
        }
        let limit = match self.is_mariadb(kind).await? {
            true => "max_recursive_iterations",
            false => "cte_max_recursion_depth",
        };
        self.run(&format!("SET SESSION {limit} = {most}")).await
    }
}

/// The one column of text that matters, whatever the database calls it.
struct Line(String);

impl<DB: Backend> QueryableByName<DB> for Line
where
    String: FromSql<sql_types::Text, DB>,
{
    fn build<'a>(row: &impl NamedRow<'a, DB>) -> deserialize::Result<Self> {
        let text = |column: &&str| NamedRow::get::<sql_types::Text, String>(row, column).ok();
        let text = ["line", "QUERY PLAN", "detail", "ANALYZE", "EXPLAIN", "Value"]
            .iter()
            .find_map(text);
        text.map(Self).ok_or_else(|| "no column of text".into())
    }
}
