//! Cron jobs: their values, when they are due, and the check that refuses bad jobs.

mod definition;
mod due;
mod find;
mod fire;
mod job;
mod kinds;
mod list;
mod new_job;
mod record;

pub(crate) use definition::{Definition, Hook, JobRules, Target};
pub(crate) use due::{Due, Misfire, Missed, Waited, due, is_missed, waited};
pub use find::{FindJobs, FindRuns, FoundJobs, FoundRuns, RunState};
pub(crate) use fire::{Decision, decide};
pub use job::{Job, JobDetail};
pub use kinds::{JobType, MisfirePolicy, OverlapPolicy, RunFlag, RunStatus};
pub use list::ListJobs;
pub use new_job::NewJob;
pub(crate) use new_job::SecretChange;
pub use record::JobRecord;
