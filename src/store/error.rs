//! The reasons for which the database does not do a statement.

use std::time::Duration;

use diesel::result::{DatabaseErrorKind, Error as DieselError};

use super::url::InvalidUrl;

/// The error of a statement that the application has made itself.
pub(crate) type StatementError = DieselError;

/// An error of the database or on the way to it. No text here ever holds a password: URLs are shown without their passwords.
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
        /// The driver's error.
        reason: String,
    },
    /// Every connection of the pool was in use for too long.
    #[error(
        "no database connection was free within {waited:?}: all {pool_size} are in use; \
         raise pool_size in the URL, or see what keeps the database busy"
    )]
    NoConnection {
        /// How many connections the pool may have.
        pool_size: usize,
        /// How long the caller waited.
        waited: Duration,
    },
    /// The server has reached a limit of connections, its own or the user's, or is starting, and this process waited in vain.
    #[error(
        "the database server at {url} gave no connection within {waited:?}: {reason}; raise its limit of connections (a node \
         needs two and leaves one free when it starts), or lower pool_size of the processes that share it"
    )]
    ServerFull {
        /// The URL, without its password.
        url: String,
        /// How long this process waited.
        waited: Duration,
        /// The server's error.
        reason: String,
    },
    /// The connection was lost, or the server gave no answer. It is not known whether the server did the statement.
    #[error("the connection to the database was lost: {0}")]
    Disconnected(String),
    /// Other transactions kept changing the same rows, or kept them locked.
    #[error("the database gave up on a transaction that met others: {0}")]
    Conflict(String),
    /// The tables are missing, or older than this version of the crate.
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
    /// The URL names another zone for the columns of time than the first process that has started on this database. `MySQL` only.
    #[error(
        "the times in the database {url} stand in the zone {stored}, and this URL says {given}; expected time_zone={stored} in the URL of \
         every process. If no node has run yet, UPDATE gaia_database SET time_zone = '{given}'"
    )]
    TimeZone {
        /// The URL, without its password.
        url: String,
        /// The zone of the first start.
        stored: String,
        /// The zone of the URL; `+00:00` if it names none.
        given: String,
    },
    /// The tables were made by a newer version of the crate.
    #[error(
        "the database {url} was migrated by a newer version of gaia-actors (it has {unknown}); \
         upgrade this program, or point it at another database"
    )]
    SchemaTooNew {
        /// The URL, without its password.
        url: String,
        /// The newest migration that this version does not know.
        unknown: String,
    },
    /// The encoding of the database cannot hold every text (`PostgreSQL`: any encoding but UTF8).
    #[error(
        "the database {url} has the encoding {found}, expected UTF8; make another one with \
         CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, and move what is in this one there by pg_dump"
    )]
    Encoding {
        /// The URL, without its password.
        url: String,
        /// The encoding, in the server's words.
        found: String,
    },
    /// The migrations failed.
    #[error("cannot migrate the database {url}: {reason}")]
    Migration {
        /// The URL, without its password.
        url: String,
        /// The database's error.
        reason: String,
    },
    /// The database takes no writes.
    #[error(
        "the database is read-only, but tasks must be written: check the rights of the file and its folder, \
         or of the user, and whether the server is a replica ({0})"
    )]
    ReadOnly(String),
    /// The SQLite file was deleted or moved away while this process had it open.
    #[error(
        "the database file {path} was deleted or moved away while it was open; what is written to it now would be lost, \
         so nothing is read or written any more: put it back, or restart this process to begin with a new file"
    )]
    FileDeleted {
        /// The file.
        path: String,
    },
    /// Another file took the place of the SQLite file while this process had it open.
    #[error(
        "the database file {path} was replaced by another while it was open; what is written to the old one now would be \
         lost, so nothing is read or written any more: restart this process to work on the new file"
    )]
    FileReplaced {
        /// The file.
        path: String,
    },
    /// The write-ahead log of the SQLite file, or the log's index, was deleted, moved away or replaced while this process had
    /// the database open.
    #[error(
        "{path} was deleted, moved away or replaced while the database was open: no other process sees what this one commits, \
         so nothing is read or written any more; restart this process, look whether the last changes are in the database, and \
         leave the files -wal and -shm alone while a process has the database open"
    )]
    LogGone {
        /// The file.
        path: String,
    },
    /// A task was to be added on a connection of the caller's that leads to another database.
    #[error(
        "the connection on which a task was to be added does not lead to the database {url}: {reason}; give add_task_on a connection \
         to that database, and roll the transaction back that is open on this one"
    )]
    OtherDatabase {
        /// The URL of the database that the handle is for, without its password.
        url: String,
        /// How the databases differ.
        reason: String,
    },
    /// Another row already has this unique value.
    #[error("the database refused a duplicate: {0}")]
    Duplicate(String),
    /// Any other error of the database.
    #[error("database error: {0}")]
    Database(String),
}

