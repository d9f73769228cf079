//! Cron jobs beside the tasks: each second of each has one run, or is told of by the next.

use std::time::Duration;

use chrono::{NaiveDateTime, Utc};
use gaia_actors::prelude::*;

#[cfg(any(feature = "postgres", feature = "mysql"))]
use crate::interrupt::rest;
use crate::{interrupt::within, sql::Database};

const JOBS: usize = 10;

/// How many jobs are due once in the same second.
#[cfg(any(feature = "postgres", feature = "mysql"))]
const COPIES: usize = 3;

/// Until a node has read schedules that plain SQL has added, and some more.
#[cfg(any(feature = "postgres", feature = "mysql"))]
const SCHEDULED: Duration = Duration::from_secs(7);

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
        "SELECT COUNT(*) FROM job_record r WHERE job_name LIKE 'job %' AND NOT EXISTS \
         (SELECT 1 FROM job_record p WHERE p.job_id = r.job_id AND p.scheduled_at = r.previous_at)",
    );
    if usize::try_from(unlinked) != Ok(JOBS) {
        problems.push(format!("{unlinked} fires follow on none, expected {JOBS}"));
    }
    let last = "SELECT job_id AS number, MAX(scheduled_at) AS time FROM job_record \
                WHERE job_name LIKE 'job %' GROUP BY job_id";
    let late = |at: NaiveDateTime| (stopped - at).num_seconds() > LATELY;
    let silent = database.times(last).iter().filter(|last| late(last.time)).count();
    if silent > 0 {
        problems.push(format!("{silent} jobs have not fired for the last {LATELY} s"));
    }
}

/// Jobs that are due once each while a server stands still.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub struct DueOnce {
    /// All but these were there before.
    ids: Vec<i64>,
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
impl DueOnce {
    /// Adds some for each second of such a time, and returns when it begins: a node has them in its timetable by then.
    pub fn add(database: &Database, how_long: Duration) -> Self {
        let begins = Utc::now() + SCHEDULED;
        let insert = |second: u64| {
            let at = begins + Duration::from_secs(second);
            let job = format!(
                "('once', 'cron_job', '{}', 'Demo', 'Noop', 1, 'UTC')",
                at.format("%S %M %H %d %m *")
            );
            vec![job; COPIES].join(", ")
        };
        let rows: Vec<String> = (1..how_long.as_secs()).map(insert).collect();
        let before = database.number("SELECT MAX(id) FROM job_center");
        database.execute(&format!(
            "INSERT INTO job_center (job_name, job_type, cron_expr, service_name, service_method, enabled, time_zone) VALUES {}",
            rows.join(", ")
        ));
        let unseen = format!("SELECT COUNT(*) FROM job_center WHERE id > {before} AND scheduled_from IS NULL");
        within(SCHEDULED, || (database.number(&unseen) == 0).then_some(())).expect("a node reads the schedules");
        rest((begins - Utc::now()).to_std().unwrap_or_default());
        let ids = database.numbers(&format!("SELECT id AS number FROM job_center WHERE id > {before}"));
        Self { ids }
    }

    /// Each runs once, late. Answers what is wrong.
    pub fn check(&self, database: &Database) -> Option<String> {
        let runs = |which: &str| {
            let ids: Vec<String> = self.ids.iter().map(ToString::to_string).collect();
            let ids = ids.join(", ");
            database.number(&format!(
                "SELECT COUNT(*) FROM job_record WHERE job_id IN ({ids}) {which}"
            ))
        };
        let count = i64::try_from(self.ids.len()).expect("few");
        let all = || (runs("AND job_result_flag = 'success'") == count).then_some(());
        let all_have_run = within(RESCUE, all).is_some() && runs("") == count;
        (!all_have_run).then(|| {
            let (good, all) = (runs("AND job_result_flag = 'success'"), runs(""));
            format!("{count} jobs were due once while the server stood still: {good} of their {all} runs succeeded")
        })
    }
}

pub fn now() -> NaiveDateTime {
    Utc::now().naive_utc()
}
