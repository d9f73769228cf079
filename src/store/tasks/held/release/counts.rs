//! What a release counts, and what follows from the counts.

use std::collections::{BTreeMap, HashMap, HashSet};

use diesel::{
    QueryableByName,
    sql_types::{BigInt, Nullable, Text, Timestamp},
};

use crate::{
    domain::{TaskStatus, WaitKind},
    store::{
        lenient::{AnyText, AnyTime, time},
        tasks::held::{HELD_UNTIL, end_of},
    },
};

/// A row of `gaia_held`.
#[derive(Debug, QueryableByName)]
pub(super) struct HeldRow {
    #[diesel(sql_type = BigInt)]
    task_id: i64,
    #[diesel(sql_type = Text)]
    kind: AnyText,
    #[diesel(sql_type = BigInt)]
    unfinished: i64,
    #[diesel(sql_type = BigInt)]
    succeeded: i64,
    #[diesel(sql_type = BigInt)]
    failed: i64,
    #[diesel(sql_type = BigInt)]
    cancelled: i64,
}

/// An open link, with the end of its task if that was deleted.
#[derive(Debug, QueryableByName)]
pub(super) struct OpenLink {
    #[diesel(sql_type = BigInt)]
    pub(super) held_id: i64,
    #[diesel(sql_type = BigInt)]
    pub(super) open_task: i64,
    #[diesel(sql_type = Nullable<Text>)]
    task_status: Option<AnyText>,
}

/// A held task whose time has come.
#[derive(Debug, QueryableByName)]
pub(super) struct HeldTask {
    #[diesel(sql_type = BigInt)]
    pub(super) id: i64,
    #[diesel(sql_type = Text)]
    pub(super) system_name: AnyText,
    #[diesel(sql_type = Nullable<Text>)]
    task_status: Option<AnyText>,
    #[diesel(sql_type = Nullable<Timestamp>)]
    run_at: Option<AnyTime>,
}

/// What a release has done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Released {
    /// How many held tasks of each theme are due now.
    pub(crate) due: BTreeMap<String, usize>,
    /// The held tasks that were cancelled, with their themes.
    pub(crate) cancelled: Vec<(String, i64)>,
    /// Another session has locked a held task whose time has come. It is as if its tasks had not ended.
    pub(crate) passed_over: bool,
}

impl Released {
    pub(super) fn new(decided: &Decided, tasks: Vec<HeldTask>, passed_over: bool) -> Self {
        let mut released = Self {
            passed_over,
            ..Self::default()
        };
        for HeldTask { id, system_name, .. } in tasks {
            if decided.due.contains(&id) {
                *released.due.entry(system_name.0).or_default() += 1;
            } else if decided.cancelled.contains(&id) {
                released.cancelled.push((system_name.0, id));
            }
        }
        released
    }
}

/// Unfinished, succeeded, failed, cancelled.
pub(super) type Counts = [i64; 4];

/// What becomes of a held task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Waits,
    IsDue,
    IsCancelled,
}

/// The counts of a held task, with the ends that the release adds to them.
#[derive(Debug)]
struct Held {
    is_batch: bool,
    counts: Counts,
}

/// The open links whose tasks have ended.
#[derive(Debug, Default)]
pub(super) struct Closing {
    links: Vec<(i64, i64, TaskStatus)>,
    held: BTreeMap<i64, Held>,
}

/// Held tasks to write.
#[derive(Debug, Default)]
pub(super) struct Decided {
    /// They run now.
    pub(super) due: Vec<i64>,
    /// They never will.
    pub(super) cancelled: Vec<i64>,
    /// Another program has ended them. Should they be queued again, they are due.
    pub(super) ended: Vec<i64>,
}

impl HeldTask {
    /// Whether it still waits for the time that held tasks wait for (model: batch::StillWaits).
    pub(super) fn is_held(&self) -> bool {
        time(self.run_at) == Some(HELD_UNTIL.utc())
    }

    pub(super) fn waits(&self) -> bool {
        let status = self.task_status.as_ref().and_then(|status| status.0.parse().ok());
        matches!(status, Some(TaskStatus::Wait | TaskStatus::Retry))
    }
}

impl Held {
    /// Counts are read as plain SQL has left them: they do not overflow.
    fn count(&mut self, end: TaskStatus) {
        let [unfinished, succeeded, failed, cancelled] = &mut self.counts;
        *unfinished = unfinished.saturating_sub(1);
        let ended = match end {
            TaskStatus::Success => succeeded,
            TaskStatus::Cancelled => cancelled,
            _ => failed,
        };
        *ended = ended.saturating_add(1);
    }

