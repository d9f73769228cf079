//! The operations of [`Jobs`] as messages to its address.

use std::time::Duration;

use actix::{Actor, Context};
use serde::{Deserialize, Serialize};

use super::{ChangeJobIf, Jobs, JobsStatus};
use crate::{
    domain::{Job, JobDetail, JobRecord, ListJobs, NewJob, Page, PageRequest, as_millis, millis},
    error::Error,
    operations::operations,
};

impl Actor for Jobs {
    type Context = Context<Self>;
}

/// Add a job: [`Jobs::add_job`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AddJob(pub NewJob);

/// Add a job that a program declares, or bring it up to date: [`Jobs::ensure_job`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EnsureJob(pub NewJob);

/// Replace the definition of a job: [`Jobs::update_job`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateJob {
    /// Which job.
    pub id: i64,
    /// The new definition.
    pub job: NewJob,
}

/// Delete a job: [`Jobs::remove_job`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct RemoveJob(pub i64);

/// Enable or disable a job: [`Jobs::toggle_job`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToggleJob {
    /// Which job.
    pub id: i64,
    /// Whether it is to fire.
    pub enabled: bool,
}

/// Run a job now: [`Jobs::execute_job_immediately`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct ExecuteJobImmediately(pub i64);

/// Cancel the runs of a job: [`Jobs::cancel_job`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct CancelJob(pub i64);

/// Answer when a run has ended: [`Jobs::wait_for_run`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitForRun {
    /// Which run.
    pub run_id: i64,
    /// For how long at most. Serialised as `timeout_ms`.
    #[serde(rename = "timeout_ms", serialize_with = "as_millis", deserialize_with = "millis")]
    pub timeout: Duration,
}

/// One job: [`Jobs::get_job_detail`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct GetJobDetail(pub i64);

/// The runs of a job: [`Jobs::get_job_records`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetJobRecords {
    /// Which job.
    pub id: i64,
    /// Which page. JSON may leave it out: then the first.
    #[serde(default)]
    pub page: PageRequest,
}

/// The runs that are under way: [`Jobs::get_running_jobs`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct GetRunningJobs;

/// The counters of this process: [`Jobs::status`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct GetJobsStatus;

operations! {
    Jobs:
    Change add_job(AddJob) => |jobs, AddJob(job)| jobs.add_job(job).await, i64;
    Change ensure_job(EnsureJob) => |jobs, EnsureJob(job)| jobs.ensure_job(job).await, i64;
    Change update_job(UpdateJob) => |jobs, UpdateJob { id, job }| jobs.update_job(id, job).await, u64;
    Change remove_job(RemoveJob) => |jobs, RemoveJob(id)| jobs.remove_job(id).await, ();
    Change toggle_job(ToggleJob) => |jobs, ToggleJob { id, enabled }| jobs.toggle_job(id, enabled).await, ();
    Change change_job_if(ChangeJobIf) => |jobs, change| jobs.change_job_if(change).await, ();
    Change execute_job_immediately(ExecuteJobImmediately) => |jobs, ExecuteJobImmediately(id)| jobs.execute_job_immediately(id).await, JobRecord;
    Change cancel_job(CancelJob) => |jobs, CancelJob(id)| jobs.cancel_job(id).await, usize;
    Read wait_for_run(WaitForRun) => |jobs, WaitForRun { run_id, timeout }| jobs.wait_for_run(run_id, timeout).await, JobRecord;
    Read list_jobs(ListJobs) => |jobs, list| jobs.list_jobs(list).await, Page<Job>;
    Read get_job_detail(GetJobDetail) => |jobs, GetJobDetail(id)| jobs.get_job_detail(id).await, JobDetail;
    Read get_job_records(GetJobRecords) => |jobs, GetJobRecords { id, page }| jobs.get_job_records(id, page).await, Page<JobRecord>;
    Read get_running_jobs(GetRunningJobs) => |jobs, GetRunningJobs| jobs.get_running_jobs().await, Vec<JobRecord>;
    Read status(GetJobsStatus) => |jobs, GetJobsStatus| jobs.status().await, JobsStatus;
}
