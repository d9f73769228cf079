//! How long a task of high priority waits behind many slow ones whose workers are all busy. Beside it stands when the next worker had
//! nothing to do.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use gaia_actors::prelude::*;
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::{
    Options, THEME,
    database::{Kind, Result},
    figures::{Aim, OURS, QUANTILES, Quantiles, Times, each, figure},
    ours::{self, noop},
    place::{Place, on_fresh},
    report::Report,
};

/// Workers of the node.
const WORKERS: u32 = 8;
/// How long a slow task takes.
const SLOW: Duration = Duration::from_millis(500);
const SLOW_TASKS: usize = 10_000;
/// Urgent tasks of one round, one after the other.
const URGENT: usize = 10;

pub(crate) async fn run(database: &str, kind: Kind, options: &Options, report: &mut Report) -> Result<()> {
    let (mut ours, mut free) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let (waited, until_free) =
            on_fresh(database, async |place: &Place| behind_slow_ones(place, options).await).await?;
        ours.push(waited);
        free.push(until_free);
        options.bar.inc(1);
    }
    for (at, (quantile, _)) in QUANTILES.into_iter().enumerate() {
        let (ours, free) = (each(&ours, at), each(&free, at));
        let case = format!("urgent {quantile}");
        let note = match quantile {
            "p99" => Aim::Below(1_000.0).of_median(&ours, "ms"),
            _ => String::new(),
        };
        report.add(figure(&case, kind, OURS, "ms").beside(&ours, &free).note(note))?;
        report.add(figure(&case, kind, "next free worker", "ms").of(&free))?;
    }
    Ok(())
}

/// From the call that adds an urgent task until its handler begins, and until the first slow task ends after that call has returned.
async fn behind_slow_ones(place: &Place, options: &Options) -> Result<(Quantiles, Quantiles)> {
    let (started, mut starts) = unbounded_channel();
    let (freed, mut ends) = unbounded_channel();
    let urgent = async_fn(async move |_, _: Value| started.send(Instant::now()).map_err(TaskError::from));
    let runs = AtomicU32::new(0);
    let slow = async_fn(async move |_, _: Value| {
        // The first ones are shorter, so that the workers do not all become free at the same moment.
        let part = runs.fetch_add(1, Ordering::Relaxed).saturating_add(1).min(WORKERS);
        actix_rt::time::sleep(SLOW * part / WORKERS).await;
        freed.send(Instant::now()).map_err(TaskError::from)
    });
    let gaia = Gaia::builder()
        .database(place.url.as_str())
        .handler("Bench", "Noop", urgent)
        .handler("Bench", "Slow", slow)
        .start()
        .await?;
    let scheduler = gaia.scheduler(THEME)?;
    let tasks = options.tasks.unwrap_or(SLOW_TASKS);
    for from in (0..tasks).step_by(ours::BULK) {
        let count = ours::BULK.min(tasks - from);
        scheduler.add_tasks(vec![NewTask::new("Bench", "Slow"); count]).await?;
    }
    let scheduler = gaia
        .start_scheduler(SchedulerOptions::new(THEME).worker_num(WORKERS as usize))
        .await?;
    // All workers are busy from now on.
    next_after(&mut ends, Instant::now()).await?;
    let (mut waited, mut until_free) = (Times::new()?, Times::new()?);
    for _ in 0..URGENT {
        let asked = Instant::now();
        scheduler.add_task(noop().priority(1_000)).await?;
        let added = Instant::now();
        let start = starts.recv().await.ok_or("the handler is gone")?;
        waited.note(start - asked)?;
        until_free.note(next_after(&mut ends, added).await? - asked)?;
    }
    gaia.stop().await?;
    Ok((waited.quantiles(), until_free.quantiles()))
}

async fn next_after(ends: &mut UnboundedReceiver<Instant>, time: Instant) -> Result<Instant> {
    loop {
        let end = ends.recv().await.ok_or("the handler is gone")?;
        if end > time {
            return Ok(end);
        }
    }
}
