//! What nodes look for from time to time: changed schedules, requests to stop runs, runs of dead nodes, jobs with a wrong status.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    dsl::sql,
    expression::SqlLiteral,
    prelude::*,
    sql_types::{BigInt, Bool, Integer, Nullable, Text},
};
use diesel_async::RunQueryDsl;

use super::{
    JobWrites, JobsWritten,
    rows::{LEASE, LEASES_OF_NODES},
};
use crate::{
    domain::RunStatus,
    store::{
        JobStore, StoreError,
        cluster::requests::life,
        db::on_backend,
        lenient::{AnyInt, AnyText, AnyTime, is_set, number, text, time},
        schema::{gaia_nodes, gaia_requests, job_center, job_record},
        time::StoredTime,
    },
};

/// The number of the enabled schedules of a system and a hash of them. It changes whenever a schedule changes, by a caller or by plain SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, QueryableByName)]
pub(crate) struct Fingerprint {
    #[diesel(sql_type = BigInt)]
    jobs: i64,
    #[diesel(sql_type = BigInt)]
    hash: i64,
}

/// An open run whose node has no row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OrphanRun {
    pub(crate) run_id: i64,
    pub(crate) job_id: i64,
    pub(crate) node: String,
}

/// An open run, for the node that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenRun {
    pub(crate) run_id: i64,
    pub(crate) job_id: i64,
    /// When it was claimed.
    pub(crate) claimed_at: Option<DateTime<Utc>>,
    /// The reason, if a caller has asked it to stop.
    pub(crate) cancel_reason: Option<String>,
}

type OpenRow = (i64, Option<AnyInt>, Option<AnyTime>, Option<AnyText>);

type OrphanRow = (i64, Option<AnyInt>, Option<AnyText>);

/// Up to 10,000 schedules in one text, in the order of their ids: as rows they would cost this process several times as much.
const SCHEDULE_PAGE: &str = "SELECT COUNT(*) AS jobs, MAX(id) AS last, \
     COALESCE(group_concat(id || '|' || cron_expr || '|' || COALESCE(time_zone, '-') || '|' || \
       COALESCE(misfire_policy, '-') || '|' || COALESCE(misfire_grace, -1)), '') AS schedules \
     FROM (SELECT id, cron_expr, time_zone, misfire_policy, misfire_grace FROM job_center \
       WHERE id > ? AND enabled <> 0 AND system_name = ? ORDER BY id LIMIT 10000)";

#[derive(QueryableByName)]
struct SchedulePage {
    #[diesel(sql_type = BigInt)]
    jobs: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    last: Option<i64>,
    #[diesel(sql_type = Text)]
    schedules: AnyText,
}

