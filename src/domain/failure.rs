//! The errors with which a handler may end, and which failures are tried again.

use std::{error::Error as StdError, fmt, time::Duration};

use serde::Serialize;

/// The convention of the integration guide: a failure whose message begins with this text gets no other attempt.
pub(crate) const PARAM_ERROR: &str = "PARAM_ERROR";

/// The error of a handler that has no result.
///
/// What converts into a `Box<dyn Error + Send + Sync>` converts with `?` into [`TaskError::Failed`]: errors of the standard library and of
/// other crates, `anyhow::Error`, such a box itself, `String` and `&str`. The message has the whole chain of sources. (For that to be
/// possible, `TaskError` itself is not a [`std::error::Error`].) An error that is not `Send` and `Sync` converts by [`TaskError::of`].
///
/// ```
/// use gaia_actors::TaskError;
///
/// fn port(text: &str) -> Result<u16, TaskError> {
///     if text.is_empty() {
///         return Err(TaskError::discard("no port given"));
///     }
///     let port = text.parse::<u16>()?;
///     if port == 0 {
///         Err("port 0 is no port")?;
///     }
///     Ok(port)
/// }
/// assert_eq!(port("x"), Err(TaskError::failed("invalid digit found in string")));
/// assert_eq!(port("0"), Err(TaskError::failed("port 0 is no port")));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskError {
    /// The attempt failed; the task is tried again while attempts are left. By the integration guide's convention a task is not tried again
    /// if the message starts with `PARAM_ERROR`.
    Failed(String),
    /// Trying again is useless: the task ends as Failed at once.
    Discard(String),
    /// Not now: run the task again after this time, without using an attempt. Zero means the scheduler's
    /// [`scan_interval`](crate::SchedulerOptions::scan_interval); a time that is shorter than the scheduler's
    /// [`shortest_scan_interval`](crate::SchedulerOptions::shortest_scan_interval) means that interval.
    Snooze(Duration),
}

impl TaskError {
    /// A failure worth another attempt.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }

    /// A failure that makes another attempt useless.
    pub fn discard(message: impl Into<String>) -> Self {
        Self::Discard(message.into())
    }

    /// A failure worth another attempt, with the error and its chain of sources as the message. For errors that are not `Send` and `Sync`,
    /// such as the errors of `awc`; others convert with `?`.
    ///
    /// ```
    /// use std::rc::Rc;
    /// use gaia_actors::TaskError;
    ///
    /// #[derive(Debug, thiserror::Error)]
    /// #[error("page {0} is not there")]
    /// struct NoPage(Rc<str>);
    ///
    /// fn page(name: &str) -> Result<(), NoPage> {
    ///     Err(NoPage(name.into()))
    /// }
    ///
    /// fn handle() -> Result<(), TaskError> {
    ///     page("two").map_err(|error| TaskError::of(&error))
    /// }
    /// assert_eq!(handle(), Err(TaskError::failed("page two is not there")));
    /// ```
    #[must_use]
    pub fn of(error: &dyn StdError) -> Self {
        Self::Failed(with_sources(error))
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(message) | Self::Discard(message) => f.write_str(message),
            Self::Snooze(delay) => write!(f, "snoozed for {delay:?}"),
        }
    }
}

impl<E: Into<Box<dyn StdError + Send + Sync>>> From<E> for TaskError {
    fn from(error: E) -> Self {
        Self::of(&*error.into())
    }
}

/// The text of an error and of the sources that have caused it.
fn with_sources(error: &dyn StdError) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let text = error.to_string();
        // Many errors already name their source in their own text.
        if !message.ends_with(&text) {
            message = format!("{message}: {text}");
        }
        source = error.source();
    }
    message
}

/// The kind of a failed run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Failure {
    /// The handler answered with an error, or there was no handler.
    Error,
    /// The handler said that another attempt is useless, or the arguments did not fit the handler.
    Discarded,
    /// The handler panicked.
    Panicked,
    /// The run took longer than its timeout.
    TimedOut,
    /// The process, the thread or the actor that ran the handler died.
    Lost,
}

impl Failure {
    /// The name that it has in metrics, in spans and in JSON.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Discarded => "discarded",
            Self::Panicked => "panicked",
            Self::TimedOut => "timed_out",
            Self::Lost => "lost",
        }
    }

    /// Whether another attempt may help.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        !matches!(self, Self::Discarded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_brings_its_chain_of_sources() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read the order")]
        struct Outer(#[from] std::num::ParseIntError);

        let outer = || Outer("x".parse::<i32>().expect_err("is no number"));
        let expected = TaskError::failed("cannot read the order: invalid digit found in string");
        let boxed: Box<dyn StdError + Send + Sync> = Box::new(outer());
        for error in [
            TaskError::from(outer()),
            TaskError::from(boxed),
            TaskError::of(&outer()),
        ] {
            assert_eq!(error, expected);
        }
        let error = TaskError::from(anyhow::Error::new(outer()).context("order 7 is not placed"));
        assert_eq!(error.to_string(), format!("order 7 is not placed: {expected}"));
    }

    #[test]
    fn a_text_is_an_error() {
        let texts = [TaskError::from("no"), TaskError::from("no".to_owned())];
        assert_eq!(texts, [TaskError::failed("no"), TaskError::failed("no")]);
    }
}
