//! A pool of connections to a database server.
//!
//! A connection goes back to the pool only if its last statement came to its end. The pool closes a connection whose statement failed in a
//! way that may be the connection's fault, got no answer in time, or was dropped by its caller. If a connection was lost, the pool closes
//! the idle ones, too. It checks a connection that has been idle for long before it gives that out, replaces old connections, and closes
//! idle ones until one is left.

mod shelf;
mod start;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::FixedOffset;
use deadpool::managed::Object;
use diesel::{
    ConnectionError, QueryResult,
    result::{DatabaseErrorKind, Error as DieselError},
};
use diesel_async::pooled_connection::PoolableConnection;
use futures_util::future::BoxFuture;
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    backoff::Backoff,
    store::{
        StoreError,
        error::{is_conflict, is_loss, is_outdated, is_read_only},
        time::ZONE,
        url::ServerUrl,
    },
};
use shelf::{Maker, Shelf, Taken};
use start::patiently;

/// How long a statement or a transaction may take. A server that no longer answers but keeps the connection must not hold up an actor for
/// ever: the network's own limits are a quarter of an hour.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection that has been idle for this long is checked with a statement before it is used. The time is longer than the interval of
/// beats (5 s by default): the heartbeats of an idle node need no check.
const CHECK_AFTER: Duration = Duration::from_secs(6);

/// The same for connections that add tasks. It is shorter, since this crate does not repeat an add that has failed.
const CHECK_FOR_CALLERS_AFTER: Duration = Duration::from_secs(1);

/// The most connections for people who look at many rows.
const LOOKS: usize = 2;

/// Makes connections to a server.
pub(in crate::store) trait Connect: Clone + Send + Sync + 'static {
    type Connection: PoolableConnection + Send + 'static;

    /// The same server, for connections that only read, and end a statement after 5 s.
    fn for_looks(&self) -> Self;

    fn connect(&self) -> impl Future<Output = Result<Self::Connection, Refusal>> + Send;

    /// After how long without a statement the server ends this connection; `None` if it has no such limit.
    fn idle_limit(connection: &mut Self::Connection) -> impl Future<Output = QueryResult<Option<Duration>>> + Send;
}

/// Why there is no connection.
#[derive(Debug)]
pub(in crate::store) enum Refusal {
    /// All connections of this process are in use.
    Busy,
    /// The server has no connection to give at present: it has reached a limit, or is starting. The text is the server's.
    ForNow(String),
    /// Any other reason.
    Other(String),
}

impl From<ConnectionError> for Refusal {
    fn from(error: ConnectionError) -> Self {
        Self::of(error)
    }
}

impl Refusal {
    fn of(error: impl std::fmt::Display) -> Self {
        Self::Other(error.to_string())
    }

    /// The error for a caller that waited for this time for a connection to `url`.
    fn on(self, url: &ServerUrl, waited: Duration) -> StoreError {
        let shown = url.shown().to_owned();
        match self {
            Self::Busy => StoreError::NoConnection {
                pool_size: url.pool_size,
                waited,
            },
            Self::ForNow(reason) => StoreError::ServerFull {
                url: shown,
                waited,
                reason,
            },
            Self::Other(reason) => StoreError::Connect { url: shown, reason },
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Busy => f.write_str("all connections are in use"),
            Self::ForNow(reason) | Self::Other(reason) => f.write_str(reason),
        }
    }
}

/// Cloneable handle on the connections to one server.
#[derive(Clone)]
pub(in crate::store) struct Connections<K: Connect> {
    shared: Arc<Shelf<K>>,
    /// One connection for heartbeats only: they must not queue behind other statements.
    heartbeats: Arc<Shelf<K>>,
    /// A few for people who look at many rows.
    looks: Arc<Shelf<K>>,
    connector: K,
    url: ServerUrl,
}

/// A connection that a caller has taken from the pool.
pub(in crate::store) struct Conn<K: Connect> {
    connection: Option<Object<Maker<K>>>,
    shelf: Arc<Shelf<K>>,
    state: State,
    /// How often the connection was replaced.
    renewed: u32,
    /// Given back after the connection, so that the next caller with this seat finds a connection.
    _seat: OwnedSemaphorePermit,
}

/// How often a taken connection is replaced at most.
const RENEWALS: u32 = 3;

/// The state of a connection, concluded from its last statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Sound,
    /// The connection may be the reason why the statement failed or did not end. It is closed.
    Doubtful,
    /// The cause may concern the idle connections, too: for example, the server was restarted, or accepts no writes any more.
    Lost,
    /// The tables have changed: the server refuses the connection's prepared statements, and will do so on the idle connections.
    Outdated,
}

