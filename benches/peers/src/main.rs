//! The same work through gaia-actors and its peers, taking turns. README.md says what is measured, and how.

mod chart;
mod child;
#[allow(dead_code, reason = "other benchmarks use more of it")]
#[path = "../../common/database.rs"]
mod database;
mod measure;
mod peers;
#[path = "../../common/report.rs"]
#[allow(dead_code, reason = "other benchmarks need the rest")]
mod report;
mod sides;

use std::{fs, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    child::{Child, Result, Settings},
    database::{Home, Kind},
    measure::{Measurement, Programs},
    peers::{OURS, PEERS, Peer},
    report::{Figure, Report},
};

#[derive(Parser)]
#[command(about, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    child: Option<Process>,
}

#[derive(Subcommand)]
enum Process {
    /// One measurement, of which the driver starts many.
    #[command(hide = true)]
    Child(Child),
}

#[derive(Args)]
struct Options {
    /// `sqlite`, `sqlite:FOLDER`, or the URL of a server whose user may create databases. By default SQLite, and the
    /// servers of GAIA_BENCH_POSTGRES_URL and GAIA_BENCH_MYSQL_URL.
    #[arg(long, num_args = 1..)]
    database: Vec<String>,
    /// Tasks of one drain. By default 100,000 on PostgreSQL, 20,000 on SQLite, 10,000 on MySQL; a fifth of that with default settings.
    #[arg(long)]
    tasks: Option<usize>,
    /// Turns of each side.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// What to measure; by default everything.
    #[arg(long, num_args = 1..)]
    case: Vec<Case>,
    /// Whom to measure beside gaia-actors; by default everybody.
    #[arg(long, num_args = 1..)]
    side: Vec<String>,
    /// Tasks whose pickup is timed, one at a time.
    #[arg(long, default_value_t = 200)]
    pickups: usize,
    /// Writes each figure as a line of JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Draws the drain rates.
    #[arg(long)]
    svg: Option<PathBuf>,
    /// Measures nothing: draws what this file of JSON lines says.
    #[arg(long, requires = "svg")]
    from: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Case {
    /// Bulk adds, then a drain with the best settings, and the most memory that the worker had.
    Drain,
    /// A drain with default settings.
    Defaults,
    /// The wait of a single task.
    Pickup,
}

/// A drain takes no longer: its rate is of what was done until then.
const LONGEST_DRAIN: Duration = Duration::from_secs(60);
const LONGEST_OTHER: Duration = Duration::from_secs(20);

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.child {
        Some(Process::Child(child)) => start(child),
        None => tokio_runtime()?.block_on(drive(&arguments.options)),
    }
}

fn tokio_runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// Each side on the runtime that its users have.
fn start(child: Child) -> Result<()> {
    let is_sqlite = child.url.starts_with("sqlite:");
    if child.side == OURS {
        return actix_rt::System::new().block_on(child::run::<sides::gaia::Ours>(child));
    }
    tokio_runtime()?.block_on(async {
        match (child.side.as_str(), is_sqlite) {
            ("riverqueue", _) => child::run::<sides::river::River>(child).await,
            ("graphile_worker", false) => child::run::<sides::graphile::Graphile>(child).await,
            ("apalis", false) => child::run::<sides::apalis_postgres::Apalis>(child).await,
            ("apalis", true) => child::run::<sides::apalis_sqlite::Apalis<true>>(child).await,
            ("apalis without LIdx", true) => child::run::<sides::apalis_sqlite::Apalis<false>>(child).await,
            (side, _) => Err(format!("{side:?} is no side of this program on this database").into()),
        }
    })
}

async fn drive(options: &Options) -> Result<()> {
    if let Some(from) = &options.from {
        let figures: Vec<serde_json::Value> = fs::read_to_string(from)?
            .lines()
            .map(serde_json::from_str)
            .collect::<std::result::Result<_, _>>()?;
        return chart(options, &figures);
    }
    let databases = match options.database.as_slice() {
        [] => database::databases_of_this_build(),
        databases => databases.to_vec(),
    };
    let mut homes = Vec::new();
    for database in &databases {
        homes.push(Home::new(&database.replacen("mariadb:", "mysql:", 1))?);
    }
    let chosen = |peer: &&Peer| {
        let is_chosen =
            options.side.is_empty() || peer.name == OURS || options.side.iter().any(|side| side == peer.name);
        is_chosen && homes.iter().any(|home| home.kind == peer.kind)
    };
    let peers: Vec<&Peer> = PEERS.iter().filter(chosen).collect();
    if let Some(side) = options
        .side
        .iter()
        .find(|side| peers.iter().all(|peer| peer.name != side.as_str()))
    {
        let names: Vec<&str> = PEERS.iter().map(|peer| peer.name).collect();
        return Err(format!("no side {side:?} on these databases; there are {}", names.join(", ")).into());
    }
    let programs = Programs::find(peers.iter().any(|peer| peer.is_older))?;

    let mut report = Report::new(options.json.as_deref())?;
    let mut figures = Vec::new();
    for home in &homes {
        let peers: Vec<&Peer> = peers.iter().copied().filter(|peer| peer.kind == home.kind).collect();
        for case in Case::value_variants() {
            let peers: Vec<&Peer> = match case {
                Case::Drain | Case::Defaults => peers.clone(),
                Case::Pickup => peers.iter().copied().filter(|peer| !peer.is_variant()).collect(),
            };
            if !options.case.is_empty() && !options.case.contains(case) {
                continue;
            }
            for figure in turns(home, &peers, *case, options, &programs).await? {
                figures.push(serde_json::to_value(&figure)?);
                report.add(figure)?;
            }
        }
    }
    report.print();
    chart(options, &figures)
}

