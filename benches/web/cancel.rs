//! A bulk operation that cancels waiting tasks, alone and beside a node that drains another theme.

use std::time::{Duration, Instant};

use gaia_actors::{
    Gaia,
    admin::{BulkAction, BulkOperation, BulkState, BulkTasks, TaskFilter},
    async_fn,
    prelude::*,
};
use serde_json::{Value, json};

use crate::{
    Options, THEME,
    database::{Kind, Result},
    figure,
    place::{Place, on_fresh},
    report::Report,
    timing::{Aim, rate},
};

const CANCELLED: &str = "cancelled";

pub(crate) async fn run(database: &str, options: &Options, report: &mut Report) -> Result<()> {
    let (mut cancels, mut alone, mut beside) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        alone.push(
            on_fresh(database, async |place| {
                drain(place, options, false).await.map(|both| both.0)
            })
            .await?,
        );
        let (drained, cancelled) = on_fresh(database, async |place| drain(place, options, true).await).await?;
        beside.push(drained);
        cancels.push(cancelled);
    }
    let is_postgres = Kind::of(database)? == Kind::Postgres;
    let mut rate = figure("bulk cancel, beside a drain", database, "bulk", "tasks/s")?.of(&cancels);
    if is_postgres {
        rate = rate.note(Aim::AtLeast(20_000.0).of_median(&cancels, "tasks/s"));
    }
    report.add(rate)?;
    let mut drains = figure("drain, beside a bulk cancel", database, "drain", "tasks/s")?.beside(&beside, &alone);
    if is_postgres {
        drains.note = Aim::AtLeast(0.67).verdict(drains.ratio.unwrap_or_default(), "of the drain alone");
    }
    report.add(drains)?;
    report.add(figure("drain, alone", database, "drain", "tasks/s")?.of(&alone))?;
    Ok(())
}

/// The rates at which a node drains its theme, and at which the bulk operation cancels the tasks of another.
async fn drain(place: &Place, options: &Options, with_bulk: bool) -> Result<(f64, f64)> {
    let gaia = Gaia::builder()
        .database(&place.url)
        .handler("Bench", "Noop", async_fn(async |_, _: Value| Ok(())))
        .start()
        .await?;
    add(&gaia, THEME, options.drained).await?;
    add(&gaia, CANCELLED, options.cancelled).await?;
    place.settle().await?;
    let operation = match with_bulk {
        true => Some(actix_rt::spawn(cancel(gaia.clone()))),
        false => None,
    };
    let began = Instant::now();
    let scheduler = gaia.start_scheduler(SchedulerOptions::new(THEME)).await?;
    while scheduler.status().await?.succeeded < options.drained as u64 {
        actix_rt::time::sleep(Duration::from_millis(5)).await;
    }
    let drained = rate(options.drained, began.elapsed());
    let cancelled = match operation {
        Some(operation) => rate(options.cancelled, operation.await?.map_err(|error| error.to_string())?),
        None => 0.0,
    };
    gaia.stop().await?;
    Ok((drained, cancelled))
}

/// Adds tasks as programs do that have many of them.
pub(crate) async fn add(gaia: &Gaia, theme: &str, count: usize) -> Result<()> {
    const CALL: usize = 1_000;
    let scheduler = gaia.scheduler(theme)?;
    for first in (0..count).step_by(CALL) {
        let tasks = (first..count.min(first + CALL))
            .map(|n| NewTask::new("Bench", "Noop").args(&json!({ "item": "tea", "amount": n })));
        scheduler.add_tasks(tasks.collect()).await?;
    }
    Ok(())
}

async fn cancel(gaia: Gaia) -> std::result::Result<Duration, Error> {
    let filter = TaskFilter {
        themes: vec![CANCELLED.to_owned()],
        ..TaskFilter::default()
    };
    let (admin, began) = (gaia.admin(), Instant::now());
    let BulkOperation { id, mut state, .. } = admin.bulk_tasks(BulkTasks::new(BulkAction::Cancel, filter)).await?;
    while state == BulkState::Running {
        actix_rt::time::sleep(Duration::from_millis(20)).await;
        state = admin.bulk_operation(id).await?.state;
    }
    Ok(began.elapsed())
}
