//! What the figures were measured on.

use crate::{
    database::{Kind, Plain, Result},
    place::{Place, on_fresh},
};

/// The machine and this crate.
pub(crate) fn of_machine() -> String {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown CPU", |model| model.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let (os, version) = (std::env::consts::OS, env!("CARGO_PKG_VERSION"));
    format!("{model}, {cores} cores, {os} {}, gaia-actors {version}", kernel.trim())
}

/// The version of the database and how durable its commits are, in its own words.
pub(crate) async fn of_database(database: &str) -> Result<String> {
    let facts = on_fresh(database, async |place| {
        let mut plain = place.plain().await?;
        let version = plain.lines(place.kind.version()).await?.join(" ");
        let settings = settings(place, &mut plain).await?;
        Ok(format!("{} {version}, {settings}", place.kind.name()))
    });
    facts.await
}

/// SQLite's is said by each connection: both sides say FULL, and NORMAL where a claim is all that is committed.
async fn settings(place: &Place, plain: &mut Plain) -> Result<String> {
    let settings = match place.kind {
        Kind::Sqlite => "SELECT 'synchronous=FULL, journal_mode=' || journal_mode AS line FROM pragma_journal_mode",
        Kind::Postgres => {
            "SELECT string_agg(name || '=' || setting, ', ' ORDER BY name) AS line FROM pg_settings \
             WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes', 'shared_buffers')"
        }
        Kind::Mysql => {
            "SELECT CONCAT('innodb_flush_log_at_trx_commit=', @@innodb_flush_log_at_trx_commit, ', log_bin=', @@log_bin, \
               ', sync_binlog=', @@sync_binlog, ', innodb_buffer_pool_size=', @@innodb_buffer_pool_size) AS line"
        }
    };
    Ok(plain.lines(settings).await?.join(", "))
}
