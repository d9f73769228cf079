//! Adding tasks, one by one and many at once, over HTTP and by the crate's own calls.

use std::{cell::RefCell, time::Instant};

use futures_util::future::try_join_all;
use gaia_actors::prelude::*;

use crate::{
    Options, THEME,
    database::Result,
    figure,
    place::on_fresh,
    report::Report,
    served::{CONNECTIONS, EMPTY, Served},
    timing::{Aim, QUANTILES, Quantiles, Times, each, rate},
};

const BATCH: usize = 1_000;
const SINGLE: &str =
    r#"{"theme": "bench", "service": "Bench", "method": "Noop", "args": {"item": "tea", "amount": 2}}"#;

/// The rate of a round, and how long its calls took.
type Round = (f64, Quantiles);

#[derive(Debug, Clone, Copy)]
enum Side {
    Http,
    Call,
    /// The same requests, to a handler that adds nothing: more requests than these no handler can answer here.
    Empty,
}

pub(crate) async fn singles(database: &str, options: &Options, report: &mut Report) -> Result<()> {
    let each_caller = options.tasks.div_ceil(CONNECTIONS).max(1);
    let round = async |side| {
        on_fresh(database, async |place| {
            let served = Served::start(&place.url).await?;
            let done = single_round(&served, each_caller, side).await?;
            served.stop().await?;
            Ok(done)
        })
        .await
    };
    let case = "add, 100 callers";
    let [http, calls, empty] = turns(options, [Side::Http, Side::Call, Side::Empty], round).await?;
    add_figures(database, report, case, Aim::AtLeast(0.7), &http, &calls)?;
    let of_http = figure(case, database, "http", "tasks/s")?.beside(&rates(&http), &rates(&empty));
    report.add(of_http.note("of http that adds nothing"))?;
    report.add(figure(case, database, "http, adds nothing", "requests/s")?.of(&rates(&empty)))?;
    Ok(())
}

pub(crate) async fn batches(database: &str, options: &Options, report: &mut Report) -> Result<()> {
    let batches = options.batched.div_ceil(BATCH).max(1);
    let round = async |side| {
        on_fresh(database, async |place| {
            let served = Served::start(&place.url).await?;
            let done = batch_round(&served, batches, side).await?;
            served.stop().await?;
            Ok(done)
        })
        .await
    };
    let [http, calls] = turns(options, [Side::Http, Side::Call], round).await?;
    add_figures(
        database,
        report,
        "add, batches of 1000",
        Aim::AtLeast(0.8),
        &http,
        &calls,
    )
}

/// The sides take turns, each on a new database.
async fn turns<const SIDES: usize>(
    options: &Options,
    sides: [Side; SIDES],
    round: impl AsyncFn(Side) -> Result<Round>,
) -> Result<[Vec<Round>; SIDES]> {
    let mut rounds = [const { Vec::new() }; SIDES];
    for _ in 0..options.rounds {
        for (rounds, side) in rounds.iter_mut().zip(sides) {
            rounds.push(round(side).await?);
        }
    }
    Ok(rounds)
}

fn rates(rounds: &[Round]) -> Vec<f64> {
    rounds.iter().map(|round| round.0).collect()
}

async fn single_round(served: &Served, each_caller: usize, side: Side) -> Result<Round> {
    let (times, scheduler) = (RefCell::new(Times::new()?), served.gaia.scheduler(THEME)?);
    let caller = async || {
        for _ in 0..each_caller {
            let took = match side {
                Side::Http => served.post("/tasks", "application/json", SINGLE.to_owned()).await?,
                Side::Empty => served.post_to(EMPTY, "application/json", SINGLE.to_owned()).await?,
                Side::Call => {
                    let asked = Instant::now();
                    scheduler.add_task(task()).await?;
                    asked.elapsed()
                }
            };
            times.borrow_mut().note(took)?;
        }
        Result::Ok(())
    };
    let began = Instant::now();
    try_join_all((0..CONNECTIONS).map(|_| caller())).await?;
    let rate = rate(CONNECTIONS * each_caller, began.elapsed());
    Ok((rate, times.borrow().quantiles()))
}

async fn batch_round(served: &Served, batches: usize, side: Side) -> Result<Round> {
    let (mut times, scheduler) = (Times::new()?, served.gaia.scheduler(THEME)?);
    let lines = format!("{SINGLE}\n").repeat(BATCH);
    let began = Instant::now();
    for _ in 0..batches {
        let took = match side {
            Side::Http => served.post("/tasks/batch", "application/jsonl", lines.clone()).await?,
            Side::Empty => served.post_to(EMPTY, "application/jsonl", lines.clone()).await?,
            Side::Call => {
                let asked = Instant::now();
                scheduler.add_tasks(vec![task(); BATCH]).await?;
                asked.elapsed()
            }
        };
        times.note(took)?;
    }
    Ok((rate(batches * BATCH, began.elapsed()), times.quantiles()))
}

fn task() -> NewTask {
    NewTask::new("Bench", "Noop").args(&serde_json::json!({"item": "tea", "amount": 2}))
}

fn add_figures(
    database: &str,
    report: &mut Report,
    case: &str,
    aim: Aim,
    http: &[Round],
    calls: &[Round],
) -> Result<()> {
    let mut of_http = figure(case, database, "http", "tasks/s")?.beside(&rates(http), &rates(calls));
    of_http.note = aim.verdict(of_http.ratio.unwrap_or_default(), "of the call");
    report.add(of_http)?;
    report.add(figure(case, database, "call", "tasks/s")?.of(&rates(calls)))?;
    for (at, (name, _)) in QUANTILES.iter().enumerate() {
        let times = |rounds: &[Round]| each(&rounds.iter().map(|round| round.1).collect::<Vec<_>>(), at);
        let case = format!("{case}, {name}");
        report.add(figure(&case, database, "http", "ms")?.beside(&times(http), &times(calls)))?;
        report.add(figure(&case, database, "call", "ms")?.of(&times(calls)))?;
    }
    Ok(())
}
