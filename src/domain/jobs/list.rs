//! Lists of jobs, a page at a time.

use serde::{Deserialize, Serialize};

use super::JobType;
use crate::domain::PageRequest;

/// Which jobs to list, newest first. The default lists all of them, 20 a page.
///
/// It is also the message that asks a [`Jobs`](crate::Jobs)' address for the list.
///
/// ```
/// use gaia_actors::{JobType, PageRequest, messages::ListJobs};
///
/// let reports = ListJobs {
///     job_type: Some(JobType::CronJob),
///     name_contains: Some("报表".to_owned()),
///     page: PageRequest::new(1, 50),
///     ..ListJobs::default()
/// };
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListJobs {
    /// Which page.
    pub page: PageRequest,
    /// Only jobs of this type.
    pub job_type: Option<JobType>,
    /// Only jobs whose names contain this text (`%` and `_` have no special meaning).
    pub name_contains: Option<String>,
    /// Only enabled jobs (`true`), or only disabled jobs (`false`).
    pub enabled: Option<bool>,
}
