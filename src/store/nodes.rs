//! The processes that share the database, and what operators set for a theme on all of them.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    Store, StoreError,
    db::on_backend,
    rows::NodeRow,
    schema::{gaia_nodes, gaia_themes},
};

/// What a heartbeat found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beat {
    /// Our row was there.
    Alive,
    /// Our row was gone: others have declared this node dead.
    DeclaredDead,
}

impl Store {
    /// Makes the node's row. From here on it may claim.
    pub(crate) async fn register_node(&self, node: &NodeRow) -> Result<(), StoreError> {
        let mut lease = self.db.write().await?;
        on_backend!(lease, |conn| {
            diesel::insert_into(gaia_nodes::table).values(node).execute(conn).await
        })?;
        Ok(())
    }

    pub(crate) async fn beat(&self, node: &NodeRow) -> Result<Beat, StoreError> {
        let mut lease = self.db.write().await?;
        let updated = on_backend!(lease, |conn| {
            diesel::update(gaia_nodes::table.filter(gaia_nodes::id.eq(&node.id)))
                .set((
                    gaia_nodes::heartbeat.eq(node.heartbeat),
                    gaia_nodes::beat.eq(node.beat),
                    gaia_nodes::themes.eq(&node.themes),
                ))
                .execute(conn)
                .await
        })?;
        Ok(match updated {
            0 => Beat::DeclaredDead,
            _ => Beat::Alive,
        })
    }

    pub(crate) async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        let mut lease = self.db.read().await?;
        Ok(on_backend!(lease, |conn| {
            gaia_nodes::table
                .order(gaia_nodes::id)
                .select(NodeRow::as_select())
                .load(conn)
                .await
        })?)
    }

    /// Removes a node's row if it has not beaten since `beat`. Its running tasks are orphans from then on.
    pub(crate) async fn remove_node(&self, id: &str, beat: i64) -> Result<bool, StoreError> {
        let mut lease = self.db.write().await?;
        let removed = on_backend!(lease, |conn| {
            diesel::delete(gaia_nodes::table)
                .filter(gaia_nodes::id.eq(id))
                .filter(gaia_nodes::beat.eq(beat))
                .execute(conn)
                .await
        })?;
        Ok(removed > 0)
    }

    /// Removes the row of a node that leaves by itself.
    pub(crate) async fn retire_node(&self, id: &str) -> Result<(), StoreError> {
        let mut lease = self.db.write().await?;
        on_backend!(lease, |conn| {
            diesel::delete(gaia_nodes::table)
                .filter(gaia_nodes::id.eq(id))
                .execute(conn)
                .await
        })?;
        Ok(())
    }

    pub(crate) async fn is_paused(&self, theme: &str) -> Result<bool, StoreError> {
        let mut lease = self.db.read().await?;
        let paused: Option<i32> = on_backend!(lease, |conn| {
            gaia_themes::table
                .filter(gaia_themes::theme.eq(theme))
                .select(gaia_themes::paused)
                .first(conn)
                .await
                .optional()
        })?;
        Ok(paused.is_some_and(|paused| paused != 0))
    }

    pub(crate) async fn set_paused(&self, theme: &str, paused: bool) -> Result<(), StoreError> {
        if self.update_paused(theme, paused).await? {
            return Ok(());
        }
        match self.insert_paused(theme, paused).await {
            // Somebody else was first to say something of this theme.
            Err(StoreError::Duplicate(_)) => self.update_paused(theme, paused).await.map(drop),
            inserted => inserted,
        }
    }

    async fn update_paused(&self, theme: &str, paused: bool) -> Result<bool, StoreError> {
        let now = self.clock().now().naive_utc();
        let mut lease = self.db.write().await?;
        let updated = on_backend!(lease, |conn| {
            diesel::update(gaia_themes::table.filter(gaia_themes::theme.eq(theme)))
                .set((
                    gaia_themes::paused.eq(i32::from(paused)),
                    gaia_themes::update_time.eq(now),
                ))
                .execute(conn)
                .await
        })?;
        Ok(updated > 0)
    }

    async fn insert_paused(&self, theme: &str, paused: bool) -> Result<(), StoreError> {
        let now = self.clock().now().naive_utc();
        let mut lease = self.db.write().await?;
        on_backend!(lease, |conn| {
            diesel::insert_into(gaia_themes::table)
                .values((
                    gaia_themes::theme.eq(theme),
                    gaia_themes::paused.eq(i32::from(paused)),
                    gaia_themes::update_time.eq(now),
                ))
                .execute(conn)
                .await
        })?;
        Ok(())
    }
}
