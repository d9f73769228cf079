//! A method of which two tasks may run at once in the whole cluster, and one of each key.

use std::{collections::HashSet, time::Duration};

use gaia_actors::{Limit, prelude::*};
use serde_json::json;

use crate::{cluster::Cluster, effects::Effects};

pub const METHOD: &str = "Block";

const MOST: u32 = 2;

/// Another node may have the slot of a node that stands still, once its lease of 2 s is over.
const LONGEST: i64 = 1_500;

/// One task of each of so many keys runs at once.
const KEYS: usize = 2;

pub fn limit(builder: GaiaBuilder) -> GaiaBuilder {
    builder.limit("Demo", METHOD, Limit::running(MOST).and_running_per_key(1))
}

/// Each second task has a key.
pub fn task(at: usize) -> NewTask {
    let task = NewTask::new("Demo", METHOD);
    let task = match at % 2 {
        0 => task,
        _ => task.limit_key(format!("tenant {}", at / 2 % KEYS)),
    };
    task.args(&json!({ "ms": fastrand::u64(40..=60) }))
        .max_retry(1_000)
        .retry_delay(Duration::from_millis(100))
}

/// No more ran at once than the limits say.
pub fn check(cluster: &Cluster, effects: &Effects, problems: &mut Vec<String>) {
    let of_method = format!("method_name = '{METHOD}'");
    let keyed = |key| format!("{of_method} AND limit_key = 'tenant {key}'");
    let limits = (0..KEYS).map(|key| (keyed(key), 1));
    for (which, limit) in limits.chain([(of_method.clone(), i64::from(MOST))]) {
        let most = most_at_once(cluster, effects, &which);
        if most == 0 || most > limit {
            problems.push(format!("{most} tasks with {which} ran at once, the limit is {limit}"));
        }
    }
}

fn most_at_once(cluster: &Cluster, effects: &Effects, which: &str) -> i64 {
    let ids = format!("SELECT id AS number FROM asynctasks WHERE {which}");
    let ids: HashSet<i64> = cluster.database.numbers(&ids).into_iter().collect();
    let runs = effects.starts.iter().filter(|start| ids.contains(&start.task_id));
    // Of runs at the same moment, those that end come first.
    let mut changes = Vec::new();
    for start in runs {
        let end = effects.end_of(start).min(start.millis + LONGEST);
        changes.extend([(start.millis, 1), (end.max(start.millis + 1), -1)]);
    }
    changes.sort_unstable();
    let (mut at_once, mut most) = (0, 0);
    for (_, change) in changes {
        at_once += change;
        most = most.max(at_once);
    }
    most
}
