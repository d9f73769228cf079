//! The versions of the tables in a SQLite file.

use diesel::{
    connection::SimpleConnection,
    dsl::sql,
    prelude::*,
    sql_types::{BigInt, Text},
    sqlite::SqliteConnection,
};

use crate::store::migrations::{APPLIED, Applied, Migration, SchemaError, Upgrade, migration, pending};

const MIGRATIONS: [Migration; 26] = [
    migration!("sqlite", "20261122000001", "2026-11-22-000001_guide_tables"),
    migration!("sqlite", "20261122000002", "2026-11-22-000002_gaia_columns"),
    migration!("sqlite", "20261122000003", "2026-11-22-000003_theme_size"),
    migration!("sqlite", "20261124000004", "2026-11-24-000004_job_columns"),
    migration!("sqlite", "20261127000006", "2026-11-27-000006_retention"),
    migration!("sqlite", "20261127000007", "2026-11-27-000007_node_methods"),
    migration!("sqlite", "20261128000008", "2026-11-28-000008_segments"),
    migration!("sqlite", "20261128000009", "2026-11-28-000009_unseen"),
    migration!("sqlite", "20261129000010", "2026-11-29-000010_bulk_operations"),
    migration!("sqlite", "20261129000011", "2026-11-29-000011_history"),
    migration!("sqlite", "20261129000012", "2026-11-29-000012_requests"),
    migration!("sqlite", "20261129000013", "2026-11-29-000013_audit"),
    migration!("sqlite", "20261129000014", "2026-11-29-000014_idempotency"),
    migration!("sqlite", "20261129000015", "2026-11-29-000015_job_version"),
    migration!("sqlite", "20261129000017", "2026-11-29-000017_audit_changes"),
    migration!("sqlite", "20261129000018", "2026-11-29-000018_run_logs"),
    migration!("sqlite", "20261129000019", "2026-11-29-000019_first_pause"),
    migration!("sqlite", "20261129000020", "2026-11-29-000020_traceparent"),
    migration!("sqlite", "20261129000021", "2026-11-29-000021_alerts"),
    migration!("sqlite", "20261129000022", "2026-11-29-000022_compressed_logs"),
    migration!("sqlite", "20261130000023", "2026-11-30-000023_remote_claims"),
    migration!("sqlite", "20261130000024", "2026-11-30-000024_database_id"),
    migration!("sqlite", "20261130000025", "2026-11-30-000025_held_tasks"),
    migration!("sqlite", "20261130000026", "2026-11-30-000026_limits"),
    migration!("sqlite", "20261130000027", "2026-11-30-000027_limit_keys"),
    migration!("sqlite", "20261201000029", "2026-12-01-000029_systems"),
];

const CREATE_VERSIONS: &str = "CREATE TABLE IF NOT EXISTS gaia_migrations (\
    version TEXT NOT NULL PRIMARY KEY, run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)";

/// The size of the whole file, if it has the tables.
const SIZE: &str = "SELECT (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size) \
    * EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'asynctasks')";

/// Runs the missing migrations, in one transaction around all of it: processes that start together wait for the first one, then
/// find nothing to do.
pub(super) fn run(conn: &mut SqliteConnection) -> Result<(), SchemaError> {
    // A database that is as it should be is not written to.
    if pending(&MIGRATIONS, &applied(conn)?)?.is_empty() {
        return Ok(());
    }
    let upgrade = conn.immediate_transaction(|conn| {
        conn.batch_execute(CREATE_VERSIONS)?;
        let pending = pending(&MIGRATIONS, &applied(conn)?)?;
        let upgrade = Upgrade::begin(&pending, sql::<BigInt>(SIZE).get_result(conn)?);
        for migration in pending {
            conn.batch_execute(migration.sql)?;
            diesel::sql_query("INSERT INTO gaia_migrations (version) VALUES (?)")
                .bind::<Text, _>(migration.version)
                .execute(conn)?;
        }
        Ok::<_, SchemaError>(upgrade)
    })?;
    upgrade.iter().for_each(Upgrade::done);
    Ok(())
}

/// The names of the migrations that the tables lack, in their order.
pub(super) fn names(conn: &mut SqliteConnection) -> Result<Vec<&'static str>, SchemaError> {
    crate::store::migrations::names(&MIGRATIONS, &applied(conn)?)
}

fn applied(conn: &mut SqliteConnection) -> QueryResult<Vec<Applied>> {
    let tables: i64 = diesel::dsl::sql::<BigInt>("SELECT COUNT(*) FROM sqlite_master WHERE name = 'gaia_migrations'")
        .get_result(conn)?;
    match tables {
        0 => Ok(Vec::new()),
        _ => diesel::sql_query(APPLIED).load(conn),
    }
}
