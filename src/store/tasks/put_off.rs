//! Waiting tasks whose times were written while the clock was ahead.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{dsl::sql, prelude::*, sql_types::Bool};
use diesel_async::RunQueryDsl;

use super::held::HELD_UNTIL;
use crate::store::{
    StoreError, TaskStore,
    backend::ReadKind,
    db::on_backend,
    lenient::{AnyTime, time},
    schema::asynctasks,
    time::StoredTime,
};

/// A time that is further ahead than this was written by a wrong clock: time zones, which plain SQL may get wrong, differ by less.
pub(in crate::store) const FAR_AHEAD: TimeDelta = TimeDelta::days(1);

/// The limit on SQLite for a task that has run: its times were written by the clock of this machine. (On a server all nodes follow the
/// server's clock, and MySQL writes the time of a change by plain SQL in the zone of that session, so [`FAR_AHEAD`] is the limit there.)
const AHEAD: TimeDelta = TimeDelta::minutes(1);

/// How many rows are read in one statement.
const PAGE: i64 = 500;

impl TaskStore<'_> {
    /// Finds tasks of a theme whose waiting times were set at a moment that is still to come: the clock was ahead then. They wait from now on
    /// for as long as they were meant to. Answers how many there were.
    pub(crate) async fn bring_back(&self, theme: &str) -> Result<usize, StoreError> {
        let now = self.clock().now();
        let mut brought_back = 0;
        loop {
            let put_off = self.put_off(theme, now).await?;
            let mut changed = 0;
            for (id, run_at, told_at) in put_off {
                let wait = (run_at - told_at).max(TimeDelta::zero());
                let due = now.checked_add_signed(wait).unwrap_or(run_at);
                changed += self.wait_until(id, (run_at, due), (told_at, now)).await?;
            }
            brought_back += changed;
            // None is left, or others were quicker.
            if changed == 0 {
                return Ok(brought_back);
            }
        }
    }

    /// Such tasks: the id, the time for which it waits, the moment at which that was set. The condition is spelled as text, so that a partial
    /// index serves.
    async fn put_off(
        &self,
        theme: &str,
        now: DateTime<Utc>,
    ) -> Result<Vec<(i64, DateTime<Utc>, DateTime<Utc>)>, StoreError> {
        let ahead = |by| StoredTime::from(now.checked_add_signed(by).unwrap_or(DateTime::<Utc>::MAX_UTC));
        let far = ahead(FAR_AHEAD);
        let ahead = if self.db.is_server() { far } else { ahead(AHEAD) };
        let mut conn = self.db.read_as(ReadKind::List).await?;
        let rows: Vec<(i64, Option<AnyTime>, Option<AnyTime>)> = on_backend!(conn, |conn| {
            asynctasks::table
                .filter(asynctasks::system_name.eq(theme))
                .filter(sql::<Bool>("task_status IN ('Wait', 'Retry') AND run_at IS NOT NULL"))
                .filter(asynctasks::run_at.gt(StoredTime::from(now)))
                .filter(asynctasks::run_at.lt(HELD_UNTIL))
                .filter(asynctasks::update_time.gt(ahead))
                .filter(asynctasks::log_id.is_not_null().or(asynctasks::update_time.gt(far)))
                .limit(PAGE)
                .select((asynctasks::id, asynctasks::run_at, asynctasks::update_time))
                .load(conn)
                .await
        })?;
        let read =
            |(id, run_at, told_at): (i64, Option<AnyTime>, Option<AnyTime>)| Some((id, time(run_at)?, time(told_at)?));
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// Changes both times of a task, if it still waits and has the old times.
    async fn wait_until(
        &self,
        id: i64,
        run_at: (DateTime<Utc>, DateTime<Utc>),
        told_at: (DateTime<Utc>, DateTime<Utc>),
    ) -> Result<usize, StoreError> {
        let change_of = |(from, to)| (StoredTime::from(from), StoredTime::from(to));
        let ((run_at, due), (told_at, now)) = (change_of(run_at), change_of(told_at));
        let change = || async {
            let mut conn = self.db.write().await?;
            Ok(on_backend!(conn, |conn| {
                diesel::update(asynctasks::table.filter(asynctasks::id.eq(id)))
                    .filter(asynctasks::task_status.eq_any(["Wait", "Retry"]))
                    .filter(asynctasks::run_at.eq(run_at))
                    .filter(asynctasks::update_time.eq(told_at))
                    .set((asynctasks::run_at.eq(due), asynctasks::update_time.eq(now)))
                    .execute(conn)
                    .await
            })?)
        };
        self.retrying(change).await
    }
}
