//! Errors of tasks in groups: those that differ in numbers, ids and quoted parts alone are one error.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    TaskStatus, TaskSummary,
    search::{Excerpt, SearchedTo, TaskFilter},
    text_enum::text_enum,
    validate::{Faults, InvalidInput, MAX_THEME_CHARS},
};

/// The most groups of one answer.
const MAX_GROUPS: u32 = 200;

/// The most groups that are kept while tasks are counted.
const MAX_KEPT: usize = 5_000;

/// How many ids of tasks a group shows.
const NEWEST: usize = 3;

/// Stands for a part in which errors of one group differ.
const GAP: char = '…';

/// How many characters of an error tell groups apart. It is less than an excerpt has, so that the place where an excerpt was cut does not
/// matter.
const TOLD_APART: usize = 160;

/// The fewest digits of a hexadecimal id without `0x` before it.
const HEX_DIGITS: usize = 6;

text_enum! {
    /// How far back errors are grouped.
    #[derive(Default)]
    ErrorsSince, "time" {
        /// The last hour.
        Hour = "1h",
        /// The last 24 hours.
        #[default]
        Day = "24h",
        /// The last seven days.
        Week = "7d",
    }
}

impl ErrorsSince {
    pub(crate) const fn length(self) -> TimeDelta {
        match self {
            Self::Hour => TimeDelta::hours(1),
            Self::Day => TimeDelta::hours(24),
            Self::Week => TimeDelta::days(7),
        }
    }
}

text_enum! {
    /// The errors of which attempts are grouped.
    #[derive(Default)]
    ErrorAttempts, "attempts" {
        /// The last attempt of each task that has failed, or waits for another attempt.
        #[default]
        Last = "last",
        /// Each attempt that has failed, also of tasks that have succeeded since.
        All = "all",
    }
}

/// Which errors to group: those of the tasks of a theme that have failed, or wait for another attempt; or those of all attempts that have
/// failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetErrors {
    /// The theme.
    pub theme: String,
    /// Only runs that have ended since then. JSON may leave it out: then the last 24 hours.
    #[serde(default)]
    pub since: ErrorsSince,
    /// Which attempts count. JSON may leave it out: then the last one of each task.
    #[serde(default)]
    pub attempts: ErrorAttempts,
    /// The most groups of the answer, 1 to 200. JSON may leave it out: then 50.
    #[serde(default = "groups")]
    pub limit: u32,
}

const fn groups() -> u32 {
    50
}

impl GetErrors {
    /// Of the last 24 hours, and at most 50 groups.
    #[must_use]
    pub fn new(theme: impl Into<String>) -> Self {
        Self {
            theme: theme.into(),
            since: ErrorsSince::default(),
            attempts: ErrorAttempts::default(),
            limit: groups(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), InvalidInput> {
        let mut faults = Faults::default();
        faults.name("theme", &self.theme, MAX_THEME_CHARS);
        faults.require((1..=MAX_GROUPS).contains(&self.limit), || {
            format!("limit is {}, expected 1 to {MAX_GROUPS}", self.limit)
        });
        faults.into_result()
    }

    /// Only runs that have ended at or after this time. `None`: before all times.
    pub(crate) fn from(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        now.checked_sub_signed(self.since.length())
    }

    pub(crate) fn filter(&self, now: DateTime<Utc>) -> TaskFilter {
        TaskFilter {
            themes: vec![self.theme.clone()],
            statuses: vec![TaskStatus::Failed, TaskStatus::Retry],
            ended_from: self.from(now),
            ..TaskFilter::default()
        }
    }
}

/// The errors of a theme, in groups.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskErrors {
    /// The groups, those with the most attempts first.
    pub groups: Vec<ErrorGroup>,
    /// How many tasks were read, in all groups and beyond the limit.
    pub tasks: u64,
    /// How many groups there are beyond the limit.
    pub more_groups: u64,
    /// Reading has taken half a second and was ended: it has looked at all tasks that were added since this task. `None`: it has looked at
    /// all tasks.
    pub searched_back_to: Option<SearchedTo>,
}

/// The same error of one method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct ErrorGroup {
    /// The service that the tasks call.
    pub service: String,
    /// The method that the tasks call.
    pub method: String,
    /// The beginning of the error, in which `…` stands for numbers, ids and quoted parts. Empty: the tasks have no error text.
    pub error: String,
    /// How many attempts have failed with it. If only the last attempt of each task counts, these are as many as the tasks.
    pub attempts: u64,
    /// How many tasks have it, as their last error or as that of an attempt that counts.
    pub tasks: u64,
    /// How many of these have succeeded since, with a later attempt.
    pub succeeded: u64,
    /// How many of these wait for another attempt.
    pub retrying: u64,
    /// When the earliest of these runs ended.
    pub first: Option<DateTime<Utc>>,
    /// When the latest of these runs ended.
    pub last: Option<DateTime<Utc>>,
    /// The ids of the three tasks that were added last, the newest first.
    #[cfg_attr(feature = "web", schema(max_items = 3))]
    pub newest: Vec<i64>,
    /// The error of the newest task.
    pub sample: Option<Excerpt>,
}

