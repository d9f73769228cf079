//! A steady, mixed load for some minutes: does anything grow?
//!
//! ```sh
//! cargo bench --all-features --bench steady -- [--database postgres://… mysql://… sqlite] [--minutes 10] [--warm-up 2]
//!     [--rate 2000] [--retention 45] [--every 10] [--workers 100] [--json FILE]
//! ```
//!
//! Tasks come at a fixed rate: nine of ten in bulk, the others one at a time; one of ten is due some seconds later, one of
//! twenty fails once. Finished rows are deleted after a short retention, so that soon as many rows go as come, and a server has
//! cleaned up once or twice (PostgreSQL looks once a minute). What does not stay as it was after this warm-up grows with time:
//! space for each live row, memory, delays.
//!
//! Without `--database` it is SQLite, and the servers of `GAIA_BENCH_POSTGRES_URL` and `GAIA_BENCH_MYSQL_URL`; databases are
//! made on them and dropped at the end.

#[path = "../common/database.rs"]
#[allow(dead_code, reason = "other benchmarks need the rest")]
mod database;
mod load;
#[path = "../common/report.rs"]
#[allow(dead_code, reason = "other benchmarks need the rest")]
mod report;
mod sample;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Parser;
use comfy_table::{Table, presets::ASCII_MARKDOWN};
use database::{Home, Kind, Plain, Result, databases_of_this_build, name};
use gaia_actors::{Gaia, SchedulerOptions};
use load::Load;
use report::{Figure, Report, median};
use sample::{MEASURES, Sample};

const BENCH: &str = "steady";
const THEME: &str = "bench";

/// What may be added to a measure from the minute after the warm-up to the last one.
const AIM: f64 = 0.1;

#[derive(Parser)]
struct Options {
    /// `sqlite`, `sqlite:FOLDER`, or URLs of servers.
    #[arg(long, num_args = 1..)]
    database: Vec<String>,
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Minutes (of a short run: samples) that nothing is compared with.
    #[arg(long, default_value_t = 2)]
    warm_up: usize,
    /// Tasks a second.
    #[arg(long, default_value_t = 2_000)]
    rate: usize,
    /// For how many seconds finished rows are kept.
    #[arg(long, default_value_t = 45)]
    retention: u64,
    /// Seconds between two samples.
    #[arg(long, default_value_t = 10)]
    every: u64,
    #[arg(long, default_value_t = 100)]
    workers: usize,
    /// SQL for a new database: settings of its tables that are to be tried.
    #[arg(long)]
    with: Option<String>,
    /// Figures as lines of JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
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
        let home = Home::new(database)?;
        let name = name(BENCH);
        home.create(&name).await?;
        let samples = measure(home.kind, &home.url_of(&name)?, &options).await;
        home.remove(&[name]).await?;
        conclude(home.kind, &samples?, &options, &mut report)?;
    }
    report.print();
    Ok(())
}

async fn measure(kind: Kind, url: &str, options: &Options) -> Result<Vec<Sample>> {
    let load = Load::default();
    let gaia = Gaia::builder()
        .database(url)
        .retention(Duration::from_secs(options.retention))
        .handler("Bench", "Work", load.handler())
        .start()
        .await?;
    let mut plain = Plain::connect(kind, url).await?;
    if let Some(sql) = &options.with {
        plain.run(sql).await?;
    }
    let scheduler = SchedulerOptions::new(THEME).worker_num(options.workers);
    let scheduler = gaia.start_scheduler(scheduler).await?;
    let feeding = actix_rt::spawn(load.clone().feed(scheduler, options.rate));

    let (began, every) = (Instant::now(), Duration::from_secs(options.every));
    let mut samples = Vec::new();
    while began.elapsed().as_secs_f64() < options.minutes * 60.0 {
        actix_rt::time::sleep(every).await;
        if feeding.is_finished() {
            break;
        }
        let sample = Sample::take(kind, &mut plain, &load, began.elapsed()).await?;
        sample.print();
        samples.push(sample);
    }
    if feeding.is_finished() {
        return Err(feeding.await?.unwrap_or_else(|error| error).into());
    }
    feeding.abort();
    gaia.stop().await?;
    Ok(samples)
}

/// A table by minute (of a short run: by sample), and what has grown.
fn conclude(kind: Kind, samples: &[Sample], options: &Options, report: &mut Report) -> Result<()> {
    let in_minute = usize::try_from(60 / options.every.clamp(1, 60))?;
    let in_part = if samples.len() < 3 * in_minute { 1 } else { in_minute };
    let parts: Vec<&[Sample]> = samples.chunks_exact(in_part).collect();
    let middle = |part: &[Sample], measure: usize| {
        let values: Vec<f64> = part.iter().filter_map(|sample| sample.values[measure]).collect();
        (!values.is_empty()).then(|| median(&values))
    };

    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    let mut header = vec![format!(
        "{}, {}",
        kind.name(),
        if in_part == 1 { "sample" } else { "minute" }
    )];
    header.extend(
        MEASURES
            .iter()
            .map(|measure| format!("{}, {}", measure.name, measure.unit)),
    );
    table.set_header(header);
    for (at, part) in parts.iter().enumerate() {
        let mut row = vec![(at + 1).to_string()];
        row.extend((0..MEASURES.len()).map(|measure| middle(part, measure).map_or_else(String::new, report::number)));
        table.add_row(row);
    }
    println!("{table}\n");

    let (Some(first), Some(last)) = (parts.get(options.warm_up), parts.last()) else {
        return Err("the run ended before its warm-up".into());
    };
    for (at, measure) in MEASURES.iter().enumerate() {
        let (Some(before), Some(after)) = (middle(first, at), middle(last, at)) else {
            continue;
        };
        let values: Vec<f64> = last.iter().filter_map(|sample| sample.values[at]).collect();
        let growth = after / before.max(f64::MIN_POSITIVE) - 1.0;
        let mut note = format!("{:+.0} % since the warm-up", 100.0 * growth.min(99.0));
        if measure.may_not_grow {
            let word = if growth <= AIM { "reached" } else { "MISSED" };
            note = format!("{word}: {note}, 10 % at most");
        }
        let figure = Figure::new(BENCH, measure.name, kind.name(), "gaia-actors", measure.unit).of(&values);
        report.add(figure.note(note))?;
    }
    Ok(())
}
