//! Whether a long history, or a long backlog, slows a drain down, ours and that of the bare loop, and how much memory our draining
//! process needs.

use crate::{
    Options, THEME,
    bare::Bare,
    child::{Child, Drained, Role},
    database::{Kind, Result},
    figures::{Aim, BARE, OURS, figure, rate},
    place::{Place, on_fresh},
    report::{Figure, Report},
    rows::{TEN_PRIORITIES, Waiting, add_finished, add_waiting},
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
        compare(database, place, async |_: &Place| Ok(()), options).await
    });
    add(
        report,
        kind,
        &format!("{history} finished"),
        "nothing finished",
        &filled.await?,
    )?;

    for (of, priority) in [("", "0"), (" of ten priorities", TEN_PRIORITIES)] {
        let short = SHORT.min(history);
        let filled = on_fresh(database, async |place| {
            wait(place, priority, history).await?;
            let small = async |place: &Place| wait(place, priority, short).await;
            compare(database, place, small, options).await
        });
        add(
            report,
            kind,
            &format!("{history} waiting{of}"),
            &format!("{short} waiting{of}"),
            &filled.await?,
        )?;
    }
    Ok(())
}

fn theme() -> String {
    format!("'{THEME}'")
}

async fn wait(place: &Place, priority: &str, count: usize) -> Result<()> {
    let tasks = Waiting {
        theme: &theme(),
        priority,
        run_at: "NULL",
    };
    add_waiting(&mut place.plain().await?, place.kind, &tasks, count).await
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

/// Drains as many tasks from the large database and from new ones, which `fill` fills before.
async fn compare(
    database: &str,
    large: &Place,
    fill: impl AsyncFn(&Place) -> Result<()>,
    options: &Options,
) -> Result<(Rounds, Rounds)> {
    let (mut larges, mut smalls) = (Rounds::default(), Rounds::default());
    large.settle().await?;
    let fill = async |place: &Place| {
        fill(place).await?;
        place.settle().await
    };
    for _ in 0..options.rounds {
        larges.add_ours(large, options).await?;
        on_fresh(database, async |place| {
            fill(place).await?;
            smalls.add_ours(place, options).await
        })
        .await?;
        larges.add_bare(large, options).await?;
        on_fresh(database, async |place| {
            fill(place).await?;
            smalls.add_bare(place, options).await
        })
        .await?;
        options.bar.inc(1);
    }
    Ok((larges, smalls))
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
