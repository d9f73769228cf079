//! Whether a long history, or a long backlog, slows a drain down, and how much memory the draining process needs.

use crate::{
    Options, THEME,
    bare::Bare,
    child::{Child, Drained, Role},
    database::{Kind, Plain, Result},
    figures::{Aim, OURS, figure},
    place::{Place, on_fresh},
    report::{Figure, Report},
    rows::{add_finished, add_waiting},
};

/// Drained in one turn.
const TASKS: usize = 20_000;
/// Waits at least, where the backlog is short.
const SHORT: usize = 10_000;
const RATE: Aim = Aim::AtLeast(0.9);
/// Megabytes.
const MEMORY: Aim = Aim::Below(120.0);

pub(crate) async fn run(database: &str, kind: Kind, options: &Options, report: &mut Report) -> Result<()> {
    let history = options.history;
    let filled = on_fresh(database, async |place| {
        add_finished(&mut place.plain().await?, kind, &theme(), history).await?;
        compare(database, place, 0, options).await
    });
    add(
        report,
        kind,
        &format!("{history} finished"),
        "nothing finished",
        &filled.await?,
    )?;

    let filled = on_fresh(database, async |place| {
        wait(&mut place.plain().await?, kind, history).await?;
        compare(database, place, SHORT.min(history), options).await
    });
    add(
        report,
        kind,
        &format!("{history} waiting"),
        &format!("{SHORT} waiting"),
        &filled.await?,
    )
}

fn theme() -> String {
    format!("'{THEME}'")
}

async fn wait(plain: &mut Plain, kind: Kind, count: usize) -> Result<()> {
    add_waiting(plain, kind, &theme(), "NULL", count).await
}

/// Drains as many tasks from the large database and from a new one in which `waiting` more wait.
async fn compare(
    database: &str,
    large: &Place,
    waiting: usize,
    options: &Options,
) -> Result<(Vec<Drained>, Vec<Drained>)> {
    let (mut larges, mut smalls) = (Vec::new(), Vec::new());
    large.settle().await?;
    for _ in 0..options.rounds {
        larges.push(drain(large, options).await?);
        let small = on_fresh(database, async |small| {
            wait(&mut small.plain().await?, small.kind, waiting).await?;
            small.settle().await?;
            drain(small, options).await
        });
        smalls.push(small.await?);
        options.bar.inc(1);
    }
    Ok((larges, smalls))
}

async fn drain(place: &Place, options: &Options) -> Result<Drained> {
    let tasks = options.tasks.unwrap_or(TASKS);
    Bare::connect(place.kind, &place.url).await?.add(tasks).await?;
    Child::start(Role::Drain, &place.url, tasks, options.workers)?
        .drained()
        .await
}

fn add(
    report: &mut Report,
    kind: Kind,
    large: &str,
    small: &str,
    (larges, smalls): &(Vec<Drained>, Vec<Drained>),
) -> Result<()> {
    let rates = |side: &[Drained]| side.iter().map(|drained| drained.rate).collect::<Vec<_>>();
    let peaks = |side: &[Drained]| side.iter().map(|drained| drained.peak).collect::<Vec<_>>();
    let case = |what: &str, unit| figure(&format!("scale, {what}"), kind, OURS, unit);
    let beside: Figure = case(large, "tasks/s").beside(&rates(larges), &rates(smalls));
    let verdict = RATE.verdict(beside.ratio.unwrap_or_default(), &format!("of {small}"));
    report.add(beside.note(verdict))?;
    report.add(case(small, "tasks/s").of(&rates(smalls)))?;
    let peaks = peaks(larges);
    let memory = case(&format!("{large}, peak memory"), "MB").of(&peaks);
    report.add(memory.note(MEMORY.of_median(&peaks, "MB")))?;
    Ok(())
}
