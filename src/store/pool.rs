//! Connections to a database server, pooled.
//!
//! A connection goes back to the pool only if its last statement came to its end: one that failed in a way that may be the
//! connection's fault, that gave no answer in time, or whose caller was dropped half-way is closed. If it was lost, the idle ones
//! are closed with it.

use std::time::Duration;

use deadpool::managed::{Manager, Metrics, Object, Pool, PoolError, QueueMode, RecycleError, RecycleResult, Timeouts};
use diesel::{
    ConnectionError, ConnectionResult, QueryResult,
    result::{DatabaseErrorKind, Error as DieselError},
};
use diesel_async::pooled_connection::PoolableConnection;
use futures_util::future::BoxFuture;

use super::{
    StoreError,
    error::{is_conflict, is_loss, is_outdated, is_read_only},
    url::ServerUrl,
};

/// How long a statement may take. A server that has stopped to answer without closing the connection must not hold an actor
/// for ever; the network's own limits are a quarter of an hour.
const PATIENCE: Duration = Duration::from_secs(30);

/// Knows how to reach a server.
pub(super) trait Connect: Clone + Send + Sync + 'static {
    type Connection: PoolableConnection + Send + 'static;

    fn connect(&self) -> impl Future<Output = ConnectionResult<Self::Connection>> + Send;
}

/// Makes connections for a pool.
pub(super) struct Maker<K>(K);

/// Cloneable handle on the connections to one server.
#[derive(Clone)]
pub(super) struct Connections<K: Connect> {
    shared: Pool<Maker<K>>,
    /// One connection for heartbeats only: they must not queue behind anything.
    heartbeats: Pool<Maker<K>>,
    url: ServerUrl,
}

/// A connection, taken.
pub(super) struct Lease<K: Connect> {
    connection: Option<Object<Maker<K>>>,
    pool: Pool<Maker<K>>,
    state: State,
    /// How often it was replaced.
    renewed: u32,
}

/// How often the connection of one statement is replaced at most.
const RENEWALS: u32 = 3;

/// A connection's, as far as its last statement tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Sound,
    /// It may be the reason why the statement failed or did not end.
    Doubtful,
    /// What has hit it may have hit the idle ones: the server was restarted, say, or takes no writes any more.
    Lost,
    /// What it keeps prepared is refused, and what the idle ones keep will be: the tables have changed.
    Outdated,
}

impl<K: Connect> Manager for Maker<K> {
    type Type = K::Connection;
    type Error = ConnectionError;

    async fn create(&self) -> ConnectionResult<K::Connection> {
        self.0.connect().await
    }

    async fn recycle(&self, connection: &mut K::Connection, _: &Metrics) -> RecycleResult<ConnectionError> {
        match connection.is_broken() {
            true => Err(RecycleError::message("it was closed, or left inside a transaction")),
            false => Ok(()),
        }
    }
}

impl<K: Connect> Connections<K> {
    /// Makes the pools and the first connection, so that what is wrong with the URL is said now.
    pub(super) async fn open(url: &ServerUrl, connector: &K) -> Result<Self, StoreError> {
        let connections = Self {
            shared: pool(url, url.pool_size, connector)?,
            heartbeats: pool(url, 1, connector)?,
            url: url.clone(),
        };
        connections.lease().await?;
        Ok(connections)
    }

    pub(super) async fn lease(&self) -> Result<Lease<K>, StoreError> {
        self.lease_of(&self.shared).await
    }

    pub(super) async fn heartbeat(&self) -> Result<Lease<K>, StoreError> {
        self.lease_of(&self.heartbeats).await
    }

    pub(super) fn url(&self) -> &ServerUrl {
        &self.url
    }

    async fn lease_of(&self, pool: &Pool<Maker<K>>) -> Result<Lease<K>, StoreError> {
        // Boxed: it holds all that connecting needs, down to the handshake of TLS.
        let taken: BoxFuture<'_, _> = Box::pin(pool.get());
        let connection = taken.await.map_err(|error| self.refusal(error))?;
        Ok(Lease {
            connection: Some(connection),
            pool: pool.clone(),
            state: State::Sound,
            renewed: 0,
        })
    }

    fn refusal(&self, error: PoolError<ConnectionError>) -> StoreError {
        let reason = match error {
            PoolError::Timeout(deadpool::managed::TimeoutType::Wait) => {
                return StoreError::NoConnection {
                    pool_size: self.url.pool_size,
                    waited: self.url.pool_timeout,
                };
            }
            PoolError::Timeout(_) => format!("no connection within {:?}", self.url.connect_timeout),
            PoolError::Backend(error) => error.to_string(),
            error => error.to_string(),
        };
        StoreError::Connect {
            url: self.url.shown().to_owned(),
            reason,
        }
    }
}

