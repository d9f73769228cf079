//! A drain of a process that is watched: its metrics are read by a scrape and by the facade, and it looks for alerts.

use std::{
    cell::Cell,
    rc::Rc,
    sync::OnceLock,
    time::{Duration, Instant},
};

use gaia_actors::{async_fn, events::to_metrics, prelude::*};
use metrics_util::debugging::{DebuggingRecorder, Snapshotter};
use serde_json::Value;

use crate::{
    Options, THEME,
    cancel::add,
    database::Result,
    figure,
    place::{Place, on_fresh},
    report::Report,
    served::{API, Served},
    timing::{Aim, rate},
};

/// How often Prometheus reads: more often than most do.
const SCRAPE: Duration = Duration::from_secs(1);

pub(crate) async fn run(database: &str, options: &Options, report: &mut Report) -> Result<()> {
    let (mut alone, mut watched) = (Vec::new(), Vec::new());
    for round in 0..options.rounds {
        // Which of them comes first changes from round to round.
        for is_watched in [round % 2 == 1, round % 2 == 0] {
            let drained = on_fresh(database, async |place| drain(place, options, is_watched).await).await?;
            match is_watched {
                true => watched.push(drained),
                false => alone.push(drained),
            }
        }
    }
    let case = "drain, watched: a scrape each second, the facade `metrics`, alerts";
    let mut drains = figure(case, database, "drain", "tasks/s")?.beside(&watched, &alone);
    drains.note = Aim::AtLeast(0.98).verdict(drains.ratio.unwrap_or_default(), "of the drain that nobody watches");
    report.add(drains)?;
    report.add(figure("drain, not watched", database, "drain", "tasks/s")?.of(&alone))?;
    Ok(())
}

async fn drain(place: &Place, options: &Options, is_watched: bool) -> Result<f64> {
    let noop = async_fn(async |_, _: Value| Ok(()));
    let builder = Gaia::builder().database(&place.url).handler("Bench", "Noop", noop);
    let builder = match is_watched {
        true => builder.observe(to_metrics()).on_alert(|_| {}),
        false => builder,
    };
    let recorder = recorder();
    let gaia = builder.start().await?;
    add(&gaia, THEME, options.drained).await?;
    place.settle().await?;
    let served = match is_watched {
        true => Some(Served::of(gaia.clone())?),
        false => None,
    };
    let served = Rc::new(served);
    let is_over = Rc::new(Cell::new(false));
    let scrapes = {
        let (served, is_over) = (Rc::clone(&served), Rc::clone(&is_over));
        actix_rt::spawn(async move {
            let Some(served) = served.as_ref() else { return Ok(()) };
            while !is_over.get() {
                served
                    .get(&format!("{API}/metrics"))
                    .await
                    .map_err(|error| error.to_string())?;
                // What an exporter does when it is read.
                drop(recorder.snapshot());
                actix_rt::time::sleep(SCRAPE).await;
            }
            Ok::<(), String>(())
        })
    };
    let began = Instant::now();
    let scheduler = gaia.start_scheduler(SchedulerOptions::new(THEME)).await?;
    while scheduler.status().await?.succeeded < options.drained as u64 {
        actix_rt::time::sleep(Duration::from_millis(5)).await;
    }
    let drained = rate(options.drained, began.elapsed());
    is_over.set(true);
    scrapes.await??;
    match Rc::into_inner(served).ok_or("a scrape is still under way")? {
        Some(served) => served.stop().await?,
        None => {
            gaia.stop().await?;
        }
    }
    Ok(drained)
}

/// The recorder of this process, which keeps all values until they are read.
fn recorder() -> Snapshotter {
    static RECORDER: OnceLock<Snapshotter> = OnceLock::new();
    let of_process = RECORDER.get_or_init(|| {
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        // There is no other one in this program.
        let _ = recorder.install();
        snapshotter
    });
    of_process.clone()
}
