//! A database that gives no answer for a while.

use std::{
    sync::mpsc::{Receiver, Sender, channel},
    thread::{JoinHandle, spawn},
};

use super::{Database, Kind, database::execute_around};

/// While it lasts, neither heartbeats nor claims have an answer.
pub struct Hang {
    end: Sender<()>,
    holder: JoinHandle<()>,
}

impl Hang {
    /// Begins; answers once the lock is held that makes all others wait.
    pub fn begin(database: &Database) -> Self {
        let ((kind, url), (locked, is_locked), (end, is_over)) =
            ((database.kind(), database.url()), channel(), channel());
        let holder = spawn(move || hold(kind, &url, locked, is_over));
        is_locked.recv().expect("is locked");
        Self { end, holder }
    }

    /// Ends; answers once the lock is given back.
    pub fn end(self) {
        drop(self.end);
        self.holder.join().expect("held the lock");
    }
}

fn hold(kind: Kind, url: &str, locked: Sender<()>, is_over: Receiver<()>) {
    let wait = move || {
        locked.send(()).expect("is waited for");
        // The sender never sends: it is dropped.
        let _ = is_over.recv();
    };
    let [lock, unlock] = match kind {
        #[cfg(feature = "sqlite")]
        Kind::Sqlite => ["BEGIN IMMEDIATE", "COMMIT"],
        #[cfg(feature = "postgres")]
        Kind::Postgres => ["BEGIN; LOCK TABLE gaia_nodes", "COMMIT"],
        #[cfg(feature = "mysql")]
        Kind::Mysql => ["LOCK TABLES gaia_nodes WRITE", "UNLOCK TABLES"],
    };
    execute_around(kind, url, [lock, unlock], wait);
}
