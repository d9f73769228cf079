//! What must be so when everything is over.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use crate::{
    cluster::Cluster,
    effects::{Effects, Start},
    feeder::{Fed, Feeder},
    interrupt::within,
    jobs,
    node::{self, Node},
    sql::{Database, NumberAndTime},
};

/// Until the last task has come to its end.
const DRAIN: Duration = Duration::from_secs(120);

/// As `scripts/database` has it.
const PASSWORD: &str = "gaia-secret";

pub struct Counts {
    pub tasks: i64,
    /// Each claim that came to an end, in whatever way.
    pub runs: i64,
}

/// Lets everything come to its end and adds what is wrong to the problems.
pub fn finish(cluster: Cluster, problems: &mut Vec<String>) -> Counts {
    let Cluster {
        database,
        nodes,
        feeder,
        effects,
        ..
    } = cluster;
    drain(&database, &feeder, problems);
    let stopped = jobs::now();
    stop(nodes, problems);
    jobs::check(&database, stopped, problems);
    let fed = feeder.finish();
    tasks(&database, &fed, problems);
    let mut effects = effects.lock().expect("nobody panics with it");
    effects.refresh();
    late(&effects, &success_times(&database), problems);
    words(&database, &fed, problems);
    let counts = Counts {
        tasks: database.number("SELECT COUNT(*) FROM asynctasks"),
        runs: database.number("SELECT COUNT(*) FROM asynctask_exec_row"),
    };
    if !problems.is_empty() {
        let kept = database.folder.keep();
        problems.push(format!("what the nodes did and said is kept in {}", kept.display()));
    }
    counts
}

fn drain(database: &Database, feeder: &Feeder, problems: &mut Vec<String>) {
    feeder.stop_adding();
    let open = || database.number("SELECT COUNT(*) FROM asynctasks WHERE task_status <> 'Success'");
    if within(DRAIN, || (open() == 0).then_some(())).is_none() {
        problems.push(format!("{} tasks have not come to Success after {DRAIN:?}", open()));
    }
    if !feeder.is_alive() {
        problems.push("the client has ended by itself".to_owned());
    }
}

fn stop(mut nodes: Vec<Node>, problems: &mut Vec<String>) {
    for node in &mut nodes {
        problems.extend(node.ended().map(|how| format!("a node ended by itself: {how}")));
    }
    for node in nodes {
        match node.stop() {
            Some(how) if how == "exit status: 0" => {}
            Some(how) => problems.push(format!("a node ended on SIGTERM with {how}")),
            None => problems.push("a node does not end on SIGTERM".to_owned()),
        }
    }
}

/// What the tables say.
fn tasks(database: &Database, fed: &Fed, problems: &mut Vec<String>) {
    let ids = database.numbers("SELECT id AS number FROM asynctasks WHERE task_status = 'Success'");
    let ids: HashSet<i64> = ids.into_iter().collect();
    let lost = fed.acknowledged.iter().filter(|id| !ids.contains(id)).count();
    if lost > 0 || fed.acknowledged.is_empty() {
        problems.push(format!(
            "{lost} of {} acknowledged tasks are lost",
            fed.acknowledged.len()
        ));
    }
    let mut same = |what: &str, one: &str, other: &str| {
        let (one, other) = (database.number(one), database.number(other));
        if one != other {
            problems.push(format!("{what}: {one}, expected {other}"));
        }
    };
    same(
        "records of Success",
        "SELECT COUNT(*) FROM asynctask_exec_row WHERE task_status = 'Success'",
        "SELECT COUNT(*) FROM asynctasks",
    );
    same(
        "tasks with a record of Success under their last token",
        "SELECT COUNT(DISTINCT t.id) FROM asynctasks t JOIN asynctask_exec_row r \
         ON r.task_id = t.id AND r.lease_token = t.lease_token WHERE r.task_status = 'Success'",
        "SELECT COUNT(*) FROM asynctasks",
    );
    same(
        "records",
        "SELECT COUNT(*) FROM asynctask_exec_row",
        "SELECT COUNT(*) FROM (SELECT DISTINCT task_id, lease_token FROM asynctask_exec_row) AS claims",
    );
}

fn late(effects: &Effects, successes: &HashMap<i64, i64>, problems: &mut Vec<String>) {
    let behind = |start: &Start| Some((start.task_id, start.millis - successes.get(&start.task_id)?));
    let late: Vec<_> = effects
        .starts
        .iter()
        .filter_map(behind)
        .filter(|(_, by)| *by > 0)
        .collect();
    if let Some((id, by)) = late.first() {
        let count = late.len();
        problems.push(format!(
            "{count} runs began after their task's Success was recorded: that of task {id} by {by} ms"
        ));
    }
}

/// When each task's Success was recorded, in milliseconds.
fn success_times(database: &Database) -> HashMap<i64, i64> {
    let sql = "SELECT task_id AS number, create_time AS time FROM asynctask_exec_row WHERE task_status = 'Success'";
    // Rounded up: the time is the end of the run, and a start has whole milliseconds. On a server it is the server's time, as a
    // node under load knows it.
    let doubt = if database.kind.is_server() { 250 } else { 1 };
    let entry = |row: NumberAndTime| (row.number, row.time.and_utc().timestamp_millis() + doubt);
    database.times(sql).into_iter().map(entry).collect()
}

/// What was said on the way.
fn words(database: &Database, fed: &Fed, problems: &mut Vec<String>) {
    let log = node::log_of(database);
    if log.contains(PASSWORD) || fed.errors.iter().any(|error| error.contains(PASSWORD)) {
        problems.push("a password was shown".to_owned());
    }
    let panics = log.lines().filter(|line| line.contains("panicked at"));
    problems.extend(panics.map(|line| format!("a node panicked: {line}")));
}
