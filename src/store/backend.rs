//! What a database must do so that this crate can run on it.
//!
//! Each database has a folder. All folders have `mod` (its [`Backend`] and its [`Dialect`]), a file that connects (`connect`; SQLite:
//! `connection`), `migrations`, and the SQL of a task's life: `claim`, `add`, `finish`, and `by_hand` for changes by callers and plain SQL.
//! Further files hold what only this database has (the announcements of PostgreSQL, the shared commits of SQLite). All other SQL of this
//! crate is written once, in diesel's words, and compiled for each database of the build; where databases differ in a word, the
//! [`Dialect`] has it.
//!
//! # Words
//!
//! - A *segment* is a row of `gaia_due`: the ids of up to 1,000 waiting tasks of one theme, method and priority.
//! - A *claim* is also a row of `gaia_claims`: the ids of the tasks that one claim took. Its id is the *lease token* of these tasks.
//! - A task is *unseen* if a claim holds it and its own row still says Wait or Retry. `queued` is 1 then, as before the claim.
//! - A task is a *stray* if it waits, is due, and is in no segment.
//!
//! # Rules for a claim
//!
//! - It is one transaction. Tasks that another session has locked are passed over, never waited for.
//! - A node without a row in `gaia_nodes` gets no task. A theme that is paused gives none.
//! - A waiting task is in one segment, or an index over strays finds it. A claim takes tasks out of their segments and notes them in
//!   `gaia_claims`; it need not write their rows.
//! - The id of a claim is greater than the lease token that each of its tasks had before, so that a write of an earlier claim finds no
//!   matching row.
//!
//! # Rules for a write about a run
//!
//! - Each write about a run names task, node, lease token and log id. A run that does not hold its task changes nothing, and is reported
//!   as stale.
//! - An end and its execution record are in one transaction. A batch may be written in several: on PostgreSQL each statement commits alone,
//!   and has at most 1,000 ends or 4 MiB of texts. So a batch that is tried again after an error may find some of its ends written, and
//!   reports these as stale. Rows are changed in the order of their keys.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, FixedOffset, Utc};

use super::{
    StoreError,
    tasks::{
        claimed::{Claim, ClaimId, Claimed},
        held::{Addition, NewHeld, Released, release::Ended},
        new_row::NewTaskRow,
        once::request::{NewOnce, Told},
        writes::{Writes, Written},
    },
    time::{StoredTime, UTC},
};
use crate::domain::AddedTask;

/// What programs of the Go framework do on the same tables.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    /// How many tasks a dead worker of theirs had left at Running. They wait again.
    pub(crate) set_back: usize,
    /// The themes in which workers of theirs run tasks, and how many tasks.
    pub(crate) alive: BTreeMap<String, usize>,
}

/// A handle on one database. A clone is a handle on the same database.
pub(super) trait Backend: Clone {
    /// The words in which its SQL differs.
    const DIALECT: Dialect;

    /// The URL, without its password.
    fn url(&self) -> String;

    /// The zone in which the columns of time stand.
    fn zone(&self) -> FixedOffset {
        UTC
    }

    /// An error if the URL names another zone than other processes have.
    async fn check_zone(&self, _now: DateTime<Utc>) -> Result<(), StoreError> {
        Ok(())
    }

    /// A text that no other database in this process has.
    fn identity(&self) -> String;

