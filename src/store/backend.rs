//! What a database must do so that this crate can run on it.
//!
//! A database has a folder with the same six files: `mod` (its [`Backend`] and its [`Dialect`]), `connect`, `migrations`, and the SQL of a
//! task's life: `claim`, `add`, `finish`. Further files hold what only this database has (the announcements of PostgreSQL, the shared
//! commits of SQLite). All other SQL of this crate is written once, in diesel's words, and compiled for each database of the build; where
//! databases differ in a word, the [`Dialect`] has it.
//!
//! # What a claim must hold
//!
//! - It is one transaction. Tasks that another session has locked are passed over, never waited for.
//! - A node without a row in `gaia_nodes`, and a theme that is paused, get nothing.
//! - A task that waits is in one segment of `gaia_due`, or is found by an index over those that are in none. A claim takes tasks
//!   out of their segments and notes them in `gaia_claims`; it need not write their rows.
//! - The number of a claim is greater than the lease token of each of its tasks: no write of an earlier claim meets the row any more.
//!
//! # What a write must hold
//!
//! - Each write about a run names task, node, lease token and log id. A run that does not hold its task changes nothing, and is reported
//!   as stale.
//! - All ends of a batch, and their execution records, are in one transaction. Rows are changed in the order of their keys.

use std::sync::Arc;

use chrono::NaiveDateTime;

use super::{
    StoreError,
    tasks::{
        claimed::{Claim, ClaimId, Claimed},
        new_row::NewTaskRow,
        writes::{Writes, Written},
    },
};
use crate::domain::AddedTask;

/// A handle on one database; cloning clones the handle.
pub(super) trait Backend: Clone {
    /// Where its SQL differs in a word.
    const DIALECT: Dialect;

    /// The URL, without its password.
    fn url(&self) -> String;

    /// What tells this database from any other in this process.
    fn identity(&self) -> String;

