//! The promises of the crate, kept against real databases through the public API.

#![expect(clippy::expect_used, reason = "helpers of tests are tests")]

mod adding;
mod admin_requests;
mod adoption;
mod alerts;
mod around;
mod audit;
mod blocked_threads;
mod bulk;
mod chains;
mod chains_of_nodes;
mod circles;
mod claimed_at_once;
mod clustering;
mod columns;
mod compat;
mod connections;
mod definitions;
mod errors;
mod events;
mod exact_texts;
mod execution;
#[cfg(feature = "metrics")]
mod facade;
mod figures;
mod fuzz;
mod history;
mod jobs;
mod layers;
mod lifetimes;
mod limit_keys;
mod limits;
mod lines;
mod lists;
mod log_ids;
mod long_args;
#[cfg(target_os = "linux")]
mod memory;
mod method_limits;
mod missing_handlers;
mod nodes;
mod odd_values;
mod once;
mod operation_table;
mod operations;
mod outage;
mod pool;
mod processes;
mod quiet_log;
mod refusals;
mod registry;
#[cfg(feature = "hooks")]
mod remote_services;
mod retention;
mod run_logs;
mod search;
mod search_line;
mod shared_data;
mod simulation;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(all(feature = "sqlite", unix))]
mod sqlite_file;
mod starting;
mod stopping;
#[allow(dead_code, reason = "other tests use the rest")]
mod support;
mod suspension;
mod testing;
#[cfg(target_os = "linux")]
mod threads;
mod traceparent;
mod transaction;
mod unattended;
mod unknown_runs;
#[cfg(feature = "sqlite")]
mod unreadable_owners;
mod unseen;
mod upgrade;
mod urgent;
#[cfg(feature = "hooks")]
mod webhooks;
