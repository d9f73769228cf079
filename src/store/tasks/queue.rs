//! The segments of due tasks, and how a claim is shared out among methods.
//!
//! A segment is a row of `gaia_due`: the ids of tasks of one theme, method and priority. A claim reads the first segments of each method
//! that it may take, decides here how many tasks it takes of each method, and takes whole segments and a part of the last one. The rows of
//! the tasks have the truth: the id of a task that does not wait any more is ignored.

use std::cmp::Reverse;

use crate::store::Wanted;
#[cfg(any(feature = "sqlite", feature = "mysql"))]
use crate::{
    domain::AddedTask,
    store::{statement::chunks::runs_of, tasks::new_row::NewTaskRow},
};

/// How many segments a claim reads of each method. If it has read so many, there may be more.
pub(in crate::store) const HEADS: i64 = 100;

/// The most tasks in one segment. It is limited because a claim writes the remaining ids of the last segment again.
#[cfg(any(feature = "sqlite", feature = "mysql"))]
pub(in crate::store) const SEGMENT: usize = 1_000;

/// A call that adds at least so many tasks puts them into segments. Fewer tasks stay strays: the next claim puts the strays of many callers
/// into segments together.
#[cfg(any(feature = "sqlite", feature = "mysql"))]
const QUEUED_FROM: usize = 30;

/// Whether a call puts these tasks into segments. They follow each other in the call, and all or none of them have a unique key.
#[cfg(any(feature = "sqlite", feature = "mysql"))]
pub(in crate::store) fn are_queued(tasks: usize, are_keyed: bool) -> bool {
    tasks >= QUEUED_FROM && !are_keyed
}

/// The tasks of a call that are to be put into segments, with their ids.
#[cfg(any(feature = "sqlite", feature = "mysql"))]
pub(in crate::store) fn queued<'a>(rows: &'a [NewTaskRow], added: &[AddedTask]) -> Vec<(&'a NewTaskRow, i64)> {
    if rows.len() < QUEUED_FROM {
        return Vec::new();
    }
    let tasks: Vec<_> = rows.iter().zip(added.iter().map(|task| task.id)).collect();
    let runs = runs_of(&tasks, |(row, _)| row.unique_key.is_some());
    let queued = runs.filter(|run| are_queued(run.len(), run[0].0.unique_key.is_some()));
    queued
        .flatten()
        .filter(|(row, _)| row.run_at.is_none())
        .copied()
        .collect()
}

/// One of the first segments of a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Head {
    /// The index of its method in the list of the methods that the claim may take.
    pub(in crate::store) method: usize,
    pub(in crate::store) priority: i64,
    pub(in crate::store) id: i64,
    /// How many tasks it has.
    pub(in crate::store) tasks: usize,
}

/// How many tasks a claim takes of one method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Share {
    pub(in crate::store) method: usize,
    pub(in crate::store) tasks: usize,
    /// In how many of the first segments these tasks are.
    pub(in crate::store) segments: usize,
}

/// Decides how many tasks a claim takes of each method: the highest priority first, and the oldest first among equals. A task takes up
/// 1 / `most` of the claim, by the [`Wanted`] of its method; together there are at most `limit` tasks, and of each method `at_most`.
pub(in crate::store) fn shares(mut heads: Vec<Head>, wanted: &[Wanted], limit: usize) -> Shares {
    heads.sort_unstable_by_key(|head| (Reverse(head.priority), head.id));
    let mut room = ClaimBudget {
        wanted,
        left: limit,
        used: 0.0,
        shares: (0..wanted.len()).map(Share::nothing).collect(),
    };
    let (mut seen, mut left) = (vec![0; wanted.len()], vec![0; wanted.len()]);
    for head in &mut heads {
        seen[head.method] += 1;
        // Tasks beyond the limit of their method are as good as not due.
        let beyond = head.tasks.saturating_sub(room.allows(head.method));
        left[head.method] += beyond;
        head.tasks -= beyond;
        let fits = room.fits(head.method).min(head.tasks);
        if fits > 0 {
            room.take(head.method, fits, 1);
        }
    }
    // A method may have more segments than were read, each with at least one task.
    for (method, seen) in seen.into_iter().enumerate() {
        let fits = room.fits(method);
        if seen >= HEADS && fits > 0 {
            room.take(method, fits, fits);
        }
    }
    let (due, taken) = (heads.iter().map(|head| head.tasks).sum::<usize>(), limit - room.left);
    let shares = room.shares.into_iter();
    Shares {
        all: shares.filter(|share| share.tasks > 0).collect(),
        more: taken < limit.min(due),
        left: left.into_iter().enumerate().filter(|(_, left)| *left > 0).collect(),
    }
}

/// How many tasks a claim takes of each method.
#[derive(Debug)]
pub(in crate::store) struct Shares {
    pub(in crate::store) all: Vec<Share>,
    /// Whether more tasks are due, which the claim leaves because their methods have filled it.
    pub(in crate::store) more: bool,
    /// The methods of which it leaves due tasks because of [`Wanted::at_most`], and how many.
    pub(in crate::store) left: Vec<(usize, usize)>,
}

