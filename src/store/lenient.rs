//! What plain SQL has left in columns, read without an error: one odd row must not be in the way of others.

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::{
    backend::Backend,
    deserialize::{self, FromSql, FromSqlRow},
    sql_types::{Binary, Text, Timestamp},
};

/// A text. Bytes that are none (SQLite takes any) are replaced.
#[derive(Debug, Clone, PartialEq, Eq, Hash, FromSqlRow)]
#[diesel(sql_type = Text)]
pub(crate) struct AnyText(pub(crate) String);

/// A time, or `None` if it is none that we could read: any text on SQLite, an infinite one on PostgreSQL, MySQL's zero date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, FromSqlRow)]
#[diesel(sql_type = Timestamp)]
pub(crate) struct AnyTime(Option<NaiveDateTime>);

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
}

impl<DB: Backend> FromSql<Timestamp, DB> for AnyTime
where
    NaiveDateTime: FromSql<Timestamp, DB>,
{
    fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(NaiveDateTime::from_sql(value).ok()))
    }
}

/// The text of a column that may be NULL.
pub(super) fn text(column: Option<AnyText>) -> Option<String> {
    column.map(|text| text.0)
}

/// The time of a column that may be NULL.
pub(crate) fn time(column: Option<AnyTime>) -> Option<DateTime<Utc>> {
    column.and_then(|time| time.0).map(|at| at.and_utc())
}
