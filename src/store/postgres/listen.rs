//! Wake-ups across processes: `NOTIFY gaia_tasks, '<theme>'` and `NOTIFY gaia_requests`.
//!
//! They carry no data; whoever hears one looks at the tables. Plain SQL may send them too.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use diesel::{QueryResult, sql_types::Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::{StreamExt, pin_mut};

use super::connect::Connector;
use crate::{
    backoff::Backoff,
    store::{
        pool::{Connections, on_server},
        prepared::prepared,
        wake::Heard,
    },
};

const TASKS: &str = "gaia_tasks";
const REQUESTS: &str = "gaia_requests";

/// The least time between two announcements of one thing: a burst of inserts is one announcement at its beginning and one
/// every so often, not one each.
const APART: Duration = Duration::from_millis(2);

/// The same, after so many tasks at once: they keep others busy for longer than that.
const APART_FOR_MANY: Duration = Duration::from_millis(20);
const MANY: usize = 100;

/// Between the name and the sender. No theme holds it.
const SEPARATOR: char = '\n';

/// Tells other processes that there is something to look at.
pub(super) struct Announcer {
    connections: Connections<Connector>,
    /// Tells this process's announcements from those of others: it need not hear its own.
    origin: String,
    /// When each thing was last announced; in the future if that is still to come.
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

    /// Announces it, without waiting for it.
    pub(super) fn announce(self: &Arc<Self>, what: Heard<'_>, count: usize) {
        let apart = if count < MANY { APART } else { APART_FOR_MANY };
        let (channel, name) = match what {
            Heard::Tasks(theme) => (TASKS, theme),
            Heard::Requests | Heard::Anything => (REQUESTS, ""),
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

    /// How long to wait with the next announcement; `None` if one is waiting already, which will do for this one too.
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

    /// A failure only means that others find the work by their next look.
    async fn send(&self, channel: &str, name: &str) {
        let sent = async {
            let mut lease = self.connections.lease().await?;
            let payload = format!("{name}{SEPARATOR}{}", self.origin);
            on_server!(lease, |conn| notify(conn, BY_ITSELF, channel, &payload).await)?;
            Ok::<_, crate::store::StoreError>(())
        };
        if let Err(error) = sent.await {
            log::debug!("cannot notify others on channel {channel}: {error}");
        }
    }
}

/// Announces waiting tasks of a theme inside the transaction that is open on `conn`: it is sent if that commits.
pub(super) async fn tell(conn: &mut AsyncPgConnection, theme: &str, origin: &str) -> QueryResult<()> {
    notify(conn, IN_TRANSACTION, TASKS, &format!("{theme}{SEPARATOR}{origin}")).await
}

const IN_TRANSACTION: &str = "SELECT pg_notify($1, $2)";

/// Nobody waits for the disk: what a crash of the server loses is found by the next look.
const BY_ITSELF: &str = "SELECT pg_notify($1, $2), set_config('synchronous_commit', 'off', true)";

async fn notify(conn: &mut AsyncPgConnection, sql: &'static str, channel: &str, payload: &str) -> QueryResult<()> {
    prepared(sql)
        .bind::<Text, _>(channel)
        .bind::<Text, _>(payload)
        .execute(conn)
        .await?;
    Ok(())
}

/// Hears what others announce, on a connection of its own that is made again whenever it is lost.
pub(super) struct Listener {
    connector: Connector,
    origin: String,
}

impl Listener {
    pub(super) fn new(connector: Connector, origin: String) -> Self {
        Self { connector, origin }
    }

    /// Never ends.
    pub(super) async fn run(self, heard: impl Fn(Heard)) {
        let mut backoff = Backoff::default();
        loop {
            let reason = self.listen(&heard, &mut backoff).await;
            let is_new = backoff.is_fresh();
            let wait = backoff.failed();
            // Said once for each outage: behind some poolers it never works.
            let level = if is_new { log::Level::Warn } else { log::Level::Debug };
            log::log!(
                level,
                "not listening for wake-ups, new tasks are found by looking; will try again in {wait:.1?}: {reason}"
            );
            // Even a sleep of no time lasts until the timer's next tick, a millisecond.
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
        }
    }

    /// Listens until the connection is lost, and says why.
    async fn listen(&self, heard: &impl Fn(Heard), backoff: &mut Backoff) -> String {
        let mut conn = match self.connector.patient().await {
            Ok(conn) => conn,
            Err(error) => return error.to_string(),
        };
        let subscribe = format!("LISTEN {TASKS}; LISTEN {REQUESTS}");
        if let Err(error) = conn.batch_execute(&subscribe).await {
            return error.to_string();
        }
        backoff.succeeded();
        // Whatever was announced before this moment was not heard.
        heard(Heard::Anything);
        let notifications = conn.notifications_stream();
        pin_mut!(notifications);
        loop {
            match notifications.next().await {
                Some(Ok(notification)) => self.hear(&notification.channel, &notification.payload, heard),
                Some(Err(error)) => return error.to_string(),
                None => return "the connection was closed".to_owned(),
            }
        }
    }

    fn hear(&self, channel: &str, payload: &str, heard: &impl Fn(Heard)) {
        let (name, origin) = payload.split_once(SEPARATOR).unwrap_or((payload, ""));
        if origin == self.origin {
            return;
        }
        match channel {
            TASKS => heard(Heard::Tasks(name)),
            _ => heard(Heard::Requests),
        }
    }
}
