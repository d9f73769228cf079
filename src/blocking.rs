//! Work that blocks its thread, on the threads that tokio keeps for such work.

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
};

use crate::repeats::Repeats;

/// Why work has no result.
pub(crate) enum Unfinished {
    /// The system gives this process no further thread. The work did not begin, and never will.
    NoThread,
    Panicked(Box<dyn Any + Send>),
    /// The tokio runtime ends.
    Gone,
}

/// Keeps the log from repeating that threads are lacking.
static SAID: Mutex<Option<Repeats<()>>> = Mutex::new(None);

/// Does `work` on a thread that tokio keeps for such work. The call itself hands the work over; the work goes on if the future is dropped.
///
/// If the system refuses the first such thread of a runtime, tokio panics and keeps the work in its queue: the next call would start
/// the work long after its caller learnt that it failed. So this function takes the work back.
pub(crate) fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = Result<T, Unfinished>> + Send + 'static {
    let work = Arc::new(Mutex::new(Some(work)));
    let piece = Arc::clone(&work);
    let spawned = catch_unwind(AssertUnwindSafe(|| {
        tokio::task::spawn_blocking(move || take(&piece).map(|work| work()))
    }));
    if spawned.is_err() {
        drop(take(&work));
        complain();
    }
    async move {
        let Ok(piece) = spawned else {
            return Err(Unfinished::NoThread);
        };
        match piece.await {
            Ok(done) => done.ok_or(Unfinished::NoThread),
            Err(error) => Err(error.try_into_panic().map_or(Unfinished::Gone, Unfinished::Panicked)),
        }
    }
}

fn take<T>(work: &Mutex<Option<T>>) -> Option<T> {
    work.lock().unwrap_or_else(PoisonError::into_inner).take()
}

fn complain() {
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    let text = "the system gives this process no further thread, so that work that blocks cannot begin; see the limits of \
                processes and memory (`ulimit -u`, `pids.max` of its cgroup)";
    let said = said.get_or_insert_default().say((), text);
    if let Some(said) = said {
        say!(Error, "{said}");
    }
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoThread => "not begun: the system gives this process no further thread",
            Self::Panicked(_) => "its thread panicked",
            Self::Gone => "the thread pool is shutting down",
        })
    }
}