impl Share {
    fn nothing(method: usize) -> Self {
        Self {
            method,
            tasks: 0,
            segments: 0,
        }
    }
}

/// What a claim may still take.
struct ClaimBudget<'a> {
    wanted: &'a [Wanted],
    left: usize,
    /// The part of the claim, from 0 to 1, that its tasks have taken up so far.
    used: f64,
    shares: Vec<Share>,
}

impl ClaimBudget<'_> {
    /// How many more tasks of this method the claim may take.
    fn fits(&self, method: usize) -> usize {
        let most = self.wanted[method].most.min(self.left).min(self.allows(method));
        // Whole, positive, and far below 2^53.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "see above"
        )]
        let fits = ((1.0 - self.used) * self.wanted[method].most as f64 + 1e-6).max(0.0) as usize;
        fits.min(most)
    }

    /// How many more the method's own limit allows.
    fn allows(&self, method: usize) -> usize {
        let at_most = self.wanted[method].at_most;
        at_most.map_or(usize::MAX, |most| most.saturating_sub(self.shares[method].tasks))
    }

    fn take(&mut self, method: usize, tasks: usize, segments: usize) {
        self.left -= tasks;
        #[expect(clippy::cast_precision_loss, reason = "it is far below 2^53")]
        let part = tasks as f64 / self.wanted[method].most as f64;
        self.used += part;
        self.shares[method].tasks += tasks;
        self.shares[method].segments += segments;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(most: &[usize]) -> Vec<Wanted> {
        let wanted = |most: &usize| Wanted {
            service: "Orders".to_owned(),
            method: "confirm".to_owned(),
            most: *most,
            at_most: None,
        };
        most.iter().map(wanted).collect()
    }

    fn head(method: usize, priority: i64, id: i64, tasks: usize) -> Head {
        Head {
            method,
            priority,
            id,
            tasks,
        }
    }

    /// Method, tasks, segments.
    fn shared(heads: Vec<Head>, most: &[usize], limit: usize) -> Vec<(usize, usize, usize)> {
        let shares = shares(heads, &wanted(most), limit).all.into_iter();
        shares
            .map(|share| (share.method, share.tasks, share.segments))
            .collect()
    }

    #[test]
    fn the_highest_priority_comes_first_and_then_the_oldest_whatever_the_method() {
        let heads = vec![
            head(0, 0, 1, 10),
            head(0, 0, 4, 10),
            head(1, 9, 3, 5),
            head(1, 0, 2, 10),
        ];
        assert_eq!(shared(heads.clone(), &[100, 100], 20), [(0, 10, 1), (1, 10, 2)]);
        assert_eq!(shared(heads.clone(), &[100, 100], 3), [(1, 3, 1)]);
        assert_eq!(shared(heads, &[100, 100], 100), [(0, 20, 2), (1, 15, 2)]);
    }

    #[test]
    fn tasks_of_a_slow_method_leave_room_for_fewer_of_a_quick_one() {
        let heads = vec![head(0, 1, 1, 8), head(1, 0, 2, 1_000)];
        assert_eq!(shared(heads.clone(), &[16, 4_000], 5_000), [(0, 8, 1), (1, 1_000, 1)]);
        assert_eq!(shared(heads.clone(), &[16, 400], 5_000), [(0, 8, 1), (1, 200, 1)]);
        assert_eq!(shared(heads.clone(), &[8, 400], 5_000), [(0, 8, 1)]);
        assert_eq!(shared(heads, &[0, 400], 5_000), [(1, 400, 1)]);
    }

    #[test]
    fn tasks_beyond_the_limit_of_their_method_are_left_and_others_pass_them() {
        let heads = vec![head(0, 9, 1, 10), head(1, 0, 2, 30), head(0, 0, 3, 5)];
        let mut wanted = wanted(&[1_000, 1_000]);
        for (at_most, limit, expected, more, left) in [
            (0, 100, vec![(1, 30, 1)], false, vec![(0, 15)]),
            (4, 100, vec![(0, 4, 1), (1, 30, 1)], false, vec![(0, 11)]),
            (12, 100, vec![(0, 12, 2), (1, 30, 1)], false, vec![(0, 3)]),
            (15, 100, vec![(0, 15, 2), (1, 30, 1)], false, vec![]),
            // The claim is full: it says nothing about the tasks that it has left for that.
            (20, 10, vec![(0, 10, 1)], false, vec![]),
        ] {
            wanted[0].at_most = Some(at_most);
            let shares = shares(heads.clone(), &wanted, limit);
            let all = shares
                .all
                .iter()
                .map(|share| (share.method, share.tasks, share.segments));
            assert_eq!(
                (all.collect::<Vec<_>>(), shares.more, shares.left),
                (expected, more, left)
            );
        }
    }

    #[test]
    fn behind_many_segments_more_are_taken_for_granted() {
        let many: Vec<Head> = (0..HEADS).map(|id| head(0, 0, id, 1)).collect();
        assert_eq!(shared(many.clone(), &[5_000], 1_000), [(0, 1_000, 1_000)]);
        assert_eq!(shared(many, &[5_000], 30), [(0, 30, 30)]);
        assert_eq!(shared(Vec::new(), &[5_000], 30), []);
    }
}
