//! The connections for one purpose (heartbeats, or everything else): at most the size of the pool, and no more than the server gives.
//!
//! deadpool keeps the connections. *Seats* decide which caller may have one. If a caller has a seat, and the server refuses a further
//! connection while this process has others, the shelf takes the seat away, and the caller queues for the others. From time to time the
//! shelf puts a seat back, to ask the server again.
//!
//! Processes that run leave room for processes that start: a process with more than one pooled connection asks from time to time whether
//! the server could give as many as a start takes. If not, the process gives half of its connections back.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chrono::FixedOffset;
use deadpool::managed::{Manager, Metrics, Object, Pool, PoolError, QueueMode, RecycleError, RecycleResult, Timeouts};
use diesel_async::{SimpleAsyncConnection, pooled_connection::PoolableConnection};
use futures_util::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Connect, Refusal};
use crate::{
    repeats::Repeats,
    store::{StoreError, url::ServerUrl},
};

/// After the server has refused a connection, this process asks for no further one for this time.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// The same after this process has given connections back for others. It is longer, so that a process that waits for its start can try
/// many times in between.
const ASK_AGAIN_AFTER_SHARING: Duration = Duration::from_secs(60);

/// How many connections a start needs: two for the process itself, and one more that the server could give.
const TAKEN_BY_START: usize = 3;

/// For how long a connection that is too old serves on if the server gives no new one.
const RESPITE: Duration = Duration::from_secs(60);

/// A process that gives connections back for others keeps at least this many seats: it must go on working, even if the server's limit is
/// meant for this process alone. Idle connections of these seats are closed, too.
const KEPT_WHEN_SHARING: usize = 2;

/// How often the pool looks for connections that have been idle for too long.
const TIDY: Duration = Duration::from_millis(100);

/// How often the pool looks whether the server has connections left for others.
const SHARE: Duration = Duration::from_secs(15);

/// A connection that has been idle for the server's idle limit divided by this number is checked before it is used.
const PART_OF_LIMIT: u32 = 3;

/// Makes connections for deadpool.
pub(in crate::store) struct Maker<K> {
    connector: K,
    max_lifetime: Duration,
}

/// A connection with its times.
pub(in crate::store) struct Pooled<C> {
    connection: C,
    /// When the connection was last given back.
    pub(in crate::store) used: Instant,
    /// When the connection is to be replaced.
    expires: Instant,
    /// After how long without a statement the server ends the connection.
    idle_limit: Option<Duration>,
}

impl<C> Deref for Pooled<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.connection
    }
}

impl<C> DerefMut for Pooled<C> {
    fn deref_mut(&mut self) -> &mut C {
        &mut self.connection
    }
}

impl<K: Connect> Manager for Maker<K> {
    type Type = Pooled<K::Connection>;
    type Error = Refusal;

    async fn create(&self) -> Result<Self::Type, Refusal> {
        let mut connection = self.connector.connect().await?;
        let idle_limit = K::idle_limit(&mut connection).await.map_err(Refusal::of)?;
        let now = Instant::now();
        // Up to a tenth shorter at random: connections that were made together do not expire together.
        let lifetime = self.max_lifetime.mul_f64(1.0 - fastrand::f64() / 10.0);
        Ok(Pooled {
            connection,
            used: now,
            expires: now + lifetime,
            idle_limit,
        })
    }

    async fn recycle(&self, pooled: &mut Self::Type, _: &Metrics) -> RecycleResult<Refusal> {
        match pooled.is_broken() {
            true => Err(RecycleError::message("it was closed, or left inside a transaction")),
            false => Ok(()),
        }
    }
}

/// A connection with its seat.
pub(in crate::store) struct Taken<K: Connect> {
    pub(in crate::store) object: Object<Maker<K>>,
    pub(in crate::store) seat: OwnedSemaphorePermit,
}

/// The connections for one purpose.
pub(in crate::store) struct Shelf<K: Connect> {
    pub(in crate::store) pool: Pool<Maker<K>>,
    seats: Arc<Semaphore>,
    state: Mutex<State>,
    connect_timeout: Duration,
    pub(super) zone: FixedOffset,
    /// How many connections stay open, however long they are idle.
    stay: usize,
}

