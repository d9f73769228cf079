//! Values of SQLite, which takes any value in any column.

use chrono::NaiveDateTime;
use diesel::{
    deserialize::FromSql,
    sql_types::{BigInt, Timestamp},
    sqlite::{Sqlite, SqliteType},
};

use super::Lenient;

impl Lenient for Sqlite {
    fn number(value: Self::RawValue<'_>) -> Option<i64> {
        match value.value_type() {
            Some(SqliteType::Long) => FromSql::<BigInt, Self>::from_sql(value).ok(),
            // SQLite would read 0.
            _ => None,
        }
    }

    fn time(value: Self::RawValue<'_>) -> Option<NaiveDateTime> {
        FromSql::<Timestamp, Self>::from_sql(value).ok()
    }
}
