//! What a task is and how its state moves: plain values and pure functions.
//!
//! Nothing here knows a database, an actor or a clock.

mod failure;
mod hook;
mod json;
mod list;
mod new_task;
mod retry;
mod task;
mod text;
mod transition;
mod validate;

pub use failure::{Failure, TaskError};
pub use hook::{HookMethod, HookSecret};
pub(crate) use hook::{check_hook_headers, check_hook_url};
pub use json::Json;
pub use list::{ListTasks, Page, PageRequest};
pub use new_task::NewTask;
pub use retry::RetryPolicy;
pub use task::{ActionOnTask, AddedTask, ExecRecord, Task, TaskStatus};
pub(crate) use text::{LIMIT as TEXT_LIMIT, truncated};
pub use transition::Outcome;
pub(crate) use transition::{Attempt, Next, next};
pub(crate) use validate::{Faults, check_theme};
pub use validate::{InvalidInput, MAX_ARG_BYTES, MAX_NAME_CHARS, MAX_PAGE_SIZE, MAX_THEME_CHARS};
