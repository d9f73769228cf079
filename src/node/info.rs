//! What is known of the processes that share the database.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::store::{NodeRow, Nodes};

/// One process on the database, as its last heartbeat left it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NodeInfo {
    /// Its id, as in [`Task::node`](crate::Task::node) and [`ExecRecord::node`](crate::ExecRecord::node).
    pub id: String,
    /// The machine it runs on.
    pub host: String,
    /// Its process id there.
    pub pid: i64,
    /// Its version of this crate.
    pub version: String,
    /// The themes it works on; none for a process that only adds tasks.
    pub themes: Vec<NodeTheme>,
    /// Its workers, of all themes.
    pub workers: usize,
    /// Those of them that have a task.
    pub running: usize,
    /// When it started, by the database's time.
    pub started_at: DateTime<Utc>,
    /// When it last beat, by the database's time.
    pub last_beat: DateTime<Utc>,
    /// How long it may be silent.
    pub lease: Duration,
    /// Whether it has beaten within its lease. One that has not is about to be taken for dead.
    pub alive: bool,
}

/// What a node does for one theme.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NodeTheme {
    /// The theme.
    pub theme: String,
    /// Its workers there.
    pub workers: usize,
    /// Those of them that have a task.
    pub running: usize,
}

impl NodeInfo {
    pub(crate) fn all(nodes: Nodes) -> Vec<Self> {
        let Nodes { now, rows } = nodes;
        rows.into_iter().map(|row| Self::of(row, now)).collect()
    }

    fn of(row: NodeRow, now: DateTime<Utc>) -> Self {
        // Whoever has written something else there has no themes.
        let themes: Vec<NodeTheme> = serde_json::from_str(&row.themes).unwrap_or_default();
        let last_beat = row.heartbeat.and_utc();
        let lease = Duration::from_millis(row.lease_ms.unsigned_abs());
        Self {
            workers: themes.iter().map(|theme| theme.workers).sum(),
            running: themes.iter().map(|theme| theme.running).sum(),
            alive: TimeDelta::from_std(lease).is_ok_and(|lease| now - last_beat <= lease),
            id: row.id,
            host: row.host,
            pid: row.pid,
            version: row.version,
            themes,
            started_at: row.started_at.and_utc(),
            last_beat,
            lease,
        }
    }
}
