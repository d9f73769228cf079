//! Which database, told by one URL.

#[cfg(feature = "_server")]
mod server;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::fmt;

#[cfg(feature = "_server")]
pub(super) use server::{ServerUrl, TlsMode};
#[cfg(feature = "sqlite")]
pub(super) use sqlite::SqliteUrl;

use crate::config::nearest;

/// A database URL that can be used by this build.
///
/// * `sqlite:path/to/file.db`, also `sqlite://…`; `sqlite::memory:` for one that lives as long as the process.
/// * `postgres://user:password@host:port/database`, also `postgresql:`.
/// * `mysql://user:password@host:port/database`, also `mariadb:`.
///
/// The parameters of each are listed at [`Gaia::builder`](crate::GaiaBuilder::database).
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
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("database URL {url}: {fault}")]
pub struct InvalidUrl {
    url: String,
    fault: String,
}

const EXAMPLES: &str = "sqlite:path/to/file.db, postgres://user:password@host/database or \
                        mysql://user:password@host/database";

/// With the known parameter that may be meant, or all of them.
fn unknown_parameter(key: &str, known: &[&str]) -> String {
    match nearest(key, known) {
        Some(near) => format!("unknown parameter {key:?}, the nearest is {near:?}"),
        None => format!("unknown parameter {key:?}; known are {}", known.join(", ")),
    }
}

impl DatabaseUrl {
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidUrl> {
        let refused = |fault: String| InvalidUrl {
            url: redacted(text),
            fault,
        };
        let (scheme, rest) = text
            .split_once(':')
            .ok_or_else(|| refused(format!("it has no scheme; write {EXAMPLES}")))?;
        Self::of_scheme(scheme, rest, text).map_err(refused)
    }

    fn of_scheme(scheme: &str, rest: &str, text: &str) -> Result<Self, String> {
        #[cfg(not(feature = "_server"))]
        let _ = text;
        match scheme {
            #[cfg(feature = "sqlite")]
            "sqlite" => SqliteUrl::parse(rest).map(Self::Sqlite),
            #[cfg(feature = "postgres")]
            "postgres" | "postgresql" => {
                let driver = format!("postgres:{rest}");
                ServerUrl::parse(&driver, redacted(text), &server::POSTGRES).map(Self::Postgres)
            }
            #[cfg(feature = "mysql")]
            "mysql" | "mariadb" => {
                let driver = format!("mysql:{rest}");
                ServerUrl::parse(&driver, redacted(text), &server::MYSQL).map(Self::Mysql)
            }
            other => Err(match feature_of(other) {
                Some(feature) => {
                    format!("this build of gaia-actors has no {other}; enable the cargo feature {feature:?}")
                }
                None => format!("unknown scheme {other:?}; write {EXAMPLES}"),
            }),
        }
    }
}

/// The cargo feature with which a scheme is understood.
fn feature_of(scheme: &str) -> Option<&'static str> {
    match scheme {
        "sqlite" => Some("sqlite"),
        "postgres" | "postgresql" => Some("postgres"),
        "mysql" | "mariadb" => Some("mysql"),
        _ => None,
    }
}

/// Without the password.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(SqliteUrl { path, .. }) => {
                write!(f, "sqlite:{}", path.as_deref().unwrap_or(":memory:"))
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => f.write_str(url.shown()),
            #[cfg(feature = "mysql")]
            Self::Mysql(url) => f.write_str(url.shown()),
        }
    }
}

/// The pairs of a query.
fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// `url` with what could be a password replaced: everything between the user name and the last `@`, what stands where a
/// port should be and is no number, and every value whose name speaks of a password. Rather too much than too little.
fn redacted(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return without_secret_pairs(url);
    };
    let rest = without_secret_pairs(rest);
    if let Some(at) = rest.rfind('@') {
        let user = rest[..at].split(':').next().unwrap_or("");
        return format!("{scheme}://{user}:***{}", &rest[at..]);
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    match host.split_once(':') {
        Some((host, port)) if port.parse::<u16>().is_err() => format!("{scheme}://{host}:***{path}"),
        _ => format!("{scheme}://{rest}"),
    }
}

fn without_secret_pairs(url: &str) -> String {
    let Some((head, query)) = url.split_once('?') else {
        return url.to_owned();
    };
    let query: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((key, _)) if key.to_ascii_lowercase().contains("pass") => format!("{key}=***"),
            _ => pair.to_owned(),
        })
        .collect();
    format!("{head}?{}", query.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "sqlite")]
    #[test]
    fn sqlite_urls_are_read() {
        let of = |text| match DatabaseUrl::parse(text).expect("is good") {
            DatabaseUrl::Sqlite(url) => (url.path, url.busy_timeout.as_millis(), url.synchronous),
            #[cfg(feature = "_server")]
            other => panic!("{other:?}"),
        };
        let file = |path: &str| (Some(path.to_owned()), 5_000, "FULL");
        assert_eq!(of("sqlite:orders.db"), file("orders.db"));
        assert_eq!(of("sqlite://orders.db"), file("orders.db"));
        assert_eq!(of("sqlite:///var/orders.db"), file("/var/orders.db"));
        assert_eq!(of("sqlite::memory:"), (None, 5_000, "FULL"));
        assert_eq!(
            of("sqlite:a.db?busy_timeout=10&synchronous=normal"),
            (Some("a.db".to_owned()), 10, "NORMAL")
        );
    }

    fn refusal(text: &str) -> String {
        DatabaseUrl::parse(text).expect_err("is bad").to_string()
    }

    #[test]
    fn a_refusal_says_what_to_write_and_hides_the_password() {
        assert!(refusal("orders.db").contains("write sqlite:path/to/file.db"));
        let text = refusal("mongodb://ann:s3cr@t:x@host/db?password=s3cret&a=b");
        let start =
            "database URL mongodb://ann:***@host/db?password=***&a=b: unknown scheme \"mongodb\"; write sqlite:";
        assert!(text.starts_with(start), "{text}");
    }

    #[test]
    fn no_spelling_of_a_url_shows_its_password() {
        for url in [
            "x://ann:s3cret@host/db",
            "x://ann:s3cret?@host/db",
            "x://ann:a@s3cret@host",
            "x://ann:s3cret/db",
            "x://ann:s3cret",
            "x://host/db?sslpassword=s3cret",
        ] {
            assert!(!redacted(url).contains("s3cret"), "{}", redacted(url));
        }
        assert_eq!(redacted("x://host:5432/db?a=b"), "x://host:5432/db?a=b");
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn an_unknown_parameter_names_its_nearest() {
        let text = refusal("sqlite:a.db?busytimeout=1");
        assert!(text.contains("the nearest is \"busy_timeout\""), "{text}");
        let text = refusal("sqlite:a.db?x=1");
        assert!(text.contains("\"x\"; known are busy_timeout, "), "{text}");
    }

    #[cfg(not(all(feature = "postgres", feature = "mysql", feature = "sqlite")))]
    #[test]
    fn a_database_that_is_not_built_in_names_its_feature() {
        for (feature, url) in [
            #[cfg(not(feature = "sqlite"))]
            ("sqlite", "sqlite:a.db"),
            #[cfg(not(feature = "postgres"))]
            ("postgres", "postgresql://ann:s3cret@host/db"),
            #[cfg(not(feature = "mysql"))]
            ("mysql", "mariadb://ann:s3cret@host/db"),
        ] {
            let text = refusal(url);
            assert!(
                text.contains(&format!("enable the cargo feature {feature:?}")),
                "{text}"
            );
            assert!(!text.contains("s3cret"), "{text}");
        }
    }
}
