//! A schema (PostgreSQL) or a database (MySQL) that lasts as long as one test.
//!
//! Its name tells when it was made. A test that was killed leaves it; the next test on the server drops every one that is older than a day.
//! Nothing but what has such a name, and was made by this crate, may ever be dropped.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use diesel::{QueryableByName, sql_types::Text};
use diesel_async::RunQueryDsl;

use super::{
    StoreError,
    db::{Conn, Db, on_backend},
    lenient::AnyText,
    url::DatabaseUrl,
};

/// All names begin with this text.
const PREFIX: &str = "gaia_actors_scratch_";

/// The digits of the time in a name.
const DIGITS: usize = 10;

/// No name tells of an earlier time: 2023.
const FIRST: u64 = 1_700_000_000;

/// An older one belongs to a test that was killed.
const LONGEST_TEST: Duration = Duration::from_secs(24 * 60 * 60);

/// How the server makes, drops and lists them.
struct Words {
    make: &'static str,
    drop: &'static str,
    behind_drop: &'static str,
    list: &'static str,
    /// The query for the name of the one in which a session is.
    here: &'static str,
    /// The URL of the server as a URL that leads to the one with this name.
    within: fn(&str, &str) -> String,
}

/// A schema or a database of one test. It is there until it is [dropped](Self::remove).
#[derive(Clone)]
pub(crate) struct Scratch {
    server: DatabaseUrl,
    name: String,
    /// The URL that leads there.
    pub(crate) url: String,
}

/// Without the URL, which has a password.
impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scratch")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
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
        drop(conn);
        let scratch = Self {
            url: (words.within)(url.trim(), &name),
            server,
            name,
        };
        if let Err(error) = scratch.check(&words).await {
            scratch.remove().await?;
            return Err(error);
        }
        Ok(Some(scratch))
    }

    /// An error unless its URL leads into it: a pooler may leave out what the URL says, and the test would work on the tables of the application.
    async fn check(&self, words: &Words) -> Result<(), StoreError> {
        let there = DatabaseUrl::parse(&self.url)?;
        let db = Db::connect(&there).await?;
        let mut conn = db.write().await?;
        let here = words.here;
        let names: Vec<Name> = on_backend!(conn, |conn| diesel::sql_query(here).load(conn).await)?;
        match names.iter().any(|Name { name }| name.0 == self.name) {
            true => Ok(()),
            false => Err(StoreError::Database(format!(
                "a session with the URL {there} is not in {}, which was made for this test; give a URL of the server itself, without a pooler",
                self.name
            ))),
        }
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

#[cfg_attr(
    not(feature = "sqlite"),
    expect(clippy::unnecessary_wraps, reason = "SQLite has none of them")
)]
fn words(url: &DatabaseUrl) -> Option<Words> {
    match url {
        #[cfg(feature = "sqlite")]
        DatabaseUrl::Sqlite(_) => None,
        #[cfg(feature = "postgres")]
        DatabaseUrl::Postgres(_) => Some(Words {
            make: "CREATE SCHEMA",
            drop: "DROP SCHEMA IF EXISTS",
            behind_drop: " CASCADE",
            list: "SELECT nspname::text AS name FROM pg_namespace WHERE nspname LIKE 'gaia!_actors!_scratch!_%' ESCAPE '!'",
            here: "SELECT COALESCE(current_schema()::text, '') AS name",
            within: in_schema,
        }),
        #[cfg(feature = "mysql")]
        DatabaseUrl::Mysql(_) => Some(Words {
            make: "CREATE DATABASE",
            drop: "DROP DATABASE IF EXISTS",
            behind_drop: "",
            list: "SELECT schema_name AS name FROM information_schema.schemata WHERE schema_name LIKE 'gaia!_actors!_scratch!_%' ESCAPE '!'",
            here: "SELECT COALESCE(DATABASE(), '') AS name",
            within: in_database,
        }),
    }
}

