//! The claims of remote workers: programs that are no nodes, and take tasks through the HTTP API; and services that have parked a run.
//!
//! Such a claim has a row in `gaia_claims` as any other, and a second one here, with its lease. While the second row is there, the claim
//! is no orphan, although no heartbeat keeps its worker. Once the lease is over, any node closes it, ends the runs, and then removes the row.

use std::collections::BTreeMap;
#[cfg(feature = "web")]
use std::time::Duration;

#[cfg(feature = "web")]
use chrono::TimeDelta;
use chrono::{DateTime, Utc};
use diesel::{dsl::sql, prelude::*, sql_types::Bool};
use diesel_async::RunQueryDsl;

use super::{
    held_claim::{ClaimRow, HeldClaim, claim_columns, held_claim},
    remote_claim::{CLOSED, RemoteClaim, Row},
};
#[cfg(all(feature = "hooks", feature = "web"))]
use super::{
    park::{self, Parked},
    run_key::RunKey,
};
#[cfg(feature = "web")]
use crate::store::lenient::{AnyText, is_set, text};
#[cfg(all(feature = "hooks", feature = "web"))]
use crate::store::statement::transaction::transact;
use crate::store::{
    StoreError, TaskStore,
    db::on_backend,
    lenient::{AnyInt, number},
    schema::{asynctasks, gaia_claims, gaia_remote_claims},
    time::StoredTime,
};

/// All names that begin with [`REMOTE`].
const ANY_REMOTE: &str = "remote:%";

/// The most claims that are read at once.
const MOST: i64 = 10_000;

/// How many claims with overdue runs one look reads.
const MOST_OVERDUE: i64 = 500;

/// How many rows one statement names.
const PER_STATEMENT: usize = 500;

/// What the row of a task says of its run.
#[cfg(feature = "web")]
pub(crate) struct SeenRun {
    /// The task waits, or runs unseen.
    pub(crate) waits: bool,
    pub(crate) owner: String,
    pub(crate) token: i64,
    pub(crate) log_id: String,
    pub(crate) cancel_requested: bool,
}

