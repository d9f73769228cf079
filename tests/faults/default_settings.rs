//! How long until others have the tasks of a node that was killed, with default settings.

use std::time::{Duration, Instant};

use gaia_actors::prelude::*;
use serde_json::json;

use crate::{
    Plan,
    feeder::THEME,
    interrupt::{rest, within},
    node::Node,
    sql::{Backend, Database},
    table::{Measured, Row},
};

/// What is promised.
const PROMISED: Duration = Duration::from_secs(30);

const TASKS: usize = 8;

pub fn run(backend: &Backend, plan: Plan) -> Row {
    let (mut took, mut problems) = (Vec::new(), Vec::new());
    let began = Instant::now();
    while took.is_empty() || began.elapsed() < plan.repeat_for {
        match once(&Database::fresh(backend)) {
            Ok(after) => took.push(after),
            Err(problem) => {
                problems.push(problem);
                break;
            }
        }
    }
    let measured = Measured::of_recovery(took.iter().max().copied(), took.len());
    Row::measured(backend.kind, "default", measured, problems)
}

fn once(database: &Database) -> Result<Duration, String> {
    let system = actix_rt::System::new();
    let client = system.block_on(async {
        let started = Gaia::builder().database(&database.url).start().await;
        let client = started.expect("the client starts");
        let demo = client.scheduler(THEME).expect("is a theme");
        let long = NewTask::new("Demo", "Sleep").args(&json!({ "ms": 3_600_000 }));
        demo.add_tasks(vec![long; TASKS]).await.expect("are added");
        client
    });
    let mut node = Node::start(database, &database.url, &Vec::new());
    let recovered = recovery(database, &mut node);
    system.block_on(client.stop()).expect("the client stops");
    recovered
}

/// The client has threads of its own, so this one may wait.
fn recovery(database: &Database, node: &mut Node) -> Result<Duration, String> {
    let tasks = i64::try_from(TASKS).expect("few");
    let running = || database.number("SELECT COUNT(*) FROM asynctasks WHERE task_status = 'Running'") == tasks;
    within(PROMISED, || running().then_some(())).ok_or("the node does not take the tasks")?;
    // Anywhere between two beats.
    rest(Duration::from_millis(fastrand::u64(..5_000)));
    node.kill();
    let killed = Instant::now();
    let lost =
        || database.number("SELECT COUNT(*) FROM asynctask_exec_row WHERE last_err_msg LIKE '%died while it ran%'");
    let recovered = within(PROMISED, || (lost() == tasks).then(|| killed.elapsed()));
    recovered.ok_or_else(|| format!("after {PROMISED:?} others have {} of {tasks} tasks", lost()))
}