impl StoreError {
    /// The error that a database or its driver means by this text.
    fn said(kind: DatabaseErrorKind, text: String) -> Self {
        use DatabaseErrorKind as Kind;
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

    /// Whether the database has refused the statement: it has kept nothing of it, and may accept a part of the batch, or another form.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Self::Duplicate(_) => true,
            Self::Database(text) => !is_interruption(text) && !is_trouble(text),
            _ => false,
        }
    }

    /// Whether the statement was not sent, since there was no connection.
    pub(crate) fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. } | Self::NoConnection { .. } | Self::ServerFull { .. }
        )
    }

    /// Whether the database that this process has open is not there for other processes any more.
    pub(crate) fn is_file_gone(&self) -> bool {
        matches!(
            self,
            Self::FileDeleted { .. } | Self::FileReplaced { .. } | Self::LogGone { .. }
        )
    }
}

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        match error {
            DieselError::DatabaseError(kind, info) => Self::said(kind, info.message().to_owned()),
            // The error of the commit counts, not the error of the rollback after it.
            DieselError::RollbackErrorOnCommit { commit_error, .. } => (*commit_error).into(),
            error => Self::Database(error.to_string()),
        }
    }
}

/// Whether MySQL has undone one statement of a transaction, and the transaction goes on.
#[cfg(feature = "mysql")]
pub(super) fn is_of_one_statement(error: &DieselError) -> bool {
    let DieselError::DatabaseError(kind, info) = error else {
        return false;
    };
    match StoreError::said(*kind, info.message().to_owned()) {
        StoreError::Duplicate(_) => true,
        StoreError::Database(text) => !is_interruption(&text) && !is_outdated(&text),
        _ => false,
    }
}

/// Whether the database takes no writes. SQLite and MySQL have codes for this error, which the drivers do not pass on.
pub(super) fn is_read_only(text: &str) -> bool {
    text.contains("readonly database") || text.contains("-read-only option")
}

/// Whether the text is the last error of a connection that the server, a proxy or an operator has ended, or an error of MySQL's driver
/// itself (of a server's error the driver passes on the text alone). The server may have done the statement.
pub(super) fn is_loss(text: &str) -> bool {
    let said_by_driver = ["Driver error: ", "Input/output error: ", "Other error: ", "URL error: "];
    let said_by_server = [
        "terminating connection",
        "Connection was killed",
        "Lost connection to",
        "Server shutdown in progress",
        "The client was disconnected by the server because of inactivity",
    ];
    // The driver refuses a packet that is too large before it sends anything.
    let is_too_large = text.to_ascii_lowercase().contains("packet too large");
    (said_by_driver.iter().any(|first| text.starts_with(first)) && !is_too_large)
        || said_by_server.iter().any(|first| text.starts_with(first))
}

/// Whether a time limit or an operator has ended the statement: a part of the batch would end in the same way.
fn is_interruption(text: &str) -> bool {
    ["canceling statement due to", "Query execution was interrupted"]
        .iter()
        .any(|first| text.starts_with(first))
}

/// Whether the statement was prepared before the tables changed, or a pooler has sent it to another session: the server has refused it and
/// done nothing. The servers have codes for this error (0A000, 26000; 1615, 1243), which diesel-async does not pass on.
pub(super) fn is_outdated(text: &str) -> bool {
    let is_unknown = text.starts_with("prepared statement \"") && text.ends_with("\" does not exist");
    let texts = [
        "cached plan must not change result type",
        "Prepared statement needs to be re-prepared",
        "Unknown prepared statement handler",
    ];
    is_unknown || texts.iter().any(|first| text.starts_with(first))
}