struct State {
    /// How many seats are taken away.
    missing: usize,
    /// The server's words when it last refused a connection.
    refusal: String,
    /// From when on the next seat may be put back.
    ask_again: Instant,
    refusals: Repeats<()>,
    tidied: Instant,
    shared: Instant,
}

impl<K: Connect> Shelf<K> {
    pub(in crate::store) fn new(url: &ServerUrl, size: usize, stay: usize, connector: &K) -> Result<Self, StoreError> {
        let maker = Maker {
            connector: connector.clone(),
            max_lifetime: url.max_lifetime,
        };
        let timeouts = Timeouts {
            create: Some(url.connect_timeout),
            ..Timeouts::default()
        };
        let pool = Pool::builder(maker)
            .max_size(size)
            .timeouts(timeouts)
            // The connection used last goes out first, so that few connections are busy, and the others can be closed.
            .queue_mode(QueueMode::Lifo)
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .map_err(|error| StoreError::Database(error.to_string()))?;
        Ok(Self {
            pool,
            seats: Arc::new(Semaphore::new(size)),
            state: Mutex::new(State {
                missing: 0,
                refusal: String::new(),
                ask_again: Instant::now(),
                refusals: Repeats::default(),
                tidied: Instant::now(),
                shared: Instant::now(),
            }),
            connect_timeout: url.connect_timeout,
            zone: url.zone,
            stay,
        })
    }

    /// Takes a connection. Waits for a seat until `deadline`. A connection that has been idle for `check_after` is checked first.
    pub(in crate::store) async fn take(&self, deadline: Instant, check_after: Duration) -> Result<Taken<K>, Refusal> {
        loop {
            self.put_back_a_seat();
            let seat = tokio::time::timeout_at(deadline.into(), Arc::clone(&self.seats).acquire_owned()).await;
            // The seats are never closed.
            let Ok(Ok(seat)) = seat else {
                return Err(self.busy());
            };
            match self.connection(check_after).await {
                Ok(object) => return Ok(Taken { object, seat }),
                Err(Refusal::ForNow(reason)) if self.pool.status().size > 0 => self.take_away(seat, reason),
                Err(refusal) => return Err(refusal),
            }
        }
    }

    /// Gives a connection to the holder of a seat.
    pub(in crate::store) async fn connection(&self, check_after: Duration) -> Result<Object<Maker<K>>, Refusal> {
        loop {
            // Boxed: the future holds everything that connecting needs, down to the TLS handshake.
            let taken: BoxFuture<'_, _> = Box::pin(self.pool.get());
            let mut object = taken.await.map_err(|error| self.refusal(error))?;
            if self.is_there(&mut object, check_after).await {
                self.renew(&mut object).await;
                return Ok(object);
            }
            drop(Object::take(object));
        }
    }

    fn refusal(&self, error: PoolError<Refusal>) -> Refusal {
        match error {
            PoolError::Timeout(_) => Refusal::Other(format!("no connection within {:?}", self.connect_timeout)),
            PoolError::Backend(refusal) => refusal,
            error => Refusal::Other(error.to_string()),
        }
    }

    /// Whether the connection still works. It is checked with a statement only if it was idle for long: a server, a proxy or a firewall may
    /// have ended it.
    async fn is_there(&self, pooled: &mut Pooled<K::Connection>, check_after: Duration) -> bool {
        let limit = pooled.idle_limit.map_or(check_after, |limit| limit / PART_OF_LIMIT);
        if pooled.used.elapsed() < limit.min(check_after) {
            return true;
        }
        let asked: BoxFuture<'_, _> = Box::pin(pooled.connection.batch_execute("SELECT 1"));
        let answer = tokio::time::timeout(self.connect_timeout, asked).await;
        if answer.is_err() {
            // A proxy or a firewall has dropped the connection without closing it, and probably the other idle ones, too.
            self.close_idle();
        }
        matches!(answer, Ok(Ok(())))
    }

