//! Which database, told by one URL.

use std::{fmt, time::Duration};

use crate::config::nearest;

/// A database URL that can be used by this build.
///
/// * `sqlite:path/to/file.db`, also `sqlite://…`; `sqlite::memory:` for one that lives as long as the process.
///   Parameters: `busy_timeout` (milliseconds, default 5000) and `synchronous` (`full`, the default: a commit survives a
///   power cut; `normal`: it survives a killed process).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DatabaseUrl {
    #[cfg(feature = "sqlite")]
    Sqlite(SqliteUrl),
}

/// Where the SQLite file is, and how to open it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg(feature = "sqlite")]
pub(crate) struct SqliteUrl {
    /// `None`: in memory.
    pub(crate) path: Option<String>,
    pub(crate) busy_timeout: Duration,
    pub(crate) synchronous: &'static str,
}

/// A database URL that was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("database URL {url}: {fault}")]
pub struct InvalidUrl {
    url: String,
    fault: String,
}

const PARAMETERS: [&str; 2] = ["busy_timeout", "synchronous"];

impl DatabaseUrl {
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidUrl> {
        let refused = |fault: String| InvalidUrl {
            url: redacted(text),
            fault,
        };
        let (scheme, rest) = text
            .split_once(':')
            .ok_or_else(|| refused("it has no scheme; for a SQLite file write sqlite:path/to/file.db".to_owned()))?;
        match scheme {
            #[cfg(feature = "sqlite")]
            "sqlite" => SqliteUrl::parse(rest).map(Self::Sqlite).map_err(refused),
            #[cfg(not(feature = "sqlite"))]
            "sqlite" => Err(refused(
                "this build has no SQLite; enable the cargo feature \"sqlite\"".to_owned(),
            )),
            _ => Err(refused(format!(
                "unknown scheme {scheme:?}, expected sqlite (as in sqlite:path/to/file.db)"
            ))),
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(SqliteUrl { path, .. }) => {
                write!(f, "sqlite:{}", path.as_deref().unwrap_or(":memory:"))
            }
        }
    }
}

#[cfg(feature = "sqlite")]
impl SqliteUrl {
    fn parse(rest: &str) -> Result<Self, String> {
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = path.strip_prefix("//").unwrap_or(path);
        let mut url = Self {
            path: (path != ":memory:").then(|| path.to_owned()),
            busy_timeout: Duration::from_secs(5),
            synchronous: "FULL",
        };
        if path.is_empty() {
            return Err("it names no file".to_owned());
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (key, value) {
                ("busy_timeout", millis) => {
                    // SQLite keeps it in a C int.
                    let parsed = millis.parse().ok().filter(|millis| *millis <= 0x7fff_ffff_u64);
                    let millis = parsed
                        .ok_or_else(|| format!("busy_timeout is {millis:?}, expected 0 to 2147483647 milliseconds"))?;
                    url.busy_timeout = Duration::from_millis(millis);
                }
                ("synchronous", "full") => url.synchronous = "FULL",
                ("synchronous", "normal") => url.synchronous = "NORMAL",
                ("synchronous", other) => {
                    return Err(format!("synchronous is {other:?}, expected full or normal"));
                }
                (key, _) => {
                    let near = nearest(key, &PARAMETERS);
                    return Err(format!("unknown parameter {key:?}, the nearest is {near:?}"));
                }
            }
        }
        Ok(url)
    }
}

/// `url` with what could be a password replaced: everything between the user name and the last `@`, and every value whose
/// name speaks of one.
fn redacted(url: &str) -> String {
    let (head, query) = url.split_once('?').unwrap_or((url, ""));
    let head = match (head.find("://"), head.rfind('@')) {
        (Some(start), Some(at)) if start + 3 <= at => {
            let user = head[start + 3..at].split(':').next().unwrap_or("");
            format!("{}{user}:***{}", &head[..start + 3], &head[at..])
        }
        _ => head.to_owned(),
    };
    if query.is_empty() {
        return head;
    }
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
        let of = |text| {
            let DatabaseUrl::Sqlite(url) = DatabaseUrl::parse(text).expect("is good");
            (url.path, url.busy_timeout.as_millis(), url.synchronous)
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

    #[test]
    fn a_refusal_says_what_to_write_and_hides_the_password() {
        let refusal = |text| DatabaseUrl::parse(text).expect_err("is bad").to_string();
        assert!(refusal("orders.db").contains("write sqlite:path/to/file.db"));
        let text = refusal("mongodb://ann:s3cr@t:x@host/db?password=s3cret&a=b");
        assert_eq!(
            text,
            "database URL mongodb://ann:***@host/db?password=***&a=b: \
             unknown scheme \"mongodb\", expected sqlite (as in sqlite:path/to/file.db)"
        );
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn an_unknown_parameter_names_its_nearest() {
        let text = DatabaseUrl::parse("sqlite:a.db?busytimeout=1")
            .expect_err("is bad")
            .to_string();
        assert!(text.contains("the nearest is \"busy_timeout\""), "{text}");
    }
}