fn chart(options: &Options, figures: &[serde_json::Value]) -> Result<()> {
    match &options.svg {
        Some(file) => chart::draw(file, figures),
        None => Ok(()),
    }
}

/// One case on one database: in each round every side has its turn, each time another one first.
async fn turns(
    home: &Home,
    peers: &[&Peer],
    case: Case,
    options: &Options,
    programs: &Programs,
) -> Result<Vec<Figure>> {
    let tasks = options.tasks.unwrap_or(match home.kind {
        Kind::Postgres => 100_000,
        Kind::Sqlite => 20_000,
        Kind::Mysql => 10_000,
    });
    let bar = ProgressBar::new((options.rounds * peers.len()) as u64)
        .with_style(ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} {msg}")?)
        .with_prefix(format!("{} {case:?}", home.kind.name()));
    let mut found: Vec<Vec<Result<Measurement>>> = peers.iter().map(|_| Vec::new()).collect();
    for round in 0..options.rounds {
        for turn in 0..peers.len() {
            let turn = (turn + round) % peers.len();
            let peer = peers[turn];
            bar.set_message(peer.name);
            let tasks = tasks.min(peer.most_tasks());
            let measurement = match case {
                Case::Drain => measure::drain(home, peer, programs, Settings::Best, tasks, LONGEST_DRAIN).await,
                Case::Defaults => {
                    measure::drain(
                        home,
                        peer,
                        programs,
                        Settings::Defaults,
                        tasks.div_ceil(5),
                        LONGEST_OTHER,
                    )
                    .await
                }
                Case::Pickup => measure::pickup(home, peer, programs, options.pickups, LONGEST_OTHER).await,
            };
            if let Err(error) = &measurement {
                bar.println(format!("{} on {}: {error}", peer.name, home.kind.name()));
            }
            found[turn].push(measurement);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(figures(home.kind, peers, case, &found))
}

type Value = fn(&Measurement) -> Option<f64>;

fn figures(kind: Kind, peers: &[&Peer], case: Case, found: &[Vec<Result<Measurement>>]) -> Vec<Figure> {
    let values: &[(&str, &'static str, Value)] = match case {
        Case::Drain => &[
            ("insert", "tasks/s", |found| found.insert),
            ("drain", "tasks/s", |found| found.drain),
            ("memory of the drain", "MB", |found| found.memory),
        ],
        Case::Defaults => &[("drain by defaults", "tasks/s", |found| found.drain)],
        Case::Pickup => &[
            ("pickup p50", "ms", |found| found.p50),
            ("pickup p99", "ms", |found| found.p99),
        ],
    };
    let ours = peers.iter().position(|peer| peer.name == OURS);
    let mut figures = Vec::new();
    for (what, unit, value) in values {
        let of = |turn: usize| -> Vec<Option<f64>> {
            let value = |found: &Result<Measurement>| found.as_ref().ok().and_then(value);
            found[turn].iter().map(value).collect()
        };
        for (turn, peer) in peers.iter().enumerate() {
            let all = of(turn);
            let values: Vec<f64> = all.iter().copied().flatten().collect();
            let figure =
                Figure::new("peers", what, kind.name(), peer.name, unit).note(note(peer, case, what, &found[turn]));
            figures.push(match ours {
                _ if values.is_empty() => figure,
                Some(ours) if ours != turn => {
                    // Rounds in which both came to their end.
                    let (values, ours): (Vec<f64>, Vec<f64>) = all
                        .iter()
                        .zip(of(ours))
                        .filter_map(|(value, ours)| Some(((*value)?, ours?)))
                        .unzip();
                    figure.beside(&values, &ours)
                }
                _ => figure.of(&values),
            });
        }
    }
    figures
}

/// What was set and how it works, and what went wrong.
fn note(peer: &Peer, case: Case, what: &str, found: &[Result<Measurement>]) -> String {
    let mut notes = match (case, what) {
        (_, "insert") => vec![peer.insert],
        (Case::Drain, "drain") => vec![peer.best, peer.note],
        (Case::Drain, _) => vec![],
        (Case::Defaults, _) => vec![peer.defaults],
        (Case::Pickup, _) => vec![peer.quick],
    };
    let mut faults: Vec<&str> = Vec::new();
    for found in found {
        match found {
            Ok(found) => faults.extend(found.fault.as_deref()),
            Err(_) => faults.push("failed"),
        }
    }
    let faults = match faults.as_slice() {
        [] => String::new(),
        [one] => format!("once {one}"),
        [first, ..] => format!("{} times such as: {first}", faults.len()),
    };
    if what != "insert" && !faults.is_empty() {
        notes.push(&faults);
    }
    notes.join("; ")
}
