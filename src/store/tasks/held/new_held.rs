//! Held tasks to add.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use super::{HELD_UNTIL, end_of};
use crate::{
    domain::{AddedTask, TaskStatus, WaitKind},
    store::{lenient::AnyText, tasks::new_row::NewTaskRow},
};

/// Which of the new tasks waits for which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The only task waits for these, which exist.
    After {
        tasks: BTreeSet<i64>,
        /// One of them that does not exist for the caller.
        hidden: Option<i64>,
    },
    /// Each task but the first waits for the one before it.
    Chain,
    /// The last task waits for all others.
    Batch,
}

/// Held tasks to add, with tasks for which they wait.
#[derive(Debug)]
pub(crate) struct NewHeld {
    rows: Vec<NewTaskRow>,
    shape: Shape,
}

/// What became of an addition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Addition {
    Added {
        /// In the order of the rows.
        tasks: Vec<AddedTask>,
        /// How many of them wait for no others.
        due: usize,
    },
    /// A task for which the new one is to wait does not exist.
    NoPredecessor(i64),
    /// Such a task has failed or was cancelled.
    PredecessorEnded(i64, TaskStatus),
}

/// Held tasks to add, once the tasks for which they wait have been looked at.
#[derive(Debug)]
pub(in crate::store) struct Seen<'a> {
    pub(in crate::store) rows: Cow<'a, [NewTaskRow]>,
    shape: &'a Shape,
    /// Tasks that have succeeded already. This is final: nothing queues them again.
    succeeded: BTreeSet<i64>,
}

/// A held task, and the tasks for which it waits.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) held: i64,
    pub(super) kind: WaitKind,
    pub(super) tasks: BTreeSet<i64>,
    /// The tasks whose ends are counted at once.
    pub(super) succeeded: BTreeSet<i64>,
}

/// The waits of tasks that were added.
#[derive(Debug)]
pub(in crate::store) struct Waits(pub(super) Vec<Wait>);

impl NewHeld {
    pub(in crate::store) fn new(mut rows: Vec<NewTaskRow>, shape: Shape) -> Self {
        let count = rows.len();
        for (at, row) in rows.iter_mut().enumerate() {
            if shape.holds(at, count) {
                row.run_at = Some(HELD_UNTIL);
            }
        }
        Self { rows, shape }
    }

    #[cfg(feature = "sqlite")]
    pub(in crate::store) fn rows(&self) -> usize {
        2 * self.rows.len()
    }

    /// The tasks that must exist, and not have failed.
    pub(super) fn predecessors(&self) -> Vec<i64> {
        match &self.shape {
            Shape::After { tasks, .. } => tasks.iter().copied().collect(),
            Shape::Chain | Shape::Batch => Vec::new(),
        }
    }

    /// These were found of the predecessors, with their statuses. An error: the tasks cannot be added.
    pub(in crate::store) fn seen(&self, found: Vec<(i64, Option<AnyText>)>) -> Result<Seen<'_>, Addition> {
        if let Shape::After { hidden: Some(id), .. } = self.shape {
            return Err(Addition::NoPredecessor(id));
        }
        let found: BTreeMap<i64, Option<TaskStatus>> =
            found.into_iter().map(|(id, status)| (id, end_of(status))).collect();
        let mut succeeded = BTreeSet::new();
        for id in self.predecessors() {
            match found.get(&id) {
                None => return Err(Addition::NoPredecessor(id)),
                Some(None) => {}
                Some(Some(TaskStatus::Success)) => drop(succeeded.insert(id)),
                Some(Some(status)) => return Err(Addition::PredecessorEnded(id, *status)),
            }
        }
        let mut rows = Cow::Borrowed(&self.rows[..]);
        if matches!(&self.shape, Shape::After { tasks, .. } if *tasks == succeeded) {
            rows.to_mut().iter_mut().for_each(|row| row.run_at = None);
        }
        Ok(Seen {
            rows,
            shape: &self.shape,
            succeeded,
        })
    }

    /// Tasks for which the added ones wait, and that were there before.
    pub(super) fn older_tasks(&self, added: &[AddedTask]) -> Vec<i64> {
        let duplicates = added.iter().filter(|task| task.duplicate).map(|task| task.id);
        self.predecessors().into_iter().chain(duplicates).collect()
    }
}

impl Addition {
    /// None of these tasks waits for others.
    pub(in crate::store) fn all_due(tasks: Vec<AddedTask>) -> Self {
        let due = tasks.len();
        Self::Added { tasks, due }
    }
}

