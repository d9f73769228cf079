//! Values of PostgreSQL, in the binary form of the type that the column has by now.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use diesel::{
    data_types::PgNumeric,
    deserialize::FromSql,
    pg::Pg,
    sql_types::{BigInt, Date, Integer, Numeric, SmallInt, Timestamp},
};

use super::Lenient;

/// The numbers by which the server calls its types: `SELECT oid, typname FROM pg_type`.
mod oid {
    pub(super) const INT8: u32 = 20;
    pub(super) const INT2: u32 = 21;
    pub(super) const INT4: u32 = 23;
    pub(super) const TEXT: u32 = 25;
    pub(super) const VARCHAR: u32 = 1043;
    pub(super) const DATE: u32 = 1082;
    pub(super) const TIMESTAMP: u32 = 1114;
    pub(super) const TIMESTAMPTZ: u32 = 1184;
    pub(super) const NUMERIC: u32 = 1700;
}

impl Lenient for Pg {
    fn number(value: Self::RawValue<'_>) -> Option<i64> {
        match value.get_oid().get() {
            oid::INT8 => FromSql::<BigInt, Self>::from_sql(value).ok(),
            oid::INT4 => <i32 as FromSql<Integer, Self>>::from_sql(value).ok().map(i64::from),
            oid::INT2 => <i16 as FromSql<SmallInt, Self>>::from_sql(value).ok().map(i64::from),
            oid::NUMERIC => whole(&FromSql::<Numeric, Self>::from_sql(value).ok()?),
            oid::TEXT | oid::VARCHAR => std::str::from_utf8(value.as_bytes()).ok()?.trim().parse().ok(),
            _ => None,
        }
    }

    fn time(value: Self::RawValue<'_>) -> Option<NaiveDateTime> {
        match value.get_oid().get() {
            // Sessions are in UTC.
            oid::TIMESTAMP | oid::TIMESTAMPTZ => FromSql::<Timestamp, Self>::from_sql(value).ok(),
            oid::DATE => {
                let day: NaiveDate = FromSql::<Date, Self>::from_sql(value).ok()?;
                Some(day.and_time(NaiveTime::MIN))
            }
            _ => None,
        }
    }
}

/// Its whole part, if that is in range. The digits are of base 10,000, the first one having this `weight`.
fn whole(number: &PgNumeric) -> Option<i64> {
    let (sign, weight, digits) = match number {
        PgNumeric::Positive { weight, digits, .. } => (1, *weight, digits),
        PgNumeric::Negative { weight, digits, .. } => (-1, *weight, digits),
        PgNumeric::NaN => return None,
    };
    let places = usize::try_from(i32::from(weight) + 1).unwrap_or(0);
    let digits = digits.iter().copied().map(i64::from).chain(std::iter::repeat(0));
    let add = |sum: i64, digit: i64| sum.checked_mul(10_000)?.checked_add(sign * digit);
    digits.take(places).try_fold(0, add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(weight: i16, digits: &[i16]) -> PgNumeric {
        let digits = digits.to_vec();
        PgNumeric::Positive {
            weight,
            scale: 0,
            digits,
        }
    }

    #[test]
    fn the_whole_part_of_a_number_of_any_length() {
        assert_eq!(whole(&number(0, &[])), Some(0));
        assert_eq!(whole(&number(-1, &[5_000])), Some(0));
        assert_eq!(whole(&number(0, &[3, 5_000])), Some(3));
        assert_eq!(whole(&number(2, &[1])), Some(100_000_000));
        assert_eq!(whole(&number(1, &[7, 12])), Some(70_012));
        assert_eq!(whole(&number(9, &[1])), None);
        let digits = vec![42];
        assert_eq!(
            whole(&PgNumeric::Negative {
                weight: 0,
                scale: 0,
                digits
            }),
            Some(-42)
        );
        assert_eq!(whole(&PgNumeric::NaN), None);
    }
}
