//! What cron costs: reading schedules, keeping many jobs, and starting runs when they are due.
//!
//! ```sh
//! cargo bench --bench cron --all-features -- [--part schedule ticks jitter] [--json FILE]
//!     [--database sqlite postgres://… mysql://…] [--rounds 7] [--millis 20]
//!     [--jobs 1000 10000 100000] [--seconds 30] [--burst 1000] [--bursts 10] [--every 3]
//! ```
//!
//! `schedule`: calls a second beside the crates `croner` and `cron`. All sides take turns in one process; each figure is the
//! median over the rounds. `ticks`: what enabled jobs cost that are not due. `jitter`: how late runs start.
//!
//! Without `--database` it is SQLite, and the servers of `GAIA_BENCH_POSTGRES_URL` and `GAIA_BENCH_MYSQL_URL`; databases are
//! made on them and dropped at the end.

#[path = "../common/database.rs"]
mod database;
mod jitter;
mod place;
mod schedule;
mod ticks;

use std::{fs::File, io::Write, path::PathBuf};

use clap::{Parser, ValueEnum};
use database::{Result, databases_of_this_build};
use serde::Serialize;

#[derive(Parser)]
struct Options {
    /// What to measure.
    #[arg(long, num_args = 1.., value_enum, default_values_t = [Part::Schedule, Part::Ticks, Part::Jitter])]
    part: Vec<Part>,
    /// `sqlite`, `sqlite:FOLDER`, or URLs of servers.
    #[arg(long, num_args = 1..)]
    database: Vec<String>,
    /// schedule: turns of each side.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// schedule: how long one turn is, in milliseconds.
    #[arg(long, default_value_t = 20)]
    millis: u64,
    /// ticks: enabled jobs, each number in a process of its own.
    #[arg(long, num_args = 1.., default_values_t = [1_000, 10_000, 100_000])]
    jobs: Vec<usize>,
    /// How long a node is idle for `ticks`, and for how long one job runs every second for `jitter`.
    #[arg(long, default_value_t = 30)]
    seconds: usize,
    /// jitter: jobs that are due in the same second.
    #[arg(long, default_value_t = 1_000)]
    burst: usize,
    /// jitter: how often they are.
    #[arg(long, default_value_t = 10)]
    bursts: usize,
    /// jitter: seconds between two bursts.
    #[arg(long, default_value_t = 3)]
    every: u32,
    /// Write each figure to this file as well, one JSON object to a line.
    #[arg(long)]
    json: Option<PathBuf>,
    /// URL of the database on which a process of its own measures `ticks`.
    #[arg(long, hide = true)]
    child: Option<String>,
    /// The child is the first to see these jobs.
    #[arg(long, hide = true)]
    first: bool,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Schedule,
    Ticks,
    Jitter,
}

#[actix_rt::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(url) = &options.child {
        return ticks::child(url, &options).await;
    }
    let mut lines = Lines::new(&options)?;
    if options.part.contains(&Part::Schedule) {
        schedule::run(&options, &mut lines)?;
    }
    let databases = match options.database.is_empty() {
        true => databases_of_this_build(),
        false => options.database.clone(),
    };
    if options.part.contains(&Part::Ticks) {
        ticks::run(&databases, &options, &mut lines).await?;
    }
    if options.part.contains(&Part::Jitter) {
        jitter::run(&databases, &options, &mut lines).await?;
    }
    Ok(())
}

/// The figures for programs that read them, if anybody wants them.
struct Lines(Option<File>);

impl Lines {
    fn new(options: &Options) -> Result<Self> {
        Ok(Self(options.json.as_ref().map(File::create).transpose()?))
    }

    fn add(&mut self, figures: &impl Serialize) -> Result<()> {
        if let Some(file) = &mut self.0 {
            writeln!(file, "{}", serde_json::to_string(figures)?)?;
        }
        Ok(())
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

/// What is written beside a figure that was to stay below an aim.
fn verdict(figure: f64, aim: f64) -> &'static str {
    if figure < aim { "reached" } else { "MISSED" }
}
