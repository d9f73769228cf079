//! Connecting to PostgreSQL, with or without TLS.

use std::{sync::Arc, time::Duration};

use diesel::{
    ConnectionError, QueryResult,
    dsl::sql,
    sql_types::{BigInt, Nullable},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use tokio_postgres::{Client, Config, NoTls, config::SslMode, error::SqlState};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::tls;
use crate::store::{
    StoreError,
    server::pool::{Connect, Refusal},
    url::{ServerUrl, TlsMode},
};

/// A row that another session locks for long must not hold up a batch: the batch is refused, and tried again without that row.
const SHORT_WAITS: &str = "SET lock_timeout = '5s'";

/// Lets the server notice, in every session, that the client's host has vanished. The server ends a transaction in which the client
/// sends nothing for 20 s (the default lease), and frees its locks: by then other nodes take over, and must find the rows free. A session
/// without a transaction may hold a lock as well (migrations do), so the server also asks the client's host by keepalives. Statements may
/// take long: while one runs, its client need not send anything.
const VANISHED_CLIENTS: &str = "SET idle_in_transaction_session_timeout = '20s'; SET tcp_keepalives_idle = 10; \
    SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 2; SET tcp_user_timeout = '20s'";

/// Statements stay prepared, but each run makes its plan anew: a plan that was made for an empty table would read the whole table when it
/// has a million rows. Statements that claim, write and add have other [settings](super::by_key).
const PLAN_ANEW: &str = "SET plan_cache_mode = force_custom_plan";

/// For connections on which people look at many rows.
const ONLY_LOOKS: &str = "SET default_transaction_read_only = on; SET statement_timeout = '5s'";

/// The server's idle limit in milliseconds; zero or NULL if there is none.
const IDLE_LIMIT: &str =
    "SELECT (EXTRACT(EPOCH FROM current_setting('idle_session_timeout', true)::interval) * 1000)::bigint";

/// A server that refuses a connection with one of these codes may give one later.
const NOT_NOW: [SqlState; 2] = [SqlState::TOO_MANY_CONNECTIONS, SqlState::CANNOT_CONNECT_NOW];

/// PgBouncer's words for the same: it has no separate code for them.
const POOLER_IS_FULL: &str = "no more connections allowed";

/// Everything that a further connection needs.
#[derive(Clone)]
pub(in crate::store) struct Connector {
    config: Arc<Config>,
    tls: Option<MakeRustlsConnect>,
    only_looks: bool,
}

impl Connector {
    pub(super) fn new(url: &ServerUrl) -> Result<Self, StoreError> {
        let refused = |reason: String| StoreError::Connect {
            url: url.shown().to_owned(),
            reason,
        };
        let mut config = config(url).map_err(|error| refused(in_full(&error)))?;
        config.connect_timeout(url.connect_timeout);
        // The client notices that a server has vanished without closing the connection.
        config.keepalives_idle(std::time::Duration::from_secs(30));
        config.tcp_user_timeout(std::time::Duration::from_secs(30));
        if config.get_application_name().is_none() {
            config.application_name("gaia-actors");
        }
        config.ssl_mode(match url.tls {
            TlsMode::Disable => SslMode::Disable,
            TlsMode::Prefer => SslMode::Prefer,
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
        });
        let tls = match url.tls {
            TlsMode::Disable => None,
            mode => Some(tls::connector(mode, url.ca.as_deref()).map_err(refused)?),
        };
        Ok(Self {
            config: Arc::new(config),
            tls,
            only_looks: false,
        })
    }

    /// A text that tells this database from the other databases of this process.
    pub(super) fn identity(&self) -> String {
        let config = &self.config;
        format!(
            "postgres {:?} {:?} {:?} {:?}",
            config.get_hosts(),
            config.get_ports(),
            config.get_dbname().or(config.get_user()),
            config.get_options()
        )
    }
}

/// The URL in the form of the driver.
fn config(url: &ServerUrl) -> Result<Config, tokio_postgres::Error> {
    let mut config: Config = keywords(&url.driver).parse()?;
    if let Some(user) = &url.user {
        config.user(user);
    }
    if let Some(password) = &url.password {
        config.password(password);
    }
    if let Some(database) = &url.database {
        config.dbname(database);
    }
    for (host, port) in &url.hosts {
        config.host(host).port(*port);
    }
    Ok(config)
}

/// The driver's settings as a text of libpq's keywords. Several `options` are joined into one.
fn keywords(settings: &[(&str, String)]) -> String {
    let quoted = |value: &str| value.replace('\\', r"\\").replace('\'', r"\'");
    let (options, others): (Vec<_>, Vec<_>) = settings.iter().partition(|(name, _)| *name == "options");
    let keyword = |(name, value): &(&str, String)| format!("{name}='{}' ", quoted(value));
    let mut text: String = others.into_iter().map(keyword).collect();
    let options: Vec<&str> = options.iter().map(|(_, value)| value.as_str()).collect();
    if !options.is_empty() {
        text += &keyword(&("options", options.join(" ")));
    }
    text
}

/// The error with its causes, which the driver's own text leaves out.
fn in_full(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", in_full(cause)),
        None => error.to_string(),
    }
}

