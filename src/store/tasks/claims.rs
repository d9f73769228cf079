//! The table `gaia_claims`: which tasks each node has claimed. The running tasks of a node are found by it. The rows of tasks name the
//! node, too, but have no index over it, which each claim and each end would have to write.
//!
//! The row of a task names the node only when its run has lasted for a moment. Before, the task is *unseen*: its row says Wait or Retry,
//! `queued` is 1, and its lease token is less than the id of a claim that names it. Each statement that takes a task from its claim raises
//! the token.

use std::{collections::BTreeSet, sync::Arc};

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    held_claim::{ClaimRow, HeldClaim, Orphan, OrphanRow, claim_columns, held_claim},
    settle::{self, OldClaims},
};
use crate::store::{
    StoreError, TaskStore,
    backend::Backend,
    db::{Conn, on_backend, on_each},
    schema::{asynctasks, gaia_claims, gaia_nodes, gaia_remote_claims},
    statement::transaction::transact,
    time::StoredTime,
};

/// How many claims are read in one statement: each may name thousands of tasks.
const PAGE: i64 = 50;

/// How many tasks are read, or claims removed, in one statement.
const PER_STATEMENT: usize = 500;

impl TaskStore<'_> {
    /// Makes claims for Running tasks that no claim holds, because plain SQL set them to Running under a node. On PostgreSQL triggers do that.
    pub(crate) async fn make_missing_claims(&self) -> Result<(), StoreError> {
        let now = StoredTime::from(self.clock().now());
        on_each!(&self.db, |db| db.make_missing_claims(now).await)
    }

    /// The claims of a node with ids greater than `after`, in the order of their ids: one page.
    pub(crate) async fn claims_of(&self, node: &str, after: i64) -> Result<Vec<HeldClaim>, StoreError> {
        let ids = self.db.dialect().claimed_ids;
        let mut conn = self.db.read().await?;
        let rows: Vec<ClaimRow> = on_backend!(conn, |conn| {
            gaia_claims::table
                .filter(gaia_claims::node_id.eq(node))
                .filter(gaia_claims::id.gt(after))
                .order(gaia_claims::id)
                .limit(PAGE)
                .select(claim_columns!(ids))
                .load(conn)
                .await
        })?;
        Ok(rows.into_iter().map(held_claim).collect())
    }

    /// The same for claims of nodes that have no row any more. The claims of `me` are not among them: a node whose row is gone learns of it by
    /// its next heartbeat, and must not take its own runs for lost before that. Nor are claims of remote workers that have a lease.
    pub(crate) async fn orphan_claims(&self, me: &str, after: i64) -> Result<Vec<HeldClaim>, StoreError> {
        let ids = self.db.dialect().claimed_ids;
        let mut conn = self.db.read().await?;
        let rows: Vec<ClaimRow> = on_backend!(conn, |conn| {
            let node = gaia_nodes::table.filter(gaia_nodes::id.eq(gaia_claims::node_id));
            let lease = gaia_remote_claims::table.filter(gaia_remote_claims::mark.eq(gaia_claims::mark));
            gaia_claims::table
                .filter(gaia_claims::node_id.ne(me))
                .filter(diesel::dsl::not(diesel::dsl::exists(node.select(gaia_nodes::id))))
                .filter(diesel::dsl::not(diesel::dsl::exists(
                    lease.select(gaia_remote_claims::mark),
                )))
                .filter(gaia_claims::id.gt(after))
                .order(gaia_claims::id)
                .limit(PAGE)
                .select(claim_columns!(ids))
                .load(conn)
                .await
        })?;
        Ok(rows.into_iter().map(held_claim).collect())
    }

    /// The claims of a theme, for people who read tasks: they show which tasks are unseen. Read the claims before the rows, so that a task
    /// that ends in between does not look like a waiting one.
    pub(in crate::store) async fn claims_in(&self, conn: &mut Conn, theme: &str) -> Result<Vec<HeldClaim>, StoreError> {
        let ids = self.db.dialect().claimed_ids;
        let rows: Vec<ClaimRow> = on_backend!(*conn, |conn| {
            gaia_claims::table
                .filter(gaia_claims::theme.eq(theme))
                .order(gaia_claims::id)
                .select(claim_columns!(ids))
                .load(conn)
                .await
        })?;
        Ok(rows.into_iter().map(held_claim).collect())
    }

    /// The tasks of these claims that still run under the nodes of the claims, in the order of their ids. A later claim may hold some
    /// of them.
    pub(crate) async fn running(&self, claims: &[HeldClaim]) -> Result<Vec<Orphan>, StoreError> {
        let nodes: BTreeSet<&str> = claims.iter().map(|claim| claim.node.as_str()).collect();
        let ids: BTreeSet<i64> = claims.iter().flat_map(|claim| &claim.task_ids).copied().collect();
        let ids: Vec<i64> = ids.into_iter().collect();
        let mut running = Vec::new();
        for ids in ids.chunks(PER_STATEMENT) {
            let mut conn = self.db.read().await?;
            let rows: Vec<OrphanRow> = on_backend!(conn, |conn| {
                let runs = asynctasks::task_status.eq("Running");
                let is_seen = runs.and(asynctasks::lease_owner.eq_any(&nodes).assume_not_null());
                let is_unseen = asynctasks::task_status
                    .eq_any(["Wait", "Retry"])
                    .and(asynctasks::queued.eq(1));
                asynctasks::table
                    .filter(asynctasks::id.eq_any(ids))
                    .filter(is_seen.or(is_unseen))
                    .order(asynctasks::id)
                    .select(OrphanRow::as_select())
                    .load(conn)
                    .await
            })?;
            running.extend(rows.into_iter().filter_map(|row| row.orphan(claims)));
        }
        Ok(running)
    }

    /// Takes some tasks out of their claim: Running tasks that plain SQL has given to another node, or to an owner that no write can name
    /// (the next look makes new claims for them), and tasks that plain SQL has ended while they were unseen.
    pub(crate) async fn detach(&self, claim: &HeldClaim) -> Result<(), StoreError> {
        let (node, ids) = (claim.node.clone(), claim.task_ids.clone());
        on_each!(&self.db, |db| db.detach(node, claim.id, ids).await)
    }

    /// Removes the claims that hold no running task any more: no task can come to run under them again. Answers with the claims that must
    /// stay. A claim that another session has locked is left for the next look.
    pub(crate) async fn drop_settled(&self, ids: &[i64]) -> Result<BTreeSet<i64>, StoreError> {
        let dialect = self.db.dialect();
        let (tasks, runs) = ((dialect.tasks_of)("gaia_claims"), dialect.runs_by_claim);
        let mut open = BTreeSet::new();
        for ids in ids.chunks(PER_STATEMENT) {
            let list = ids.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
            let claims = Arc::new(OldClaims {
                ids: ids.to_vec(),
                running: format!(
                    "SELECT id FROM gaia_claims WHERE id IN ({list}) AND EXISTS (SELECT 1 FROM {tasks} WHERE {runs})"
                ),
            });
            let stay = || async { transact!(&self.db, settle, &claims) };
            open.extend(self.retrying(stay).await?);
        }
        Ok(open)
    }
}
