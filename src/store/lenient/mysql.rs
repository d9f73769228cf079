//! Values of MySQL and MariaDB.

use chrono::NaiveDateTime;
use diesel::{
    deserialize::FromSql,
    mysql::{Mysql, MysqlType},
    sql_types::{BigInt, Timestamp},
};

use super::Lenient;

impl Lenient for Mysql {
    fn number(value: Self::RawValue<'_>) -> Option<i64> {
        match value.value_type() {
            MysqlType::String | MysqlType::Blob => std::str::from_utf8(value.as_bytes()).ok()?.trim().parse().ok(),
            _ => FromSql::<BigInt, Self>::from_sql(value).ok(),
        }
    }

    fn time(value: Self::RawValue<'_>) -> Option<NaiveDateTime> {
        FromSql::<Timestamp, Self>::from_sql(value).ok()
    }
}
