//! Why an expression was refused.

/// Why a cron expression or a time zone was refused. The message names the field, the text in it, the allowed values, and how to
/// write them.
///
/// ```
/// use gaia_actors::Schedule;
///
/// let error = Schedule::parse("60 * * * *").expect_err("an hour has no minute 60");
/// assert_eq!(
///     error.to_string(),
///     "minute field \"60\": 60 is out of range 0-59; the full hour is minute 0"
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// The expression has nothing but blanks, or nothing after the time zone.
    #[error(
        "the cron expression is empty; write five fields such as \"0 0 * * *\", six with seconds first, or a macro such as @daily"
    )]
    Empty,
    /// The expression is longer than [`MAX_SCHEDULE_CHARS`](crate::schedule::MAX_SCHEDULE_CHARS).
    #[error(
        "the cron expression has {chars} characters, at most {max} are allowed; divide it into several schedules",
        max = super::words::MAX_SCHEDULE_CHARS
    )]
    TooLong {
        /// Characters that were found.
        chars: usize,
    },
    /// The expression has neither five nor six fields, or not the number that its [`ScheduleForm`](crate::ScheduleForm) allows.
    #[error("cron expression {text:?} has {found}, expected {expected}")]
    FieldCount {
        /// The fields, without a time zone.
        text: String,
        /// The number of fields, such as `4 fields`.
        found: String,
        /// The number that is allowed, and a hint how to get it.
        expected: String,
    },
    /// One field cannot be read.
    #[error("{field} field {text:?}: {fault}")]
    Field {
        /// `second`, `minute`, `hour`, `day-of-month`, `month` or `day-of-week`.
        field: &'static str,
        /// The whole field.
        text: String,
        /// The fault in it, and a hint.
        fault: String,
    },
    /// An expression with `@` that is none of the macros.
    #[error("unknown macro {text:?}{}; an interval is written as @every 30s", near_macro(*nearest))]
    UnknownMacro {
        /// The text that was written.
        text: String,
        /// The macro most like that text, if one is like it.
        nearest: Option<&'static str>,
    },
    /// `@every` with a duration that cannot be read or used.
    #[error("@every {text:?}: {fault}; write an interval such as 30s, 5m or 1h30m10s")]
    Every {
        /// The duration.
        text: String,
        /// The fault in it.
        fault: String,
    },
    /// A name that the time zone database does not have.
    #[error("unknown time zone {name:?}{}; names are those of the IANA database", near_zone(*nearest))]
    UnknownZone {
        /// The text that was written.
        name: String,
        /// The zone most like that name, if one is like it.
        nearest: Option<&'static str>,
    },
    /// The name of the zone is longer than [`MAX_ZONE_CHARS`](crate::schedule::MAX_ZONE_CHARS).
    #[error(
        "the name of the time zone has {chars} characters, at most {max} are allowed; names are those of the IANA database, \
         such as Asia/Shanghai",
        max = super::words::MAX_ZONE_CHARS
    )]
    ZoneTooLong {
        /// Characters that were found.
        chars: usize,
    },
    /// No date can ever match, such as 30 February.
    #[error(
        "cron expression {text:?} never fires: no date has its days in its months; check day-of-month, month and day-of-week"
    )]
    NeverFires {
        /// The expression.
        text: String,
    },
}

fn near_macro(nearest: Option<&str>) -> String {
    match nearest {
        Some(nearest) => format!(", the nearest known is {nearest}"),
        None => format!("; known are {}", super::words::known_macros().join(", ")),
    }
}

fn near_zone(nearest: Option<&str>) -> String {
    match nearest {
        Some(nearest) => format!(", the nearest known is {nearest:?}"),
        None => String::new(),
    }
}
