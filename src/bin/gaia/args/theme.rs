//! The words of `gaia theme`.

use clap::{Args, Subcommand};

use super::{Reason, Watch};

pub const EXAMPLES: &str = "\
Examples:
  gaia theme list
  gaia theme pause demo --reason 'the supplier is closed'
  gaia theme resume demo
  gaia theme resize demo 8
  gaia theme resize demo default
  gaia theme errors demo --since 1h --all-attempts
  gaia theme history demo --by-method";

#[derive(Debug, Subcommand)]
pub enum ThemeCommand {
    /// Lists the themes that have settings, unfinished tasks or workers
    List {
        #[command(flatten)]
        watch: Watch,
    },
    /// Shows a theme: its settings, its tasks, its workers
    Get {
        /// The theme
        theme: String,
        /// Counts the tasks of each status, which reads all tasks of the theme
        #[arg(long)]
        count: bool,
    },
    /// Stops all nodes from taking tasks of a theme; tasks that run go on
    Pause {
        /// The theme
        theme: String,
        #[command(flatten)]
        reason: Reason,
    },
    /// Lets all nodes take tasks of a theme again
    Resume {
        /// The theme
        theme: String,
        #[command(flatten)]
        reason: Reason,
    },
    /// Sets how many workers each node has for a theme
    Resize {
        /// The theme
        theme: String,
        /// The number of workers of each node, or default for the number that each node has by itself
        workers: String,
        #[command(flatten)]
        reason: Reason,
    },
    /// Lists the methods that nodes serve for a theme, and those that its due tasks call
    Methods {
        /// The theme
        theme: String,
        #[command(flatten)]
        watch: Watch,
    },
    /// Groups the errors of the tasks of a theme that have failed or wait for another attempt
    Errors(ErrorsArgs),
    /// Tells what ended in the past, in steps of time
    History(HistoryArgs),
}

#[derive(Debug, Args)]
pub struct ErrorsArgs {
    /// The theme
    pub theme: String,
    /// How far back: 1h, 24h or 7d
    #[arg(long, default_value = "24h", value_parser = ["1h", "24h", "7d"])]
    pub since: String,
    /// The errors of all attempts that have failed, also of tasks that have succeeded since
    #[arg(long)]
    pub all_attempts: bool,
    /// How many groups to show at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub limit: u32,
    #[command(flatten)]
    pub watch: Watch,
}

#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// The theme
    pub theme: String,
    /// What ended at or after this time; an hour before --to, unless it is given
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// What ended before this time; now, unless it is given
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Only this service
    #[arg(long)]
    pub service: Option<String>,
    /// Only this method
    #[arg(long)]
    pub method: Option<String>,
    /// How many seconds a row covers, in tens
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(10..=604_800))]
    pub step: u32,
    /// A row for each method
    #[arg(long)]
    pub by_method: bool,
    #[command(flatten)]
    pub watch: Watch,
}
