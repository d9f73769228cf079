//! The versions of the tables.
//!
//! They are noted in a table of our own: diesel's belongs to the application, which may well keep its tables in the same
//! file and migrate them by itself.

use diesel::{
    QueryableByName,
    connection::SimpleConnection,
    migration::{Migration, MigrationSource},
    prelude::*,
    result::Error as DieselError,
    sql_types::{BigInt, Text},
    sqlite::{Sqlite, SqliteConnection},
};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

use crate::store::{StoreError, error::is_read_only};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

const CREATE_VERSIONS: &str = "CREATE TABLE IF NOT EXISTS gaia_migrations (\
    version TEXT NOT NULL PRIMARY KEY, run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)";

/// Why the tables are not those of this version.
pub(super) enum SchemaError {
    Missing(usize),
    TooNew(String),
    Failed(String),
}

impl SchemaError {
    /// The same, said of the database with this URL.
    pub(super) fn of(self, url: String) -> StoreError {
        match self {
            Self::Missing(missing) => StoreError::SchemaMissing { url, missing },
            Self::TooNew(unknown) => StoreError::SchemaTooNew { url, unknown },
            Self::Failed(reason) if is_read_only(&reason) => StoreError::ReadOnly(reason),
            Self::Failed(reason) => StoreError::Migration { url, reason },
        }
    }
}

impl From<DieselError> for SchemaError {
    fn from(error: DieselError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Runs what is missing, in one transaction around all of it: processes that start together wait for the first one, then
/// find nothing to do.
pub(super) fn run(conn: &mut SqliteConnection) -> Result<(), SchemaError> {
    // A database that is as it should be is not written to.
    if pending(conn)?.is_empty() {
        return Ok(());
    }
    conn.immediate_transaction(|conn| {
        conn.batch_execute(CREATE_VERSIONS)?;
        for migration in pending(conn)? {
            migration
                .run(conn)
                .map_err(|error| SchemaError::Failed(error.to_string()))?;
            diesel::sql_query("INSERT INTO gaia_migrations (version) VALUES (?)")
                .bind::<Text, _>(version(&*migration))
                .execute(conn)?;
        }
        Ok(())
    })
}

/// Whether the tables are those of this version.
pub(super) fn check(conn: &mut SqliteConnection) -> Result<(), SchemaError> {
    match pending(conn)?.len() {
        0 => Ok(()),
        missing => Err(SchemaError::Missing(missing)),
    }
}

/// What this version has and the database lacks, in order. An error if the database has what this version does not know.
fn pending(conn: &mut SqliteConnection) -> Result<Vec<Box<dyn Migration<Sqlite>>>, SchemaError> {
    let mut migrations =
        MigrationSource::<Sqlite>::migrations(&MIGRATIONS).map_err(|error| SchemaError::Failed(error.to_string()))?;
    let known: Vec<String> = migrations.iter().map(|migration| version(&**migration)).collect();
    let applied = applied(conn)?;
    let unknown = applied.iter().filter(|version| !known.contains(version)).max();
    if let Some(unknown) = unknown {
        return Err(SchemaError::TooNew(unknown.clone()));
    }
    migrations.retain(|migration| !applied.contains(&version(&**migration)));
    migrations.sort_by_key(|migration| version(&**migration));
    Ok(migrations)
}

fn applied(conn: &mut SqliteConnection) -> QueryResult<Vec<String>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        version: String,
    }
    let tables: i64 = diesel::dsl::sql::<BigInt>("SELECT COUNT(*) FROM sqlite_master WHERE name = 'gaia_migrations'")
        .get_result(conn)?;
    if tables == 0 {
        return Ok(Vec::new());
    }
    let rows: Vec<Row> = diesel::sql_query("SELECT version FROM gaia_migrations").load(conn)?;
    Ok(rows.into_iter().map(|row| row.version).collect())
}

fn version(migration: &dyn Migration<Sqlite>) -> String {
    migration.name().version().to_string()
}
