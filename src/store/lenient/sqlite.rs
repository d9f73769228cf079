//! Values of SQLite, which takes any value in any column.

use chrono::{NaiveDate, NaiveDateTime};
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

    fn time(mut value: Self::RawValue<'_>) -> Option<NaiveDateTime> {
        written_by_us(value.read_text()).or_else(|| FromSql::<Timestamp, Self>::from_sql(value).ok())
    }
}

/// A time in the form in which this crate writes times, such as `2026-11-28 22:58:16.123456`. A claim reads one for each task, and
/// diesel tries formats of chrono, which takes several times as long.
fn written_by_us(text: &str) -> Option<NaiveDateTime> {
    let is_expected = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'-' | b' ' | b':' | b'.');
    if text.len() < "2026-11-28 22:58:16".len() || !text.bytes().all(is_expected) {
        return None;
    }
    let at: jiff::civil::DateTime = text.parse().ok()?;
    let part = |part: i8| u32::try_from(part).ok();
    NaiveDate::from_ymd_opt(at.year().into(), part(at.month())?, part(at.day())?)?.and_hms_nano_opt(
        part(at.hour())?,
        part(at.minute())?,
        part(at.second())?,
        u32::try_from(at.subsec_nanosecond()).ok()?,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_ours_is_what_chrono_reads() {
        for text in [
            "2026-11-28 22:58:16",
            "2026-11-28 22:58:16.5",
            "1970-01-01 00:00:00.000001",
            "9999-12-31 23:59:59.999999",
            "2024-02-29 12:00:00.123456789",
        ] {
            let expected = NaiveDateTime::parse_from_str(text, "%F %T%.f").unwrap();
            assert_eq!(written_by_us(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "2026-11-28",
            "2026-11-28T22:58:16",
            "2026-11-28 22:58",
            "2026-02-30 22:58:16",
            "infinity",
            "2460000.5",
        ] {
            assert_eq!(written_by_us(text), None, "{text}");
        }
    }
}
