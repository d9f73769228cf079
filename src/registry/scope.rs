//! Where the code of a run belongs.

use std::sync::Arc;

use crate::{
    logs::{RunLines, within, within_sync},
    traces::Span,
};

/// What code within it logs are lines of the run, and its spans are children of the run's.
pub(super) struct Scope {
    pub(super) lines: Option<Arc<RunLines>>,
    pub(super) span: Span,
}

impl Scope {
    /// The future, which is in this scope wherever it is polled.
    pub(super) fn around<F: Future>(self, future: F) -> impl Future<Output = F::Output> + use<F> {
        within(self.lines, self.span.around(future))
    }

    /// Calls a function in this scope.
    pub(super) fn call<T>(self, call: impl FnOnce() -> T) -> T {
        within_sync(self.lines, || self.span.call(call))
    }
}