pub(super) fn refusal(error: &tokio_postgres::Error) -> Refusal {
    let text = in_full(error);
    let is_for_now = error.code().is_some_and(|code| NOT_NOW.contains(code)) || text.contains(POOLER_IS_FULL);
    match is_for_now {
        true => Refusal::ForNow(text),
        false => Refusal::Other(text),
    }
}

impl Connect for Connector {
    type Connection = AsyncPgConnection;

    fn for_looks(&self) -> Self {
        Self {
            only_looks: true,
            ..self.clone()
        }
    }

    async fn connect(&self) -> Result<AsyncPgConnection, Refusal> {
        let mut conn = self.patient().await?;
        let mut settings = vec![SHORT_WAITS, PLAN_ANEW];
        if self.only_looks {
            settings.push(ONLY_LOOKS);
        }
        conn.batch_execute(&settings.join("; "))
            .await
            .map_err(ConnectionError::CouldntSetupConfiguration)?;
        Ok(conn)
    }

    /// The driver notices that the server has ended a connection, but perhaps only after it has sent the next statement.
    async fn idle_limit(conn: &mut AsyncPgConnection) -> QueryResult<Option<Duration>> {
        let limit: Option<i64> = sql::<Nullable<BigInt>>(IDLE_LIMIT).get_result(conn).await?;
        let limit = limit.and_then(|millis| u64::try_from(millis).ok());
        Ok(limit.filter(|millis| *millis > 0).map(Duration::from_millis))
    }
}

impl Connector {
    /// The driver's own client, whose errors have codes.
    pub(super) async fn client(&self) -> Result<Client, Refusal> {
        let refused = |error: tokio_postgres::Error| refusal(&error);
        Ok(match &self.tls {
            None => {
                let (client, connection) = self.config.connect(NoTls).await.map_err(refused)?;
                tokio::spawn(connection);
                client
            }
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await.map_err(refused)?;
                tokio::spawn(connection);
                client
            }
        })
    }

    /// A connection whose statements may wait long for a lock: without `lock_timeout`.
    pub(super) async fn patient(&self) -> Result<AsyncPgConnection, Refusal> {
        let refused = |error: tokio_postgres::Error| refusal(&error);
        let mut conn = match &self.tls {
            None => {
                let (client, connection) = self.config.connect(NoTls).await.map_err(refused)?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await?
            }
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await.map_err(refused)?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await?
            }
        };
        conn.batch_execute(VANISHED_CLIENTS)
            .await
            .map_err(ConnectionError::CouldntSetupConfiguration)?;
        Ok(conn)
    }
}
