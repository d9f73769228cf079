//! The state of everything in the database.

use super::{
    families::{Families, Label},
    labels::number,
};
use crate::{
    admin::{Overview, ThemeState},
    web::watch::State,
};

/// The same on every process of a database.
pub(super) fn state(families: &mut Families, state: Option<&State>) {
    families
        .gauge(
            "gaia_database_up",
            "Whether the database could be read, at most 2 s ago.",
        )
        .count(&[], state.is_some_and(|state| state.found.is_ok()).into());
    let Some(State {
        found: Ok(overview),
        at: now,
        ..
    }) = state
    else {
        return;
    };
    let mut tasks = families.gauge(
        "gaia_tasks",
        "Unfinished tasks. Status due: they wait for a worker; scheduled: they wait for a later time, counted up to 10,000 of each theme; \
         running: a node has claimed them. Every process of a database tells the same.",
    );
    for theme in &overview.themes {
        let mut count = |status, count| tasks.count(&[("theme", &theme.info.theme), ("status", status)], count);
        count("due", theme.unfinished.due);
        count("running", number(theme.info.running));
        if let Some(scheduled) = theme.unfinished.scheduled {
            count("scheduled", scheduled);
        }
    }
    let mut unserved = families.gauge(
        "gaia_tasks_unserved",
        "Due tasks that no living node serves: none has workers for the theme, or none of those has a handler for the method.",
    );
    each_theme(overview, |theme, state| {
        unserved.count(theme, state.unfinished.unserved);
    });
    let mut oldest = families.gauge(
        "gaia_task_oldest_due_seconds",
        "How long the oldest due task of a theme has been due; 0 if none is due. Every process of a database tells the same.",
    );
    each_theme(overview, |theme, state| {
        let since = state.unfinished.oldest_due;
        let age = since.and_then(|since| (*now - since).to_std().ok()).unwrap_or_default();
        oldest.value(theme, age.as_secs_f64());
    });
    let mut paused = families.gauge("gaia_theme_paused", "1 if a theme is paused.");
    each_theme(overview, |theme, state| paused.count(theme, state.info.paused.into()));
    let mut workers = families.gauge("gaia_theme_workers", "The workers for a theme on all living nodes.");
    each_theme(overview, |theme, state| {
        workers.count(theme, number(state.info.node_workers));
    });
    let mut nodes = families.gauge(
        "gaia_nodes",
        "The nodes of the database. State silent: no heartbeat for longer than the lease.",
    );
    let alive = overview.nodes.iter().filter(|node| node.alive).count();
    nodes.count(&[("state", "alive")], number(alive));
    nodes.count(&[("state", "silent")], number(overview.nodes.len() - alive));
}

fn each_theme(overview: &Overview, mut tell: impl FnMut(&[Label<'_>], &ThemeState)) {
    for theme in &overview.themes {
        tell(&[("theme", &theme.info.theme)], theme);
    }
}
