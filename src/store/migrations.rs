//! The versions of the tables.
//!
//! They are noted in a table of our own: diesel's belongs to the application, which may well keep its tables in the same
//! database and migrate them by itself.

use std::time::{Duration, Instant};

use diesel::{QueryableByName, result::Error as DieselError, sql_types::Text};

use super::{StoreError, error::is_read_only, lenient::AnyText};

/// One step from one version of the tables to the next.
pub(super) struct Migration {
    /// The name of its folder.
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    pub(super) sql: &'static str,
}

/// The migration in the folder `migrations/$database/$name`.
macro_rules! migration {
    ($database:literal, $version:literal, $name:literal) => {
        $crate::store::migrations::Migration {
            name: $name,
            version: $version,
            sql: include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/migrations/",
                $database,
                "/",
                $name,
                "/up.sql"
            )),
        }
    };
}
pub(super) use migration;

/// A version that the database has.
#[derive(Debug, QueryableByName)]
pub(super) struct Applied {
    #[diesel(sql_type = Text)]
    version: AnyText,
}

pub(super) const APPLIED: &str = "SELECT version FROM gaia_migrations";

/// How many bytes of the tables a migration gets done in a second, at least, as measured on two slow cores.
const BYTES_PER_SECOND: i64 = 20_000_000;

/// A migration that takes longer is a warning before it begins.
const LONG: Duration = Duration::from_secs(10);

/// A migration of tables that hold something. Says first how long it will take, and in the end how long it took.
pub(super) struct Upgrade(Instant);

impl Upgrade {
    /// `bytes`: the size of the tables that are there, indexes included. `None`: there is nothing to migrate.
    pub(super) fn begin(pending: &[&Migration], bytes: i64) -> Option<Self> {
        if pending.is_empty() || bytes == 0 {
            return None;
        }
        let (steps, megabytes) = (pending.len(), bytes / 1_000_000);
        let seconds = u64::try_from(bytes / BYTES_PER_SECOND).unwrap_or(0).max(1);
        let level = match Duration::from_secs(seconds) > LONG {
            true => log::Level::Warn,
            false => log::Level::Info,
        };
        say!(at level,
            "the tables are not of this version: {steps} migrations begin now, on {megabytes} MB; the tables are locked until they are \
             done, in about {seconds} s by this size"
        );
        Some(Self(Instant::now()))
    }

    pub(super) fn done(&self) {
        say!(Info, "the tables are migrated, after {:.1?}", self.0.elapsed());
    }
}

/// Why the tables do not have the schema of this version.
#[derive(Debug)]
pub(super) enum SchemaError {
    TooNew(String),
    /// The database's encoding, which is not UTF8.
    #[cfg(feature = "postgres")]
    Encoding(String),
    Failed(String),
}

impl SchemaError {
    /// The same, said of the database with this URL.
    pub(super) fn of(self, url: String) -> StoreError {
        match self {
            Self::TooNew(unknown) => StoreError::SchemaTooNew { url, unknown },
            #[cfg(feature = "postgres")]
            Self::Encoding(found) => StoreError::Encoding { url, found },
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

/// A day and a number, as every migration has: 20261122000001.
fn is_version(text: &str) -> bool {
    text.len() == 14 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// What this version has and the database lacks, in order. An error if the database has what this version does not know.
pub(super) fn pending<'a>(all: &'a [Migration], applied: &[Applied]) -> Result<Vec<&'a Migration>, SchemaError> {
    let applied = applied.iter().map(|applied| applied.version.0.as_str());
    let (applied, odd): (Vec<&str>, Vec<&str>) = applied.partition(|version| is_version(version));
    for version in odd {
        say!(
            Warn,
            "gaia_migrations holds {version:?}, which is no version of gaia-actors; the row is passed over"
        );
    }
    let is_known = |version: &&&str| all.iter().any(|migration| migration.version == **version);
    let unknown = applied.iter().filter(|version| !is_known(version)).max();
    if let Some(unknown) = unknown {
        return Err(SchemaError::TooNew((*unknown).to_owned()));
    }
    let is_applied = |migration: &&Migration| applied.contains(&migration.version);
    Ok(all.iter().filter(|migration| !is_applied(migration)).collect())
}

/// The names of the migrations that the database lacks, in their order.
pub(super) fn names(all: &[Migration], applied: &[Applied]) -> Result<Vec<&'static str>, SchemaError> {
    let pending = pending(all, applied)?;
    Ok(pending.into_iter().map(|migration| migration.name).collect())
}
