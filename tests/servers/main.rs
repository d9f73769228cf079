//! What only the database servers can do or suffer. `./scripts/test` starts them and runs these, too.

#![cfg(any(feature = "postgres", feature = "mysql"))]
#![expect(clippy::expect_used, reason = "helpers of tests are tests")]

mod access;
mod adding;
#[cfg(feature = "postgres")]
mod alerts;
mod changed_tables;
mod clock;
mod conflicts;
mod connections;
#[cfg(feature = "postgres")]
mod cut_off;
#[cfg(feature = "mysql")]
mod field;
#[cfg(feature = "mysql")]
mod go_worker;
mod guide;
mod jobs;
#[cfg(feature = "postgres")]
#[path = "../suite/lines.rs"]
#[allow(dead_code, reason = "the suite uses all of it")]
mod lines;
mod locked_rows;
mod lost_answers;
#[cfg(feature = "postgres")]
mod notify;
#[cfg(feature = "mysql")]
mod packets;
#[cfg(feature = "postgres")]
mod plans;
#[cfg(feature = "postgres")]
mod poolers;
mod private;
mod proxy;
mod room;
mod settings;
#[path = "../suite/support/mod.rs"]
#[allow(dead_code, reason = "the suite uses all of it")]
mod support;
#[cfg(feature = "mysql")]
mod time_zone;
mod tls;
mod unwritten;
mod vanished;

use support::Kind;

/// The servers of this build.
const KINDS: &[Kind] = &[
    #[cfg(feature = "postgres")]
    Kind::Postgres,
    #[cfg(feature = "mysql")]
    Kind::Mysql,
];

/// The servers that this run has: those whose URL is set. `./scripts/test` sees to both.
fn kinds() -> Vec<Kind> {
    let there = KINDS.iter().copied().filter(|kind| kind.has_server());
    let there: Vec<Kind> = there.collect();
    assert!(!there.is_empty(), "no server; run ./scripts/test");
    there
}
