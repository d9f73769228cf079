//! Log lines of the node's actors about troubles that may last.

use std::{
    collections::HashSet,
    fmt::Display,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    events::{Component, DatabaseWork, Events},
    repeats::Repeats,
};

/// The subject of a trouble.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum About {
    /// Tasks that the comparison of this node's rows with its runs has given back.
    GivenBack,
    /// Rows of dead nodes that other sessions have locked: of the nodes, of tasks, of runs of jobs.
    LockedNodes,
    LockedTasks,
    LockedRuns,
    /// Running tasks of this node that other sessions have locked.
    LockedUnknown,
    /// Running tasks of remote workers that other sessions have locked.
    LockedRemote,
    /// The row of this dead node.
    Row(String),
    /// This task of a dead node.
    Task(i64),
    /// This run of a job of a dead node.
    Run(i64),
}

/// Logs a trouble when it begins or changes, then seldom, with the count. Failures of the database go to the observers, too.
#[derive(Clone)]
pub(crate) struct Said {
    pub(super) events: Events,
    /// This node.
    component: Component,
    troubles: Arc<Mutex<Troubles>>,
}

#[derive(Default)]
struct Troubles {
    said: Repeats<About>,
    /// Troubles that were seen once, and may be over in a moment.
    suspected: HashSet<About>,
}

impl Said {
    pub(crate) fn new(events: Events, node: &str) -> Self {
        Self {
            events,
            component: Component::Node(node.into()),
            troubles: Arc::default(),
        }
    }

    pub(super) fn failed(&self, work: DatabaseWork, error: &impl Display) {
        self.events.failed(&self.component, work, error);
    }

    pub(super) fn succeeded(&self, work: DatabaseWork) {
        self.events.succeeded(&self.component, work);
    }

    /// Logs that `what` has happened because of `why`. A repeated line has the level debug.
    pub(super) fn error(&self, about: About, what: &str, why: &impl Display) {
        self.say(log::Level::Error, about, what, why);
    }

    /// The same, for a trouble that the node has mended.
    pub(super) fn warn(&self, about: About, what: &str, why: &impl Display) {
        self.say(log::Level::Warn, about, what, why);
    }

    fn say(&self, level: log::Level, about: About, what: &str, why: &impl Display) {
        let why = why.to_string();
        // The lock is released before the line is written.
        let said = self.troubles().said.say(about, &why);
        match said {
            Some(said) => say!(at level, "{what}: {said}"),
            None => say!(Debug, "{what}: {why}"),
        }
    }

    /// Whether this trouble was seen by the look before, too. If not, it may be over in a moment.
    pub(super) fn is_seen_again(&self, about: &About) -> bool {
        let mut troubles = self.troubles();
        troubles.said.is_known(about) || !troubles.suspected.insert(about.clone())
    }

    /// Notes the end of a trouble. Logs the end if there was a trouble.
    pub(super) fn over(&self, about: &About, what: &str) {
        let mut troubles = self.troubles();
        troubles.suspected.remove(about);
        let failures = troubles.said.over(about);
        drop(troubles);
        if let Some(failures) = failures {
            say!(Info, "{what}, after {failures} failures");
        }
    }

    /// Whether this trouble was seen and its end was not noted yet.
    pub(super) fn lasts(&self, about: &About) -> bool {
        let troubles = self.troubles();
        troubles.said.is_known(about) || troubles.suspected.contains(about)
    }

    fn troubles(&self) -> MutexGuard<'_, Troubles> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
