//! Connections that wait for the next call of their service. Each thread has its own: a connection belongs to the runtime of its thread.

use std::{
    cell::RefCell,
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::connection::Connection;

/// A connection is closed when it is so old: then the name of the host is looked up anew, and may lead elsewhere.
const LIFETIME: Duration = Duration::from_secs(60);

/// How often a thread closes connections that are too old, or that their services have closed.
const SWEEP: Duration = Duration::from_secs(5);

thread_local! {
    /// By the id of their pool.
    static IDLE: RefCell<HashMap<u64, Vec<Connection>>> = RefCell::default();
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
    pub(super) fn take(&self) -> Option<Connection> {
        IDLE.with_borrow_mut(|idle| {
            let connections = idle.get_mut(&self.id)?;
            loop {
                let mut connection = connections.pop()?;
                if is_usable(&mut connection) {
                    return Some(connection);
                }
            }
        })
    }

    pub(super) fn put(&self, connection: Connection) {
        let is_first = IDLE.with_borrow_mut(|idle| {
            let is_first = idle.is_empty();
            let connections = idle.entry(self.id).or_default();
            if connections.len() < self.most && connection.age() < LIFETIME {
                connections.push(connection);
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

fn is_usable(connection: &mut Connection) -> bool {
    connection.age() < LIFETIME && connection.is_quiet()
}

/// Closes what has become useless, until this thread has no idle connection any more.
async fn sweep() {
    let mut has_some = true;
    while has_some {
        actix_rt::time::sleep(SWEEP).await;
        has_some = IDLE.with_borrow_mut(|idle| {
            idle.retain(|_, connections| {
                connections.retain_mut(is_usable);
                !connections.is_empty()
            });
            !idle.is_empty()
        });
    }
}
