//! Reading columns in which plain SQL has written odd values, without an error: one odd row must not keep others from being read.
//!
//! Rows are read as sets, and diesel gives up a whole set for one value. So every column that is read from a table has one of
//! these types, except keys of jobs, and numbers that the database has just counted. A value that cannot be read counts as NULL.

#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::{
    backend::Backend,
    deserialize::{self, FromSql, FromSqlRow},
    sql_types::{BigInt, Binary, Integer, Text, Timestamp},
};

use super::time::StoredTime;

/// A text. Bytes that are no characters (SQLite accepts any bytes) are replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, FromSqlRow)]
#[diesel(sql_type = Text)]
pub(crate) struct AnyText(pub(crate) String);

/// A time, or `None` if this crate cannot read it: another text on SQLite, an infinite time on PostgreSQL, MySQL's zero date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, FromSqlRow)]
#[diesel(sql_type = Timestamp)]
pub(crate) struct AnyTime(Option<StoredTime>);

impl From<DateTime<Utc>> for AnyTime {
    fn from(time: DateTime<Utc>) -> Self {
        Self(Some(time.into()))
    }
}

/// A whole number, if the column holds one: SQLite accepts any text, and the column may have got another type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, FromSqlRow)]
#[diesel(sql_type = BigInt)]
pub(crate) enum AnyInt {
    Is(i64),
    Odd,
    /// In a column that should not have it.
    Null,
}

/// How a database's values are read, whatever type the column has by now.
pub(crate) trait Lenient: Backend {
    fn number(value: Self::RawValue<'_>) -> Option<i64>;

    /// As it stands in the row.
    fn time(value: Self::RawValue<'_>) -> Option<NaiveDateTime>;
}

impl<DB: Backend> FromSql<Text, DB> for AnyText
where
    Vec<u8>: FromSql<Binary, DB>,
{
    fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
        let text = String::from_utf8(Vec::<u8>::from_sql(value)?);
        Ok(Self(text.unwrap_or_else(|error| {
            String::from_utf8_lossy(error.as_bytes()).into_owned()
        })))
    }

    fn from_nullable_sql(value: Option<DB::RawValue<'_>>) -> deserialize::Result<Self> {
        value.map_or_else(|| Ok(Self::default()), Self::from_sql)
    }
}

impl<DB: Lenient> FromSql<Timestamp, DB> for AnyTime {
    fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(DB::time(value).map(StoredTime::read)))
    }

    fn from_nullable_sql(value: Option<DB::RawValue<'_>>) -> deserialize::Result<Self> {
        Ok(Self(value.and_then(DB::time).map(StoredTime::read)))
    }
}

/// For both widths: a column that was widened is read as it was before.
macro_rules! any_int {
    ($($width:ty),*) => {$(
        impl<DB: Lenient> FromSql<$width, DB> for AnyInt {
            fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
                Ok(DB::number(value).map_or(Self::Odd, Self::Is))
            }

            fn from_nullable_sql(value: Option<DB::RawValue<'_>>) -> deserialize::Result<Self> {
                value.map_or(Ok(Self::Null), <Self as FromSql<$width, DB>>::from_sql)
            }
        }
    )*};
}
any_int!(Integer, BigInt);

impl From<i64> for AnyInt {
    fn from(value: i64) -> Self {
        Self::Is(value)
    }
}

/// The text of a column that may be NULL.
pub(super) fn text(column: Option<AnyText>) -> Option<String> {
    column.map(|text| text.0)
}

/// The time of a column.
pub(crate) fn time(column: impl Into<Option<AnyTime>>) -> Option<DateTime<Utc>> {
    column.into().and_then(|time| time.0).map(StoredTime::utc)
}

/// The number of a column.
pub(crate) fn number(column: impl Into<Option<AnyInt>>) -> Option<i64> {
    match column.into() {
        Some(AnyInt::Is(number)) => Some(number),
        Some(AnyInt::Odd | AnyInt::Null) | None => None,
    }
}

/// The same for a column of 32 bits. A number that does not fit counts as the nearest that does.
pub(crate) fn narrow(column: impl Into<Option<AnyInt>>) -> Option<i32> {
    let fitting = |number: i64| number.clamp(i32::MIN.into(), i32::MAX.into());
    number(column).and_then(|number| i32::try_from(fitting(number)).ok())
}

/// Whether a column that holds 0 or 1 says yes, as `column <> 0` says in SQL.
pub(super) fn is_set(column: impl Into<Option<AnyInt>>) -> bool {
    match column.into() {
        Some(AnyInt::Is(number)) => number != 0,
        Some(AnyInt::Odd) => true,
        Some(AnyInt::Null) | None => false,
    }
}

/// A time in milliseconds; `None` if it is none.
pub(super) fn millis(column: Option<AnyInt>) -> Option<Duration> {
    let millis = number(column).and_then(|value| u64::try_from(value).ok());
    millis.map(Duration::from_millis)
}

/// The id of a row. It is a key, so its column can hold only whole numbers.
pub(super) fn key(column: AnyInt) -> i64 {
    number(column).unwrap_or_default()
}
