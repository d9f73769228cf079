//! The six units of time that fields are about.

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

    /// What the names of [`names`](Self::names) name.
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

    /// The greatest number that may be written.
    pub(super) fn max(self) -> u32 {
        match self {
            Self::Second | Self::Minute => 59,
            Self::Hour => 23,
            Self::Day => 31,
            Self::Month => 12,
            Self::Weekday => 7,
        }
    }

    /// The greatest value: a week ends with Saturday, though Sunday may be written as 7.
    pub(super) fn last(self) -> u32 {
        match self {
            Self::Weekday => 6,
            _ => self.max(),
        }
    }

    /// Greater steps than this could only mean the first value.
    pub(super) fn max_step(self) -> u32 {
        self.max()
    }

    /// The allowed numbers, for people.
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

    /// What to write instead of a step that is too great.
    pub(super) fn long_step_hint(self) -> &'static str {
        match self {
            Self::Second => "a longer interval is written as @every, such as @every 90s",
            Self::Minute => "a longer interval is written as @every, such as @every 90m",
            Self::Hour => "a longer interval is written as @every, such as @every 36h",
            Self::Day | Self::Month | Self::Weekday => "a greater one would match the first value only",
        }
    }

    pub(super) fn names(self) -> &'static [&'static str] {
        match self {
            Self::Month => &MONTHS,
            Self::Weekday => &WEEKDAYS,
            _ => &[],
        }
    }

    /// The value that a name in any case stands for.
    pub(super) fn named(self, text: &str) -> Option<u32> {
        let at = self.names().iter().position(|name| name.eq_ignore_ascii_case(text))?;
        u32::try_from(at).ok().map(|at| at + self.min())
    }

    /// The bits of all values.
    pub(super) fn full(self) -> u64 {
        (self.min()..=self.last()).fold(0, |mask, value| mask | 1 << value)
    }

    /// Sunday as 7 becomes Sunday as 0.
    pub(super) fn fold(self, mask: u64) -> u64 {
        match self {
            Self::Weekday => (mask | mask >> 7) & self.full(),
            _ => mask,
        }
    }
}
