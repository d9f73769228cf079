//! Bulk operations, as their rows have them.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use crate::{
    domain::{BulkAction, BulkOperation, BulkState, BulkTasks, ListBulkOperations},
    store::{
        ClusterStore, StoreError,
        db::on_backend,
        lenient::{AnyInt, AnyText, AnyTime, number, text, time},
        schema::{gaia_bulk, gaia_nodes},
        time::StoredTime,
    },
};

/// How long an operation that has ended is kept.
const KEPT: TimeDelta = TimeDelta::days(90);

/// How many operations without a node are read at once.
const CANDIDATES: i64 = 10;

#[derive(Queryable, Selectable)]
#[diesel(table_name = gaia_bulk)]
struct BulkRow {
    id: i64,
    action: AnyText,
    filter: AnyText,
    state: AnyText,
    author: Option<AnyText>,
    reason: Option<AnyText>,
    below: AnyInt,
    most: Option<AnyInt>,
    changed: AnyInt,
    skipped: AnyText,
    error: Option<AnyText>,
    node_id: Option<AnyText>,
    created_at: AnyTime,
    ended_at: Option<AnyTime>,
}

#[derive(Insertable)]
#[diesel(table_name = gaia_bulk)]
struct NewBulk<'a> {
    token: &'a str,
    action: &'a str,
    filter: String,
    state: &'a str,
    author: Option<&'a str>,
    reason: Option<&'a str>,
    below: i64,
    most: Option<i64>,
    skipped: &'a str,
    created_at: StoredTime,
}

impl BulkRow {
    /// The operation. An error says which column cannot be read: plain SQL has changed it.
    fn operation(self) -> Result<BulkOperation, StoreError> {
        let id = self.id;
        let bad = |column: &str, why: String| {
            StoreError::Database(format!(
                "bulk operation {id}: its column {column} cannot be read: {why}"
            ))
        };
        let count = |count: Option<i64>| count.and_then(|count| u64::try_from(count).ok());
        Ok(BulkOperation {
            id,
            action: self.action.0.parse::<BulkAction>().map_err(|why| bad("action", why))?,
            filter: serde_json::from_str(&self.filter.0).map_err(|why| bad("filter", why.to_string()))?,
            most: count(number(self.most)),
            state: self.state.0.parse::<BulkState>().map_err(|why| bad("state", why))?,
            author: text(self.author),
            reason: text(self.reason),
            changed: count(number(self.changed)).unwrap_or_default(),
            skipped: serde_json::from_str(&self.skipped.0).unwrap_or_default(),
            below: number(self.below).unwrap_or_default(),
            node: text(self.node_id),
            error: text(self.error),
            created_at: time(self.created_at).unwrap_or_default(),
            ended_at: time(self.ended_at),
        })
    }
}

/// The operation is under way, and this node works on it. Only then may the node note anything.
macro_rules! mine {
    ($id:expr, $node:expr) => {
        gaia_bulk::table
            .filter(gaia_bulk::id.eq($id))
            .filter(gaia_bulk::state.eq(BulkState::Running.as_str()))
            .filter(gaia_bulk::node_id.eq($node))
    };
}

