//! Claiming tasks, finishing runs, adding tasks: what each database does in its own way, behind one signature.

use std::{borrow::Cow, collections::HashSet, sync::Arc};

use chrono::{DateTime, Utc};

use super::{
    ClaimedTask, Store, StoreError,
    db::{EnqueueConnection, on_each, sealed::Rows},
    rows::{ClaimMark, Finish, Finished, NewTaskRow, Writes, Written},
};
use crate::domain::{AddedTask, Outcome, RetryPolicy, TaskStatus};

/// A method whose tasks may be claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The service.
    pub service: String,
    /// The method.
    pub method: String,
    /// So many of its tasks fill the room of the claim if it takes no others. Each of them takes up that part of the room, so that
    /// a claim holds fewer slow tasks than quick ones.
    pub most: usize,
}

/// What to claim.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The theme whose tasks are wanted.
    pub theme: String,
    /// The node that will hold them. It must have a row in `gaia_nodes`: a node that others have declared dead gets
    /// nothing until it has registered again. Not one that a [`Gaia`](crate::Gaia) stands for: that one gives back what its
    /// process does not run.
    pub node: String,
    /// At most this many, highest priority first, oldest first.
    pub limit: usize,
    /// These ids before any other, as far as they are waiting and due.
    pub first: Vec<i64>,
    /// Only tasks of these methods; `None`: of all. What waits for other methods costs the claim nothing.
    pub methods: Option<Arc<[Wanted]>>,
    /// Only tasks with a higher priority than this one.
    pub above: Option<i32>,
}

/// Bytes of arguments that one claim takes along at most, or nearly so.
pub(super) const ARGS_AT_ONCE: usize = 16 << 20;

/// Arguments of so many bytes are always taken along: to read them later costs more than to hold them.
const SHORT_ARGS: usize = 4 << 10;

/// Longer ones never are.
const LONG_ARGS: usize = 1 << 20;

impl Claim {
    /// The methods that it takes. All methods together are one that has no name.
    pub(super) fn wanted(&self) -> Cow<'_, [Wanted]> {
        match &self.methods {
            Some(methods) => Cow::Borrowed(methods),
            None => Cow::Owned(vec![Wanted {
                service: String::new(),
                method: String::new(),
                most: self.limit,
            }]),
        }
    }

    /// Only higher priorities than this are taken.
    pub(super) fn above(&self) -> i64 {
        self.above.map_or(i64::MIN, i64::from)
    }

    /// Arguments with more bytes stay in the database until their run begins: a claim of many tasks must not take more memory
    /// than there is.
    pub(super) fn arg_limit(&self, mark: &ClaimMark) -> i64 {
        if mark.takes_all_args {
            return i64::MAX;
        }
        let bytes = (ARGS_AT_ONCE / self.limit.max(1)).clamp(SHORT_ARGS, LONG_ARGS);
        i64::try_from(bytes).unwrap_or(i64::MAX)
    }
}

/// What a claim brought.
#[derive(Debug, Default)]
pub struct Claimed {
    /// The tasks, running now and held by the node. Their rows do not say so yet.
    pub tasks: Vec<ClaimedTask>,
    /// When the next waiting task of the theme becomes due; `None` if none is scheduled.
    pub next_due: Option<DateTime<Utc>>,
    /// Whether due tasks were passed over because somebody else holds locks on them.
    pub passed_over: bool,
    /// Whether more tasks are due than the room of their methods was for.
    pub more: bool,
}

impl Store {
    /// Takes due tasks for a node, in one transaction that also reads all their arguments. A theme that is paused gives none.
    ///
    /// Arguments may be long (8 MB each), and all of them are in memory at once: claim few tasks at a time where they are.
    ///
    /// # Errors
    /// Any [`StoreError`] of the database. Nothing is claimed then, unless the database has committed the claim and only its
    /// answer was lost.
    pub async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        let mark = ClaimMark {
            takes_all_args: true,
            ..self.new_mark(&claim.node)
        };
        self.claim_as(claim, &Arc::new(mark)).await
    }

    /// The mark of one claim, made now.
    pub(crate) fn mark(&self, node: &str) -> Arc<ClaimMark> {
        Arc::new(self.new_mark(node))
    }

    fn new_mark(&self, node: &str) -> ClaimMark {
        ClaimMark::new(node, self.clock().now().naive_utc())
    }

    /// The same, under a mark by which the tasks can be found if the answer is lost.
    pub(crate) async fn claim_as(&self, mut claim: Claim, mark: &Arc<ClaimMark>) -> Result<Claimed, StoreError> {
        // A row that is picked twice by MySQL's claim would be two runs.
        let mut seen = HashSet::new();
        claim.first.retain(|id| seen.insert(*id));
        let claim = || async { on_each!(&self.db, |db| db.claim(claim.clone(), Arc::clone(mark)).await) };
        let mut claimed = self.retrying(claim).await?;
        // `RETURNING` promises no order.
        claimed
            .tasks
            .sort_unstable_by_key(|task| (std::cmp::Reverse(task.priority), task.id));
        Ok(claimed)
    }

    /// Writes what happened to runs: beginnings, progress, and ends, each with its execution record (unless the run was
    /// handed back before it began). A run that no longer holds its task changes nothing. An end and its record are written
    /// together; after an error the whole may be tried again.
    pub(crate) async fn write(&self, writes: Arc<Writes>) -> Result<Written, StoreError> {
        let write = || async { on_each!(&self.db, |db| db.write_runs(Arc::clone(&writes)).await) };
        self.retrying_unless_locked(write).await
    }

    /// Writes how runs ended, as the recorder of a scheduler does: task and execution record, in one transaction. Answers
    /// with each task's new status, or `None` where the run no longer held its task and nothing was written.
    ///
    /// For tools, tests and benchmarks that run tasks without a scheduler.
    ///
    /// # Errors
    /// Any [`StoreError`] of the database; nothing is written then.
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

    /// Adds tasks to a theme in one transaction: all of them or (on an error) none. They are taken to have passed their
    /// checks; [`Scheduler::add_tasks`](crate::Scheduler::add_tasks) makes them.
    pub(crate) async fn add(&self, rows: impl Into<Arc<Vec<NewTaskRow>>>) -> Result<Vec<AddedTask>, StoreError> {
        let rows = rows.into();
        let add = || async { on_each!(&self.db, |db| db.add(Arc::clone(&rows)).await) };
        self.retrying(add).await
    }

    /// Adds a task that is [free](NewTaskRow::is_free) and claims it for the node of the mark in the same statement. `None`: the
    /// theme is paused or the node has no row, and the task waits.
    pub(crate) async fn add_claimed(
        &self,
        row: NewTaskRow,
        mark: &Arc<ClaimMark>,
    ) -> Result<(AddedTask, Option<ClaimedTask>), StoreError> {
        let row = Arc::new(row);
        let add = || async { on_each!(&self.db, |db| db.add_claimed(Arc::clone(&row), Arc::clone(mark)).await) };
        let (id, token) = self.retrying(add).await?;
        let task = (token != 0).then(|| row.claimed(id, token, mark));
        Ok((AddedTask::new(id), task))
    }

    /// Adds tasks on a connection of the caller's, inside whatever transaction is open there.
    pub(crate) async fn add_on<C: EnqueueConnection>(
        conn: &mut C,
        rows: Vec<NewTaskRow>,
    ) -> Result<Vec<AddedTask>, StoreError> {
        conn.insert_tasks(Rows(rows)).await
    }
}
