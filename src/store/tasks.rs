//! Reading tasks, and what people do to them by hand. Each change is one guarded statement; what it did not match is
//! explained by reading the row afterwards.

use std::collections::BTreeMap;

use diesel::{
    QueryableByName,
    dsl::sql,
    prelude::*,
    sql_types::{BigInt, Bool, Nullable, Text},
};
use diesel_async::RunQueryDsl;

use super::{
    HeldClaim, Store, StoreError,
    claims::unseen_run,
    db::{Lease, Look, on_backend, on_each},
    lenient::{AnyInt, AnyText, AnyTime, is_set, number, text, time},
    lists::{Cut, shown},
    rows::{ClaimedTask, HeldRow, TaskFacts, TaskRow, status_of},
    schema::asynctasks,
};
use crate::domain::{ActionOnTask, Json, ListTasks, Page, Task, TaskStatus};

/// What a request to cancel did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cancelled {
    /// The task waited and is Cancelled now.
    AtOnce,
    /// The task runs; its node will be told.
    Requested,
    /// It has come to an end already.
    NotAllowed(TaskStatus),
    NotFound,
}

/// A running task whose node is gone.
#[derive(Debug)]
pub(crate) struct Orphan {
    pub(crate) theme: String,
    pub(crate) task: ClaimedTask,
    /// Marked as begun: only tasks on their last attempt are.
    pub(crate) began: bool,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = asynctasks)]
pub(super) struct OrphanRow {
    system_name: AnyText,
    task_status: Option<AnyText>,
    queued: AnyInt,
    began: AnyInt,
    lease_owner: Option<AnyText>,
    log_id: Option<AnyText>,
    last_run_time: Option<AnyTime>,
    #[diesel(embed)]
    task: HeldRow,
}

impl OrphanRow {
    /// The task as it runs by its row, or by one of these claims if the row says nothing yet.
    pub(super) fn orphan(self, claims: &[HeldClaim]) -> Option<Orphan> {
        let theme = self.system_name.0;
        if text(self.task_status).as_deref() == Some(TaskStatus::Running.as_str()) {
            let owner = text(self.lease_owner).unwrap_or_default();
            let log_id = text(self.log_id).unwrap_or_default();
            let claimed_at = time(self.last_run_time).unwrap_or_default();
            return Some(Orphan {
                theme,
                began: is_set(self.began),
                task: self.task.held(owner.into(), log_id.into(), claimed_at),
            });
        }
        let run = unseen_run(claims, self.task.id(), number(Some(self.queued))?, self.task.token())?;
        let task = self.task.held(run.node.into(), run.log_id.into(), run.claimed_at);
        Some(Orphan {
            theme,
            began: false,
            task: ClaimedTask {
                token: run.token,
                ..task
            },
        })
    }
}

