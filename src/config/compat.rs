//! Whose defaults hold.

use serde::{Deserialize, Serialize};

/// Whose defaults hold where an option is not set: this crate's, or the Go framework's.
///
/// One switch for a whole process: [`GaiaBuilder::compat`](crate::GaiaBuilder::compat), or the key `Node.Compat` of the
/// [configuration](crate::Config). A theme has its own [`SchedulerOptions::compat`](crate::SchedulerOptions::compat), and jobs have
/// [`JobsOptions::compat`](crate::JobsOptions::compat). An option that is set wins over the switch, whichever is set first.
///
/// With [`Compat::Go`] these defaults differ:
///
/// | what | this crate | Go framework | the option |
/// |---|---|---|---|
/// | a task that says nothing of retries | is tried again 3 times | ends with its first failure (`MaxRetryTime` 0) | [`SchedulerOptions::max_retry`](crate::SchedulerOptions::max_retry), `AsyncTask.MaxRetry` |
/// | the next attempt of a failed task | after 1 s, doubling up to 10 min | with a scan, after [`scan_interval`](crate::SchedulerOptions::scan_interval) | [`SchedulerOptions::retry`](crate::SchedulerOptions::retry) |
/// | an error or a panic of the pre-handler | fails the attempt | ends the task as Failed | [`SchedulerOptions::pre_handler_fails_task`](crate::SchedulerOptions::pre_handler_fails_task) |
/// | a task whose method has no handler | waits | fails the attempt | [`SchedulerOptions::missing_handler`](crate::SchedulerOptions::missing_handler), `AsyncTask.MissingHandler` |
/// | `retry_task` of a task that is Success | is refused | queues it again | [`SchedulerOptions::retry_succeeded`](crate::SchedulerOptions::retry_succeeded), `AsyncTask.RetrySucceeded` |
/// | a fire of a job while its last run goes on, unless the job has a policy | is skipped | runs after it | [`JobsOptions::overlap`](crate::JobsOptions::overlap), `Jobs.Overlap` |
///
/// ```
/// use gaia_actors::{Compat, Gaia, MissingHandler, SchedulerOptions};
///
/// let builder = Gaia::builder()
///     .compat(Compat::Go)
///     .theme("order-task") // as there
///     .scheduler(SchedulerOptions::new("mail").missing_handler(MissingHandler::Wait)) // as there, but for this
///     .scheduler(SchedulerOptions::new("files").compat(Compat::Off)); // as here
/// # drop(builder);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Compat {
    /// The defaults of this crate.
    #[default]
    Off,
    /// The defaults of the Go framework.
    Go,
}
