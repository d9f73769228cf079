//! Databases of the tests. `GAIA_TEST_DATABASE` says which: `sqlite`, `postgres` or `mysql`.

use std::path::PathBuf;

use chrono::NaiveDateTime;
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Timestamp},
};
use gaia_actors::{Gaia, GaiaBuilder};
use tempfile::TempDir;

/// Which kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    #[cfg(feature = "sqlite")]
    Sqlite,
    #[cfg(feature = "postgres")]
    Postgres,
    #[cfg(feature = "mysql")]
    Mysql,
}

/// A database of one test, gone with it.
pub struct Database {
    kind: Kind,
    folder: TempDir,
    /// Its name on its server.
    name: String,
}

/// A number and a time, as plain SQL answers with them.
#[derive(Debug, QueryableByName)]
pub struct NumberAndTime {
    #[diesel(sql_type = BigInt)]
    pub number: i64,
    #[diesel(sql_type = Timestamp)]
    pub time: NaiveDateTime,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

impl Kind {
    /// What this run of the tests is to be run against.
    pub fn of_this_run() -> Self {
        let wanted = std::env::var("GAIA_TEST_DATABASE").unwrap_or_else(|_| Self::default_name().to_owned());
        match wanted.as_str() {
            #[cfg(feature = "sqlite")]
            "sqlite" => Self::Sqlite,
            #[cfg(feature = "postgres")]
            "postgres" => Self::Postgres,
            #[cfg(feature = "mysql")]
            "mysql" => Self::Mysql,
            other => panic!("GAIA_TEST_DATABASE is {other:?}, which is no database of this build"),
        }
    }

    /// What is said of a database of this kind that has none of our tables.
    pub fn lacks_all(self) -> String {
        let migrations = match self {
            #[cfg(feature = "mysql")]
            Self::Mysql => 27,
            #[cfg(feature = "sqlite")]
            Self::Sqlite => 26,
            #[cfg(feature = "postgres")]
            Self::Postgres => 27,
        };
        format!("lacks {migrations} of this version's migrations")
    }

    const fn default_name() -> &'static str {
        if cfg!(feature = "sqlite") {
            "sqlite"
        } else if cfg!(feature = "postgres") {
            "postgres"
        } else {
            "mysql"
        }
    }

    /// Whether there is a server of this kind for these tests.
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    pub fn has_server(self) -> bool {
        std::env::var(self.variable()).is_ok()
    }

    /// The URL of a user who may create databases.
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    pub fn admin_url(self) -> String {
        let variable = self.variable();
        std::env::var(variable)
            .unwrap_or_else(|_| panic!("{variable} is not set; ./scripts/test starts a server and sets it"))
    }

    #[cfg(any(feature = "postgres", feature = "mysql"))]
    fn variable(self) -> &'static str {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite => panic!("a file needs no server"),
            #[cfg(feature = "postgres")]
            Self::Postgres => "GAIA_TEST_POSTGRES_URL",
            #[cfg(feature = "mysql")]
            Self::Mysql => "GAIA_TEST_MYSQL_URL",
        }
    }
}

impl Database {
    /// A new one of the kind of this run.
    pub fn fresh() -> Self {
        Self::of_kind(Kind::of_this_run())
    }