    /// Replaces a connection that is too old. The new one is made first: if the server is full, the old one serves on.
    async fn renew(&self, pooled: &mut Pooled<K::Connection>) {
        if pooled.expires > Instant::now() {
            return;
        }
        let made: BoxFuture<'_, _> = Box::pin(self.pool.manager().create());
        match tokio::time::timeout(self.connect_timeout, made).await {
            Ok(Ok(fresh)) => *pooled = fresh,
            _ => pooled.expires = Instant::now() + RESPITE,
        }
    }

    // ---- seats ----

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn busy(&self) -> Refusal {
        let state = self.state();
        match state.missing {
            0 => Refusal::Busy,
            _ => Refusal::ForNow(state.refusal.clone()),
        }
    }

    fn take_away(&self, seat: OwnedSemaphorePermit, reason: String) {
        seat.forget();
        let mut state = self.state();
        state.missing += 1;
        state.ask_again = state.ask_again.max(Instant::now() + ASK_AGAIN);
        if let Some(said) = state.refusals.say((), &reason) {
            say!(
                Warn,
                "the database server gives this process no more connections than the {} it has, callers wait for one of those: {said}",
                self.pool.status().size
            );
        }
        state.refusal = reason;
    }

    fn put_back_a_seat(&self) {
        let mut state = self.state();
        if state.missing > 0 && state.ask_again <= Instant::now() {
            state.missing -= 1;
            state.ask_again = Instant::now() + ASK_AGAIN;
            self.seats.add_permits(1);
        }
    }

    // ---- idle connections ----

    /// Closes connections that have been idle for `idle_timeout`, until `stay` connections are left.
    pub(in crate::store) fn tidy(&self, idle_timeout: Duration) {
        let mut state = self.state();
        if state.tidied.elapsed() < TIDY {
            return;
        }
        state.tidied = Instant::now();
        drop(state);
        self.close_but(self.stay, idle_timeout);
    }

    /// Closes connections that have been idle for the time `idle`, until `stay` connections are left.
    fn close_but(&self, stay: usize, idle: Duration) {
        let mut spare = self.pool.status().size.saturating_sub(stay);
        // deadpool begins with the connection that was used longest ago.
        self.pool.retain(|pooled, _| {
            let closes = spare > 0 && pooled.used.elapsed() >= idle;
            spare -= usize::from(closes);
            !closes
        });
    }

    // ---- room for others ----

    /// Whether it is time to look whether the server has room for others.
    pub(in crate::store) fn is_to_share(&self) -> bool {
        let mut state = self.state();
        let is_time = state.shared.elapsed() >= SHARE && self.pool.status().size > self.stay;
        if is_time {
            state.shared = Instant::now();
        }
        is_time
    }

    /// Gives half of the connections back if the server has too few for a process that starts.
    pub(in crate::store) async fn share(&self) {
        let asked: BoxFuture<'_, _> = Box::pin(self.take_as_a_start_does());
        if let Ok(Err(Refusal::ForNow(reason))) = tokio::time::timeout(self.connect_timeout, asked).await {
            let left = (self.pool.status().size / 2).max(KEPT_WHEN_SHARING);
            say!(
                Info,
                "the database server has too few connections for others, this process goes on with {left}: {reason}"
            );
            self.shrink_to(left, reason).await;
        }
    }

    async fn take_as_a_start_does(&self) -> Result<(), Refusal> {
        let mut taken = Vec::with_capacity(TAKEN_BY_START);
        while taken.len() < TAKEN_BY_START {
            taken.push(self.pool.manager().create().await?);
        }
        Ok(())
    }

    /// Takes seats away until `left` are there, each as soon as it is free. One at a time: callers are not held up, and seats that are
    /// taken away or put back in between count.
    async fn shrink_to(&self, left: usize, reason: String) {
        let size = self.pool.status().max_size;
        while size - self.state().missing > left {
            // The seats are never closed.
            let Ok(seat) = self.seats.acquire().await else {
                return;
            };
            let mut state = self.state();
            if size - state.missing > left {
                seat.forget();
                state.missing += 1;
            }
        }
        let mut state = self.state();
        state.ask_again = Instant::now() + ASK_AGAIN_AFTER_SHARING;
        state.refusal = reason;
        drop(state);
        self.close_but(self.stay, Duration::ZERO);
    }

    pub(in crate::store) fn close_idle(&self) {
        self.pool.retain(|_, _| false);
    }
}
