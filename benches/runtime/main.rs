//! What the runtime itself costs: a call of a handler, a node that has nothing to do, a change of the number of workers, lines of handlers
//! that are kept, calls of a remote service, limits of methods.
//!
//! ```sh
//! cargo bench --all-features --bench runtime -- [--part registry idle resize logs remote limits] [--rounds 5] [--json FILE]
//!     [--database sqlite postgres://… mysql://…]
//!     [--calls 200000] [--themes 1 100] [--seconds 15] [--tasks 200000] [--workers 1000]
//! ```
//!
//! `registry`: calls a second and heap allocations of a call, without a database. `idle`: processor time and queries of a node
//! without work. `resize`: from the message until the workers are there, or gone, while a backlog is worked off. `logs`: a drain whose
//! handlers log ten lines a task, which are kept or not. `remote`: a drain whose tasks are called by HTTP, beside a bare HTTP client. `limits`:
//! drains beside limits of methods and a chain, and of a method with a limit that does not bite.
//!
//! Without `--database` it is SQLite, and the servers of `GAIA_BENCH_POSTGRES_URL` and `GAIA_BENCH_MYSQL_URL`; databases are
//! made on them and dropped at the end.

#[path = "../common/database.rs"]
#[allow(dead_code, reason = "other benchmarks need the rest")]
mod database;
mod idle;
mod limits;
mod logs;
#[path = "../common/place.rs"]
#[allow(dead_code, reason = "other benchmarks need the rest")]
mod place;
mod registry;
mod remote;
#[path = "../common/report.rs"]
#[allow(dead_code, reason = "other benchmarks need the rest")]
mod report;
mod resize;
#[path = "../common/timing.rs"]
#[allow(dead_code, reason = "other benchmarks need the rest")]
mod timing;

use std::{path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum};
use database::{Result, databases_of_this_build};
use report::Report;

const US: &str = "gaia-actors";

#[derive(Parser)]
struct Options {
    /// What to measure.
    #[arg(long, num_args = 1.., value_enum, default_values_t = [Part::Registry, Part::Idle, Part::Resize, Part::Logs, Part::Remote, Part::Limits])]
    part: Vec<Part>,
    /// `sqlite`, `sqlite:FOLDER`, or URLs of servers.
    #[arg(long, num_args = 1..)]
    database: Vec<String>,
    /// Measurements of each figure.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// registry: calls of each thread in one round.
    #[arg(long, default_value_t = 200_000)]
    calls: usize,
    /// idle: themes of the node, one node for each number.
    #[arg(long, num_args = 1.., default_values_t = [1, 100])]
    themes: Vec<usize>,
    /// idle: how long one round is.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// resize, logs, remote, limits: tasks of the backlog.
    #[arg(long, default_value_t = 200_000)]
    tasks: usize,
    /// resize: from one worker to so many, and back.
    #[arg(long, default_value_t = 1_000)]
    workers: usize,
    /// Figures as lines of JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// URL of the database on which a process of its own is idle.
    #[arg(long, hide = true)]
    child: Option<String>,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Registry,
    Idle,
    Resize,
    Logs,
    Remote,
    Limits,
}

#[actix_rt::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(url) = &options.child {
        return idle::child(url, &options).await;
    }
    let mut report = Report::new(options.json.as_deref())?;
    if options.part.contains(&Part::Registry) {
        registry::run(&options, &mut report).await?;
    }
    let databases = match options.database.is_empty() {
        true => databases_of_this_build(),
        false => options.database.clone(),
    };
    for database in &databases {
        if options.part.contains(&Part::Idle) {
            idle::run(database, &options, &mut report).await?;
        }
        if options.part.contains(&Part::Resize) {
            resize::run(database, &options, &mut report).await?;
        }
        if options.part.contains(&Part::Logs) {
            logs::run(database, &options, &mut report).await?;
        }
        if options.part.contains(&Part::Remote) {
            remote::run(database, &options, &mut report).await?;
        }
        if options.part.contains(&Part::Limits) {
            limits::run(database, &options, &mut report).await?;
        }
    }
    report.print();
    Ok(())
}

/// Processor time of this thread, or of all threads of this process, also of those that have ended.
#[cfg(unix)]
fn cpu_time(of: CpuTime) -> Result<Duration> {
    let time = rustix::time::clock_gettime(match of {
        CpuTime::Thread => rustix::time::ClockId::ThreadCPUTime,
        CpuTime::Process => rustix::time::ClockId::ProcessCPUTime,
    });
    let (seconds, nanos) = (u64::try_from(time.tv_sec)?, u32::try_from(time.tv_nsec)?);
    Ok(Duration::new(seconds, nanos))
}

#[cfg(not(unix))]
fn cpu_time(_: CpuTime) -> Result<Duration> {
    Err("this needs a Unix".into())
}

#[derive(Debug, Clone, Copy)]
enum CpuTime {
    Thread,
    Process,
}

/// What is written beside a figure: what it was to be, and whether it is.
fn verdict(reached: bool, aim: &str) -> String {
    let word = if reached { "reached" } else { "MISSED" };
    format!("{word}: {aim}")
}
