//! What limits of methods and chains cost: drains beside them, and of a method with a limit that does not bite.

use std::time::{Duration, Instant};

use gaia_actors::{Limit, async_fn, prelude::*};

use crate::{
    Options, US,
    database::{Kind, Result},
    place::{Place, on_fresh},
    report::{Figure, Report},
    timing::{Aim, rate},
};

const THEME: &str = "bench";
const CALL: usize = 1_000;

/// What there is beside the tasks that are drained, or about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nothing,
    /// A task of another theme waits for the end of a task.
    Chain,
    /// Another method has a limit.
    LimitOfAnother,
    /// Their method has a limit: so many may run at once that none has to wait.
    Running,
    /// Their method has a limit: so many may start in a second that none has to wait.
    Starts,
    /// Their method has a limit for each key, and there are so many keys that none has to wait.
    Keys,
}

/// How many keys there are.
const KEYS: usize = 1_000;

pub(crate) async fn run(database: &str, options: &Options, report: &mut Report) -> Result<()> {
    let cases = [
        Beside::Nothing,
        Beside::Chain,
        Beside::LimitOfAnother,
        Beside::Running,
        Beside::Starts,
        Beside::Keys,
    ];
    let mut rates = cases.map(|_| Vec::new());
    for round in 0..options.rounds {
        // Which of them comes first changes from round to round.
        for turn in 0..cases.len() {
            let at = (turn + round) % cases.len();
            let drained = on_fresh(database, async |place| drain(place, options, cases[at]).await).await?;
            rates[at].push(drained);
        }
    }
    let [nothing, chain, another, running, starts, keys] = rates;
    let kind = Kind::of(database)?.name();
    let figure = |case: &str| Figure::new("runtime", case, kind, US, "tasks/s");
    report.add(figure("drain, no limit and no chain").of(&nothing))?;
    for (case, rates, aim) in [
        ("drain, a task of another theme waits for others", &chain, 0.98),
        ("drain, another method has a limit", &another, 0.98),
        ("drain, a limit of tasks at once that does not bite", &running, 0.9),
        ("drain, a limit of starts that does not bite", &starts, 0.9),
    ] {
        let mut figure = figure(case).beside(rates, &nothing);
        figure.note = Aim::AtLeast(aim).verdict(figure.ratio.unwrap_or_default(), "of a drain without them");
        report.add(figure)?;
    }
    let keys = figure("drain, a limit for each of 1,000 keys that does not bite").beside(&keys, &nothing);
    report.add(keys)?;
    Ok(())
}

async fn drain(place: &Place, options: &Options, beside: Beside) -> Result<f64> {
    let builder =
        Gaia::builder()
            .database(&place.url)
            .handler("Bench", "Noop", async_fn(async |_: TaskContext, (): ()| Ok(())));
    let second = Duration::from_secs(1);
    let builder = match beside {
        Beside::Nothing | Beside::Chain => builder,
        Beside::LimitOfAnother => builder.limit("Bench", "Other", Limit::running(1)),
        Beside::Running => builder.limit("Bench", "Noop", Limit::running(1_000_000)),
        Beside::Starts => builder.limit("Bench", "Noop", Limit::starts(1_000_000, second)),
        Beside::Keys => builder.limit("Bench", "Noop", Limit::running_per_key(1_000)),
    };
    let gaia = builder.start().await?;
    let scheduler = gaia.scheduler(THEME)?;
    for first in (0..options.tasks).step_by(CALL) {
        let count = CALL.min(options.tasks - first);
        let task = |number: usize| {
            let task = NewTask::new("Bench", "Noop");
            match beside {
                Beside::Keys => task.limit_key(format!("tenant {}", (first + number) % KEYS)),
                _ => task,
            }
        };
        scheduler.add_tasks((0..count).map(task).collect()).await?;
    }
    if beside == Beside::Chain {
        // Nobody runs the first of them.
        let elsewhere = gaia.scheduler("elsewhere")?;
        elsewhere.add_chain(vec![NewTask::new("Bench", "Noop"); 2]).await?;
    }
    place.settle().await?;
    let began = Instant::now();
    let scheduler = gaia.start_scheduler(SchedulerOptions::new(THEME)).await?;
    while scheduler.status().await?.succeeded < options.tasks as u64 {
        actix_rt::time::sleep(Duration::from_millis(5)).await;
    }
    let drained = rate(options.tasks, began.elapsed());
    gaia.stop().await?;
    Ok(drained)
}
