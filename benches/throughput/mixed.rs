//! Adding and running at once.

use std::time::Instant;

use crate::{
    Options, THEME,
    bare::Bare,
    database::{Kind, Result},
    figures::{add_rates, rate, turns},
    ours,
    place::Place,
    report::Report,
};

/// Tasks that are added at once.
const ADDED: usize = 100;

pub(crate) async fn run(database: &str, kind: Kind, options: &Options, report: &mut Report) -> Result<()> {
    let tasks = options.tasks_of(kind);
    let ours = async |place: &Place| of_ours(place, tasks, options).await;
    let bare = async |place: &Place| of_bare(place, tasks).await;
    let rates = turns(database, options, ours, bare).await?;
    add_rates(report, "mixed, 100 added at once", kind, &rates, None)
}

/// One adds without a pause while the scheduler runs what there is.
async fn of_ours(place: &Place, tasks: usize, options: &Options) -> Result<f64> {
    let gaia = ours::idle_node(&place.url).await?;
    let scheduler = gaia.scheduler(THEME)?;
    let began = Instant::now();
    let running = gaia.start_scheduler(ours::scheduler(options)).await?;
    ours::add(&scheduler, tasks, ADDED).await?;
    ours::until_succeeded(&running, tasks).await?;
    let took = began.elapsed();
    gaia.stop().await?;
    place.check(tasks).await?;
    Ok(rate(tasks, took))
}

/// The one loop adds as much as is claimed at once, and runs it.
async fn of_bare(place: &Place, tasks: usize) -> Result<f64> {
    let mut bare = Bare::connect(place.kind, &place.url).await?;
    let (mut added, mut done) = (0, 0);
    let began = Instant::now();
    while done < tasks {
        for _ in 0..10 {
            let count = ADDED.min(tasks - added);
            if count > 0 {
                bare.insert(count).await?;
            }
            added += count;
        }
        done += bare.turn().await?;
    }
    let took = began.elapsed();
    place.check(tasks).await?;
    Ok(rate(tasks, took))
}