/// A URL's parts: what comes before its host, its host and path, and its parameters. A password may have a slash or a question mark.
#[cfg(feature = "_server")]
fn parts(url: &str) -> (&str, &str, Vec<&str>) {
    let host = url.rfind('@').map(|at| at + 1);
    let host = host.or_else(|| url.find("://").map(|at| at + 3)).unwrap_or(0);
    let (before, rest) = url.split_at(host);
    match rest.split_once('?') {
        Some((place, parameters)) => (before, place, parameters.split('&').collect()),
        None => (before, rest, Vec::new()),
    }
}

/// The URL that leads to the schema with this name: by `options`, which the drivers of applications know, too. Of several `options` they take
/// the last one alone.
#[cfg(feature = "postgres")]
fn in_schema(url: &str, name: &str) -> String {
    let (before, place, mut parameters) = parts(url);
    let mut options = Vec::new();
    parameters.retain(|parameter| match parameter.strip_prefix("options=") {
        Some(value) => {
            options.push(value);
            false
        }
        None => true,
    });
    let schema = format!("-csearch_path%3D{name}");
    options.push(&schema);
    let options = format!("options={}", options.join("%20"));
    parameters.push(&options);
    format!("{before}{place}?{}", parameters.join("&"))
}

/// The URL that leads to the database with this name: by its path, which the drivers of applications know, too.
#[cfg(feature = "mysql")]
fn in_database(url: &str, name: &str) -> String {
    let (before, place, mut parameters) = parts(url);
    parameters.retain(|parameter| {
        let key = parameter.split('=').next().unwrap_or_default();
        !["database", "dbname"].iter().any(|name| key.eq_ignore_ascii_case(name))
    });
    let host = place.split('/').next().unwrap_or_default();
    let joint = if parameters.is_empty() { "" } else { "?" };
    format!("{before}{host}/{name}{joint}{}", parameters.join("&"))
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
    let is_time = at.len() == DIGITS && at.bytes().all(|byte| byte.is_ascii_digit());
    let is_hex = rest.len() == 12 && rest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let at = at.parse().ok().filter(|_| is_time && is_hex)?;
    (at >= FIRST).then_some(at)
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
        assert_eq!(
            made_at("gaia_actors_scratch_1769860800_0123456789ab"),
            Some(1_769_860_800)
        );
        for other in [
            "gaia_actors_scratch_x_0123456789ab",
            "gaia_actors_scratch_1769860800",
            "gaia_actors_scratch_1769860800_short",
            "gaia_actors_scratch_1769860800_0123456789AB",
            "gaia_actors_scratch_+769860800_0123456789ab",
            "gaia_actors_scratch_0000000017_0123456789ab",
            "gaia_actors_scratch_20261130_0123456789ab",
            "gaia_test_1769860800_0123456789ab",
            "orders",
        ] {
            assert_eq!(made_at(other), None, "{other}");
        }
    }

    #[test]
    fn a_url_leads_into_the_schema_or_database() {
        for (url, expected) in [
            ("postgres://u:p@h/app", "postgres://u:p@h/app?options=-csearch_path%3Dt"),
            (
                "postgres://u:a?b@h/app",
                "postgres://u:a?b@h/app?options=-csearch_path%3Dt",
            ),
            (
                "postgres://u:p@h/app?options=-c%20a%3Db&schema=s",
                "postgres://u:p@h/app?schema=s&options=-c%20a%3Db%20-csearch_path%3Dt",
            ),
            ("mysql://u:p@h:1/app?pool_size=3", "mysql://u:p@h:1/t?pool_size=3"),
            ("mysql://u:a/b?c@h/app", "mysql://u:a/b?c@h/t"),
            ("mysql://h", "mysql://h/t"),
            ("mysql://u:p@h?dbname=app&pool_size=3", "mysql://u:p@h/t?pool_size=3"),
        ] {
            let words = DatabaseUrl::parse(url).ok().and_then(|server| words(&server));
            let Some(words) = words else { continue };
            assert_eq!((words.within)(url, "t"), expected);
        }
    }
}
