//! The versions of the tables in MySQL and MariaDB.

use std::borrow::Cow;

use diesel::{
    QueryResult, QueryableByName,
    sql_types::{BigInt, Text},
};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};

use super::{
    adopt,
    plain::{Number, execute, number},
};
use crate::store::migrations::{APPLIED, Applied, Migration, SchemaError, Upgrade, migration, pending};

const MIGRATIONS: [Migration; 27] = [
    migration!("mysql", "20261122000001", "2026-11-22-000001_guide_tables"),
    migration!("mysql", "20261122000002", "2026-11-22-000002_gaia_columns"),
    migration!("mysql", "20261122000003", "2026-11-22-000003_theme_size"),
    migration!("mysql", "20261124000004", "2026-11-24-000004_job_columns"),
    migration!("mysql", "20261127000005", "2026-11-27-000005_text_comparison"),
    migration!("mysql", "20261127000006", "2026-11-27-000006_retention"),
    migration!("mysql", "20261127000007", "2026-11-27-000007_node_methods"),
    migration!("mysql", "20261128000008", "2026-11-28-000008_segments"),
    migration!("mysql", "20261128000009", "2026-11-28-000009_unseen"),
    migration!("mysql", "20261129000010", "2026-11-29-000010_bulk_operations"),
    migration!("mysql", "20261129000011", "2026-11-29-000011_history"),
    migration!("mysql", "20261129000012", "2026-11-29-000012_requests"),
    migration!("mysql", "20261129000013", "2026-11-29-000013_audit"),
    migration!("mysql", "20261129000014", "2026-11-29-000014_idempotency"),
    migration!("mysql", "20261129000015", "2026-11-29-000015_job_version"),
    migration!("mysql", "20261129000017", "2026-11-29-000017_audit_changes"),
    migration!("mysql", "20261129000018", "2026-11-29-000018_run_logs"),
    migration!("mysql", "20261129000019", "2026-11-29-000019_first_pause"),
    migration!("mysql", "20261129000020", "2026-11-29-000020_traceparent"),
    migration!("mysql", "20261129000021", "2026-11-29-000021_alerts"),
    migration!("mysql", "20261129000022", "2026-11-29-000022_compressed_logs"),
    migration!("mysql", "20261130000023", "2026-11-30-000023_remote_claims"),
    migration!("mysql", "20261130000025", "2026-11-30-000025_held_tasks"),
    migration!("mysql", "20261130000026", "2026-11-30-000026_limits"),
    migration!("mysql", "20261130000027", "2026-11-30-000027_limit_keys"),
    migration!("mysql", "20261201000028", "2026-12-01-000028_time_zone"),
    migration!("mysql", "20261201000029", "2026-12-01-000029_systems"),
];

/// Held by the process that migrates this database. Its end is the end of the connection, if nothing else.
const LOCK: &str = "SELECT CAST(GET_LOCK(LEFT(CONCAT('gaia_migrations.', DATABASE()), 64), 300) AS SIGNED) AS number";
const UNLOCK: &str = "SELECT CAST(RELEASE_LOCK(LEFT(CONCAT('gaia_migrations.', DATABASE()), 64)) AS SIGNED) AS number";

const CREATE_VERSIONS: &str = "CREATE TABLE IF NOT EXISTS gaia_migrations (\
    version varchar(50) NOT NULL PRIMARY KEY, run_on datetime NOT NULL DEFAULT CURRENT_TIMESTAMP) \
    ENGINE=InnoDB ROW_FORMAT=DYNAMIC";

/// Migrations copy rows as they are, whatever the server's mode says of the dates in them.
const COPY_AS_IT_IS: &str = "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION'";

/// The name of the collation in which every letter counts, and every blank.
const EXACT: &str = "{exact}";

/// MySQL has the one, MariaDB has the other, and perhaps both.
const EXACT_COLLATIONS: &str = "SELECT collation_name AS name FROM information_schema.collations \
    WHERE collation_name IN ('utf8mb4_nopad_bin', 'utf8mb4_0900_bin') ORDER BY collation_name DESC LIMIT 1";

/// In a migration, the comment before a statement that must not be run twice names a column it makes.
const UNLESS: &str = "-- unless ";