    /// An error if the files that are open are not at their paths any more.
    fn check_files(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Brings the tables to this version. Many processes may do it at once.
    async fn migrate(&self) -> Result<(), StoreError>;

    /// Checks that the tables have the schema of this version.
    async fn check_schema(&self) -> Result<(), StoreError>;

    /// Waits until the database has given the connections that a node cannot do without, and could give one more.
    async fn secure(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Takes due tasks for a node. An idle theme costs one small query, and takes no lock.
    async fn claim(&self, claim: Claim, mark: Arc<ClaimId>) -> Result<Claimed, StoreError>;

    /// Puts tasks that wait into segments, some thousand of those that are in none. A database whose triggers do so has nothing to do.
    async fn take_in(&self, _theme: String) -> Result<(), StoreError> {
        Ok(())
    }

    /// Makes claims of running tasks that are in no claim: plain SQL has put them under a node. A database whose triggers do so has nothing
    /// to do.
    async fn hold_unheld(&self, _now: NaiveDateTime) -> Result<(), StoreError> {
        Ok(())
    }

    /// Has tasks of a claim be in none: running ones that plain SQL has put under another node, or under none that a write could name, and
    /// those that plain SQL has ended before their rows said that they ran.
    async fn disown(&self, node: String, claim: i64, ids: Vec<i64>) -> Result<(), StoreError>;

    /// Ends a task that no node runs; answers whether it did. If a claim has the task and its row does not say so, the row says from then
    /// on that it runs.
    async fn cancel_waiting(&self, theme: String, id: i64, now: NaiveDateTime) -> Result<bool, StoreError>;

    /// Removes a segment whose tasks do not wait any more.
    async fn drop_segment(&self, segment: i64) -> Result<(), StoreError>;

    /// Writes what happened to runs.
    async fn write_runs(&self, writes: Arc<Writes>) -> Result<Written, StoreError>;

    /// Adds tasks, all or none.
    async fn add(&self, rows: Arc<Vec<NewTaskRow>>) -> Result<Vec<AddedTask>, StoreError>;

    /// Adds a task and claims it in the same statement. Answers with its id and its lease token, which is 0 if the node may not claim.
    async fn add_claimed(&self, row: Arc<NewTaskRow>, mark: Arc<ClaimId>) -> Result<(i64, i64), StoreError>;

    /// Whether announcements of other processes are heard at once, at the moment.
    fn hears_others(&self) -> bool {
        false
    }

    /// Announces something to other processes, without waiting for it. `count`: of how many tasks.
    fn announce(&self, _: Heard<'_>, _count: usize) {}

    /// Calls `heard` for whatever other processes announce. Never ends.
    async fn listen(&self, _: impl Fn(Heard<'_>)) {
        std::future::pending::<()>().await;
    }
}

/// Where the SQL of databases differs in a word. Each text is a part of a statement.
pub(super) struct Dialect {
    /// Whether this process and the database may have different clocks, and locks of others are met row by row.
    pub(super) is_remote: bool,
    /// The database's own time in UTC.
    pub(super) now: &'static str,
    /// How a parameter is written, counted from 1.
    pub(super) parameter: fn(usize) -> String,
    /// Follows the name of a table whose rows are to be found by their keys, whatever the planner thinks.
    pub(super) by_key: &'static str,
    /// Whether the id of a task is in a JSON list: what stands before the parameter, and what behind it.
    pub(super) is_listed: [&'static str; 2],
    /// The ids of a claim or a segment as a JSON list.
    pub(super) claimed_ids: &'static str,
    /// The tasks `t` whose ids the row of this table holds, each by its key.
    pub(super) tasks_of: fn(&str) -> String,
    /// Whether the task `t` of a row of `gaia_claims` runs, and by no later claim of another node; or is in no order, so that the row of
    /// the claim must stay.
    pub(super) runs_by_claim: &'static str,
    /// Whether any task of any theme runs.
    pub(super) any_runs: &'static str,
    /// Whether any task of any theme is due.
    pub(super) any_due: &'static str,
    /// Whether a caller has asked to cancel a task, as the index over such requests knows it.
    pub(super) cancel_is_wanted: &'static str,
    /// Whether the run of a job is open, as the index over open runs knows it.
    pub(super) is_open: &'static str,
    /// Whether a run is an open one of this job.
    pub(super) is_open_of: fn(i64) -> String,
    /// What a schedule's row notes as the schedule that holds.
    pub(super) schedule: &'static str,
    /// The query for number and hash of all enabled schedules; `None`: the rows are read and hashed here, since that is no journey.
    pub(super) hashed_schedules: Option<&'static str>,
}

/// Whether a task runs by a claim, where a lease token is a number.
#[cfg(feature = "_server")]
pub(super) const RUNS_BY_CLAIM: &str = "(t.task_status = 'Running' AND t.lease_owner IS NOT NULL \
     AND (t.lease_owner = gaia_claims.node_id OR t.lease_token <= gaia_claims.id) \
     OR t.queued = 1 AND t.lease_token < gaia_claims.id)";

/// Whether a run is open, by a partial index.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(super) const IS_OPEN: &str = "job_result_flag IS NULL AND node_id IS NOT NULL";

#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(super) fn is_open_of(job_id: i64) -> String {
    format!("job_id = {job_id} AND {IS_OPEN}")
}

/// Number and hash of all enabled schedules, by a function of the server's, whose numbers become this type.
#[cfg(feature = "_server")]
macro_rules! hashed_schedules {
    ($hash:literal, $integer:literal) => {
        concat!(
            "SELECT COUNT(*) AS jobs, CAST(COALESCE(SUM(",
            $hash,
            "(CONCAT(id, '|', cron_expr, '|', COALESCE(time_zone, '-'), '|', COALESCE(misfire_policy, '-'), '|', \
             COALESCE(misfire_grace, -1)))), 0) AS ",
            $integer,
            ") AS hash FROM job_center WHERE enabled <> 0"
        )
    };
}
#[cfg(feature = "_server")]
pub(super) use hashed_schedules;

impl Dialect {
    /// The tasks `t` that run under a claim, and of which their rows do not say so yet: the tables and conditions of a query. The
    /// theme of claim and task are these two parameters.
    pub(super) fn unseen(&self, themes: [usize; 2]) -> String {
        let tasks = (self.tasks_of)("gaia_claims");
        let [claim, task] = themes.map(self.parameter);
        format!(
            "FROM gaia_claims CROSS JOIN {tasks} WHERE gaia_claims.theme = {claim} AND t.system_name = {task} AND t.queued = 1 \
             AND t.task_status IN ('Wait', 'Retry') AND t.lease_token < gaia_claims.id"
        )
    }
}

/// What another process has announced. It carries no data: the process that hears it looks at the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard<'a> {
    /// The theme has new tasks.
    Tasks(&'a str),
    /// A caller wants a task or a job's run cancelled, a theme paused or resized, or has changed a job.
    Requests,
    /// Nothing was heard for a while: there may be anything.
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "only PostgreSQL is heard"))]
    Anything,
}

/// What a connection is for. On SQLite, where a statement has its connection for itself, each kind of look has a connection of its
/// own: a look at many rows holds up neither the engine nor a look at one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// People look at one row, by its key.
    Detail,
    /// People look at many rows, perhaps all.
    List,
}

/// A diesel-async connection of the caller's, on which a task can be added inside the caller's own transaction.
///
/// Implemented for the connection types of the enabled databases; not meant to be implemented elsewhere.
pub trait EnqueueConnection: sealed::Insert {}

impl<C: sealed::Insert> EnqueueConnection for C {}

pub(super) mod sealed {
    use super::{AddedTask, NewTaskRow, StoreError};

    pub trait Insert {
        #[doc(hidden)]
        fn insert_tasks(&mut self, rows: Rows) -> impl Future<Output = Result<Vec<AddedTask>, StoreError>> + Send;
    }

    /// Rows to insert, opaque outside the crate.
    pub struct Rows(pub(in crate::store) Vec<NewTaskRow>);
}