impl TaskStore<'_> {
    /// All claims of remote workers, up to [`MOST`].
    pub(crate) async fn remote_claims(&self) -> Result<Vec<RemoteClaim>, StoreError> {
        let mut conn = self.db.read().await?;
        let rows: Vec<Row> = on_backend!(conn, |conn| {
            gaia_remote_claims::table
                .order(gaia_remote_claims::expires_at)
                .limit(MOST)
                .select(Row::as_select())
                .load(conn)
                .await
        })?;
        Ok(rows.into_iter().map(Row::claim).collect())
    }

    /// The claims of remote workers with these ids, whatever their leases say: as nodes see claims.
    pub(crate) async fn claims_with(&self, ids: &[i64]) -> Result<Vec<HeldClaim>, StoreError> {
        let list = self.db.dialect().claimed_ids;
        let mut claims = Vec::new();
        for ids in ids.chunks(PER_STATEMENT) {
            let mut conn = self.db.read().await?;
            let rows: Vec<ClaimRow> = on_backend!(conn, |conn| {
                gaia_claims::table
                    .filter(gaia_claims::id.eq_any(ids))
                    .order(gaia_claims::id)
                    .select(claim_columns!(list))
                    .load(conn)
                    .await
            })?;
            claims.extend(rows.into_iter().map(held_claim));
        }
        Ok(claims)
    }

    /// Claims that remote workers made before this time, and that have no lease: the process that made them ended before it could note the
    /// lease, and the worker has never heard of the tasks.
    pub(crate) async fn unleased_claims(&self, before: DateTime<Utc>) -> Result<Vec<HeldClaim>, StoreError> {
        let list = self.db.dialect().claimed_ids;
        let mut conn = self.db.read().await?;
        let rows: Vec<ClaimRow> = on_backend!(conn, |conn| {
            let lease = gaia_remote_claims::table.filter(gaia_remote_claims::mark.eq(gaia_claims::mark));
            gaia_claims::table
                .filter(gaia_claims::node_id.like(ANY_REMOTE))
                .filter(gaia_claims::claimed_at.lt(StoredTime::from(before)))
                .filter(diesel::dsl::not(diesel::dsl::exists(
                    lease.select(gaia_remote_claims::mark),
                )))
                .order(gaia_claims::id)
                .limit(MOST)
                .select(claim_columns!(list))
                .load(conn)
                .await
        })?;
        Ok(rows.into_iter().map(held_claim).collect())
    }

    /// The tasks that remote workers run, and that a caller has asked to cancel.
    pub(crate) async fn remote_cancel_requests(&self) -> Result<Vec<i64>, StoreError> {
        let is_wanted = self.db.dialect().cancel_is_wanted;
        let mut conn = self.db.read().await?;
        let ids: Vec<AnyInt> = on_backend!(conn, |conn| {
            asynctasks::table
                .filter(sql::<Bool>(is_wanted))
                .filter(asynctasks::task_status.eq("Running"))
                .filter(asynctasks::lease_owner.like(ANY_REMOTE))
                .limit(MOST)
                .select(asynctasks::id)
                .load(conn)
                .await
        })?;
        Ok(ids.into_iter().filter_map(number).collect())
    }

    /// The lease tokens (the ids of the claims) under which these tasks run, as their rows say.
    pub(crate) async fn lease_tokens(&self, ids: &[i64]) -> Result<BTreeMap<i64, i64>, StoreError> {
        let mut tokens = BTreeMap::new();
        for ids in ids.chunks(PER_STATEMENT) {
            let mut conn = self.db.read().await?;
            let rows: Vec<(AnyInt, AnyInt)> = on_backend!(conn, |conn| {
                asynctasks::table
                    .filter(asynctasks::id.eq_any(ids))
                    .filter(asynctasks::task_status.eq("Running"))
                    .select((asynctasks::id, asynctasks::lease_token))
                    .load(conn)
                    .await
            })?;
            let pairs = rows
                .into_iter()
                .filter_map(|(id, token)| Some((number(id)?, number(token)?)));
            tokens.extend(pairs);
        }
        Ok(tokens)
    }

    /// Closes a claim whose worker has given no sign of life since it was read: its tokens name no run any more. Answers whether it is closed.
    /// The caller ends the runs; the row goes with the claim.
    pub(crate) async fn close_remote(&self, claim: &RemoteClaim) -> Result<bool, StoreError> {
        if claim.is_closed() {
            return Ok(true);
        }
        let mut conn = self.db.write().await?;
        let closed = on_backend!(conn, |conn| {
            diesel::update(gaia_remote_claims::table)
                .filter(gaia_remote_claims::mark.eq(&claim.mark))
                .filter(gaia_remote_claims::beat.eq(claim.beat))
                .set(gaia_remote_claims::beat.eq(CLOSED))
                .execute(conn)
                .await
        })?;
        Ok(closed > 0)
    }

    /// The claims of remote workers of which a run is out of time.
    pub(crate) async fn overdue_remote(&self, now: DateTime<Utc>) -> Result<Vec<RemoteClaim>, StoreError> {
        let mut conn = self.db.read().await?;
        let rows: Vec<Row> = on_backend!(conn, |conn| {
            gaia_remote_claims::table
                .filter(gaia_remote_claims::deadline.le(StoredTime::from(now)))
                .order(gaia_remote_claims::deadline)
                .limit(MOST_OVERDUE)
                .select(Row::as_select())
                .load(conn)
                .await
        })?;
        Ok(rows.into_iter().map(Row::claim).collect())
    }

    /// Notes when the next of the claim's runs is out of time.
    pub(crate) async fn set_remote_deadline(&self, mark: &str, at: Option<DateTime<Utc>>) -> Result<(), StoreError> {
        let mut conn = self.db.write().await?;
        on_backend!(conn, |conn| {
            diesel::update(gaia_remote_claims::table.filter(gaia_remote_claims::mark.eq(mark)))
                .set(gaia_remote_claims::deadline.eq(at.map(StoredTime::from)))
                .execute(conn)
                .await
        })?;
        Ok(())
    }

    /// Removes these claims if none of their tasks runs any more, with their leases.
    pub(crate) async fn drop_settled_remote(&self, ids: &[i64]) -> Result<(), StoreError> {
        let open = self.drop_settled(ids).await?;
        let settled: Vec<i64> = ids.iter().copied().filter(|id| !open.contains(id)).collect();
        for ids in settled.chunks(PER_STATEMENT) {
            let mut conn = self.db.write().await?;
            on_backend!(conn, |conn| {
                diesel::delete(gaia_remote_claims::table.filter(gaia_remote_claims::claim_id.eq_any(ids)))
                    .execute(conn)
                    .await
            })?;
        }
        Ok(())
    }
}

