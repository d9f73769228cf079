//! A SQLite connection that many callers use in turn.

use std::{
    ops::{Deref, DerefMut},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use diesel::{
    Connection, QueryResult,
    connection::SimpleConnection,
    result::{DatabaseErrorKind, Error},
    sqlite::SqliteConnection,
};
use diesel_async::sync_connection_wrapper::{SpawnBlocking, SyncConnectionWrapper};
use futures_util::{
    FutureExt, TryFutureExt,
    future::{BoxFuture, Either, select},
};
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use super::{
    file::make_private,
    group::{Queue, Work},
};
use crate::{
    blocking::blocking,
    store::{
        StoreError,
        error::is_read_only,
        url::{DatabaseUrl, SqliteUrl},
    },
};

type AsyncSqlite = SyncConnectionWrapper<SqliteConnection, Detached>;

/// Cloneable handle on one connection. Callers get the connection in the order in which they asked.
#[derive(Clone)]
pub(super) struct Shared {
    connection: Arc<tokio::sync::Mutex<AsyncSqlite>>,
    turns: Arc<Semaphore>,
    turn: Turn,
    queue: Arc<Mutex<Queue>>,
    synchronous: &'static str,
}

/// The most groups of work that are done in one turn, so that callers that want the connection itself get their turns, too.
const GROUPS_PER_TURN: usize = 4;

/// The connection of a caller. Its turn lasts until this value is dropped and its last blocking piece has ended.
pub(in crate::store) struct Conn {
    // Dropped before the turn, so that the caller with the next turn finds the connection free.
    connection: OwnedMutexGuard<AsyncSqlite>,
    _turn: TurnGuard,
}

/// The permit of the caller that has the connection now; `None` if no caller has it.
type Turn = Arc<Mutex<Option<Arc<OwnedSemaphorePermit>>>>;

struct TurnGuard(Turn);

/// Runs blocking pieces on the thread pool of the caller's runtime. A piece runs to its end even if the caller drops its future.
///
/// diesel-async's own runtime waits for the piece when its future is dropped, which panics on actix's single-threaded runtimes. The wait is
/// not needed: each piece is a whole transaction. But a caller that meets a connection that is still busy would block its thread. So each
/// piece holds the turn until it ends.
pub(in crate::store) struct Detached(Turn);

impl Shared {
    pub(super) async fn open(url: &SqliteUrl) -> Result<Self, StoreError> {
        let turn = Turn::default();
        let runtime = Detached(Arc::clone(&turn));
        let connection = SyncConnectionWrapper::with_runtime(open(url).await?, runtime);
        Ok(Self {
            connection: Arc::new(tokio::sync::Mutex::new(connection)),
            turns: Arc::new(Semaphore::new(1)),
            turn,
            queue: Arc::default(),
            synchronous: url.synchronous,
        })
    }

    /// Does `work` in a transaction, in the order in which callers asked. The caller that has the turn does the work of other callers that
    /// wait, too: the connection goes from one work to the next without waiting for their callers, and one commit serves several.
    pub(super) async fn transaction<T: Send + 'static>(&self, work: Work<T>) -> QueryResult<T> {
        let told = lock(&self.queue).push(work);
        let turn = async {
            loop {
                let mut conn = self.acquire().await;
                let (queue, synchronous) = (Arc::clone(&self.queue), self.synchronous);
                let done = conn.spawn_blocking(move |conn| {
                    for _ in 0..GROUPS_PER_TURN {
                        let group = lock(&queue).next_group();
                        if group.is_empty() {
                            break;
                        }
                        group.run(conn, synchronous);
                    }
                    Ok(())
                });
                done.await?;
            }
        };
        match select(told, pin!(turn)).await {
            Either::Left((Ok(done), _)) => done,
            Either::Left((Err(_), _)) => Err(given_up()),
            Either::Right((failed, _)) => failed,
        }
    }

    pub(super) async fn acquire(&self) -> Conn {
        // The semaphore is never closed, so there is always a permit. Without one, the mutex would still keep callers apart.
        let permit = Arc::clone(&self.turns).acquire_owned().await.ok();
        *lock(&self.turn) = permit.map(Arc::new);
        let turn = TurnGuard(Arc::clone(&self.turn));
        Conn {
            connection: Arc::clone(&self.connection).lock_owned().await,
            _turn: turn,
        }
    }
}

impl Drop for TurnGuard {
    fn drop(&mut self) {
        lock(&self.0).take();
    }
}

