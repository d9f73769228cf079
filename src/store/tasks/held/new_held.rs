//! Held tasks to add.

use std::collections::BTreeSet;

use super::HELD_UNTIL;
use crate::{
    domain::{AddedTask, TaskStatus, WaitKind},
    store::tasks::new_row::NewTaskRow,
};

/// Which of the new tasks waits for which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The only task waits for this one, which exists.
    After(i64),
    /// Each task but the first waits for the one before it.
    Chain,
    /// The last task waits for all others.
    Batch,
}

/// Held tasks to add, with tasks for which they wait.
#[derive(Debug)]
pub(crate) struct NewHeld {
    pub(in crate::store) rows: Vec<NewTaskRow>,
    pub(super) shape: Shape,
}

/// What became of the addition of held tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HeldAddition {
    /// In the order of the rows.
    Added(Vec<AddedTask>),
    /// The task for which the new one is to wait does not exist.
    NoPredecessor,
    /// That task has failed or was cancelled.
    PredecessorEnded(TaskStatus),
}

/// A held task, and the tasks for which it waits.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) held: i64,
    pub(super) kind: WaitKind,
    pub(super) tasks: BTreeSet<i64>,
}

/// The waits of tasks that were added.
#[derive(Debug)]
pub(in crate::store) struct Waits(pub(super) Vec<Wait>);

impl NewHeld {
    pub(super) fn new(mut rows: Vec<NewTaskRow>, shape: Shape) -> Self {
        let count = rows.len();
        for (at, row) in rows.iter_mut().enumerate() {
            if shape.holds(at, count) {
                row.run_at = Some(HELD_UNTIL);
            }
        }
        Self { rows, shape }
    }

    /// The task that must exist, and not have failed.
    pub(super) const fn predecessor(&self) -> Option<i64> {
        match self.shape {
            Shape::After(task) => Some(task),
            Shape::Chain | Shape::Batch => None,
        }
    }

    /// The waits of these tasks, which were added for the rows.
    pub(in crate::store) fn waits(&self, added: &[AddedTask]) -> Waits {
        let held = added
            .iter()
            .enumerate()
            .filter(|(at, _)| self.shape.holds(*at, added.len()));
        // The holder of a unique key was there before, and waits for nothing.
        let held = held.filter(|(_, task)| !task.duplicate);
        let wait = |(at, task): (usize, &AddedTask)| Wait {
            held: task.id,
            kind: self.shape.kind(),
            tasks: self.shape.predecessors(at, added),
        };
        Waits(held.map(wait).collect())
    }
}

impl Shape {
    /// Whether the task at this place, of so many, waits for another.
    const fn holds(self, at: usize, count: usize) -> bool {
        match self {
            Self::After(_) => true,
            Self::Chain => at > 0,
            Self::Batch => at + 1 == count,
        }
    }

    const fn kind(self) -> WaitKind {
        match self {
            Self::After(_) | Self::Chain => WaitKind::Chain,
            Self::Batch => WaitKind::Batch,
        }
    }

    fn predecessors(self, at: usize, added: &[AddedTask]) -> BTreeSet<i64> {
        let before = match self {
            Self::After(task) => return BTreeSet::from([task]),
            Self::Chain => &added[at - 1..at],
            Self::Batch => &added[..at],
        };
        before.iter().map(|task| task.id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(shape: Shape, added: &[AddedTask]) -> Vec<(i64, Vec<i64>)> {
        let rows = Vec::new();
        let waits = NewHeld { rows, shape }.waits(added).0.into_iter();
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
        assert_eq!(waits(Shape::After(2), &added[..1]), [(4, vec![2])]);
    }

    #[test]
    fn tasks_that_were_there_before_are_waited_for_once_and_wait_for_nothing() {
        let held_by_key = [AddedTask::duplicate_of(3)];
        assert_eq!(waits(Shape::After(2), &held_by_key), []);
        let added = [
            AddedTask::duplicate_of(3),
            AddedTask::duplicate_of(3),
            AddedTask::new(6),
        ];
        assert_eq!(waits(Shape::Batch, &added), [(6, vec![3])]);
    }
}
