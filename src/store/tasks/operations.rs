//! Changes of tasks: nodes claim them and write the ends of their runs; callers add, cancel and retry them. A change by a caller is one
//! guarded statement. If it matches no row, the row is read afterwards to explain why.

use std::{collections::HashSet, sync::Arc};

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    claimed::{Claim, ClaimId, Claimed},
    new_row::NewTaskRow,
    writes::{Begin, Finish, Finished, Writes, Written},
};
use crate::{
    domain::{ActionOnTask, AddedTask, Outcome, RetryPolicy, TaskStatus},
    store::{
        ClaimedTask, StoreError, TaskStore,
        backend::Backend,
        db::{on_backend, on_each},
        schema::asynctasks,
        time::StoredTime,
    },
};

/// What a request to cancel did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CancelResult {
    /// The task waited and is Cancelled now.
    Cancelled,
    /// The task runs; the request is noted in its row, where its node finds it.
    Requested,
    /// The task is finished already.
    NotAllowed(TaskStatus),
    NotFound,
}

/// What a request to retry did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RetryResult {
    Queued,
    NotAllowed(TaskStatus),
    /// Another unfinished task has its unique key by now.
    KeyTaken,
    NotFound,
}

impl TaskStore<'_> {
    /// Takes due tasks for a node, in one transaction that also reads all their arguments. A theme that is paused gives none.
    ///
    /// Arguments may be long (8 MB each), and all of them are in memory at the same time: claim few tasks at a time if they are long.
    ///
    /// # Errors
    /// Any [`StoreError`] of the database. Nothing is claimed then, unless the database has committed the claim and only its
    /// answer was lost.
    pub async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        let claim_id = ClaimId {
            takes_all_args: true,
            ..self.claim_id(&claim.node)
        };
        self.claim_as(claim, &Arc::new(claim_id)).await
    }

    /// The id of a new claim.
    pub(crate) fn new_claim_id(self, node: &str) -> Arc<ClaimId> {
        Arc::new(self.claim_id(node))
    }

    fn claim_id(self, node: &str) -> ClaimId {
        ClaimId::new(node, StoredTime::from(self.clock().now()))
    }

    /// Claims tasks under this id, by which they can be found if the answer is lost.
    pub(crate) async fn claim_as(&self, mut claim: Claim, claim_id: &Arc<ClaimId>) -> Result<Claimed, StoreError> {
        // MySQL's claim would make two runs of an id that is in the list twice.
        let mut seen = HashSet::new();
        claim.first.retain(|id| seen.insert(*id));
        let claim = || async { on_each!(&self.db, |db| db.claim(claim.clone(), Arc::clone(claim_id)).await) };
        let mut claimed = self.retrying(claim).await?;
        // `RETURNING` promises no order.
        claimed
            .tasks
            .sort_unstable_by_key(|task| (std::cmp::Reverse(task.priority), task.id));
        Ok(claimed)
    }

    /// Writes about runs: notes that tasks are running, progress, and ends, each end with its execution record (unless the run was handed back
    /// before it began). A run that no longer holds its task changes nothing. An end and its record are written together; after an error the
    /// whole call may be repeated.
    pub(crate) async fn write(&self, writes: Arc<Writes>) -> Result<Written, StoreError> {
        let write = || async { on_each!(&self.db, |db| db.write_runs(Arc::clone(&writes)).await) };
        let written = self.retrying_unless_locked(write).await?;
        let ended = writes.finishes.iter().zip(&written.finishes);
        // An earlier call may have written an end that is stale now, and its answer was lost.
        let ended = ended.filter(|(_, finished)| match finished {
            Finished::Written(status) => status.is_finished(),
            Finished::Stale => true,
        });
        self.ends.note(ended.map(|(finish, _)| finish.run.task_id));
        Ok(written)
    }

    /// Has the rows of these tasks say Running; answers for each whether its run still held the task.
    pub(crate) async fn begin(&self, begins: Vec<Begin>) -> Result<Vec<bool>, StoreError> {
        if begins.is_empty() {
            return Ok(Vec::new());
        }
        let writes = Writes {
            begins,
            ..Writes::default()
        };
        Ok(self.write(Arc::new(writes)).await?.begins)
    }

    /// Writes how runs ended, as the recorder of a scheduler does: the task and its execution record in one transaction. Answers with each
    /// task's new status, or `None` if the run no longer held its task and nothing was written.
    ///
    /// For tools, tests and benchmarks that run tasks without a scheduler.
    ///
    /// # Errors
    /// Any [`StoreError`] of the database. Then nothing is written, except on PostgreSQL, which commits after 1,000 ends or 4 MiB of texts.
    pub async fn record(
        &self,
        runs: Vec<(ClaimedTask, Outcome)>,
        policy: RetryPolicy,
    ) -> Result<Vec<Option<TaskStatus>>, StoreError> {
        let ended_at = self.clock().now();
        let end = |(task, outcome)| Finish::without_run(&task, outcome, policy, ended_at);
        let writes = Writes {
            finishes: runs.into_iter().map(end).collect(),
            ..Writes::default()
        };
        let finished = self.write(Arc::new(writes)).await?.finishes;
        let status = |finished| match finished {
            Finished::Written(status) => Some(status),
            Finished::Stale => None,
        };
        Ok(finished.into_iter().map(status).collect())
    }

    /// Adds tasks to a theme in one transaction: all of them or (on an error) none. It does not check them:
    /// [`Scheduler::add_tasks`](crate::Scheduler::add_tasks) does.
    pub(crate) async fn add(&self, rows: impl Into<Arc<Vec<NewTaskRow>>>) -> Result<Vec<AddedTask>, StoreError> {
        let rows = rows.into();
        let add = || async { on_each!(&self.db, |db| db.add(Arc::clone(&rows)).await) };
        self.retrying(add).await
    }

    /// Adds a task that is [claimable by its insert](NewTaskRow::claimable_on_insert), and claims it in the same statement. `None`: the theme
    /// is paused or the node has no row, and the task waits.
    pub(crate) async fn add_claimed(
        &self,
        row: NewTaskRow,
        claim_id: &Arc<ClaimId>,
    ) -> Result<(AddedTask, Option<ClaimedTask>), StoreError> {
        let row = Arc::new(row);
        let add = || async {
            on_each!(&self.db, |db| db
                .add_claimed(Arc::clone(&row), Arc::clone(claim_id))
                .await)
        };
        let (id, token) = self.retrying(add).await?;
        let task = (token != 0).then(|| claim_id.task_of_insert(&row, id, token));
        Ok((AddedTask::new(id), task))
    }

    pub(crate) async fn cancel(&self, theme: &str, id: i64) -> Result<CancelResult, StoreError> {
        // Between two statements the task may begin to run, or go back to the queue; then neither statement matches, and both are tried again.
        for _ in 0..10 {
            if self.cancel_waiting(theme, id).await? {
                return Ok(CancelResult::Cancelled);
            }
            if self.request_cancel(theme, id).await? {
                return Ok(CancelResult::Requested);
            }
            match self.status(theme, id).await? {
                None => return Ok(CancelResult::NotFound),
                Some(status) if !ActionOnTask::Cancel.allowed_from().contains(&status) => {
                    return Ok(CancelResult::NotAllowed(status));
                }
                Some(_) => {}
            }
        }
        Err(StoreError::Database(format!(
            "task {id} changes its status faster than it can be cancelled; try again"
        )))
    }

    /// Ends a task that no node runs: a waiting one, or a task that another framework left as Running without a node.
    async fn cancel_waiting(&self, theme: &str, id: i64) -> Result<bool, StoreError> {
        let now = StoredTime::from(self.clock().now());
        let cancel = || async { on_each!(&self.db, |db| db.cancel_waiting(theme.to_owned(), id, now).await) };
        let cancelled = self.retrying(cancel).await?;
        if cancelled {
            self.ends.note([id]);
        }
        Ok(cancelled)
    }

    async fn request_cancel(&self, theme: &str, id: i64) -> Result<bool, StoreError> {
        let now = StoredTime::from(self.clock().now());
        let mut conn = self.db.write().await?;
        let requested = on_backend!(conn, |conn| {
            diesel::update(asynctasks::table)
                .filter(asynctasks::id.eq(id))
                .filter(asynctasks::system_name.eq(theme))
                .filter(asynctasks::task_status.eq(TaskStatus::Running.as_str()))
                .filter(asynctasks::lease_owner.is_not_null())
                .set((asynctasks::cancel_requested.eq(1), asynctasks::update_time.eq(now)))
                .execute(conn)
                .await
        })?;
        Ok(requested > 0)
    }

    /// Queues a Failed or Cancelled task again, or a task that another framework left as Running without a node; its counter of retries is 0
    /// again. `succeeded`: also a task that is Success.
    pub(crate) async fn retry(&self, theme: &str, id: i64, succeeded: bool) -> Result<RetryResult, StoreError> {
        let now = StoredTime::from(self.clock().now());
        // An unknown status counts as Failed, so the statement names the statuses from which a retry is not allowed.
        let allowed = ActionOnTask::Retry.allowed_from();
        let is_allowed =
            |status: &TaskStatus| allowed.contains(status) || (succeeded && *status == TaskStatus::Success);
        let forbidden = TaskStatus::ALL
            .into_iter()
            .filter(|status| !is_allowed(status))
            .map(TaskStatus::as_str);
        let forbidden: Vec<&str> = forbidden.collect();
        let mut conn = self.db.write().await?;
        let queued = on_backend!(conn, |conn| {
            diesel::update(asynctasks::table)
                .filter(asynctasks::id.eq(id))
                .filter(asynctasks::system_name.eq(theme))
                .filter(
                    asynctasks::task_status
                        .is_null()
                        .or(asynctasks::task_status.ne_all(&forbidden))
                        .or(asynctasks::task_status
                            .eq("Running")
                            .and(asynctasks::lease_owner.is_null())),
                )
                .set((
                    asynctasks::task_status.eq(TaskStatus::Wait.as_str()),
                    asynctasks::retry_time.eq(0),
                    asynctasks::run_at.eq(None::<StoredTime>),
                    asynctasks::cancel_requested.eq(0),
                    asynctasks::update_time.eq(now),
                    asynctasks::finished_at.eq(None::<StoredTime>),
                ))
                .execute(conn)
                .await
        });
        drop(conn);
        match queued.map_err(StoreError::from) {
            Ok(0) => Ok(match self.status(theme, id).await? {
                None => RetryResult::NotFound,
                Some(status) => RetryResult::NotAllowed(status),
            }),
            Ok(_) => Ok(RetryResult::Queued),
            Err(StoreError::Duplicate(_)) => Ok(RetryResult::KeyTaken),
            Err(error) => Err(error),
        }
    }
}