/// The guide's tables that are there. `is_short`: a key of theirs may have 767 bytes at most.
const TABLES: &str = "SELECT table_name AS name, COALESCE(engine, 'none') AS engine, \
      CAST(COALESCE(row_format, '') IN ('Compact', 'Redundant') AS SIGNED) AS is_short \
    FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' \
      AND table_name IN ('asynctasks', 'asynctask_exec_row', 'job_center', 'job_record')";

const SIZE: &str = "SELECT CAST(SUM(data_length + index_length) AS SIGNED) AS number FROM information_schema.tables \
    WHERE table_schema = DATABASE() AND table_name IN ('asynctasks', 'asynctask_exec_row', 'job_center', 'job_record')";

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    engine: String,
    #[diesel(sql_type = BigInt)]
    is_short: i64,
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

/// Runs the missing migrations. Each statement commits by itself here, so that a run which is killed leaves some done: those are
/// told by the columns they make. Processes that start together wait for the first one, then find nothing to do.
pub(super) async fn run(conn: &mut AsyncMysqlConnection) -> Result<(), SchemaError> {
    // A database that is as it should be is not written to: the user may not even be allowed to.
    if pending(&MIGRATIONS, &applied(conn).await?)?.is_empty() {
        return Ok(());
    }
    match number(conn, LOCK).await? {
        Some(1) => {}
        Some(_) => {
            return Err(SchemaError::Failed(
                "another process has been migrating for five minutes; see SHOW PROCESSLIST".to_owned(),
            ));
        }
        None => {
            return Err(SchemaError::Failed(
                "the server gave no lock (GET_LOCK answered NULL); start again".to_owned(),
            ));
        }
    }
    make_room(conn).await?;
    execute(conn, CREATE_VERSIONS).await?;
    execute(conn, COPY_AS_IT_IS).await?;
    let exact = exact_collation(conn).await?;
    let pending = pending(&MIGRATIONS, &applied(conn).await?)?;
    let upgrade = Upgrade::begin(&pending, number(conn, SIZE).await?.unwrap_or(0));
    if adopts(&pending) {
        adopt::adopt(conn).await?;
    }
    for migration in pending {
        for statement in statements(migration.sql) {
            if !is_done(conn, &statement).await? {
                execute(conn, &statement.sql().replace(EXACT, &exact)).await?;
            }
        }
        diesel::sql_query("INSERT INTO gaia_migrations (version) VALUES (?)")
            .bind::<Text, _>(migration.version)
            .execute(conn)
            .await?;
    }
    number(conn, UNLOCK).await?;
    upgrade.iter().for_each(Upgrade::done);
    Ok(())
}

/// The last migration that changes tables as another program may have made them.
const ADOPTS: &str = "20261124000004";

fn adopts(pending: &[&Migration]) -> bool {
    pending.iter().any(|migration| migration.version <= ADOPTS)
}

/// The statements that go before the migrations, if the tables are those of the Go framework.
pub(super) async fn before(conn: &mut AsyncMysqlConnection) -> Result<Vec<String>, SchemaError> {
    match adopts(&pending(&MIGRATIONS, &applied(conn).await?)?) {
        true => adopt::statements(conn).await,
        false => Ok(Vec::new()),
    }
}

/// Makes tables that were there before ready for the keys of this crate: in the row formats of old servers a key may have 767
/// bytes only. A table without transactions and row locks is refused: two nodes would run the same tasks.
async fn make_room(conn: &mut AsyncMysqlConnection) -> Result<(), SchemaError> {
    let tables: Vec<Found> = diesel::sql_query(TABLES).load(conn).await?;
    for Found { name, engine, is_short } in tables {
        if !engine.eq_ignore_ascii_case("InnoDB") {
            return Err(SchemaError::Failed(format!(
                "the table {name} has the engine {engine}, which knows no transactions; \
                 run ALTER TABLE {name} ENGINE=InnoDB, ROW_FORMAT=DYNAMIC"
            )));
        }
        if is_short != 0 {
            say!(
                Info,
                "the table {name} has a row format with short keys; it is changed to DYNAMIC"
            );
            execute(conn, &format!("ALTER TABLE {name} ROW_FORMAT=DYNAMIC")).await?;
        }
    }
    Ok(())
}

