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

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// A theme, or the id of a task; without either the whole installation
    #[arg(value_name = "THEME|TASK")]
    pub subject: Option<String>,
    /// Looks at one job, by its id or name
    #[arg(long, value_name = "JOB", conflicts_with = "subject")]
    pub job: Option<String>,
}

#[derive(Debug, Args)]
pub struct TopArgs {
    /// Looks again every so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub every: u64,
    /// Looks once
    #[arg(long)]
    pub once: bool,
}

#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// Only says which migrations are missing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct CompletionArgs {
    /// The shell
    pub shell: Shell,
}

#[derive(Debug, Args)]
pub struct ManArgs {
    /// The folder for one page of each command; without one the page of the program goes to the standard output
    pub folder: Option<PathBuf>,
}
