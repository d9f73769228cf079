//! The events of jobs.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::{Failure, RunFlag, as_millis};

/// One run of a job: what names it in the database and in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct JobRunInfo {
    /// The job's id.
    pub job_id: i64,
    /// The job's name; `None` where this node has found the run in the database and does not know the name.
    pub job_name: Option<Arc<str>>,
    /// The run's id, which is the id of its record.
    pub run_id: i64,
    /// The service that the job calls; `None`: it calls a hook, or its row cannot run.
    pub service: Option<String>,
    /// The method that the job calls; `None`: it calls a hook, or its row cannot run.
    pub method: Option<String>,
    /// Names the run in every log line and in its record.
    pub log_id: Arc<str>,
    /// The second for which the job was due; `None`: a caller asked for the run.
    pub scheduled_at: Option<DateTime<Utc>>,
}

/// This node has claimed a run of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct JobFired {
    /// The run.
    #[serde(flatten)]
    pub run: Arc<JobRunInfo>,
    /// From [`scheduled_at`](JobRunInfo::scheduled_at) until the claim; `None` if a caller asked for the run.
    #[serde(rename = "late_ms", serialize_with = "as_millis")]
    pub late: Option<Duration>,
}

/// A fire was recorded as skipped: the overlap policy or the misfire policy of its job forbids the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct JobSkipped {
    /// The job's id.
    pub job_id: i64,
    /// The second for which the job was due.
    pub scheduled_at: Option<DateTime<Utc>>,
    /// The policy that forbids the run.
    pub policy: SkipPolicy,
    /// Why, as the record has it.
    pub reason: String,
}

/// The policy of a job that forbids a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SkipPolicy {
    /// The [overlap policy](crate::OverlapPolicy): another run is under way, or a newer fire was claimed with it.
    Overlap,
    /// The [misfire policy](crate::MisfirePolicy): no node claimed the fire in time.
    Misfire,
}

impl SkipPolicy {
    /// Its name in metrics, as in JSON.
    #[cfg(any(feature = "web", feature = "metrics"))]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Overlap => "overlap",
            Self::Misfire => "misfire",
        }
    }
}

/// An attempt of a job's run begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct JobStarted {
    /// The run.
    #[serde(flatten)]
    pub run: Arc<JobRunInfo>,
    /// Which attempt of the run, from 1.
    pub attempt: u32,
}

/// The hook of a job was called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct HookCalled {
    /// The run.
    #[serde(flatten)]
    pub run: Arc<JobRunInfo>,
    /// The status of the answer. `None`: there was no answer, because the host could not be reached, may not be called, or is silent.
    pub status: Option<u16>,
    /// From the call until the answer, or until the call failed.
    #[serde(rename = "took_ms", serialize_with = "as_millis")]
    pub took: Duration,
}

impl HookCalled {
    /// The class of the answer: `2xx`, `3xx`, `4xx`, `5xx`, or `none`.
    #[cfg(any(feature = "web", feature = "metrics"))]
    pub(crate) fn class(&self) -> &'static str {
        match self.status {
            Some(200..300) => "2xx",
            Some(300..400) => "3xx",
            Some(400..500) => "4xx",
            Some(_) => "5xx",
            None => "none",
        }
    }
}

/// An attempt of a job's run has failed, and another one follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct JobRetried {
    /// The run.
    #[serde(flatten)]
    pub run: Arc<JobRunInfo>,
    /// Which attempt has failed, from 1.
    pub attempt: u32,
    /// Why it failed.
    pub error: String,
    /// How long until the next attempt.
    #[serde(rename = "delay_ms", serialize_with = "as_millis")]
    pub delay: Duration,
}

/// A run of a job has ended, and the database knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct JobEnded {
    /// The run.
    #[serde(flatten)]
    pub run: Arc<JobRunInfo>,
    /// How many attempts the run has had, 0 if it never began.
    pub attempts: u32,
    /// From [`scheduled_at`](JobRunInfo::scheduled_at) until the beginning of the first attempt; `None` if a caller asked for the run, or if
    /// it never began.
    #[serde(rename = "waited_ms", serialize_with = "as_millis")]
    pub waited: Option<Duration>,
    /// From the beginning of the first attempt until the end; `None` if the run never began.
    #[serde(rename = "ran_ms", serialize_with = "as_millis")]
    pub ran: Option<Duration>,
    /// How the run ended.
    pub flag: RunFlag,
    /// Which kind of failure, if a handler or a hook has failed.
    pub failure: Option<Failure>,
    /// Why the run failed, was skipped or was cancelled, as the record has it.
    pub error: Option<String>,
    /// False: the end was not recorded, because others had ended the run.
    pub recorded: bool,
}
