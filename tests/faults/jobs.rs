//! Cron jobs beside the tasks: each second of each has one run, or is told of by the next.

use std::time::Duration;

use chrono::{NaiveDateTime, Utc};
use gaia_actors::prelude::*;

use crate::{interrupt::within, sql::Database};

const JOBS: usize = 10;

/// Until the runs of dead nodes are ended, with any lease.
const RESCUE: Duration = Duration::from_secs(45);

/// How long before the end of all nodes each job must have fired. On a server it is by the server's time.
const LATELY: i64 = 5;

/// Adds jobs of every second.
pub async fn add(jobs: &Jobs) {
    for at in 0..JOBS {
        let job = NewJob::cron_job(format!("job {at}"), "* * * * * *", "Demo", "Noop");
        // A run that a dead node holds must not be in the way of the next second.
        let added = jobs.add_job(job.overlap(OverlapPolicy::Allow)).await;
        added.expect("is added");
    }
}

/// Adds what is wrong to the problems. All nodes but the client, which looks after the dead, have stopped at `stopped`.
pub fn check(database: &Database, stopped: NaiveDateTime, problems: &mut Vec<String>) {
    let open = || database.number("SELECT COUNT(*) FROM job_record WHERE job_result_flag IS NULL");
    if within(RESCUE, || (open() == 0).then_some(())).is_none() {
        problems.push(format!("{} runs of dead nodes are not ended after {RESCUE:?}", open()));
    }
    // A record names the second that was claimed before its own. So nothing is missed in silence: but for the first of each
    // job, that second has a record, too.
    let unlinked = database.number(
        "SELECT COUNT(*) FROM job_record r WHERE NOT EXISTS \
         (SELECT 1 FROM job_record p WHERE p.job_id = r.job_id AND p.scheduled_at = r.previous_at)",
    );
    if usize::try_from(unlinked) != Ok(JOBS) {
        problems.push(format!("{unlinked} fires follow on none, expected {JOBS}"));
    }
    let last = "SELECT job_id AS number, MAX(scheduled_at) AS time FROM job_record GROUP BY job_id";
    let late = |at: NaiveDateTime| (stopped - at).num_seconds() > LATELY;
    let silent = database.times(last).iter().filter(|last| late(last.time)).count();
    if silent > 0 {
        problems.push(format!("{silent} jobs have not fired for the last {LATELY} s"));
    }
}

pub fn now() -> NaiveDateTime {
    Utc::now().naive_utc()
}
