//! A logger around the application's, which also keeps lines with the run that logs them.

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
/// LogCapture::around(logger).with_log_ids().install(most)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is captured until it is installed"]
pub struct LogCapture<L> {
    logger: L,
    with_log_ids: bool,
}

impl<L: Log + 'static> LogCapture<L> {
    /// Around this logger.
    pub fn around(logger: L) -> Self {
        Self {
            logger,
            with_log_ids: false,
        }
    }

    /// Each record that a handler or a layer logs reaches the application's logger with ` log_id=…` at its end. Default: records reach the
    /// logger as they are, and it may ask [`current_log_id`](super::current_log_id). Lines that are kept with the run stay as they are.
    pub fn with_log_ids(self) -> Self {
        Self {
            with_log_ids: true,
            ..self
        }
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
        self.logger.enabled(metadata) || scope::keeps(metadata.level())
    }

    fn log(&self, record: &Record<'_>) {
        let log = |record: &Record<'_>| {
            // Most loggers ask this themselves, but need not.
            if self.logger.enabled(record.metadata()) {
                self.logger.log(record);
            }
        };
        // Lines of this crate name the run themselves, and are no lines of it.
        if is_ours(record.target()) {
            log(record);
            return;
        }
        // The text of a line that is kept is made once, for the run and for the logger.
        scope::note(record.level(), record.target(), *record.args(), |text| {
            match self.with_log_ids.then(scope::current_log_id).flatten() {
                Some(log_id) => log(&record.to_builder().args(format_args!("{text} log_id={log_id}")).build()),
                None => log(&record.to_builder().args(text).build()),
            }
        });
    }

    fn flush(&self) {
        self.logger.flush();
    }
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
