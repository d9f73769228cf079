//! Several processes on one database beside one, with tasks that take a while.

use std::time::{Duration, Instant};

use actix_rt::time::sleep;

use crate::{
    Options,
    bare::Bare,
    child::{Child, Role},
    database::{Kind, Result},
    figures::{Aim, OURS, figure, rate, turns},
    place::Place,
    report::Report,
};

/// Workers of each node.
const WORKERS: usize = 10;
/// What a node has to do: three seconds' work, if the database takes no time.
const TASKS: usize = 1_500;

pub(crate) async fn run(database: &str, kind: Kind, options: &Options, report: &mut Report) -> Result<()> {
    let nodes = options.nodes;
    let many = async |place: &Place| of_nodes(place, nodes, options).await;
    let one = async |place: &Place| of_nodes(place, 1, options).await;
    let (many, one) = turns(database, options, many, one).await?;
    #[expect(clippy::cast_precision_loss, reason = "nodes are few")]
    let aim = Aim::AtLeast(0.9 * nodes as f64);
    let case = |nodes: usize| figure(&format!("nodes, {nodes}, tasks of 20 ms"), kind, OURS, "tasks/s");
    let figure = case(nodes).beside(&many, &one);
    let note = aim.verdict(figure.ratio.unwrap_or_default(), "of one node");
    report.add(figure.note(note))?;
    report.add(case(1).of(&one))?;
    Ok(())
}

async fn of_nodes(place: &Place, nodes: usize, options: &Options) -> Result<f64> {
    let tasks = options.tasks.unwrap_or(TASKS).min(TASKS) * nodes;
    Bare::connect(place.kind, &place.url).await?.add(tasks).await?;
    place.settle().await?;
    let start = |_| Child::start(Role::Sleep, &place.url, tasks, WORKERS);
    let mut children = (0..nodes).map(start).collect::<Result<Vec<_>>>()?;
    for child in &mut children {
        child.ready().await?;
    }
    let began = Instant::now();
    for child in &mut children {
        child.go()?;
    }
    until_done(place).await?;
    let took = began.elapsed();
    for child in children {
        child.end()?;
    }
    place.check(tasks).await?;
    Ok(rate(tasks, took))
}

/// Nothing waits and nothing runs.
async fn until_done(place: &Place) -> Result<()> {
    let open = "SELECT CONCAT(COUNT(*), '') AS line FROM asynctasks WHERE task_status <> 'Success'";
    let mut plain = place.plain().await?;
    while plain.lines(open).await?.join("") != "0" {
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
