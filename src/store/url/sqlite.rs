//! The URL of a SQLite file.

use std::time::Duration;

use super::pairs;

/// Where the SQLite file is, and how to open it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct SqliteUrl {
    /// `None`: in memory.
    pub(in crate::store) path: Option<String>,
    pub(in crate::store) busy_timeout: Duration,
    pub(in crate::store) synchronous: &'static str,
}

const PARAMETERS: [&str; 2] = ["busy_timeout", "synchronous"];

impl SqliteUrl {
    pub(super) fn parse(rest: &str) -> Result<Self, String> {
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
        for (key, value) in pairs(query) {
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
                    return Err(super::unknown_parameter(key, &PARAMETERS));
                }
            }
        }
        Ok(url)
    }
}