/// The names of the migrations that the tables lack, in their order.
pub(super) async fn names(conn: &mut AsyncMysqlConnection) -> Result<Vec<&'static str>, SchemaError> {
    crate::store::migrations::names(&MIGRATIONS, &applied(conn).await?)
}

async fn exact_collation(conn: &mut AsyncMysqlConnection) -> Result<String, SchemaError> {
    let found: Vec<Name> = diesel::sql_query(EXACT_COLLATIONS).load(conn).await?;
    let found = found.into_iter().next().map(|found| found.name);
    found.ok_or_else(|| {
        SchemaError::Failed(
            "the server has neither the collation utf8mb4_0900_bin (MySQL from 8.0.17 on) nor utf8mb4_nopad_bin (MariaDB); \
             a newer server is needed"
                .to_owned(),
        )
    })
}

async fn applied(conn: &mut AsyncMysqlConnection) -> QueryResult<Vec<Applied>> {
    let tables = "SELECT COUNT(*) AS number FROM information_schema.tables \
                  WHERE table_schema = DATABASE() AND table_name = 'gaia_migrations'";
    match number(conn, tables).await? {
        Some(0) => Ok(Vec::new()),
        _ => diesel::sql_query(APPLIED).load(conn).await,
    }
}

struct Statement {
    sql: String,
    /// Table and column that it makes, if it must not be run twice.
    makes: Option<(String, String)>,
}

impl Statement {
    /// A table has room for the keys whatever format the server gives new tables.
    fn sql(&self) -> Cow<'_, str> {
        match self.sql.starts_with("CREATE TABLE") {
            true => Cow::Owned(format!("{} ROW_FORMAT=DYNAMIC", self.sql)),
            false => Cow::Borrowed(&self.sql),
        }
    }
}

/// The statements of a migration: each ends with a semicolon at the end of a line.
fn statements(sql: &str) -> Vec<Statement> {
    let statement = |text: &str| {
        let lines = || text.lines().map(str::trim_end);
        let makes = lines().find_map(|line| line.strip_prefix(UNLESS)?.split_once('.'));
        let sql: Vec<&str> = lines().filter(|line| !line.starts_with("--")).collect();
        Statement {
            sql: sql.join("\n").trim().to_owned(),
            makes: makes.map(|(table, column)| (table.to_owned(), column.to_owned())),
        }
    };
    let statements = sql.split(";\n").map(statement);
    statements.filter(|statement| !statement.sql.is_empty()).collect()
}

async fn is_done(conn: &mut AsyncMysqlConnection, statement: &Statement) -> QueryResult<bool> {
    let Some((table, column)) = &statement.makes else {
        return Ok(false);
    };
    let columns: Number = diesel::sql_query(
        "SELECT COUNT(*) AS number FROM information_schema.columns \
         WHERE table_schema = DATABASE() AND table_name = ? AND column_name = ?",
    )
    .bind::<Text, _>(table)
    .bind::<Text, _>(column)
    .get_result(conn)
    .await?;
    Ok(columns.number != Some(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An update or a deletion here changes only what it has not changed before.
    const REPEATABLE: [&str; 8] = [
        "CREATE TABLE IF NOT EXISTS",
        "DROP TABLE IF EXISTS",
        "TRUNCATE TABLE ",
        "UPDATE ",
        "DELETE ",
        "INSERT INTO gaia_claims ",
        "INSERT IGNORE INTO gaia_database ",
        "ALTER TABLE job_center DROP KEY gaia_job_names, ADD UNIQUE KEY gaia_job_names ",
    ];

    #[test]
    fn a_statement_that_alters_says_what_it_makes() {
        for migration in MIGRATIONS {
            let statements = statements(migration.sql);
            assert!(!statements.is_empty());
            for statement in statements {
                let only_modifies = statement.sql.starts_with("ALTER TABLE") && !statement.sql.contains(" ADD ");
                let is_repeatable = only_modifies || REPEATABLE.iter().any(|start| statement.sql.starts_with(start));
                assert_eq!(is_repeatable, statement.makes.is_none(), "{}", statement.sql);
                if let Some((_, column)) = statement.makes {
                    assert!(statement.sql.contains(&column), "{}", statement.sql);
                }
            }
        }
    }
}
