//! Who takes turns.

pub(crate) mod apalis_postgres;
pub(crate) mod apalis_sqlite;
pub(crate) mod gaia;
pub(crate) mod graphile;
pub(crate) mod river;

use sqlx::{
    PgPool, SqlitePool,
    postgres::PgPoolOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::child::{CONNECTIONS, Child, Result, Settings};

/// As many connections as the driver opens by itself, or as all sides get.
async fn postgres(child: &Child) -> Result<PgPool> {
    let options = match child.settings {
        Settings::Defaults => PgPoolOptions::new(),
        Settings::Best | Settings::Quick => PgPoolOptions::new().max_connections(CONNECTIONS),
    };
    Ok(options.connect(&child.url).await?)
}

/// Every commit is on disk, as with ours.
async fn sqlite(child: &Child, connections: u32) -> Result<SqlitePool> {
    let file = child.url.strip_prefix("sqlite:").unwrap_or(&child.url);
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(std::time::Duration::from_secs(20));
    let pool = SqlitePoolOptions::new().max_connections(connections);
    Ok(pool.connect_with(options).await?)
}
