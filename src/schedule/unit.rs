//! The six units of time, one for each field.

use crate::config::nearest;

/// What a field counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Month,
    Weekday,
}

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const LONG_MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const LONG_WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

impl Unit {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day-of-month",
            Self::Month => "month",
            Self::Weekday => "day-of-week",
        }
    }

    /// The word for the things that [`names`](Self::names) lists.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Weekday => "weekday",
            _ => self.name(),
        }
    }

    pub(super) fn min(self) -> u32 {
        match self {
            Self::Day | Self::Month => 1,
            _ => 0,
        }
    }

    /// The greatest number that an expression may have.
    pub(super) fn max(self) -> u32 {
        match self {
            Self::Second | Self::Minute => 59,
            Self::Hour => 23,
            Self::Day => 31,
            Self::Month => 12,
            Self::Weekday => 7,
        }
    }

    /// The greatest value. Of weekdays it is Saturday, though an expression may write Sunday as 7.
    pub(super) fn last(self) -> u32 {
        match self {
            Self::Weekday => 6,
            _ => self.max(),
        }
    }

    /// The allowed numbers, for an error text.
    pub(super) fn range(self) -> String {
        format!("{}-{}", self.min(), self.max())
    }

    pub(super) fn hint(self) -> &'static str {
        match self {
            Self::Second => "the full minute is second 0",
            Self::Minute => "the full hour is minute 0",
            Self::Hour => "midnight is hour 0",
            Self::Day => "days begin with 1, and the last of every month is L",
            Self::Month => "or a name JAN-DEC",
            Self::Weekday => "0 and 7 are Sunday, or a name SUN-SAT",
        }
    }

    pub(super) fn names(self) -> &'static [&'static str] {
        match self {
            Self::Month => &MONTHS,
            Self::Weekday => &WEEKDAYS,
            _ => &[],
        }
    }

    /// The names in full, from the least value.
    pub(super) fn long_names(self) -> &'static [&'static str] {
        match self {
            Self::Month => &LONG_MONTHS,
            Self::Weekday => &LONG_WEEKDAYS,
            _ => &[],
        }
    }

    /// The short name of the value whose short or full name is most like this mistyped text.
    pub(super) fn nearest(self, text: &str) -> Option<&'static str> {
        let (short, long) = (self.names(), self.long_names());
        let near = nearest(text, &[short, long].concat())?;
        let at = long.iter().position(|name| *name == near);
        Some(at.and_then(|at| short.get(at)).copied().unwrap_or(near))
    }

    /// The value with this short name, in any case.
    pub(super) fn named(self, text: &str) -> Option<u32> {
        let at = self.names().iter().position(|name| name.eq_ignore_ascii_case(text))?;
        u32::try_from(at).ok().map(|at| at + self.min())
    }

    /// The bits of all values.
    pub(super) fn full(self) -> u64 {
        (self.min()..=self.last()).fold(0, |mask, value| mask | 1 << value)
    }

    /// Moves the bit of Sunday from 7 to 0.
    pub(super) fn fold(self, mask: u64) -> u64 {
        match self {
            Self::Weekday => (mask | mask >> 7) & self.full(),
            _ => mask,
        }
    }
}
