//! The zone of the columns of time, as all nodes must have it.

use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use diesel::{
    QueryResult,
    sql_types::{Nullable, Text, Timestamp},
};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};

use crate::store::{
    StoreError,
    lenient::{AnyTime, time},
    server::pool::in_time,
    statement::prepared::prepared,
    url::ServerUrl,
};

const STORED: &str = "SELECT time_zone FROM gaia_database WHERE number = 1";

const STORE: &str = "INSERT IGNORE INTO gaia_database (number, time_zone) VALUES (1, ?)";

/// The newest task.
const NEWEST: &str = "SELECT create_time FROM asynctasks ORDER BY id DESC LIMIT 1";

/// Zones differ by quarters of an hour. Clocks of machines differ by less.
const QUARTER: i64 = 15 * 60;

/// An error if this URL names another zone than the first one with which a process has started.
///
/// On a connection of a process that starts: if the server is full, the start has waited for it.
pub(super) async fn check(
    conn: &mut AsyncMysqlConnection,
    url: &ServerUrl,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let given = url.zone.to_string();
    let (stored, newest) = in_time(url.zone, Box::pin(read(conn, &given))).await?;
    if stored != given {
        return Err(StoreError::TimeZone {
            url: url.shown().to_owned(),
            stored,
            given,
        });
    }
    if let Some(likely) = newest.and_then(|newest| likely_zone(newest, now, url.zone)) {
        say!(
            Warn,
            "the newest task in the database {} was added in the future: the program that added it may write the times of another zone. \
             Set time_zone={likely} in the URL of every node if that is so",
            url.shown()
        );
    }
    Ok(())
}

/// The stored zone, which is the given one if none was stored, and the time of the newest task.
async fn read(conn: &mut AsyncMysqlConnection, given: &str) -> QueryResult<(String, Option<DateTime<Utc>>)> {
    if stored(conn).await?.is_none() {
        let set = prepared(STORE).bind::<Text, _>(given).execute(conn).await;
        if let Err(refused) = set {
            // A process that only reads may have no right to write.
            say!(Debug, "the zone of the database's times is not noted: {refused}");
        }
    }
    let stored = stored(conn).await?.unwrap_or_else(|| given.to_owned());
    Ok((stored, newest(conn).await?))
}

async fn stored(conn: &mut AsyncMysqlConnection) -> QueryResult<Option<String>> {
    let rows: Vec<String> = prepared(STORED).columns::<Text>().load(conn).await?;
    Ok(rows.into_iter().next())
}

async fn newest(conn: &mut AsyncMysqlConnection) -> QueryResult<Option<DateTime<Utc>>> {
    let rows: Vec<Option<AnyTime>> = prepared(NEWEST).columns::<Nullable<Timestamp>>().load(conn).await?;
    Ok(rows.into_iter().next().and_then(time))
}

/// The zone in which a time that lies ahead was now, if there is such a zone.
fn likely_zone(at: DateTime<Utc>, now: DateTime<Utc>, zone: FixedOffset) -> Option<FixedOffset> {
    let ahead = at.signed_duration_since(now) + TimeDelta::minutes(5);
    let quarters = ahead.num_seconds().div_euclid(QUARTER);
    let seconds = quarters
        .checked_mul(QUARTER)?
        .checked_add(zone.local_minus_utc().into())?;
    let seconds = i32::try_from(seconds)
        .ok()
        .filter(|seconds| (0..=14 * 3_600).contains(seconds));
    FixedOffset::east_opt(seconds?).filter(|_| quarters > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_ahead_tells_its_zone() {
        let now: DateTime<Utc> = "2026-12-01T12:00:00Z".parse().expect("is a time");
        let zone = |hours| FixedOffset::east_opt(hours * 3_600).expect("is an offset");
        for (at, own, expected) in [
            ("2026-12-01T20:00:00Z", 0, Some("+08:00")),
            ("2026-12-01T19:58:00Z", 0, Some("+08:00")),
            ("2026-12-01T17:30:02Z", 0, Some("+05:30")),
            ("2026-12-01T13:00:00Z", 8, Some("+09:00")),
            ("2026-12-01T12:01:00Z", 0, None),
            ("2026-12-01T04:00:00Z", 0, None),
            ("2026-12-03T12:00:00Z", 0, None),
            ("9999-12-31T23:59:59Z", 0, None),
        ] {
            let at = at.parse().expect("is a time");
            let likely = likely_zone(at, now, zone(own)).map(|zone| zone.to_string());
            assert_eq!(likely.as_deref(), expected, "{at}");
        }
    }
}