    pub fn of_kind(kind: Kind) -> Self {
        let database = Self {
            kind,
            folder: tempfile::tempdir().expect("a temporary folder"),
            name: format!("gaia_{:012x}", fastrand::u64(..1 << 48)),
        };
        #[cfg(any(feature = "postgres", feature = "mysql"))]
        if database.is_on_a_server() {
            execute(kind, &kind.admin_url(), &format!("CREATE DATABASE {}", database.name));
            database.make_odd();
        }
        database
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn is_on_a_server(&self) -> bool {
        match self.kind {
            #[cfg(feature = "sqlite")]
            Kind::Sqlite => false,
            #[cfg(any(feature = "postgres", feature = "mysql"))]
            _ => true,
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn url(&self) -> String {
        match self.kind {
            #[cfg(feature = "sqlite")]
            Kind::Sqlite => format!("sqlite:{}", self.path().display()),
            #[cfg(any(feature = "postgres", feature = "mysql"))]
            kind => named(&kind.admin_url(), &self.name),
        }
    }

    /// The URL with one more parameter.
    pub fn url_with(&self, parameter: &str) -> String {
        let url = self.url();
        let joint = if url.contains('?') { '&' } else { '?' };
        format!("{url}{joint}{parameter}")
    }

    /// The SQLite file.
    #[cfg(feature = "sqlite")]
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("gaia.db")
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Plain SQL of somebody else, on a connection of its own.
    pub fn execute(&self, sql: &str) {
        execute(self.kind, &self.url(), sql);
    }

    /// Runs statements one after the other on one connection, `first` before all; answers how many of them the database took.
    pub fn try_each(&self, first: &str, statements: &[String]) -> usize {
        try_each(self.kind, &self.url(), first, statements)
    }

    /// The one number that a query answers with.
    pub fn number(&self, sql: &str) -> i64 {
        number(self.kind, &self.url(), sql)
    }

    /// The rows of a query with the columns `number` and `time`.
    pub fn times(&self, sql: &str) -> Vec<NumberAndTime> {
        load(self.kind, &self.url(), sql)
    }

    /// The database's time so many seconds from now, as plain SQL.
    pub fn in_seconds(&self, seconds: i32) -> String {
        match self.kind {
            #[cfg(feature = "sqlite")]
            Kind::Sqlite => format!("datetime('now', '{seconds} seconds')"),
            #[cfg(feature = "postgres")]
            Kind::Postgres => format!("(now() AT TIME ZONE 'UTC') + interval '{seconds} seconds'"),
            #[cfg(feature = "mysql")]
            Kind::Mysql => format!("CURRENT_TIMESTAMP(6) + INTERVAL {seconds} SECOND"),
        }
    }

    pub fn builder(&self) -> GaiaBuilder {
        Gaia::builder().database(self.url()).arbiters(2)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        match self.kind {
            #[cfg(feature = "sqlite")]
            Kind::Sqlite => {}
            #[cfg(feature = "postgres")]
            Kind::Postgres => self.drop_database(" WITH (FORCE)"),
            #[cfg(feature = "mysql")]
            Kind::Mysql => self.drop_database(""),
        }
    }
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
impl Database {
    /// An odd time zone and the strictest rules, as some server somewhere has them.
    fn make_odd(&self) {
        let sql = match self.kind {
            #[cfg(feature = "sqlite")]
            Kind::Sqlite => return,
            #[cfg(feature = "postgres")]
            Kind::Postgres => format!("ALTER DATABASE {} SET timezone = 'Asia/Kathmandu'", self.name),
            #[cfg(feature = "mysql")]
            Kind::Mysql => "SET GLOBAL time_zone = '+08:00'; \
                 SET GLOBAL sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,\
                 NO_ENGINE_SUBSTITUTION,ONLY_FULL_GROUP_BY'"
                .to_owned(),
        };
        execute(self.kind, &self.kind.admin_url(), &sql);
    }

    fn drop_database(&self, how: &str) {
        // A test that fails is in trouble already.
        if !std::thread::panicking() {
            let sql = format!("DROP DATABASE {}{how}", self.name);
            execute(self.kind, &self.kind.admin_url(), &sql);
        }
    }
}

/// The same URL for another database of the server.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub fn named(url: &str, name: &str) -> String {
    let (url, query) = url
        .split_once('?')
        .map_or((url, String::new()), |(url, query)| (url, format!("?{query}")));
    let (server, _) = url.rsplit_once('/').expect("names a database");
    format!("{server}/{name}{query}")
}

/// Runs a diesel-async expression on a connection of its own, on a thread of its own: tests call it from inside a runtime.
#[cfg(any(feature = "postgres", feature = "mysql"))]
macro_rules! elsewhere {
    ($connection:ty, $url:expr, |$conn:ident| $query:expr) => {{
        let url = $url.to_owned();
        let done = std::thread::scope(|scope| {
            let piece = scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("starts").block_on(async {
                    let $conn = &mut connect::<$connection>(&url).await;
                    $query
                })
            });
            piece.join().expect("does not panic")
        });
        done.expect("plain SQL runs")
    }};
}

/// A connection of a driver, which knows no `time_zone` in a URL: the session gets that zone.
#[cfg(any(feature = "postgres", feature = "mysql"))]
async fn connect<C: diesel_async::AsyncConnection>(url: &str) -> C {
    let mut conn = C::establish(&of_driver(url)).await.expect("connects");
    if let Some(zone) = time_zone(url) {
        let set = format!("SET time_zone = '{zone}'");
        conn.batch_execute(&set).await.expect("is a zone");
    }
    conn
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
fn time_zone(url: &str) -> Option<&str> {
    let (_, after) = url.split_once("time_zone=")?;
    after.split('&').next()
}

/// The URL as drivers read it.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub fn of_driver(url: &str) -> String {
    match time_zone(url) {
        Some(zone) => url.replace(&format!("?time_zone={zone}"), ""),
        None => url.to_owned(),
    }
}

/// Runs statements of plain SQL.
pub fn execute(kind: Kind, url: &str, sql: &str) {
    execute_around(kind, url, [sql, ""], || {});
}

/// Runs statements of plain SQL before and after something else, on one connection.
pub fn execute_around(kind: Kind, url: &str, [before, after]: [&str; 2], between: impl FnOnce() + Send) {
    match kind {
        #[cfg(feature = "sqlite")]
        Kind::Sqlite => {
            use diesel::connection::SimpleConnection;
            let mut conn = sqlite(url);
            conn.batch_execute(before).expect("plain SQL runs");
            between();
            conn.batch_execute(after).expect("plain SQL runs");
        }
        #[cfg(feature = "postgres")]
        Kind::Postgres => elsewhere!(diesel_async::AsyncPgConnection, url, |conn| {
            run_around(conn, [before, after], between).await
        }),
        #[cfg(feature = "mysql")]
        Kind::Mysql => elsewhere!(diesel_async::AsyncMysqlConnection, url, |conn| {
            run_around(conn, [before, after], between).await
        }),
    }
}

/// Runs statements on a connection to a server.
#[cfg(any(feature = "postgres", feature = "mysql"))]
macro_rules! each_of {
    ($conn:ident, $first:expr, $statements:expr) => {{
        use diesel_async::SimpleAsyncConnection;
        let began = $conn.batch_execute($first).await;
        let mut taken = 0;
        for sql in $statements {
            taken += usize::from($conn.batch_execute(sql).await.is_ok());
        }
        began.map(|()| taken)
    }};
}

/// Runs statements of which some may be refused.
fn try_each(kind: Kind, url: &str, first: &str, statements: &[String]) -> usize {
    match kind {
        #[cfg(feature = "sqlite")]
        Kind::Sqlite => {
            use diesel::connection::SimpleConnection;
            let mut conn = sqlite(url);
            conn.batch_execute(first).expect("plain SQL runs");
            let taken = statements.iter().filter(|sql| conn.batch_execute(sql).is_ok());
            taken.count()
        }
        #[cfg(feature = "postgres")]
        Kind::Postgres => elsewhere!(diesel_async::AsyncPgConnection, url, |conn| {
            each_of!(conn, first, statements)
        }),
        #[cfg(feature = "mysql")]
        Kind::Mysql => elsewhere!(diesel_async::AsyncMysqlConnection, url, |conn| {
            each_of!(conn, first, statements)
        }),
    }
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
async fn run_around(
    conn: &mut impl diesel_async::SimpleAsyncConnection,
    [before, after]: [&str; 2],
    between: impl FnOnce(),
) -> diesel::QueryResult<()> {
    conn.batch_execute(before).await?;
    between();
    match after {
        "" => Ok(()),
        after => conn.batch_execute(after).await,
    }
}

/// The one number that a query answers with.
pub fn number(kind: Kind, url: &str, sql: &str) -> i64 {
    let number = match kind {
        #[cfg(feature = "mysql")]
        Kind::Mysql => format!("SELECT CAST(({sql}) AS SIGNED) AS number"),
        #[cfg(any(feature = "sqlite", feature = "postgres"))]
        _ => format!("SELECT CAST(({sql}) AS BIGINT) AS number"),
    };
    load::<Number>(kind, url, &number)[0].number
}

/// A row that plain SQL answers with.
trait Load: Sized {
    fn load(kind: Kind, url: &str, sql: &str) -> Vec<Self>;
}

fn load<T: Load>(kind: Kind, url: &str, sql: &str) -> Vec<T> {
    T::load(kind, url, sql)
}

macro_rules! loadable {
    ($($row:ty),*) => {$(
        impl Load for $row {
            fn load(kind: Kind, url: &str, sql: &str) -> Vec<Self> {
                match kind {
                    #[cfg(feature = "sqlite")]
                    Kind::Sqlite => {
                        use diesel::RunQueryDsl;
                        diesel::sql_query(sql).load(&mut sqlite(url)).expect("plain SQL answers")
                    }
                    #[cfg(feature = "postgres")]
                    Kind::Postgres => elsewhere!(diesel_async::AsyncPgConnection, url, |conn| {
                        diesel_async::RunQueryDsl::load(diesel::sql_query(sql), conn).await
                    }),
                    #[cfg(feature = "mysql")]
                    Kind::Mysql => elsewhere!(diesel_async::AsyncMysqlConnection, url, |conn| {
                        diesel_async::RunQueryDsl::load(diesel::sql_query(sql), conn).await
                    }),
                }
            }
        }
    )*};
}

loadable!(Number, NumberAndTime);

/// Whoever runs plain SQL beside us: a connection of its own.
#[cfg(feature = "sqlite")]
fn sqlite(url: &str) -> diesel::SqliteConnection {
    use diesel::{Connection, connection::SimpleConnection};
    let path = url.strip_prefix("sqlite:").expect("is a file");
    let mut conn = diesel::SqliteConnection::establish(path).expect("opens");
    conn.batch_execute("PRAGMA busy_timeout = 20000").expect("is set");
    conn
}

#[cfg(feature = "sqlite")]
impl Database {
    /// A connection to the file.
    pub fn connection(&self) -> diesel::SqliteConnection {
        sqlite(&self.url())
    }
}
