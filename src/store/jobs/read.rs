//! Reading jobs and their runs.

use std::cmp::Reverse;

use diesel::{
    dsl::{Eq, Filter, sql},
    prelude::*,
    sql_types::Bool,
};
use diesel_async::RunQueryDsl;

use super::rows::{JobRow, RunFacts, RunRow, ScheduleRow};
use crate::{
    domain::{FindJobs, FindRuns, JobRecord, ListJobs, Page, PageRequest, RunState},
    store::{
        JobStore, StoreError,
        backend::ReadKind,
        db::on_backend,
        lenient::AnyText,
        schema::{job_center, job_record},
        statement::lists::{Cut, containing, shown},
    },
};

/// The id of a run, of a query in SQL.
#[cfg(feature = "web")]
#[derive(QueryableByName)]
struct RunId {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    id: i64,
}

type ListedRun = (RunFacts, Option<AnyText>, Option<AnyText>, Option<AnyText>);

/// The columns of a listed run.
macro_rules! run_columns {
    ($cut:ident) => {
        (
            RunFacts::as_select(),
            shown!(job_record::args, $cut),
            shown!(job_record::run_result, $cut),
            shown!(job_record::run_err, $cut),
        )
    };
}

/// The columns of a listed job, in the order of the fields of [`JobRow`].
macro_rules! job_columns {
    ($cut:ident) => {
        (
            job_center::id,
            job_center::job_name,
            job_center::job_type,
            job_center::cron_expr,
            job_center::hook_url,
            job_center::service_name,
            job_center::service_method,
            shown!(job_center::args, $cut),
            job_center::timeout,
            job_center::enabled,
            job_center::run_status,
            job_center::last_run_time,
            job_center::create_time,
            job_center::update_time,
            job_center::time_zone,
            job_center::overlap_policy,
            job_center::misfire_policy,
            job_center::misfire_grace,
            job_center::max_retry,
            job_center::retry_delay_ms,
            job_center::hook_method,
            job_center::hook_headers,
            job_center::hook_secret,
            job_center::scheduled_from,
            job_center::version,
            job_center::system_name,
            job_center::lease_owner,
            job_center::lease_expire_at,
        )
    };
}

fn listed(rows: Vec<ListedRun>) -> Vec<JobRecord> {
    let run = |(facts, args, result, error): ListedRun| facts.listed([args, result, error]);
    rows.into_iter().map(run).collect()
}

/// The query of a list, boxed, for the database that compiles it.
macro_rules! listed {
    ($store:ident, $list:expr) => {{
        let mut query = $store.mine().into_boxed();
        if let Some(job_type) = $list.job_type {
            query = query.filter(job_center::job_type.eq(job_type.as_str()));
        }
        if let Some(text) = &$list.name_contains {
            query = query.filter(job_center::job_name.like(containing(text)).escape('\\'));
        }
        match $list.enabled {
            Some(true) => query = query.filter(job_center::enabled.ne(0)),
            Some(false) => query = query.filter(job_center::enabled.is_null().or(job_center::enabled.eq(0))),
            None => {}
        }
        query
    }};
}

