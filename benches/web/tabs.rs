//! A node that drains its theme, alone and beside the dashboard's pages that stay open.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use gaia_actors::prelude::*;

use crate::{
    Options, THEME,
    cancel::add,
    database::Result,
    figure,
    place::{Place, on_fresh},
    report::Report,
    served::Served,
    timing::{Aim, rate},
};

const COUNT: u32 = 10;

/// What the open pages show.
const TABS: [&str; COUNT as usize] = [
    "/",
    "/",
    "/",
    "/tasks",
    "/tasks?theme=bench",
    "/tasks?q=status:failed",
    "/themes/bench",
    "/themes/bench",
    "/nodes",
    "/jobs",
];

pub(crate) async fn run(database: &str, options: &Options, report: &mut Report) -> Result<()> {
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for round in 0..options.rounds {
        // Which of them comes first changes from round to round.
        for are_open in [round % 2 == 1, round % 2 == 0] {
            let drained = on_fresh(database, async |place| drain(place, options, are_open).await).await?;
            match are_open {
                true => beside.push(drained),
                false => alone.push(drained),
            }
        }
    }
    let case = format!(
        "drain, beside {} open pages, each anew every {} s",
        TABS.len(),
        options.refresh
    );
    let mut drains = figure(&case, database, "drain", "tasks/s")?.beside(&beside, &alone);
    drains.note = Aim::AtLeast(0.98).verdict(drains.ratio.unwrap_or_default(), "of the drain alone");
    report.add(drains)?;
    report.add(figure("drain, without open pages", database, "drain", "tasks/s")?.of(&alone))?;
    Ok(())
}

async fn drain(place: &Place, options: &Options, are_open: bool) -> Result<f64> {
    let served = Served::start(&place.url).await?;
    add(&served.gaia, THEME, options.drained).await?;
    place.settle().await?;
    let served = Rc::new(served);
    let is_over = Rc::new(Cell::new(false));
    let refresh = Duration::from_secs(options.refresh);
    let tabs: Vec<_> = TABS
        .into_iter()
        .zip(0..)
        .filter(|_| are_open)
        .map(|(path, nth)| {
            let (served, is_over) = (Rc::clone(&served), Rc::clone(&is_over));
            actix_rt::spawn(async move {
                actix_rt::time::sleep(refresh * nth / COUNT).await;
                while !is_over.get() {
                    served.get(path).await.map_err(|error| error.to_string())?;
                    actix_rt::time::sleep(refresh).await;
                }
                Ok::<(), String>(())
            })
        })
        .collect();
    let began = Instant::now();
    let scheduler = served.gaia.start_scheduler(SchedulerOptions::new(THEME)).await?;
    while scheduler.status().await?.succeeded < options.drained as u64 {
        actix_rt::time::sleep(Duration::from_millis(5)).await;
    }
    let drained = rate(options.drained, began.elapsed());
    is_over.set(true);
    for tab in tabs {
        tab.await??;
    }
    Rc::into_inner(served).ok_or("a page is still open")?.stop().await?;
    Ok(drained)
}
