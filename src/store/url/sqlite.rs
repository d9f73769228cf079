//! The URL of a SQLite file.

use std::{fmt, time::Duration};

use super::{pairs, unknown};

/// Where the SQLite file is, and how to open it.
#[derive(Clone, PartialEq, Eq)]
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
        for (place, (key, value)) in (1..).zip(pairs(query)) {
            match (key, value) {
                ("busy_timeout", millis) => {
                    // SQLite keeps the timeout in a C int.
                    let parsed = millis.parse().ok().filter(|millis| *millis <= 0x7fff_ffff_u64);
                    let millis =
                        parsed.ok_or("busy_timeout: expected a number of milliseconds from 0 to 2147483647")?;
                    url.busy_timeout = Duration::from_millis(millis);
                }
                ("synchronous", "full") => url.synchronous = "FULL",
                ("synchronous", "normal") => url.synchronous = "NORMAL",
                ("synchronous", _) => return Err("synchronous: expected full or normal".to_owned()),
                (key, _) => return Err(unknown(place, key, &PARAMETERS)),
            }
        }
        Ok(url)
    }
}

/// Does not show a path that may be the URL of another database with its scheme changed: it may hold a password.
impl fmt::Display for SqliteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.as_deref().unwrap_or(":memory:");
        let is_drive = cfg!(windows) && path.find(':') == Some(1);
        let may_hold_password = path.contains(['@', ';', '=']) || (path.contains(':') && !is_drive);
        let shown = match &self.path {
            Some(_) if may_hold_password => "***",
            _ => path,
        };
        write!(f, "sqlite:{shown}")
    }
}

impl fmt::Debug for SqliteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqliteUrl({self})")
    }
}
