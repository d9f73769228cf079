//! Which local times match. The crate saffron finds the matching minutes; this file spells the fields for it, and works around its faults.
//!
//! saffron reckons in UTC. This file gives it local times as if they were UTC; [`instants`](super::instants) makes instants of them.
//! Facts of saffron 0.1.0 that shape this file:
//!
//! * In saffron, day-of-week 1 is Sunday and 0 is an error: this file writes weekdays as names.
//! * A wrapping range matches a value too many (`22-2` has hour 21): this file writes ranges in order.
//! * `L`, `W` and `#` cannot stand in lists: each gets a separate rule.
//! * saffron joins two restricted day fields by "or" even if one begins with `*`, where crontab(5) says "and": see [`Keep`].
//! * `31W` fires on Friday the 30th in a month of 30 days if the next day is a Saturday: [`Keep`] leaves such months out.
//! * saffron searches 260,000 years for a day that never comes: this file never gives it a rule that cannot fire.

use std::fmt::Write;

use chrono::{DateTime, Datelike, Days, NaiveDate, Utc};
use saffron::Cron;

use super::{
    field::{Entry, Field},
    parse::Fields,
    seconds::Seconds,
    spell::spell,
    unit::Unit,
};

const MINUTE: i64 = 60;

/// 2000-01-01, a Saturday. A rule that can fire does so in the 28 years from then, which hold each of the fourteen kinds of year.
const ALL_YEARS_FROM: i64 = 946_684_800;

/// 29 February on one certain weekday may take forty years, where a century is no leap year.
const LONGEST_WAIT: Days = Days::new(41 * 366);

/// The greatest number of days that each month can have.
const MONTH_DAYS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// All local times of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Calendar {
    seconds: Seconds,
    /// A minute matches if one of the rules matches it.
    rules: Box<[Rule]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    cron: Cron,
    keep: Option<Keep>,
}

/// Conditions of a matching day that saffron does not check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Keep {
    /// Days of the month, as bits.
    days: u64,
    /// Weekdays from Sunday, as bits.
    weekdays: u64,
    /// The least number of days that the month must have.
    month: u32,
}

impl Calendar {
    /// `None` if no date can match.
    pub(super) fn new(fields: &Fields) -> Option<Self> {
        let rules = rules(fields);
        (!rules.is_empty()).then(|| Self {
            seconds: Seconds::new(fields.second.mask()),
            rules: rules.into_boxed_slice(),
        })
    }

    /// The first matching second that is not before `local`. Both are local times, in seconds since the epoch as if they were UTC.
    pub(super) fn next_from(&self, local: i64) -> Option<i64> {
        let second = local.rem_euclid(MINUTE);
        let minute = local - second;
        match self.seconds.from(second) {
            // One question to saffron is enough: `second` of this minute counts only if the minute matches.
            Some(second) => {
                let fire = self.next_minute(minute)?;
                Some(if fire == minute {
                    minute + second
                } else {
                    fire + self.seconds.first()
                })
            }
            None => Some(self.next_minute(minute + MINUTE)? + self.seconds.first()),
        }
    }

    fn next_minute(&self, from: i64) -> Option<i64> {
        let from = DateTime::from_timestamp(from, 0)?;
        let fires = self.rules.iter().filter_map(|rule| rule.next_from(from));
        fires.min().map(|fire| fire.timestamp())
    }
}

impl Rule {
    fn next_from(&self, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let fire = self.cron.next_from(from)?;
        match self.keep {
            None => Some(fire),
            Some(keep) => self.next_kept(keep, fire),
        }
    }

    /// The first fire that is not before `fire` and whose day meets `keep`.
    fn next_kept(&self, keep: Keep, mut fire: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let end = fire.checked_add_days(LONGEST_WAIT)?;
        while fire < end {
            let date = fire.date_naive();
            if keep.has(date) {
                return Some(fire);
            }
            let tomorrow = date.succ_opt()?.and_hms_opt(0, 0, 0)?;
            fire = self.cron.next_from(tomorrow.and_utc())?;
        }
        None
    }
}

impl Keep {
    const ALL: Self = Self {
        days: u64::MAX,
        weekdays: u64::MAX,
        month: 0,
    };

    fn has(self, date: NaiveDate) -> bool {
        let weekday = date.weekday().num_days_from_sunday();
        self.days >> date.day() & 1 == 1
            && self.weekdays >> weekday & 1 == 1
            && u32::from(date.num_days_in_month()) >= self.month
    }
}

