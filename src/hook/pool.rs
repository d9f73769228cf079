//! Connections that wait for the next call of their service. Each thread has its own: a connection belongs to the runtime of its thread.

use std::{
    cell::RefCell,
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use awc::Client;

use super::{
    client::over,
    connection::{Connection, LIFETIME},
    wire::{Watch, Wire},
};

/// How often a thread closes connections that are too old, or that their services have closed.
const SWEEP: Duration = Duration::from_secs(5);

thread_local! {
    /// By the id of their pool.
    static IDLE: RefCell<HashMap<u64, Vec<Kept>>> = RefCell::default();
}

/// A connection, and the client that sends requests over it.
pub(super) struct Kept {
    pub(super) client: Client,
    pub(super) watch: Watch,
}

impl Kept {
    pub(super) fn new(connection: Connection) -> Self {
        let (wire, watch) = Wire::new(connection);
        let client = over(wire);
        Self { client, watch }
    }

    fn is_usable(&self) -> bool {
        self.watch.age() < LIFETIME && self.watch.is_quiet()
    }
}

/// The idle connections of one service, on all threads.
#[derive(Debug)]
pub(super) struct Pool {
    id: u64,
    /// So many connections are kept on each thread.
    most: usize,
}

impl Pool {
    pub(super) fn new(most: usize) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { id, most }
    }

    /// A connection of this thread that may be used at once. The one that was used last comes first, so that others get old and are closed.
    pub(super) fn take(&self) -> Option<Kept> {
        IDLE.with_borrow_mut(|idle| {
            let connections = idle.get_mut(&self.id)?;
            loop {
                let kept = connections.pop()?;
                if kept.is_usable() {
                    return Some(kept);
                }
            }
        })
    }

    pub(super) fn put(&self, kept: Kept) {
        let is_first = IDLE.with_borrow_mut(|idle| {
            let is_first = idle.is_empty();
            let connections = idle.entry(self.id).or_default();
            if connections.len() < self.most && kept.watch.age() < LIFETIME {
                connections.push(kept);
            }
            is_first
        });
        if is_first {
            actix_rt::spawn(sweep());
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // A thread that ends has no connections any more; those of other threads are swept.
        let _ = IDLE.try_with(|idle| idle.borrow_mut().remove(&self.id));
    }
}

/// Closes what has become useless, until this thread has no idle connection any more.
async fn sweep() {
    let mut has_some = true;
    while has_some {
        actix_rt::time::sleep(SWEEP).await;
        has_some = IDLE.with_borrow_mut(|idle| {
            idle.retain(|_, connections| {
                connections.retain(Kept::is_usable);
                !connections.is_empty()
            });
            !idle.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    fn pair() -> (Kept, DuplexStream) {
        pair_of(Instant::now())
    }

    fn pair_of(made_at: Instant) -> (Kept, DuplexStream) {
        let (ours, theirs) = duplex(64);
        let mut connection = Connection::new(Box::new(ours));
        connection.made_at = made_at;
        (Kept::new(connection), theirs)
    }

    #[actix_rt::test]
    async fn a_connection_is_used_again_while_it_is_young_open_and_quiet() {
        let pool = Pool::new(2);
        let (connection, _theirs) = pair();
        pool.put(connection);
        assert!(Pool::new(2).take().is_none(), "it belongs to another service");
        assert!(pool.take().is_some());
        assert!(pool.take().is_none(), "it is in use");

        let (old, mut theirs) = pair_of(Instant::now().checked_sub(LIFETIME).unwrap());
        pool.put(old);
        assert!(pool.take().is_none());
        assert_eq!(theirs.read(&mut [0]).await.unwrap(), 0, "it is closed");

        let (closed, theirs) = pair();
        pool.put(closed);
        drop(theirs);
        assert!(pool.take().is_none());

        let (spoken, mut theirs) = pair();
        pool.put(spoken);
        theirs.write_all(b"x").await.unwrap();
        assert!(pool.take().is_none());
    }

    #[actix_rt::test]
    async fn a_thread_keeps_only_so_many() {
        let pool = Pool::new(2);
        let pairs: Vec<_> = (0..3).map(|_| pair()).collect();
        let mut theirs: Vec<_> = pairs
            .into_iter()
            .map(|(connection, theirs)| {
                pool.put(connection);
                theirs
            })
            .collect();
        assert_eq!(theirs[2].read(&mut [0]).await.unwrap(), 0, "it is closed");
        drop(pool);
        for kept in &mut theirs[..2] {
            assert_eq!(kept.read(&mut [0]).await.unwrap(), 0, "the service is gone");
        }
    }
}
