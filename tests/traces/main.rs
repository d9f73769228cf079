//! Traces that go on through tasks, jobs and hooks: spans as OpenTelemetry's own exporter sends them to a collector, which is a server of the
//! test.
//!
//! ```sh
//! cargo test --features tracing,web,hooks --test traces
//! ```

#![expect(clippy::expect_used, reason = "helpers of tests are tests")]

mod collector;
mod one_trace;
mod parents;
mod server;
#[path = "../suite/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "other tests use the rest")]
mod support;
