//! The words of commands that have few of them.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clap_complete::Shell;

use super::Watch;

#[derive(Debug, Subcommand)]
pub enum MethodCommand {
    /// Lists the methods that living nodes serve
    List {
        #[command(flatten)]
        watch: Watch,
    },
}

const CHECK: &str = "\
Each finding says what was found, what was expected, and which command helps. Exit code 0 if nothing is wrong.

Examples:
  gaia check demo
  gaia check --job report";

#[derive(Debug, Args)]
#[command(after_help = CHECK)]
pub struct CheckArgs {
    /// A theme, or the id of a task; without either the whole installation
    #[arg(value_name = "THEME|TASK")]
    pub subject: Option<String>,
    /// Looks at one job, by its id or name
    #[arg(long, value_name = "JOB", conflicts_with = "subject")]
    pub job: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  gaia top --once")]
pub struct TopArgs {
    /// Looks again every so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub every: u64,
    /// Looks once
    #[arg(long)]
    pub once: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  gaia migrate --dry-run\n  gaia migrate")]
pub struct MigrateArgs {
    /// Only says which migrations are missing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  gaia completion bash >gaia.bash")]
pub struct CompletionArgs {
    /// The shell
    pub shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  gaia man pages")]
pub struct ManArgs {
    /// The folder for one page of each command; without one the page of the program goes to the standard output
    pub folder: Option<PathBuf>,
}
