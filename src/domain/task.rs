//! The values people hand in and get back: new tasks, tasks, execution records, lists.

use std::{fmt, str::FromStr, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, Serializer};

use super::validate::{Faults, InvalidInput, MAX_ARG_BYTES, MAX_NAME_CHARS, MAX_PAGE_SIZE};

/// Where a task stands. The texts in the database are those of the integration guide, plus `Cancelled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum TaskStatus {
    /// Waits for its first attempt.
    Wait,
    /// Claimed by a node.
    Running,
    /// Ended well; never runs again.
    Success,
    /// Out of attempts, or not worth another.
    Failed,
    /// Waits for another attempt.
    Retry,
    /// Ended by a request.
    Cancelled,
}

impl TaskStatus {
    /// Every status.
    pub const ALL: [Self; 6] = [
        Self::Wait,
        Self::Running,
        Self::Success,
        Self::Failed,
        Self::Retry,
        Self::Cancelled,
    ];

    /// The text in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wait => "Wait",
            Self::Running => "Running",
            Self::Success => "Success",
            Self::Failed => "Failed",
            Self::Retry => "Retry",
            Self::Cancelled => "Cancelled",
        }
    }

    /// Whether the task has come to an end (which [`retry_task`](crate::Scheduler::retry_task) can undo for `Failed` and
    /// `Cancelled`).
    #[must_use]
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Success | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for TaskStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for TaskStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| {
                let known = Self::ALL.map(Self::as_str).join(", ");
                format!("unknown task status {text:?}, expected one of {known}")
            })
    }
}

/// What people may do to a task by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ActionOnTask {
    /// Run it again from the start.
    Retry,
    /// End it.
    Cancel,
}

impl ActionOnTask {
    /// The statuses from which the action is allowed.
    #[must_use]
    pub const fn allowed_from(self) -> &'static [TaskStatus] {
        match self {
            Self::Retry => &[TaskStatus::Failed, TaskStatus::Cancelled],
            Self::Cancel => &[TaskStatus::Wait, TaskStatus::Retry, TaskStatus::Running],
        }
    }
}

impl fmt::Display for ActionOnTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Retry => "retry",
            Self::Cancel => "cancel",
        })
    }
}

/// A task to be added: which method of which service to call, with which arguments, and how.
///
/// ```
/// use std::time::Duration;
/// use gaia_actors::NewTask;
///
/// let task = NewTask::new("OrderService", "AsyncCreateOrder")
///     .name("create order 17")
///     .args(&serde_json::json!({ "order": 17 }))
///     .max_retry(5)
///     .timeout(Duration::from_secs(30))
///     .unique_key("order-17");
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a task does nothing until it is added"]
pub struct NewTask {
    pub(crate) service: String,
    pub(crate) method: String,
    pub(crate) name: String,
    pub(crate) arg: Result<String, String>,
    pub(crate) max_retry: i64,
    pub(crate) priority: i32,
    pub(crate) run_at: Option<DateTime<Utc>>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) retry_delay: Option<Duration>,
    pub(crate) unique_key: Option<String>,
}

impl NewTask {
    /// A task that calls `method` of `service` with `null` as its argument. Its name is `service.method` until
    /// [`name`](Self::name) gives it another; it is retried 3 times.
    pub fn new(service: impl Into<String>, method: impl Into<String>) -> Self {
        let (service, method) = (service.into(), method.into());
        Self {
            name: format!("{service}.{method}"),
            service,
            method,
            arg: Ok("null".to_owned()),
            max_retry: 3,
            priority: 0,
            run_at: None,
            timeout: None,
            retry_delay: None,
            unique_key: None,
        }
    }

