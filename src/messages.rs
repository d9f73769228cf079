//! The messages to the addresses of handles: what a caller inside another actor sends instead of calling a method.
//!
//! [`Scheduler`](crate::Scheduler), [`Jobs`](crate::Jobs), [`Gaia`](crate::Gaia) and [`Admin`](crate::Admin) are actors, too:
//! `handle.addr()` starts an actor for the handle, and answers with an address to which any actor can send these messages, or a `Recipient`
//! of a single one of them. Each message has the answer of the method that it names, and goes through JSON and back;
//! [`operations`](crate::operations) has all of them in tables.
//!
//! Messages to an [`Admin`](crate::Admin) about a theme name the theme, and are in [`admin`](crate::admin).
//!
#![cfg_attr(feature = "sqlite", doc = "```")]
#![cfg_attr(not(feature = "sqlite"), doc = "```no_run")]
//! use gaia_actors::{messages::ResizeWorkers, prelude::*};
//!
//! # #[actix_rt::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let options = SchedulerOptions::new("order-task").worker_num(4);
//! let gaia = Gaia::builder().database("sqlite::memory:").scheduler(options).start().await?;
//! let scheduler = gaia.scheduler("order-task")?;
//!
//! let address = scheduler.addr();
//! address.send(ResizeWorkers(16)).await??;
//! assert_eq!(scheduler.status().await?.all_workers, 16);
//! # gaia.stop().await?;
//! # Ok(())
//! # }
//! ```

pub use crate::{
    admin::{
        BulkTasks, CancelBulk, CancelTaskById, CountTasks, DeleteTask, EndAudit, ExportTasks, FindJobs, FindRuns,
        GetBulkOperation, GetErrors, GetHistory, GetLimits, GetMethods, GetNode, GetRun, GetRunLog, GetTask,
        GetTaskLog, GetTheme, GetThemes, ListAudit, ListBulkOperations, NewAudit, PreviewBulk, RemoveLimit, ResizeNode,
        RetryTaskById, RunJob, RunTaskNow, SearchTasks, SetLimit,
    },
    asynctask::{
        AddAfter, AddAfterOnce, AddBatch, AddBatchOnce, AddChain, AddChainOnce, AddTask, AddTasks, AddTasksOnce,
        CancelTask, CountByStatus, GetPredecessors, GetSchedulerStatus, GetTaskDetail, GetTaskExecRecords,
        GetWaitedFor, PauseTheme, ReceiveTask, ResizeTheme, ResizeWorkers, ResumeTheme, RetryTask, TaskQuickQueue,
        WaitFor,
    },
    domain::{ListJobs, ListTasks},
    jobs::{
        AddJob, CancelJob, ChangeJobIf, EnsureJob, ExecuteJobImmediately, GetJobDetail, GetJobRecords, GetJobsStatus,
        GetRunningJobs, JobChange, RemoveJob, ToggleJob, UpdateJob, WaitForRun,
    },
    runtime::{DrainGaia, GetAllSchedulerStatus, GetNodes, StopGaia},
};