    /// An error if the database's files, which this process has open, are not at their paths any more.
    fn check_files(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Brings the tables to this version. Many processes may do it at once.
    async fn migrate(&self) -> Result<(), StoreError>;

    /// The names of the migrations that the tables lack, in their order.
    async fn pending_migrations(&self) -> Result<Vec<&'static str>, StoreError>;

    /// The statements that go before the first migration, because another program has made the tables.
    async fn changes_before_migrations(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    /// Waits until this process has the connections that a node needs, and the database could give one more.
    async fn reserve_connections(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Whether workers of the Go framework may be on the same tables.
    fn has_neighbours(&self) -> bool {
        false
    }

    /// Says to programs of the Go framework on the same tables what this node runs, and answers what they do. Does nothing on a database that
    /// they do not know.
    async fn meet_neighbours(&self, _node: String, _themes: Vec<String>) -> Result<Neighbours, StoreError> {
        Ok(Neighbours::default())
    }

    /// Takes due tasks for a node. An idle theme costs one small query, and takes no lock.
    async fn claim(&self, claim: Claim, claim_id: Arc<ClaimId>) -> Result<Claimed, StoreError>;

    /// Puts strays into segments, some thousand of them. Does nothing on a database whose triggers do that.
    async fn queue_strays(&self, _theme: String) -> Result<(), StoreError> {
        Ok(())
    }

    /// Makes claims for Running tasks that no claim holds, because plain SQL set them to Running under a node. Does nothing on a database
    /// whose triggers do that.
    async fn make_missing_claims(&self, _now: StoredTime) -> Result<(), StoreError> {
        Ok(())
    }

    /// Takes some of these tasks out of their claim: Running tasks that plain SQL has given to another node, or to an owner that no write can
    /// name, and tasks that plain SQL has ended while they were unseen.
    async fn detach(&self, node: String, claim: i64, ids: Vec<i64>) -> Result<(), StoreError>;

    /// Ends a task that no node runs; answers whether it did. If the task is unseen, it is not ended: its row is set to Running instead, so
    /// that the caller can write the request to cancel there.
    async fn cancel_waiting(&self, theme: String, id: i64, now: StoredTime) -> Result<bool, StoreError>;

    /// Ends those of these tasks that wait and that no claim names; answers with their ids. The ids are in ascending order.
    async fn cancel_many(&self, ids: Vec<i64>, now: StoredTime) -> Result<Vec<i64>, StoreError>;

    /// Removes a segment whose tasks do not wait any more.
    async fn drop_segment(&self, segment: i64) -> Result<(), StoreError>;

    /// Writes the ends of runs, and notes about runs.
    async fn write_runs(&self, writes: Arc<Writes>) -> Result<Written, StoreError>;

    /// Adds tasks, all or none.
    async fn add(&self, rows: Arc<Vec<NewTaskRow>>) -> Result<Vec<AddedTask>, StoreError>;

    /// Adds tasks, held or not, and stores their ids under a key, all of it or nothing. If the key is stored already, answers with what is
    /// stored.
    async fn add_once(&self, once: Arc<NewOnce>) -> Result<Told, StoreError>;

    /// Adds held tasks, and the tasks for which they wait, all or none.
    async fn add_held(&self, new: Arc<NewHeld>) -> Result<Addition, StoreError>;

    /// Counts ends of tasks for held tasks, and releases those whose time has come, in one transaction.
    async fn release(&self, ended: Arc<Ended>) -> Result<Released, StoreError>;

    /// The ids that a query finds by keys, or in the order of an index: with one plan, whatever the statistics say.
    async fn ids_by_key(&self, query: String) -> Result<Vec<i64>, StoreError>;

    /// Adds a task and claims it in the same statement. Answers with its id and its lease token. The token is 0 if the task was not claimed:
    /// the node has no row, or the theme is paused.
    async fn add_claimed(&self, row: Arc<NewTaskRow>, claim_id: Arc<ClaimId>) -> Result<(i64, i64), StoreError>;

    /// Whether this process hears announcements of other processes immediately, at present.
    fn hears_others(&self) -> bool {
        false
    }

    /// Announces something to other processes, without waiting for it. `count`: how many tasks were added.
    fn announce(&self, _: Announcement<'_>, _count: usize) {}

    /// Calls the function for each announcement of another process. Never ends.
    async fn listen(&self, _: impl Fn(Announcement<'_>)) {
        std::future::pending::<()>().await;
    }
}

/// A column whose values name themes, and tasks with an index that begins with this column.
pub(super) struct ThemesOf {
    pub(super) column: &'static str,
    /// Stands before the theme.
    pub(super) prefix: &'static str,
    /// What follows FROM: `asynctasks WHERE run_at IS NOT NULL`.
    pub(super) tasks: &'static str,
    /// Whether these tasks are due. If not, they wait for a later time.
    pub(super) are_due: bool,
}

impl ThemesOf {
    /// The values of the column, each once, at most `most`. It jumps from one value to the next in the index: it costs as much beside a million
    /// tasks of a theme as beside one.
    pub(super) fn query(&self, most: usize) -> String {
        let Self { column, tasks, .. } = self;
        format!(
            "WITH RECURSIVE s (theme) AS (SELECT MIN({column}) FROM {tasks} \
             UNION ALL SELECT (SELECT MIN({column}) FROM {tasks} AND {column} > s.theme) FROM s WHERE s.theme IS NOT NULL) \
             SELECT theme FROM s WHERE theme IS NOT NULL LIMIT {most}"
        )
    }

    /// How many of these tasks a theme has (`n`, counted up to `most`), how many of them have a time that has come (`came`), and the first of
    /// their times (`oldest`); of due tasks by service and method. The parameters are the time now, and the theme with the prefix.
    pub(super) fn tally(&self, parameter: fn(usize) -> String, most: u64) -> String {
        let Self { column, tasks, .. } = self;
        let (now, theme) = (parameter(1), parameter(2));
        // The index over tasks for a later time is in the order of their times.
        let (columns, order) = match self.are_due {
            true => (
                "service_name AS service, method_name AS method, update_time AS since",
                "",
            ),
            false => ("'' AS service, '' AS method, run_at AS since", "ORDER BY run_at"),
        };
        format!(
            "SELECT COUNT(*) AS n, COUNT(CASE WHEN since <= {now} THEN 1 END) AS came, MIN(since) AS oldest, service, method \
             FROM (SELECT {columns} FROM {tasks} AND {column} = {theme} {order} LIMIT {most}) counted \
             GROUP BY service, method"
        )
    }
}

/// The words in which the SQL of the databases differs. Each text is a part of a statement. The examples are SQLite's.
pub(super) struct Dialect {
    /// What the database is called in texts for people.
    pub(super) product: &'static str,
    /// Whether programs of the Go framework know the database.
    pub(super) has_neighbours: bool,
    /// Whether the database is a server. Then its clock may differ from that of this process, and other sessions lock single rows.
    /// (SQLite runs in this process and has one lock for the whole file.)
    pub(super) is_server: bool,
    /// The database's own time in UTC: `strftime('%Y-%m-%d %H:%M:%f', 'now')`.
    pub(super) now: &'static str,
    /// The query for the name of the database, by which a caller's connection to another one is noticed: one row, or none. On MySQL it must read
    /// no table: it would begin the snapshot of the caller's transaction, and the caller would need a right to the table.
    pub(super) database_name: &'static str,
    /// How a parameter is written, counted from 1: `?`.
    pub(super) parameter: fn(usize) -> String,
    /// A hint behind the name of a table that forces the primary key. SQLite needs none.
    pub(super) by_key: &'static str,
    /// The table of links, with a hint that forces the index over open links: `gaia_links`.
    pub(super) open_links: &'static str,
    /// The condition that the id of a task is in a JSON list, a parameter: the SQL before the parameter, and the SQL behind it.
    /// `asynctasks.id IN (SELECT value FROM json_each(` and `))`.
    pub(super) id_in_json_list: [&'static str; 2],
    /// The ids of the tasks of a claim as a JSON list: `ids`.
    pub(super) claimed_ids: &'static str,
    /// A list of one id, as the column `ids` of a claim has it: `'[17]'`.
    #[cfg(all(feature = "hooks", feature = "web"))]
    pub(super) list_of_one: fn(i64) -> String,
    /// The ids that a row of this table (`gaia_claims` or `gaia_due`) holds, as rows of a table `i`: `json_each(gaia_due.ids) i`.
    pub(super) ids_in: fn(&str) -> String,
    /// An id of [`ids_in`](Self::ids_in): `i.value`.
    pub(super) id_in: &'static str,
    /// Tasks that wait or run, and that neither a segment nor a claim need hold: scheduled ones, and ones that plain SQL has changed. What
    /// follows FROM, with an index that has no other tasks.
    pub(super) unfinished: &'static [&'static str],
    /// Where the themes of waiting tasks stand that no segment holds.
    pub(super) unplaced_themes: &'static [ThemesOf],
    /// A join of the tasks `t` whose ids a row of this table (`gaia_claims` or `gaia_due`) holds, each by its key.
    /// `json_each(gaia_claims.ids) i CROSS JOIN asynctasks t ON t.id = i.value`.
    pub(super) tasks_of: fn(&str) -> String,
    /// The condition that the row of a claim must stay because of its task `t`: `t` is Running, and not by a later claim of another node; or
    /// it is unseen, or may be (`queued` is 1, and its token is less than the claim's id).
    pub(super) runs_by_claim: &'static str,
    /// The condition that any task of any theme runs.
    pub(super) any_runs: &'static str,
    /// The condition that any task of any theme is due.
    pub(super) any_due: &'static str,
    /// The condition that a caller has asked to cancel a task, spelled like the condition of the index over such tasks: `cancel_requested <> 0`.
    pub(super) cancel_is_wanted: &'static str,
    /// The condition that the run of a job is open, spelled like the condition of the index over open runs:
    /// `job_result_flag IS NULL AND node_id IS NOT NULL`.
    pub(super) is_open: &'static str,
    /// The condition that a run is open and belongs to this job.
    pub(super) is_open_of: fn(i64) -> String,
    /// The text that the column `scheduled_by` gets: expression and time zone. `cron_expr || '|' || COALESCE(time_zone, '')`.
    pub(super) schedule: &'static str,
    /// The query for the number of the enabled schedules of a system and a hash of them. `None`, for SQLite: this process reads the rows and hashes them,
    /// since SQLite runs in this process.
    pub(super) hashed_schedules: Option<&'static str>,
}

/// [`Dialect::runs_by_claim`] of the servers, where a lease token is always a number.
#[cfg(feature = "_server")]
pub(super) const RUNS_BY_CLAIM: &str = "(t.task_status = 'Running' AND t.lease_owner IS NOT NULL \
     AND (t.lease_owner = gaia_claims.node_id OR t.lease_token <= gaia_claims.id) \
     OR t.queued = 1 AND t.lease_token < gaia_claims.id)";

/// [`Dialect::is_open`] of the databases with partial indexes.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(super) const IS_OPEN: &str = "job_result_flag IS NULL AND node_id IS NOT NULL";

#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(super) fn is_open_of(job_id: i64) -> String {
    format!("job_id = {job_id} AND {IS_OPEN}")
}

/// The query for the number of the enabled schedules of a system and a hash of them. `$hash`: the server's function for the hash of one
/// schedule; `$integer`: the type to which the sum of the hashes is cast; `$system`: the parameter for the name of the system.
#[cfg(feature = "_server")]
macro_rules! hashed_schedules {
    ($hash:literal, $integer:literal, $system:literal) => {
        concat!(
            "SELECT COUNT(*) AS jobs, CAST(COALESCE(SUM(",
            $hash,
            "(CONCAT(id, '|', cron_expr, '|', COALESCE(time_zone, '-'), '|', COALESCE(misfire_policy, '-'), '|', \
             COALESCE(misfire_grace, -1)))), 0) AS ",
            $integer,
            ") AS hash FROM job_center WHERE enabled <> 0 AND system_name = ",
            $system
        )
    };
}
#[cfg(feature = "_server")]
pub(super) use hashed_schedules;

impl Dialect {
    /// A query for the ids of tasks that wait or run, below an id and in descending order, at most so many; and the texts to be bound.
    /// Without `waits` the tasks of segments are left out. A task may come twice.
    pub(super) fn unfinished_ids<'a>(
        &self,
        themes: &'a [String],
        waits: bool,
        below: i64,
        most: i64,
    ) -> (String, Vec<&'a str>) {
        let mut binds = Vec::new();
        let mut of_themes = |column: &str| {
            if themes.is_empty() {
                return "1 = 1".to_owned();
            }
            let parameter = |theme: &'a String| {
                binds.push(theme.as_str());
                (self.parameter)(binds.len())
            };
            let parameters: Vec<String> = themes.iter().map(parameter).collect();
            format!("{column} IN ({})", parameters.join(", "))
        };
        let id = self.id_in;
        let mut parts = Vec::new();
        for table in ["gaia_claims", "gaia_due"] {
            if waits || table == "gaia_claims" {
                let (ids, themes) = ((self.ids_in)(table), of_themes(&format!("{table}.theme")));
                parts.push(format!(
                    "SELECT {id} AS id FROM {table} CROSS JOIN {ids} WHERE {themes}"
                ));
            }
        }
        for tasks in self.unfinished {
            let themes = of_themes("system_name");
            parts.push(format!("SELECT id FROM {tasks} AND {themes}"));
        }
        let parts = parts.join(" UNION ALL ");
        let query = format!("SELECT id FROM ({parts}) unfinished WHERE id < {below} ORDER BY id DESC LIMIT {most}");
        (query, binds)
    }

    /// FROM and WHERE of a query for the unseen tasks `t` of a theme. The theme is bound twice, as these two parameters: for the claim and for
    /// the task.
    pub(super) fn unseen(&self, themes: [usize; 2]) -> String {
        let tasks = (self.tasks_of)("gaia_claims");
        let [claim, task] = themes.map(self.parameter);
        format!(
            "FROM gaia_claims CROSS JOIN {tasks} WHERE gaia_claims.theme = {claim} AND t.system_name = {task} AND t.queued = 1 \
             AND t.task_status IN ('Wait', 'Retry') AND t.lease_token < gaia_claims.id"
        )
    }
}

/// What a process announces to the others. The process that hears it reads the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announcement<'a> {
    /// The theme has new tasks.
    Tasks(&'a str),
    /// A caller has asked to cancel a task or a run of a job, to pause or resize a theme, or has changed a job.
    Requests,
    /// Announcements may have been missed, since listening has just begun or has failed: read everything.
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "only PostgreSQL is heard"))]
    Anything,
}

/// What people read. On SQLite, where one statement at a time uses a connection, each kind has a separate connection: reading many rows
/// holds up neither the actors of this crate nor the reading of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadKind {
    /// One row, by its key.
    Detail,
    /// Many rows, perhaps all.
    List,
}