impl<K: Connect> Connections<K> {
    pub(in crate::store) fn new(url: &ServerUrl, connector: &K) -> Result<Self, StoreError> {
        Ok(Self {
            // One stays open, however long it is idle: if none were left, a full server would stop this process.
            shared: Arc::new(Shelf::new(url, url.pool_size, 1, connector)?),
            heartbeats: Arc::new(Shelf::new(url, 1, 1, connector)?),
            looks: Arc::new(Shelf::new(url, LOOKS, 0, &connector.for_looks())?),
            connector: connector.clone(),
            url: url.clone(),
        })
    }

    /// Makes the first connection, so that a fault of the URL is reported now. If the server is full, waits.
    pub(in crate::store) async fn open(&self) -> Result<(), StoreError> {
        let deadline = || Instant::now() + self.url.pool_timeout;
        patiently(&self.url, || self.shared.take(deadline(), CHECK_AFTER)).await?;
        Ok(())
    }

    /// Closes the idle connections, and makes one outside the pool: a process that starts has one at a time. If the server is full, waits.
    pub(in crate::store) async fn single<T, W>(&self, connect: impl FnMut() -> W) -> Result<T, StoreError>
    where
        W: Future<Output = Result<T, Refusal>>,
    {
        self.shared.close_idle();
        patiently(&self.url, connect).await
    }

    pub(in crate::store) async fn acquire(&self) -> Result<Conn<K>, StoreError> {
        self.acquire_from(&self.shared, CHECK_AFTER).await
    }

    /// A connection for people who look at many rows.
    pub(in crate::store) async fn look(&self) -> Result<Conn<K>, StoreError> {
        self.acquire_from(&self.looks, CHECK_AFTER).await
    }

    /// A connection for adding tasks.
    pub(in crate::store) async fn acquire_to_add(&self) -> Result<Conn<K>, StoreError> {
        self.acquire_from(&self.shared, CHECK_FOR_CALLERS_AFTER).await
    }

    /// The connection for heartbeats. If the server gives none, the heartbeat waits for a connection of the shared pool.
    pub(in crate::store) async fn heartbeat(&self) -> Result<Conn<K>, StoreError> {
        let deadline = Instant::now() + self.url.pool_timeout;
        match self.heartbeats.take(deadline, CHECK_AFTER).await {
            Ok(taken) => {
                // The pool is tidied here because every node beats, even if it does nothing else.
                self.shared.tidy(self.url.idle_timeout);
                self.looks.tidy(self.url.idle_timeout);
                if self.shared.is_to_share() {
                    let shared = Arc::clone(&self.shared);
                    tokio::spawn(async move { shared.share().await });
                }
                Ok(Conn::of(taken, &self.heartbeats))
            }
            Err(Refusal::ForNow(_)) => self.acquire().await,
            Err(refusal) => Err(refusal.on(&self.url, self.url.pool_timeout)),
        }
    }

    pub(in crate::store) fn url(&self) -> &ServerUrl {
        &self.url
    }

    /// Waits until a connection of this shelf is free or, if it has none, until the server gives one.
    async fn acquire_from(&self, shelf: &Arc<Shelf<K>>, check_after: Duration) -> Result<Conn<K>, StoreError> {
        let deadline = Instant::now() + self.url.pool_timeout;
        let mut backoff = Backoff::default();
        let taken = loop {
            match shelf.take(deadline, check_after).await {
                Err(Refusal::ForNow(_)) if Instant::now() < deadline => {
                    let wake = deadline.min(Instant::now() + backoff.failed());
                    tokio::time::sleep_until(wake.into()).await;
                }
                taken => break taken,
            }
        };
        shelf.tidy(self.url.idle_timeout);
        let taken = taken.map_err(|refusal| refusal.on(&self.url, self.url.pool_timeout))?;
        Ok(Conn::of(taken, shelf))
    }
}

impl<K: Connect> Conn<K> {
    fn of(taken: Taken<K>, shelf: &Arc<Shelf<K>>) -> Self {
        Self {
            connection: Some(taken.object),
            shelf: Arc::clone(shelf),
            state: State::Sound,
            renewed: 0,
            _seat: taken.seat,
        }
    }

    /// The zone of the columns of time.
    pub(in crate::store) fn zone(&self) -> FixedOffset {
        self.shelf.zone
    }

    /// The connection, for one statement or one transaction. The caller passes the result to [`end`](Self::end). Use `on_server!`.
    pub(in crate::store) fn begin(&mut self) -> Option<&mut K::Connection> {
        self.state = State::Doubtful;
        self.connection.as_deref_mut().map(|pooled| &mut **pooled)
    }

    pub(in crate::store) fn end<T>(&mut self, result: &QueryResult<T>) {
        self.state = result.as_ref().err().map_or(State::Sound, State::after);
    }

