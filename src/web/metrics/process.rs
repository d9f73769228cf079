//! What this process is doing: its heartbeat, its workers, the jobs that it schedules.

use std::collections::BTreeMap;

use super::{
    families::{Families, Family},
    labels::number,
};
use crate::{asynctask::SchedulerStatus, jobs::JobsStatus, web::call::Call};

pub(super) fn node(families: &mut Families, call: &Call) {
    let lease = call.gaia().lease();
    families
        .gauge("gaia_build_info", "The version of the crate. Its value is always 1.")
        .count(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    families
        .gauge(
            "gaia_heartbeat_age_seconds",
            "How long ago the last heartbeat of this node began that succeeded.",
        )
        .value(&[], lease.silence().as_secs_f64());
    families
        .gauge(
            "gaia_fenced",
            "1 if this node has not beaten for its lease: it has cancelled its runs and claims nothing.",
        )
        .count(&[], lease.has_expired().into());
}

pub(super) fn workers(families: &mut Families, themes: &BTreeMap<String, SchedulerStatus>) {
    let mut workers = families.gauge("gaia_workers", "The workers of this process.");
    for (theme, status) in themes {
        let idle = status.all_workers.saturating_sub(status.running_workers);
        workers.count(&[("theme", theme), ("state", "busy")], number(status.running_workers));
        workers.count(&[("theme", theme), ("state", "idle")], number(idle));
    }
    let each = |mut family: Family<'_>, of: fn(&SchedulerStatus) -> u64| {
        for (theme, status) in themes {
            family.count(&[("theme", theme)], of(status));
        }
    };
    let buffered = families.gauge(
        "gaia_tasks_buffered",
        "Tasks that this process has claimed and that wait in its memory for a worker.",
    );
    each(buffered, |status| number(status.queue_depth));
    let replaced = families.counter(
        "gaia_workers_replaced_total",
        "Workers of this process that were replaced because they, or their thread, died or were blocked.",
    );
    each(replaced, |status| status.replaced_workers);
    let scans = families.counter("gaia_scans_total", "How often this process has looked for due tasks.");
    each(scans, |status| status.scans);
}

pub(super) fn schedules(families: &mut Families, status: &JobsStatus) {
    let mut jobs = families.gauge(
        "gaia_jobs",
        "The enabled jobs that this process schedules. State bad: their schedule cannot be read, and they never fire.",
    );
    jobs.count(&[("state", "scheduled")], number(status.scheduled));
    jobs.count(&[("state", "bad")], number(status.bad));
    families
        .gauge(
            "gaia_job_runs_open",
            "Runs of jobs of this process that are not written as ended yet.",
        )
        .count(&[], number(status.running));
}
