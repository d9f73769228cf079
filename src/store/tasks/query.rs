//! Reading tasks.

use std::collections::BTreeMap;

use diesel::{
    QueryableByName,
    dsl::sql,
    prelude::*,
    sql_types::{BigInt, Bool, Nullable, Text},
};
use diesel_async::RunQueryDsl;

use super::{
    claimed::ClaimedTask,
    filter,
    rows::{TaskFacts, TaskRow, status_of},
};
use crate::{
    domain::{Json, ListTasks, Page, Task, TaskFilter, TaskStatus},
    store::{
        StoreError, TaskStore,
        backend::ReadKind,
        db::{Conn, on_backend},
        lenient::{AnyInt, AnyText, number, text},
        schema::{asynctask_exec_row, asynctasks},
        statement::lists::{Cut, containing, shown},
        time::StoredTime,
    },
};

/// Counts rows, and ends for which tasks wait.
const UNSETTLED: &str = "COUNT(*) + (SELECT COUNT(*) FROM gaia_links LEFT JOIN asynctasks t ON t.id = gaia_links.open_task \
    WHERE gaia_links.open_task IS NOT NULL AND COALESCE(t.task_status, '') NOT IN ('Wait', 'Retry', 'Running'))";

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

/// A task and its long texts, as a list asks for them.
type ListedTask = (TaskFacts, Option<AnyText>, Option<AnyText>, Option<AnyText>);

/// What a list's conditions need beside the rows of the tasks: JSON lists of ids.
struct Beside {
    /// The unseen tasks of the theme. `None`: no condition asks for them.
    unseen: Option<String>,
    /// The tasks in the claims of the filter's node.
    of_node: String,
    /// The task that ran under the filter's log id, if that is known.
    ran: Option<i64>,
}

/// The query of a list, boxed, for the database that compiles it.
macro_rules! listed {
    ($theme:expr, $filter:expr, $beside:expr, $id_in_json_list:expr) => {{
        let (filter, beside): (&TaskFilter, &Beside) = ($filter, $beside);
        let is_in_list = |ids: String| {
            let [before, behind] = $id_in_json_list;
            sql::<Bool>(before).bind::<Text, _>(ids).sql(behind)
        };
        let mut query = asynctasks::table
            .filter(asynctasks::system_name.eq($theme))
            .into_boxed();
        if !filter.ids.is_empty() {
            query = query.filter(asynctasks::id.eq_any(&filter.ids));
        }
        let is_unseen = || {
            let unseen = beside.unseen.clone().unwrap_or_else(|| "[]".to_owned());
            asynctasks::queued.eq(1).and(is_in_list(unseen))
        };
        if !filter.statuses.is_empty() {
            let by_row = filter::status_is_named!(filter);
            query = match (&beside.unseen, filter.statuses.contains(&TaskStatus::Running)) {
                (None, _) => query.filter(by_row),
                (Some(_), true) => query.filter(is_unseen().or(by_row)),
                (Some(_), false) => query.filter(diesel::dsl::not(is_unseen()).and(by_row)),
            };
        }
        if let Some(node) = &filter.node {
            let by_row = asynctasks::lease_owner.eq(node).assume_not_null();
            let by_claim = is_unseen().and(is_in_list(beside.of_node.clone()));
            query = query.filter(by_claim.or(diesel::dsl::not(is_unseen()).and(by_row)));
        }
        if filter.without_node {
            query = query.filter(diesel::dsl::not(is_unseen()).and(asynctasks::lease_owner.is_null()));
        }
        if let Some(task) = beside.ran {
            query = query.filter(asynctasks::id.eq(task));
        }
        let log_id = filter.log_id.as_ref().filter(|_| beside.ran.is_none());
        filter::by_texts_and_times!(query, filter, log_id)
    }};
}

