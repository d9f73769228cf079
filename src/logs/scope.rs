//! Which run the code on this thread serves.

use std::{fmt::Arguments, sync::Arc};

use futures_util::future::Either;
use log::Level;

use super::RunLines;

tokio::task_local! {
    static RUN: ServedRun;
}

/// A run as its log lines know it.
pub(crate) struct ServedRun {
    pub(crate) log_id: Arc<str>,
    /// `None`: its lines are not kept.
    pub(crate) lines: Option<Arc<RunLines>>,
}

/// The future, whose lines belong to a run wherever the future is polled. `None`: it serves no run.
pub(crate) fn within<F: Future>(run: Option<ServedRun>, future: F) -> impl Future<Output = F::Output> {
    match run {
        Some(run) => Either::Left(RUN.scope(run, future)),
        None => Either::Right(future),
    }
}

/// Calls a function, whose lines belong to a run.
pub(crate) fn within_sync<T>(run: Option<ServedRun>, call: impl FnOnce() -> T) -> T {
    match run {
        Some(run) => RUN.sync_scope(run, call),
        None => call(),
    }
}

/// The log id of the run that this code serves, for the application's logger: the handler, its layers, and what
/// [`TaskContext::log_scope`](crate::TaskContext::log_scope) is around. `None` outside of every run, and in a direct call. (An async function that a
/// handler calls by [`Registry::call`](crate::Registry::call) is within the run of that handler; a blocking function and an actor are not.) Lines need not be
/// kept for it. [`LogCapture::with_log_ids`](super::LogCapture::with_log_ids) puts it into each line of any logger; a logger that
/// formats lines itself calls this function.
///
/// ```
/// use std::io::Write;
/// use gaia_actors::logs::current_log_id;
///
/// let logger = env_logger::Builder::from_default_env().format(|out, record| {
///     let (at, level) = (out.timestamp_millis(), record.level());
///     let log_id = current_log_id();
///     let log_id = log_id.as_deref().unwrap_or("-");
///     writeln!(out, "{at} {level} {log_id} {}", record.args())
/// }).build();
/// # let _ = logger;
/// ```
#[must_use]
pub fn current_log_id() -> Option<Arc<str>> {
    RUN.try_with(|run| Arc::clone(&run.log_id)).ok()
}

/// Whether the run that this code serves keeps lines of this level.
pub(super) fn keeps(level: Level) -> bool {
    let keeps = |run: &ServedRun| run.lines.as_ref().is_some_and(|lines| lines.keeps(level));
    RUN.try_with(keeps).unwrap_or(false)
}

/// Keeps a line with the run that this code serves, then gives the message to the function `then`. If no line is kept, it only calls the
/// function.
pub(super) fn note(level: Level, target: &str, message: Arguments<'_>, then: impl FnOnce(Arguments<'_>)) {
    // Outside of every run there are no lines. The function `then` may enter the scope of another run: none is borrowed meanwhile.
    let lines = RUN.try_with(|run| run.lines.clone()).ok().flatten();
    match lines.filter(|lines| lines.keeps(level)) {
        Some(lines) => lines.note(level, target, message, then),
        None => then(message),
    }
}
