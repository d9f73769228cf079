//! What operators see and change, across the themes and nodes of a database.

mod alerts;
mod audit;
mod bulk;
mod errors;
mod find;
mod jobs;
mod limits;
mod logs;
mod messages;
mod methods;
mod nodes;
mod operations;
mod overview;
mod requests;
mod tasks;
mod themes;

use std::sync::Arc;

use actix::Addr;

pub(crate) use bulk::{BulkActor, StopBulk};
pub use jobs::JobBegun;
pub(crate) use limits::too_many_limits;
pub use limits::{GetLimits, MethodLimit, RemoveLimit, SetLimit};
pub use messages::{
    BulkTasks, CancelBulk, CancelTaskById, CountTasks, DeleteTask, EndAudit, ExportTasks, FindJobs, FindRuns,
    GetBulkOperation, GetErrors, GetHistory, GetMethods, GetNode, GetRun, GetRunLog, GetTask, GetTaskLog, GetTheme,
    GetThemes, ListAlerts, ListAudit, ListBulkOperations, NewAudit, PauseTheme, PreviewBulk, ResizeNode, ResizeTheme,
    ResumeTheme, RetryTaskById, RunJob, RunTaskNow, SearchTasks,
};
pub use methods::MethodInfo;
#[cfg(feature = "web")]
pub(crate) use overview::Unfinished;
pub(crate) use overview::{Overview, ThemeState};
pub use themes::{ThemeInfo, ThemeNote};

pub use crate::domain::{
    AuditChange, AuditEntry, BulkAction, BulkOperation, BulkPreview, BulkState, ErrorAttempts, ErrorGroup, ErrorsSince,
    Excerpt, ExportedTasks, FoundJobs, FoundRuns, FoundTasks, HISTORY_BOUNDS_MS, History, HistoryKind, HistoryPoint,
    HistoryTimes, OpenAlert, RunState, SearchedTo, SkipReason, TaskCount, TaskErrors, TaskFilter, TaskSummary,
};
use crate::{
    asynctask::ThemeRuntimes,
    domain::{Counted, InvalidInput, Points},
    error::{Error, ask},
    jobs::Jobs,
    store::{MOST_ROWS, Store},
};

/// Cloneable handle for operators: looks and changes across all themes of the database, from any process that is connected to it.
///
/// Looks have connections that only read, and that hold up neither the actors of this crate nor other looks for long.
///
/// It is an actor too: the same operations are messages to its [address](Self::addr).
///
#[cfg_attr(feature = "sqlite", doc = "```")]
#[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
/// use gaia_actors::{Gaia, NewTask, TaskStatus, admin::{SearchTasks, TaskFilter}};
///
/// # #[actix_rt::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let gaia = Gaia::builder().database("sqlite::memory:").start().await?;
/// let orders = gaia.scheduler("order-task")?;
/// let added = orders.add_task(NewTask::new("OrderService", "AsyncCreateOrder")).await?;
///
/// let filter = TaskFilter { statuses: vec![TaskStatus::Wait], ..TaskFilter::default() };
/// let found = gaia.admin().search_tasks(SearchTasks { filter, ..SearchTasks::default() }).await?;
/// assert_eq!(found.tasks[0].id, added.id);
/// assert_eq!(found.next, None);
/// # gaia.stop().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Admin {
    store: Store,
    bulk: Addr<BulkActor>,
    themes: ThemeRuntimes,
    jobs: Jobs,
    node: Arc<str>,
}

/// What an [`Admin`] is built from.
pub(crate) struct AdminParts {
    pub(crate) store: Store,
    pub(crate) bulk: Addr<BulkActor>,
    pub(crate) themes: ThemeRuntimes,
    pub(crate) jobs: Jobs,
    pub(crate) node: Arc<str>,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin")
            .field("store", &self.store)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl Admin {
    pub(crate) fn new(parts: AdminParts) -> Self {
        Self {
            store: parts.store,
            bulk: parts.bulk,
            themes: parts.themes,
            jobs: parts.jobs,
            node: parts.node,
        }
    }

    /// How many tasks or runs of jobs have ended in a time, and how long they waited and ran, in steps, for charts. It reads a table of
    /// counts, and no task. So it costs nothing to the queue, it knows tasks that were deleted since, and any process can ask.
    ///
    /// Nodes count in memory and write what has ended within 15 s, with the default lease. Of a process that dies without a
    /// [`stop`](crate::Gaia::stop) the last counts are missing. Counts are kept by 10 s for two hours, by the minute for two days, and by the
    /// hour for 90 days.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every fault of the times, the step and the names, or if more than 100,000 rows of counts would have to be
    /// read; [`Error::Store`].
    pub async fn history(&self, get: GetHistory) -> Result<History, Error> {
        let counted = self.counted(&get).await?.ok_or_else(|| {
            InvalidInput::one(format!(
                "this time has more than {MOST_ROWS} rows of counts, which is the most that one answer reads: take less time, or name a \
                 theme, a service or a method"
            ))
        })?;
        let mut points = Points::new(&get);
        for counted in counted {
            points.add(counted);
        }
        Ok(points.into_history())
    }

    /// What tasks have ended since then, by node and theme: since at most two hours. `None`: that are more rows than one look reads.
    #[cfg(feature = "web")]
    pub(crate) async fn ended_by_node(
        &self,
        since: chrono::DateTime<chrono::Utc>,
    ) -> Result<Option<Vec<crate::store::OnNode>>, Error> {
        ask(&self.store, |store| async move {
            store.cluster().ended_by_node(since).await
        })
        .await
    }

    /// What the history is made from. `None`: that are more rows than one answer reads.
    pub(crate) async fn counted(&self, get: &GetHistory) -> Result<Option<Vec<Counted>>, Error> {
        get.check()?;
        let get = get.clone();
        ask(&self.store, |store| async move { store.cluster().counted(&get).await }).await
    }
}
