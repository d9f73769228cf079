//! Finding tasks of any theme.
//!
//! No index has the columns by which people look: each end of a task would have to write it. So a search walks over the primary key, from
//! the newest task on, window by window. It ends when the page is full or its time is over, and says how far it has looked. Where a filter
//! means few tasks that the database can name (ids, the tasks of a node, unfinished tasks), the search reads only these.

use std::time::{Duration, Instant};

use diesel::{
    QueryableByName,
    dsl::sql,
    prelude::*,
    sql_types::{BigInt, Bool, Text},
};
use diesel_async::RunQueryDsl;

use super::{
    filter,
    held_claim::{ClaimRow, HeldClaim, claim_columns, held_claim},
    rows::TaskFacts,
};
use crate::{
    domain::{FoundTasks, SearchTasks, SearchedTo, TaskCount, TaskFilter, TaskStatus, TaskSummary, task_of_log_id},
    store::{
        StoreError, TaskStore,
        db::on_backend,
        lenient::{AnyInt, AnyText, AnyTime, number, time},
        schema::{asynctask_exec_row, asynctasks, gaia_claims},
        statement::lists::{containing, octet_length, substr},
    },
};

/// How long a search looks for a full page, and a count for further tasks.
pub(crate) const LOOK_FOR: Duration = Duration::from_millis(500);

/// How many ids the first window has, and the longest one.
pub(super) const FIRST_WINDOW: i64 = 5_000;
const LONGEST_WINDOW: i64 = 500_000;

/// A window that took less is followed by one of twice its length; a window that took four times as long, by one of half its length.
const QUICK: Duration = Duration::from_millis(40);

/// How many tasks are read by their ids in one statement.
const PER_STATEMENT: usize = 500;

/// How many characters of a long text a page shows.
pub(super) const EXCERPT: i32 = 256;

/// How many ids of unfinished tasks are read in one statement, at least and at most.
const IDS: usize = 1_000;
const MOST_IDS: usize = 20_000;

/// How many tasks a count reads in one statement, if it has to judge each by its claim.
const JUDGED: usize = 2_000;

/// A task, and the beginnings and lengths of its long texts.
type FoundRow = (
    TaskFacts,
    Option<AnyText>,
    Option<AnyInt>,
    Option<AnyText>,
    Option<AnyInt>,
    Option<AnyText>,
    Option<AnyInt>,
);

#[derive(QueryableByName)]
struct TaskId {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// The tasks that meet the filter by their rows, boxed, for the database that compiles it. Whether a claim holds a task is looked at
/// afterwards: a task that waits by its row may be running.
macro_rules! found {
    ($filter:expr, $log_id:expr) => {{
        let filter: &TaskFilter = $filter;
        let mut query = asynctasks::table.into_boxed();
        if !filter.themes.is_empty() {
            query = query.filter(asynctasks::system_name.eq_any(&filter.themes));
        }
        if !filter.statuses.is_empty() {
            let wants = |status| filter.statuses.contains(&status);
            let is_named = filter::status_is_named!(filter);
            let may_run = asynctasks::queued
                .eq(1)
                .and(asynctasks::task_status.eq_any(["Wait", "Retry"]).assume_not_null());
            query = match wants(TaskStatus::Running) {
                true => query.filter(is_named.or(may_run)),
                false => query.filter(is_named),
            };
        }
        filter::by_texts_and_times!(query, filter, $log_id)
    }};
}

/// The columns of a [`FoundRow`].
macro_rules! summary {
    () => {
        (
            TaskFacts::as_select(),
            substr(asynctasks::arg, 1, EXCERPT),
            octet_length(asynctasks::arg),
            substr(asynctasks::last_result, 1, EXCERPT),
            octet_length(asynctasks::last_result),
            substr(asynctasks::last_err_msg, 1, EXCERPT),
            octet_length(asynctasks::last_err_msg),
        )
    };
}

/// Where a search takes its tasks from.
enum Source {
    /// These tasks, in descending order of their ids.
    Listed(Vec<i64>),
    /// The tasks that wait or run, by the queue.
    Unfinished,
    /// All tasks.
    Walk,
}

/// Tasks that one statement reads.
enum Ids<'a> {
    These(&'a [i64]),
    /// All from the first to the last.
    Range(i64, i64),
}

/// A query, limited to these tasks.
macro_rules! among {
    ($query:expr, $ids:expr) => {
        match $ids {
            Ids::These(ids) => $query.filter(asynctasks::id.eq_any(*ids)),
            Ids::Range(first, last) => $query
                .filter(asynctasks::id.ge(*first))
                .filter(asynctasks::id.le(*last)),
        }
    };
}

/// What a search gathers.
enum Gathered {
    Tasks(Vec<TaskSummary>),
    Number(usize),
}

/// A page, or a count, while it is filled.
struct Search<'a> {
    filter: &'a TaskFilter,
    /// The log id that the rows, or the records of their runs, must have.
    log_id: Option<&'a str>,
    claims: Vec<HeldClaim>,
    gathered: Gathered,
    /// One more than the caller wants, so that the search knows whether there are more tasks.
    wanted: usize,
    /// All tasks with this id or a greater one were looked at.
    looked_to: i64,
    began: Instant,
    look_for: Duration,
}

