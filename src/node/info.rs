//! The processes that share the database, as this node sees them.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    domain::{as_millis, millis},
    registry::MethodName,
    store::{Nodes, SeenNode, is_remote},
};

/// The most methods in a node's row, in the order of their names. It is limited since each node reads the rows of all others with every
/// heartbeat.
const MAX_METHODS: usize = 1_000;

/// One process on the database, as its last heartbeat left it; or a remote worker, a program that takes tasks through the HTTP API, as its
/// last call left it. The id of a remote worker begins with `remote:`; its host and its version are `remote`, its process id is 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
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
    /// The methods for which it had handlers at its last heartbeat, sorted, the first 1,000 of them. It runs tasks of its themes that
    /// call these.
    pub methods: Vec<MethodName>,
    /// Its workers, of all themes.
    pub workers: usize,
    /// Workers that have a task.
    pub running: usize,
    /// When it started, by the database's time. 1970, if its row holds no time.
    pub started_at: DateTime<Utc>,
    /// When it wrote its last heartbeat, by the database's time. 1970, if its row holds no time.
    pub last_beat: DateTime<Utc>,
    /// How long it may go without a heartbeat. Serialised as `lease_ms`.
    #[serde(rename = "lease_ms", serialize_with = "as_millis", deserialize_with = "millis")]
    #[cfg_attr(feature = "web", schema(value_type = u64))]
    pub lease: Duration,
    /// Whether it has written a heartbeat within its lease. If not, other nodes are about to declare it dead.
    pub alive: bool,
}

/// What a node does for one theme.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct NodeTheme {
    /// The theme.
    pub theme: String,
    /// Its workers there.
    pub workers: usize,
    /// Workers that have a task.
    pub running: usize,
}

impl NodeInfo {
    pub(crate) fn all(nodes: Nodes) -> Vec<Self> {
        let Nodes { now, rows, .. } = nodes;
        rows.into_iter().map(|row| Self::of(row, now)).collect()
    }

    /// Whether it is a remote worker, which nodes can neither resize nor ask for anything.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        is_remote(&self.id)
    }

    /// Whether the node has workers for the theme; of no theme: always.
    pub(crate) fn works_on(&self, theme: Option<&str>) -> bool {
        theme.is_none_or(|theme| {
            self.themes
                .iter()
                .any(|works| works.theme == theme && works.workers > 0)
        })
    }

    fn of(row: SeenNode, now: DateTime<Utc>) -> Self {
        // A text that is no such JSON counts as no themes.
        let themes: Vec<NodeTheme> = serde_json::from_str(&row.themes).unwrap_or_default();
        let methods = row.methods.as_deref().map(serde_json::from_str);
        let last_beat = row.heartbeat.unwrap_or_default();
        let lease = row.lease;
        Self {
            workers: themes.iter().map(|theme| theme.workers).sum(),
            running: themes.iter().map(|theme| theme.running).sum(),
            alive: TimeDelta::from_std(lease).is_ok_and(|lease| now - last_beat <= lease),
            id: row.id,
            host: row.host,
            pid: row.pid,
            version: row.version,
            themes,
            methods: methods.and_then(Result::ok).unwrap_or_default(),
            started_at: row.started_at.unwrap_or_default(),
            last_beat,
            lease,
        }
    }
}

/// The column `methods` of a node's row: JSON, for other nodes, people and tools.
pub(crate) fn methods_column(mut methods: Vec<MethodName>) -> Option<String> {
    methods.truncate(MAX_METHODS);
    serde_json::to_string(&methods).ok()
}

/// The methods that the living nodes among these, other than `me`, serve for a theme.
pub(super) fn served_elsewhere(nodes: &[NodeInfo], me: &str, theme: &str) -> BTreeSet<MethodName> {
    let others = nodes
        .iter()
        .filter(|node| node.alive && node.id != me && node.works_on(Some(theme)));
    others.flat_map(|node| node.methods.iter().cloned()).collect()
}
