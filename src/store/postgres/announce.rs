//! Announcements to other processes: `NOTIFY gaia_tasks, '<theme>'` and `NOTIFY gaia_requests`.
//!
//! A process that hears an announcement reads the tables. Plain SQL may send announcements, too. Besides, each process sends announcements
//! to itself, on a separate channel, to learn whether it hears any.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use diesel::{
    QueryResult,
    pg::Pg,
    sql_types::{BigInt, Nullable, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::connect::Connector;
use crate::store::{
    StoreError,
    backend::Announcement,
    server::pool::{Connections, on_server},
    statement::{executor::Executor, prepared::prepared},
};

pub(super) const TASKS: &str = "gaia_tasks";
pub(super) const REQUESTS: &str = "gaia_requests";

/// The least time between two announcements of one theme, or of requests: a burst of inserts makes one announcement at its beginning,
/// then one in each such time, not one for each insert.
const APART: Duration = Duration::from_millis(2);

/// The same if at least [`MANY`] tasks were added together: these keep the other processes busy for longer than that.
const APART_FOR_MANY: Duration = Duration::from_millis(20);
const MANY: usize = 100;

/// Separates the name of the theme from the origin in a payload. No theme's name holds this character.
pub(super) const SEPARATOR: char = '\n';

/// Announces new tasks and requests to other processes.
pub(super) struct Announcer {
    connections: Connections<Connector>,
    /// Tells this process's announcements from those that others send: this process ignores its own.
    origin: String,
    /// When each channel and name was last announced. A time in the future belongs to an announcement that waits.
    sent: Mutex<HashMap<(&'static str, String), Instant>>,
}

impl Announcer {
    pub(super) fn new(connections: Connections<Connector>) -> Self {
        Self {
            connections,
            origin: format!("{:016x}", fastrand::u64(..)),
            sent: Mutex::default(),
        }
    }

    pub(super) fn origin(&self) -> String {
        self.origin.clone()
    }

    /// Sends an announcement of `count` tasks, or of a request, in the background.
    pub(super) fn announce(self: &Arc<Self>, what: Announcement<'_>, count: usize) {
        let apart = if count < MANY { APART } else { APART_FOR_MANY };
        let (channel, name) = match what {
            Announcement::Tasks(theme) => (TASKS, theme),
            Announcement::Requests | Announcement::Anything => (REQUESTS, ""),
        };
        let Some(wait) = self.turn(channel, name, apart) else {
            return;
        };
        let (announcer, name) = (Arc::clone(self), name.to_owned());
        tokio::spawn(async move {
            // Even a sleep of no time lasts until the timer's next tick, a millisecond.
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            announcer.send(channel, &name).await;
        });
    }

    /// How long the next announcement is to wait; `None` if another one waits already and serves for this one, too.
    fn turn(&self, channel: &'static str, name: &str, apart: Duration) -> Option<Duration> {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let last = sent.get(&(channel, name.to_owned())).copied();
        if last.is_some_and(|last| last > now) {
            return None;
        }
        let next = last.map_or(now, |last| now.max(last + apart));
        sent.insert((channel, name.to_owned()), next);
        Some(next.saturating_duration_since(now))
    }

    /// The channel of the announcements that this process sends to itself.
    pub(super) fn echo_channel(&self) -> String {
        format!("gaia_echo_{}", self.origin)
    }

    /// Sends an announcement to this process alone. Answers as [`room`](Self::room) does.
    pub(super) async fn echo(&self) -> Result<Option<i64>, StoreError> {
        self.ask_room(&self.echo_channel()).await
    }

    /// How many more connections the server would give to this process; `None` if that is not known.
    pub(super) async fn room(&self) -> Result<Option<i64>, StoreError> {
        self.ask_room("").await
    }

    async fn ask_room(&self, channel: &str) -> Result<Option<i64>, StoreError> {
        let mut conn = self.connections.acquire().await?;
        let room: Vec<Option<i64>> = on_server!(conn, |conn| {
            prepared(ROOM)
                .bind::<Text, _>(channel)
                .columns::<Nullable<BigInt>>()
                .load(conn)
                .await
        })?;
        Ok(room.into_iter().next().flatten())
    }

    /// Sends an announcement. If that fails, other processes find the tasks by polling.
    async fn send(&self, channel: &str, name: &str) {
        let sent = async {
            let mut conn = self.connections.acquire().await?;
            let payload = format!("{name}{SEPARATOR}{}", self.origin);
            on_server!(conn, |conn| notify(conn, channel, &payload).await)?;
            Ok::<_, StoreError>(())
        };
        if let Err(error) = sent.await {
            say!(Debug, "cannot notify others on channel {channel}: {error}");
        }
    }
}

/// Announces waiting tasks of a theme inside the open transaction of `conn`: the server sends the announcement at the commit. Answers with
/// the name of the database, if it has one.
pub(super) async fn tell(conn: &mut impl Executor<Pg>, theme: &str) -> QueryResult<Option<String>> {
    let statement = prepared(IN_TRANSACTION)
        .bind::<Text, _>(TASKS)
        .bind::<Text, _>(format!("{theme}{SEPARATOR}"));
    let told: Vec<(Option<String>, String)> = conn.load(statement.columns::<(Nullable<Text>, Text)>()).await?;
    Ok(told.into_iter().next().and_then(|(name, _)| name))
}

const IN_TRANSACTION: &str = "SELECT (SELECT id::text FROM gaia_database LIMIT 1), pg_notify($1, $2)::text";

/// This commit does not wait for the disk: if a crash of the server loses an announcement, the next poll finds the tasks.
const BY_ITSELF: &str = "SELECT pg_notify($1, $2), set_config('synchronous_commit', 'off', true)";

/// Notifies the channel `$1` unless it is empty, and answers how many connections are left of the smallest limit: the server's, the user's
/// or the database's. Users without rights see every row of `pg_stat_activity`, but not which rows are of clients: those rows have a user
/// and a database.
const ROOM: &str = "\
    WITH client AS (SELECT usesysid, datid FROM pg_stat_activity WHERE usesysid IS NOT NULL AND datid IS NOT NULL) \
    SELECT LEAST( \
        current_setting('max_connections')::bigint \
            - CASE WHEN r.rolsuper THEN 0 ELSE current_setting('superuser_reserved_connections')::bigint END \
            - (SELECT COUNT(*) FROM client), \
        CASE WHEN NOT r.rolsuper AND r.rolconnlimit >= 0 \
            THEN r.rolconnlimit - (SELECT COUNT(*) FROM client WHERE usesysid = r.oid) END, \
        CASE WHEN NOT r.rolsuper AND d.datconnlimit >= 0 \
            THEN d.datconnlimit - (SELECT COUNT(*) FROM client WHERE datid = d.oid) END \
    ), CASE WHEN $1 <> '' THEN pg_notify($1, '')::text END \
    FROM pg_roles r, pg_database d WHERE r.rolname = session_user AND d.datname = current_database()";

async fn notify(conn: &mut AsyncPgConnection, channel: &str, payload: &str) -> QueryResult<()> {
    prepared(BY_ITSELF)
        .bind::<Text, _>(channel)
        .bind::<Text, _>(payload)
        .execute(conn)
        .await?;
    Ok(())
}
