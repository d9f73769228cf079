//! Section `Limits`.

use serde::{Deserialize, Serialize};

/// A limit of the section `Limits`: how many tasks of a method may run at once in the whole cluster, and how many may start in a time; of all, and
/// of those with the same limit key. See [`GaiaBuilder::limit`](crate::GaiaBuilder::limit).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct LimitConfig {
    /// The service.
    pub service: String,
    /// The method.
    pub method: String,
    /// How many may run at once. Default: any number.
    #[serde(default)]
    pub running: Option<u32>,
    /// How many may start in the time `PerMs`. Default: any number.
    #[serde(default)]
    pub starts: Option<u32>,
    /// The time in which `Starts` may start, in milliseconds.
    #[serde(default)]
    pub per_ms: Option<u64>,
    /// How many with the same [limit key](crate::NewTask::limit_key) may run at once. Default: any number.
    #[serde(default)]
    pub running_per_key: Option<u32>,
    /// How many with the same limit key may start in the time `PerKeyMs`. Default: any number.
    #[serde(default)]
    pub starts_per_key: Option<u32>,
    /// The time in which `StartsPerKey` may start, in milliseconds.
    #[serde(default)]
    pub per_key_ms: Option<u64>,
}
