//! Cron jobs on this node.
//!
//! The [`CronActor`] knows when each enabled job is due, claims fires in the database, and starts a [`JobExecActor`] for each
//! that it won. A run's end goes to the recorder, which writes many at a time. [`Jobs`] is the handle for people.

mod change;
mod cron;
mod exec;
mod execution;
mod handle;
mod ledger;
mod messages;
mod of_handlers;
mod options;
mod run;
mod runtime;
mod status;

pub use change::{ChangeJobIf, JobChange};
pub use cron::CronActor;
pub use exec::JobExecActor;
pub use handle::Jobs;
pub use messages::{
    AddJob, CancelJob, EnsureJob, ExecuteJobImmediately, GetJobDetail, GetJobRecords, GetJobsStatus, GetRunningJobs,
    RemoveJob, ToggleJob, UpdateJob, WaitForRun,
};
pub(crate) use of_handlers::JobsOfHandlers;
pub use options::JobsOptions;
pub(crate) use options::Settings;
pub(crate) use runtime::{JobsRuntime, JobsRuntimeConfig, JobsSlot};
pub use status::JobsStatus;