    /// The name people see in lists, at most 255 characters.
    pub fn name(self, name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..self
        }
    }

    /// The arguments, serialised to JSON here; a value that cannot be serialised is reported when the task is added.
    pub fn args(self, args: &impl Serialize) -> Self {
        let arg = serde_json::to_string(args).map_err(|error| error.to_string());
        Self { arg, ..self }
    }

    /// The arguments as JSON text, at most 8 MiB. Text that is not JSON is refused when the task is added.
    pub fn raw_args(self, json: impl Into<String>) -> Self {
        Self {
            arg: Ok(json.into()),
            ..self
        }
    }

    /// How often the task is tried again after its first attempt fails. Default 3; 0 to 2³¹ - 2.
    pub fn max_retry(self, times: i64) -> Self {
        Self {
            max_retry: times,
            ..self
        }
    }

    /// Higher runs first. Default 0.
    pub fn priority(self, priority: i32) -> Self {
        Self { priority, ..self }
    }

    /// Not before this time.
    pub fn run_at(self, at: DateTime<Utc>) -> Self {
        Self {
            run_at: Some(at),
            ..self
        }
    }

    /// The longest one attempt may take. Default: the scheduler's.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self {
            timeout: Some(timeout),
            ..self
        }
    }

    /// The delay before the first retry, which doubles with each further one; zero: with the next scan. Default: the
    /// scheduler's.
    pub fn retry_delay(self, delay: Duration) -> Self {
        Self {
            retry_delay: Some(delay),
            ..self
        }
    }

    /// While an unfinished task of the theme has this key, adding another one answers with the task that is there.
    pub fn unique_key(self, key: impl Into<String>) -> Self {
        Self {
            unique_key: Some(key.into()),
            ..self
        }
    }

    pub(crate) fn check(&self) -> Result<(), InvalidInput> {
        let mut faults = Faults::default();
        faults.name("service", &self.service, MAX_NAME_CHARS);
        faults.name("method", &self.method, MAX_NAME_CHARS);
        faults.name("task name", &self.name, MAX_NAME_CHARS);
        if let Some(key) = &self.unique_key {
            faults.name("unique key", key, MAX_NAME_CHARS);
        }
        match &self.arg {
            Ok(arg) => check_arg(&mut faults, arg),
            Err(error) => faults.expect(false, || format!("the arguments cannot be serialised to JSON: {error}")),
        }
        faults.expect((0..i64::from(i32::MAX)).contains(&self.max_retry), || {
            format!("max_retry is {}, expected 0 to 2147483646", self.max_retry)
        });
        faults.expect(self.timeout.is_none_or(fits_millis), || {
            "timeout must be at least 1 ms and at most 2^63 - 1 ms".to_owned()
        });
        faults.expect(
            self.retry_delay
                .is_none_or(|delay| delay.is_zero() || fits_millis(delay)),
            || "retry_delay must be zero, or at least 1 ms and at most 2^63 - 1 ms".to_owned(),
        );
        let years = self.run_at.map(|at| chrono::Datelike::year(&at));
        faults.expect(years.is_none_or(|year| (1970..=9999).contains(&year)), || {
            "run_at must lie in the years 1970 to 9999".to_owned()
        });
        faults.into_result()
    }
}

fn check_arg(faults: &mut Faults, arg: &str) {
    faults.expect(arg.len() <= MAX_ARG_BYTES, || {
        let len = arg.len();
        format!("the arguments have {len} bytes, at most {MAX_ARG_BYTES} are stored")
    });
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(arg) {
        faults.expect(false, || format!("the arguments are not JSON: {error}"));
    }
}

/// Whole milliseconds are what the columns hold: nothing may be rounded to none.
fn fits_millis(duration: Duration) -> bool {
    duration >= Duration::from_millis(1) && i64::try_from(duration.as_millis()).is_ok()
}

/// Answer to adding a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AddedTask {
    /// The task's id.
    pub id: i64,
    /// True if an unfinished task with the same `unique_key` was there already: `id` is that task's, and nothing was added.
    pub duplicate: bool,
}

/// A task as it stands in the database.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Task {
    /// Its id.
    pub id: i64,
    /// The theme it belongs to (`system_name`).
    pub theme: String,
    /// The service it calls.
    pub service: String,
    /// The method it calls.
    pub method: String,
    /// The name people gave it.
    pub name: String,
    /// Its arguments as JSON text.
    pub arg: String,
    /// Where it stands.
    pub status: TaskStatus,
    /// Attempts used by failures so far.
    pub retry_time: i32,
    /// How often it may be tried again.
    pub max_retry_time: i32,
    /// Higher runs first.
    pub priority: i32,
    /// Not before this time; `None` once it is due.
    pub run_at: Option<DateTime<Utc>>,
    /// The longest one attempt may take; `None`: the scheduler's. Serialised as `timeout_ms`.
    #[serde(rename = "timeout_ms", serialize_with = "as_millis")]
    pub timeout: Option<Duration>,
    /// See [`NewTask::unique_key`].
    pub unique_key: Option<String>,
    /// The node that runs it.
    pub node: Option<String>,
    /// Somebody asked the running task to stop.
    pub cancel_requested: bool,
    /// Percent done, as the handler last reported it.
    pub progress: Option<i32>,
    /// What the handler last said of its progress.
    pub progress_note: Option<String>,
    /// When the last run began.
    pub last_run_time: Option<DateTime<Utc>>,
    /// When the last run ended.
    pub last_run_end_time: Option<DateTime<Utc>>,
    /// How long the last run took. Serialised in milliseconds, as in the guide's column.
    #[serde(serialize_with = "as_millis")]
    pub last_run_duration: Duration,
    /// JSON text of the last result.
    pub last_result: Option<String>,
    /// Error of the last run.
    pub last_error: Option<String>,
    /// Names the last run in every log line about it.
    pub log_id: Option<String>,
    /// When it was added.
    pub create_time: Option<DateTime<Utc>>,
    /// When its row last changed.
    pub update_time: Option<DateTime<Utc>>,
}

