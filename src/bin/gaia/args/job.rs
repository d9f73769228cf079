//! The words of `gaia job`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};

use super::{
    Paging, Reason, Watch,
    parse::{self, Patience},
};

pub const EXAMPLES: &str = "\
Examples:
  gaia job add nightly --cron '0 2 * * *' --zone Asia/Shanghai --call Demo.Echo --args '{\"kind\": \"full\"}'
  gaia job apply -f jobs.yaml
  gaia job edit report --cron '0 3 * * *' --overlap replace
  gaia job run report --wait
  gaia job runs report --state ended";

#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// Lists jobs, the newest first
    List(JobList),
    /// Shows a job and its next fires
    Get(JobRef),
    /// Adds a job
    Add(Box<AddJob>),
    /// Adds jobs, or brings the jobs with these names up to date
    ///
    /// The file holds a job or a list of jobs, as JSON or YAML, with the keys of the API: job_name, job_type, cron_expr, service_name,
    /// service_method, hook_url, args and others.
    Apply {
        /// The file; - for the standard input
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        reason: Reason,
    },
    /// Changes fields of a job
    Edit(Box<EditJob>),
    /// Lets a job fire
    Enable {
        #[command(flatten)]
        job: JobRef,
        #[command(flatten)]
        reason: Reason,
    },
    /// Keeps a job from firing
    Disable {
        #[command(flatten)]
        job: JobRef,
        #[command(flatten)]
        reason: Reason,
    },
    /// Runs a job now, on a node that runs jobs
    Run {
        #[command(flatten)]
        job: JobRef,
        /// Waits for the end of the run, no longer than a duration if one is given (seconds, or such as 5m)
        #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "forever", value_parser = parse::patience)]
        wait: Option<Patience>,
        #[command(flatten)]
        reason: Reason,
    },
    /// Lists runs, the newest first
    Runs(RunList),
    /// Shows a run
    RunGet {
        /// The id of the run
        run: i64,
    },
    /// Shows what the handler has logged in a run
    RunLog {
        /// The id of the run
        run: i64,
        /// Shows further lines as they come, until the run has ended
        #[arg(short, long)]
        follow: bool,
    },
    /// Cancels the runs of a job on all nodes
    Cancel {
        #[command(flatten)]
        job: JobRef,
        #[command(flatten)]
        reason: Reason,
    },
    /// Deletes a job; its records stay
    Delete {
        #[command(flatten)]
        job: JobRef,
        /// Does not ask
        #[arg(short, long)]
        yes: bool,
        #[command(flatten)]
        reason: Reason,
    },
}

#[derive(Debug, Args)]
pub struct JobRef {
    /// The id or the name of the job
    #[arg(value_name = "JOB")]
    pub job: String,
}

#[derive(Debug, Args)]
pub struct JobList {
    /// Only jobs whose names contain this text
    pub name: Option<String>,
    /// Only jobs of this type
    #[arg(long = "type", value_name = "TYPE", value_parser = ["cron_job", "cron_hook"])]
    pub job_type: Option<String>,
    /// Only enabled jobs
    #[arg(long, conflicts_with = "disabled")]
    pub enabled: bool,
    /// Only disabled jobs
    #[arg(long)]
    pub disabled: bool,
    #[command(flatten)]
    pub paging: Paging,
    #[command(flatten)]
    pub watch: Watch,
}

#[derive(Debug, Args)]
pub struct RunList {
    /// Only runs of this job, by its id or name
    #[arg(value_name = "JOB")]
    pub job: Option<String>,
    /// Only runs that are under way, or only those that have ended
    #[arg(long, value_name = "STATE", value_parser = ["open", "ended"])]
    pub state: Option<String>,
    #[command(flatten)]
    pub paging: Paging,
    #[command(flatten)]
    pub watch: Watch,
}

#[derive(Debug, Args)]
pub struct AddJob {
    /// The name of the job
    pub name: String,
    /// When it fires, such as "0 */5 * * * *"
    #[arg(long, value_name = "EXPRESSION", required = true)]
    pub cron: String,
    /// It is added, and does not fire until it is enabled
    #[arg(long)]
    pub disabled: bool,
    #[command(flatten)]
    pub fields: JobFields,
    #[command(flatten)]
    pub reason: Reason,
}

#[derive(Debug, Args)]
pub struct EditJob {
    #[command(flatten)]
    pub job: JobRef,
    /// Its new name
    #[arg(long)]
    pub name: Option<String>,
    /// When it fires, such as "0 */5 * * * *"
    #[arg(long, value_name = "EXPRESSION")]
    pub cron: Option<String>,
    #[command(flatten)]
    pub fields: JobFields,
    #[command(flatten)]
    pub reason: Reason,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Overlap {
    Forbid,
    Allow,
    Replace,
    Delay,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Misfire {
    FireOnce,
    Skip,
}

/// The fields of a job beside its name and its schedule.
#[derive(Debug, Args)]
pub struct JobFields {
    /// The method that it calls, as Service.Method
    #[arg(long, value_name = "SERVICE.METHOD", conflicts_with = "hook")]
    pub call: Option<String>,
    /// The HTTP endpoint that it calls
    #[arg(long, value_name = "URL")]
    pub hook: Option<String>,
    /// The method of the HTTP request
    #[arg(long, value_name = "METHOD", value_parser = ["POST", "GET", "PUT", "PATCH", "DELETE", "HEAD"])]
    pub hook_method: Option<String>,
    /// A header of the HTTP request (may be repeated); an empty value takes the header away
    #[arg(long = "header", value_name = "NAME=VALUE")]
    pub headers: Vec<String>,
    /// The file that holds the secret by which requests are signed
    #[arg(long, value_name = "FILE")]
    pub hook_secret_file: Option<PathBuf>,
    /// The arguments as JSON, or - to read them from the standard input
    #[arg(long, value_name = "JSON")]
    pub args: Option<String>,
    /// The time zone of the schedule, such as Asia/Shanghai
    #[arg(long, value_name = "ZONE")]
    pub zone: Option<String>,
    /// How long an attempt may take (seconds, or such as 5m)
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    pub timeout: Option<Duration>,
    /// How many further attempts a failure leaves
    #[arg(long, value_name = "N")]
    pub max_retry: Option<u32>,
    /// How long a further attempt waits (seconds, or such as 5m)
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    pub retry_delay: Option<Duration>,
    /// What a fire does while an earlier run goes on
    #[arg(long, value_enum, value_name = "POLICY")]
    pub overlap: Option<Overlap>,
    /// What becomes of fires that no node took in time
    #[arg(long, value_enum, value_name = "POLICY")]
    pub misfire: Option<Misfire>,
    /// How late a missed fire may still run (seconds, or such as 5m)
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    pub misfire_grace: Option<Duration>,
}
