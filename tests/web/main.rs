//! The HTTP API through real connections on the loopback address.
//!
//! ```sh
//! cargo test --features web --test web
//! ```

#![expect(clippy::expect_used, reason = "helpers of tests are tests")]

mod access;
mod alerts;
mod audit;
mod batches;
mod bulk;
mod claims;
mod client;
mod conformance;
mod events;
mod faults;
mod find;
mod hostile;
mod jobs;
mod limited_claims;
mod limits;
mod logins;
mod logs;
mod method_limits;
mod metrics;
mod names;
mod openapi;
mod operators;
mod pages_chinese;
mod pages_jobs;
mod pages_others;
mod pages_tasks;
mod parked;
mod producers;
mod redact;
#[path = "../suite/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "other tests use the rest")]
mod support;
mod tasks;
mod themes;
mod traps;
