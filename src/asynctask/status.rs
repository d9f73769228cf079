//! What a theme's actors say of themselves.

use serde::{Deserialize, Serialize};

/// The state of one theme on this node, put together from its actors' own counters.
///
/// Counters begin at 0 when the scheduler starts.
///
#[cfg_attr(feature = "sqlite", doc = "```")]
#[cfg_attr(not(feature = "sqlite"), doc = "```no_run")]
/// use gaia_actors::{SchedulerStatus, prelude::*};
///
/// /// The faults of a theme, for a health check.
/// fn complaints(status: &SchedulerStatus) -> Vec<String> {
///     let mut complaints = Vec::new();
///     if status.fenced {
///         complaints.push("this node cannot beat".to_owned());
///     }
///     if status.refused > 0 {
///         complaints.push(format!("the database refuses {} outcomes", status.refused));
///     }
///     for method in status.unserved.iter().filter(|method| !method.served_elsewhere) {
///         let name = format!("{}.{}", method.service, method.method);
///         complaints.push(format!("no node serves {name}: {} tasks wait", method.waiting));
///     }
///     complaints
/// }
///
/// # #[actix_rt::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let options = SchedulerOptions::new("order-task").worker_num(4);
/// let gaia = Gaia::builder().database("sqlite::memory:").scheduler(options).start().await?;
/// let status = gaia.scheduler("order-task")?.status().await?;
/// println!("{} of {} workers are busy", status.running_workers, status.all_workers);
/// assert_eq!(complaints(&status), [""; 0]);
/// # gaia.stop().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "each is a reason of its own")]
pub struct SchedulerStatus {
    /// The theme.
    pub theme: String,
    /// No new work is taken: the theme is paused.
    pub paused: bool,
    /// No new work is taken: workers of the Go framework on the same database run tasks of the theme, or the node has not looked yet.
    #[serde(default)]
    pub shared: bool,
    /// No new work is taken: this node could not beat for its lease time and cannot know whether others took its work.
    pub fenced: bool,
    /// No new work is taken: the process is about to stop ([`Gaia::drain`](crate::Gaia::drain)).
    pub draining: bool,
    /// Looks at the database for work.
    pub scans: u64,
    /// Tasks claimed and put into the buffer.
    pub pushed: u64,
    /// Tasks taken from the buffer by workers.
    pub pulled: u64,
    /// Runs that ended here and were recorded, whatever their outcome.
    pub executed: u64,
    /// Runs after which the task was Success.
    pub succeeded: u64,
    /// Runs after which the task was Failed.
    pub failed: u64,
    /// Runs after which the task waits for another attempt.
    pub retried: u64,
    /// Runs that ended in a panic (also counted in failed or retried).
    pub panicked: u64,
    /// Runs that took too long (also counted in failed or retried).
    pub timed_out: u64,
    /// Runs after which the task was Cancelled.
    pub cancelled: u64,
    /// Runs that were snoozed by their handler.
    pub snoozed: u64,
    /// Claimed tasks given back because the node stopped, paused, lost its lease, or could not read their long arguments yet.
    pub handed_back: u64,
    /// Ends of runs that were not written because the task was in other hands by then.
    pub stale: u64,
    /// Workers that have a task.
    pub running_workers: usize,
    /// Workers there are.
    pub all_workers: usize,
    /// Workers that were replaced because they, or their thread, died or were blocked.
    pub replaced_workers: u64,
    /// Claimed tasks that wait in memory: for a worker, or for room for their long arguments.
    pub queue_depth: usize,
    /// Outcomes that wait to be written, or are being written.
    pub unwritten: usize,
    /// Runs that have ended and whose outcomes the database refuses in every form. Their tasks stay Running without a node, say why
    /// in `last_error`, and do not run again by themselves; the outcomes are tried again from time to time.
    pub refused: usize,
    /// Database errors met by this theme's scanner and recorder.
    pub database_errors: u64,
    /// Tasks of this theme that this node took from dead nodes.
    pub rescued: u64,
    /// The methods that no handler of this node serves and for which tasks of the theme are due, sorted, at most 100 of them. The
    /// node looks for them whenever it looks for dead nodes.
    pub unserved: Vec<UnservedMethod>,
}

/// A method that tasks call and that no handler of this node serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct UnservedMethod {
    /// The service that the tasks name.
    pub service: String,
    /// The method that the tasks name.
    pub method: String,
    /// Whether the method has a handler here whose actor has died or was stopped.
    pub handler_died: bool,
    /// Whether another living node serves it.
    pub served_elsewhere: bool,
    /// How many of its tasks are due. Beyond some ten thousand segments of tasks they are not counted.
    pub waiting: u64,
}
