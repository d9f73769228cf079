//! A node that has nothing to do: processor time of its process, and queries, in rounds of some seconds.
//!
//! Each node is a process of its own, so that nothing else is measured. What the database's server does for it is not
//! counted.

use std::{
    process::{Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use actix_rt::time::sleep;
use diesel::connection::{InstrumentationEvent, set_default_instrumentation};
use gaia_actors::{Clock, Gaia, SchedulerOptions, store::Store};
use serde::{Deserialize, Serialize};

use crate::{
    CpuTime, Options, US, cpu_time,
    database::{Home, Result, name},
    report::{Figure, Report, median},
    verdict,
};

const BENCH: &str = "idle";

/// Percent of one core, of a node with one theme.
const CPU_AIM: f64 = 0.5;

/// A second, of one theme.
const QUERIES_AIM: f64 = 1.0;

/// A scanner looks more often right after its start.
const SETTLE: Duration = Duration::from_secs(12);

/// What a child has measured in each round.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Measured {
    /// Percent of one core.
    cpu: Vec<f64>,
    /// Queries a second.
    queries: Vec<f64>,
}

pub(crate) async fn run(database: &str, options: &Options, report: &mut Report) -> Result<()> {
    let home = Home::new(database)?;
    for themes in &options.themes {
        let database = name("idle");
        home.create(&database).await?;
        let measured = child_of(&home.url_of(&database)?, *themes, options).await;
        home.remove(&[database]).await?;
        add(home.kind.name(), *themes, &measured?, report)?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "themes are far fewer than 2^53")]
fn add(kind: &str, themes: usize, measured: &Measured, report: &mut Report) -> Result<()> {
    let each: Vec<f64> = measured.queries.iter().map(|queries| queries / themes as f64).collect();
    let figure = |what: &str, unit| Figure::new(BENCH, &format!("idle {themes} themes, {what}"), kind, US, unit);
    let mut cpu = figure("processor", "% of a core").of(&measured.cpu);
    if themes == 1 {
        cpu = cpu.note(verdict(median(&measured.cpu) < CPU_AIM, "below 0.5 %"));
    }
    report.add(cpu)?;
    let queries = figure("queries of a theme", "1/s").of(&each);
    // Some come every 15 s only: not each round has the same.
    let mean = each.iter().sum::<f64>() / each.len() as f64;
    let reached = mean <= QUERIES_AIM;
    let aim = verdict(reached, "1/s at most");
    report.add(queries.note(format!("{aim}; {mean:.2} over all rounds")))?;
    Ok(())
}

async fn child_of(url: &str, themes: usize, options: &Options) -> Result<Measured> {
    Store::connect(url, Clock::system()).await?.migrate().await?;
    let output = Command::new(std::env::current_exe()?)
        .args(["--child", url, "--themes", &themes.to_string()])
        .args(["--seconds", &options.seconds.to_string()])
        .args(["--rounds", &options.rounds.to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("the node with {themes} themes failed: {}", output.status).into());
    }
    let answer = String::from_utf8(output.stdout)?;
    let line = answer.lines().last().ok_or("the node has not answered")?;
    Ok(serde_json::from_str(line)?)
}

// ---- the child ----

pub(crate) async fn child(url: &str, options: &Options) -> Result<()> {
    set_default_instrumentation(|| Some(Box::new(|event: InstrumentationEvent<'_>| note(&event))))?;
    let themes = options.themes.first().copied().unwrap_or_default();
    let builder = Gaia::builder().database(url);
    let gaia = (0..themes)
        .fold(builder, |builder, theme| {
            builder.scheduler(SchedulerOptions::new(format!("theme {theme}")))
        })
        .start()
        .await?;
    sleep(SETTLE).await;
    let mut measured = Measured::default();
    for _ in 0..options.rounds {
        round(options.seconds, &mut measured).await?;
    }
    println!("{}", serde_json::to_string(&measured)?);
    gaia.stop().await?;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "queries are far fewer than 2^53")]
async fn round(seconds: u64, measured: &mut Measured) -> Result<()> {
    let (began, used, sent) = (
        Instant::now(),
        cpu_time(CpuTime::Process)?,
        QUERIES.load(Ordering::Relaxed),
    );
    sleep(Duration::from_secs(seconds)).await;
    let took = began.elapsed().as_secs_f64();
    let used = cpu_time(CpuTime::Process)?.saturating_sub(used).as_secs_f64();
    let sent = QUERIES.load(Ordering::Relaxed) - sent;
    measured.cpu.push(100.0 * used / took);
    measured.queries.push(sent as f64 / took);
    Ok(())
}

static QUERIES: AtomicU64 = AtomicU64::new(0);

fn note(event: &InstrumentationEvent<'_>) {
    if let InstrumentationEvent::StartQuery { .. } = event {
        QUERIES.fetch_add(1, Ordering::Relaxed);
    }
}