#[cfg(feature = "web")]
impl TaskStore<'_> {
    /// Notes the lease of a claim that a remote worker has just made.
    pub(crate) async fn add_remote_claim(&self, claim: &RemoteClaim) -> Result<(), StoreError> {
        let row = claim.row(claim.claim_id);
        let mut conn = self.db.write().await?;
        on_backend!(conn, |conn| {
            diesel::insert_into(gaia_remote_claims::table)
                .values(&row)
                .execute(conn)
                .await
        })?;
        Ok(())
    }

    /// The claims of remote workers with these marks.
    pub(crate) async fn remote_claims_with(&self, marks: &[&str]) -> Result<Vec<RemoteClaim>, StoreError> {
        let mut claims = Vec::new();
        for marks in marks.chunks(PER_STATEMENT) {
            let mut conn = self.db.read().await?;
            let rows: Vec<Row> = on_backend!(conn, |conn| {
                gaia_remote_claims::table
                    .filter(gaia_remote_claims::mark.eq_any(marks))
                    .filter(gaia_remote_claims::beat.ge(0))
                    .select(Row::as_select())
                    .load(conn)
                    .await
            })?;
            claims.extend(rows.into_iter().map(Row::claim));
        }
        Ok(claims)
    }

    /// What the rows of these tasks say of their runs.
    pub(crate) async fn seen_runs(&self, ids: &[i64]) -> Result<BTreeMap<i64, SeenRun>, StoreError> {
        type Columns = (
            AnyInt,
            Option<AnyText>,
            Option<AnyText>,
            AnyInt,
            Option<AnyText>,
            AnyInt,
        );
        let mut seen = BTreeMap::new();
        for ids in ids.chunks(PER_STATEMENT) {
            let mut conn = self.db.read().await?;
            let rows: Vec<Columns> = on_backend!(conn, |conn| {
                asynctasks::table
                    .filter(asynctasks::id.eq_any(ids))
                    .select((
                        asynctasks::id,
                        asynctasks::task_status,
                        asynctasks::lease_owner,
                        asynctasks::lease_token,
                        asynctasks::log_id,
                        asynctasks::cancel_requested,
                    ))
                    .load(conn)
                    .await
            })?;
            for (id, status, owner, token, log_id, cancel) in rows {
                let status = text(status).unwrap_or_default();
                let run = SeenRun {
                    waits: matches!(status.as_str(), "Wait" | "Retry"),
                    owner: text(owner).unwrap_or_default(),
                    token: number(token).unwrap_or_default(),
                    log_id: text(log_id).unwrap_or_default(),
                    cancel_requested: is_set(cancel),
                };
                seen.extend(number(id).map(|id| (id, run)));
            }
        }
        Ok(seen)
    }

    /// Renews the leases of these claims: their workers have given a sign of life.
    pub(crate) async fn renew_remote(&self, claims: &[RemoteClaim]) -> Result<(), StoreError> {
        let now = self.clock().now();
        let mut by_lease: BTreeMap<Duration, Vec<&str>> = BTreeMap::new();
        for claim in claims {
            by_lease.entry(claim.lease).or_default().push(&claim.mark);
        }
        for (lease, marks) in by_lease {
            let lease = TimeDelta::from_std(lease).unwrap_or_default();
            let expires_at = StoredTime::from(now.checked_add_signed(lease).unwrap_or(now));
            for marks in marks.chunks(PER_STATEMENT) {
                let mut conn = self.db.write().await?;
                on_backend!(conn, |conn| {
                    diesel::update(gaia_remote_claims::table.filter(gaia_remote_claims::mark.eq_any(marks)))
                        .filter(gaia_remote_claims::beat.ge(0))
                        .set((
                            gaia_remote_claims::expires_at.eq(expires_at),
                            gaia_remote_claims::beat.eq(gaia_remote_claims::beat + 1),
                        ))
                        .execute(conn)
                        .await
                })?;
            }
        }
        Ok(())
    }
}

#[cfg(all(feature = "hooks", feature = "web"))]
impl TaskStore<'_> {
    /// Gives the task of a run to the remote worker of `claim`, whose id is made here. The log id stays. False: the run does not hold the task
    /// any more, and nothing was changed.
    pub(crate) async fn park(&self, run: &RunKey, claim: RemoteClaim) -> Result<bool, StoreError> {
        // An unseen task has no owner in its row that could be changed.
        if !self.note_running(run).await? {
            return Ok(false);
        }
        let dialect = self.db.dialect();
        let [theme, worker, mark, now] = [1, 2, 3, 4].map(dialect.parameter);
        let ids = (dialect.list_of_one)(run.task_id);
        let parked = std::sync::Arc::new(Parked {
            run: run.clone(),
            claim,
            now: StoredTime::from(self.clock().now()),
            make_claim: format!(
                "INSERT INTO gaia_claims (theme, node_id, mark, claimed_at, ids) \
                 VALUES ({theme}, {worker}, {mark}, {now}, {ids})"
            ),
        });
        let park = || async { transact!(&self.db, park, &parked) };
        self.retrying(park).await
    }
}
