//! What nodes have claimed, in `gaia_claims`: by it the running tasks of a node are found. The tasks' rows say who runs them, but no
//! index has to know it: a claim and an end would have to write there, too.

use std::collections::BTreeSet;

use diesel::{
    QueryableByName,
    dsl::sql,
    prelude::*,
    sql_types::{BigInt, Text},
};
use diesel_async::RunQueryDsl;

use super::{
    Store, StoreError,
    db::{Db, on_backend},
    lenient::AnyText,
    schema::{asynctasks, gaia_claims, gaia_nodes},
    tasks::{Orphan, OrphanRow},
};

/// Claims read at once: each may name thousands of tasks.
const PAGE: i64 = 50;

/// Tasks looked up, or claims removed, in one statement.
const AT_ONCE: usize = 500;

/// A claim, whatever has become of its tasks.
#[derive(Debug)]
pub(crate) struct HeldClaim {
    /// The lease token of its tasks.
    pub(crate) id: i64,
    node: String,
    /// What the log ids of its tasks begin with.
    pub(crate) mark: String,
    task_ids: Vec<i64>,
}

impl HeldClaim {
    pub(crate) fn has_any(&self, tasks: &BTreeSet<i64>) -> bool {
        self.task_ids.iter().any(|id| tasks.contains(id))
    }
}

#[derive(QueryableByName)]
struct ClaimId {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// Id, node, mark and tasks, as they are stored.
type ClaimRow = (i64, AnyText, AnyText, AnyText);

/// What is no list of ids names none: nobody but a node writes it.
fn held_claim((id, node, mark, ids): ClaimRow) -> HeldClaim {
    let mut task_ids: Vec<i64> = serde_json::from_str(&ids.0).unwrap_or_default();
    task_ids.sort_unstable();
    task_ids.dedup();
    HeldClaim {
        id,
        node: node.0,
        mark: mark.0,
        task_ids,
    }
}

impl Store {
    /// Makes claims of running tasks that plain SQL has put under a node, and that are in no claim. On PostgreSQL triggers do.
    pub(crate) async fn hold_unheld(&self) -> Result<(), StoreError> {
        let now = self.clock().now().naive_utc();
        match &self.db {
            #[cfg(feature = "sqlite")]
            Db::Sqlite(sqlite) => sqlite.hold_unheld(now).await,
            #[cfg(feature = "postgres")]
            Db::Postgres(_) => {
                let _ = now;
                std::future::ready(Ok(())).await
            }
            #[cfg(feature = "mysql")]
            Db::Mysql(mysql) => mysql.hold_unheld(now).await,
        }
    }

    /// Claims of a node, in the order of their ids, behind the claim `after`: one page.
    pub(crate) async fn claims_of(&self, node: &str, after: i64) -> Result<Vec<HeldClaim>, StoreError> {
        let ids = self.db.claimed_ids();
        let mut lease = self.db.read().await?;
        let rows: Vec<ClaimRow> = on_backend!(lease, |conn| {
            gaia_claims::table
                .filter(gaia_claims::node_id.eq(node))
                .filter(gaia_claims::id.gt(after))
                .order(gaia_claims::id)
                .limit(PAGE)
                .select((
                    gaia_claims::id,
                    gaia_claims::node_id,
                    gaia_claims::mark,
                    sql::<Text>(ids),
                ))
                .load(conn)
                .await
        })?;
        Ok(rows.into_iter().map(held_claim).collect())
    }

    /// Claims of nodes that have no row any more, as a page like that. Those of `me` are not among them: a node whose row is gone
    /// learns of it by its next beat, and must not take its own runs for lost before that.
    pub(crate) async fn orphan_claims(&self, me: &str, after: i64) -> Result<Vec<HeldClaim>, StoreError> {
        let ids = self.db.claimed_ids();
        let mut lease = self.db.read().await?;
        let rows: Vec<ClaimRow> = on_backend!(lease, |conn| {
            let node = gaia_nodes::table.filter(gaia_nodes::id.eq(gaia_claims::node_id));
            gaia_claims::table
                .filter(gaia_claims::node_id.ne(me))
                .filter(diesel::dsl::not(diesel::dsl::exists(node.select(gaia_nodes::id))))
                .filter(gaia_claims::id.gt(after))
                .order(gaia_claims::id)
                .limit(PAGE)
                .select((
                    gaia_claims::id,
                    gaia_claims::node_id,
                    gaia_claims::mark,
                    sql::<Text>(ids),
                ))
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
        for ids in ids.chunks(AT_ONCE) {
            let mut lease = self.db.read().await?;
            let rows: Vec<OrphanRow> = on_backend!(lease, |conn| {
                asynctasks::table
                    .filter(asynctasks::id.eq_any(ids))
                    .filter(asynctasks::task_status.eq("Running"))
                    .filter(asynctasks::lease_owner.eq_any(&nodes))
                    .order(asynctasks::id)
                    .select(OrphanRow::as_select())
                    .load(conn)
                    .await
            })?;
            running.extend(rows.into_iter().map(Orphan::from));
        }
        Ok(running)
    }

    /// Has running tasks of a claim be in none, if plain SQL has put them under another node, or under none that a write could name.
    /// The next look takes them into claims of their own. On PostgreSQL triggers do.
    pub(crate) async fn disown(&self, claim: &HeldClaim) -> Result<(), StoreError> {
        match &self.db {
            #[cfg(feature = "sqlite")]
            Db::Sqlite(sqlite) => {
                sqlite.disown(claim.node.clone(), claim.task_ids.clone()).await?;
            }
            #[cfg(feature = "postgres")]
            Db::Postgres(_) => {
                let _ = claim;
                std::future::ready(()).await;
            }
            #[cfg(feature = "mysql")]
            Db::Mysql(mysql) => mysql.disown(&claim.node, &claim.task_ids).await?,
        }
        Ok(())
    }

    /// Removes those of these claims of which no task runs any more, whatever plain SQL has made of its owner: nothing can come to run
    /// under them again. Answers with the others that are there.
    pub(crate) async fn drop_settled(&self, ids: &[i64]) -> Result<BTreeSet<i64>, StoreError> {
        let (tasks, runs) = (self.db.tasks_of("gaia_claims"), self.db.runs_by_claim());
        let mut open = BTreeSet::new();
        for ids in ids.chunks(AT_ONCE) {
            let list = ids.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
            // Not by the statement that deletes: MySQL would lock the tasks.
            let runs = format!(
                "SELECT id FROM gaia_claims WHERE id IN ({list}) AND EXISTS (SELECT 1 FROM {tasks} WHERE {runs})"
            );
            let mut lease = self.db.read().await?;
            let runs: Vec<ClaimId> = on_backend!(lease, |conn| diesel::sql_query(&runs).load(conn).await)?;
            drop(lease);
            open.extend(runs.into_iter().map(|claim| claim.id));
            let ids: Vec<i64> = ids.iter().copied().filter(|id| !open.contains(id)).collect();
            if ids.is_empty() {
                continue;
            }
            let mut lease = self.db.write().await?;
            on_backend!(lease, |conn| {
                diesel::delete(gaia_claims::table.filter(gaia_claims::id.eq_any(&ids)))
                    .execute(conn)
                    .await
            })?;
        }
        Ok(open)
    }
}