/// An attempt that has failed.
#[derive(Debug)]
pub(crate) struct FailedAttempt {
    pub(crate) task: i64,
    pub(crate) service: String,
    pub(crate) method: String,
    /// The status that its task has now.
    pub(crate) status: TaskStatus,
    pub(crate) ended: Option<DateTime<Utc>>,
    pub(crate) error: Option<Excerpt>,
}

/// The last one.
impl From<TaskSummary> for FailedAttempt {
    fn from(task: TaskSummary) -> Self {
        Self {
            task: task.id,
            service: task.service,
            method: task.method,
            status: task.status,
            ended: task.last_run_end_time,
            error: task.last_error,
        }
    }
}

/// Groups while attempts are read: those of the newest task first, and those of a task together.
#[derive(Debug, Default)]
pub(crate) struct ErrorGroups {
    groups: BTreeMap<(String, String, String), Group>,
    tasks: u64,
    /// The task of the attempt that was read last.
    last_task: Option<i64>,
}

#[derive(Debug)]
struct Group {
    group: ErrorGroup,
    last_task: Option<i64>,
}

impl ErrorGroups {
    pub(crate) fn take(&mut self, attempt: FailedAttempt) {
        self.tasks += u64::from(self.last_task.replace(attempt.task) != Some(attempt.task));
        let error = attempt.error.as_ref().map(shape).unwrap_or_default();
        let key = (attempt.service, attempt.method, error);
        if !self.groups.contains_key(&key) && self.groups.len() >= MAX_KEPT {
            return;
        }
        let Group { group, last_task } = self
            .groups
            .entry(key)
            .or_insert_with_key(|(service, method, error)| Group {
                group: ErrorGroup {
                    service: service.clone(),
                    method: method.clone(),
                    error: error.clone(),
                    attempts: 0,
                    tasks: 0,
                    succeeded: 0,
                    retrying: 0,
                    first: None,
                    last: None,
                    newest: Vec::with_capacity(NEWEST),
                    sample: attempt.error,
                },
                last_task: None,
            });
        group.attempts += 1;
        // No time is less than any time.
        group.first = group.first.into_iter().chain(attempt.ended).min();
        group.last = group.last.max(attempt.ended);
        if last_task.replace(attempt.task) == Some(attempt.task) {
            return;
        }
        group.tasks += 1;
        group.succeeded += u64::from(attempt.status == TaskStatus::Success);
        group.retrying += u64::from(attempt.status == TaskStatus::Retry);
        if group.newest.len() < NEWEST {
            group.newest.push(attempt.task);
        }
    }

    pub(crate) fn into_errors(self, limit: u32, searched_back_to: Option<SearchedTo>) -> TaskErrors {
        let mut groups: Vec<ErrorGroup> = self.groups.into_values().map(|group| group.group).collect();
        groups.sort_by_key(|group| std::cmp::Reverse((group.attempts, group.last)));
        let all = groups.len();
        groups.truncate(limit as usize);
        TaskErrors {
            more_groups: (all - groups.len()) as u64,
            groups,
            tasks: self.tasks,
            searched_back_to,
        }
    }
}