impl TaskStore<'_> {
    pub(crate) async fn get(&self, theme: &str, id: i64) -> Result<Option<Task>, StoreError> {
        let mut conn = self.db.read_as(ReadKind::Detail).await?;
        let mut row = task_row(&mut conn, theme, id).await?;
        let mut claims = Vec::new();
        if row.as_ref().is_some_and(TaskRow::may_be_unseen) {
            claims = self.claims_in(&mut conn, theme).await?;
            row = task_row(&mut conn, theme, id).await?;
        }
        drop(conn);
        let mut task = row.map(|row| row.task(&claims));
        self.fill_waits(task.iter_mut().map(Task::held_fields)).await?;
        Ok(task)
    }

    /// The same of a task of any theme.
    pub(crate) async fn find(&self, id: i64) -> Result<Option<Task>, StoreError> {
        match self.theme_of(id).await? {
            Some(theme) => self.get(&theme, id).await,
            None => Ok(None),
        }
    }

    /// The theme to which a task belongs.
    pub(crate) async fn theme_of(&self, id: i64) -> Result<Option<String>, StoreError> {
        let mut conn = self.db.read_as(ReadKind::Detail).await?;
        let theme: Option<AnyText> = on_backend!(conn, |conn| {
            asynctasks::table
                .find(id)
                .select(asynctasks::system_name)
                .first(conn)
                .await
                .optional()
        })?;
        Ok(text(theme))
    }

    pub(crate) async fn list(&self, theme: &str, list: &ListTasks) -> Result<Page<Task>, StoreError> {
        let (filter, page) = (&list.filter, list.page);
        let ran = match &filter.log_id {
            Some(log_id) => self.task_of_run(log_id, &self.claims_for(filter).await?).await?,
            None => None,
        };
        let mut conn = self.db.read_as(ReadKind::List).await?;
        let id_in_json_list = self.db.dialect().id_in_json_list;
        let unseen = match filter.is_decided_by_rows() {
            true => None,
            false => Some(self.unseen(&mut conn, theme).await?),
        };
        let claims = self.claims_in(&mut conn, theme).await?;
        let of_node = claims.iter().filter(|claim| Some(&claim.node) == filter.node.as_ref());
        let beside = &Beside {
            unseen,
            of_node: json_list(of_node.flat_map(|claim| claim.task_ids.iter().copied())),
            ran,
        };
        let total: i64 = on_backend!(conn, |conn| listed!(theme, filter, beside, id_in_json_list)
            .count()
            .get_result(conn)
            .await)?;
        let cut = Cut::of(page);
        let rows: Vec<ListedTask> = on_backend!(conn, |conn| {
            listed!(theme, filter, beside, id_in_json_list)
                .order(asynctasks::id.desc())
                .limit(i64::from(page.page_size))
                .offset(page.offset())
                .select((
                    TaskFacts::as_select(),
                    shown!(asynctasks::arg, cut),
                    shown!(asynctasks::last_result, cut),
                    shown!(asynctasks::last_err_msg, cut),
                ))
                .load(conn)
                .await
        })?;
        drop(conn);
        let tasks = rows
            .into_iter()
            .map(|(facts, arg, result, error)| facts.seen(&claims).listed([arg, result, error]));
        let mut tasks: Vec<Task> = tasks.collect();
        self.fill_waits(tasks.iter_mut().map(Task::held_fields)).await?;
        Ok(page.of(tasks, total))
    }

    /// The unseen tasks of a theme: a JSON list of ids.
    async fn unseen(&self, conn: &mut Conn, theme: &str) -> Result<String, StoreError> {
        let query = format!("SELECT t.id AS id {}", self.db.dialect().unseen([1, 2]));
        let rows: Vec<TaskId> = on_backend!(*conn, |conn| {
            let query = diesel::sql_query(&query).bind::<Text, _>(theme).bind::<Text, _>(theme);
            query.load(conn).await
        })?;
        Ok(json_list(rows.into_iter().map(|row| row.id)))
    }

    /// How many tasks of the theme have each status; every status is named, with 0 where there is none.
    pub(crate) async fn count_by_status(&self, theme: &str) -> Result<BTreeMap<TaskStatus, i64>, StoreError> {
        let mut conn = self.db.read_as(ReadKind::List).await?;
        let mut parts = vec![format!(
            "SELECT task_status AS status, COUNT(*) AS n FROM asynctasks WHERE system_name = {} GROUP BY task_status",
            (self.db.dialect().parameter)(1)
        )];
        for (status, n, themes) in [
            ("'Running'", "COUNT(*)", [2, 3]),
            ("t.task_status", "-COUNT(*)", [4, 5]),
        ] {
            let unseen = self.db.dialect().unseen(themes);
            parts.push(format!("SELECT {status} AS status, {n} AS n {unseen} GROUP BY 1"));
        }
        // One statement: a task that changes its status between two statements would count twice, or not at all.
        let query = parts.join(" UNION ALL ");
        let rows: Vec<StatusCount> = on_backend!(conn, |conn| {
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

    /// How many tasks of the theme run, or are due; and how many ends of tasks, of any theme, are to be counted for tasks that wait for them. One
    /// statement: a task that is released between two statements would be in neither.
    pub(crate) async fn unsettled(&self, theme: &str) -> Result<i64, StoreError> {
        let now = StoredTime::from(self.clock().now());
        let mut conn = self.db.read().await?;
        Ok(on_backend!(conn, |conn| {
            let due = asynctasks::run_at.is_null().or(asynctasks::run_at.le(now));
            asynctasks::table
                .filter(asynctasks::system_name.eq(theme))
                .filter(asynctasks::task_status.eq_any(["Wait", "Retry", "Running"]))
                .filter(due)
                .select(sql::<BigInt>(UNSETTLED))
                .get_result(conn)
                .await
        })?)
    }

    pub(super) async fn status(&self, theme: &str, id: i64) -> Result<Option<TaskStatus>, StoreError> {
        let mut conn = self.db.write().await?;
        let status: Option<Option<AnyText>> = on_backend!(conn, |conn| {
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

    /// The tasks a node runs that a caller has asked to cancel. The condition is spelled as text, so that the index over such
    /// requests serves.
    pub(crate) async fn cancel_requests(&self, node: &str) -> Result<Vec<(String, i64)>, StoreError> {
        let is_wanted = self.db.dialect().cancel_is_wanted;
        let mut conn = self.db.read().await?;
        let rows: Vec<(AnyText, AnyInt)> = on_backend!(conn, |conn| {
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

    /// The arguments of a task, if its run still holds it.
    pub(crate) async fn args_of(&self, task: &ClaimedTask) -> Result<Option<Json>, StoreError> {
        let mut conn = self.db.read().await?;
        let arg: Option<Option<AnyText>> = on_backend!(conn, |conn| {
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

fn json_list(ids: impl Iterator<Item = i64>) -> String {
    let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
    format!("[{}]", ids.join(","))
}

async fn task_row(conn: &mut Conn, theme: &str, id: i64) -> Result<Option<TaskRow>, StoreError> {
    Ok(on_backend!(*conn, |conn| {
        asynctasks::table
            .filter(asynctasks::id.eq(id))
            .filter(asynctasks::system_name.eq(theme))
            .select(TaskRow::as_select())
            .first(conn)
            .await
            .optional()
    })?)
}
