//! What the HTTP API costs beside the crate's own calls, and how fast a bulk operation is.
//!
//! ```sh
//! cargo bench --all-features --bench web -- [--part add batch read cancel tabs watched pull] [--rounds 5] [--json FILE]
//!     [--database sqlite postgres://… mysql://…]
//!     [--tasks 10000] [--batched 100000] [--rows 1000000] [--reads 500] [--cancelled 100000] [--drained 100000] [--refresh 5] [--pulled 100000]
//! ```
//!
//! `add`: `POST /tasks` on 100 connections beside `add_task` by 100 callers, and beside requests that add nothing. `batch`: `POST /tasks/batch` of 1,000 tasks beside `add_tasks`.
//! `read`: lists, single tasks and pages beside many finished tasks. `cancel`: a bulk operation that cancels waiting tasks, and a drain of
//! another theme beside it. `tabs`: a drain beside open pages of the dashboard. `watched`: a drain whose metrics are read and that looks for alerts,
//! beside one that nobody watches. `pull`: remote workers that take and end tasks through the API, beside a node that runs them.
//!
//! Server and client are this process: they share its processors. Without `--database` it is SQLite, and the servers of
//! `GAIA_BENCH_POSTGRES_URL` and `GAIA_BENCH_MYSQL_URL`; databases are made on them and dropped at the end.

mod add;
mod cancel;
#[path = "../common/database.rs"]
mod database;
#[path = "../common/place.rs"]
#[allow(dead_code, reason = "other benchmarks need the rest")]
mod place;
mod pull;
mod read;
#[path = "../common/report.rs"]
#[allow(dead_code, reason = "other benchmarks need the rest")]
mod report;
#[path = "../common/rows.rs"]
#[allow(dead_code, reason = "other benchmarks need the rest")]
mod rows;
mod served;
mod tabs;
#[path = "../common/timing.rs"]
#[allow(dead_code, reason = "other benchmarks need the rest")]
mod timing;
mod watched;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use database::{Kind, Result, databases_of_this_build};
use report::{Figure, Report};

const THEME: &str = "bench";

#[derive(Parser)]
struct Options {
    /// What to measure.
    #[arg(long, num_args = 1.., value_enum, default_values_t = [Part::Add, Part::Batch, Part::Read, Part::Cancel, Part::Tabs, Part::Watched, Part::Pull])]
    part: Vec<Part>,
    /// `sqlite`, `sqlite:FOLDER`, or URLs of servers.
    #[arg(long, num_args = 1..)]
    database: Vec<String>,
    /// Measurements of each figure.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// add: tasks of one round.
    #[arg(long, default_value_t = 10_000)]
    tasks: usize,
    /// batch: tasks of one round.
    #[arg(long, default_value_t = 100_000)]
    batched: usize,
    /// read: finished tasks, each with its record.
    #[arg(long, default_value_t = 1_000_000)]
    rows: usize,
    /// read: requests of each kind.
    #[arg(long, default_value_t = 500)]
    reads: usize,
    /// cancel: waiting tasks that the bulk operation cancels.
    #[arg(long, default_value_t = 100_000)]
    cancelled: usize,
    /// cancel, tabs, watched: tasks that a node drains alone, and beside the bulk operation, open pages or scrapes.
    #[arg(long, default_value_t = 100_000)]
    drained: usize,
    /// tabs: how often an open page asks again, in seconds. 5 is what pages do by themselves, 2 the least that a reader can choose.
    #[arg(long, default_value_t = 5)]
    refresh: u64,
    /// pull: tasks that remote workers take.
    #[arg(long, default_value_t = 100_000)]
    pulled: usize,
    /// Figures as lines of JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Add,
    Batch,
    Read,
    Cancel,
    Tabs,
    Watched,
    Pull,
}

#[actix_rt::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let mut report = Report::new(options.json.as_deref())?;
    let databases = match options.database.is_empty() {
        true => databases_of_this_build(),
        false => options.database.clone(),
    };
    for database in &databases {
        for part in &options.part {
            match part {
                Part::Add => add::singles(database, &options, &mut report).await?,
                Part::Batch => add::batches(database, &options, &mut report).await?,
                Part::Read => read::run(database, &options, &mut report).await?,
                Part::Cancel => cancel::run(database, &options, &mut report).await?,
                Part::Tabs => tabs::run(database, &options, &mut report).await?,
                Part::Watched => watched::run(database, &options, &mut report).await?,
                Part::Pull => pull::run(database, &options, &mut report).await?,
            }
        }
    }
    report.print();
    Ok(())
}

fn figure(case: &str, database: &str, side: &str, unit: &'static str) -> Result<Figure> {
    Ok(Figure::new("web", case, Kind::of(database)?.name(), side, unit))
}
