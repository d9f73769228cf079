//! Changes of jobs that depend on the version that the caller has read.

use serde::{Deserialize, Serialize};

use crate::domain::NewJob;

/// Change a job if its definition is still the one that the caller has read: [`Jobs::change_job_if`](super::Jobs::change_job_if).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeJobIf {
    /// Which job.
    pub id: i64,
    /// The version of its definition that the caller has read: [`Job::version`](crate::Job::version).
    pub version: i64,
    /// The change.
    pub change: JobChange,
}

/// A change of a job, of [`ChangeJobIf`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum JobChange {
    /// Replaces its definition, as [`Jobs::update_job`](super::Jobs::update_job) does.
    Update(Box<NewJob>),
    /// Lets it fire, as [`Jobs::toggle_job`](super::Jobs::toggle_job) does.
    Enable,
    /// Keeps it from firing, as [`Jobs::toggle_job`](super::Jobs::toggle_job) does.
    Disable,
    /// Deletes it, as [`Jobs::remove_job`](super::Jobs::remove_job) does.
    Remove,
}
