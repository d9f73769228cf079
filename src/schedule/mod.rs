//! Cron expressions: text to fields, fields to local times, local times to instants. This module uses no database, actor or clock.

mod calendar;
mod describe;
mod error;
mod every;
mod field;
mod instants;
mod parse;
mod seconds;
mod spell;
mod unit;
mod words;
mod zone;

use std::{fmt, str::FromStr};

use chrono::{DateTime, TimeDelta, Utc};

use self::{calendar::Calendar, every::Every, parse::Timing};
pub use self::{
    describe::Language,
    error::ScheduleError,
    words::{MAX_SCHEDULE_CHARS, MAX_ZONE_CHARS},
    zone::{Zone, ZoneData, ZoneOffset, parse_zone, zone_data},
};

/// The first and the last second at which a schedule can fire: the years 0 to 9999, which RFC 3339 can write.
const FIRST: i64 = -62_167_219_200;
const LAST: i64 = 253_402_300_799;

/// A cron expression in a time zone: it says at which seconds something is to happen (its fires).
///
/// | written | meaning |
/// |---|---|
/// | `30 2 * * *` | five fields: minute, hour, day of month, month, day of week |
/// | `*/30 * * * * *` | six fields: seconds first |
/// | `@daily`, `@hourly`, … | also `@yearly`, `@annually`, `@monthly`, `@weekly`, `@midnight` |
/// | `@every 1h30m10s` | an interval, counted from the Unix epoch in every process; parts of a second do not count, and one second is the least |
/// | `CRON_TZ=Asia/Shanghai 0 9 * * *` | in this zone, whatever the default (`TZ=` means the same) |
///
/// A field is `*`, a value, a range `1-5`, a step `*/5` or `10-30/5` or `10/5` (to the greatest value), or a list of these. `?` means
/// `*` in each field. Months and weekdays have names of three letters in any case; Sunday is 0 and 7. The day of the month may
/// be `L` (the last), `L-3` (three days before the last), `LW` (the last day from Monday to Friday) and `15W` (the day from Monday to
/// Friday that is nearest to the 15th); the day of the week may be `5L` (the last Friday) and `5#3` (the third Friday).
///
/// A range may wrap: `22-2` in the hour field is 22, 23, 0, 1 and 2. Each value belongs to the day on which it comes: `0 22-2 * * 1` is
/// Monday 00:00, 01:00, 02:00, 22:00 and 23:00. A step goes on counting around the end: `22-2/3` is 22 and 1. With a step that is greater
/// than its range, only the first value is left: `*/60` in the minute field is minute 0.
///
/// If both day fields are restricted, a day must match one of them. If one of them begins with `*` or `?`, the day must match both, as
/// crontab(5) has it.
///
/// # Where clocks are turned
///
/// An expression whose second, minute or hour has a `*`, a `?` or a step is an *interval*: it follows real time, so it fires both
/// times in an hour that comes twice, and never in an hour that is skipped. All other expressions are *fixed times*: however many of
/// them are in a skipped hour, they fire once, right after the gap; in an hour that comes twice they fire the first time only.
///
/// # Differences to other programs
///
/// *cronie* distinguishes the same two kinds, and
/// * takes only a field that begins with `*` for an interval: `10-30/5 2 * * *` is a fixed time there, an interval here;
/// * runs each of several fixed times in one gap: `0,30 2 * * *` runs twice after it, here once;
/// * takes a jump of three hours or more for a clock that was set, and does not make up for skipped times: the rules here hold for jumps
///   of any size, such as the day that Samoa skipped;
/// * knows `@reboot` and random values (`1~5`), which are errors here, but not seconds, `?`, `10/5`, wrapping ranges,
///   `L`, `W`, `#` and `@every`.
///
/// *robfig/cron* (version 3, for Go) reads the same expressions, except for `L`, `W`, `#`, wrapping ranges, 7 for Sunday and weeks or
/// days in `@every`, and
/// * takes days by either field if one of them is `*/2` or has another step above 1: here both must match;
/// * leaves out fixed times in a gap: here they run after it;
/// * counts `@every` from the start of the process: here from the Unix epoch, so that all nodes agree;
/// * goes by the machine's zone: here by UTC, unless the expression or the caller names another zone;
/// * takes empty entries of lists (`1,,2`), `@every` without a length or with a negative one, and expressions that never fire: these are
///   errors here.
///
/// ```
/// use gaia_actors::Schedule;
///
/// let schedule: Schedule = "CRON_TZ=Asia/Shanghai 0 9 * * mon-fri".parse()?;
/// let friday = "2026-01-02T09:30:00+08:00".parse()?;
/// let monday = schedule.next_after(friday).expect("there is always a Monday");
/// assert_eq!(monday.to_rfc3339(), "2026-01-05T01:00:00+00:00");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    text: Box<str>,
    zone: Zone,
    plan: Plan,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Plan {
    Every(Every),
    Times {
        calendar: Calendar,
        /// Neither second, minute nor hour is an interval, so the expression is fixed times.
        fixed: bool,
    },
}

