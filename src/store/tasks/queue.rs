//! Due tasks, by segments, and how the room of a claim is shared out among methods.
//!
//! A segment is a row of `gaia_due`: tasks of one theme, method and priority, by their ids. A claim reads the heads of the methods
//! that it may take, decides here how much it takes of each, and takes whole segments and a part of the last one. The rows of the
//! tasks have the truth: an id of a task that does not wait any more counts for nothing.

use std::cmp::Reverse;

use crate::store::Wanted;

/// Segments that are looked at for each method. Of those behind them it is only known that there may be some.
pub(in crate::store) const HEADS: i64 = 100;

/// Tasks in one segment at most: a claim rewrites the rest of the last one.
#[cfg(any(feature = "sqlite", feature = "mysql"))]
pub(in crate::store) const SEGMENT: usize = 1_000;

/// So many tasks are put into segments as they are added. Fewer are left to the next claim, which takes in the tasks of many callers at once.
#[cfg(any(feature = "sqlite", feature = "mysql"))]
pub(in crate::store) const QUEUED_FROM: usize = 30;

/// One of the first segments of a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Head {
    /// The place of its method among those that are wanted.
    pub(in crate::store) method: usize,
    pub(in crate::store) priority: i64,
    pub(in crate::store) id: i64,
    /// Tasks in it.
    pub(in crate::store) tasks: usize,
}

/// How much is to be claimed of one method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Share {
    pub(in crate::store) method: usize,
    pub(in crate::store) tasks: usize,
    /// The first segments, as many as these tasks fill.
    pub(in crate::store) segments: usize,
}

/// Shares the room of a claim out: the highest priority first, and the oldest first among equals. A task takes up the part of the
/// room that its method says; `limit` holds for all together.
pub(in crate::store) fn shares(mut heads: Vec<Head>, wanted: &[Wanted], limit: usize) -> Shares {
    heads.sort_unstable_by_key(|head| (Reverse(head.priority), head.id));
    let mut room = Room {
        wanted,
        left: limit,
        used: 0.0,
        shares: (0..wanted.len()).map(Share::nothing).collect(),
    };
    let mut seen = vec![0; wanted.len()];
    for head in &heads {
        seen[head.method] += 1;
        let fits = room.fits(head.method).min(head.tasks);
        if fits > 0 {
            room.take(head.method, fits, 1);
        }
    }
    // A method may have more segments than were looked at, each of them with a task at least.
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
    }
}

/// How much is to be claimed of each method.
#[derive(Debug)]
pub(in crate::store) struct Shares {
    pub(in crate::store) all: Vec<Share>,
    /// Whether more is due, which the room of its methods is not for.
    pub(in crate::store) more: bool,
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

/// The rest of a claim's room.
struct Room<'a> {
    wanted: &'a [Wanted],
    left: usize,
    /// The part of the room that the tasks take up so far.
    used: f64,
    shares: Vec<Share>,
}

impl Room<'_> {
    /// How many more tasks of the method there is room for.
    fn fits(&self, method: usize) -> usize {
        let most = self.wanted[method].most.min(self.left);
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
    fn behind_many_segments_more_are_taken_for_granted() {
        let many: Vec<Head> = (0..HEADS).map(|id| head(0, 0, id, 1)).collect();
        assert_eq!(shared(many.clone(), &[5_000], 1_000), [(0, 1_000, 1_000)]);
        assert_eq!(shared(many, &[5_000], 30), [(0, 30, 30)]);
        assert_eq!(shared(Vec::new(), &[5_000], 30), []);
    }
}
