//! Looking for tasks of any theme, newest first, a page at a time.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    HeldFields, Parameters, Task, TaskStatus, WaitsFor,
    text::{as_millis, millis},
    validate::{Faults, InvalidInput, MAX_NAME_CHARS, MAX_THEME_CHARS},
};

/// The most tasks on a page of a search.
const MAX_FOUND: u32 = 200;

/// The most themes, or statuses, that a filter names.
const MAX_NAMED: usize = 100;

/// The most ids that a filter names.
const MAX_IDS: usize = 1_000;

/// Which tasks: those that meet all its conditions. The default has no condition.
///
/// ```
/// use gaia_actors::{TaskStatus, admin::TaskFilter};
///
/// let refused = TaskFilter {
///     themes: vec!["order-task".to_owned()],
///     statuses: vec![TaskStatus::Failed],
///     error_contains: Some("connection refused".to_owned()),
///     ..TaskFilter::default()
/// };
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
pub struct TaskFilter {
    /// Only these themes; empty: all. At most 100.
    #[cfg_attr(feature = "web", schema(max_items = 100))]
    pub themes: Vec<String>,
    /// Only these statuses; empty: all.
    #[cfg_attr(feature = "web", schema(max_items = 100))]
    pub statuses: Vec<TaskStatus>,
    /// Only this service.
    #[cfg_attr(feature = "web", schema(min_length = 1, max_length = 255))]
    pub service: Option<String>,
    /// Only this method.
    #[cfg_attr(feature = "web", schema(min_length = 1, max_length = 255))]
    pub method: Option<String>,
    /// Only names that contain this text (`%` and `_` stand for themselves).
    #[cfg_attr(feature = "web", schema(min_length = 1, max_length = 255))]
    pub name_contains: Option<String>,
    /// Only these ids; empty: all. At most 1,000.
    #[cfg_attr(feature = "web", schema(max_items = 1000))]
    pub ids: Vec<i64>,
    /// Only this unique key, of unfinished and of finished tasks.
    #[cfg_attr(feature = "web", schema(min_length = 1, max_length = 255))]
    pub unique_key: Option<String>,
    /// Only this limit key.
    #[cfg_attr(feature = "web", schema(min_length = 1, max_length = 255))]
    pub limit_key: Option<String>,
    /// Only tasks that this node runs.
    #[cfg_attr(feature = "web", schema(min_length = 1, max_length = 255))]
    pub node: Option<String>,
    /// Only tasks that no node runs. With the status Running: tasks whose end the database has refused, and tasks that another framework
    /// has left. A search for Running tasks finds these only with this condition, since nothing but their rows names them.
    pub without_node: bool,
    /// Only the task that has run under this log id, in its last attempt or in an earlier one.
    #[cfg_attr(feature = "web", schema(min_length = 1, max_length = 255))]
    pub log_id: Option<String>,
    /// Only tasks whose last error contains this text.
    #[cfg_attr(feature = "web", schema(min_length = 1, max_length = 255))]
    pub error_contains: Option<String>,
    /// Only tasks added at or after this time.
    pub created_from: Option<DateTime<Utc>>,
    /// Only tasks added before this time.
    pub created_before: Option<DateTime<Utc>>,
    /// Only tasks whose last run ended at or after this time.
    pub ended_from: Option<DateTime<Utc>>,
    /// Only tasks whose last run ended before this time.
    pub ended_before: Option<DateTime<Utc>>,
}

impl TaskFilter {
    /// Whether it has no condition, so that it means every task of the database.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The conditions among these parameters, under the names of the fields or those of the HTTP API.
    pub(crate) fn read(parameters: &mut Parameters) -> Self {
        parameters.rename(&[
            ("theme", "themes"),
            ("status", "statuses"),
            ("name", "name_contains"),
            ("id", "ids"),
            ("error", "error_contains"),
        ]);
        Self {
            themes: parameters.texts("themes"),
            statuses: parameters.list("statuses"),
            service: parameters.text("service"),
            method: parameters.text("method"),
            name_contains: parameters.text("name_contains"),
            ids: parameters.list("ids"),
            unique_key: parameters.text("unique_key"),
            limit_key: parameters.text("limit_key"),
            node: parameters.text("node"),
            without_node: parameters.flag("without_node").unwrap_or(false),
            log_id: parameters.text("log_id"),
            error_contains: parameters.text("error_contains"),
            created_from: parameters.time("created_from"),
            created_before: parameters.time("created_before"),
            ended_from: parameters.time("ended_from"),
            ended_before: parameters.time("ended_before"),
        }
    }

