//! How long it takes from the call that adds a task to the first line of its handler, with one task in flight: in one process,
//! and from one process to another one. Beside it stands what one durable insert takes.

use std::time::{Duration, Instant};

use gaia_actors::prelude::*;
use serde_json::Value;
use tokio::sync::mpsc::unbounded_channel;

use crate::{
    Options, THEME,
    child::{Child, Role, clock},
    database::{Kind, Result},
    figures::{Aim, BARE, DOUBTFUL, NOISE, OURS, QUANTILES, Quantiles, Times, each, figure, turns},
    insert::singles,
    ours::{self, noop},
    place::Place,
    report::Report,
};

/// A turn between two processes ends after this time at the latest: without a word from the database, one looks every 100 ms.
const LONGEST: Duration = Duration::from_secs(10);

pub(crate) async fn run(database: &str, kind: Kind, options: &Options, report: &mut Report) -> Result<()> {
    let ours = async |place: &Place| in_process(place, options).await;
    let bare = async |place: &Place| singles(place, options.pickups).await;
    let times = turns(database, options, ours, bare).await?;
    add(report, "pickup", kind, &times, |quantile, ours, ratio| {
        match (kind, quantile) {
            (Kind::Sqlite, "p50") => Aim::Below(1.0).of_median(ours, "ms"),
            (Kind::Sqlite, "p99") => Aim::Below(5.0).of_median(ours, "ms"),
            (Kind::Postgres, "p50") => Aim::Below(2.0).verdict(ratio, "of bare"),
            _ => String::new(),
        }
    })
}

pub(crate) async fn run_across(database: &str, kind: Kind, options: &Options, report: &mut Report) -> Result<()> {
    let ours = async |place: &Place| across(place, options).await;
    let bare = async |place: &Place| singles(place, options.pickups).await;
    let times = turns(database, options, ours, bare).await?;
    add(report, "cross", kind, &times, |quantile, ours, _| {
        match (kind, quantile) {
            (Kind::Postgres, "p50") => Aim::Below(3.5).of_median(ours, "ms"),
            (Kind::Postgres, "p95") => Aim::Below(5.5).of_median(ours, "ms"),
            _ => String::new(),
        }
    })
}

fn add(
    report: &mut Report,
    case: &str,
    kind: Kind,
    (ours, bare): &(Vec<Quantiles>, Vec<Quantiles>),
    note: impl Fn(&str, &[f64], f64) -> String,
) -> Result<()> {
    for (at, (quantile, _)) in QUANTILES.into_iter().enumerate() {
        let (ours, bare) = (each(ours, at), each(bare, at));
        let case = format!("{case} {quantile}");
        let figure_of_ours = figure(&case, kind, OURS, "ms").beside(&ours, &bare);
        let ratio = figure_of_ours.ratio.unwrap_or_default();
        // A pickup has a durable insert in it.
        let note = match ratio < 1.0 - NOISE {
            true => DOUBTFUL.to_owned(),
            false => note(quantile, &ours, ratio),
        };
        report.add(figure_of_ours.note(note))?;
        report.add(figure(&case, kind, BARE, "ms").of(&bare).note("one durable insert"))?;
    }
    Ok(())
}

async fn in_process(place: &Place, options: &Options) -> Result<Quantiles> {
    let (started, mut starts) = unbounded_channel();
    let handler = async_fn(async move |_, _: Value| started.send(Instant::now()).map_err(TaskError::from));
    let (ended, mut ends) = unbounded_channel();
    let gaia = ours::node(&place.url, handler).await?;
    // A task is in flight until its outcome is stored.
    let post_handler = async move |_, _| ended.send(()).map_err(TaskError::from);
    let scheduler = ours::scheduler(options).post_handler(post_handler);
    let scheduler = gaia.start_scheduler(scheduler).await?;
    let mut times = Times::new()?;
    for _ in 0..options.pickups {
        let asked = Instant::now();
        scheduler.add_task(noop()).await?;
        let start = starts.recv().await.ok_or("the handler is gone")?;
        times.note(start - asked)?;
        ends.recv().await.ok_or("the recorder is gone")?;
    }
    gaia.stop().await?;
    Ok(times.quantiles())
}

/// One process adds, the other one runs. They are on one machine, so they have one clock.
async fn across(place: &Place, options: &Options) -> Result<Quantiles> {
    let gaia = ours::idle_node(&place.url).await?;
    let scheduler = gaia.scheduler(THEME)?;
    let mut child = Child::start(Role::Tell, &place.url, 0, options.workers)?;
    child.ready().await?;
    // The first one is not timed: whoever had nothing to do for long looks seldom.
    scheduler.add_task(noop()).await?;
    child.line().await?;
    let (mut times, began) = (Times::new()?, Instant::now());
    for _ in 0..options.pickups {
        let asked = clock();
        scheduler.add_task(noop()).await?;
        let start: u128 = child.line().await?.parse()?;
        times.note(Duration::from_nanos(u64::try_from(start.saturating_sub(asked))?))?;
        if began.elapsed() > LONGEST {
            break;
        }
    }
    child.end()?;
    gaia.stop().await?;
    Ok(times.quantiles())
}
