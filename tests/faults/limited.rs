//! A method of which two tasks may run at once in the whole cluster.

use std::{collections::HashSet, time::Duration};

use gaia_actors::{Limit, prelude::*};
use serde_json::json;

use crate::{cluster::Cluster, effects::Effects};

pub const METHOD: &str = "Block";

const MOST: u32 = 2;

/// Another node may have the slot of a node that stands still, once its lease of 2 s is over.
const LONGEST: i64 = 1_500;

pub fn limit(builder: GaiaBuilder) -> GaiaBuilder {
    builder.limit("Demo", METHOD, Limit::running(MOST))
}

pub fn task() -> NewTask {
    NewTask::new("Demo", METHOD)
        .args(&json!({ "ms": fastrand::u64(40..=60) }))
        .max_retry(1_000)
        .retry_delay(Duration::from_millis(100))
}

/// No more ran at once than the limit says.
pub fn check(cluster: &Cluster, effects: &Effects, problems: &mut Vec<String>) {
    let ids = format!("SELECT id AS number FROM asynctasks WHERE method_name = '{METHOD}'");
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
    if most == 0 || most > i64::from(MOST) {
        problems.push(format!("{most} tasks of {METHOD} ran at once, the limit is {MOST}"));
    }
}
