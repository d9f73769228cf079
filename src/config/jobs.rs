//! Section `Jobs`.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{KeepLogsLevel, list_or_commas};

/// Section `Jobs`: settings that hold unless [`JobsOptions`](crate::JobsOptions) set them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[non_exhaustive]
pub struct JobsConfig {
    /// Deployment environments in which jobs must not run: a list, or one text with commas. Default: none.
    #[serde(deserialize_with = "list_or_commas")]
    pub ban_env_list: Vec<String>,
    /// The deployment environment of this process. Default: the environment variable `DeployEnvironment`.
    pub environment: String,
    /// Name of the time zone for expressions that name no zone. Default: UTC.
    pub time_zone: String,
    /// The system whose jobs this process sees; see [`JobsOptions::system_name`](crate::JobsOptions::system_name). Default: the jobs that
    /// have none.
    pub system_name: String,
    /// `forbid`, `allow`, `replace` or `delay`; see [`JobsOptions::overlap`](crate::JobsOptions::overlap). Default: as
    /// [`NodeConfig::compat`](super::NodeConfig::compat) says, `forbid` without it.
    pub overlap: String,
    /// Whether [`GaiaBuilder::configured`](crate::GaiaBuilder::configured) runs jobs. Default true.
    pub run: bool,
    /// Lines of which level, and of graver ones, `configured` keeps with the runs of jobs. Default: none.
    pub keep_logs: Option<KeepLogsLevel>,
    /// Jobs that `configured` adds at the start, or updates; see [`Jobs::ensure_job`](crate::Jobs::ensure_job). Default: none.
    pub declared: Vec<DeclaredJob>,
}

/// A job of `Jobs.Declared`: the JSON of a [`NewJob`](crate::NewJob), whose keys are the columns of `job_center`, as in the HTTP API.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeclaredJob(pub Map<String, Value>);

impl Default for JobsConfig {
    fn default() -> Self {
        Self {
            ban_env_list: Vec::new(),
            environment: String::new(),
            time_zone: String::new(),
            system_name: String::new(),
            overlap: String::new(),
            run: true,
            keep_logs: None,
            declared: Vec::new(),
        }
    }
}

impl DeclaredJob {
    /// Its name; empty if it has none.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.get("job_name").and_then(Value::as_str).unwrap_or_default()
    }
}

/// Shows its name alone: headers and secrets of hooks do not belong into logs.
impl fmt::Debug for DeclaredJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DeclaredJob").field(&self.name()).finish()
    }
}
