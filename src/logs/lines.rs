//! The lines of one run, in memory until they are written.

use std::{
    cell::Cell,
    collections::VecDeque,
    fmt::{self, Arguments, Write},
    mem::take,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, Utc};
use log::Level;

use super::{
    KeepLogs, MESSAGE, TARGET,
    stored::Lines,
    writer::{LogWriter, LoggedRun, Place},
};
use crate::clock::Clock;

thread_local! {
    /// Where messages are made: a handler that logs takes no new memory for each line.
    static DRAFT: Cell<Draft> = const { Cell::new(Draft { text: String::new(), is_cut: false }) };
}

/// The beginning of a message.
#[derive(Default)]
struct Draft {
    text: String,
    is_cut: bool,
}

/// What the runs of a theme, or of all jobs, have in common.
pub(crate) struct LogScope {
    /// The theme, or empty for jobs.
    name: Arc<str>,
    clock: Clock,
    writer: LogWriter,
}

/// The lines of a run that is under way.
pub(crate) struct RunLines {
    scope: Arc<LogScope>,
    log_id: Arc<str>,
    keep: KeepLogs,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The first lines that are not written yet.
    head: Lines,
    /// How many lines, and how many bytes, went to `head` so far.
    head_lines: usize,
    head_bytes: usize,
    /// The last lines, once `head` is full.
    tail: VecDeque<Line>,
    tail_bytes: usize,
    /// How many lines between `head` and `tail` were dropped.
    left_out: u64,
    /// Where the run stands in the list of the writer, if it has lines there.
    place: Option<Place>,
    has_ended: bool,
}

/// A line that may be dropped yet.
struct Line {
    micros: i64,
    level: Level,
    target: String,
    message: String,
}

impl fmt::Debug for RunLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunLines")
            .field("log_id", &self.log_id)
            .finish_non_exhaustive()
    }
}

impl LogScope {
    pub(crate) fn new(name: Arc<str>, clock: Clock, writer: LogWriter) -> Arc<Self> {
        Arc::new(Self { name, clock, writer })
    }

    /// The lines of a new run.
    pub(crate) fn begin(self: &Arc<Self>, log_id: Arc<str>, keep: KeepLogs) -> Arc<RunLines> {
        Arc::new(RunLines {
            scope: Arc::clone(self),
            log_id,
            keep,
            state: Mutex::default(),
        })
    }
}

impl RunLines {
    pub(super) fn keeps(&self, level: Level) -> bool {
        level <= self.keep.level
    }

    /// Keeps a line of a level that is kept, and gives its message to the function `then`. A run that has ended keeps no more, and a message
    /// whose `Display` fails makes no line.
    pub(super) fn note(
        self: &Arc<Self>,
        level: Level,
        target: &str,
        message: Arguments<'_>,
        then: impl FnOnce(Arguments<'_>),
    ) {
        // What is displayed, and the function, may log themselves: they find no draft then, and begin one. So this comes before the lock,
        // too.
        let mut draft = DRAFT.take();
        draft.text.clear();
        draft.is_cut = false;
        let is_made = draft.write_fmt(message).is_ok();
        if is_made {
            if draft.is_cut {
                draft.text.push('…');
            }
            self.keep(level, cut(target, TARGET), &draft.text);
        }
        match is_made && !draft.is_cut {
            true => then(format_args!("{}", draft.text)),
            false => then(message),
        }
        DRAFT.set(draft);
    }

    fn keep(self: &Arc<Self>, level: Level, target: &str, message: &str) {
        let micros = self.scope.clock.now_micros();
        let mut state = self.state();
        if state.has_ended {
            return;
        }
        state.add(micros, level, target, message, self.keep);
        if state.place.is_none() {
            // The writer never takes the lock of a run while it holds its lock.
            state.place = Some(self.scope.writer.list(Arc::clone(self) as _));
        }
    }

    /// Ends the run, and takes the lines that are left.
    fn take_last(&self) -> (Lines, Option<Place>) {
        let mut state = self.state();
        state.has_ended = true;
        let mut lines = take(&mut state.head);
        let mut left_out = take(&mut state.left_out);
        for line in take(&mut state.tail) {
            lines.add(
                line.micros,
                line.level,
                &line.target,
                &line.message,
                take(&mut left_out),
            );
        }
        (lines, state.place.take())
    }

    /// The run has ended: hands the lines that are left to the writer. `is_recorded`: a record of the run says when it ended.
    pub(crate) fn end(&self, ended_at: DateTime<Utc>, is_recorded: bool) {
        let (lines, place) = self.take_last();
        self.scope.writer.ended(self, place, ended_at, &lines, is_recorded);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LoggedRun for RunLines {
    fn scope(&self) -> &Arc<str> {
        &self.scope.name
    }

    fn log_id(&self) -> &Arc<str> {
        &self.log_id
    }

    fn now(&self) -> DateTime<Utc> {
        self.scope.clock.now()
    }

    fn take_first(&self) -> Lines {
        let mut state = self.state();
        if state.has_ended {
            // The end takes all that is left.
            return Lines::default();
        }
        state.place = None;
        take(&mut state.head)
    }
}

impl State {
    /// The first half of the limits is for the head. Of the rest the last half stays.
    fn add(&mut self, micros: i64, level: Level, target: &str, message: &str, keep: KeepLogs) {
        let (lines, bytes) = (keep.lines / 2, keep.bytes / 2);
        let more = size(target, message);
        if self.head_lines < keep.lines - lines && self.head_bytes + more <= bytes && self.tail.is_empty() {
            self.head_lines += 1;
            self.head_bytes += more;
            self.head.add(micros, level, target, message, 0);
            return;
        }
        self.tail_bytes += more;
        self.tail.push_back(Line {
            micros,
            level,
            target: target.to_owned(),
            message: message.to_owned(),
        });
        while self.tail.len() > lines || (self.tail_bytes > bytes && self.tail.len() > 1) {
            let Some(dropped) = self.tail.pop_front() else {
                return;
            };
            self.tail_bytes -= size(&dropped.target, &dropped.message);
            self.left_out += 1;
        }
    }
}

/// What a line counts for. Its time, its level and the lengths of its texts take a few bytes where it is stored.
fn size(target: &str, message: &str) -> usize {
    const FIXED: usize = 12;
    FIXED + target.len() + message.len()
}

impl Write for Draft {
    /// Takes what there is room for: a message of a gigabyte is never made.
    fn write_str(&mut self, more: &str) -> fmt::Result {
        if !self.is_cut {
            let kept = cut(more, MESSAGE - self.text.len());
            self.text.push_str(kept);
            self.is_cut = kept.len() < more.len();
        }
        Ok(())
    }
}

/// The beginning of a text, at most so many bytes.
fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or_default()]
}
