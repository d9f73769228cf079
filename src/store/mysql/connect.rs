//! Connecting to MySQL or MariaDB, with or without TLS.

use std::time::Duration;

use chrono::FixedOffset;
use diesel::{ConnectionError, QueryResult, dsl::sql, sql_types::BigInt};
use diesel_async::{AsyncMysqlConnection, SimpleAsyncConnection};
use mysql_async::{Conn, DriverError, Error, Opts, OptsBuilder, SslOpts, prelude::Queryable};

use crate::store::{
    server::pool::{Connect, Refusal},
    time::UTC,
    url::{ServerUrl, TlsMode},
};

/// The first statements of every connection. They are for:
///
/// * The charset: some servers ignore the charset of their clients (`skip_character_set_client_handshake`, `init_connect`).
/// * One language of error messages, since this crate reads them.
/// * Settings that an administrator may have changed for people's sessions: `autocommit` off, `sql_safe_updates`, a limit of rows, a lax
///   or an ANSI `sql_mode`. So a text that does not fit is refused, not cut. A date that does not exist (plain SQL may have written
///   `2026-02-31`) can be copied from one column to another.
/// * Short waits for locks: a batch that meets a row that another session holds for long is refused, and tried again without that row.
/// * Clients whose hosts have vanished inside a transaction: they would keep their locks for the eight hours of `wait_timeout`. MariaDB
///   ends a transaction in which the client sends nothing for 20 s (the default lease): by then other nodes take over, and must find the
///   rows free. MySQL has no such setting: there idle sessions end after 20 s, which the pool knows. Each server reads only the comment
///   that is meant for it. Neither limit ends a statement that runs long.
const SESSION: [&str; 4] = [
    "SET NAMES utf8mb4",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION lc_messages = 'en_US', SESSION autocommit = 1, \
       SESSION completion_type = 0, SESSION sql_safe_updates = 0, SESSION sql_select_limit = 18446744073709551615, \
       SESSION sql_big_selects = 1, SESSION sql_mode = 'STRICT_TRANS_TABLES,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION'",
    "SET SESSION innodb_lock_wait_timeout = 5 /*M!100300 , SESSION idle_transaction_timeout = 20 */ \
       /*!80000 , SESSION wait_timeout = LEAST(@@SESSION.wait_timeout, 20) */",
];

/// For a session that holds a lock outside transactions, as migrations do: MariaDB, too, ends the session when it is idle.
const ENDS_WHEN_IDLE: &str = "SET SESSION wait_timeout = LEAST(@@SESSION.wait_timeout, 20)";

/// For connections on which people look at many rows. Each server reads only the comment that is meant for it.
const ONLY_READS: &str = "SET SESSION TRANSACTION READ ONLY";
const ENDS_SOON: &str =
    "SET @gaia = 0 /*M!100200 , SESSION max_statement_time = 5 */ /*!80000 , SESSION max_execution_time = 5000 */";

/// Whether changes go to the binary log as statements. InnoDB refuses that at READ COMMITTED, and rightly: a replica would pass over other
/// rows than the claim did.
const LOGS_STATEMENTS: &str = "SELECT @@GLOBAL.log_bin AND @@SESSION.binlog_format = 'STATEMENT'";

const LOG_ROWS: &str = "SET SESSION binlog_format = 'ROW'";

/// Codes of a server that may give a connection later: it has too many connections, the user has too many, or the user's account has
/// reached a limit.
const NOT_NOW: [u16; 3] = [1040, 1203, 1226];

/// Everything that a further connection needs.
#[derive(Clone)]
pub(in crate::store) struct Connector {
    opts: Opts,
    /// Options for a server that offers no TLS; `None` unless the mode is `Prefer`.
    plain: Option<Opts>,
    only_looks: bool,
    /// The zone of the columns of time.
    zone: FixedOffset,
}

impl Connector {
    pub(super) fn new(url: &ServerUrl) -> Self {
        let plain = options(url);
        let opts = match tls(url) {
            Some(tls) => plain.clone().ssl_opts(tls),
            None => plain.clone(),
        };
        Self {
            opts: opts.into(),
            plain: (url.tls == TlsMode::Prefer).then(|| plain.into()),
            only_looks: false,
            zone: url.zone,
        }
    }

    /// A text that tells this database from the other databases of this process.
    pub(super) fn identity(&self) -> String {
        let opts = &self.opts;
        format!(
            "mysql {} {} {} {}",
            opts.ip_or_hostname(),
            opts.tcp_port(),
            opts.socket().unwrap_or_default(),
            opts.db_name().unwrap_or_default()
        )
    }

