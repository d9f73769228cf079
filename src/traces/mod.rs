//! Traces: which trace a run belongs to, and its span.
//!
//! A trace is named by a text, the `traceparent` of the W3C. This crate knows no collector: the application says, by two functions, what
//! the text of the present span is, and makes a span the child of a text.

#[cfg(not(feature = "tracing"))]
mod absent;
#[cfg(feature = "tracing")]
mod propagation;
#[cfg(feature = "tracing")]
mod spans;

#[cfg(not(feature = "tracing"))]
pub(crate) use absent::{Span, Traces};
#[cfg(feature = "tracing")]
pub use propagation::Propagation;
#[cfg(feature = "tracing")]
pub(crate) use spans::{Span, Traces};