/// What one run of a task left behind: a row of `asynctask_exec_row`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ExecRecord {
    /// Its id.
    pub id: i64,
    /// The task that ran.
    pub task_id: i64,
    /// The task's status after the run, as text (the Go framework may have written others).
    pub status: String,
    /// 1 for the first attempt.
    pub attempt: Option<i32>,
    /// The node on which it ran.
    pub node: Option<String>,
    /// Grows with every claim of the task.
    pub lease_token: Option<i64>,
    /// JSON text of the result.
    pub result: Option<String>,
    /// The error.
    pub error: Option<String>,
    /// When the run began.
    pub run_time: Option<DateTime<Utc>>,
    /// When it ended.
    pub end_time: Option<DateTime<Utc>>,
    /// How long it took. Serialised as `duration_ms`.
    #[serde(rename = "duration_ms", serialize_with = "as_millis")]
    pub duration: Duration,
    /// Names the run in every log line about it.
    pub log_id: Option<String>,
}

/// Whole milliseconds, as the columns hold them.
fn as_millis<S: Serializer>(duration: &(impl Copy + Into<Option<Duration>>), serializer: S) -> Result<S::Ok, S::Error> {
    let duration: Option<Duration> = (*duration).into();
    duration.map(|duration| duration.as_millis()).serialize(serializer)
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page<T> {
    /// The rows of this page.
    pub items: Vec<T>,
    /// How many rows all pages have together.
    pub total: i64,
    /// Which page this is, from 1.
    pub page: u32,
    /// How many rows a full page has.
    pub page_size: u32,
}

/// Which page of a list, and how long: page 1 of 20 rows unless told otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PageRequest {
    /// From 1.
    pub page: u32,
    /// 1 to 1000.
    pub page_size: u32,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { page: 1, page_size: 20 }
    }
}

impl PageRequest {
    /// Page `page` (from 1) of `page_size` rows (1 to 1000).
    #[must_use]
    pub const fn new(page: u32, page_size: u32) -> Self {
        Self { page, page_size }
    }

    pub(crate) fn check(self) -> Result<(), InvalidInput> {
        let mut faults = Faults::default();
        faults.expect(self.page >= 1, || "page is 0, pages count from 1".to_owned());
        faults.expect((1..=MAX_PAGE_SIZE).contains(&self.page_size), || {
            let size = self.page_size;
            format!("page_size is {size}, expected 1 to {MAX_PAGE_SIZE}")
        });
        faults.into_result()
    }

    pub(crate) fn offset(self) -> i64 {
        i64::from(self.page.saturating_sub(1)) * i64::from(self.page_size)
    }

    pub(crate) fn of<T>(self, items: Vec<T>, total: i64) -> Page<T> {
        Page {
            items,
            total,
            page: self.page,
            page_size: self.page_size,
        }
    }
}

/// Which tasks of a theme to list, newest first. The default lists all of them, 20 a page.
///
/// It is also the message that asks a [`Scheduler`](crate::Scheduler)'s address for the list.
///
/// ```
/// use gaia_actors::{ListTasks, PageRequest, TaskStatus};
///
/// let waiting = ListTasks {
///     statuses: vec![TaskStatus::Wait, TaskStatus::Retry],
///     name_contains: Some("订单".to_owned()),
///     page: PageRequest::new(1, 50),
///     ..ListTasks::default()
/// };
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListTasks {
    /// Which page.
    pub page: PageRequest,
    /// Only these statuses; empty: all.
    pub statuses: Vec<TaskStatus>,
    /// Only names that contain this text (`%` and `_` stand for themselves).
    pub name_contains: Option<String>,
    /// Only this service.
    pub service: Option<String>,
    /// Only this method.
    pub method: Option<String>,
    /// Only tasks added at or after this time.
    pub created_from: Option<DateTime<Utc>>,
    /// Only tasks added before this time.
    pub created_before: Option<DateTime<Utc>>,
}
