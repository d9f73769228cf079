//! Whether a long history, or a long backlog, slows a drain down, ours and that of the bare loop, and how much memory our draining
//! process needs.

use crate::{
    Options, THEME,
    bare::Bare,
    child::{Child, Drained, Role},
    database::{Kind, Plain, Result},
    figures::{Aim, BARE, OURS, figure, rate},
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

/// What the rounds on one database gave.
#[derive(Default)]
struct Rounds {
    ours: Vec<Drained>,
    /// Tasks a second of the bare loop.
    bare: Vec<f64>,
}

impl Rounds {
    async fn add_ours(&mut self, place: &Place, options: &Options) -> Result<()> {
        let tasks = options.tasks.unwrap_or(TASKS);
        Bare::connect(place.kind, &place.url).await?.add(tasks).await?;
        let child = Child::start(Role::Drain, &place.url, tasks, options.workers)?;
        self.ours.push(child.drained().await?);
        Ok(())
    }

    async fn add_bare(&mut self, place: &Place, options: &Options) -> Result<()> {
        let tasks = options.tasks.unwrap_or(TASKS);
        let mut bare = Bare::connect(place.kind, &place.url).await?;
        bare.add(tasks).await?;
        self.bare.push(rate(tasks, bare.drain(tasks).await?));
        Ok(())
    }

    fn rates(&self) -> Vec<f64> {
        self.ours.iter().map(|drained| drained.rate).collect()
    }

    fn peaks(&self) -> Vec<f64> {
        self.ours.iter().map(|drained| drained.peak).collect()
    }
}

/// Drains as many tasks from the large database and from a new one in which `waiting` more wait.
async fn compare(database: &str, large: &Place, waiting: usize, options: &Options) -> Result<(Rounds, Rounds)> {
    let (mut larges, mut smalls) = (Rounds::default(), Rounds::default());
    large.settle().await?;
    for _ in 0..options.rounds {
        larges.add_ours(large, options).await?;
        on_fresh(database, async |place| {
            fill(place, waiting).await?;
            smalls.add_ours(place, options).await
        })
        .await?;
        larges.add_bare(large, options).await?;
        on_fresh(database, async |place| {
            fill(place, waiting).await?;
            smalls.add_bare(place, options).await
        })
        .await?;
        options.bar.inc(1);
    }
    Ok((larges, smalls))
}

async fn fill(small: &Place, waiting: usize) -> Result<()> {
    wait(&mut small.plain().await?, small.kind, waiting).await?;
    small.settle().await
}

fn add(report: &mut Report, kind: Kind, large: &str, small: &str, (larges, smalls): &(Rounds, Rounds)) -> Result<()> {
    let case = |what: &str, side, unit| figure(&format!("scale, {what}"), kind, side, unit);
    let beside: Figure = case(large, OURS, "tasks/s").beside(&larges.rates(), &smalls.rates());
    let verdict = RATE.verdict(beside.ratio.unwrap_or_default(), &format!("of {small}"));
    report.add(beside.note(verdict))?;
    report.add(case(small, OURS, "tasks/s").of(&smalls.rates()))?;
    let limit = case(large, BARE, "tasks/s").beside(&larges.bare, &smalls.bare);
    report.add(limit.note(format!("of {small}")))?;
    report.add(case(small, BARE, "tasks/s").of(&smalls.bare))?;
    let peaks = larges.peaks();
    let memory = case(&format!("{large}, peak memory"), OURS, "MB").of(&peaks);
    report.add(memory.note(MEMORY.of_median(&peaks, "MB")))?;
    Ok(())
}
