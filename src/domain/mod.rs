//! The values of tasks and jobs, and the rules by which their states change: plain values and pure functions.
//!
//! Nothing here uses a database, an actor or a clock.

mod alerts;
mod audit;
mod batch;
mod bulk;
mod errors;
mod failure;
mod fields;
mod figures;
mod held;
mod history;
mod hook;
mod jobs;
mod json;
mod limit;
mod list;
mod new_task;
mod once;
mod parameters;
mod plain;
mod requests;
mod retry;
#[cfg(feature = "web")]
pub(crate) mod schema;
mod search;
mod search_line;
mod task;
mod text;
mod text_enum;
mod traceparent;
mod transition;
mod validate;
mod waits;

pub(crate) use alerts::MOST_ALERTS;
pub use alerts::{Alert, AlertKind, AlertSeverity, AlertState, ListAlerts, OpenAlert};
pub(crate) use audit::changes_text;
pub use audit::{AuditChange, AuditEntry, EndAudit, ListAudit, NewAudit};
#[cfg(feature = "web")]
pub(crate) use audit::{MAX_ACTION_CHARS, MAX_LISTED_THEMES, MAX_TARGET_CHARS};
pub(crate) use batch::fitting;
pub use bulk::{BulkAction, BulkOperation, BulkPreview, BulkState, BulkTasks, ListBulkOperations, SkipReason};
pub use errors::{ErrorAttempts, ErrorGroup, ErrorsSince, GetErrors, TaskErrors};
pub(crate) use errors::{ErrorGroups, FailedAttempt};
pub(crate) use failure::PARAM_ERROR;
pub use failure::{Failure, TaskError};
#[cfg(feature = "web")]
pub(crate) use fields::{Fields, Object, as_args};
pub use figures::HISTORY_BOUNDS_MS;
pub(crate) use figures::{Figures, Histogram, Times};
pub use held::{AddedBatch, Predecessor};
pub(crate) use held::{MAX_AFTER, MAX_CHAIN};
pub(crate) use history::{Counted, HistoryRow, Points, SHORTEST_SPAN, Series, span_of};
pub use history::{GetHistory, History, HistoryKind, HistoryPoint, HistoryTimes};
pub use hook::{HookMethod, HookSecret};
pub(crate) use hook::{check_hook_headers, check_hook_url, without_user};
pub(crate) use jobs::{
    Decision, Definition, Due, Hook, JobRules, Misfire, Missed, SecretChange, Target, Waited, decide, due, is_missed,
    waited,
};
pub use jobs::{
    FindJobs, FindRuns, FoundJobs, FoundRuns, Job, JobDetail, JobRecord, JobType, ListJobs, MisfirePolicy, NewJob,
    OverlapPolicy, RunFlag, RunState, RunStatus,
};
pub use json::Json;
pub(crate) use json::{JsonText, parsed_args};
pub use limit::{Limit, Pace};
pub(crate) use limit::{check_limit, check_names};
pub use list::{ListTasks, Page, PageRequest};
pub use new_task::NewTask;
pub(crate) use new_task::{DEFAULT_MAX_RETRY, check_max_retry};
#[cfg(feature = "web")]
pub(crate) use once::check_key;
pub use once::{AddedBatchOnce, AddedOnce, MAX_IDEMPOTENCY_KEY_CHARS};
pub(crate) use once::{KEY_LIFE, OnceKey};
pub(crate) use parameters::Parameters;
pub(crate) use plain::{Form, Texts, ascii};
pub(crate) use requests::{Answer, Asked, Note, REQUEST_LIFE, check_node, check_wait, check_workers};
#[cfg(feature = "web")]
pub(crate) use requests::{MAX_AUTHOR_CHARS, MAX_REASON_CHARS};
pub use retry::RetryPolicy;
pub(crate) use search::task_of_log_id;
pub use search::{Excerpt, ExportedTasks, FoundTasks, SearchTasks, SearchedTo, TaskCount, TaskFilter, TaskSummary};
#[cfg(feature = "web")]
pub(crate) use search_line::without;
pub use task::{ActionOnTask, AddedTask, ExecRecord, Task, TaskStatus};
pub(crate) use text::{LIMIT as TEXT_LIMIT, NOTE_LIMIT, as_millis, hex, millis, truncated};
pub(crate) use traceparent::is_traceparent;
#[cfg(feature = "web")]
pub(crate) use traceparent::of_header as traceparent_of_header;
pub use transition::Outcome;
pub(crate) use transition::{Next, RetryState, next};
pub(crate) use validate::{Faults, MAX_WORKERS, check_json, check_theme};
pub use validate::{InvalidInput, MAX_ARG_BYTES, MAX_NAME_CHARS, MAX_PAGE_SIZE, MAX_THEME_CHARS};
pub(crate) use waits::HeldFields;
pub use waits::{WaitKind, WaitsFor};
