//! Connecting to MySQL or MariaDB, with or without TLS.

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::AsyncMysqlConnection;
use mysql_async::{Conn, Opts, OptsBuilder, SslOpts};

use crate::store::{
    StoreError,
    pool::Connect,
    url::{DatabaseUrl, ServerUrl, TlsMode},
};

/// What every connection is told first. A row that somebody holds for long must not hold up a batch: it is refused, and tried
/// again without it. The messages of errors are read, so they must be in one language. Some servers do not take the charset of
/// their clients (`skip_character_set_client_handshake`, `init_connect`): they are told once more.
const SESSION: [&str; 4] = [
    "SET NAMES utf8mb4",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION innodb_lock_wait_timeout = 5",
    "SET SESSION lc_messages = 'en_US'",
];

/// Everything that is needed for one more connection.
#[derive(Clone)]
pub(in crate::store) struct Connector(Opts);

impl Connector {
    pub(super) fn new(url: &ServerUrl) -> Result<Self, StoreError> {
        let opts = Opts::from_url(url.driver()).map_err(|error| StoreError::Connect {
            url: DatabaseUrl::Mysql(url.clone()).to_string(),
            reason: error.to_string(),
        })?;
        let builder = OptsBuilder::from_opts(opts)
            .init(SESSION.to_vec())
            // diesel-async has a cache of its own.
            .stmt_cache_size(0)
            // A row that is found and not changed counts, as on the other databases.
            .client_found_rows(true)
            .tcp_keepalive(Some(30_000_u32))
            // By itself the driver leaves a port of this machine for the socket that the server behind it names: at the end of a
            // tunnel that is the socket of some other server.
            .prefer_socket(false)
            .ssl_opts(tls(url));
        Ok(Self(builder.into()))
    }

    /// Which database this is, among those of this process.
    pub(super) fn identity(&self) -> String {
        let opts = &self.0;
        format!(
            "mysql {} {} {}",
            opts.ip_or_hostname(),
            opts.tcp_port(),
            opts.db_name().unwrap_or_default()
        )
    }
}

impl Connect for Connector {
    type Connection = AsyncMysqlConnection;

    async fn connect(&self) -> ConnectionResult<AsyncMysqlConnection> {
        let conn = Conn::new(self.0.clone()).await;
        let conn = conn.map_err(|error| ConnectionError::BadConnection(error.to_string()))?;
        AsyncMysqlConnection::try_from(conn).await
    }
}

fn tls(url: &ServerUrl) -> Option<SslOpts> {
    if url.tls == TlsMode::Disable {
        return None;
    }
    // The driver takes the process's provider. If the application has chosen one, it stands.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let opts = SslOpts::default();
    Some(match &url.ca {
        // Its switch to leave the name unchecked does not work with today's rustls: `require` is as strict as `verify-full`.
        Some(path) => opts
            .with_root_certs(vec![path.clone().into()])
            .with_disable_built_in_roots(true),
        None => opts.with_danger_accept_invalid_certs(url.tls != TlsMode::VerifyFull),
    })
}
