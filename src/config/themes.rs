//! Section `Themes`.

use log::LevelFilter;
use serde::{Deserialize, Serialize};

use super::{AsyncTaskConfig, Config, MissingHandler, error::name};

/// A theme of the section `Themes`: the options that differ from those of the section `AsyncTask`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[non_exhaustive]
pub struct ThemeConfig {
    /// As [`AsyncTaskConfig::worker_num`].
    pub worker_num: Option<usize>,
    /// As [`AsyncTaskConfig::scan_task_interval`].
    pub scan_task_interval: Option<f64>,
    /// As [`AsyncTaskConfig::shortest_scan_interval`].
    pub shortest_scan_interval: Option<f64>,
    /// As [`AsyncTaskConfig::task_id_chan_length`].
    pub task_id_chan_length: Option<usize>,
    /// As [`AsyncTaskConfig::scan_task_num`].
    pub scan_task_num: Option<usize>,
    /// As [`AsyncTaskConfig::timeout`].
    pub timeout: Option<f64>,
    /// As [`AsyncTaskConfig::missing_handler`].
    pub missing_handler: Option<MissingHandler>,
    /// As [`AsyncTaskConfig::max_retry`].
    pub max_retry: Option<i64>,
    /// As [`AsyncTaskConfig::retry_succeeded`].
    pub retry_succeeded: Option<bool>,
    /// Lines of which level, and of graver ones, are kept with each run; see [`SchedulerOptions::keep_logs`](crate::SchedulerOptions::keep_logs).
    /// Default: none.
    pub keep_logs: Option<KeepLogsLevel>,
}

/// The least grave lines that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum KeepLogsLevel {
    /// Errors alone.
    Error,
    /// Warnings and errors.
    Warn,
    /// Information, too.
    Info,
    /// Lines for debugging, too.
    Debug,
    /// All lines.
    Trace,
}

impl From<KeepLogsLevel> for LevelFilter {
    fn from(level: KeepLogsLevel) -> Self {
        match level {
            KeepLogsLevel::Error => Self::Error,
            KeepLogsLevel::Warn => Self::Warn,
            KeepLogsLevel::Info => Self::Info,
            KeepLogsLevel::Debug => Self::Debug,
            KeepLogsLevel::Trace => Self::Trace,
        }
    }
}

impl ThemeConfig {
    /// All options of the theme.
    pub(crate) fn over(&self, all: &AsyncTaskConfig) -> AsyncTaskConfig {
        AsyncTaskConfig {
            mysql: all.mysql.clone(),
            worker_num: self.worker_num.unwrap_or(all.worker_num),
            scan_task_interval: self.scan_task_interval.unwrap_or(all.scan_task_interval),
            shortest_scan_interval: self.shortest_scan_interval.unwrap_or(all.shortest_scan_interval),
            task_id_chan_length: self.task_id_chan_length.unwrap_or(all.task_id_chan_length),
            scan_task_num: self.scan_task_num.unwrap_or(all.scan_task_num),
            timeout: self.timeout.or(all.timeout),
            missing_handler: self.missing_handler.or(all.missing_handler),
            max_retry: self.max_retry.or(all.max_retry),
            retry_succeeded: self.retry_succeeded.or(all.retry_succeeded),
        }
    }
}

impl Config {
    /// The settings of themes that are seconds, with their keys.
    pub(super) fn themes_seconds(&self) -> impl Iterator<Item = (String, Option<f64>)> + '_ {
        self.themes.iter().flat_map(|(theme, options)| {
            let theme = name(theme);
            [
                (format!("Themes.{theme}.ScanTaskInterval"), options.scan_task_interval),
                (
                    format!("Themes.{theme}.ShortestScanInterval"),
                    options.shortest_scan_interval,
                ),
                (format!("Themes.{theme}.Timeout"), options.timeout),
            ]
        })
    }
}
