//! Times as a database holds them.
//!
//! A column of time has no zone of its own. This crate writes UTC, unless the URL of a MySQL database names another zone: a program that
//! shares the tables, such as the Go framework, may write its local time. Then all times of that database are in that zone.
//!
//! A value is converted where a statement gets it and where it is read from a row. So every statement compares times of one zone. The zone
//! depends on the connection: it is known while a statement runs there, by [`ZONE`].

use chrono::{DateTime, Datelike, FixedOffset, NaiveDateTime, Offset, TimeDelta, Utc};
#[cfg(feature = "mysql")]
use diesel::mysql::Mysql;
#[cfg(feature = "postgres")]
use diesel::pg::Pg;
#[cfg(feature = "sqlite")]
use diesel::sqlite::Sqlite;
use diesel::{
    backend::Backend,
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    serialize::{self, Output, ToSql},
    sql_types::Timestamp,
};

/// UTC as an offset.
pub(crate) const UTC: FixedOffset = match FixedOffset::east_opt(0) {
    Some(utc) => utc,
    None => panic!("it is in range"),
};

/// Times of this year are the same in every zone: no database can hold a later one, and [held tasks](super::tasks::held::HELD_UNTIL) have
/// its last second.
const LAST_YEAR: i32 = 9999;

tokio::task_local! {
    /// The zone of the database on which the current statement runs. Where none is set it is UTC.
    pub(in crate::store) static ZONE: FixedOffset;
}

/// A time in a statement or in a row, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, AsExpression, FromSqlRow)]
#[diesel(sql_type = Timestamp)]
pub(crate) struct StoredTime(NaiveDateTime);

impl StoredTime {
    pub(in crate::store) const MIN: Self = Self(NaiveDateTime::MIN);
    pub(in crate::store) const MAX: Self = Self(NaiveDateTime::MAX);

    pub(in crate::store) const fn new(utc: NaiveDateTime) -> Self {
        Self(utc)
    }

    pub(crate) const fn utc(self) -> DateTime<Utc> {
        self.0.and_utc()
    }

    /// A time as a row holds it.
    pub(in crate::store) fn read(written: NaiveDateTime) -> Self {
        Self(moved(written, -ahead_of_utc()))
    }

    /// As a row holds it.
    #[cfg(feature = "mysql")]
    pub(in crate::store) fn written(self) -> NaiveDateTime {
        moved(self.0, ahead_of_utc())
    }
}

impl From<DateTime<Utc>> for StoredTime {
    fn from(at: DateTime<Utc>) -> Self {
        Self(at.naive_utc())
    }
}

/// How far the clocks of the current statement's zone are ahead of UTC.
fn ahead_of_utc() -> TimeDelta {
    let zone = ZONE.try_with(|zone| *zone).unwrap_or(UTC);
    TimeDelta::seconds(zone.fix().local_minus_utc().into())
}

fn moved(at: NaiveDateTime, by: TimeDelta) -> NaiveDateTime {
    match at.year() >= LAST_YEAR {
        true => at,
        false => at.checked_add_signed(by).unwrap_or(at),
    }
}

impl<DB: Backend> FromSql<Timestamp, DB> for StoredTime
where
    NaiveDateTime: FromSql<Timestamp, DB>,
{
    fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
        NaiveDateTime::from_sql(value).map(Self::read)
    }
}

#[cfg(feature = "mysql")]
impl ToSql<Timestamp, Mysql> for StoredTime {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Mysql>) -> serialize::Result {
        <NaiveDateTime as ToSql<Timestamp, Mysql>>::to_sql(&self.written(), &mut out.reborrow())
    }
}

#[cfg(feature = "postgres")]
impl ToSql<Timestamp, Pg> for StoredTime {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        ToSql::<Timestamp, Pg>::to_sql(&self.0, out)
    }
}

#[cfg(feature = "sqlite")]
impl ToSql<Timestamp, Sqlite> for StoredTime {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        ToSql::<Timestamp, Sqlite>::to_sql(&self.0, out)
    }
}

/// In JSON, which MySQL's statements read as rows.
#[cfg(feature = "mysql")]
impl serde::Serialize for StoredTime {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.written().format("%Y-%m-%d %H:%M:%S%.6f"))
    }
}
