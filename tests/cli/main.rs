//! The program `gaia`, run as a process, on databases and through a server.
//!
//! ```sh
//! cargo test --features cli --test cli
//! ```

#![expect(clippy::expect_used, reason = "helpers of tests are tests")]

mod bulk;
mod check;
mod deploy;
mod exits;
mod help;
mod hostile;
mod jobs;
mod limits;
mod migrate;
mod program;
mod schedule;
mod serve;
mod served;
mod serving;
#[path = "../suite/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "other tests use the rest")]
mod support;
mod tables;
mod targets;
mod tasks;
mod themes;
mod tls;
mod top;
