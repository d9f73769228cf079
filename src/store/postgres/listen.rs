//! Listening for the announcements of other processes.
//!
//! A server, a proxy or a pooler may accept a `LISTEN` and deliver nothing: behind a pooler that gives each transaction another session, an
//! announcement reaches the process that has the session then. So a process listens for its own announcements, too. As long as none comes
//! back, the process looks for work as on databases that announce nothing.
//!
//! Listening takes a connection, and a process can work without it. So it takes none if the server has few left.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use futures_util::{StreamExt, pin_mut};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::{
    announce::{Announcer, REQUESTS, SEPARATOR, TASKS},
    connect::Connector,
};
use crate::{backoff::Backoff, store::backend::Announcement};

/// How often this process checks whether it hears announcements.
const ASK_EVERY: Duration = Duration::from_secs(30);

/// How long the announcement of such a check may take to come back.
const COMES_BACK_WITHIN: Duration = Duration::from_secs(5);

/// The longest time between two tries if listening was of no use.
const SELDOM: Duration = Duration::from_secs(300);

/// This process takes a connection to listen only if the server has this many left, for nodes that start and pools that grow.
const ROOM_TO_LISTEN: i64 = 5;

/// If the server has fewer left, this process gives the listening connection back.
const ROOM_TO_GO_ON: i64 = 2;

const DEAF: &str = "what this process announces does not come back to it, so there is a connection pooler in between that gives \
    each transaction another session; connect to the server itself, or through a pooler of sessions, to hear of new tasks at once";

/// Hears the announcements of other processes, on a separate connection, which it makes again whenever the connection is lost.
pub(super) struct Listener {
    pub(super) connector: Connector,
    pub(super) announcer: Arc<Announcer>,
    /// Whether this process hears its own announcements.
    pub(super) hears: Arc<AtomicBool>,
}

impl Listener {
    /// Never ends.
    pub(super) async fn run(self, heard: impl Fn(Announcement)) {
        let mut backoff = Backoff::default();
        loop {
            let reason = self.listen(&heard, &mut backoff).await;
            let has_heard = self.hears.swap(false, Ordering::Relaxed);
            if has_heard {
                // Scanners that slept until an announcement look by themselves from now on.
                heard(Announcement::Anything);
            }
            // The warning comes once for each outage: behind some poolers, listening never works.
            let level = if backoff.is_fresh() {
                log::Level::Warn
            } else {
                log::Level::Debug
            };
            let wait = match (backoff.failed(), &reason) {
                (_, Silence::Useless(_)) if !has_heard => SELDOM.mul_f64(0.5 + fastrand::f64() / 2.0),
                (wait, _) => wait,
            };
            let (Silence::Lost(reason) | Silence::Useless(reason)) = reason;
            say!(at level,
                "not listening for wake-ups, new tasks are found by looking; will try again in {wait:.1?}: {reason}"
            );
            // Even a sleep of no time lasts until the timer's next tick, a millisecond.
            if !wait.is_zero() {
                sleep(wait).await;
            }
        }
    }

    /// Listens as long as that is of use; answers why it has stopped.
    async fn listen(&self, heard: &impl Fn(Announcement), backoff: &mut Backoff) -> Silence {
        // If the room is not known, the server itself refuses a connection.
        let room = self.announcer.room().await.ok().flatten();
        if let Some(left) = room.filter(|left| *left < ROOM_TO_LISTEN) {
            return few(left);
        }
        let mut conn = match self.connector.patient().await {
            Ok(conn) => conn,
            Err(refusal) => return Silence::Lost(refusal.to_string()),
        };
        let subscribe = format!(
            "LISTEN {TASKS}; LISTEN {REQUESTS}; LISTEN {}",
            self.announcer.echo_channel()
        );
        if let Err(error) = conn.batch_execute(&subscribe).await {
            return Silence::Lost(error.to_string());
        }
        // Earlier announcements were not heard.
        heard(Announcement::Anything);
        let echo = Notify::new();
        let silence = tokio::select! {
            reason = self.hear_all(&mut conn, heard, &echo) => Silence::Lost(reason),
            silence = self.ask(&echo, backoff) => silence,
        };
        // A pooler gives this session to other clients afterwards.
        let _ = timeout(COMES_BACK_WITHIN, conn.batch_execute("UNLISTEN *")).await;
        silence
    }

    /// Hears announcements until the connection is lost; answers why it was lost.
    async fn hear_all(&self, conn: &mut AsyncPgConnection, heard: &impl Fn(Announcement), echo: &Notify) -> String {
        let own = self.announcer.echo_channel();
        let notifications = conn.notifications_stream();
        pin_mut!(notifications);
        loop {
            match notifications.next().await {
                Some(Ok(notification)) if notification.channel == own => echo.notify_one(),
                Some(Ok(notification)) => self.hear(&notification.channel, &notification.payload, heard),
                Some(Err(error)) => return error.to_string(),
                None => return "the connection was closed".to_owned(),
            }
        }
    }

    fn hear(&self, channel: &str, payload: &str, heard: &impl Fn(Announcement)) {
        let (name, origin) = payload.split_once(SEPARATOR).unwrap_or((payload, ""));
        if origin == self.announcer.origin() {
            return;
        }
        match channel {
            TASKS => heard(Announcement::Tasks(name)),
            _ => heard(Announcement::Requests),
        }
    }

    /// Checks from time to time whether this process hears itself, until it does not, or until other processes need the connection more.
    async fn ask(&self, echo: &Notify, backoff: &mut Backoff) -> Silence {
        loop {
            // If the announcement cannot be sent, the listening connection will be lost, too, or the pool is busy.
            if let Ok(room) = self.announcer.echo().await {
                if timeout(COMES_BACK_WITHIN, echo.notified()).await.is_err() {
                    return Silence::Useless(DEAF.to_owned());
                }
                self.hears.store(true, Ordering::Relaxed);
                if backoff.succeeded() {
                    say!(Info, "listening for wake-ups again");
                }
                if let Some(left) = room.filter(|left| *left < ROOM_TO_GO_ON) {
                    return few(left);
                }
            }
            sleep(ASK_EVERY).await;
        }
    }
}

/// Why this process hears no announcements.
enum Silence {
    /// The connection was not made, or was lost.
    Lost(String),
    /// There is a connection, or could be, but it is better to have none.
    Useless(String),
}

fn few(left: i64) -> Silence {
    Silence::Useless(format!(
        "the server has {left} connections left, which are for nodes that cannot do without; raise its limit of connections"
    ))
}
