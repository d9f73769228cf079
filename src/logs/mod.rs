//! The lines that handlers log while they serve a run: their log ids, and how they are kept with the run.
//!
//! The application's logger goes into a [`LogCapture`]. [`LogCapture::with_log_ids`] has each line of a run end with the run's log id, by
//! which the line is found beside the lines of this crate and the run's record. By `tracing` the span of a run has it as a field.
//!
//! Lines are kept if a scheduler or the runner of jobs gets the option to [keep logs](crate::SchedulerOptions::keep_logs). Operators read
//! them by [`Admin::task_log`](crate::Admin::task_log), the HTTP API and the dashboard, also while the run goes on.
//!
//! Lines belong to a run if they are logged by its handler or by a layer: by the future of an async function wherever it is polled, by a blocking
//! function on its thread. Code that a handler spawns, and actors that are handlers, put their futures into
//! [`TaskContext::log_scope`](crate::TaskContext::log_scope).
//!
//! Lines are written in batches beside the outcomes, within a second and a half. A process that is killed loses the lines since its last
//! write; an outcome never waits for lines, and is never lost because of them.

mod capture;
mod lines;
mod scope;
mod stored;
#[cfg(feature = "tracing")]
mod tracing;
mod writer;

use chrono::{DateTime, Utc};
use log::{Level, LevelFilter};
use serde::{Deserialize, Serialize};

#[cfg(feature = "tracing")]
pub use self::tracing::CaptureLayer;
#[cfg(feature = "web")]
pub(crate) use self::writer::row_of;
pub use self::{capture::LogCapture, scope::current_log_id};
pub(crate) use self::{
    lines::{LogScope, RunLines},
    scope::{ServedRun, within, within_sync},
    stored::{LONGEST_ROW, read},
    writer::{LogRow, LogWriter, PACK_SPAN},
};
use crate::domain::Faults;

/// The scope of the lines of jobs, in the table. No theme has this name.
pub(crate) const JOBS: &str = "";

const LINES: usize = 1_000;
const BYTES: usize = 64 << 10;

/// The most that may be asked for: a run's lines are in memory until they are written.
pub(crate) const MOST_LINES: usize = 100_000;
const MOST_BYTES: usize = 4 << 20;

/// A longer message is cut.
const MESSAGE: usize = 8 << 10;

/// A longer target is cut.
const TARGET: usize = 256;

/// Which lines of each run are kept, and how many.
///
/// Of a run that logs more, the first half of the lines and the last half stay; the line after the gap says how many were left out.
///
/// ```
/// use gaia_actors::{SchedulerOptions, logs::KeepLogs};
/// use log::LevelFilter;
///
/// let options = SchedulerOptions::new("order-task").keep_logs(KeepLogs::from(LevelFilter::Debug).lines(200));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepLogs {
    pub(crate) level: LevelFilter,
    pub(crate) lines: usize,
    pub(crate) bytes: usize,
}

impl Default for KeepLogs {
    fn default() -> Self {
        LevelFilter::Info.into()
    }
}

/// Lines of this level and of graver ones, at most 1,000 lines and 64 KiB of each run. `Off` keeps none.
impl From<LevelFilter> for KeepLogs {
    fn from(level: LevelFilter) -> Self {
        Self {
            level,
            lines: LINES,
            bytes: BYTES,
        }
    }
}

impl KeepLogs {
    /// At most this many lines of each run, 2 to 100,000. Default 1,000.
    #[must_use]
    pub fn lines(self, lines: usize) -> Self {
        Self { lines, ..self }
    }

    /// At most this many bytes of each run, 1 KiB to 4 MiB. Default 64 KiB. A line counts for its message, its target and 12 bytes; it is
    /// cut if it is longer than 8 KiB. Stored lines are compressed.
    #[must_use]
    pub fn bytes(self, bytes: usize) -> Self {
        Self { bytes, ..self }
    }

    pub(crate) fn check(self, what: &str, faults: &mut Faults) {
        let (lines, bytes) = (self.lines, self.bytes);
        faults.require((2..=MOST_LINES).contains(&lines), || {
            format!("{what}: keep_logs keeps {lines} lines, expected 2 to {MOST_LINES}")
        });
        faults.require((1 << 10..=MOST_BYTES).contains(&bytes), || {
            format!("{what}: keep_logs keeps {bytes} bytes, expected 1024 to {MOST_BYTES}")
        });
    }
}

/// What a handler has logged in one run, the oldest line first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct RunLog {
    /// Names the run, as in its record.
    pub log_id: String,
    /// Whether the run has ended, and its lines are written. If not, more lines may come.
    pub is_over: bool,
    /// The lines. Empty: the handler has logged nothing, or its lines are not kept.
    pub lines: Vec<LogLine>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct LogLine {
    /// When it was logged.
    pub at: DateTime<Utc>,
    /// `ERROR`, `WARN`, `INFO`, `DEBUG` or `TRACE`.
    #[serde(with = "level")]
    #[cfg_attr(feature = "web", schema(value_type = LevelName))]
    pub level: Level,
    /// Where it comes from: mostly the path of a module.
    pub target: String,
    /// Its text. A longer text than 8 KiB is cut, and ends with `…`.
    pub message: String,
    /// How many lines before this one were left out.
    pub left_out: u64,
}

/// A level as JSON has it.
#[cfg(feature = "web")]
#[derive(utoipa::ToSchema)]
#[schema(as = LogLevel, rename_all = "UPPERCASE")]
#[expect(dead_code, reason = "it describes the levels of `log`")]
enum LevelName {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// A level as JSON has it: a text, in small or capital letters.
pub(crate) mod level {
    use log::Level;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn serialize<S: Serializer>(level: &Level, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(level.as_str())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Level, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