impl JobStore<'_> {
    /// The jobs of the system of this process.
    pub(super) fn mine(&self) -> Filter<job_center::table, Eq<job_center::system_name, &str>> {
        job_center::table.filter(job_center::system_name.eq(&*self.system))
    }

    /// The methods of one service that jobs call, at most `most` of them.
    pub(crate) async fn methods_of(&self, service: &str, most: i64) -> Result<Vec<String>, StoreError> {
        let mut conn = self.db.read_as(ReadKind::List).await?;
        let methods: Vec<Option<AnyText>> = on_backend!(conn, |conn| {
            self.mine()
                .filter(job_center::service_name.eq(service))
                .filter(job_center::service_method.is_not_null())
                .select(job_center::service_method)
                .distinct()
                .limit(most)
                .load(conn)
                .await
        })?;
        Ok(methods.into_iter().flatten().map(|method| method.0).collect())
    }

    pub(crate) async fn get(&self, id: i64) -> Result<Option<JobRow>, StoreError> {
        let mut conn = self.db.read_as(ReadKind::Detail).await?;
        Ok(on_backend!(conn, |conn| {
            self.mine()
                .filter(job_center::id.eq(id))
                .select(JobRow::as_select())
                .first(conn)
                .await
                .optional()
        })?)
    }

    pub(crate) async fn list(&self, list: &ListJobs) -> Result<Page<JobRow>, StoreError> {
        let mut conn = self.db.read_as(ReadKind::List).await?;
        let total: i64 = on_backend!(conn, |conn| listed!(self, list).count().get_result(conn).await)?;
        let cut = Cut::of(list.page);
        let rows: Vec<JobRow> = on_backend!(conn, |conn| {
            listed!(self, list)
                .order(job_center::id.desc())
                .limit(i64::from(list.page.page_size))
                .offset(list.page.offset())
                .select(job_columns!(cut))
                .load(conn)
                .await
        })?;
        Ok(list.page.of(rows, total))
    }

    /// A page of jobs, newest first.
    pub(crate) async fn find(&self, find: &FindJobs) -> Result<Vec<JobRow>, StoreError> {
        let before = find.before.unwrap_or(i64::MAX);
        let cut = Cut::of(PageRequest::new(1, find.limit));
        let mut conn = self.db.look().await?;
        Ok(on_backend!(conn, |conn| {
            listed!(self, find)
                .filter(job_center::id.lt(before))
                .order(job_center::id.desc())
                .limit(i64::from(find.limit))
                .select(job_columns!(cut))
                .load(conn)
                .await
        })?)
    }

    /// A page of runs, newest first.
    ///
    /// Open runs are few, and an index has them: their ids are read, and sorted here. Other runs are read by their ids from the newest on, or
    /// by the index over the runs of a job.
    pub(crate) async fn find_runs(&self, find: &FindRuns) -> Result<Vec<JobRecord>, StoreError> {
        let before = find.before.unwrap_or(i64::MAX);
        let cut = Cut::of(PageRequest::new(1, find.limit));
        let mut conn = self.db.look().await?;
        if find.state == Some(RunState::Open) {
            let dialect = self.db.dialect();
            let open = match find.job_id {
                Some(job_id) => (dialect.is_open_of)(job_id),
                None => dialect.is_open.to_owned(),
            };
            let mut ids: Vec<i64> = on_backend!(conn, |conn| {
                job_record::table
                    .filter(sql::<Bool>(&open))
                    .filter(job_record::system_name.eq(&*self.system))
                    .select(job_record::id)
                    .load(conn)
                    .await
            })?;
            ids.retain(|id| *id < before);
            ids.sort_unstable_by_key(|id| Reverse(*id));
            ids.truncate(usize::try_from(find.limit).unwrap_or(usize::MAX));
            let rows: Vec<ListedRun> = on_backend!(conn, |conn| {
                job_record::table
                    .filter(job_record::id.eq_any(&ids))
                    .order(job_record::id.desc())
                    .select(run_columns!(cut))
                    .load(conn)
                    .await
            })?;
            return Ok(listed(rows));
        }
        let rows: Vec<ListedRun> = on_backend!(conn, |conn| {
            let mut query = job_record::table.into_boxed();
            if let Some(job_id) = find.job_id {
                query = query.filter(job_record::job_id.eq(job_id));
            }
            if find.state.is_some() {
                // By columns without an index: MariaDB would read all ended runs by the index over open ones.
                query = query.filter(
                    job_record::job_result_flag
                        .is_not_null()
                        .or(job_record::node_id.is_null()),
                );
            }
            query
                .filter(job_record::system_name.eq(&*self.system))
                .filter(job_record::id.lt(before))
                .order(job_record::id.desc())
                .limit(i64::from(find.limit))
                .select(run_columns!(cut))
                .load(conn)
                .await
        })?;
        Ok(listed(rows))
    }

    /// The last runs of each of these jobs, newest first, without their long texts. The index over the runs of a job has the ids.
    #[cfg(feature = "web")]
    pub(crate) async fn last_runs(&self, jobs: &[i64], each: u32) -> Result<Vec<JobRecord>, StoreError> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        // SQLite takes an order in a part of a union only inside of another query.
        let of_job = |job: &i64| {
            format!(
                "SELECT id FROM (SELECT id FROM job_record WHERE job_id = {job} ORDER BY id DESC LIMIT {each}) last_runs"
            )
        };
        let query = jobs.iter().map(of_job).collect::<Vec<_>>().join(" UNION ALL ");
        let mut conn = self.db.look().await?;
        let found: Vec<RunId> = on_backend!(conn, |conn| diesel::sql_query(&query).load(conn).await)?;
        let ids: Vec<i64> = found.into_iter().map(|run| run.id).collect();
        let rows: Vec<RunFacts> = on_backend!(conn, |conn| {
            job_record::table
                .filter(job_record::id.eq_any(&ids))
                .order(job_record::id.desc())
                .select(RunFacts::as_select())
                .load(conn)
                .await
        })?;
        Ok(rows.into_iter().map(|facts| facts.listed([None, None, None])).collect())
    }

    /// The schedules of enabled jobs whose ids come after `after`, in their order, at most `limit`.
    pub(crate) async fn schedules(&self, after: i64, limit: i64) -> Result<Vec<ScheduleRow>, StoreError> {
        let mut conn = self.db.read().await?;
        Ok(on_backend!(conn, |conn| {
            self.mine()
                .filter(job_center::id.gt(after))
                .filter(job_center::enabled.ne(0))
                .order(job_center::id)
                .limit(limit)
                .select(ScheduleRow::as_select())
                .load(conn)
                .await
        })?)
    }

    /// The schedule of a job, if it is enabled.
    pub(crate) async fn schedule(&self, id: i64) -> Result<Option<ScheduleRow>, StoreError> {
        let mut conn = self.db.read().await?;
        Ok(on_backend!(conn, |conn| {
            self.mine()
                .filter(job_center::id.eq(id))
                .filter(job_center::enabled.ne(0))
                .select(ScheduleRow::as_select())
                .first(conn)
                .await
                .optional()
        })?)
    }

    /// The runs of a job, newest first.
    pub(crate) async fn records(&self, job_id: i64, page: PageRequest) -> Result<Page<JobRecord>, StoreError> {
        let of_job = || job_record::table.filter(job_record::job_id.eq(job_id));
        let mut conn = self.db.read_as(ReadKind::List).await?;
        let total: i64 = on_backend!(conn, |conn| of_job().count().get_result(conn).await)?;
        let cut = Cut::of(page);
        let rows: Vec<ListedRun> = on_backend!(conn, |conn| {
            of_job()
                .order(job_record::id.desc())
                .limit(i64::from(page.page_size))
                .offset(page.offset())
                .select(run_columns!(cut))
                .load(conn)
                .await
        })?;
        Ok(page.of(listed(rows), total))
    }

    pub(crate) async fn run(&self, run_id: i64) -> Result<Option<JobRecord>, StoreError> {
        let mut conn = self.db.read_as(ReadKind::Detail).await?;
        let row: Option<RunRow> = on_backend!(conn, |conn| {
            job_record::table
                .filter(job_record::id.eq(run_id))
                .select(RunRow::as_select())
                .first(conn)
                .await
                .optional()
        })?;
        Ok(row.map(Into::into))
    }

    /// The open runs of all nodes, oldest first.
    pub(crate) async fn running(&self) -> Result<Vec<JobRecord>, StoreError> {
        let open = self.open_runs();
        let mut conn = self.db.read_as(ReadKind::List).await?;
        let mine = || job_record::table.filter(job_record::system_name.eq(&*self.system));
        let count: i64 = on_backend!(conn, |conn| mine().filter(open.clone()).count().get_result(conn).await)?;
        let cut = Cut::of(PageRequest::new(1, u32::try_from(count).unwrap_or(u32::MAX)));
        let rows: Vec<ListedRun> = on_backend!(conn, |conn| {
            mine().filter(open.clone()).select(run_columns!(cut)).load(conn).await
        })?;
        // Sorted here: to return them sorted, SQLite would read all records by their ids.
        let mut runs = listed(rows);
        runs.sort_unstable_by_key(|run| run.id);
        Ok(runs)
    }
}
