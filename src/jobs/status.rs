//! What the actors count.

use serde::{Deserialize, Serialize};

/// The counters of the jobs' actors in this process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct JobsStatus {
    /// The environment in which jobs must not run, if this process is in it: nothing else is counted then.
    pub banned: Option<String>,
    /// The node has no heartbeat: nothing is claimed.
    pub fenced: bool,
    /// The process is about to stop ([`Gaia::drain`](crate::Gaia::drain)): nothing is claimed.
    pub draining: bool,
    /// Enabled jobs that have a next fire.
    pub scheduled: usize,
    /// Enabled jobs whose schedule is bad; a list shows why.
    pub bad: usize,
    /// Runs of this process that are not written as ended yet.
    pub running: usize,
    /// How often the clock has struck a second.
    pub ticks: u64,
    /// Fires this process has claimed.
    pub fired: u64,
    /// Fires that other nodes had claimed.
    pub taken: u64,
    /// Fires recorded as skipped, by the overlap or the misfire policy.
    pub skipped: u64,
    /// Runs that ended well.
    pub succeeded: u64,
    /// Runs that failed, were out of time or were cut off.
    pub failed: u64,
    /// Of those, runs whose last attempt ended in a panic.
    pub panicked: u64,
    /// Of those, runs that were out of time.
    pub timed_out: u64,
    /// Runs that were cancelled or replaced.
    pub cancelled: u64,
    /// Ends that were not written, because others had ended the run.
    pub stale: u64,
    /// Ends of runs that wait to be written, or are being written.
    pub unwritten: usize,
    /// Runs that have ended and whose ends the database refuses in every form. Their records have neither a flag nor a node, and say
    /// why in `run_err`; their jobs fire on. The ends are tried again from time to time.
    pub refused: usize,
    /// Errors of the database.
    pub database_errors: u64,
}
