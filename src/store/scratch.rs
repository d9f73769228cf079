//! A schema (PostgreSQL) or a database (MySQL) that lasts as long as one test.
//!
//! Its name tells when it was made. A test that was killed leaves it; the next test on the server drops every one that is older than a day.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use diesel::{QueryableByName, sql_types::Text};
use diesel_async::RunQueryDsl;

use super::{
    StoreError,
    db::{Conn, Db, on_backend},
    lenient::AnyText,
    url::DatabaseUrl,
};

/// All names begin with this text.
const PREFIX: &str = "gaia_test_";

/// An older one belongs to a test that was killed.
const LONGEST_TEST: Duration = Duration::from_secs(24 * 60 * 60);

/// How the server makes, drops and lists them.
struct Words {
    make: &'static str,
    drop: &'static str,
    behind_drop: &'static str,
    list: &'static str,
}

/// A schema or a database of one test. It is there until it is [dropped](Self::remove).
#[derive(Debug, Clone)]
pub(crate) struct Scratch {
    server: DatabaseUrl,
    name: String,
    /// The URL that leads there.
    pub(crate) url: String,
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: AnyText,
}

impl Scratch {
    /// A new one on the server of this URL, whose user must be allowed to make it. `None`: the URL is of SQLite, which has no server.
    pub(crate) async fn make(url: &str) -> Result<Option<Self>, StoreError> {
        let server = DatabaseUrl::parse(url)?;
        let Some(words) = words(&server) else {
            return Ok(None);
        };
        let name = format!("{PREFIX}{}_{:012x}", seconds_now(), fastrand::u64(..1 << 48));
        let db = Db::connect(&server).await?;
        let mut conn = db.write().await?;
        for left in left_over(&mut conn, &words).await? {
            // Another test may have dropped it.
            if let Err(error) = execute(&mut conn, words.drop_of(&left)).await {
                say!(Debug, "{left} of a test that was killed cannot be dropped: {error}");
            }
        }
        execute(&mut conn, format!("{} {name}", words.make)).await?;
        Ok(Some(Self {
            url: within(&server, url.trim(), &name),
            server,
            name,
        }))
    }

    /// Drops it, with all that is in it.
    pub(crate) async fn remove(&self) -> Result<(), StoreError> {
        let Some(words) = words(&self.server) else {
            return Ok(());
        };
        let db = Db::connect(&self.server).await?;
        let mut conn = db.write().await?;
        execute(&mut conn, words.drop_of(&self.name)).await
    }
}

impl Words {
    fn drop_of(&self, name: &str) -> String {
        format!("{} {name}{}", self.drop, self.behind_drop)
    }
}

fn words(url: &DatabaseUrl) -> Option<Words> {
    match url {
        #[cfg(feature = "sqlite")]
        DatabaseUrl::Sqlite(_) => None,
        #[cfg(feature = "postgres")]
        DatabaseUrl::Postgres(_) => Some(Words {
            make: "CREATE SCHEMA",
            drop: "DROP SCHEMA IF EXISTS",
            behind_drop: " CASCADE",
            list: "SELECT nspname::text AS name FROM pg_namespace WHERE nspname LIKE 'gaia\\_test\\_%'",
        }),
        #[cfg(feature = "mysql")]
        DatabaseUrl::Mysql(_) => Some(Words {
            make: "CREATE DATABASE",
            drop: "DROP DATABASE IF EXISTS",
            behind_drop: "",
            list: "SELECT schema_name AS name FROM information_schema.schemata WHERE schema_name LIKE 'gaia\\_test\\_%'",
        }),
    }
}

/// The URL that leads to the schema or database with this name.
fn within(server: &DatabaseUrl, url: &str, name: &str) -> String {
    match server {
        #[cfg(feature = "sqlite")]
        DatabaseUrl::Sqlite(_) => url.to_owned(),
        #[cfg(feature = "postgres")]
        DatabaseUrl::Postgres(_) => {
            let joint = if url.contains('?') { '&' } else { '?' };
            format!("{url}{joint}search_path={name}")
        }
        #[cfg(feature = "mysql")]
        DatabaseUrl::Mysql(_) => {
            let (path, query) = url.split_at(url.find('?').unwrap_or(url.len()));
            let server = path.rsplit_once('/').map_or(path, |(server, _)| server);
            format!("{server}/{name}{query}")
        }
    }
}

/// Those that tests which were killed have left.
async fn left_over(conn: &mut Conn, words: &Words) -> Result<Vec<String>, StoreError> {
    let list = words.list;
    let names: Vec<Name> = on_backend!(*conn, |conn| diesel::sql_query(list).load(conn).await)?;
    let oldest = seconds_now().saturating_sub(LONGEST_TEST.as_secs());
    let is_old = |name: &String| made_at(name).is_some_and(|at| at < oldest);
    Ok(names.into_iter().map(|Name { name }| name.0).filter(is_old).collect())
}

/// When the schema or database with this name was made. `None`: its name is not of a test.
fn made_at(name: &str) -> Option<u64> {
    let (at, rest) = name.strip_prefix(PREFIX)?.split_once('_')?;
    let is_hex = rest.len() == 12 && rest.bytes().all(|byte| byte.is_ascii_hexdigit());
    at.parse().ok().filter(|_| is_hex)
}

async fn execute(conn: &mut Conn, sql: String) -> Result<(), StoreError> {
    on_backend!(*conn, |conn| diesel::sql_query(&sql).execute(conn).await)?;
    Ok(())
}

fn seconds_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_tests_tell_when_they_were_made() {
        assert_eq!(made_at("gaia_test_1769860800_0123456789ab"), Some(1_769_860_800));
        for other in [
            "gaia_test_x_0123456789ab",
            "gaia_test_1769860800",
            "gaia_test_1_short",
            "orders",
        ] {
            assert_eq!(made_at(other), None, "{other}");
        }
    }

    #[test]
    fn a_url_leads_into_the_schema_or_database() {
        for (url, expected) in [
            ("postgres://u:p@h/app", "postgres://u:p@h/app?search_path=t"),
            (
                "postgres://u:p@h/app?pool_size=3",
                "postgres://u:p@h/app?pool_size=3&search_path=t",
            ),
            ("mysql://u:p@h:1/app?pool_size=3", "mysql://u:p@h:1/t?pool_size=3"),
            ("mysql://u:p@h/app", "mysql://u:p@h/t"),
        ] {
            let Ok(server) = DatabaseUrl::parse(url) else { continue };
            assert_eq!(within(&server, url, "t"), expected);
        }
    }
}
