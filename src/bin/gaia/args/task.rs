//! The words of `gaia task`.

use std::{path::PathBuf, time::Duration};

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, ValueEnum};

use super::{
    Paging, Reason, Watch,
    parse::{self, Patience},
};

const SEARCH: &str = "\
A search line has parts with blanks between them, all of which must be met:
  status:failed,retry   theme:mail   method:Order.Create   method:Order.*   id:17,18
  key:order-17   limit-key:tenant-17   node:web-1   node:none   log:0197f1-17   error:\"connection refused\"
  older:2h   newer:7d   created-from:2026-01-31   ended-before:2h   words of the name

Examples:
  gaia task list status:failed newer:2h
  gaia task list error:\"connection refused\" -o name
  gaia task list theme:demo method:'Demo.*' --count";

const SELECTION: &str = "\
SELECTION is one of:
  17 18 19                ids
  -                       ids from the standard input
  status:failed newer:2h  a search line, as for `gaia task list`
One id is changed at once. More tasks are counted and shown first, and the program asks.

Examples:
  gaia task retry status:failed newer:2h --yes --reason 'the supplier is back'
  gaia task list status:failed -o name | gaia task retry - --yes
  gaia task cancel --all --dry-run";

const ADD: &str = "\
Examples:
  gaia task add demo Demo Echo '{\"order\": 17}'
  echo '{\"order\": 17}' | gaia task add demo Demo Echo - --wait
  gaia task add demo Demo Echo --in 1h --unique-key order-17 --limit-key tenant-17
  gaia task add demo Demo Echo --after 1
  gaia task add demo --batch tasks.jsonl";

const EXPORT: &str = "\
Examples:
  gaia task export status:failed newer:7d --format csv >failed.csv
  gaia task export --all >all.jsonl";

#[derive(Debug, Subcommand)]
pub enum TaskCommand {
    /// Finds tasks, the newest first
    List(FindTasks),
    /// Shows a task
    Get {
        /// The id of the task
        id: i64,
    },
    /// Lists the runs of a task, the newest first
    Records {
        /// The id of the task
        id: i64,
        /// How many runs to show
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
        limit: u32,
    },
    /// Shows what the handler has logged in a run of a task
    Log(TaskLog),
    /// Adds a task, or many of a file
    Add(Box<AddTask>),
    /// Waits until a task has ended; exit code 1 if it did not succeed
    Wait {
        /// The id of the task
        id: i64,
        /// Waits no longer than this (seconds, or such as 5m); exit code 6 then
        #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
        timeout: Option<Duration>,
    },
    /// Cancels tasks
    Cancel(ChangeTasks),
    /// Queues failed or cancelled tasks again
    Retry(ChangeTasks),
    /// Has tasks run now that wait for a later time
    RunNow(ChangeTasks),
    /// Deletes finished tasks with their records
    Delete(ChangeTasks),
    /// Writes whole tasks as JSON lines or CSV
    Export(ExportTasks),
}

#[derive(Debug, Args)]
#[command(after_help = SEARCH)]
pub struct FindTasks {
    /// A search line; without one the newest tasks of all themes
    pub search: Vec<String>,
    /// Only tasks of this theme (may be repeated)
    #[arg(long)]
    pub theme: Vec<String>,
    /// Counts the tasks, up to 10,000, instead of listing them
    #[arg(long)]
    pub count: bool,
    #[command(flatten)]
    pub paging: Paging,
    #[command(flatten)]
    pub watch: Watch,
}

#[derive(Debug, Args)]
pub struct TaskLog {
    /// The id of the task
    pub id: i64,
    /// Shows further lines as they come, until the run has ended
    #[arg(short, long)]
    pub follow: bool,
    /// The run, by its log id; the last one, unless it is given
    #[arg(long)]
    pub log_id: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = ADD)]
pub struct AddTask {
    /// The theme, the queue that the task belongs to
    pub theme: String,
    /// The service that is called
    #[arg(required_unless_present = "batch", requires = "method")]
    pub service: Option<String>,
    /// Its method
    #[arg(required_unless_present = "batch")]
    pub method: Option<String>,
    /// The arguments as JSON, or - to read them from the standard input
    #[arg(value_name = "ARGS", allow_negative_numbers = true)]
    pub args: Option<String>,
    /// Adds the tasks of a file, all or none: one JSON object in each line, as for POST /tasks/batch; - for the standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["service", "method", "args", "name", "unique_key", "limit_key", "priority", "max_retry", "retry_delay", "timeout", "run_at", "delay", "after", "wait"])]
    pub batch: Option<PathBuf>,
    /// A name for people
    #[arg(long)]
    pub name: Option<String>,
    /// Adds nothing while an unfinished task of the theme has this key
    #[arg(long, value_name = "KEY")]
    pub unique_key: Option<String>,
    /// For whom the task works, such as a tenant: a limit of its method may hold for each key
    #[arg(long, value_name = "KEY")]
    pub limit_key: Option<String>,
    /// Tasks with a higher priority go first
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub priority: Option<i32>,
    /// How many further attempts a failure leaves
    #[arg(long, value_name = "N")]
    pub max_retry: Option<u32>,
    /// How long a further attempt waits (seconds, or such as 5m)
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    pub retry_delay: Option<Duration>,
    /// How long an attempt may take (seconds, or such as 5m)
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    pub timeout: Option<Duration>,
    /// Runs no sooner than at this time, such as 2026-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse::time, conflicts_with = "delay")]
    pub run_at: Option<DateTime<Utc>>,
    /// Runs no sooner than after this time (seconds, or such as 5m)
    #[arg(long = "in", value_name = "DURATION", value_parser = parse::duration)]
    pub delay: Option<Duration>,
    /// Runs once this task has succeeded, and never if it does not (may be repeated; also a list with commas)
    #[arg(long, value_name = "ID", value_delimiter = ',', conflicts_with_all = ["run_at", "delay"])]
    pub after: Vec<i64>,
    /// A repeated call with this key adds nothing for 24 hours
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Waits for the end of the task, no longer than a duration if one is given (seconds, or such as 5m)
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "forever", value_parser = parse::patience)]
    pub wait: Option<Patience>,
}

#[derive(Debug, Args)]
#[command(after_help = SELECTION)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub struct ChangeTasks {
    /// Which tasks: ids, -, or a search line
    pub selection: Vec<String>,
    /// Means every task whose status allows the change
    #[arg(long)]
    pub all: bool,
    /// Does not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Only counts and shows what would be changed
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// Does nothing unless so many tasks would be changed
    #[arg(long, value_name = "N")]
    pub expect: Option<u64>,
    /// Does not wait for the end of a change of many tasks
    #[arg(long)]
    pub no_wait: bool,
    #[command(flatten)]
    pub reason: Reason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    Jsonl,
    Csv,
}

#[derive(Debug, Args)]
#[command(after_help = EXPORT)]
pub struct ExportTasks {
    /// A search line; without one every task is meant, and needs --all
    pub search: Vec<String>,
    /// Only tasks of this theme (may be repeated)
    #[arg(long)]
    pub theme: Vec<String>,
    /// Means every task
    #[arg(long)]
    pub all: bool,
    /// JSON lines or CSV
    #[arg(long, value_enum, default_value = "jsonl")]
    pub format: ExportFormat,
    /// How many tasks to write at most
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub max: u64,
}
