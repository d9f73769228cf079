//! The settings of a theme that operators have stored for all nodes.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use crate::{
    domain::MAX_WORKERS,
    store::{
        ClusterStore, StoreError,
        db::on_backend,
        lenient::{AnyInt, AnyText, is_set, number},
        schema::gaia_themes,
    },
};

/// The settings of a theme on every node. A theme without a row has the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ThemeSettings {
    pub(crate) paused: bool,
    pub(crate) size: ThemeSize,
}

/// How many workers each node should have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ThemeSize {
    /// `None`: as many as the options of the node's process say.
    pub(crate) workers: Option<usize>,
    /// Grows with each call of `resize_theme`: a node follows each call once.
    pub(crate) order: i64,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = gaia_themes)]
struct ThemeRow {
    theme: AnyText,
    paused: AnyInt,
    workers: Option<AnyInt>,
    size_order: AnyInt,
}

impl ClusterStore<'_> {
    /// The settings of these themes; themes without any are missing.
    pub(crate) async fn settings_of(&self, themes: &[String]) -> Result<BTreeMap<String, ThemeSettings>, StoreError> {
        let mut conn = self.db.read().await?;
        let rows: Vec<ThemeRow> = on_backend!(conn, |conn| {
            gaia_themes::table
                .filter(gaia_themes::theme.eq_any(themes))
                .select(ThemeRow::as_select())
                .load(conn)
                .await
        })?;
        let settings = |row: ThemeRow| {
            let workers = number(row.workers).and_then(|workers| usize::try_from(workers).ok());
            let size = ThemeSize {
                // A number that `resize_theme` would refuse is ignored.
                workers: workers.filter(|workers| *workers <= MAX_WORKERS),
                order: number(row.size_order).unwrap_or_default(),
            };
            let paused = is_set(row.paused);
            (row.theme.0, ThemeSettings { paused, size })
        };
        Ok(rows.into_iter().map(settings).collect())
    }

    pub(crate) async fn settings(&self, theme: &str) -> Result<ThemeSettings, StoreError> {
        let mut settings = self.settings_of(&[theme.to_owned()]).await?;
        Ok(settings.remove(theme).unwrap_or_default())
    }

    pub(crate) async fn set_paused(&self, theme: &str, paused: bool) -> Result<(), StoreError> {
        self.add_theme(theme).await?;
        let now = self.clock().now().naive_utc();
        let mut conn = self.db.write().await?;
        on_backend!(conn, |conn| {
            diesel::update(gaia_themes::table.filter(gaia_themes::theme.eq(theme)))
                .set((
                    gaia_themes::paused.eq(i32::from(paused)),
                    gaia_themes::update_time.eq(now),
                ))
                .execute(conn)
                .await
        })?;
        Ok(())
    }

    pub(crate) async fn set_size(&self, theme: &str, workers: Option<usize>) -> Result<(), StoreError> {
        self.add_theme(theme).await?;
        let now = self.clock().now().naive_utc();
        let workers = workers.map(|workers| i32::try_from(workers).unwrap_or(i32::MAX));
        let mut conn = self.db.write().await?;
        on_backend!(conn, |conn| {
            diesel::update(gaia_themes::table.filter(gaia_themes::theme.eq(theme)))
                .set((
                    gaia_themes::workers.eq(workers),
                    gaia_themes::size_order.eq(gaia_themes::size_order + 1),
                    gaia_themes::update_time.eq(now),
                ))
                .execute(conn)
                .await
        })?;
        Ok(())
    }

    /// Makes the theme's row if it is not there.
    async fn add_theme(&self, theme: &str) -> Result<(), StoreError> {
        let now = self.clock().now().naive_utc();
        let mut conn = self.db.write().await?;
        let there: i64 = on_backend!(conn, |conn| {
            gaia_themes::table
                .filter(gaia_themes::theme.eq(theme))
                .count()
                .get_result(conn)
                .await
        })?;
        if there > 0 {
            return Ok(());
        }
        let added = on_backend!(conn, |conn| {
            diesel::insert_into(gaia_themes::table)
                .values((gaia_themes::theme.eq(theme), gaia_themes::update_time.eq(now)))
                .execute(conn)
                .await
        });
        match added.map_err(StoreError::from) {
            // Another process has made the row first.
            Ok(_) | Err(StoreError::Duplicate(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
