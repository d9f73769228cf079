//! Remote workers that take tasks through the API in batches and end them, beside a node that runs the same tasks.

use std::time::Instant;

use futures_util::future::try_join_all;
use gaia_actors::{async_fn, prelude::*};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    Options, THEME,
    database::{Kind, Result},
    figure,
    place::{Place, on_fresh},
    report::Report,
    served::Served,
    timing::{Aim, rate},
};

/// Tasks of one claim.
const BATCH: usize = 100;

/// Workers that ask at the same time: while one waits for the disk, the others go on.
const WORKERS: usize = 8;

/// Of the workers of the node, and of one call that adds tasks.
const RUNNING: usize = 100;
const ADDED: usize = 1_000;

#[derive(Deserialize)]
struct Claimed {
    tasks: Vec<Task>,
}

#[derive(Deserialize)]
struct Task {
    token: String,
}

#[derive(Serialize)]
struct Ends {
    runs: Vec<End>,
}

#[derive(Serialize)]
struct End {
    token: String,
    result: u32,
}

pub(crate) async fn run(database: &str, options: &Options, report: &mut Report) -> Result<()> {
    let (mut pulled, mut drained) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        pulled.push(on_fresh(database, async |place| pull(place, options.pulled).await).await?);
        drained.push(on_fresh(database, async |place| drain(place, options.pulled).await).await?);
    }
    let case = format!("{WORKERS} remote workers, claims of {BATCH}");
    let mut of_workers = figure(&case, database, "pull", "tasks/s")?.beside(&pulled, &drained);
    of_workers.note = match Kind::of(database)? {
        Kind::Postgres => Aim::AtLeast(10_000.0).of_median(&pulled, "tasks/s"),
        _ => "of the node".to_owned(),
    };
    report.add(of_workers)?;
    report.add(figure(&case, database, "node", "tasks/s")?.of(&drained))?;
    Ok(())
}

async fn add(scheduler: &Scheduler, tasks: usize) -> Result<()> {
    let task = NewTask::new("Bench", "Noop").args(&json!({"item": "tea", "amount": 2}));
    for _ in 0..tasks.div_ceil(ADDED) {
        scheduler.add_tasks(vec![task.clone(); ADDED]).await?;
    }
    Ok(())
}

async fn pull(place: &Place, tasks: usize) -> Result<f64> {
    let served = Served::start(&place.url).await?;
    add(&served.gaia.scheduler(THEME)?, tasks).await?;
    let asked = json!({
        "worker": "bench", "theme": THEME, "methods": [{"service": "Bench", "method": "Noop"}], "count": BATCH,
    })
    .to_string();
    let worker = async || {
        let mut ended = 0;
        loop {
            let claimed: Claimed = serde_json::from_slice(&served.ask("/claims", asked.clone()).await?)?;
            if claimed.tasks.is_empty() {
                return Result::Ok(ended);
            }
            ended += claimed.tasks.len();
            let end = |task: Task| End {
                token: task.token,
                result: 7,
            };
            let ends = Ends {
                runs: claimed.tasks.into_iter().map(end).collect(),
            };
            served.ask("/claims/finish", serde_json::to_string(&ends)?).await?;
        }
    };
    let began = Instant::now();
    let ended: usize = try_join_all((0..WORKERS).map(|_| worker())).await?.into_iter().sum();
    let rate = rate(ended, began.elapsed());
    served.stop().await?;
    Ok(rate)
}

async fn drain(place: &Place, tasks: usize) -> Result<f64> {
    let gaia = Gaia::builder()
        .database(&place.url)
        .handler("Bench", "Noop", async_fn(async |_, _: Value| Ok(7)))
        .start()
        .await?;
    let scheduler = gaia.scheduler(THEME)?;
    add(&scheduler, tasks).await?;
    let began = Instant::now();
    let scheduler = gaia
        .start_scheduler(SchedulerOptions::new(THEME).worker_num(RUNNING))
        .await?;
    let added = tasks.div_ceil(ADDED) * ADDED;
    while scheduler.status().await?.succeeded < added as u64 {
        actix_rt::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let rate = rate(added, began.elapsed());
    gaia.stop().await?;
    Ok(rate)
}
