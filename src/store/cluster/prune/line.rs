//! The times that the pruners have noted in the database, to notice when the clock jumps.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use crate::store::{
    ClusterStore, StoreError,
    db::on_backend,
    lenient::{AnyTime, time},
    schema::gaia_retention,
    time::StoredTime,
};

/// The *line* of a scope (a theme, or the jobs): a period in which the clock has made no jump, as the pruners of all nodes have seen it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    /// The beginning of the line: the last jump of the clock. `None`: no jump was seen.
    pub(crate) since: Option<DateTime<Utc>>,
    /// The time of the last look. `None`: the row holds no time that this crate can read.
    pub(crate) seen: Option<DateTime<Utc>>,
}

impl ClusterStore<'_> {
    /// The line of a scope: a theme, or the jobs (an empty name).
    pub(crate) async fn line(&self, scope: &str) -> Result<Option<Line>, StoreError> {
        let mut conn = self.db.read().await?;
        let row: Option<(Option<AnyTime>, AnyTime)> = on_backend!(conn, |conn| {
            gaia_retention::table
                .filter(gaia_retention::scope.eq(scope))
                .select((gaia_retention::since, gaia_retention::seen))
                .first(conn)
                .await
                .optional()
        })?;
        Ok(row.map(|(since, seen)| Line {
            since: time(since),
            seen: time(Some(seen)),
        }))
    }

    /// Stores the line of a scope.
    pub(crate) async fn set_line(
        &self,
        scope: &str,
        since: Option<DateTime<Utc>>,
        seen: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let (since, seen) = (since.map(StoredTime::from), StoredTime::from(seen));
        if self.update_line(scope, since, seen).await? > 0 {
            return Ok(());
        }
        let mut conn = self.db.write().await?;
        let inserted = on_backend!(conn, |conn| {
            diesel::insert_into(gaia_retention::table)
                .values((
                    gaia_retention::scope.eq(scope),
                    gaia_retention::since.eq(since),
                    gaia_retention::seen.eq(seen),
                ))
                .execute(conn)
                .await
        });
        match inserted.map_err(StoreError::from) {
            // Another node has made the row first, and has seen the same.
            Ok(_) | Err(StoreError::Duplicate(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn update_line(&self, scope: &str, since: Option<StoredTime>, seen: StoredTime) -> Result<usize, StoreError> {
        let mut conn = self.db.write().await?;
        Ok(on_backend!(conn, |conn| {
            diesel::update(gaia_retention::table.filter(gaia_retention::scope.eq(scope)))
                .set((gaia_retention::since.eq(since), gaia_retention::seen.eq(seen)))
                .execute(conn)
                .await
        })?)
    }
}
