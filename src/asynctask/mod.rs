//! The actors of one theme: from a waiting row to a recorded outcome.
//!
//! ```text
//!  Scheduler (handle) ──► store (row: Wait) ──► Wake
//!        │                                       │ carries no data: the scanner reads the rows
//!        │ a worker is free and nothing waits: row Running, claimed by its insert ── Dispatch ──► WorkerPool
//!                                                ▼
//!  ScannerActor ── Dispatch(batch) ──► WorkerPool ── Start(run) ──► WorkerActor ──► handler
//!       ▲ room, wake                       ▲ Idle                       │
//!       └── store.claim                    └────────────────────────────┤ Ended
//!                                                                       ▼
//!                                          store.write ◄───────── Recorder
//! ```
//!
//! Strong addresses point from left to right and down. Upward there are only weak addresses and the [`wake::Wake`], which carries
//! no data.

mod batch;
mod bells;
mod completion;
mod discovery;
mod enqueue;
mod execution;
mod held;
mod ledger;
mod limits;
mod messages;
mod of_handlers;
mod options;
#[cfg(all(feature = "hooks", feature = "web"))]
mod parking;
mod pool;
mod release;
mod run;
mod runtime;
mod scanner;
mod scheduler;
mod serving;
mod status;
mod theme;
mod throughput;
mod unattended;
mod unserved;
mod user_hooks;
mod wake;
mod worker;

pub(crate) use limits::LimitActor;
#[cfg(feature = "web")]
pub(crate) use limits::{ClaimPermits, Leave, Limits, Permit, Waiter};
pub use messages::{
    AddAfter, AddAfterOnce, AddBatch, AddBatchOnce, AddChain, AddChainOnce, AddTask, AddTasks, AddTasksOnce,
    CancelTask, CountByStatus, GetPredecessors, GetSchedulerStatus, GetTaskDetail, GetTaskExecRecords, GetWaitedFor,
    PauseTheme, ReceiveTask, ResizeTheme, ResizeWorkers, ResumeTheme, RetryTask, TaskQuickQueue, WaitFor,
};
pub(crate) use of_handlers::SchedulersOfHandlers;
pub use options::SchedulerOptions;
pub(crate) use release::{ReleaseActor, StopRelease};
pub(crate) use runtime::{ThemeRuntime, ThemeRuntimeConfig, ThemeRuntimes};
pub use scheduler::{CancelAnswer, Scheduler};
pub use status::{SchedulerStatus, UnservedMethod};
