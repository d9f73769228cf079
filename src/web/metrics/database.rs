//! What this process writes to the database, and what fails there.

use std::collections::BTreeMap;

use super::{
    families::Families,
    labels::{labels, number},
};
use crate::{asynctask::SchedulerStatus, events::Sums, jobs::JobsStatus};

pub(super) fn sums(
    families: &mut Families,
    sums: &Sums,
    themes: &BTreeMap<String, SchedulerStatus>,
    jobs: &JobsStatus,
) {
    let mut unwritten = families.gauge(
        "gaia_outcomes_unwritten",
        "Ends of runs that wait in the memory of this process to be written. They are lost if it dies.",
    );
    for (theme, status) in themes {
        unwritten.count(&[("component", "tasks"), ("theme", theme)], number(status.unwritten));
    }
    unwritten.count(&[("component", "jobs"), ("theme", "")], number(jobs.unwritten));
    let mut writes: Vec<_> = sums
        .writes
        .iter()
        .map(|(component, sums)| (labels(component), sums))
        .collect();
    writes.sort_by(|one, other| one.0.cmp(&other.0));
    let mut actions = families.counter(
        "gaia_admin_actions_total",
        "Changes that callers of the API and the dashboard have asked of this process, by action and result.",
    );
    for ([action, result], count) in &sums.admin_actions {
        actions.count(&[("action", action), ("result", result)], *count);
    }
    let mut written = families.counter(
        "gaia_outcomes_written_total",
        "Ends of runs that this process has written.",
    );
    for (labels, sums) in &writes {
        written.count(labels, sums.outcomes);
    }
    let mut refused = families.counter(
        "gaia_outcomes_refused_total",
        "Ends of runs that the database refused in every form. They stay in memory and are tried again.",
    );
    for (labels, sums) in &writes {
        refused.count(labels, sums.refused);
    }
    let mut took = families.histogram(
        "gaia_outcome_write_duration_seconds",
        "How long this process took to write ends of runs, many in one transaction.",
    );
    for (labels, sums) in &writes {
        took.times(labels, &sums.writes);
    }
    let mut errors = families.counter("gaia_database_errors_total", "Errors of the database, by what failed.");
    let by_work = sums.database_errors.iter();
    let mut by_work: Vec<_> = by_work
        .map(|((component, work), count)| (labels(component), work.as_str(), count))
        .collect();
    by_work.sort_unstable();
    for ([component, theme], work, count) in by_work {
        errors.count(&[component, theme, ("work", work)], *count);
    }
    for (name, help, count) in [
        (
            "gaia_nodes_lost_total",
            "Dead nodes whose work this process has taken over.",
            sums.nodes_lost,
        ),
        (
            "gaia_leases_lost_total",
            "How often this node has lost its lease.",
            sums.leases_lost,
        ),
        (
            "gaia_threads_replaced_total",
            "Threads of this process that were replaced because a handler blocked them, or because they ended.",
            sums.threads_replaced,
        ),
    ] {
        families.counter(name, help).count(&[], count);
    }
}
