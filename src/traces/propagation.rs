//! What the application knows of traces.

use std::fmt;

type Current = Box<dyn Fn() -> Option<String> + Send + Sync>;
type Attach = Box<dyn Fn(&tracing::Span, &str) + Send + Sync>;

/// How traces pass through tasks: two functions of the application, which know its tracing library. Given to
/// [`GaiaBuilder::tracing`](crate::GaiaBuilder::tracing).
///
/// This crate depends on no version of OpenTelemetry, so that it fits to the application's. `docs/monitoring.md` has both functions for
/// `tracing-opentelemetry`.
pub struct Propagation {
    pub(super) current: Current,
    pub(super) attach: Attach,
}

impl Propagation {
    /// `current` answers with the `traceparent` of the present span, if the span belongs to a trace; a text that is no `traceparent` counts
    /// as none. `attach` makes a new span the child of the span that a `traceparent` names.
    ///
    /// Both are called where tasks are added and run, and must not wait. A panic of either is caught and logged.
    ///
    /// ```
    /// use gaia_actors::{Gaia, Propagation};
    ///
    /// let builder = Gaia::builder().tracing(Propagation::new(
    ///     || None, // the `traceparent` of `tracing::Span::current()`
    ///     |span, traceparent| println!("{:?} is a child of {traceparent}", span.metadata()),
    /// ));
    /// # drop(builder);
    /// ```
    pub fn new(
        current: impl Fn() -> Option<String> + Send + Sync + 'static,
        attach: impl Fn(&tracing::Span, &str) + Send + Sync + 'static,
    ) -> Self {
        Self {
            current: Box::new(current),
            attach: Box::new(attach),
        }
    }
}

impl fmt::Debug for Propagation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Propagation").finish_non_exhaustive()
    }
}