impl JobStore<'_> {
    /// The condition that a run is open, spelled like the condition of the database's index over open runs.
    pub(super) fn open_runs(self) -> SqlLiteral<Bool> {
        sql(self.db.dialect().is_open)
    }

    /// The fingerprint of the enabled schedules of this system. A server computes it; on SQLite, which runs in this process, this process does.
    pub(crate) async fn fingerprint(&self) -> Result<Fingerprint, StoreError> {
        match self.db.dialect().hashed_schedules {
            Some(query) => self.fingerprint_by(query).await,
            None => self.hashed_schedules().await,
        }
    }

    async fn fingerprint_by(&self, query: &str) -> Result<Fingerprint, StoreError> {
        let mut conn = self.db.read().await?;
        Ok(on_backend!(conn, |conn| {
            diesel::sql_query(query)
                .bind::<Text, _>(&*self.system)
                .get_result(conn)
                .await
        })?)
    }

    async fn hashed_schedules(&self) -> Result<Fingerprint, StoreError> {
        let (mut jobs, mut last, mut hash) = (0, i64::MIN, DefaultHasher::new());
        loop {
            let mut conn = self.db.read().await?;
            let page: SchedulePage = on_backend!(conn, |conn| {
                let page = diesel::sql_query(SCHEDULE_PAGE)
                    .bind::<BigInt, _>(last)
                    .bind::<Text, _>(&*self.system);
                page.get_result(conn).await
            })?;
            let Some(end) = page.last else { break };
            (jobs, last) = (jobs + page.jobs, end);
            page.schedules.hash(&mut hash);
        }
        Ok(Fingerprint {
            jobs,
            hash: hash.finish().cast_signed(),
        })
    }

    /// Notes that the schedules of these jobs hold from `now` on: plain SQL has added, changed or enabled them, and they have missed no fire.
    pub(crate) async fn begin_schedules(&self, ids: &[i64], now: StoredTime) -> Result<(), StoreError> {
        let as_noted = self.db.dialect().schedule;
        let begin = || async {
            let mut conn = self.db.write().await?;
            on_backend!(conn, |conn| {
                diesel::update(job_center::table.filter(job_center::id.eq_any(ids)))
                    .set((
                        job_center::scheduled_from.eq(now),
                        job_center::scheduled_by.eq(sql::<Nullable<Text>>(as_noted)),
                        job_center::update_time.eq(job_center::update_time),
                    ))
                    .execute(conn)
                    .await
            })?;
            Ok(())
        };
        self.retrying(begin).await
    }

    /// Removes the note since when a schedule holds from disabled jobs: when a job is enabled again, its schedule holds from then on.
    pub(crate) async fn end_schedules(&self) -> Result<(), StoreError> {
        let end = || async {
            let mut conn = self.db.write().await?;
            let ids: Vec<i64> = on_backend!(conn, |conn| {
                self.mine()
                    .filter(job_center::enabled.is_null().or(job_center::enabled.eq(0)))
                    .filter(job_center::scheduled_from.is_not_null())
                    .order(job_center::id)
                    .select(job_center::id)
                    .load(conn)
                    .await
            })?;
            for ids in ids.chunks(500) {
                on_backend!(conn, |conn| {
                    let disabled = job_center::enabled.is_null().or(job_center::enabled.eq(0));
                    diesel::update(job_center::table.filter(job_center::id.eq_any(ids)).filter(disabled))
                        .set((
                            job_center::scheduled_from.eq(None::<StoredTime>),
                            job_center::update_time.eq(job_center::update_time),
                        ))
                        .execute(conn)
                        .await
                })?;
            }
            Ok(())
        };
        self.retrying(end).await
    }

    /// Renews the leases of jobs whose runs are open. Sets the status of jobs to Waiting that are marked as running although none of their runs is
    /// open and no other program holds them. A killed process of another framework leaves such jobs, and so does an end that was written while
    /// another session had locked the job.
    pub(crate) async fn settle_jobs(&self) -> Result<(), StoreError> {
        let open = self.open_runs();
        let mut conn = self.db.read().await?;
        let running: Vec<i64> = on_backend!(conn, |conn| {
            job_center::table
                .filter(job_center::run_status.eq(RunStatus::Running.as_str()))
                .order(job_center::id)
                .select(job_center::id)
                .load(conn)
                .await
        })?;
        if running.is_empty() {
            return Ok(());
        }
        let busy: HashSet<Option<AnyInt>> = on_backend!(conn, |conn| {
            job_record::table
                .filter(open.clone())
                .select(job_record::job_id)
                .load(conn)
                .await
        })?
        .into_iter()
        .collect();
        drop(conn);
        let (busy, idle): (Vec<i64>, Vec<i64>) = running
            .into_iter()
            .partition(|id| busy.contains(&Some(AnyInt::Is(*id))));
        self.renew_leases(&busy).await?;
        for ids in idle.chunks(500) {
            match self.settle(ids).await {
                Err(error) if error.is_refusal() => self.settle_one_by_one(ids).await?,
                settled => drop(settled?),
            }
        }
        Ok(())
    }

    /// Says to programs of the Go framework that nodes still run these jobs.
    async fn renew_leases(&self, ids: &[i64]) -> Result<(), StoreError> {
        let now = self.clock().now();
        for ids in ids.chunks(500) {
            let mut conn = self.db.write().await?;
            on_backend!(conn, |conn| {
                diesel::update(job_center::table.filter(job_center::id.eq_any(ids)))
                    .filter(job_center::lease_owner.like(LEASES_OF_NODES))
                    .set((
                        job_center::lease_expire_at.eq(StoredTime::from(now + LEASE)),
                        job_center::last_heartbeat_time.eq(StoredTime::from(now)),
                        job_center::update_time.eq(job_center::update_time),
                    ))
                    .execute(conn)
                    .await
            })?;
        }
        Ok(())
    }

    async fn settle(&self, ids: &[i64]) -> Result<JobsWritten, StoreError> {
        let writes = JobWrites {
            jobs: ids.to_vec(),
            ..JobWrites::default()
        };
        self.end_runs(Arc::new(writes)).await
    }

    /// If the database refuses to change one job's row, the others are changed nevertheless.
    async fn settle_one_by_one(&self, ids: &[i64]) -> Result<(), StoreError> {
        for id in ids {
            match self.settle(&[*id]).await {
                Err(error) if error.is_refusal() => say!(Debug, "job {id} stays as if it ran: {error}"),
                settled => drop(settled?),
            }
        }
        Ok(())
    }

    /// Asks the open runs of a job to stop, for this reason; answers how many there are.
    pub(crate) async fn cancel_runs(&self, job_id: i64, reason: &str) -> Result<usize, StoreError> {
        let open: SqlLiteral<Bool> = sql(&(self.db.dialect().is_open_of)(job_id));
        let now = StoredTime::from(self.clock().now());
        let cancel = || async {
            let mut conn = self.db.write().await?;
            Ok(on_backend!(conn, |conn| {
                diesel::update(job_record::table.filter(open.clone()))
                    .set((job_record::cancel_reason.eq(reason), job_record::update_time.eq(now)))
                    .execute(conn)
                    .await
            })?)
        };
        self.retrying(cancel).await
    }

    /// The open runs of a node, and the ids of the requests that any node with jobs may take. One query has both, so that a node on which nothing
    /// happens makes no other.
    pub(crate) async fn open_runs_and_requests(&self, node: &str) -> Result<(Vec<OpenRun>, Vec<i64>), StoreError> {
        let open = self.open_runs();
        let [after, before] = life(self.clock().now());
        let mut conn = self.db.read().await?;
        let rows: Vec<(OpenRow, AnyInt)> = on_backend!(conn, |conn| {
            job_record::table
                .filter(open.clone())
                .filter(job_record::node_id.eq(node))
                .select((
                    (
                        job_record::id,
                        job_record::job_id,
                        job_record::create_time,
                        job_record::cancel_reason,
                    ),
                    sql::<Integer>("0"),
                ))
                .union_all(
                    gaia_requests::table
                        .filter(gaia_requests::open_for.eq(""))
                        .filter(gaia_requests::created_at.between(after, before))
                        .filter(diesel::dsl::not(diesel::dsl::exists(
                            job_center::table
                                .filter(job_center::id.nullable().eq(gaia_requests::job_id))
                                .filter(job_center::system_name.ne(&*self.system))
                                .select(job_center::id),
                        )))
                        .select((
                            (
                                gaia_requests::id,
                                gaia_requests::job_id,
                                gaia_requests::created_at.nullable(),
                                sql::<Nullable<Text>>("NULL"),
                            ),
                            sql::<Integer>("1"),
                        )),
                )
                .load(conn)
                .await
        })?;
        let (mut runs, mut requests) = (Vec::new(), Vec::new());
        for ((id, job_id, claimed_at, cancel_reason), is_request) in rows {
            if is_set(is_request) {
                requests.push(id);
                continue;
            }
            runs.push(OpenRun {
                run_id: id,
                job_id: number(job_id).unwrap_or_default(),
                claimed_at: time(claimed_at),
                cancel_reason: text(cancel_reason),
            });
        }
        Ok((runs, requests))
    }

    /// Open runs of nodes that have no row any more, with ids greater than `after`, in the order of their ids, at most `limit`. Runs of
    /// `me` are not among them: a node whose row is gone learns of it by its next heartbeat.
    pub(crate) async fn orphan_runs(&self, me: &str, after: i64, limit: i64) -> Result<Vec<OrphanRun>, StoreError> {
        // An expression instead of the key: to sort by the key, a server might read all records instead of the open ones.
        let key = || sql::<BigInt>("job_record.id + 0");
        let open = self.open_runs();
        let mut conn = self.db.read().await?;
        let rows: Vec<OrphanRow> = on_backend!(conn, |conn| {
            job_record::table
                .filter(open.clone())
                .filter(job_record::node_id.ne(me))
                .filter(diesel::dsl::not(diesel::dsl::exists(
                    gaia_nodes::table
                        .filter(gaia_nodes::id.nullable().eq(job_record::node_id))
                        .select(gaia_nodes::id),
                )))
                .filter(job_record::id.gt(after))
                .order(key())
                .limit(limit)
                .select((job_record::id, job_record::job_id, job_record::node_id))
                .load(conn)
                .await
        })?;
        let orphan = |(run_id, job_id, node): OrphanRow| OrphanRun {
            run_id,
            job_id: number(job_id).unwrap_or_default(),
            node: text(node).unwrap_or_default(),
        };
        Ok(rows.into_iter().map(orphan).collect())
    }
}
