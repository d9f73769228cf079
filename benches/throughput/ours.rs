//! The crate, as the parts use it.

use std::time::{Duration, Instant};

use gaia_actors::prelude::*;
use serde_json::Value;

use crate::{Options, THEME, database::Result};

/// Tasks of one call that adds many.
pub(crate) const BULK: usize = 1_000;

/// A node that runs nothing yet.
pub(crate) async fn node(url: &str, handler: Endpoint) -> Result<Gaia> {
    let gaia = Gaia::builder().database(url).handler("Bench", "Noop", handler);
    Ok(gaia.start().await?)
}

pub(crate) async fn idle_node(url: &str) -> Result<Gaia> {
    node(url, async_fn(async |_, _: Value| Ok(()))).await
}

pub(crate) fn scheduler(options: &Options) -> SchedulerOptions {
    SchedulerOptions::new(THEME).worker_num(options.workers)
}

pub(crate) fn noop() -> NewTask {
    NewTask::new("Bench", "Noop")
}

pub(crate) async fn add(scheduler: &Scheduler, tasks: usize, at_once: usize) -> Result<()> {
    for from in (0..tasks).step_by(at_once) {
        let count = at_once.min(tasks - from);
        scheduler.add_tasks(vec![noop(); count]).await?;
    }
    Ok(())
}

/// Starts the scheduler, and answers when so many tasks are committed as done: how many they were, and how long it took.
pub(crate) async fn drain(gaia: &Gaia, tasks: usize, options: &Options) -> Result<(u64, Duration)> {
    let began = Instant::now();
    let scheduler = gaia.start_scheduler(self::scheduler(options)).await?;
    let succeeded = until_succeeded(&scheduler, tasks).await?;
    Ok((succeeded, began.elapsed()))
}

/// The recorder counts what is committed.
pub(crate) async fn until_succeeded(scheduler: &Scheduler, tasks: usize) -> Result<u64> {
    loop {
        let succeeded = scheduler.status().await?.succeeded;
        if succeeded >= tasks as u64 {
            return Ok(succeeded);
        }
        actix_rt::time::sleep(Duration::from_millis(1)).await;
    }
}
