//! How many tasks of each theme are unfinished, for people who watch: cheap enough to be asked every other second.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    prelude::*,
    sql_types::{BigInt, Text, Timestamp},
};
use diesel_async::RunQueryDsl;

use crate::store::{
    StoreError, TaskStore,
    db::on_backend,
    lenient::{AnyText, AnyTime, time},
    schema::gaia_due,
    time::StoredTime,
};

/// The most segments that are read: of ten million tasks.
const SEGMENTS: i64 = 10_000;

/// Up to how many tasks that no segment holds are counted.
const COUNTED: u64 = 10_000;

/// The oldest task of a theme is looked for in so many segments.
const LOOKED_INTO: usize = 3;

/// The due tasks of a theme that lie in segments.
#[derive(Debug, Default)]
pub(crate) struct Placed {
    /// How many of them call each service and method.
    pub(crate) by_method: BTreeMap<(String, String), u64>,
    /// The segments that were made first.
    first: Vec<i64>,
}

/// Tasks of a theme that no segment holds.
#[derive(Debug, Default)]
pub(crate) struct Unplaced {
    /// Tasks that are due, and that no claim has come upon since.
    pub(crate) due: u64,
    /// How many of them call each service and method. Tasks whose time has come are not among these.
    pub(crate) by_method: BTreeMap<(String, String), u64>,
    /// Since when the oldest of these is due.
    pub(crate) oldest_due: Option<DateTime<Utc>>,
    /// Tasks that wait for a later time.
    pub(crate) scheduled: u64,
}

#[derive(QueryableByName)]
struct Tally {
    #[diesel(sql_type = BigInt)]
    n: i64,
    /// How many of them have a time that has come.
    #[diesel(sql_type = BigInt)]
    came: i64,
    #[diesel(sql_type = Timestamp)]
    oldest: AnyTime,
    #[diesel(sql_type = Text)]
    service: AnyText,
    #[diesel(sql_type = Text)]
    method: AnyText,
}

#[derive(QueryableByName)]
struct Oldest {
    #[diesel(sql_type = Timestamp)]
    oldest: AnyTime,
}

impl Placed {
    fn add(&mut self, id: i64, method: (String, String), n: i32) {
        *self.by_method.entry(method).or_default() += u64::try_from(n).unwrap_or(0);
        let place = self.first.partition_point(|&first| first < id);
        if place < LOOKED_INTO {
            self.first.insert(place, id);
            self.first.truncate(LOOKED_INTO);
        }
    }
}

impl Unplaced {
    fn add(&mut self, tally: Tally, are_due: bool) {
        let all = u64::try_from(tally.n).unwrap_or(0);
        let due = match are_due {
            true => all,
            false => u64::try_from(tally.came).unwrap_or(0),
        };
        self.due += due;
        self.scheduled += all - due;
        if due > 0 {
            self.oldest_due = self.oldest_due.into_iter().chain(time(tally.oldest)).min();
        }
        if are_due {
            *self.by_method.entry((tally.service.0, tally.method.0)).or_default() += due;
        }
    }
}

impl TaskStore<'_> {
    /// The tasks in segments, of one theme or of all that have some.
    pub(crate) async fn placed(&self, theme: Option<&str>) -> Result<BTreeMap<String, Placed>, StoreError> {
        let columns = (
            gaia_due::theme,
            gaia_due::id,
            gaia_due::service,
            gaia_due::method,
            gaia_due::n,
        );
        let mut conn = self.db.look().await?;
        let segments: Vec<(AnyText, i64, AnyText, AnyText, i32)> = on_backend!(conn, |conn| {
            let segments = gaia_due::table.select(columns).limit(SEGMENTS);
            match theme {
                Some(theme) => segments.filter(gaia_due::theme.eq(theme)).load(conn).await,
                None => segments.load(conn).await,
            }
        })?;
        let mut placed: BTreeMap<String, Placed> = BTreeMap::new();
        for (theme, id, service, method, n) in segments {
            placed.entry(theme.0).or_default().add(id, (service.0, method.0), n);
        }
        Ok(placed)
    }

    /// Since when the oldest of these tasks is due. A segment is made when its tasks come due, so the oldest task is in one of the first: the
    /// first one that still has a task that waits (a task that plain SQL has ended stays in its segment until a claim comes upon it).
    pub(crate) async fn oldest_due(&self, placed: &Placed) -> Result<Option<DateTime<Utc>>, StoreError> {
        let tasks = (self.db.dialect().tasks_of)("gaia_due");
        for segment in &placed.first {
            let query = format!(
                "SELECT MIN(t.update_time) AS oldest FROM gaia_due CROSS JOIN {tasks} \
                 WHERE gaia_due.id = {segment} AND t.task_status IN ('Wait', 'Retry')"
            );
            let mut conn = self.db.look().await?;
            let found: Oldest = on_backend!(conn, |conn| diesel::sql_query(&query).get_result(conn).await)?;
            if let Some(oldest) = time(found.oldest) {
                return Ok(Some(oldest));
            }
        }
        Ok(None)
    }

    /// The tasks of a theme that no segment holds, each kind counted up to 10,000.
    pub(crate) async fn unplaced(&self, theme: &str, now: DateTime<Utc>) -> Result<Unplaced, StoreError> {
        let dialect = self.db.dialect();
        let mut unplaced = Unplaced::default();
        for tasks in dialect.unplaced_themes {
            let query = tasks.tally(dialect.parameter, COUNTED);
            let bound = format!("{}{theme}", tasks.prefix);
            let mut conn = self.db.look().await?;
            let tallies: Vec<Tally> = on_backend!(conn, |conn| {
                diesel::sql_query(&query)
                    .bind::<Timestamp, _>(StoredTime::from(now))
                    .bind::<Text, _>(&bound)
                    .load(conn)
                    .await
            })?;
            for tally in tallies {
                unplaced.add(tally, tasks.are_due);
            }
        }
        Ok(unplaced)
    }
}