/// Whether the database has no room or cannot be read, or its tables or rights have changed: a part of the batch would fail, too, and the
/// whole batch may be accepted later. The drivers do not pass on the codes of these errors either, so this function does not understand a
/// PostgreSQL whose messages are not in English.
fn is_trouble(text: &str) -> bool {
    let of_sqlite = [
        "database is locked",
        "database table is locked",
        "database schema is locked",
        "database or disk is full",
        "database disk image is malformed",
        "disk I/O error",
        "unable to open database file",
        "file is not a database",
        "out of memory",
        "no such table: ",
        "no such column: ",
    ];
    let of_servers = [
        "could not extend file",
        "could not write to file",
        "could not open file",
        "out of shared memory",
        "the database system is ",
        "database is not accepting commands",
        "permission denied for ",
        "must be owner of ",
        "Disk full",
        "Got error ",
        "Out of memory",
        "Too many connections",
        "WSREP has not yet prepared",
        "Unknown column ",
        "Unknown table ",
    ];
    let is_missing = |name: &str| {
        let missing = text.strip_prefix(name).map(|rest| rest.ends_with("does not exist"));
        missing.unwrap_or_default()
    };
    let of_table = text.starts_with("Table '") || text.starts_with("The table '");
    let is_of_table = ["doesn't exist", "is full", "crashed", "read only"];
    is_outdated(text)
        || of_sqlite.iter().chain(&of_servers).any(|first| text.starts_with(first))
        || ["relation ", "column ", "function ", "schema ", "type "]
            .into_iter()
            .any(is_missing)
        || (of_table && is_of_table.iter().any(|end| text.contains(end)))
        || text.contains(" has no column named ")
        || text.contains(" command denied to user ")
        || text.contains("No space left on device")
}

/// Whether the transaction met other transactions. The servers have codes for this error (40P01, 55P03; 1213, 1205, 1020), which
/// diesel-async does not pass on.
pub(super) fn is_conflict(text: &str) -> bool {
    let texts = [
        "deadlock detected",
        "canceling statement due to lock timeout",
        "try restarting transaction",
        "Record has changed since last read",
    ];
    texts.iter().any(|conflict| text.contains(conflict))
}

/// Whether another session has kept a lock for longer than this session waits (55P03; 1205).
pub(super) fn is_lock_timeout(text: &str) -> bool {
    text.contains("canceling statement due to lock timeout") || text.contains("Lock wait timeout exceeded")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> StoreError {
        DieselError::DatabaseError(DatabaseErrorKind::Unknown, Box::new(text.to_owned())).into()
    }

    #[test]
    fn what_a_database_says_is_a_loss_a_conflict_or_a_refusal() {
        let losses = [
            "terminating connection due to administrator command",
            "Connection was killed",
            "Lost connection to MySQL server during query",
            "Input/output error: Input/output error: Connection reset by peer (os error 104)",
            "Driver error: `Connection to the server is closed.'",
        ];
        for text in losses {
            assert!(matches!(of(text), StoreError::Disconnected(_)), "{text}");
        }
        let conflicts = [
            "deadlock detected",
            "Lock wait timeout exceeded; try restarting transaction",
        ];
        for text in conflicts {
            assert!(matches!(of(text), StoreError::Conflict(_)), "{text}");
        }
        let server = "The MariaDB server is running with the --read-only option so it cannot execute this statement";
        assert!(matches!(of(server), StoreError::ReadOnly(_)));
        let refusals = [
            "Input/output error: Input/output error: packet too large",
            "no: terminating connection, says a trigger",
            "the customer does not exist, says a trigger",
            "CHECK constraint failed: poison",
            "Incorrect string value: '\\xF0\\x9F\\x8E\\x89' for column `app`.`asynctasks`.`last_result` at row 1",
            "Data too long for column 'last_result' at row 1",
        ];
        for text in refusals {
            assert!(of(text).is_refusal(), "{text}");
        }
        let later = [
            "canceling statement due to statement timeout",
            "Query execution was interrupted",
            "database is locked",
            "database or disk is full",
            "no such table: asynctask_exec_row",
            "table asynctask_exec_row has no column named attempt",
            "could not extend file \"base/1/2\": No space left on device",
            "relation \"asynctask_exec_row\" does not exist",
            "column \"attempt\" of relation \"asynctask_exec_row\" does not exist",
            "permission denied for table asynctask_exec_row",
            "The table 'asynctasks' is full",
            "Table 'app.asynctask_exec_row' doesn't exist",
            "Unknown column 'attempt' in 'INSERT INTO'",
            "INSERT command denied to user 'app'@'localhost' for table `app`.`asynctask_exec_row`",
        ];
        for text in later {
            assert!(
                matches!(of(text), StoreError::Database(_)) && !of(text).is_refusal(),
                "{text}"
            );
        }
    }
}
