//! How late runs start.
//!
//! One job that is due every second, then many that are due in the same second. A start is late by what the wall clock says
//! when the handler is called, less the second for which it was due. The records of the runs say the same by the node's
//! clock, which follows a server's: where the two disagree, the server's clock is another one. Of fewer than 100 runs the
//! 99th percentile is the longest.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use actix_rt::time::sleep;
use chrono::{DateTime, TimeDelta, Utc};
use comfy_table::Table;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::{
    Lines, Options,
    database::{Kind, Result},
    place::{Place, noting, start},
    verdict,
};

/// How long a round may last that does not come to its end.
const PATIENCE: Duration = Duration::from_secs(60);

struct Case {
    what: &'static str,
    jobs: usize,
    expression: String,
    /// Seconds in which they are due; one more comes first, for connections and caches.
    rounds: usize,
    every: u32,
    /// Of the 99th percentile, in milliseconds.
    aim: f64,
}

/// Microseconds by which the runs of each second were late.
type Starts = BTreeMap<DateTime<Utc>, Vec<i64>>;

#[derive(Serialize)]
struct Figures {
    part: &'static str,
    database: &'static str,
    what: &'static str,
    jobs: usize,
    rounds: usize,
    started: Lateness,
    recorded: Lateness,
    skipped: u64,
    aim_p99: f64,
}

/// Milliseconds.
#[derive(Serialize)]
struct Lateness {
    runs: u64,
    p50: f64,
    p99: f64,
    max: f64,
}

pub(crate) async fn run(databases: &[String], options: &Options, lines: &mut Lines) -> Result<()> {
    let mut table = Table::new();
    table.set_header([
        "jitter",
        "jobs",
        "runs",
        "p50",
        "p99",
        "max",
        "by the records (p50, p99, max)",
        "skipped",
        "aim of p99",
        "",
    ]);
    for database in databases {
        for case in cases(options) {
            let mut place = Place::make(database).await?;
            let figures = measure(&mut place, &case).await;
            place.remove().await?;
            let figures = figures?;
            lines.add(&figures)?;
            table.add_row(row(&figures));
        }
    }
    println!("{table}");
    Ok(())
}

fn cases(options: &Options) -> [Case; 2] {
    let one = Case {
        what: "one each second",
        jobs: 1,
        expression: "'* * * * * *'".to_owned(),
        rounds: options.seconds,
        every: 1,
        aim: 20.0,
    };
    let many = Case {
        what: "many in one second",
        jobs: options.burst,
        expression: format!("'*/{} * * * * *'", options.every),
        rounds: options.bursts,
        every: options.every,
        aim: 250.0,
    };
    [one, many]
}

async fn measure(place: &mut Place, case: &Case) -> Result<Figures> {
    place.add_jobs(case.jobs, &case.expression).await?;
    let starts = Arc::<Mutex<Starts>>::default();
    let noted = Arc::clone(&starts);
    let handler = noting(move |ctx| {
        let now = Utc::now();
        if let Some(at) = ctx.scheduled_at() {
            let late = (now - at).num_microseconds().unwrap_or(i64::MAX);
            let mut starts = noted.lock().unwrap_or_else(PoisonError::into_inner);
            starts.entry(at).or_default().push(late);
        }
    });
    let gaia = start(&place.url, handler).await?;
    wait_for_rounds(&starts, case).await?;
    let skipped = gaia.jobs().status().await?.skipped;
    gaia.stop().await?;

    let measured = measured(&starts, case);
    let recorded = recorded(place, &measured).await?;
    Ok(Figures {
        part: "jitter",
        database: place.kind.name(),
        what: case.what,
        jobs: case.jobs,
        rounds: case.rounds,
        started: lateness(measured.into_values().flatten())?,
        recorded: lateness(recorded)?,
        skipped,
        aim_p99: case.aim,
    })
}