    pub(crate) fn check(&self, faults: &mut Faults) {
        let most = |faults: &mut Faults, what: &str, count: usize, most: usize| {
            faults.require(count <= most, || {
                format!("the filter names {count} {what}, at most {most} are allowed")
            });
        };
        most(faults, "themes", self.themes.len(), MAX_NAMED);
        most(faults, "statuses", self.statuses.len(), MAX_NAMED);
        most(faults, "ids", self.ids.len(), MAX_IDS);
        faults.require(self.node.is_none() || !self.without_node, || {
            "the filter asks for tasks of a node and for tasks without one".to_owned()
        });
        for theme in &self.themes {
            faults.label("a theme of the filter", theme, MAX_THEME_CHARS);
        }
        let texts = [
            ("service", &self.service),
            ("method", &self.method),
            ("name_contains", &self.name_contains),
            ("unique_key", &self.unique_key),
            ("limit_key", &self.limit_key),
            ("node", &self.node),
            ("log_id", &self.log_id),
            ("error_contains", &self.error_contains),
        ];
        for (what, text) in texts {
            if let Some(text) = text {
                faults.label(what, text, MAX_NAME_CHARS);
            }
        }
    }

    /// Whether the row of a task alone says whether the task meets the filter. Otherwise a claim has a say: it may hold a task that waits by
    /// its row.
    pub(crate) fn is_decided_by_rows(&self) -> bool {
        self.node.is_none() && !self.without_node && self.statuses.iter().all(|status| status.is_finished())
    }

    /// Whether a task that a database query has found meets the conditions that its row alone does not decide.
    pub(crate) fn is_met_by(&self, status: TaskStatus, node: Option<&str>) -> bool {
        (self.statuses.is_empty() || self.statuses.contains(&status))
            && (self.node.is_none() || self.node.as_deref() == node)
            && !(self.without_node && node.is_some())
    }
}

/// Which tasks to find, newest first, and from which on: the first 50 of the newest unless told otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SearchTasks {
    /// Which tasks.
    pub filter: TaskFilter,
    /// The most tasks of one answer, 1 to 200.
    pub limit: u32,
    /// Only tasks whose ids are less than this: [`FoundTasks::next`] of the answer before. `None`: from the newest task on.
    pub before: Option<i64>,
}

impl Default for SearchTasks {
    fn default() -> Self {
        Self {
            filter: TaskFilter::default(),
            limit: 50,
            before: None,
        }
    }
}

impl SearchTasks {
    pub(crate) fn check(&self) -> Result<(), InvalidInput> {
        let mut faults = Faults::default();
        faults.require((1..=MAX_FOUND).contains(&self.limit), || {
            format!("limit is {}, expected 1 to {MAX_FOUND}", self.limit)
        });
        self.filter.check(&mut faults);
        faults.into_result()
    }
}

/// What a search has found: a page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FoundTasks {
    /// The tasks, newest first.
    pub tasks: Vec<TaskSummary>,
    /// [`SearchTasks::before`] of the next page; `None`: no further task meets the filter.
    pub next: Option<i64>,
    /// The search has taken long and was ended before the page was full: it has looked at all tasks that were added since this task, which
    /// was added at this time. The next page goes on from there. `None`: the page is full, or the search has looked at all tasks.
    pub searched_back_to: Option<SearchedTo>,
}

/// Whole tasks that a search has found: a page of an export.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExportedTasks {
    /// The tasks, newest first, with their whole texts.
    pub tasks: Vec<Task>,
    /// [`SearchTasks::before`] of the next page; `None`: no further task meets the filter.
    pub next: Option<i64>,
    /// As [`FoundTasks::searched_back_to`].
    pub searched_back_to: Option<SearchedTo>,
}

/// How many tasks meet a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct TaskCount {
    /// How many were counted.
    pub tasks: u64,
    /// The count has ended early, because it has come to its limit or has taken half a second: there may be more tasks.
    pub more: bool,
}

/// How far back a search has looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct SearchedTo {
    /// The id of the oldest task that it has looked at.
    pub id: i64,
    /// When that task was added.
    pub create_time: Option<DateTime<Utc>>,
}

/// The beginning of a text that may be long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct Excerpt {
    /// Its first 256 characters.
    pub text: String,
    /// How many bytes the whole text has.
    pub bytes: i64,
}

impl Excerpt {
    /// Whether the text is longer than the excerpt.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        usize::try_from(self.bytes).is_ok_and(|bytes| bytes > self.text.len())
    }
}

