//! The lines of one run: in memory until they are written, and as they are stored.
//!
//! A run is stored as one line of JSON: `{"run": log id, "lines": [[microseconds, level, target, message, left out], …]}`. Levels are
//! 1 (error) to 5 (trace). "Left out" is missing where nothing was.

use std::{
    collections::VecDeque,
    fmt::{self, Arguments},
    mem::take,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, Utc};
use log::Level;
use serde::Deserialize;

use super::{
    KeepLogs, LogLine,
    writer::{LogWriter, LoggedRun},
};
use crate::clock::Clock;

/// A longer message is cut.
const MESSAGE: usize = 8 << 10;

/// A longer target is cut.
const TARGET: usize = 256;

/// The lines of a run that is under way.
pub(crate) struct RunLines {
    /// The theme, or empty for a job.
    scope: Arc<str>,
    log_id: Arc<str>,
    keep: KeepLogs,
    clock: Clock,
    writer: LogWriter,
    state: Mutex<State>,
}

/// Lines are kept as JSON, with a comma before each but the first of `head`.
#[derive(Default)]
struct State {
    /// The first lines that are not written yet.
    head: String,
    /// How many lines, and how many bytes, went to `head` so far.
    head_lines: usize,
    head_bytes: usize,
    /// The last lines, once `head` is full.
    tail: VecDeque<String>,
    tail_bytes: usize,
    /// How many lines between `head` and `tail` were dropped.
    left_out: u64,
    /// The writer has the run on its list.
    is_listed: bool,
    has_ended: bool,
}

impl fmt::Debug for RunLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunLines")
            .field("log_id", &self.log_id)
            .finish_non_exhaustive()
    }
}

impl RunLines {
    pub(crate) fn new(scope: Arc<str>, log_id: Arc<str>, keep: KeepLogs, clock: Clock, writer: LogWriter) -> Arc<Self> {
        Arc::new(Self {
            scope,
            log_id,
            keep,
            clock,
            writer,
            state: Mutex::default(),
        })
    }

    pub(super) fn keeps(&self, level: Level) -> bool {
        level <= self.keep.level
    }

    /// Keeps a line. A run that has ended keeps no more.
    pub(super) fn note(self: &Arc<Self>, level: Level, target: &str, message: Arguments<'_>) {
        if !self.keeps(level) {
            return;
        }
        let Some(line) = stored(self.now().timestamp_micros(), level, target, message) else {
            return;
        };
        let mut state = self.state();
        if state.has_ended {
            return;
        }
        state.add(line, self.keep);
        let is_new = !std::mem::replace(&mut state.is_listed, true);
        drop(state);
        if is_new {
            self.writer.list(Arc::clone(self) as _);
        }
    }

    /// Ends the run, and takes the lines that are left.
    fn take_last(&self) -> Option<String> {
        let mut state = self.state();
        state.has_ended = true;
        let (mut lines, left_out) = (take(&mut state.head), state.left_out);
        for (place, mut line) in take(&mut state.tail).into_iter().enumerate() {
            if place == 0 && left_out > 0 {
                // The line ends with a bracket.
                line.truncate(line.len() - 1);
                line.extend([",", &left_out.to_string(), "]"]);
            }
            add(&mut lines, &line);
        }
        drop(state);
        (!lines.is_empty()).then(|| self.whole(&lines))
    }

    /// The run has ended: hands the lines that are left to the writer. `is_recorded`: a record of the run says when it ended.
    pub(crate) fn end(&self, ended_at: DateTime<Utc>, is_recorded: bool) {
        if let Some(text) = self.take_last() {
            self.writer.ended(self, ended_at, &text, is_recorded);
        }
    }

    fn whole(&self, lines: &str) -> String {
        // A log id is one of this crate's: digits and hyphens, which JSON need not escape.
        format!("{{\"run\":\"{}\",\"lines\":[{lines}]}}\n", self.log_id)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LoggedRun for RunLines {
    fn scope(&self) -> &Arc<str> {
        &self.scope
    }

    fn log_id(&self) -> &Arc<str> {
        &self.log_id
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    fn take_first(&self) -> Option<String> {
        let mut state = self.state();
        state.is_listed = false;
        match state.has_ended || state.head.is_empty() {
            true => None,
            false => Some(self.whole(&take(&mut state.head))),
        }
    }
}

impl State {
    /// The first half of the limits is for the head. Of the rest the last half stays.
    fn add(&mut self, line: String, keep: KeepLogs) {
        let (lines, bytes) = (keep.lines / 2, keep.bytes / 2);
        if self.head_lines < keep.lines - lines && self.head_bytes + line.len() <= bytes && self.tail.is_empty() {
            self.head_lines += 1;
            self.head_bytes += line.len();
            add(&mut self.head, &line);
            return;
        }
        self.tail_bytes += line.len();
        self.tail.push_back(line);
        while self.tail.len() > lines || (self.tail_bytes > bytes && self.tail.len() > 1) {
            let Some(dropped) = self.tail.pop_front() else {
                return;
            };
            self.tail_bytes -= dropped.len();
            self.left_out += 1;
        }
    }
}

fn add(lines: &mut String, line: &str) {
    if !lines.is_empty() {
        lines.push(',');
    }
    lines.push_str(line);
}

/// A line as JSON. A message whose `Display` fails makes no line.
fn stored(at: i64, level: Level, target: &str, message: Arguments<'_>) -> Option<String> {
    let (level, target) = (level as u8, cut(target, TARGET));
    let line = serde_json::to_string(&(at, level, target, message)).ok()?;
    // JSON is no shorter than the text.
    if line.len() <= MESSAGE {
        return Some(line);
    }
    let whole = message.to_string();
    let shown = cut(&whole, MESSAGE);
    if shown.len() == whole.len() {
        return Some(line);
    }
    serde_json::to_string(&(at, level, target, format!("{shown}…"))).ok()
}

/// The beginning of a text, at most so many bytes.
fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or_default()]
}

// ---- reading ----

#[derive(Deserialize)]
struct StoredRun {
    run: String,
    lines: Vec<StoredLine>,
}

#[derive(Deserialize)]
struct StoredLine(i64, u8, String, String, #[serde(default)] u64);

/// The lines of one run in a stored text, which may hold the lines of many runs.
pub(crate) fn read(log_id: &str, text: &str) -> Vec<LogLine> {
    let of_run = |line: &&str| {
        line.strip_prefix("{\"run\":\"")
            .is_some_and(|rest| rest.starts_with(log_id))
    };
    let runs = text.lines().filter(of_run);
    let runs = runs.filter_map(|line| serde_json::from_str::<StoredRun>(line).ok());
    runs.filter(|run| run.run == log_id)
        .flat_map(|run| run.lines)
        .filter_map(shown)
        .collect()
}

fn shown(StoredLine(at, level, target, message, left_out): StoredLine) -> Option<LogLine> {
    Some(LogLine {
        at: DateTime::from_timestamp_micros(at)?,
        level: Level::iter().nth(usize::from(level).checked_sub(1)?)?,
        target,
        message,
        left_out,
    })
}