/// One rule for all plain values of a day field, and one for each `L`, `W` or `#`.
fn rules(fields: &Fields) -> Vec<Rule> {
    let (day, weekday) = (&fields.day, &fields.weekday);
    let days = |keep| parts(day).map(move |part| rule(fields, &part, &Part::ANY, keep));
    let weekdays = |keep| parts(weekday).map(move |part| rule(fields, &Part::ANY, &part, keep));
    let rules: Vec<_> = match (day.is_any(), weekday.is_any()) {
        (true, true) => vec![rule(fields, &Part::ANY, &Part::ANY, Keep::ALL)],
        (true, false) => weekdays(Keep::ALL).collect(),
        (false, true) => days(Keep::ALL).collect(),
        (false, false) if day.starred => {
            let days = day.mask();
            weekdays(Keep { days, ..Keep::ALL }).collect()
        }
        (false, false) if weekday.starred => {
            let weekdays = weekday.mask();
            days(Keep { weekdays, ..Keep::ALL }).collect()
        }
        (false, false) => days(Keep::ALL).chain(weekdays(Keep::ALL)).collect(),
    };
    rules.into_iter().flatten().collect()
}

/// The part of a day field that saffron can read as one field.
#[derive(Debug, Clone, Copy)]
enum Part {
    Values(u64),
    Special(Entry),
}

impl Part {
    /// `*`: the other day field alone decides.
    const ANY: Self = Self::Values(u64::MAX);

    /// A month with fewer days than this has no day of this part.
    fn least_day(self) -> u32 {
        match self {
            Self::Values(mask) => mask.trailing_zeros(),
            Self::Special(Entry::Last { before }) => before + 1,
            Self::Special(Entry::Workday { day }) => day,
            Self::Special(_) => 1,
        }
    }
}

fn parts(field: &Field) -> impl Iterator<Item = Part> {
    let mask = field.mask();
    let values = (mask != 0).then_some(Part::Values(mask));
    values.into_iter().chain(field.specials().map(Part::Special))
}

/// `None` if the rule can never fire.
fn rule(fields: &Fields, day: &Part, weekday: &Part, keep: Keep) -> Option<Rule> {
    let months = fields.month.mask();
    let longest = (1..=12).zip(MONTH_DAYS).filter(|(month, _)| months >> month & 1 == 1);
    let longest = longest.map(|(_, days)| days).max()?;
    if day.least_day() > longest {
        return None;
    }
    let month = match day {
        Part::Special(Entry::Workday { day }) => *day,
        _ => 0,
    };
    let keep = Keep { month, ..keep };
    let rule = Rule {
        cron: clean_fields(fields, *day, *weekday).parse().ok()?,
        keep: (keep != Keep::ALL).then_some(keep),
    };
    let first = rule.next_from(DateTime::from_timestamp(ALL_YEARS_FROM, 0)?);
    first.map(|_| rule)
}

/// The five fields as saffron reads them.
fn clean_fields(fields: &Fields, day: Part, weekday: Part) -> String {
    let mut text = String::with_capacity(64);
    spell(&mut text, Unit::Minute, fields.minute.mask());
    text.push(' ');
    spell(&mut text, Unit::Hour, fields.hour.mask());
    text.push(' ');
    spell_part(&mut text, Unit::Day, day);
    text.push(' ');
    spell(&mut text, Unit::Month, fields.month.mask());
    text.push(' ');
    spell_part(&mut text, Unit::Weekday, weekday);
    text
}

fn spell_part(text: &mut String, unit: Unit, part: Part) {
    let entry = match part {
        Part::Values(mask) => return spell(text, unit, mask),
        Part::Special(entry) => entry,
    };
    let name = |weekday: u32| unit.names().get(weekday as usize).copied().unwrap_or_default();
    // Writing to a String cannot fail.
    let _ = match entry {
        Entry::Last { before: 0 } => write!(text, "L"),
        Entry::Last { before } => write!(text, "L-{before}"),
        Entry::LastWorkday => write!(text, "LW"),
        Entry::Workday { day } => write!(text, "{day}W"),
        Entry::LastOf { weekday } => write!(text, "{}L", name(weekday)),
        Entry::Nth { weekday, nth } => write!(text, "{}#{nth}", name(weekday)),
        Entry::All { .. } | Entry::Range { .. } => write!(text, "*"),
    };
}
