//! Lists of jobs, a page at a time.

use serde::{Deserialize, Deserializer, Serialize};

use super::JobType;
use crate::domain::{PageRequest, Parameters};

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
///
/// As JSON, and as the parameters of a query string, it has `page`, `page_size` and its conditions side by side, as
/// [`ListTasks`](crate::domain::ListTasks) has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ListJobs {
    /// Which page.
    #[serde(flatten)]
    pub page: PageRequest,
    /// Only jobs of this type.
    pub job_type: Option<JobType>,
    /// Only jobs whose names contain this text (`%` and `_` have no special meaning).
    pub name_contains: Option<String>,
    /// Only enabled jobs (`true`), or only disabled jobs (`false`).
    pub enabled: Option<bool>,
}

impl<'de> Deserialize<'de> for ListJobs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Parameters::deserialize(deserializer, |parameters| Self {
            page: PageRequest::read(parameters),
            job_type: parameters.value("job_type"),
            name_contains: parameters.text("name_contains"),
            enabled: parameters.flag("enabled"),
        })
    }
}
