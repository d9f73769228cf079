#![doc = include_str!("docs/intro.md")]
// On docs.rs each item names the feature that it needs.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![warn(missing_docs, clippy::print_stdout, clippy::print_stderr)]

#[cfg(not(any(feature = "sqlite", feature = "postgres", feature = "mysql")))]
compile_error!("gaia-actors: enable at least one database: `sqlite` (the default feature), `postgres` or `mysql`");

/// The examples of documents beside `src` are compiled and run.
#[cfg(doctest)]
mod documents {
    #[cfg(feature = "sqlite")]
    #[doc = include_str!("../README.md")]
    struct Readme;

    #[cfg(feature = "sqlite")]
    #[doc = include_str!("../README.zh-CN.md")]
    struct ReadmeInChinese;

    #[doc = include_str!("../docs/configuration.md")]
    struct Configuration;
}

#[macro_use]
mod line;
mod asynctask;
mod backoff;
mod blocking;
mod clock;
mod config;
mod domain;
mod error;
mod events;
mod held_runs;
mod hook;
mod jobs;
mod lease;
mod node;
pub mod operations;
mod panic_text;
mod registry;
mod repeats;
mod run;
mod runtime;
mod schedule;
pub mod store;
pub mod testing;
mod threads;
mod uptime;

pub use asynctask::{
    AddTask, AddTasks, CancelAnswer, CancelTask, CountByStatus, GetSchedulerStatus, GetTaskDetail, GetTaskExecRecords,
    PauseTheme, ReceiveTask, ResizeTheme, ResizeWorkers, ResumeTheme, RetryTask, Scheduler, SchedulerOptions,
    SchedulerStatus, TaskQuickQueue, UnservedMethod, WaitFor,
};
pub use clock::Clock;
pub use config::{AsyncTaskConfig, Config, ConfigError, FrameworkConfig, JobsConfig, MissingHandler, NodeConfig};
pub use domain::{
    ActionOnTask, AddedTask, ExecRecord, Failure, HookMethod, HookSecret, InvalidInput, Job, JobDetail, JobRecord,
    JobType, Json, ListJobs, ListTasks, MAX_ARG_BYTES, MAX_NAME_CHARS, MAX_PAGE_SIZE, MAX_THEME_CHARS, MisfirePolicy,
    NewJob, NewTask, Outcome, OverlapPolicy, Page, PageRequest, RetryPolicy, RunFlag, RunStatus, Task, TaskError,
    TaskStatus,
};
pub use error::Error;
pub use events::{
    Component, DatabaseFailure, DatabaseRecovery, DatabaseWork, Event, JobEnded, JobFired, JobRetried, JobRunInfo,
    JobStarted, TaskEnded, TaskOutcome, TaskRunInfo, TaskStarted,
};
#[cfg(feature = "hooks")]
pub use hook::HookOptions;
pub use jobs::{
    AddJob, CancelJob, CronActor, EnsureJob, ExecuteJobImmediately, GetJobDetail, GetJobRecords, GetJobsStatus,
    GetRunningJobs, JobExecActor, Jobs, JobsOptions, JobsStatus, RemoveJob, ToggleJob, UpdateJob, WaitForRun,
};
pub use node::{NodeActor, NodeInfo, NodeTheme};
pub use registry::{
    Call, CallError, Endpoint, Invoke, MethodName, Registry, RegistryActor, RegistryError, Route, TaskContext,
    async_fn, blocking_fn,
};
pub use runtime::{DrainGaia, Gaia, GaiaBuilder, GetAllSchedulerStatus, GetNodes, StopGaia, StopReport};
pub use schedule::{
    Language, MAX_SCHEDULE_CHARS, MAX_ZONE_CHARS, Schedule, ScheduleError, ScheduleForm, Zone, ZoneData, ZoneOffset,
    parse_zone, zone_data,
};
pub use store::{EnqueueConnection, StoreError};

/// Documentation only: a page for each part of the crate.
///
/// The documentation of single items also speaks of *the integration guide*, or *the guide*: that is the manual of the Go framework whose
/// tables and names this crate uses, and not these pages.
pub mod guide {
    pub mod tasks {
        #![doc = include_str!("docs/tasks.md")]
        #[cfg(doc)]
        use crate::*;
    }

    pub mod jobs {
        #![doc = include_str!("docs/jobs.md")]
        #[cfg(doc)]
        use crate::*;
    }

    pub mod cluster {
        #![doc = include_str!("docs/cluster.md")]
        #[cfg(doc)]
        use crate::*;
    }

    pub mod promises {
        #![doc = include_str!("docs/promises.md")]
        #[cfg(doc)]
        use crate::*;
    }
}

/// What nearly every user needs: `use gaia_actors::prelude::*;`
pub mod prelude {
    #[cfg(feature = "hooks")]
    pub use crate::HookOptions;
    pub use crate::{
        AddTask, CancelTask, Config, Endpoint, Error, Gaia, Invoke, JobRecord, Jobs, JobsOptions, Json, ListJobs,
        ListTasks, MisfirePolicy, NewJob, NewTask, OverlapPolicy, PageRequest, ResizeWorkers, RetryPolicy, RunFlag,
        Scheduler, SchedulerOptions, TaskContext, TaskError, TaskStatus, async_fn, blocking_fn,
    };
}
