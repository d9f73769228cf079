//! How many tasks of each theme are unfinished, for people who watch: cheap enough to be asked every other second.

use std::collections::BTreeMap;

use diesel::{
    QueryableByName,
    prelude::*,
    sql_types::{BigInt, Text},
};
use diesel_async::RunQueryDsl;

use crate::store::{StoreError, TaskStore, db::on_backend, lenient::AnyText, schema::gaia_due};

/// The most segments that are read: of ten million tasks.
const SEGMENTS: i64 = 10_000;

/// Up to how many tasks that no segment holds are counted.
const COUNTED: u64 = 10_000;

/// Tasks that no segment holds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Unplaced {
    /// They are due, and no claim has come since they were added.
    pub(crate) due: u64,
    /// They wait for a later time.
    pub(crate) scheduled: u64,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

impl TaskStore<'_> {
    /// How many tasks of each theme lie in segments.
    pub(crate) async fn due_by_theme(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        let mut conn = self.db.look().await?;
        let segments: Vec<(AnyText, i32)> = on_backend!(conn, |conn| {
            gaia_due::table
                .select((gaia_due::theme, gaia_due::n))
                .limit(SEGMENTS)
                .load(conn)
                .await
        })?;
        let mut due = BTreeMap::new();
        for (theme, n) in segments {
            *due.entry(theme.0).or_default() += u64::try_from(n).unwrap_or(0);
        }
        Ok(due)
    }

    /// How many tasks of these themes no segment holds, each kind counted up to 10,000.
    pub(crate) async fn unplaced_by_theme(&self, themes: &[String]) -> Result<BTreeMap<String, Unplaced>, StoreError> {
        let parameter = (self.db.dialect().parameter)(1);
        let mut unplaced: BTreeMap<String, Unplaced> = BTreeMap::new();
        for theme in themes {
            let counts = unplaced.entry(theme.clone()).or_default();
            for tasks in self.db.dialect().unplaced_themes {
                let (query, bound) = (tasks.count(&parameter, COUNTED), format!("{}{theme}", tasks.prefix));
                let mut conn = self.db.look().await?;
                let Count { n } = on_backend!(conn, |conn| {
                    diesel::sql_query(&query).bind::<Text, _>(&bound).get_result(conn).await
                })?;
                let n = u64::try_from(n).unwrap_or(0);
                match tasks.are_due {
                    true => counts.due += n,
                    false => counts.scheduled += n,
                }
            }
        }
        Ok(unplaced)
    }
}