    fn verdict(&self) -> Verdict {
        let [unfinished, _, failed, cancelled] = self.counts;
        if !self.is_batch && (failed > 0 || cancelled > 0) {
            Verdict::IsCancelled
        } else if unfinished <= 0 {
            Verdict::IsDue
        } else {
            Verdict::Waits
        }
    }
}

impl Closing {
    /// Adds the ends of these links to the counts of these held tasks. `statuses`: of the tasks that have a row.
    pub(super) fn of(held: Vec<HeldRow>, links: Vec<OpenLink>, statuses: Vec<(i64, Option<AnyText>)>) -> Self {
        let statuses: HashMap<i64, Option<AnyText>> = statuses.into_iter().collect();
        let mut closing = Self::default();
        for link in links {
            let end = match statuses.get(&link.open_task) {
                Some(status) => end_of(status.clone()),
                None => Some(deleted_as(link.task_status)),
            };
            if let Some(end) = end {
                closing.links.push((link.held_id, link.open_task, end));
            }
        }
        let counted: HashSet<i64> = closing.links.iter().map(|(held, ..)| *held).collect();
        let counted = held.into_iter().filter(|row| counted.contains(&row.task_id));
        let row = |row: HeldRow| {
            let held = Held {
                // As readers show it: what is no batch is a chain.
                is_batch: row.kind.0 == WaitKind::Batch.as_str(),
                counts: [row.unfinished, row.succeeded, row.failed, row.cancelled],
            };
            (row.task_id, held)
        };
        closing.held = counted.map(row).collect();
        for (held, _, end) in &closing.links {
            if let Some(held) = closing.held.get_mut(held) {
                held.count(*end);
            }
        }
        closing
    }

    /// The held tasks that do not wait any longer.
    pub(super) fn decided(&self) -> Vec<i64> {
        let decided = self.held.iter().filter(|(_, held)| held.verdict() != Verdict::Waits);
        decided.map(|(task, _)| *task).collect()
    }

    /// Leaves these held tasks, and their links, for a later release.
    pub(super) fn leave(&mut self, tasks: &HashSet<i64>) {
        self.links.retain(|(held, ..)| !tasks.contains(held));
        self.held.retain(|task, _| !tasks.contains(task));
    }

    /// The tasks that have ended in each way, and the held tasks that have waited for any of them.
    pub(super) fn by_end(&self) -> BTreeMap<TaskStatus, (Vec<i64>, Vec<i64>)> {
        let mut ends: BTreeMap<TaskStatus, (Vec<i64>, Vec<i64>)> = BTreeMap::new();
        for (held, task, end) in &self.links {
            let (tasks, waiting) = ends.entry(*end).or_default();
            tasks.push(*task);
            waiting.push(*held);
        }
        for (tasks, waiting) in ends.values_mut() {
            for ids in [tasks, waiting] {
                ids.sort_unstable();
                ids.dedup();
            }
        }
        ends
    }

    /// The held tasks with the same counts, together: one statement for all chains that go on.
    pub(super) fn by_counts(&self) -> BTreeMap<Counts, Vec<i64>> {
        let mut groups: BTreeMap<Counts, Vec<i64>> = BTreeMap::new();
        for (task, held) in &self.held {
            groups.entry(held.counts).or_default().push(*task);
        }
        groups
    }

    /// What to write for these tasks, whose rows the transaction has.
    pub(super) fn decide(&self, tasks: &[HeldTask]) -> Decided {
        let mut decided = Decided::default();
        for task in tasks.iter().filter(|task| task.is_held()) {
            let verdict = self.held.get(&task.id).map(Held::verdict);
            match verdict {
                Some(Verdict::IsDue) if task.waits() => decided.due.push(task.id),
                Some(Verdict::IsCancelled) if task.waits() => decided.cancelled.push(task.id),
                _ => decided.ended.push(task.id),
            }
        }
        decided
    }
}

/// How a task without a row has ended, as the transaction has noted that deleted it. Plain SQL notes nothing.
fn deleted_as(noted: Option<AnyText>) -> TaskStatus {
    noted
        .and_then(|status| end_of(Some(status)))
        .unwrap_or(TaskStatus::Cancelled)
}