fn given_up() -> Error {
    let text = "work on the connection was given up: its thread panicked".to_owned();
    Error::DatabaseError(DatabaseErrorKind::Unknown, Box::new(text))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Deref for Conn {
    type Target = AsyncSqlite;

    fn deref(&self) -> &AsyncSqlite {
        &self.connection
    }
}

impl DerefMut for Conn {
    fn deref_mut(&mut self) -> &mut AsyncSqlite {
        &mut self.connection
    }
}

impl SpawnBlocking for Detached {
    fn spawn_blocking<'a, R>(
        &mut self,
        task: impl FnOnce() -> R + Send + 'static,
    ) -> BoxFuture<'a, Result<R, Box<dyn std::error::Error + Send + Sync>>>
    where
        R: Send + 'static,
    {
        let turn = lock(&self.0).clone();
        let piece = move || {
            let result = task();
            drop(turn);
            result
        };
        let done = blocking(piece);
        done.map_err(|error| error.to_string().into()).boxed()
    }

    fn get_runtime() -> Self {
        Self(Turn::default())
    }
}

async fn open(url: &SqliteUrl) -> Result<SqliteConnection, StoreError> {
    let path = url.path.clone().unwrap_or_else(|| ":memory:".to_owned());
    let pragmas = format!(
        "PRAGMA busy_timeout = {}; PRAGMA synchronous = {};",
        url.busy_timeout.as_millis(),
        url.synchronous,
    );
    let opened = blocking(move || {
        make_private(&path);
        let mut conn = SqliteConnection::establish(&path).map_err(|error| error.to_string())?;
        conn.batch_execute(&pragmas)
            .and_then(|()| set_wal(&mut conn))
            .map_err(|error| error.to_string())?;
        Ok(conn)
    });
    let opened = opened.await.unwrap_or_else(|error| Err(error.to_string()));
    opened.map_err(|reason| match is_read_only(&reason) {
        true => StoreError::ReadOnly(reason),
        false => StoreError::Connect {
            url: DatabaseUrl::Sqlite(url.clone()).to_string(),
            reason,
        },
    })
}

/// Switches to write-ahead logging. The switch needs the file for itself for a moment, which SQLite's busy timeout does not cover. So it
/// is repeated: processes that start together would make each other fail. A database that is WAL already needs no lock.
fn set_wal(conn: &mut SqliteConnection) -> QueryResult<()> {
    const TRIES: u32 = 50;
    let mut tries = 0;
    loop {
        match conn.batch_execute("PRAGMA journal_mode = WAL") {
            Err(error) if tries < TRIES && error.to_string().contains("locked") => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::{join, join_all, poll_immediate};

    use super::*;
    use crate::store::sqlite::group::ROWS;

    async fn shared() -> Shared {
        let Ok(DatabaseUrl::Sqlite(url)) = DatabaseUrl::parse("sqlite::memory:") else {
            panic!("it is one");
        };
        Shared::open(&url).await.expect("opens")
    }

    /// Does a piece of work that notes its number.
    async fn piece(shared: &Shared, done: &Arc<Mutex<Vec<u32>>>, number: u32) {
        let done = Arc::clone(done);
        let change = move |_: &mut SqliteConnection| {
            lock(&done).push(number);
            Ok(())
        };
        shared.transaction(Work::new(ROWS / 4, change)).await.expect("is done");
    }

    #[tokio::test]
    async fn what_waits_is_done_in_its_order_and_others_have_their_turn_between() {
        let (shared, done) = (shared().await, Arc::default());
        let held = shared.acquire().await;
        let before = join_all((0..20).map(|number| piece(&shared, &done, number)));
        let connection = async {
            drop(shared.acquire().await);
            lock(&done).push(1_000);
        };
        let after = join_all((20..40).map(|number| piece(&shared, &done, number)));
        // All of them ask in this order, while `held` has the connection.
        let mut all = Box::pin(join(join(before, connection), after));
        assert!(poll_immediate(&mut all).await.is_none());
        drop(held);
        all.await;
        let mut done = lock(&done).clone();
        let place = done.iter().position(|number| *number == 1_000).expect("had its turn");
        assert!((20..40).contains(&place), "{done:?}");
        done.remove(place);
        assert!(done.is_sorted(), "{done:?}");
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_not_begun() {
        let (shared, done) = (shared().await, Arc::default());
        let held = shared.acquire().await;
        let mut abandoned = Box::pin(piece(&shared, &done, 1));
        assert!(poll_immediate(&mut abandoned).await.is_none());
        drop(abandoned);
        drop(held);
        piece(&shared, &done, 2).await;
        assert_eq!(*lock(&done), [2]);
    }
}
