//! How fast tasks are added, picked up and run, beside the fastest bare statements on the same tables.
//!
//! ```sh
//! cargo bench --all-features --bench throughput -- [--backend sqlite postgres mysql]
//!     [--part insert drain mixed pickup cross scale nodes urgent] [--json FILE] [--tasks N] [--workers N] [--nodes 2] [--rounds 5]
//!     [--pickups 500] [--backlog 100000] [--history 1000000]
//! ```
//!
//! Both sides take turns, each time on a new database: what else the machine does hits both alike, so ratios say more than
//! rates. Each figure is the median over the rounds. What bare means is said in `bare/mod.rs`.
//!
//! Servers are those of `GAIA_BENCH_POSTGRES_URL` and `GAIA_BENCH_MYSQL_URL`; their user must be allowed to create
//! databases. `scripts/database` starts private ones; with `GAIA_DURABLE=1` they are as durable as in production.

mod bare;
mod child;
#[path = "../common/database.rs"]
mod database;
mod drain;
mod facts;
mod figures;
mod insert;
mod mixed;
mod nodes;
mod ours;
mod pickup;
#[path = "../common/place.rs"]
mod place;
#[path = "../common/report.rs"]
mod report;
#[path = "../common/rows.rs"]
mod rows;
mod scale;
mod statements;
#[path = "../common/timing.rs"]
mod timing;
mod urgent;

use std::path::PathBuf;

use child::Role;
use clap::{Parser, ValueEnum};
use database::{Kind, Result, databases_of_this_build};
use indicatif::ProgressBar;
use report::Report;

const THEME: &str = "bench";

#[derive(Parser)]
struct Options {
    /// `sqlite`, `sqlite:FOLDER`, `postgres`, `mysql`. Default: what there is.
    #[arg(long, num_args = 1..)]
    backend: Vec<String>,
    /// What to measure. Default: everything.
    #[arg(long, num_args = 1.., value_enum)]
    part: Vec<Part>,
    /// Tasks that are added or drained in one turn. Default: 20,000 on SQLite, 50,000 on a server.
    #[arg(long)]
    tasks: Option<usize>,
    /// Workers of the scheduler.
    #[arg(long, default_value_t = 100)]
    workers: usize,
    /// nodes: processes on one database.
    #[arg(long, default_value_t = 2)]
    nodes: usize,
    /// Turns of each side.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Tasks of one turn that are timed one by one.
    #[arg(long, default_value_t = 500)]
    pickups: usize,
    /// drain: tasks of the drain whose memory is looked at.
    #[arg(long, default_value_t = 100_000)]
    backlog: usize,
    /// scale: finished tasks, and tasks that wait.
    #[arg(long, default_value_t = 1_000_000)]
    history: usize,
    /// Write each figure to this file as well, one JSON object to a line.
    #[arg(long)]
    json: Option<PathBuf>,
    /// What a process of its own does.
    #[arg(long, hide = true, value_enum)]
    child: Option<Role>,
    /// On which database.
    #[arg(long, hide = true)]
    url: Option<String>,
    #[arg(skip = ProgressBar::new_spinner())]
    bar: ProgressBar,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Tasks added, 1,000 at once and one by one.
    Insert,
    /// Tasks run that were there before.
    Drain,
    /// Tasks added and run at once.
    Mixed,
    /// From the call that adds a task to its handler.
    Pickup,
    /// The same from one process to another one.
    Cross,
    /// A drain beside a long history and from a long backlog.
    Scale,
    /// Several processes on one database.
    Nodes,
    /// A task of high priority behind slow ones.
    Urgent,
}

#[actix_rt::main]
async fn main() -> Result<()> {
    statements::listen()?;
    let options = Options::parse();
    if let Some(role) = options.child {
        return child::run(role, &options).await;
    }
    let mut report = Report::new(options.json.as_deref())?;
    let measured = measure(&options, &mut report).await;
    options.bar.finish_and_clear();
    report.print();
    measured
}

async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    report.fact(&facts::of_machine())?;
    for database in options.databases()? {
        report.fact(&facts::of_database(&database).await?)?;
        let kind = Kind::of(&database)?;
        for part in options.parts() {
            options.bar.set_message(format!("{} {part:?}", kind.name()));
            match part {
                Part::Insert => insert::run(&database, kind, options, report).await?,
                Part::Drain => drain::run(&database, kind, options, report).await?,
                Part::Mixed => mixed::run(&database, kind, options, report).await?,
                Part::Pickup => pickup::run(&database, kind, options, report).await?,
                Part::Cross => pickup::run_across(&database, kind, options, report).await?,
                Part::Scale => scale::run(&database, kind, options, report).await?,
                Part::Nodes => nodes::run(&database, kind, options, report).await?,
                Part::Urgent => urgent::run(&database, kind, options, report).await?,
            }
        }
    }
    Ok(())
}

impl Options {
    fn parts(&self) -> Vec<Part> {
        match self.part.is_empty() {
            true => Part::value_variants().to_vec(),
            false => self.part.clone(),
        }
    }

    fn tasks_of(&self, kind: Kind) -> usize {
        self.tasks.unwrap_or(match kind {
            Kind::Sqlite => 20_000,
            Kind::Postgres | Kind::Mysql => 50_000,
        })
    }

    fn databases(&self) -> Result<Vec<String>> {
        let all = databases_of_this_build();
        if self.backend.is_empty() {
            for missing in ["postgres", "mysql"].iter().filter(|name| find(name, &all).is_err()) {
                println!("{}", absent(missing));
            }
            return Ok(all);
        }
        self.backend.iter().map(|backend| find(backend, &all)).collect()
    }
}

fn find(backend: &str, all: &[String]) -> Result<String> {
    if backend.contains(':') {
        return Ok(backend.to_owned());
    }
    let kind = Kind::of(backend)?;
    let found = all
        .iter()
        .find(|database| Kind::of(database).is_ok_and(|of| of == kind));
    found.cloned().ok_or_else(|| absent(kind.name()).into())
}

fn absent(name: &str) -> String {
    let variable = format!("GAIA_BENCH_{}_URL", name.to_uppercase());
    format!("{name} is left out: it takes a build with `--features {name}`, and the URL of a server in {variable}")
}