/// How many fields an expression may have. Macros are always allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ScheduleForm {
    /// Five fields, or six from the second (the default).
    #[default]
    Any,
    /// Five fields, from the minute.
    FiveFields,
    /// Six fields, from the second.
    SixFields,
}

impl Schedule {
    /// Reads an expression of five or six fields or a macro, in UTC unless a prefix names another zone.
    ///
    /// # Errors
    /// [`ScheduleError`] names the part that cannot be read, and says how to write it; an expression that can never fire is an error, too.
    pub fn parse(expr: &str) -> Result<Self, ScheduleError> {
        Self::parse_in(expr, Zone::UTC, ScheduleForm::Any)
    }

    /// Reads an expression of this `form`, in this `zone` unless a prefix names another one.
    ///
    /// ```
    /// use gaia_actors::{Schedule, ScheduleForm, schedule::parse_zone};
    ///
    /// let zone = parse_zone("Europe/Paris")?;
    /// let schedule = Schedule::parse_in("0 30 2 * * *", zone.clone(), ScheduleForm::SixFields)?;
    /// assert_eq!(schedule.zone(), zone);
    /// # Ok::<(), gaia_actors::schedule::ScheduleError>(())
    /// ```
    ///
    /// # Errors
    /// As for [`parse`](Self::parse), and for a number of fields that `form` does not allow.
    pub fn parse_in(expr: &str, zone: Zone, form: ScheduleForm) -> Result<Self, ScheduleError> {
        let spec = parse::parse(expr, form)?;
        let plan = match spec.timing {
            Timing::Every(every) => Plan::Every(every),
            Timing::Fields(fields) => Plan::Times {
                fixed: ![&fields.second, &fields.minute, &fields.hour]
                    .iter()
                    .any(|field| field.interval),
                calendar: Calendar::new(&fields).ok_or_else(|| ScheduleError::NeverFires { text: expr.to_owned() })?,
            },
        };
        Ok(Self {
            text: expr.into(),
            zone: spec.zone.unwrap_or(zone),
            plan,
        })
    }

    /// The zone in whose local time the expression is read.
    #[must_use]
    pub fn zone(&self) -> Zone {
        self.zone.clone()
    }

    /// The first fire after `after`, on a whole second; never `after` itself. `None` after the year 9999.
    #[must_use]
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let after = after.timestamp().max(FIRST - 1);
        if after >= LAST {
            return None;
        }
        let fire = match &self.plan {
            Plan::Every(every) => every.next(after),
            Plan::Times { calendar, fixed } => {
                instants::next_after(&self.zone, *fixed, after, |local| calendar.next_from(local))?
            }
        };
        DateTime::from_timestamp(fire, 0).filter(|_| fire <= LAST)
    }

    /// Whether this schedule fires at exactly this instant. It fires on whole seconds only.
    #[must_use]
    pub fn contains(&self, at: DateTime<Utc>) -> bool {
        // `next_after` decides, so that both methods agree where clocks are turned.
        let before = at.checked_sub_signed(TimeDelta::seconds(1));
        before.and_then(|before| self.next_after(before)) == Some(at)
    }

    /// All fires after `after`, in order.
    pub fn iter_after(&self, after: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> + '_ {
        std::iter::successors(self.next_after(after), |fire| self.next_after(*fire))
    }

    /// One sentence that says when this schedule fires.
    ///
    /// ```
    /// use gaia_actors::{Schedule, schedule::Language};
    ///
    /// let schedule = Schedule::parse("0 0 1 * * *")?;
    /// assert_eq!(schedule.describe(Language::English), "At 01:00:00 every day");
    /// assert_eq!(schedule.describe(Language::Chinese), "每天 01:00:00");
    /// # Ok::<(), gaia_actors::schedule::ScheduleError>(())
    /// ```
    #[must_use]
    pub fn describe(&self, language: Language) -> String {
        // The fields are not kept in memory, as `next_after` does not need them: the text is parsed again.
        match parse::parse(&self.text, ScheduleForm::Any) {
            Ok(spec) => describe::describe(&spec.timing, &self.zone, language),
            Err(_) => self.text.to_string(),
        }
    }
}

/// The text that was parsed.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// As [`Schedule::parse`].
impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(expr: &str) -> Result<Self, ScheduleError> {
        Self::parse(expr)
    }
}
