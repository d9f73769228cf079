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

    #[cfg(feature = "tracing")]
    #[doc = include_str!("../docs/monitoring.md")]
    struct Monitoring;
}

#[macro_use]
mod line;
pub mod admin;
mod alerts;
mod asynctask;
mod backoff;
mod blocking;
mod clock;
pub mod config;
mod definition;
mod domain;
mod error;
pub mod events;
mod held_runs;
mod hook;
mod jobs;
mod lease;
pub mod logs;
#[cfg(any(feature = "hooks", feature = "web"))]
mod mac;
pub mod messages;
mod node;
pub mod operations;
mod panic_text;
mod registry;
#[cfg(feature = "web")]
mod remote;
mod repeats;
mod run;
mod runtime;
pub mod schedule;
mod services;
pub mod store;
pub mod testing;
mod threads;
mod traces;
mod uptime;
#[cfg(feature = "web")]
pub mod web;

pub use admin::Admin;
pub use alerts::{AlertOptions, Webhook};
pub use asynctask::{CancelAnswer, Scheduler, SchedulerOptions, SchedulerStatus, UnservedMethod};
pub use clock::Clock;
pub use config::{Compat, Config, MissingHandler, WebhookFormat};
pub use definition::{Added, Schedulers, ServiceMethods, TaskDef, TypedTask};
pub use domain::{
    ActionOnTask, AddedBatch, AddedBatchOnce, AddedOnce, AddedTask, Alert, AlertKind, AlertSeverity, AlertState,
    ExecRecord, Failure, HookMethod, HookSecret, InvalidInput, Job, JobDetail, JobRecord, JobType, Json, Limit,
    MAX_ARG_BYTES, MAX_IDEMPOTENCY_KEY_CHARS, MAX_NAME_CHARS, MAX_PAGE_SIZE, MAX_THEME_CHARS, MisfirePolicy, NewJob,
    NewTask, Outcome, OverlapPolicy, Pace, Page, PageRequest, Predecessor, RetryPolicy, RunFlag, RunStatus, Task,
    TaskError, TaskStatus, WaitKind, WaitsFor,
};
pub use error::Error;
pub use events::Event;
#[cfg(feature = "hooks")]
pub use hook::HookOptions;
pub use jobs::{CronActor, JobExecActor, Jobs, JobsOptions, JobsStatus};
pub use node::{NodeActor, NodeDetail, NodeInfo, NodeStatus, NodeTheme};
pub use registry::{
    Call, CallError, Endpoint, Invoke, MethodName, Next, Registration, Registry, RegistryActor, RegistryError, Route,
    TaskContext, async_fn, blocking_fn,
};
pub use runtime::{Gaia, GaiaBuilder, Readiness, StopReport};
pub use schedule::{Schedule, ScheduleForm};
#[cfg(feature = "hooks")]
pub use services::RemoteService;
pub use store::{BlockingEnqueueConnection, EnqueueConnection, StoreError};
#[cfg(feature = "tracing")]
pub use traces::Propagation;

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
        Added, CancelAnswer, Config, Endpoint, Error, Gaia, GaiaBuilder, Invoke, JobRecord, JobType, Jobs, JobsOptions,
        Json, Limit, MisfirePolicy, NewJob, NewTask, Next, Outcome, OverlapPolicy, PageRequest, Registration,
        RetryPolicy, RunFlag, Scheduler, SchedulerOptions, Schedulers, ServiceMethods, Task, TaskContext, TaskDef,
        TaskError, TaskStatus, TypedTask,
        admin::TaskFilter,
        async_fn, blocking_fn,
        messages::{AddTask, CancelTask, GetTaskDetail, ListJobs, ListTasks, ResizeTheme, ResizeWorkers, RetryTask},
    };
}