impl TaskStore<'_> {
    /// A page.
    pub(crate) async fn search(&self, search: &SearchTasks) -> Result<FoundTasks, StoreError> {
        self.search_for(search, LOOK_FOR).await
    }

    /// A page, for which the search looks no longer than this.
    pub(crate) async fn search_for(&self, search: &SearchTasks, look_for: Duration) -> Result<FoundTasks, StoreError> {
        let limit = search.limit as usize;
        let mut page = Search {
            filter: &search.filter,
            log_id: None,
            claims: Vec::new(),
            gathered: Gathered::Tasks(Vec::new()),
            wanted: limit + 1,
            looked_to: search.before.unwrap_or(i64::MAX),
            began: Instant::now(),
            look_for,
        };
        let is_over = self.gather(&mut page).await?;
        let is_full = page.is_full();
        let mut tasks = match page.gathered {
            Gathered::Tasks(tasks) => tasks,
            Gathered::Number(_) => Vec::new(),
        };
        tasks.truncate(limit);
        self.fill_waits(tasks.iter_mut().map(TaskSummary::held_fields)).await?;
        let last = tasks.last().map(|task| task.id);
        let searched_back_to = match is_over || is_full {
            true => None,
            false => Some(self.searched_to(page.looked_to).await?),
        };
        Ok(FoundTasks {
            next: match (is_full, is_over) {
                (true, _) => last,
                (false, true) => None,
                (false, false) => Some(page.looked_to),
            },
            tasks,
            searched_back_to,
        })
    }

    /// How many tasks meet a filter: up to this number, and as many as can be counted in half a second.
    pub(crate) async fn count(&self, filter: &TaskFilter, up_to: u64) -> Result<TaskCount, StoreError> {
        let up_to = usize::try_from(up_to).unwrap_or(usize::MAX);
        let mut page = Search {
            filter,
            log_id: None,
            claims: Vec::new(),
            gathered: Gathered::Number(0),
            wanted: up_to.saturating_add(1),
            looked_to: i64::MAX,
            began: Instant::now(),
            look_for: LOOK_FOR,
        };
        let is_over = self.gather(&mut page).await?;
        let found = page.found();
        Ok(TaskCount {
            tasks: found.min(up_to) as u64,
            more: !is_over || found > up_to,
        })
    }

    /// Looks for tasks until there are enough. True: all tasks of the filter were looked at.
    async fn gather(&self, page: &mut Search<'_>) -> Result<bool, StoreError> {
        page.claims = self.claims_for(page.filter).await?;
        let (source, log_id) = self.source(page.filter, &page.claims).await?;
        page.log_id = log_id;
        match source {
            Source::Listed(ids) => self.search_listed(page, ids).await,
            Source::Unfinished => self.search_unfinished(page).await,
            Source::Walk => self.walk(page).await,
        }
    }

    /// Where to look, and the log id that the rows of the tasks, or the records of their runs, must have.
    async fn source<'f>(
        &self,
        filter: &'f TaskFilter,
        claims: &[HeldClaim],
    ) -> Result<(Source, Option<&'f str>), StoreError> {
        let listed = |mut ids: Vec<i64>| {
            ids.sort_unstable_by_key(|id| std::cmp::Reverse(*id));
            ids.dedup();
            Source::Listed(ids)
        };
        if let Some(log_id) = &filter.log_id
            && let Some(task) = self.task_of_run(log_id, claims).await?
        {
            let is_named = filter.ids.is_empty() || filter.ids.contains(&task);
            let tasks = if is_named { vec![task] } else { Vec::new() };
            return Ok((Source::Listed(tasks), None));
        }
        // It does not name its task: a run that began when its task was added has such a log id, and so have those of another framework.
        let log_id = filter.log_id.as_deref();
        if !filter.ids.is_empty() {
            return Ok((listed(filter.ids.clone()), log_id));
        }
        if let Some(node) = &filter.node {
            let mut ids = Vec::new();
            let mut after = i64::MIN;
            loop {
                let claims = self.claims_of(node, after).await?;
                let Some(last) = claims.last() else { break };
                after = last.id;
                ids.extend(claims.iter().flat_map(|claim| &claim.task_ids));
            }
            return Ok((listed(ids), log_id));
        }
        let is_unfinished = !filter.statuses.is_empty()
            && !filter.without_node
            && !filter.statuses.iter().any(|status| status.is_finished());
        Ok(match is_unfinished {
            true => (Source::Unfinished, log_id),
            false => (Source::Walk, log_id),
        })
    }

    /// The claims that may hold tasks of the filter. Read before the rows, so that a task that ends in between does not look like a waiting
    /// one.
    pub(super) async fn claims_for(&self, filter: &TaskFilter) -> Result<Vec<HeldClaim>, StoreError> {
        if !filter.statuses.is_empty() && filter.statuses.iter().all(|status| status.is_finished()) {
            return Ok(Vec::new());
        }
        let ids = self.db.dialect().claimed_ids;
        let mut conn = self.db.look().await?;
        let rows: Vec<ClaimRow> = on_backend!(conn, |conn| {
            let mut claims = gaia_claims::table.into_boxed();
            if !filter.themes.is_empty() {
                claims = claims.filter(gaia_claims::theme.eq_any(&filter.themes));
            }
            claims
                .order(gaia_claims::id)
                .select(claim_columns!(ids))
                .load(conn)
                .await
        })?;
        Ok(rows.into_iter().map(held_claim).collect())
    }

    /// The task that runs, or has run, under a log id of this crate. `None`: none has; another framework may have made the log id.
    pub(super) async fn task_of_run(&self, log_id: &str, claims: &[HeldClaim]) -> Result<Option<i64>, StoreError> {
        let Some(task) = task_of_log_id(log_id) else {
            return Ok(None);
        };
        if claims.iter().any(|claim| format!("{}-{task}", claim.mark) == log_id) {
            return Ok(Some(task));
        }
        let mut conn = self.db.look().await?;
        let ran: i64 = on_backend!(conn, |conn| {
            asynctask_exec_row::table
                .filter(asynctask_exec_row::task_id.eq(task))
                .filter(asynctask_exec_row::log_id.eq(log_id))
                .count()
                .get_result(conn)
                .await
        })?;
        let runs: i64 = on_backend!(conn, |conn| {
            asynctasks::table
                .filter(asynctasks::id.eq(task))
                .filter(asynctasks::log_id.eq(log_id))
                .count()
                .get_result(conn)
                .await
        })?;
        Ok((ran + runs > 0).then_some(task))
    }

    async fn search_listed(&self, page: &mut Search<'_>, ids: Vec<i64>) -> Result<bool, StoreError> {
        let ids: Vec<i64> = ids.into_iter().filter(|id| *id < page.looked_to).collect();
        for ids in ids.chunks(PER_STATEMENT) {
            self.look_at(page, Ids::These(ids)).await?;
            if page.is_full() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes the tasks among these that meet the filter. If a statement with a limit could not read all of them: the id of the last one that
    /// it has read.
    async fn look_at(&self, page: &mut Search<'_>, ids: Ids<'_>) -> Result<Option<i64>, StoreError> {
        let (filter, log_id) = (page.filter, page.log_id);
        let room = page.wanted.saturating_sub(page.found());
        let most = match (&ids, &page.gathered) {
            (Ids::These(ids), _) => ids.len(),
            (Ids::Range(..), Gathered::Tasks(_)) => room,
            (Ids::Range(..), Gathered::Number(_)) => room.min(JUDGED),
        };
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        let mut conn = self.db.look().await?;
        let (read, last) = match &mut page.gathered {
            Gathered::Number(found) if filter.is_decided_by_rows() => {
                let number: i64 = on_backend!(conn, |conn| {
                    among!(found!(filter, log_id), &ids).count().get_result(conn).await
                })?;
                *found = found.saturating_add(usize::try_from(number).unwrap_or(0));
                return Ok(None);
            }
            Gathered::Number(found) => {
                let rows: Vec<TaskFacts> = on_backend!(conn, |conn| {
                    among!(found!(filter, log_id), &ids)
                        .order(asynctasks::id.desc())
                        .limit(limit)
                        .select(TaskFacts::as_select())
                        .load(conn)
                        .await
                })?;
                let read = rows.len();
                let tasks = rows
                    .into_iter()
                    .map(|facts| facts.seen(&page.claims).listed([None, None, None]));
                let mut last = None;
                for task in tasks {
                    last = Some(task.id);
                    *found += usize::from(filter.is_met_by(task.status, task.node.as_deref()));
                }
                (read, last)
            }
            Gathered::Tasks(_) => {
                let rows: Vec<FoundRow> = on_backend!(conn, |conn| {
                    among!(found!(filter, log_id), &ids)
                        .order(asynctasks::id.desc())
                        .limit(limit)
                        .select(summary!())
                        .load(conn)
                        .await
                })?;
                (rows.len(), page.take(rows))
            }
        };
        Ok(last.filter(|_| read >= most))
    }

    /// Goes through the ids of the tasks that wait or run, in descending order.
    async fn search_unfinished(&self, page: &mut Search<'_>) -> Result<bool, StoreError> {
        let themes = &page.filter.themes;
        let statuses = &page.filter.statuses;
        let waits = statuses.contains(&TaskStatus::Wait) || statuses.contains(&TaskStatus::Retry);
        // Each query goes through all of them: a long page makes few queries.
        let most = page.wanted.clamp(IDS, MOST_IDS);
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        while page.may_go_on() {
            let (query, binds) = self.db.dialect().unfinished_ids(themes, waits, page.looked_to, limit);
            let mut conn = self.db.look().await?;
            let rows: Vec<TaskId> = on_backend!(conn, |conn| {
                let mut query = diesel::sql_query(&query).into_boxed();
                for theme in &binds {
                    query = query.bind::<Text, _>(*theme);
                }
                query.load(conn).await
            })?;
            drop(conn);
            let mut ids: Vec<i64> = rows.into_iter().map(|row| row.id).collect();
            let is_last = ids.len() < most;
            ids.dedup();
            let mut chunks = ids.chunks(PER_STATEMENT);
            while let Some(ids) = chunks.next() {
                self.look_at(page, Ids::These(ids)).await?;
                page.looked_to = ids.last().copied().unwrap_or(page.looked_to);
                let has_more = chunks.len() > 0;
                if page.is_full() || (has_more && !page.may_go_on()) {
                    return Ok(false);
                }
            }
            if is_last {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Goes through all tasks, from the newest on, in windows of ids.
    async fn walk(&self, page: &mut Search<'_>) -> Result<bool, StoreError> {
        let mut window = FIRST_WINDOW;
        while page.may_go_on() {
            let before = Instant::now();
            let Some(newest) = self.newest_before(page.looked_to).await? else {
                return Ok(true);
            };
            let from = newest.saturating_sub(window - 1);
            let last = self.look_at(page, Ids::Range(from, newest)).await?;
            page.looked_to = last.unwrap_or(from);
            if page.is_full() {
                return Ok(false);
            }
            window = next_window(window, before.elapsed());
        }
        Ok(false)
    }

    /// The greatest id of a task below this one.
    pub(crate) async fn newest_before(&self, id: i64) -> Result<Option<i64>, StoreError> {
        let mut conn = self.db.look().await?;
        Ok(on_backend!(conn, |conn| {
            asynctasks::table
                .filter(asynctasks::id.lt(id))
                .order(asynctasks::id.desc())
                .select(asynctasks::id)
                .first(conn)
                .await
                .optional()
        })?)
    }

    pub(super) async fn searched_to(&self, id: i64) -> Result<SearchedTo, StoreError> {
        let mut conn = self.db.look().await?;
        let oldest: Option<(i64, Option<AnyTime>)> = on_backend!(conn, |conn| {
            asynctasks::table
                .filter(asynctasks::id.ge(id))
                .order(asynctasks::id)
                .select((asynctasks::id, asynctasks::create_time))
                .first(conn)
                .await
                .optional()
        })?;
        let (id, create_time) = oldest.unwrap_or((id, None));
        Ok(SearchedTo {
            id,
            create_time: time(create_time),
        })
    }
}

/// How long the window is that follows one of this length, which took so long.
pub(super) fn next_window(length: i64, took: Duration) -> i64 {
    match () {
        () if took < QUICK => (length * 2).min(LONGEST_WINDOW),
        () if took > QUICK * 4 => (length / 2).max(FIRST_WINDOW),
        () => length,
    }
}

impl Search<'_> {
    fn found(&self) -> usize {
        match &self.gathered {
            Gathered::Tasks(tasks) => tasks.len(),
            Gathered::Number(found) => *found,
        }
    }

    fn is_full(&self) -> bool {
        self.found() >= self.wanted
    }

    fn may_go_on(&self) -> bool {
        self.began.elapsed() < self.look_for
    }

    /// Takes the rows that meet the filter by their claims, too. Answers with the id of the last row.
    fn take(&mut self, rows: Vec<FoundRow>) -> Option<i64> {
        let Gathered::Tasks(found) = &mut self.gathered else {
            return None;
        };
        let mut last = None;
        for (facts, arg, arg_bytes, result, result_bytes, error, error_bytes) in rows {
            let task = facts.seen(&self.claims).listed([arg, result, error]);
            last = Some(task.id);
            if self.filter.is_met_by(task.status, task.node.as_deref()) && found.len() < self.wanted {
                found.push(TaskSummary::of(
                    task,
                    [arg_bytes, result_bytes, error_bytes].map(number),
                ));
            }
        }
        last
    }
}
