//! The URL that names the database.

#[cfg(feature = "mysql")]
mod dsn;
#[cfg(feature = "_server")]
mod parameters;
#[cfg(feature = "_server")]
mod server;
#[cfg(feature = "_server")]
mod split;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "_server")]
mod tls_mode;
#[cfg(feature = "_server")]
mod values;
#[cfg(feature = "mysql")]
mod zone;

use std::fmt;

#[cfg(feature = "_server")]
pub(super) use server::ServerUrl;
#[cfg(feature = "sqlite")]
pub(super) use sqlite::SqliteUrl;
#[cfg(feature = "_server")]
pub(super) use tls_mode::TlsMode;

use crate::config::nearest;

/// A database URL that this build can use.
///
/// * `sqlite:path/to/file.db`, also `sqlite://…`; `sqlite::memory:` for a database that lasts as long as the process.
/// * `postgres://user:password@host:port/database`, also `postgresql:`.
/// * `mysql://user:password@host:port/database`, also `mariadb:`, and DSNs of Go's driver: `user:password@tcp(host:port)/database`.
///
/// The parameters of each form are listed at [`GaiaBuilder::database`](crate::GaiaBuilder::database).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DatabaseUrl {
    #[cfg(feature = "sqlite")]
    Sqlite(SqliteUrl),
    #[cfg(feature = "postgres")]
    Postgres(ServerUrl),
    #[cfg(feature = "mysql")]
    Mysql(ServerUrl),
}

/// A database URL that was refused.
///
/// Its text repeats nothing of the URL but the scheme: a text in the wrong place may be a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("database URL{}: {fault}", scheme.map(|scheme| format!(" {scheme}:…")).unwrap_or_default())]
pub struct InvalidUrl {
    scheme: Option<&'static str>,
    fault: String,
}

const EXAMPLES: &str = "sqlite:path/to/file.db, postgres://user:password@host/database or \
                        mysql://user:password@host/database";

const SCHEMES: [&str; 5] = ["sqlite", "postgres", "postgresql", "mysql", "mariadb"];

impl DatabaseUrl {
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidUrl> {
        // A URL that was read from a file may have a blank or a line break at its end.
        let text = text.trim();
        #[cfg(feature = "mysql")]
        if dsn::is_dsn(text) {
            let parts = dsn::split(text);
            let url = parts.and_then(|parts| ServerUrl::of_parts("mysql", parts, &parameters::MYSQL));
            return url.map(Self::Mysql).map_err(|fault| InvalidUrl {
                scheme: None,
                fault: format!("as a DSN of Go's driver: {fault}"),
            });
        }
        let Some((scheme, rest)) = text
            .split_once(':')
            .and_then(|(scheme, rest)| Some((known(scheme)?, rest)))
        else {
            return Err(InvalidUrl {
                scheme: None,
                fault: format!("{}; write {EXAMPLES}", without_scheme(text)),
            });
        };
        Self::of_scheme(scheme, rest).map_err(|fault| InvalidUrl {
            scheme: Some(scheme),
            fault,
        })
    }

    fn of_scheme(scheme: &'static str, rest: &str) -> Result<Self, String> {
        #[cfg(feature = "_server")]
        let after_slashes = || {
            let rest = rest.strip_prefix("//");
            rest.ok_or_else(|| format!("expected {scheme}://user:password@host:port/database, with two slashes"))
        };
        match scheme {
            #[cfg(feature = "sqlite")]
            "sqlite" => SqliteUrl::parse(rest).map(Self::Sqlite),
            #[cfg(feature = "postgres")]
            "postgres" | "postgresql" => {
                ServerUrl::parse(scheme, after_slashes()?, &parameters::POSTGRES).map(Self::Postgres)
            }
            #[cfg(feature = "mysql")]
            "mysql" | "mariadb" => ServerUrl::parse(scheme, after_slashes()?, &parameters::MYSQL).map(Self::Mysql),
            other => Err(format!(
                "this build of gaia-actors has no {other}; enable the cargo feature {:?}",
                feature_of(other)
            )),
        }
    }

    /// What an attacker between this machine and the server could do, and which parameter prevents it. `None` if connections are protected,
    /// or do not leave this machine.
    pub(super) fn danger(&self) -> Option<String> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => None,
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => url.danger("sslmode=verify-full"),
            #[cfg(feature = "mysql")]
            Self::Mysql(url) => url.danger("ssl-mode=VERIFY_IDENTITY"),
        }
    }

    /// The names of the URL's parameters that are known and have no effect in this crate.
    pub(super) fn ignored(&self) -> &[&'static str] {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => &[],
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => &url.ignored,
            #[cfg(feature = "mysql")]
            Self::Mysql(url) => &url.ignored,
        }
    }
}

/// The known scheme that `text` is, in upper or lower case.
fn known(text: &str) -> Option<&'static str> {
    SCHEMES.into_iter().find(|scheme| scheme.eq_ignore_ascii_case(text))
}

/// Names the fault of a text that does not begin with a known scheme.
fn without_scheme(text: &str) -> String {
    let small = text.to_ascii_lowercase();
    if small.is_empty() {
        return "it is empty".to_owned();
    }
    if small.starts_with(['"', '\'', '`']) {
        return "it begins with a quotation mark, which is no part of a URL".to_owned();
    }
    if small.starts_with("jdbc:") {
        return "it begins with jdbc:, which only Java understands".to_owned();
    }
    if small.contains("tcp(") || small.contains("unix(") {
        if cfg!(feature = "mysql") {
            return "it seems to be a DSN of Go's driver for MySQL; expected user:password@tcp(host:3306)/database"
                .to_owned();
        }
        return "it seems to be a DSN of Go's driver for MySQL; this build of gaia-actors has no mysql; enable the cargo feature \"mysql\""
            .to_owned();
    }
    if let Some((scheme, _)) = small.split_once("://") {
        let scheme = scheme.split('+').next().unwrap_or(scheme);
        let near = nearest(scheme, &SCHEMES);
        return near.map_or_else(
            || "its scheme is unknown".to_owned(),
            |near| format!("its scheme is unknown, the nearest is {near:?}"),
        );
    }
    if small.contains('=') {
        return "it seems to be a list of keywords and values, which is no URL".to_owned();
    }
    "it has no scheme".to_owned()
}

/// The cargo feature that a known scheme needs.
fn feature_of(scheme: &str) -> &str {
    match scheme {
        "postgresql" => "postgres",
        "mariadb" => "mysql",
        scheme => scheme,
    }
}

/// Shows the URL without the password.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(url) => url.fmt(f),
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => f.write_str(url.shown()),
            #[cfg(feature = "mysql")]
            Self::Mysql(url) => f.write_str(url.shown()),
        }
    }
}

/// The names and values of a query.
fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// The error text for the parameter at this place (from 1), which is none of `known`.
#[cfg(any(feature = "sqlite", feature = "_server"))]
fn unknown(place: usize, name: &str, known: &[&str]) -> String {
    match nearest(name, known) {
        Some(near) => format!("parameter {place} is unknown, the nearest is {near:?}"),
        None => format!("parameter {place} is unknown; those that are known are listed at GaiaBuilder::database"),
    }
}

#[cfg(all(test, feature = "postgres", feature = "mysql"))]
mod server_tests;
#[cfg(test)]
mod tests;