/// All rounds but the first.
fn measured(starts: &Mutex<Starts>, case: &Case) -> Starts {
    let starts = starts.lock().unwrap_or_else(PoisonError::into_inner);
    complete(&starts, case).skip(1).take(case.rounds).collect()
}

/// The seconds in which all jobs have started.
fn complete(starts: &Starts, case: &Case) -> impl Iterator<Item = (DateTime<Utc>, Vec<i64>)> {
    let starts = starts.iter().filter(|(_, late)| late.len() == case.jobs);
    starts.map(|(at, late)| (*at, late.clone()))
}

async fn wait_for_rounds(starts: &Mutex<Starts>, case: &Case) -> Result<()> {
    let rounds = case.rounds + 1;
    let patience = PATIENCE + Duration::from_secs(u64::from(case.every)) * u32::try_from(rounds)?;
    let began = Instant::now();
    let count = || complete(&starts.lock().unwrap_or_else(PoisonError::into_inner), case).count();
    while count() < rounds {
        if began.elapsed() > patience {
            return Err(format!("{} of {rounds} rounds in {patience:?}", count()).into());
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// What the records say of the same seconds.
async fn recorded(place: &mut Place, measured: &Starts) -> Result<Vec<i64>> {
    let ends = measured.first_key_value().zip(measured.last_key_value());
    let Some(((first, _), (last, _))) = ends else {
        return Ok(Vec::new());
    };
    // Compared as texts on SQLite, which may go on with a fraction.
    let text = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M:%S").to_string();
    let query = format!(
        "SELECT CONCAT({}, '') AS line FROM job_record WHERE scheduled_at >= '{}' AND scheduled_at < '{}' \
         AND job_result_flag = 'success'",
        place.kind.late(),
        text(*first),
        text(*last + TimeDelta::seconds(1)),
    );
    let lines = place.plain.lines(&query).await?;
    Ok(lines
        .iter()
        .map(|line| line.parse())
        .collect::<std::result::Result<_, _>>()?)
}

impl Kind {
    /// Microseconds between two columns of a record; whole milliseconds on SQLite.
    fn late(self) -> &'static str {
        match self {
            Self::Sqlite => {
                "CAST(ROUND((julianday(started_at) - julianday(scheduled_at)) * 86400000) AS INTEGER) * 1000"
            }
            Self::Postgres => "CAST(EXTRACT(EPOCH FROM started_at - scheduled_at) * 1000000 AS BIGINT)",
            Self::Mysql => "TIMESTAMPDIFF(MICROSECOND, scheduled_at, started_at)",
        }
    }
}

fn lateness(micros: impl IntoIterator<Item = i64>) -> Result<Lateness> {
    let mut histogram = Histogram::<u64>::new(3)?;
    for late in micros {
        // Only a server's clock that is ahead makes a start early.
        histogram.record(u64::try_from(late).unwrap_or(0))?;
    }
    #[expect(clippy::cast_precision_loss, reason = "it is far below 2^53")]
    let millis = |micros: u64| micros as f64 / 1_000.0;
    Ok(Lateness {
        runs: histogram.len(),
        p50: millis(histogram.value_at_quantile(0.5)),
        p99: millis(histogram.value_at_quantile(0.99)),
        max: millis(histogram.max()),
    })
}

fn row(figures: &Figures) -> Vec<String> {
    let Figures { started, recorded, .. } = figures;
    let millis = |millis: f64| format!("{millis:.1} ms");
    vec![
        figures.database.to_owned(),
        format!("{}, {}", figures.jobs, figures.what),
        started.runs.to_string(),
        millis(started.p50),
        millis(started.p99),
        millis(started.max),
        format!("{:.1} {:.1} {:.1} ms", recorded.p50, recorded.p99, recorded.max),
        figures.skipped.to_string(),
        format!("< {} ms", figures.aim_p99),
        verdict(started.p99, figures.aim_p99).to_owned(),
    ]
}