    /// A connection for migrations: if this host vanishes, the server soon frees their lock.
    pub(super) async fn for_migrations(&self) -> Result<AsyncMysqlConnection, Refusal> {
        let mut conn = self.connect().await?;
        let set = SimpleAsyncConnection::batch_execute(&mut conn, ENDS_WHEN_IDLE);
        set.await.map_err(ConnectionError::CouldntSetupConfiguration)?;
        Ok(conn)
    }

    async fn open(&self) -> Result<Conn, Error> {
        match (Conn::new(self.opts.clone()).await, &self.plain) {
            (Err(Error::Driver(DriverError::NoClientSslFlagFromServer)), Some(plain)) => Conn::new(plain.clone()).await,
            (opened, _) => opened,
        }
    }
}

impl Connect for Connector {
    type Connection = AsyncMysqlConnection;

    fn for_looks(&self) -> Self {
        Self {
            only_looks: true,
            ..self.clone()
        }
    }

    async fn connect(&self) -> Result<AsyncMysqlConnection, Refusal> {
        let bad = |error: Error| refusal(&error);
        let mut conn = self.open().await.map_err(bad)?;
        if conn.query_first(LOGS_STATEMENTS).await.map_err(bad)? == Some(1) {
            conn.query_drop(LOG_ROWS).await.map_err(|error| {
                Refusal::Other(format!(
                    "the server writes its binary log by statement, with which replicas would claim other tasks; set \
                     binlog_format to MIXED or ROW on the server, or let this user do it for its own sessions (GRANT BINLOG \
                     ADMIN on MariaDB, SESSION_VARIABLES_ADMIN on MySQL): {error}"
                ))
            })?;
        }
        if self.only_looks {
            conn.query_drop(ONLY_READS).await.map_err(bad)?;
            conn.query_drop(ENDS_SOON).await.map_err(bad)?;
        }
        // diesel sets the session's zone to UTC.
        let mut conn = AsyncMysqlConnection::try_from(conn).await?;
        if self.zone != UTC {
            let set = format!("SET SESSION time_zone = '{}'", self.zone);
            let set = SimpleAsyncConnection::batch_execute(&mut conn, &set).await;
            set.map_err(ConnectionError::CouldntSetupConfiguration)?;
        }
        Ok(conn)
    }

    /// The driver does not read from an idle connection, and so does not notice that the server has ended it.
    async fn idle_limit(conn: &mut AsyncMysqlConnection) -> QueryResult<Option<Duration>> {
        let asked = sql::<BigInt>("SELECT CAST(@@wait_timeout AS SIGNED)");
        let seconds: i64 = diesel_async::RunQueryDsl::get_result(asked, conn).await?;
        Ok(u64::try_from(seconds).ok().map(Duration::from_secs))
    }
}

fn refusal(error: &Error) -> Refusal {
    let text = error.to_string();
    match error {
        Error::Server(server) if NOT_NOW.contains(&server.code) => Refusal::ForNow(text),
        _ => Refusal::Other(text),
    }
}

fn options(url: &ServerUrl) -> OptsBuilder {
    let options = OptsBuilder::default()
        .user(url.user.clone())
        .pass(url.password.clone())
        .db_name(url.database.clone())
        .init(SESSION.to_vec())
        // diesel-async has its own cache of statements.
        .stmt_cache_size(0)
        // The count of an update includes rows that it found and did not change, as on the other databases.
        .client_found_rows(true)
        .tcp_keepalive(Some(30_000_u32))
        // By default the driver leaves a port of this machine for the socket that the server behind the port names. If the port is
        // the end of a tunnel, that socket is another server's.
        .prefer_socket(false);
    let socket = url.driver.iter().find(|(name, _)| *name == "socket");
    match (socket, url.hosts.first()) {
        (Some((_, socket)), _) => options.socket(Some(socket)),
        (None, Some((host, _))) if host.starts_with('/') => options.socket(Some(host)),
        (None, Some((host, port))) => options.ip_or_hostname(host).tcp_port(*port),
        (None, None) => options,
    }
}

fn tls(url: &ServerUrl) -> Option<SslOpts> {
    if url.tls == TlsMode::Disable {
        return None;
    }
    // The driver uses the provider of the process. If the application has chosen a provider, that choice stands.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let opts = SslOpts::default();
    Some(match &url.ca {
        // The driver's switch to leave the name unchecked does not work with today's rustls: `require` is as strict as `verify-full`.
        Some(path) => opts
            .with_root_certs(vec![path.clone().into()])
            .with_disable_built_in_roots(true),
        None => opts.with_danger_accept_invalid_certs(url.tls != TlsMode::VerifyFull),
    })
}
