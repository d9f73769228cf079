//! Adding tasks: many at once, one after the other, and one each by many callers.

use std::time::Instant;

use futures_util::future::try_join_all;

use crate::{
    Options,
    bare::Bare,
    database::{Kind, Result},
    figures::{Aim, BARE, OURS, Quantiles, Times, add_rates, each, figure, rate, turns},
    ours::{self, BULK, noop},
    place::{Place, on_fresh},
    report::Report,
};

const AIM: Aim = Aim::AtLeast(0.9);
/// As many as requests that a server may answer at once.
const CALLERS: usize = 100;
/// Tasks of each caller.
const EACH: usize = 50;

pub(crate) async fn run(database: &str, kind: Kind, options: &Options, report: &mut Report) -> Result<()> {
    let tasks = options.tasks_of(kind);
    let ours = async |place: &Place| bulk_of_ours(place, tasks).await;
    let bare = async |place: &Place| bulk_of_bare(place, tasks).await;
    let rates = turns(database, options, ours, bare).await?;
    add_rates(report, "insert, 1000 at once", kind, &rates, Some(AIM))?;

    let ours = async |place: &Place| singles_of_ours(place, options.pickups).await;
    let bare = async |place: &Place| singles_of_bare(place, options.pickups).await;
    let (ours, bare) = turns(database, options, ours, bare).await?;
    let rates = |rounds: &[(f64, Quantiles)]| rounds.iter().map(|round| round.0).collect::<Vec<_>>();
    let medians = |rounds: &[(f64, Quantiles)]| each(&rounds.iter().map(|round| round.1).collect::<Vec<_>>(), 0);
    add_rates(report, "insert, one by one", kind, &(rates(&ours), rates(&bare)), None)?;
    let (ours, bare) = (medians(&ours), medians(&bare));
    report.add(figure("insert, one by one, p50", kind, OURS, "ms").beside(&ours, &bare))?;
    report.add(figure("insert, one by one, p50", kind, BARE, "ms").of(&bare))?;

    let mut rates = Vec::new();
    for _ in 0..options.rounds {
        rates.push(on_fresh(database, by_many).await?);
        options.bar.inc(1);
    }
    let case = format!("insert, one by one by {CALLERS} callers");
    report.add(figure(&case, kind, OURS, "tasks/s").of(&rates))?;
    Ok(())
}

async fn by_many(place: &Place) -> Result<f64> {
    let gaia = ours::idle_node(&place.url).await?;
    let scheduler = gaia.scheduler(crate::THEME)?;
    let caller = async || {
        for _ in 0..EACH {
            scheduler.add_task(noop()).await?;
        }
        Result::Ok(())
    };
    let began = Instant::now();
    try_join_all((0..CALLERS).map(|_| caller())).await?;
    let took = began.elapsed();
    gaia.stop().await?;
    Ok(rate(CALLERS * EACH, took))
}

async fn bulk_of_ours(place: &Place, tasks: usize) -> Result<f64> {
    let gaia = ours::idle_node(&place.url).await?;
    let scheduler = gaia.scheduler(crate::THEME)?;
    let began = Instant::now();
    ours::add(&scheduler, tasks, BULK).await?;
    let took = began.elapsed();
    gaia.stop().await?;
    Ok(rate(tasks, took))
}

async fn bulk_of_bare(place: &Place, tasks: usize) -> Result<f64> {
    let mut bare = Bare::connect(place.kind, &place.url).await?;
    let began = Instant::now();
    bare.add(tasks).await?;
    Ok(rate(tasks, began.elapsed()))
}

async fn singles_of_ours(place: &Place, count: usize) -> Result<(f64, Quantiles)> {
    let gaia = ours::idle_node(&place.url).await?;
    let scheduler = gaia.scheduler(crate::THEME)?;
    let (mut times, began) = (Times::new()?, Instant::now());
    for _ in 0..count {
        let asked = Instant::now();
        scheduler.add_task(noop()).await?;
        times.note(asked.elapsed())?;
    }
    let took = began.elapsed();
    gaia.stop().await?;
    Ok((rate(count, took), times.quantiles()))
}

async fn singles_of_bare(place: &Place, count: usize) -> Result<(f64, Quantiles)> {
    let began = Instant::now();
    let quantiles = singles(place, count).await?;
    Ok((rate(count, began.elapsed()), quantiles))
}

/// How long one durable insert takes.
pub(crate) async fn singles(place: &Place, count: usize) -> Result<Quantiles> {
    let mut bare = Bare::connect(place.kind, &place.url).await?;
    let mut times = Times::new()?;
    for _ in 0..count {
        let asked = Instant::now();
        bare.insert_one().await?;
        times.note(asked.elapsed())?;
    }
    Ok(times.quantiles())
}