    /// Replaces the connection if the server has refused a statement that was prepared before the tables changed, and has done nothing.
    /// Returns whether the caller is to run its statement again.
    pub(in crate::store) async fn renew(&mut self) -> bool {
        if self.state != State::Outdated || self.renewed >= RENEWALS {
            return false;
        }
        self.close();
        // Without a new connection, the caller gets the error of its statement.
        let Ok(connection) = self.shelf.connection(CHECK_AFTER).await else {
            return false;
        };
        say!(Debug, "tables have changed: statements are prepared anew");
        self.connection = Some(connection);
        self.state = State::Sound;
        self.renewed += 1;
        true
    }

    /// Closes the connection unless it is sound. Closes the idle connections, too, if the cause concerns them.
    fn close(&mut self) {
        if self.state == State::Sound {
            if let Some(pooled) = &mut self.connection {
                pooled.used = Instant::now();
            }
            return;
        }
        if let Some(connection) = self.connection.take() {
            drop(Object::take(connection));
        }
        if matches!(self.state, State::Lost | State::Outdated) {
            self.shelf.close_idle();
        }
    }
}

impl<K: Connect> Drop for Conn<K> {
    fn drop(&mut self) {
        self.close();
    }
}

impl State {
    fn after(error: &DieselError) -> Self {
        use DatabaseErrorKind::{ClosedConnection, ReadOnlyTransaction, UnableToSendCommand, Unknown};
        match error {
            DieselError::DatabaseError(UnableToSendCommand | ClosedConnection | ReadOnlyTransaction, _) => Self::Lost,
            DieselError::DatabaseError(Unknown, info) => match info.message() {
                text if is_conflict(text) => Self::Sound,
                text if is_outdated(text) => Self::Outdated,
                text if is_loss(text) || is_read_only(text) => Self::Lost,
                _ => Self::Doubtful,
            },
            // Errors about rows leave the connection sound.
            DieselError::NotFound | DieselError::DatabaseError(..) => Self::Sound,
            _ => Self::Doubtful,
        }
    }
}

/// Runs a statement on a database of this zone. Ends with an error if the server gives no answer within [`PATIENCE`]. Boxed, since the
/// drivers' futures are large and deep.
pub(in crate::store) async fn in_time<T>(
    zone: FixedOffset,
    statement: BoxFuture<'_, QueryResult<T>>,
) -> QueryResult<T> {
    match tokio::time::timeout(PATIENCE, ZONE.scope(zone, statement)).await {
        Ok(answered) => answered,
        Err(_) => Err(closed(format!("the server gave no answer within {PATIENCE:?}"))),
    }
}

/// The error of a connection that was lost.
pub(in crate::store) fn closed(reason: String) -> DieselError {
    DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new(reason))
}

/// The error of a statement whose work the server may have committed: no caller may take it for a refusal.
pub(in crate::store) fn lost_answer(error: DieselError) -> DieselError {
    match error {
        DieselError::DatabaseError(_, info) => DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, info),
        other => closed(other.to_string()),
    }
}

/// The error of a `COMMIT`: the server may have committed, unless the error is a conflict with other transactions.
pub(in crate::store) fn lost_end(error: DieselError) -> DieselError {
    match &error {
        DieselError::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => error,
        DieselError::DatabaseError(_, info) if is_conflict(info.message()) => error,
        _ => lost_answer(error),
    }
}

/// Runs one diesel-async expression, a statement or a whole transaction, on the connection of a [`Conn`]. If the server refuses a statement
/// that was prepared before the tables changed, the whole expression runs again: if its statements commit by themselves, all but the last
/// must be repeatable.
macro_rules! on_server {
    ($held:expr, |$conn:ident| $query:expr) => {{
        let held = &mut $held;
        loop {
            let zone = held.zone();
            let result = match held.begin() {
                Some($conn) => $crate::store::server::pool::in_time(zone, Box::pin(async { $query })).await,
                None => Err($crate::store::server::pool::closed(
                    "the connection was given back".to_owned(),
                )),
            };
            held.end(&result);
            if !held.renew().await {
                break result;
            }
        }
    }};
}
pub(in crate::store) use on_server;

/// Runs a diesel-async expression in a transaction. If the expression fails, the transaction is rolled back.
macro_rules! in_transaction {
    ($held:expr, |$conn:ident| $work:expr) => {
        $crate::store::server::pool::on_server!($held, |$conn| {
            use diesel_async::SimpleAsyncConnection;
            $conn.batch_execute("START TRANSACTION").await?;
            let done = $work;
            match done.is_ok() {
                true => $conn.batch_execute("COMMIT").await.map_err($crate::store::server::pool::lost_end)?,
                // If `ROLLBACK` fails, the connection is gone, and the server rolls back: the caller gets the first error. MySQL's
                // driver closes the connection when it refuses a packet as too large.
                false => drop($conn.batch_execute("ROLLBACK").await),
            }
            done
        })
    };
}
pub(in crate::store) use in_transaction;
