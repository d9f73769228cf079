//! The words of `gaia limit`.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::{Reason, Watch, parse};

pub const EXAMPLES: &str = "\
Examples:
  gaia limit set Mail Send --running 5
  gaia limit set Mail Send --running 5 --starts 100 --per 1m --reason 'as the provider asks'
  gaia limit set Mail Send --running 50 --running-per-key 5
  gaia limit list
  gaia limit remove Mail Send";

#[derive(Debug, Subcommand)]
pub enum LimitCommand {
    /// Lists the limits of methods, and how much of them is used
    List {
        #[command(flatten)]
        watch: Watch,
    },
    /// Limits a method, in place of the limit that it has; tasks beyond the limit wait
    Set(SetLimit),
    /// Lifts the limit of a method
    Remove {
        #[command(flatten)]
        method: MethodRef,
        #[command(flatten)]
        reason: Reason,
    },
}

#[derive(Debug, Args)]
pub struct MethodRef {
    /// The service
    pub service: String,
    /// The method
    pub method: String,
}

#[derive(Debug, Args)]
pub struct SetLimit {
    #[command(flatten)]
    pub method: MethodRef,
    /// How many of its tasks may run at once in the whole cluster
    #[arg(long, value_name = "N", required_unless_present_any = ["starts", "running_per_key", "starts_per_key"])]
    pub running: Option<u32>,
    /// How many of its tasks may start in the time that --per names
    #[arg(long, value_name = "N", requires = "per")]
    pub starts: Option<u32>,
    /// The time in which so many may start: seconds, or with units, such as 500ms, 1m, 24h
    #[arg(long, value_name = "TIME", requires = "starts", value_parser = parse::duration)]
    pub per: Option<Duration>,
    /// How many of its tasks with the same limit key may run at once in the whole cluster
    #[arg(long, value_name = "N")]
    pub running_per_key: Option<u32>,
    /// How many of its tasks with the same limit key may start in the time that --per-key names
    #[arg(long, value_name = "N", requires = "per_key")]
    pub starts_per_key: Option<u32>,
    /// The time in which so many of each key may start: seconds, or with units, such as 500ms, 1m, 24h
    #[arg(long, value_name = "TIME", requires = "starts_per_key", value_parser = parse::duration)]
    pub per_key: Option<Duration>,
    #[command(flatten)]
    pub reason: Reason,
}
