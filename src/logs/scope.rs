//! Which run the code on this thread serves.

use std::{fmt::Arguments, sync::Arc};

use futures_util::future::Either;
use log::Level;

use super::RunLines;

tokio::task_local! {
    static LINES: Arc<RunLines>;
}

/// The future, whose lines belong to a run wherever the future is polled. `None`: no lines are kept.
pub(crate) fn within<F: Future>(lines: Option<Arc<RunLines>>, future: F) -> impl Future<Output = F::Output> {
    match lines {
        Some(lines) => Either::Left(LINES.scope(lines, future)),
        None => Either::Right(future),
    }
}

/// Calls a function, whose lines belong to a run.
pub(crate) fn within_sync<T>(lines: Option<Arc<RunLines>>, call: impl FnOnce() -> T) -> T {
    match lines {
        Some(lines) => LINES.sync_scope(lines, call),
        None => call(),
    }
}

/// Whether the run that this code serves keeps lines of this level.
pub(super) fn keeps(level: Level) -> bool {
    LINES.try_with(|lines| lines.keeps(level)).unwrap_or(false)
}

/// Keeps a line with the run that this code serves, then gives the message to the function `then`. If no line is kept, it only calls the
/// function.
pub(super) fn note(level: Level, target: &str, message: Arguments<'_>, then: impl FnOnce(Arguments<'_>)) {
    let mut then = Some(then);
    // Outside of every run there are no lines.
    let _ = LINES.try_with(|run| {
        if let Some(then) = then.take_if(|_| run.keeps(level)) {
            run.note(level, target, message, then);
        }
    });
    if let Some(then) = then {
        then(message);
    }
}
