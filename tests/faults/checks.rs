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
    jobs, limited,
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

/// What has come to its end. A task that may run only once has failed if its run was lost.
const ENDED: &str = "(task_status = 'Success' OR task_status = 'Failed' AND max_retry_time = 0)";

/// Lets everything come to its end and adds what is wrong to the problems.
pub fn finish(mut cluster: Cluster, problems: &mut Vec<String>) -> Counts {
    drain(&cluster.database, &cluster.feeder, problems);
    let stopped = jobs::now();
    stop(std::mem::take(&mut cluster.nodes), problems);
    jobs::check(&cluster.database, stopped, problems);
    let fed = cluster.feeder.finish();
    tasks(&cluster.database, &fed, problems);
    starts(&cluster, problems);
    words(&cluster.database, &fed, problems);
    let database = cluster.database;
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
    let open = || database.number(&format!("SELECT COUNT(*) FROM asynctasks WHERE NOT {ENDED}"));
    if within(DRAIN, || (open() == 0).then_some(())).is_none() {
        problems.push(format!("{} tasks have not come to their ends after {DRAIN:?}", open()));
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
    let ids = database.numbers(&format!("SELECT id AS number FROM asynctasks WHERE {ENDED}"));
    let ids: HashSet<i64> = ids.into_iter().collect();
    let lost = fed.acknowledged.keys().filter(|id| !ids.contains(id)).count();
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
        "SELECT COUNT(*) FROM asynctasks WHERE task_status = 'Success'",
    );
    same(
        "tasks with a record of Success under their last token",
        "SELECT COUNT(DISTINCT t.id) FROM asynctasks t JOIN asynctask_exec_row r \
         ON r.task_id = t.id AND r.lease_token = t.lease_token WHERE r.task_status = 'Success'",
        "SELECT COUNT(*) FROM asynctasks WHERE task_status = 'Success'",
    );
    same(
        "records",
        "SELECT COUNT(*) FROM asynctask_exec_row",
        "SELECT COUNT(*) FROM (SELECT DISTINCT task_id, lease_token FROM asynctask_exec_row) AS claims",
    );
}

/// What the handlers saw.
fn starts(cluster: &Cluster, problems: &mut Vec<String>) {
    let mut effects = cluster.effects.lock().expect("nobody panics with it");
    effects.refresh();
    // The database knows nothing of a run that was undone, and so neither that it must not begin.
    effects.starts.retain(|start| !cluster.is_undone(start.millis));
    limited::check(cluster, &effects, problems);
    late(&effects, &success_times(&cluster.database), problems);
    let once = "SELECT id AS number FROM asynctasks WHERE max_retry_time = 0";
    let once: HashSet<i64> = cluster.database.numbers(once).into_iter().collect();
    let mut seen = HashSet::new();
    let of_once = effects.starts.iter().filter(|start| once.contains(&start.task_id));
    let twice = of_once.filter(|start| !seen.insert(start.task_id)).count();
    if twice > 0 || seen.is_empty() {
        problems.push(format!(
            "{twice} of {} tasks that may run only once ran again",
            seen.len()
        ));
    }
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
