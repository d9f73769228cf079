//! Where the code of a run belongs.

use crate::{
    logs::{ServedRun, within, within_sync},
    traces::Span,
};

/// What code within it logs are lines of the run, and its spans are children of the run's.
pub(super) struct Scope {
    /// `None`: the code serves no run.
    pub(super) served: Option<ServedRun>,
    pub(super) span: Span,
}

impl Scope {
    /// The future, which is in this scope wherever it is polled.
    pub(super) fn around<F: Future>(self, future: F) -> impl Future<Output = F::Output> + use<F> {
        within(self.served, self.span.around(future))
    }

    /// Calls a function in this scope.
    pub(super) fn call<T>(self, call: impl FnOnce() -> T) -> T {
        within_sync(self.served, || self.span.call(call))
    }
}
