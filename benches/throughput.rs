//! How fast tasks go through scanner, pool, registry and recorder, beside the same statements in a bare loop.
//!
//! ```sh
//! cargo bench --bench throughput -- [--tasks 20000] [--workers 30] [--rounds 5] [--backlog 100000]
//! ```
//!
//! Ours and bare take turns on fresh databases in one process; each figure is the median over the rounds. Both claim at
//! most 1000 rows at once, write one execution record for each task, and commit durably (`synchronous=FULL`).

use std::time::{Duration, Instant};

use clap::Parser;
use gaia_actors::{
    Clock, Outcome,
    prelude::*,
    store::{Claim, Store},
};
use hdrhistogram::Histogram;
use serde_json::Value;
use tokio::sync::mpsc;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const THEME: &str = "bench";
const BATCH: usize = 1_000;

#[derive(Parser)]
struct Options {
    /// Tasks of one drain.
    #[arg(long, default_value_t = 20_000)]
    tasks: usize,
    /// Workers of the scheduler.
    #[arg(long, default_value_t = 30)]
    workers: usize,
    /// Turns of each side.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Tasks of the drain whose memory is looked at.
    #[arg(long, default_value_t = 100_000)]
    backlog: usize,
    /// Tasks whose pickup is timed, one at a time.
    #[arg(long, default_value_t = 500)]
    pickups: usize,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[actix_rt::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    case("drain", options.tasks, options.rounds, &options).await?;
    case("backlog", options.backlog, 1, &options).await
}

/// One line: drain rates beside the bare loop, pickup latency, and the most memory the process had until now.
async fn case(name: &str, tasks: usize, rounds: usize, options: &Options) -> Result<()> {
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours.push(rate(tasks, drain_ours(tasks, options.workers).await?));
        bare.push(rate(tasks, drain_bare(tasks).await?));
    }
    let ratios = ours.iter().zip(&bare).map(|(ours, bare)| ours / bare).collect();
    let micros = pickups(options).await?;
    println!(
        "{name:7} backend=sqlite tasks={tasks} workers={} rounds={rounds} ours={:.0}/s bare={:.0}/s ratio={:.2} \
         (ours {}, bare {}) pickup p50={:.2}ms p99={:.2}ms peak={}MB",
        options.workers,
        median(ours.clone()),
        median(bare.clone()),
        median(ratios),
        spread(&ours),
        spread(&bare),
        millis(micros.value_at_quantile(0.5)),
        millis(micros.value_at_quantile(0.99)),
        peak_memory(),
    );
    Ok(())
}

/// One no-op task at a time, from the call that adds it to the first line of its handler, in microseconds.
async fn pickups(options: &Options) -> Result<Histogram<u64>> {
    let folder = tempfile::tempdir()?;
    let (started, mut starts) = mpsc::unbounded_channel();
    let handler = async_fn(async move |_, _: Value| started.send(Instant::now()).map_err(TaskError::from));
    let gaia = Gaia::builder()
        .database(url(&folder))
        .handler("Bench", "Noop", handler)
        .scheduler(SchedulerOptions::new(THEME).worker_num(options.workers))
        .start()
        .await?;
    let scheduler = gaia.scheduler(THEME)?;
    let mut micros = Histogram::<u64>::new(3)?;
    for _ in 0..options.pickups {
        let began = Instant::now();
        scheduler.add_task(noop()).await?;
        let start = starts.recv().await.ok_or("the handler is gone")?;
        micros.record(u64::try_from((start - began).as_micros())?)?;
    }
    gaia.stop().await?;
    Ok(micros)
}

async fn drain_ours(tasks: usize, workers: usize) -> Result<Duration> {
    let folder = tempfile::tempdir()?;
    let gaia = Gaia::builder()
        .database(url(&folder))
        .handler("Bench", "Noop", async_fn(async |_, _: Value| Ok(())))
        .start()
        .await?;
    let client = gaia.scheduler(THEME)?;
    load(&client, tasks).await?;

    let began = Instant::now();
    let options = SchedulerOptions::new(THEME).worker_num(workers);
    let scheduler = gaia.start_scheduler(options).await?;
    // The recorder counts what is committed.
    while scheduler.status().await?.succeeded < tasks as u64 {
        actix_rt::time::sleep(Duration::from_millis(1)).await;
    }
    let took = began.elapsed();

    let counts = client.count_by_status().await?;
    assert_eq!(counts[&TaskStatus::Success], i64::try_from(tasks)?, "{counts:?}");
    gaia.stop().await?;
    Ok(took)
}

/// The same claims and the same writes, one after the other, with nothing in between.
async fn drain_bare(tasks: usize) -> Result<Duration> {
    let folder = tempfile::tempdir()?;
    let gaia = Gaia::builder().database(url(&folder)).start().await?;
    load(&gaia.scheduler(THEME)?, tasks).await?;
    let store = Store::connect(&url(&folder), Clock::system()).await?;

    let began = Instant::now();
    let mut done = 0;
    while done < tasks {
        let claim = Claim {
            theme: THEME.to_owned(),
            node: gaia.node_id().to_owned(),
            limit: BATCH,
            first: Vec::new(),
        };
        let claimed = store.claim(claim).await?.tasks;
        done += claimed.len();
        let ends = claimed
            .into_iter()
            .map(|task| (task, Outcome::Succeeded(Json::null())))
            .collect();
        store.record(ends, RetryPolicy::default()).await?;
    }
    let took = began.elapsed();
    gaia.stop().await?;
    Ok(took)
}

async fn load(scheduler: &Scheduler, tasks: usize) -> Result<()> {
    for from in (0..tasks).step_by(BATCH) {
        let count = BATCH.min(tasks - from);
        scheduler.add_tasks(vec![noop(); count]).await?;
    }
    Ok(())
}

fn noop() -> NewTask {
    NewTask::new("Bench", "Noop")
}

fn url(folder: &tempfile::TempDir) -> String {
    format!("sqlite:{}", folder.path().join("bench.db").display())
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn rate(tasks: usize, took: Duration) -> f64 {
    tasks as f64 / took.as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "microseconds are far below 2^53")]
fn millis(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn spread(values: &[f64]) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(0.0, f64::max);
    format!("{least:.0}..{most:.0}")
}

/// The most memory this process ever had, in megabytes; 0 where the system does not tell.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) / 1_024
}
