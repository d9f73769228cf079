//! Which work of which component the database fails, from its first failure to its end.

use std::{
    collections::HashMap,
    fmt::{self, Display},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde::Serialize;

/// The part of this process that an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Component {
    /// Scanner, pool and recorder of this theme.
    Theme(Arc<str>),
    /// The cron actor and the recorder of jobs.
    Jobs,
    /// The heart of this node, which also looks after dead nodes.
    Node(Arc<str>),
}

impl Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Theme(theme) => write!(f, "theme {theme}"),
            Self::Jobs => f.write_str("jobs"),
            Self::Node(node) => write!(f, "node {node}"),
        }
    }
}

/// What a component asks of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DatabaseWork {
    /// The scanner claims tasks.
    ClaimTasks,
    /// The recorder writes outcomes.
    WriteOutcomes,
    /// The cron actor claims fires.
    ClaimFires,
    /// The cron actor reads the schedules of all jobs.
    ReadSchedules,
    /// The cron actor looks for changed schedules.
    LookForChanges,
    /// The cron actor notes since when schedules hold.
    NoteSchedules,
    /// The node, or the cron actor, looks for requests of other processes: to cancel, to pause, to resize.
    LookForRequests,
    /// The node, or the cron actor, follows a request of another process and writes its result.
    FollowRequests,
    /// The node writes its counters.
    WriteStatus,
    /// The node deletes old requests.
    DropRequests,
    /// The node beats.
    Beat,
    /// The node looks for dead nodes and takes their tasks over.
    Rescue,
    /// The node looks after remote workers: it ends the runs of those that are silent, and runs that are out of time.
    LookAfterWorkers,
    /// The node ends runs of jobs whose nodes are dead.
    EndLostRuns,
    /// The node looks for tasks that a wrong clock has put off.
    BringBack,
    /// The node looks after tasks beside workers of the Go framework.
    MeetNeighbours,
    /// The node compares the rows under its name with its runs.
    CompareRuns,
    /// The node writes the history: how many runs have ended, and how long they took. Until it can, the counts stay in memory.
    WriteHistory,
}

impl DatabaseWork {
    /// Its name in metrics, as in JSON.
    #[cfg(any(feature = "web", feature = "metrics"))]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::ClaimTasks => "claim_tasks",
            Self::WriteOutcomes => "write_outcomes",
            Self::ClaimFires => "claim_fires",
            Self::ReadSchedules => "read_schedules",
            Self::LookForChanges => "look_for_changes",
            Self::NoteSchedules => "note_schedules",
            Self::LookForRequests => "look_for_requests",
            Self::FollowRequests => "follow_requests",
            Self::WriteStatus => "write_status",
            Self::DropRequests => "drop_requests",
            Self::Beat => "beat",
            Self::Rescue => "rescue",
            Self::LookAfterWorkers => "look_after_workers",
            Self::EndLostRuns => "end_lost_runs",
            Self::BringBack => "bring_back",
            Self::MeetNeighbours => "meet_neighbours",
            Self::CompareRuns => "compare_runs",
            Self::WriteHistory => "write_history",
        }
    }

    /// What cannot be done.
    pub(super) fn fails(self) -> &'static str {
        match self {
            Self::ClaimTasks => "cannot claim tasks, will try again and again",
            Self::WriteOutcomes => "cannot write outcomes, will try again and again",
            Self::ClaimFires => "cannot claim fires, will try again and again",
            Self::ReadSchedules => "cannot read the schedules, will try again and again",
            Self::LookForChanges => "cannot look for changed schedules",
            Self::NoteSchedules => "cannot note when schedules begin",
            Self::LookForRequests => "cannot look for requests",
            Self::FollowRequests => "cannot follow requests",
            Self::WriteStatus => "cannot write its counters",
            Self::DropRequests => "cannot delete old requests",
            Self::Beat => "cannot beat, will try again and again",
            Self::Rescue => "cannot look after dead nodes",
            Self::LookAfterWorkers => "cannot look after remote workers",
            Self::EndLostRuns => "cannot end the runs of dead nodes",
            Self::BringBack => "cannot look for tasks that a wrong clock has put off",
            Self::MeetNeighbours => {
                "cannot see what workers of the Go framework do on these tables: they may run tasks of this node again, and it begins no further theme"
            }
            Self::CompareRuns => "cannot compare the rows under it with its runs",
            Self::WriteHistory => "cannot write its part of the history, will try again and again",
        }
    }

    /// What goes on.
    pub(super) fn works(self) -> &'static str {
        match self {
            Self::ClaimTasks => "tasks are claimed again",
            Self::WriteOutcomes => "outcomes are written again",
            Self::ClaimFires => "fires are claimed again",
            Self::ReadSchedules => "the schedules are read again",
            Self::LookForChanges => "looks for changed schedules again",
            Self::NoteSchedules => "notes again when schedules begin",
            Self::LookForRequests => "looks for requests again",
            Self::FollowRequests => "follows requests again",
            Self::WriteStatus => "writes its counters again",
            Self::DropRequests => "deletes old requests again",
            Self::Beat => "beats again",
            Self::Rescue => "looks after dead nodes again",
            Self::LookAfterWorkers => "looks after remote workers again",
            Self::EndLostRuns => "ends the runs of dead nodes again",
            Self::BringBack => "looks again for tasks that a wrong clock has put off",
            Self::MeetNeighbours => "looks again after tasks beside workers of the Go framework",
            Self::CompareRuns => "compares the rows under it with its runs again",
            Self::WriteHistory => "writes its part of the history again",
        }
    }
}

/// A statement or connection has failed. The component tries again; nothing is lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DatabaseFailure {
    /// Which part of the process asked.
    pub component: Component,
    /// For what.
    pub work: DatabaseWork,
    /// What the database says.
    pub error: String,
    /// How often the same work of the component has failed in a row, from 1.
    pub failures: u64,
}

/// Work that had failed has succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DatabaseRecovery {
    /// Which part of the process asked.
    pub component: Component,
    /// For what.
    pub work: DatabaseWork,
    /// How often it had failed in a row.
    pub failures: u64,
}

/// The work that fails now.
#[derive(Default)]
pub(crate) struct Outages {
    failing: Mutex<HashMap<(Component, DatabaseWork), u64>>,
    /// How many of them there are: mostly none, and then success costs no lock.
    count: AtomicUsize,
}

impl Outages {
    pub(super) fn failed(&self, component: &Component, work: DatabaseWork, error: &impl Display) -> DatabaseFailure {
        let mut failing = self.failing();
        let failures = failing.entry((component.clone(), work)).or_default();
        *failures += 1;
        let failures = *failures;
        self.count.store(failing.len(), Ordering::Release);
        drop(failing);
        DatabaseFailure {
            component: component.clone(),
            work,
            error: error.to_string(),
            failures,
        }
    }

    pub(super) fn succeeded(&self, component: &Component, work: DatabaseWork) -> Option<DatabaseRecovery> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut failing = self.failing();
        let failures = failing.remove(&(component.clone(), work))?;
        self.count.store(failing.len(), Ordering::Release);
        Some(DatabaseRecovery {
            component: component.clone(),
            work,
            failures,
        })
    }

    fn failing(&self) -> MutexGuard<'_, HashMap<(Component, DatabaseWork), u64>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
