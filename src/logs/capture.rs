//! A logger around the application's, which also keeps lines with the run that logs them.

use std::fmt::Arguments;

use log::{LevelFilter, Log, Metadata, Record, SetLoggerError};

use super::scope;

/// The application's logger, with an ear on the lines of runs: each record goes to the application's logger, and if the code that logs
/// serves a run whose lines are kept, to the run, too. Records of this crate itself are no lines of a run.
///
/// ```
/// use gaia_actors::logs::LogCapture;
/// use log::LevelFilter;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let logger = env_logger::Builder::from_default_env().build();
/// // What env_logger leaves out may be kept: the most that either wants is let through.
/// let most = logger.filter().max(LevelFilter::Info);
/// LogCapture::around(logger).install(most)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is captured until it is installed"]
pub struct LogCapture<L>(L);

impl<L: Log + 'static> LogCapture<L> {
    /// Around this logger.
    pub fn around(logger: L) -> Self {
        Self(logger)
    }

    /// Makes it the logger of this process. Records of a lower level than `most` reach neither the logger nor the runs.
    ///
    /// # Errors
    /// If the process has a logger already.
    pub fn install(self, most: LevelFilter) -> Result<(), SetLoggerError> {
        log::set_boxed_logger(Box::new(self))?;
        log::set_max_level(most);
        Ok(())
    }
}

impl<L: Log> Log for LogCapture<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata) || scope::keeps(metadata.level())
    }

    fn log(&self, record: &Record<'_>) {
        let log = |record: &Record<'_>| {
            // Most loggers ask this themselves, but need not.
            if self.0.enabled(record.metadata()) {
                self.0.log(record);
            }
        };
        if is_ours(record.target()) {
            log(record);
            return;
        }
        // The text of a line that is kept is made once, for the run and for the logger.
        scope::note(record.level(), record.target(), *record.args(), |message| {
            log(&with_message(record, message));
        });
    }

    fn flush(&self) {
        self.0.flush();
    }
}

/// The record with its text as it was made for the run.
fn with_message<'a>(record: &'a Record<'_>, message: Arguments<'a>) -> Record<'a> {
    let mut made = Record::builder();
    made.args(message)
        .metadata(record.metadata().clone())
        .line(record.line())
        .key_values(record.key_values());
    match record.module_path_static() {
        Some(path) => made.module_path_static(Some(path)),
        None => made.module_path(record.module_path()),
    };
    match record.file_static() {
        Some(file) => made.file_static(Some(file)),
        None => made.file(record.file()),
    };
    made.build()
}

/// Whether this crate logs it.
pub(super) fn is_ours(target: &str) -> bool {
    const CRATE: &str = env!("CARGO_CRATE_NAME");
    target
        .strip_prefix(CRATE)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[cfg(test)]
mod tests {
    use super::is_ours;

    #[test]
    fn lines_of_this_crate_are_told_from_those_of_others() {
        assert!(is_ours("gaia_actors") && is_ours("gaia_actors::web"));
        assert!(!is_ours("gaia_actors_of_mine") && !is_ours("shop::gaia_actors") && !is_ours(""));
    }
}
