//! Why the database could not do what was asked.

use std::time::Duration;

use diesel::result::{DatabaseErrorKind, Error as DieselError};

use super::url::InvalidUrl;

/// An error of the database or on the way to it. No text here ever holds a password: URLs are shown without it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database URL cannot be used.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    /// The database cannot be opened.
    #[error("cannot open the database {url}: {reason}")]
    Connect {
        /// The URL, without its password.
        url: String,
        /// What the driver said.
        reason: String,
    },
    /// Every connection of the pool was in use for too long.
    #[error(
        "no database connection was free within {waited:?}: all {pool_size} are in use; \
         raise pool_size in the URL, or see what keeps the database busy"
    )]
    NoConnection {
        /// How many connections there are.
        pool_size: usize,
        /// How long was waited.
        waited: Duration,
    },
    /// The connection was lost, or the server gave no answer. Whether it did what was asked is not known.
    #[error("the connection to the database was lost: {0}")]
    Disconnected(String),
    /// Others changed the same rows at the same time, again and again.
    #[error("the database gave up on a transaction that met others: {0}")]
    Conflict(String),
    /// The tables are not there, or older than this version of the crate.
    #[error(
        "the database {url} lacks {missing} of this version's migrations; \
         run them with `Store::migrate`, or leave `migrate` switched on"
    )]
    SchemaMissing {
        /// The URL, without its password.
        url: String,
        /// How many migrations are missing.
        missing: usize,
    },
    /// The tables were made by a newer version of the crate.
    #[error(
        "the database {url} was migrated by a newer version of gaia-actors (it has {unknown}); \
         upgrade this program, or point it at another database"
    )]
    SchemaTooNew {
        /// The URL, without its password.
        url: String,
        /// The newest migration this version does not know.
        unknown: String,
    },
    /// The migrations failed.
    #[error("cannot migrate the database {url}: {reason}")]
    Migration {
        /// The URL, without its password.
        url: String,
        /// What the database said.
        reason: String,
    },
    /// The database takes no writes.
    #[error(
        "the database is read-only, but tasks must be written: check the rights of the file and its folder, \
         or of the user, and whether the server is a replica ({0})"
    )]
    ReadOnly(String),
    /// Another row already has this unique value.
    #[error("the database refused a duplicate: {0}")]
    Duplicate(String),
    /// Any other error of the database.
    #[error("database error: {0}")]
    Database(String),
}

impl StoreError {
    /// Whether the database has refused what was asked, and nothing of it is kept; with fewer rows it may take it.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Duplicate(_) | Self::Database(_))
    }
}

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        use DatabaseErrorKind as Kind;
        match error {
            DieselError::DatabaseError(kind, info) => {
                let text = info.message().to_owned();
                match kind {
                    Kind::UniqueViolation => Self::Duplicate(text),
                    Kind::ReadOnlyTransaction => Self::ReadOnly(text),
                    Kind::SerializationFailure => Self::Conflict(text),
                    Kind::UnableToSendCommand | Kind::ClosedConnection => Self::Disconnected(text),
                    _ if is_conflict(&text) => Self::Conflict(text),
                    _ if is_read_only(&text) => Self::ReadOnly(text),
                    _ if is_loss(&text) => Self::Disconnected(text),
                    _ => Self::Database(text),
                }
            }
            error => Self::Database(error.to_string()),
        }
    }
}

/// SQLite has a code for it, which diesel does not pass on.
pub(super) fn is_read_only(text: &str) -> bool {
    text.contains("readonly database")
}

/// The last words of a connection that the server or an operator ends, and what MySQL's driver says of one that is gone. They may
/// come after a commit.
fn is_loss(text: &str) -> bool {
    let contained = [
        "terminating connection",
        "Connection was killed",
        "Server shutdown in progress",
    ];
    let first = [
        "Input/output error: ",
        "Driver error: `Connection to the server is closed",
    ];
    contained.iter().any(|loss| text.contains(loss)) || first.iter().any(|loss| text.starts_with(loss))
}

/// The servers have codes for it (40P01, 55P03; 1213, 1205, 1020), which diesel-async does not pass on.
pub(super) fn is_conflict(text: &str) -> bool {
    let texts = [
        "deadlock detected",
        "canceling statement due to lock timeout",
        "try restarting transaction",
        "Record has changed since last read",
    ];
    texts.iter().any(|conflict| text.contains(conflict))
}
