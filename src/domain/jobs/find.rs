//! Jobs and runs as operators turn their pages: from the newest on, each page after the id where the page before ended.

use serde::{Deserialize, Serialize};

use super::{Job, JobRecord, JobType};
use crate::domain::{Faults, InvalidInput, MAX_NAME_CHARS, text_enum::text_enum};

/// The most rows of one page.
const MAX_FOUND: u32 = 200;

const FOUND: u32 = 50;

text_enum! {
    /// Whether a run is under way.
    RunState, "state" {
        /// A node runs it.
        Open = "open",
        /// It has ended, or was skipped.
        Ended = "ended",
    }
}

/// Which jobs to find, newest first. The default finds all of them, 50 a page.
///
/// It is also the message that asks an [`Admin`](crate::Admin)'s address for the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FindJobs {
    /// Only jobs of this type.
    pub job_type: Option<JobType>,
    /// Only jobs whose names contain this text (`%` and `_` have no special meaning).
    pub name_contains: Option<String>,
    /// Only enabled jobs (`true`), or only disabled jobs (`false`).
    pub enabled: Option<bool>,
    /// The most jobs of the page, 1 to 200.
    pub limit: u32,
    /// Only jobs whose ids are less than this: [`FoundJobs::next`] of the answer before. `None`: from the newest job on.
    pub before: Option<i64>,
}

/// Which runs to find, newest first. The default finds those of all jobs, 50 a page.
///
/// It is also the message that asks an [`Admin`](crate::Admin)'s address for the page.
///
/// ```
/// use gaia_actors::admin::{FindRuns, RunState};
///
/// let under_way = FindRuns { state: Some(RunState::Open), ..FindRuns::default() };
/// # assert_eq!(under_way.limit, 50);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FindRuns {
    /// Only runs of this job, also of a job that was deleted.
    pub job_id: Option<i64>,
    /// Only runs that are under way, or only those that are not.
    pub state: Option<RunState>,
    /// The most runs of the page, 1 to 200.
    pub limit: u32,
    /// Only runs whose ids are less than this: [`FoundRuns::next`] of the answer before. `None`: from the newest run on.
    pub before: Option<i64>,
}

impl Default for FindJobs {
    fn default() -> Self {
        Self {
            job_type: None,
            name_contains: None,
            enabled: None,
            limit: FOUND,
            before: None,
        }
    }
}

impl Default for FindRuns {
    fn default() -> Self {
        Self {
            job_id: None,
            state: None,
            limit: FOUND,
            before: None,
        }
    }
}

impl FindJobs {
    pub(crate) fn check(&self) -> Result<(), InvalidInput> {
        let mut faults = Faults::default();
        check_limit(&mut faults, self.limit);
        if let Some(text) = &self.name_contains {
            faults.label("name_contains", text, MAX_NAME_CHARS);
        }
        faults.into_result()
    }
}

impl FindRuns {
    pub(crate) fn check(&self) -> Result<(), InvalidInput> {
        let mut faults = Faults::default();
        check_limit(&mut faults, self.limit);
        faults.into_result()
    }
}

fn check_limit(faults: &mut Faults, limit: u32) {
    faults.require((1..=MAX_FOUND).contains(&limit), || {
        format!("limit is {limit}, expected 1 to {MAX_FOUND}")
    });
}

/// A page of jobs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FoundJobs {
    /// The jobs, newest first. Long arguments of a long page are cut, as [`Jobs::list_jobs`](crate::Jobs::list_jobs) says.
    pub jobs: Vec<Job>,
    /// [`FindJobs::before`] of the next page; `None`: this is the last page.
    pub next: Option<i64>,
}

/// A page of runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FoundRuns {
    /// The runs, newest first. Long texts of a long page are cut, as [`Jobs::get_job_records`](crate::Jobs::get_job_records) says.
    pub runs: Vec<JobRecord>,
    /// [`FindRuns::before`] of the next page; `None`: this is the last page.
    pub next: Option<i64>,
}

/// Where the next page begins: after the last row of a full page.
fn next(limit: u32, rows: usize, last: Option<i64>) -> Option<i64> {
    last.filter(|_| u32::try_from(rows).is_ok_and(|rows| rows >= limit))
}

impl FoundJobs {
    pub(crate) fn new(jobs: Vec<Job>, limit: u32) -> Self {
        let next = next(limit, jobs.len(), jobs.last().map(|job| job.id));
        Self { jobs, next }
    }
}

impl FoundRuns {
    pub(crate) fn new(runs: Vec<JobRecord>, limit: u32) -> Self {
        let next = next(limit, runs.len(), runs.last().map(|run| run.id));
        Self { runs, next }
    }
}
