//! Why the database could not do what was asked.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

use super::url::InvalidUrl;

/// An error of the database or on the way to it. No text here ever holds a password: URLs are shown without it.
#[derive(Debug, thiserror::Error)]
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
        "the database is read-only, but tasks must be written: check the file's and its folder's permissions ({0})"
    )]
    ReadOnly(String),
    /// Another row already has this unique value.
    #[error("the database refused a duplicate: {0}")]
    Duplicate(String),
    /// Any other error of the database.
    #[error("database error: {0}")]
    Database(String),
}

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        match error {
            DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, info) => {
                Self::Duplicate(info.message().to_owned())
            }
            DieselError::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, info) => {
                Self::ReadOnly(info.message().to_owned())
            }
            error => {
                let text = error.to_string();
                if is_read_only(&text) {
                    Self::ReadOnly(text)
                } else {
                    Self::Database(text)
                }
            }
        }
    }
}

/// SQLite has a code for it, which diesel does not pass on.
pub(super) fn is_read_only(text: &str) -> bool {
    text.contains("readonly database")
}