/// A task as lists show it: everything but its long texts, of which it has the beginnings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct TaskSummary {
    /// Its id.
    pub id: i64,
    /// The theme it belongs to (`system_name`).
    pub theme: String,
    /// The service it calls.
    pub service: String,
    /// The method it calls.
    pub method: String,
    /// Its name.
    pub name: String,
    /// Its status.
    pub status: TaskStatus,
    /// Attempts used by failures so far.
    pub retry_time: i32,
    /// How often it may be tried again.
    pub max_retry_time: i32,
    /// Higher runs first.
    pub priority: i32,
    /// Not before this time; `None` once it is due, and while it waits for other tasks.
    pub run_at: Option<DateTime<Utc>>,
    /// The tasks for which it waits. `None` if it waits for none, and once they have ended.
    pub waits_for: Option<WaitsFor>,
    /// See [`NewTask::unique_key`](crate::NewTask::unique_key).
    pub unique_key: Option<String>,
    /// See [`NewTask::limit_key`](crate::NewTask::limit_key).
    pub limit_key: Option<String>,
    /// The node that runs it.
    pub node: Option<String>,
    /// A caller asked the running task to stop.
    pub cancel_requested: bool,
    /// Percent done, as the handler last reported it.
    pub progress: Option<i32>,
    /// What the handler last said of its progress.
    pub progress_note: Option<String>,
    /// When the last run began.
    pub last_run_time: Option<DateTime<Utc>>,
    /// When the last run ended.
    pub last_run_end_time: Option<DateTime<Utc>>,
    /// How long the last run took. Serialised as `last_run_duration_ms`.
    #[serde(
        rename = "last_run_duration_ms",
        serialize_with = "as_millis",
        deserialize_with = "millis"
    )]
    #[cfg_attr(feature = "web", schema(value_type = u64))]
    pub last_run_duration: Duration,
    /// Names the last run in every log line about it.
    pub log_id: Option<String>,
    /// When it was added.
    pub create_time: Option<DateTime<Utc>>,
    /// When its row last changed.
    pub update_time: Option<DateTime<Utc>>,
    /// The beginning of its arguments.
    pub args: Excerpt,
    /// The beginning of its last result.
    pub last_result: Option<Excerpt>,
    /// The beginning of the error of its last run.
    pub last_error: Option<Excerpt>,
}

impl TaskSummary {
    pub(crate) fn held_fields(&mut self) -> HeldFields<'_> {
        HeldFields {
            id: self.id,
            run_at: &mut self.run_at,
            waits_for: &mut self.waits_for,
        }
    }

    /// How many bytes its long texts have in all.
    pub(crate) fn text_bytes(&self) -> u64 {
        let texts = [Some(&self.args), self.last_result.as_ref(), self.last_error.as_ref()];
        let bytes = texts
            .into_iter()
            .flatten()
            .map(|text| u64::try_from(text.bytes).unwrap_or(0));
        bytes.fold(0, u64::saturating_add)
    }

    /// A task that was read with the beginnings of its texts, and the lengths of these: of arguments, result and error.
    pub(crate) fn of(task: Task, [args, result, error]: [Option<i64>; 3]) -> Self {
        let excerpt = |text: String, bytes: Option<i64>| Excerpt {
            bytes: bytes.unwrap_or_else(|| i64::try_from(text.len()).unwrap_or(i64::MAX)),
            text,
        };
        Self {
            id: task.id,
            theme: task.theme,
            service: task.service,
            method: task.method,
            name: task.name,
            status: task.status,
            retry_time: task.retry_time,
            max_retry_time: task.max_retry_time,
            priority: task.priority,
            run_at: task.run_at,
            waits_for: task.waits_for,
            unique_key: task.unique_key,
            limit_key: task.limit_key,
            node: task.node,
            cancel_requested: task.cancel_requested,
            progress: task.progress,
            progress_note: task.progress_note,
            last_run_time: task.last_run_time,
            last_run_end_time: task.last_run_end_time,
            last_run_duration: task.last_run_duration,
            log_id: task.log_id,
            create_time: task.create_time,
            update_time: task.update_time,
            args: excerpt(task.arg, args),
            last_result: task.last_result.map(|text| excerpt(text, result)),
            last_error: task.last_error.map(|text| excerpt(text, error)),
        }
    }
}

/// The id of the task in a log id of this crate: the number at its end.
pub(crate) fn task_of_log_id(log_id: &str) -> Option<i64> {
    log_id.rsplit_once('-')?.1.parse().ok().filter(|id: &i64| *id > 0)
}