impl Seen<'_> {
    /// The waits of these tasks, which were added for the rows.
    pub(in crate::store) fn waits(&self, added: &[AddedTask]) -> Waits {
        let held = added
            .iter()
            .enumerate()
            .filter(|(at, _)| self.shape.holds(*at, added.len()));
        // The holder of a unique key was there before, and waits for nothing.
        let held = held.filter(|(_, task)| !task.duplicate);
        let wait = |(at, task): (usize, &AddedTask)| {
            let tasks = self.shape.predecessors(at, added);
            Wait {
                held: task.id,
                kind: self.shape.kind(),
                succeeded: &tasks & &self.succeeded,
                tasks,
            }
        };
        Waits(held.map(wait).collect())
    }

    /// The answer when these tasks were added for the rows.
    pub(in crate::store) fn added(&self, tasks: Vec<AddedTask>) -> Addition {
        let due = self.rows.iter().filter(|row| row.run_at != Some(HELD_UNTIL)).count();
        Addition::Added { tasks, due }
    }
}

impl Shape {
    /// Whether the task at this place, of so many, waits for another.
    const fn holds(&self, at: usize, count: usize) -> bool {
        match self {
            Self::After { .. } => true,
            Self::Chain => at > 0,
            Self::Batch => at + 1 == count,
        }
    }

    const fn kind(&self) -> WaitKind {
        match self {
            Self::After { .. } | Self::Chain => WaitKind::Chain,
            Self::Batch => WaitKind::Batch,
        }
    }

    fn predecessors(&self, at: usize, added: &[AddedTask]) -> BTreeSet<i64> {
        let before = match self {
            Self::After { tasks, .. } => return tasks.clone(),
            Self::Chain => &added[at - 1..at],
            Self::Batch => &added[..at],
        };
        before.iter().map(|task| task.id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after<const N: usize>(tasks: [i64; N]) -> Shape {
        Shape::After {
            tasks: tasks.into(),
            hidden: None,
        }
    }

    fn waits(shape: Shape, added: &[AddedTask]) -> Vec<(i64, Vec<i64>)> {
        let new = NewHeld::new(Vec::new(), shape);
        let found = new
            .predecessors()
            .into_iter()
            .map(|id| (id, Some(AnyText("Wait".to_owned()))));
        let waits = new.seen(found.collect()).expect("are there").waits(added).0.into_iter();
        waits
            .map(|wait| (wait.held, wait.tasks.into_iter().collect()))
            .collect()
    }

    #[test]
    fn each_shape_has_its_links() {
        let added = [AddedTask::new(4), AddedTask::new(5), AddedTask::new(6)];
        assert_eq!(waits(Shape::Chain, &added), [(5, vec![4]), (6, vec![5])]);
        assert_eq!(waits(Shape::Chain, &added[..1]), []);
        assert_eq!(waits(Shape::Batch, &added), [(6, vec![4, 5])]);
        assert_eq!(waits(after([1, 2]), &added[..1]), [(4, vec![1, 2])]);
    }

    #[test]
    fn tasks_that_were_there_before_are_waited_for_once_and_wait_for_nothing() {
        let held_by_key = [AddedTask::duplicate_of(3)];
        assert_eq!(waits(after([2]), &held_by_key), []);
        let added = [
            AddedTask::duplicate_of(3),
            AddedTask::duplicate_of(3),
            AddedTask::new(6),
        ];
        assert_eq!(waits(Shape::Batch, &added), [(6, vec![3])]);
    }

    #[test]
    fn successes_are_counted_at_once_and_other_ends_are_refused() {
        let new = NewHeld::new(Vec::new(), after([1, 2]));
        let seen = |statuses: [(i64, &str); 2]| {
            let found = statuses.map(|(id, status)| (id, Some(AnyText(status.to_owned()))));
            let seen = new.seen(found.into())?;
            Ok::<_, Addition>(seen.waits(&[AddedTask::new(4)]).0[0].succeeded.len())
        };
        assert_eq!(seen([(1, "Running"), (2, "Success")]), Ok(1));
        assert_eq!(seen([(1, "Success"), (3, "Success")]), Err(Addition::NoPredecessor(2)));
        let failed = Addition::PredecessorEnded(2, TaskStatus::Failed);
        assert_eq!(seen([(1, "Success"), (2, "Odd")]), Err(failed));
    }
}
