//! The versions of the tables in PostgreSQL.

use diesel::{
    QueryResult,
    dsl::sql,
    select,
    sql_types::{BigInt, Bool, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

use crate::store::migrations::{APPLIED, Applied, Migration, SchemaError, Upgrade, migration, pending};

const MIGRATIONS: [Migration; 27] = [
    migration!("postgres", "20261122000001", "2026-11-22-000001_guide_tables"),
    migration!("postgres", "20261122000002", "2026-11-22-000002_gaia_columns"),
    migration!("postgres", "20261122000003", "2026-11-22-000003_theme_size"),
    migration!("postgres", "20261124000004", "2026-11-24-000004_job_columns"),
    migration!("postgres", "20261127000006", "2026-11-27-000006_retention"),
    migration!("postgres", "20261127000007", "2026-11-27-000007_node_methods"),
    migration!("postgres", "20261128000008", "2026-11-28-000008_segments"),
    migration!("postgres", "20261128000009", "2026-11-28-000009_unseen"),
    migration!("postgres", "20261129000010", "2026-11-29-000010_bulk_operations"),
    migration!("postgres", "20261129000011", "2026-11-29-000011_history"),
    migration!("postgres", "20261129000012", "2026-11-29-000012_requests"),
    migration!("postgres", "20261129000013", "2026-11-29-000013_audit"),
    migration!("postgres", "20261129000014", "2026-11-29-000014_idempotency"),
    migration!("postgres", "20261129000015", "2026-11-29-000015_job_version"),
    migration!("postgres", "20261129000016", "2026-11-29-000016_segment_ids"),
    migration!("postgres", "20261129000017", "2026-11-29-000017_audit_changes"),
    migration!("postgres", "20261129000018", "2026-11-29-000018_run_logs"),
    migration!("postgres", "20261129000019", "2026-11-29-000019_first_pause"),
    migration!("postgres", "20261129000020", "2026-11-29-000020_traceparent"),
    migration!("postgres", "20261129000021", "2026-11-29-000021_alerts"),
    migration!("postgres", "20261129000022", "2026-11-29-000022_compressed_logs"),
    migration!("postgres", "20261130000023", "2026-11-30-000023_remote_claims"),
    migration!("postgres", "20261130000024", "2026-11-30-000024_database_id"),
    migration!("postgres", "20261130000025", "2026-11-30-000025_held_tasks"),
    migration!("postgres", "20261130000026", "2026-11-30-000026_limits"),
    migration!("postgres", "20261130000027", "2026-11-30-000027_limit_keys"),
    migration!("postgres", "20261201000029", "2026-12-01-000029_systems"),
];

/// Held by the process that migrates; the number is this crate's own.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7164021877312013)";

const CREATE_VERSIONS: &str = "CREATE TABLE IF NOT EXISTS gaia_migrations (\
    version VARCHAR(50) NOT NULL PRIMARY KEY, run_on TIMESTAMP NOT NULL DEFAULT (now() AT TIME ZONE 'UTC'))";

const SIZE: &str = "SELECT COALESCE(sum(pg_total_relation_size(to_regclass(name))), 0)::bigint \
    FROM unnest(ARRAY['asynctasks', 'asynctask_exec_row', 'job_center', 'job_record']) AS name";

/// Runs the missing migrations, in one transaction around all of it: processes that start together wait for the first one, then
/// find nothing to do. A transaction that is left open by an error ends with its connection.
pub(super) async fn run(conn: &mut AsyncPgConnection) -> Result<(), SchemaError> {
    expect_utf8(conn).await?;
    // A database that is as it should be is not written to: the user may not even be allowed to.
    if pending(&MIGRATIONS, &applied(conn).await?)?.is_empty() {
        return Ok(());
    }
    conn.batch_execute(&format!("BEGIN; {LOCK}; {CREATE_VERSIONS}")).await?;
    let pending = pending(&MIGRATIONS, &applied(conn).await?)?;
    let upgrade = Upgrade::begin(&pending, sql::<BigInt>(SIZE).get_result(conn).await?);
    for migration in pending {
        conn.batch_execute(migration.sql).await?;
        diesel::sql_query("INSERT INTO gaia_migrations (version) VALUES ($1)")
            .bind::<Text, _>(migration.version)
            .execute(conn)
            .await?;
    }
    conn.batch_execute("COMMIT").await?;
    upgrade.iter().for_each(Upgrade::done);
    Ok(())
}

/// The names of the migrations that the tables lack, in their order.
pub(super) async fn names(conn: &mut AsyncPgConnection) -> Result<Vec<&'static str>, SchemaError> {
    expect_utf8(conn).await?;
    crate::store::migrations::names(&MIGRATIONS, &applied(conn).await?)
}

/// What a handler says may hold any character. LATIN1 refuses most of them, and `SQL_ASCII` takes bytes for characters.
async fn expect_utf8(conn: &mut AsyncPgConnection) -> Result<(), SchemaError> {
    let found: String = select(sql::<Text>("current_setting('server_encoding')"))
        .get_result(conn)
        .await?;
    match found.as_str() {
        "UTF8" => Ok(()),
        _ => Err(SchemaError::Encoding(found)),
    }
}

async fn applied(conn: &mut AsyncPgConnection) -> QueryResult<Vec<Applied>> {
    let there: bool = diesel::dsl::sql::<Bool>("SELECT to_regclass('gaia_migrations') IS NOT NULL")
        .get_result(conn)
        .await?;
    match there {
        false => Ok(Vec::new()),
        true => diesel::sql_query(APPLIED).load(conn).await,
    }
}