#[derive(QueryableByName)]
struct TaskId {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

#[derive(QueryableByName)]
struct StatusCount {
    #[diesel(sql_type = Nullable<Text>)]
    status: Option<AnyText>,
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// What a request to retry did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Retried {
    Queued,
    NotAllowed(TaskStatus),
    /// Another unfinished task has its unique key by now.
    KeyTaken,
    NotFound,
}

/// A task and its long texts, as a list asks for them.
type ListedTask = (TaskFacts, Option<AnyText>, Option<AnyText>, Option<AnyText>);

/// The boxed query of a list, for whichever database compiles it.
macro_rules! listed {
    ($theme:expr, $list:expr, $unseen:expr, $is_listed:expr) => {{
        let mut query = asynctasks::table
            .filter(asynctasks::system_name.eq($theme))
            .into_boxed();
        if !$list.statuses.is_empty() {
            let statuses: Vec<&str> = $list.statuses.iter().map(|status| status.as_str()).collect();
            let by_row = asynctasks::task_status.eq_any(statuses);
            query = match &$unseen {
                None => query.filter(by_row),
                Some(ids) => {
                    let [before, behind] = $is_listed;
                    let is_in_list = || sql::<Bool>(before).bind::<Text, _>(ids).sql(behind);
                    let is_unseen = || asynctasks::queued.eq(1).and(is_in_list());
                    match $list.statuses.contains(&TaskStatus::Running) {
                        true => query.filter(is_unseen().or(by_row.assume_not_null())),
                        false => query.filter(diesel::dsl::not(is_unseen()).and(by_row.assume_not_null())),
                    }
                }
            };
        }
        if let Some(text) = &$list.name_contains {
            query = query.filter(asynctasks::task_name.like(containing(text)).escape('\\'));
        }
        if let Some(service) = &$list.service {
            query = query.filter(asynctasks::service_name.eq(service));
        }
        if let Some(method) = &$list.method {
            query = query.filter(asynctasks::method_name.eq(method));
        }
        if let Some(from) = $list.created_from {
            query = query.filter(asynctasks::create_time.ge(from.naive_utc()));
        }
        if let Some(before) = $list.created_before {
            query = query.filter(asynctasks::create_time.lt(before.naive_utc()));
        }
        query
    }};
}

/// A LIKE pattern for "contains this text", in which `%`, `_` and `\` stand for themselves.
pub(super) fn containing(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for char in text.chars() {
        if matches!(char, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(char);
    }
    pattern.push('%');
    pattern
}

impl Store {
    pub(crate) async fn task(&self, theme: &str, id: i64) -> Result<Option<Task>, StoreError> {
        let mut lease = self.db.look(Look::Detail).await?;
        let mut row = task_row(&mut lease, theme, id).await?;
        let mut claims = Vec::new();
        if row.as_ref().is_some_and(TaskRow::may_be_unseen) {
            claims = self.claims_in(&mut lease, theme).await?;
            row = task_row(&mut lease, theme, id).await?;
        }
        Ok(row.map(|row| row.task(&claims)))
    }

    pub(crate) async fn list(&self, theme: &str, list: &ListTasks) -> Result<Page<Task>, StoreError> {
        let mut lease = self.db.look(Look::List).await?;
        let is_listed = self.db.is_listed();
        let unseen = match list.statuses.is_empty() {
            true => None,
            false => Some(self.unseen(&mut lease, theme).await?),
        };
        let claims = self.claims_in(&mut lease, theme).await?;
        let total: i64 = on_backend!(lease, |conn| listed!(theme, list, unseen, is_listed)
            .count()
            .get_result(conn)
            .await)?;
        let cut = Cut::of(list.page);
        let rows: Vec<ListedTask> = on_backend!(lease, |conn| {
            listed!(theme, list, unseen, is_listed)
                .order(asynctasks::id.desc())
                .limit(i64::from(list.page.page_size))
                .offset(list.page.offset())
                .select((
                    TaskFacts::as_select(),
                    shown!(asynctasks::arg, cut),
                    shown!(asynctasks::last_result, cut),
                    shown!(asynctasks::last_err_msg, cut),
                ))
                .load(conn)
                .await
        })?;
        let tasks = rows
            .into_iter()
            .map(|(facts, arg, result, error)| facts.seen(&claims).listed([arg, result, error]));
        Ok(list.page.of(tasks.collect(), total))
    }

    /// The tasks of a theme that run unseen: a JSON list of ids.
    async fn unseen(&self, lease: &mut Lease, theme: &str) -> Result<String, StoreError> {
        let query = format!("SELECT t.id AS id {}", self.db.unseen([1, 2]));
        let rows: Vec<TaskId> = on_backend!(*lease, |conn| {
            let query = diesel::sql_query(&query).bind::<Text, _>(theme).bind::<Text, _>(theme);
            query.load(conn).await
        })?;
        let ids: Vec<String> = rows.into_iter().map(|row| row.id.to_string()).collect();
        Ok(format!("[{}]", ids.join(",")))
    }

    /// How many tasks of the theme have each status; every status is named, with 0 where there is none.
    pub(crate) async fn count_by_status(&self, theme: &str) -> Result<BTreeMap<TaskStatus, i64>, StoreError> {
        let mut lease = self.db.look(Look::List).await?;
        let mut parts = vec![format!(
            "SELECT task_status AS status, COUNT(*) AS n FROM asynctasks WHERE system_name = {} GROUP BY task_status",
            self.db.parameter(1)
        )];
        for (status, n, themes) in [
            ("'Running'", "COUNT(*)", [2, 3]),
            ("t.task_status", "-COUNT(*)", [4, 5]),
        ] {
            let unseen = self.db.unseen(themes);
            parts.push(format!("SELECT {status} AS status, {n} AS n {unseen} GROUP BY 1"));
        }
        // By one statement: what moves from one part to another in between would count twice, or not at all.
        let query = parts.join(" UNION ALL ");
        let rows: Vec<StatusCount> = on_backend!(lease, |conn| {
            let mut query = diesel::sql_query(&query).into_boxed();
            for _ in 1..=5 {
                query = query.bind::<Text, _>(theme);
            }
            query.load(conn).await
        })?;
        let mut counts: BTreeMap<_, _> = TaskStatus::ALL.map(|status| (status, 0)).into();
        for StatusCount { status, n } in rows {
            *counts.entry(status_of(text(status).as_deref())).or_default() += n;
        }
        Ok(counts)
    }

    /// How many tasks of the theme run, or could run now.
    pub(crate) async fn unsettled(&self, theme: &str) -> Result<i64, StoreError> {
        let now = self.clock().now().naive_utc();
        let mut lease = self.db.read().await?;
        Ok(on_backend!(lease, |conn| {
            let due = asynctasks::run_at.is_null().or(asynctasks::run_at.le(now));
            asynctasks::table
                .filter(asynctasks::system_name.eq(theme))
                .filter(asynctasks::task_status.eq_any(["Wait", "Retry", "Running"]))
                .filter(due)
                .count()
                .get_result(conn)
                .await
        })?)
    }

    async fn status(&self, theme: &str, id: i64) -> Result<Option<TaskStatus>, StoreError> {
        let mut lease = self.db.write().await?;
        let status: Option<Option<AnyText>> = on_backend!(lease, |conn| {
            asynctasks::table
                .filter(asynctasks::id.eq(id))
                .filter(asynctasks::system_name.eq(theme))
                .select(asynctasks::task_status)
                .first(conn)
                .await
                .optional()
        })?;
        Ok(status.map(|status| status_of(text(status).as_deref())))
    }

    pub(crate) async fn cancel(&self, theme: &str, id: i64) -> Result<Cancelled, StoreError> {
        // A task may move between two statements: from waiting to running and back. Twice is rare, thrice is a storm.
        for _ in 0..10 {
            if self.cancel_waiting(theme, id).await? {
                return Ok(Cancelled::AtOnce);
            }
            if self.request_cancel(theme, id).await? {
                return Ok(Cancelled::Requested);
            }
            match self.status(theme, id).await? {
                None => return Ok(Cancelled::NotFound),
                Some(status) if !ActionOnTask::Cancel.allowed_from().contains(&status) => {
                    return Ok(Cancelled::NotAllowed(status));
                }
                Some(_) => {}
            }
        }
        Err(StoreError::Database(format!(
            "task {id} changes its status faster than it can be cancelled; try again"
        )))
    }

    /// Ends a task that nobody runs: one that waits, or one that another framework left as Running without a node.
    async fn cancel_waiting(&self, theme: &str, id: i64) -> Result<bool, StoreError> {
        let now = self.clock().now().naive_utc();
        let cancel = || async { on_each!(&self.db, |db| db.cancel_waiting(theme.to_owned(), id, now).await) };
        self.retrying(cancel).await
    }

    async fn request_cancel(&self, theme: &str, id: i64) -> Result<bool, StoreError> {
        let now = self.clock().now().naive_utc();
        let mut lease = self.db.write().await?;
        let requested = on_backend!(lease, |conn| {
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

    /// Queues a finished task again, or one that another framework left as Running without a node; its counters at zero.
    pub(crate) async fn retry(&self, theme: &str, id: i64) -> Result<Retried, StoreError> {
        let now = self.clock().now().naive_utc();
        // A status that we do not know counts as Failed: whatever is not forbidden is allowed.
        let allowed = ActionOnTask::Retry.allowed_from();
        let forbidden = TaskStatus::ALL
            .into_iter()
            .filter(|status| !allowed.contains(status))
            .map(TaskStatus::as_str);
        let forbidden: Vec<&str> = forbidden.collect();
        let mut lease = self.db.write().await?;
        let queued = on_backend!(lease, |conn| {
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
                    asynctasks::run_at.eq(None::<chrono::NaiveDateTime>),
                    asynctasks::cancel_requested.eq(0),
                    asynctasks::update_time.eq(now),
                    asynctasks::finished_at.eq(None::<chrono::NaiveDateTime>),
                ))
                .execute(conn)
                .await
        });
        drop(lease);
        match queued.map_err(StoreError::from) {
            Ok(0) => Ok(match self.status(theme, id).await? {
                None => Retried::NotFound,
                Some(status) => Retried::NotAllowed(status),
            }),
            Ok(_) => Ok(Retried::Queued),
            Err(StoreError::Duplicate(_)) => Ok(Retried::KeyTaken),
            Err(error) => Err(error),
        }
    }

    /// The tasks a node runs that somebody has asked to cancel. The condition is spelled as text, so that the index over such
    /// requests serves.
    pub(crate) async fn cancel_requests(&self, node: &str) -> Result<Vec<(String, i64)>, StoreError> {
        let is_wanted = self.db.cancel_is_wanted();
        let mut lease = self.db.read().await?;
        let rows: Vec<(AnyText, AnyInt)> = on_backend!(lease, |conn| {
            asynctasks::table
                .filter(sql::<Bool>(is_wanted))
                .filter(asynctasks::task_status.eq("Running"))
                .filter(asynctasks::lease_owner.eq(node))
                .select((asynctasks::system_name, asynctasks::id))
                .load(conn)
                .await
        })?;
        let request = |(theme, id): (AnyText, AnyInt)| Some((theme.0, number(id)?));
        Ok(rows.into_iter().filter_map(request).collect())
    }

    /// The arguments of a task that is held; `None` if it is not any more.
    pub(crate) async fn args_of(&self, task: &ClaimedTask) -> Result<Option<Json>, StoreError> {
        let mut lease = self.db.read().await?;
        let arg: Option<Option<AnyText>> = on_backend!(lease, |conn| {
            let is_seen = asynctasks::lease_owner
                .eq(&*task.owner)
                .and(asynctasks::lease_token.eq(task.token))
                .and(asynctasks::log_id.eq(&*task.log_id));
            let is_unseen = asynctasks::task_status
                .eq_any(["Wait", "Retry"])
                .and(asynctasks::queued.eq(1))
                .and(asynctasks::lease_token.lt(task.token));
            asynctasks::table
                .filter(asynctasks::id.eq(task.id))
                .filter(is_seen.or(is_unseen))
                .select(asynctasks::arg)
                .first(conn)
                .await
                .optional()
        })?;
        Ok(arg.map(|arg| Json::from_column(text(arg))))
    }
}

async fn task_row(lease: &mut Lease, theme: &str, id: i64) -> Result<Option<TaskRow>, StoreError> {
    Ok(on_backend!(*lease, |conn| {
        asynctasks::table
            .filter(asynctasks::id.eq(id))
            .filter(asynctasks::system_name.eq(theme))
            .select(TaskRow::as_select())
            .first(conn)
            .await
            .optional()
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_in_a_searched_text_stand_for_themselves() {
        assert_eq!(containing(r"50%_off\"), r"%50\%\_off\\%");
    }
}