/// An error without the parts in which errors of one group differ.
fn shape(error: &Excerpt) -> String {
    let mut shape = String::new();
    let mut rest = error.text.as_str();
    let mut before = ' ';
    while let Some(char) = rest.chars().next() {
        let gap = gap(rest, before, error.is_cut());
        let taken = gap.unwrap_or(char.len_utf8());
        match gap {
            Some(_) => shape.push(GAP),
            None => shape.push(char),
        }
        before = rest[..taken].chars().next_back().unwrap_or(char);
        rest = &rest[taken..];
    }
    match shape.char_indices().nth(TOLD_APART) {
        Some((end, _)) => shape[..end].to_owned(),
        None => shape,
    }
}

/// How many bytes at the beginning of a text differ from error to error. `before` is the character before them.
fn gap(text: &str, before: char, is_cut: bool) -> Option<usize> {
    let first = text.chars().next()?;
    match first {
        '"' | '`' => quoted(text, first, is_cut),
        // An apostrophe inside of a word is no quote.
        '\'' if !before.is_alphanumeric() => quoted(text, first, is_cut),
        _ if before.is_ascii_alphanumeric() => number(text),
        _ => id(text).or_else(|| number(text)),
    }
}

/// A part in quotes. A quote without an end is one only where the text was cut.
fn quoted(text: &str, quote: char, is_cut: bool) -> Option<usize> {
    let inside = &text[quote.len_utf8()..];
    let end = inside.match_indices(quote).map(|(at, _)| at).find(|at| {
        let behind = inside[at + quote.len_utf8()..].chars().next();
        quote != '\'' || !behind.is_some_and(char::is_alphanumeric)
    });
    match end {
        Some(end) => Some(end + 2 * quote.len_utf8()),
        None => is_cut.then_some(text.len()),
    }
}

/// A UUID or a hexadecimal number at the beginning of a word.
fn id(text: &str) -> Option<usize> {
    const UUID: usize = 36;
    if text.get(..UUID).is_some_and(|text| Uuid::try_parse(text).is_ok()) {
        return Some(UUID);
    }
    let digits = |text: &str| text.len() - text.trim_start_matches(|char: char| char.is_ascii_hexdigit()).len();
    if let Some(behind) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        let length = digits(behind);
        return (length > 0).then_some(length + 2);
    }
    let length = digits(text);
    let word = &text[..length];
    let is_whole = !text[length..].starts_with(|char: char| char.is_alphanumeric() || char == '_');
    let is_id = length >= HEX_DIGITS && is_whole && word.bytes().any(|byte| byte.is_ascii_digit());
    is_id.then_some(length)
}

/// Digits, with points, commas and colons between them: a number, an address, a time of day.
fn number(text: &str) -> Option<usize> {
    let end = text
        .find(|char: char| !char.is_ascii_digit() && !matches!(char, '.' | ',' | ':'))
        .unwrap_or(text.len());
    let digits = text[..end].trim_end_matches(['.', ',', ':']);
    (digits.starts_with(|char: char| char.is_ascii_digit())).then_some(digits.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excerpt(text: &str, bytes: usize) -> Excerpt {
        Excerpt {
            text: text.to_owned(),
            bytes: i64::try_from(bytes).expect("fits"),
        }
    }

    #[test]
    fn parts_that_differ_are_left_out() {
        for (error, expected) in [
            ("", ""),
            ("no number in it", "no number in it"),
            ("order 17 is gone, after 3.5 s.", "order … is gone, after … s."),
            ("connection refused (10.0.0.1:5432)", "connection refused (…)"),
            ("order17 of E0277", "order… of E…"),
            ("user 550e8400-e29b-41d4-a716-446655440000 unknown", "user … unknown"),
            ("user aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee: unknown", "user …: unknown"),
            ("commit 4e82f03a, at 0xFF, 0xdeadbeef", "commit …, at …, …"),
            ("the facade defaced", "the facade defaced"),
            ("key \"a b\" of 'c' and `d 1`", "key … of … and …"),
            ("can't open 'it's here' or don't", "can't open … or don't"),
            ("a \"quote without an end", "a \"quote without an end"),
            ("订单 17 不存在：“甲”", "订单 … 不存在：“甲”"),
            ("-5 and 1,000,000 at 12:30:59.", "-… and … at …."),
            ("line\n7", "line\n…"),
        ] {
            assert_eq!(shape(&excerpt(error, error.len())), expected);
        }
        assert_eq!(shape(&excerpt("a \"quote that was cu", 1_000)), "a …");
        assert_eq!(shape(&excerpt(&"é".repeat(256), 512)).chars().count(), TOLD_APART);
    }
}
