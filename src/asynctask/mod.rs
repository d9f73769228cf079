//! The machine of one theme: from a waiting row to a recorded outcome.
//!
//! ```text
//!  Scheduler (handle) ──► store (row: Wait) ──► wake
//!                                                │ carries no data: the row is re-read
//!  ScannerActor ── Dispatch(batch) ──► WorkerPool ── Start(run) ──► WorkerActor ──► handler
//!       ▲ room, wake                       ▲ Idle                       │
//!       └── store.claim                    └────────────────────────────┤ Ended
//!                                                                       ▼
//!                                          store.write ◄───────── RecorderActor
//! ```
//!
//! Strong addresses point from left to right and down. Upward there are only weak addresses and one data-free
//! [`tokio::sync::Notify`].

mod batch;
mod completion;
mod execution;
mod gate;
mod machine;
mod messages;
mod options;
mod pace;
mod pool;
mod recorder;
mod run;
mod scanner;
mod scheduler;
mod status;
mod theme;
mod worker;

pub(crate) use gate::GateChange;
pub(crate) use machine::{Machine, MachineParts, Machines};
pub use messages::{
    AddTask, AddTasks, CancelTask, CountByStatus, GetSchedulerStatus, GetTaskDetail, GetTaskExecRecords, PauseTheme,
    ReceiveTask, ResizeTheme, ResizeWorkers, ResumeTheme, RetryTask, TaskQuickQueue, WaitFor,
};
pub use options::SchedulerOptions;
pub use scheduler::{CancelAnswer, Scheduler};
pub use status::SchedulerStatus;