impl ClusterStore<'_> {
    /// Adds an operation on the tasks below this id. Deletes operations that ended long ago. Answers with its id.
    pub(crate) async fn add_bulk(&self, bulk: &BulkTasks, below: i64) -> Result<i64, StoreError> {
        let filter = serde_json::to_string(&bulk.effective_filter());
        let (now, token) = (self.clock().now(), uuid::Uuid::now_v7().to_string());
        let row = NewBulk {
            token: &token,
            action: bulk.action.as_str(),
            filter: filter.map_err(|error| StoreError::Database(error.to_string()))?,
            state: BulkState::Running.as_str(),
            author: bulk.author.as_deref(),
            reason: bulk.reason.as_deref(),
            below,
            most: bulk.most.and_then(|most| i64::try_from(most).ok()),
            skipped: "{}",
            created_at: StoredTime::from(now),
        };
        let old = now.checked_sub_signed(KEPT).unwrap_or(DateTime::<Utc>::MIN_UTC);
        let mut conn = self.db.write().await?;
        on_backend!(conn, |conn| {
            diesel::delete(gaia_bulk::table.filter(gaia_bulk::ended_at.lt(StoredTime::from(old))))
                .execute(conn)
                .await
        })?;
        on_backend!(conn, |conn| {
            diesel::insert_into(gaia_bulk::table).values(&row).execute(conn).await
        })?;
        Ok(on_backend!(conn, |conn| {
            gaia_bulk::table
                .filter(gaia_bulk::token.eq(&token))
                .select(gaia_bulk::id)
                .first(conn)
                .await
        })?)
    }

    /// `None`: there is no such operation.
    pub(crate) async fn bulk(&self, id: i64) -> Result<Option<BulkOperation>, StoreError> {
        let mut conn = self.db.read().await?;
        let row: Option<BulkRow> = on_backend!(conn, |conn| {
            gaia_bulk::table
                .find(id)
                .select(BulkRow::as_select())
                .first(conn)
                .await
                .optional()
        })?;
        row.map(BulkRow::operation).transpose()
    }

    pub(crate) async fn list_bulk(&self, list: &ListBulkOperations) -> Result<Vec<BulkOperation>, StoreError> {
        let mut conn = self.db.look().await?;
        let rows: Vec<BulkRow> = on_backend!(conn, |conn| {
            gaia_bulk::table
                .filter(gaia_bulk::id.lt(list.before.unwrap_or(i64::MAX)))
                .order(gaia_bulk::id.desc())
                .limit(i64::from(list.limit))
                .select(BulkRow::as_select())
                .load(conn)
                .await
        })?;
        rows.into_iter().map(BulkRow::operation).collect()
    }

    /// The operations that are under way or wait for a node, the oldest first.
    #[cfg(feature = "web")]
    pub(crate) async fn bulks_under_way(&self, most: i64) -> Result<Vec<BulkOperation>, StoreError> {
        let mut conn = self.db.look().await?;
        let rows: Vec<BulkRow> = on_backend!(conn, |conn| {
            gaia_bulk::table
                .filter(gaia_bulk::state.eq(BulkState::Running.as_str()))
                .order(gaia_bulk::id)
                .limit(most)
                .select(BulkRow::as_select())
                .load(conn)
                .await
        })?;
        rows.into_iter().map(BulkRow::operation).collect()
    }

    /// Takes an operation that no other living node works on, the oldest first. `None`: there is none. The caller works on none: an operation
    /// of this node is one whose note was not answered.
    pub(crate) async fn take_bulk(&self, node: &str) -> Result<Option<BulkOperation>, StoreError> {
        let mut conn = self.db.read().await?;
        let free: Vec<(i64, Option<String>)> = on_backend!(conn, |conn| {
            gaia_bulk::table
                .filter(gaia_bulk::state.eq(BulkState::Running.as_str()))
                .order(gaia_bulk::id)
                .limit(CANDIDATES)
                .select((gaia_bulk::id, gaia_bulk::node_id))
                .load(conn)
                .await
        })?;
        if free.is_empty() {
            return Ok(None);
        }
        let nodes: Vec<String> = free.iter().filter_map(|(_, node)| node.clone()).collect();
        let alive: Vec<String> = on_backend!(conn, |conn| {
            gaia_nodes::table
                .filter(gaia_nodes::id.eq_any(&nodes))
                .select(gaia_nodes::id)
                .load(conn)
                .await
        })?;
        drop(conn);
        for (id, before) in free {
            let is_taken = before
                .as_ref()
                .is_some_and(|before| before != node && alive.contains(before));
            if !is_taken && self.take_from(id, before.as_deref(), node).await? {
                return self.bulk(id).await;
            }
        }
        Ok(None)
    }

    /// False: another node was quicker, or the operation has ended.
    async fn take_from(&self, id: i64, before: Option<&str>, node: &str) -> Result<bool, StoreError> {
        let mut conn = self.db.write().await?;
        let running = BulkState::Running.as_str();
        let taken = match before {
            Some(before) => on_backend!(conn, |conn| {
                diesel::update(mine!(id, before))
                    .set(gaia_bulk::node_id.eq(node))
                    .execute(conn)
                    .await
            })?,
            None => on_backend!(conn, |conn| {
                diesel::update(gaia_bulk::table)
                    .filter(gaia_bulk::id.eq(id))
                    .filter(gaia_bulk::state.eq(running))
                    .filter(gaia_bulk::node_id.is_null())
                    .set(gaia_bulk::node_id.eq(node))
                    .execute(conn)
                    .await
            })?,
        };
        Ok(taken > 0)
    }

    /// Notes how far this node has come. False: the operation has ended, or another node works on it.
    pub(crate) async fn note_bulk(&self, bulk: &BulkOperation, node: &str) -> Result<bool, StoreError> {
        let skipped = serde_json::to_string(&bulk.skipped);
        let skipped = skipped.map_err(|error| StoreError::Database(error.to_string()))?;
        let now = StoredTime::from(self.clock().now());
        let ended_at = (bulk.state != BulkState::Running).then_some(now);
        let note = || async {
            let mut conn = self.db.write().await?;
            Ok(on_backend!(conn, |conn| {
                diesel::update(mine!(bulk.id, node))
                    .set((
                        gaia_bulk::below.eq(bulk.below),
                        gaia_bulk::changed.eq(i64::try_from(bulk.changed).unwrap_or(i64::MAX)),
                        gaia_bulk::skipped.eq(&skipped),
                        gaia_bulk::state.eq(bulk.state.as_str()),
                        gaia_bulk::error.eq(&bulk.error),
                        gaia_bulk::ended_at.eq(ended_at),
                    ))
                    .execute(conn)
                    .await
            })?)
        };
        Ok(self.retrying(note).await? > 0)
    }

    /// Ends an operation that is under way. What it has changed stays changed.
    pub(crate) async fn cancel_bulk(&self, id: i64) -> Result<(), StoreError> {
        let now = StoredTime::from(self.clock().now());
        let mut conn = self.db.write().await?;
        on_backend!(conn, |conn| {
            diesel::update(gaia_bulk::table)
                .filter(gaia_bulk::id.eq(id))
                .filter(gaia_bulk::state.eq(BulkState::Running.as_str()))
                .set((
                    gaia_bulk::state.eq(BulkState::Cancelled.as_str()),
                    gaia_bulk::ended_at.eq(now),
                ))
                .execute(conn)
                .await
        })?;
        Ok(())
    }
}
