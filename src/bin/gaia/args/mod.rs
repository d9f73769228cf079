//! The words of the command line.

mod alert;
mod audit;
mod job;
mod limit;
mod node;
mod operation;
mod others;
mod parse;
mod schedule;
mod serve;
mod task;
mod theme;

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

pub use self::{
    alert::AlertCommand,
    audit::AuditCommand,
    job::{AddJob, EditJob, JobCommand, JobFields, JobList, JobRef, RunList},
    limit::{LimitCommand, MethodRef, SetLimit},
    node::NodeCommand,
    operation::OperationCommand,
    others::{CheckArgs, CompletionArgs, ManArgs, MethodCommand, MigrateArgs, TopArgs},
    parse::Patience,
    schedule::{Explain, Language, ScheduleCommand},
    serve::{DemoArgs, ServeArgs},
    task::{AddTask, ChangeTasks, ExportFormat, ExportTasks, FindTasks, TaskCommand},
    theme::{ErrorsArgs, HistoryArgs, ThemeCommand},
};
use crate::output::Format;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed; of a wait: the task has failed; of check: something is wrong
  2  bad usage; nothing was done
  3  not found
  4  the state does not allow it, or another change came first
  5  no right to do it
  6  waited in vain
  7  only a part of many was changed
  8  the database or the server is away

Data go to the standard output, words to the error output. NO_COLOR=1 switches colours off.";

/// See and operate tasks, themes, jobs and nodes
///
/// Works on a database (--database, --config or DATABASE_URL), or through the HTTP API of a server (--server or GAIA_SERVER). An option goes
/// before the environment, and GAIA_SERVER goes before DATABASE_URL.
#[derive(Debug, Parser)]
#[command(name = "gaia", version, after_help = EXIT_CODES, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    pub globals: Globals,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Args)]
pub struct Globals {
    /// The server: the URL below which its API lies [env: GAIA_SERVER]
    #[arg(long, global = true, value_name = "URL", help_heading = "Where")]
    pub server: Option<String>,
    /// The file that holds the token for the server, in one line
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "GAIA_TOKEN_FILE",
        hide_env_values = true,
        help_heading = "Where"
    )]
    pub token_file: Option<PathBuf>,
    /// PEM certificates of further authorities that may vouch for the server
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "GAIA_CA_FILE",
        hide_env_values = true,
        help_heading = "Where"
    )]
    pub ca_file: Option<PathBuf>,
    /// The database, such as sqlite:gaia.db [env: DATABASE_URL]
    #[arg(long, global = true, value_name = "URL", help_heading = "Where")]
    pub database: Option<String>,
    /// The config.json whose AsyncTask names the database
    #[arg(long, global = true, value_name = "FILE", help_heading = "Where")]
    pub config: Option<PathBuf>,
    /// How data are written
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value = "table",
        hide_possible_values = true,
        help_heading = "Output",
        help = "How data are written: table, wide, json, jsonl, yaml or name"
    )]
    pub output: Format,
    /// Shows the log of the library; twice: all of it
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Output")]
    pub verbose: u8,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tasks: find, add, wait, cancel, retry, delete, export
    #[command(subcommand)]
    Task(TaskCommand),
    /// Themes, the queues of tasks: see, pause, resume, resize
    #[command(subcommand, after_help = theme::EXAMPLES)]
    Theme(ThemeCommand),
    /// Cron jobs and their runs
    #[command(subcommand, after_help = job::EXAMPLES)]
    Job(JobCommand),
    /// Nodes, the processes that share the database
    #[command(subcommand)]
    Node(NodeCommand),
    /// Methods that the nodes serve
    #[command(subcommand)]
    Method(MethodCommand),
    /// Limits of methods: how many tasks run at once, and how many start in a time
    #[command(subcommand, after_help = limit::EXAMPLES)]
    Limit(LimitCommand),
    /// Bulk operations, the changes of many tasks
    #[command(subcommand)]
    Operation(OperationCommand),
    /// Alerts whose causes go on
    #[command(subcommand)]
    Alert(AlertCommand),
    /// What operators have changed
    #[command(subcommand, after_help = audit::EXAMPLES)]
    Audit(AuditCommand),
    /// Says why a task does not run, why a job is late, and what else is wrong
    Check(CheckArgs),
    /// Shows themes and nodes as they work
    Top(TopArgs),
    /// Prints the metrics for Prometheus
    Metrics,
    /// Serves the dashboard and the HTTP API, runs jobs and works on themes
    Serve(ServeArgs),
    /// Opens a shop with something to look at, on the file gaia-demo.db
    Demo(DemoArgs),
    /// Brings the tables of a database to the version of this program
    Migrate(MigrateArgs),
    /// Cron expressions in words
    #[command(subcommand)]
    Schedule(ScheduleCommand),
    /// Prints a script that completes the words of this program in a shell
    Completion(CompletionArgs),
    /// Writes the manual pages of this program
    Man(ManArgs),
}

impl Command {
    /// Whether the command is a node that stays until a signal stops it.
    pub const fn stays(&self) -> bool {
        matches!(self, Self::Serve(_) | Self::Demo(_))
    }
}

/// Shows a list again and again.
#[derive(Debug, Args)]
pub struct Watch {
    /// Shows the list again every so many seconds, until ctrl-c [default: 2]
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub watch: Option<u64>,
}

/// A page of a list.
#[derive(Debug, Args)]
pub struct Paging {
    /// How many rows to show at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub limit: u64,
    /// Goes on where another page has ended
    #[arg(long)]
    pub cursor: Option<String>,
}

/// Why a change is made.
#[derive(Debug, Args)]
pub struct Reason {
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}
