//! Tasks that do nothing, all of them there before the first is run.

use std::time::Duration;

use crate::{
    Options, THEME,
    bare::Bare,
    child::{Child, Role},
    database::{Kind, Result},
    figures::{Aim, OURS, add_rates, figure, rate, turns},
    ours::{self, BULK},
    place::{Place, on_fresh},
    report::Report,
    statements,
};

const AIM: Aim = Aim::AtLeast(0.85);

pub(crate) async fn run(database: &str, kind: Kind, options: &Options, report: &mut Report) -> Result<()> {
    let tasks = options.tasks_of(kind);
    let ours = async |place: &Place| Ok(rate(tasks, of_ours(place, tasks, options).await?));
    let bare = async |place: &Place| Ok(rate(tasks, of_bare(place, tasks).await?));
    let rates = turns(database, options, ours, bare).await?;
    add_rates(report, "drain", kind, &rates, Some(AIM))?;
    count(database, kind, options, report).await?;
    memory(database, kind, options, report).await
}

pub(crate) async fn of_ours(place: &Place, tasks: usize, options: &Options) -> Result<Duration> {
    let gaia = ours::idle_node(&place.url).await?;
    ours::add(&gaia.scheduler(THEME)?, tasks, BULK).await?;
    place.settle().await?;
    let (_, took) = ours::drain(&gaia, tasks, options).await?;
    gaia.stop().await?;
    place.check(tasks).await?;
    Ok(took)
}

async fn of_bare(place: &Place, tasks: usize) -> Result<Duration> {
    let mut bare = Bare::connect(place.kind, &place.url).await?;
    bare.add(tasks).await?;
    place.settle().await?;
    let took = bare.drain(tasks).await?;
    place.check(tasks).await?;
    Ok(took)
}

/// One more drain, for which nobody looks at the time.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
async fn count(database: &str, kind: Kind, options: &Options, report: &mut Report) -> Result<()> {
    let tasks = options.tasks_of(kind);
    let counted = on_fresh(database, async |place| {
        let gaia = ours::idle_node(&place.url).await?;
        ours::add(&gaia.scheduler(THEME)?, tasks, BULK).await?;
        statements::begin();
        ours::drain(&gaia, tasks, options).await?;
        let counted = statements::end();
        gaia.stop().await?;
        Ok(counted)
    });
    let (statements, commits) = counted.await?;
    for (case, count, unit) in [
        ("drain, statements", statements, "/1000 tasks"),
        ("drain, commits", commits, "/1000 tasks"),
    ] {
        report.add(figure(case, kind, OURS, unit).of(&[count as f64 * 1_000.0 / tasks as f64]))?;
    }
    Ok(())
}

/// The most memory that a process of its own has while it drains a backlog.
async fn memory(database: &str, kind: Kind, options: &Options, report: &mut Report) -> Result<()> {
    let backlog = options.backlog;
    let peak = on_fresh(database, async |place| {
        Bare::connect(kind, &place.url).await?.add(backlog).await?;
        let drained = Child::start(Role::Drain, &place.url, backlog, options.workers)?
            .drained()
            .await?;
        place.check(backlog).await?;
        Ok(drained.peak)
    });
    let case = format!("peak memory, drain of {backlog}");
    report.add(figure(&case, kind, OURS, "MB").of(&[peak.await?]))?;
    Ok(())
}