fn pool<K: Connect>(url: &ServerUrl, size: usize, connector: &K) -> Result<Pool<Maker<K>>, StoreError> {
    let timeouts = Timeouts {
        wait: Some(url.pool_timeout),
        create: Some(url.connect_timeout),
        recycle: Some(url.connect_timeout),
    };
    Pool::builder(Maker(connector.clone()))
        .max_size(size)
        .timeouts(timeouts)
        // Few busy connections rather than many idle ones.
        .queue_mode(QueueMode::Lifo)
        .runtime(deadpool::Runtime::Tokio1)
        .build()
        .map_err(|error| StoreError::Database(error.to_string()))
}

impl<K: Connect> Lease<K> {
    /// The connection, for one statement or one transaction, which [`end`](Self::end) is told of. Use `on_server!`.
    pub(super) fn begin(&mut self) -> Option<&mut K::Connection> {
        self.state = State::Doubtful;
        self.connection.as_deref_mut()
    }

    pub(super) fn end<T>(&mut self, result: &QueryResult<T>) {
        self.state = result.as_ref().err().map_or(State::Sound, State::after);
    }

    /// Whether the statement is to be done again, on a connection that has nothing prepared yet: the server has refused one
    /// that was prepared before the tables changed, and has done nothing.
    pub(super) async fn renew(&mut self) -> bool {
        if self.state != State::Outdated || self.renewed >= RENEWALS {
            return false;
        }
        self.close();
        let fresh: BoxFuture<'_, _> = Box::pin(self.pool.get());
        // Who asked is told the server's words.
        let Ok(connection) = fresh.await else {
            return false;
        };
        log::debug!("tables have changed: statements are prepared anew");
        self.connection = Some(connection);
        self.state = State::Sound;
        self.renewed += 1;
        true
    }

    /// Closes the connection, unless it is sound, and the idle ones with it if they are as it is.
    fn close(&mut self) {
        if self.state == State::Sound {
            return;
        }
        if let Some(connection) = self.connection.take() {
            drop(Object::take(connection));
        }
        if matches!(self.state, State::Lost | State::Outdated) {
            self.pool.retain(|_, _| false);
        }
    }
}

impl<K: Connect> Drop for Lease<K> {
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
            // They are about rows.
            DieselError::NotFound | DieselError::DatabaseError(..) => Self::Sound,
            _ => Self::Doubtful,
        }
    }
}

/// Ends with an error if the server gives no answer. Boxed: the drivers' futures are large and deep.
pub(super) async fn in_time<T>(statement: BoxFuture<'_, QueryResult<T>>) -> QueryResult<T> {
    match tokio::time::timeout(PATIENCE, statement).await {
        Ok(answered) => answered,
        Err(_) => Err(closed(format!("the server gave no answer within {PATIENCE:?}"))),
    }
}

/// The error of a connection that is not there any more.
pub(super) fn closed(reason: String) -> DieselError {
    DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new(reason))
}

/// The error of a statement whose work is done, and may be there to stay: nobody is to take it for a refusal.
pub(super) fn lost_answer(error: DieselError) -> DieselError {
    match error {
        DieselError::DatabaseError(_, info) => DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, info),
        other => closed(other.to_string()),
    }
}

/// The error of the end of a transaction: it may have been made, unless others are in its way.
pub(super) fn lost_end(error: DieselError) -> DieselError {
    match &error {
        DieselError::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => error,
        DieselError::DatabaseError(_, info) if is_conflict(info.message()) => error,
        _ => lost_answer(error),
    }
}

/// Runs one diesel-async expression, a statement or a whole transaction, on the connection of a [`Lease`]. It is run again if the
/// server refuses what was prepared before the tables changed: of several statements that commit by themselves, those before
/// must be such that they may be repeated.
macro_rules! on_server {
    ($lease:expr, |$conn:ident| $query:expr) => {{
        let lease = &mut $lease;
        loop {
            let result = match lease.begin() {
                Some($conn) => $crate::store::pool::in_time(Box::pin(async { $query })).await,
                None => Err($crate::store::pool::closed("the connection was given back".to_owned())),
            };
            lease.end(&result);
            if !lease.renew().await {
                break result;
            }
        }
    }};
}
pub(super) use on_server;

/// Runs a diesel-async expression in a transaction. One that fails is rolled back.
macro_rules! in_transaction {
    ($lease:expr, |$conn:ident| $work:expr) => {
        $crate::store::pool::on_server!($lease, |$conn| {
            use diesel_async::SimpleAsyncConnection;
            $conn.batch_execute("START TRANSACTION").await?;
            let done = $work;
            match done.is_ok() {
                true => $conn.batch_execute("COMMIT").await.map_err($crate::store::pool::lost_end)?,
                // Where that fails, the connection is gone, and the server rolls back: what failed before is what counts. MySQL's
                // driver closes the connection when it refuses a packet as too large.
                false => drop($conn.batch_execute("ROLLBACK").await),
            }
            done
        })
    };
}
pub(super) use in_transaction;
