//! Claimed tasks that wait in memory for a worker: the highest priority first; tasks of one priority in the order in which they came.
//!
//! Runs of limited methods have a separate lane: while one of them waits here, its slot is taken, and no task runs. At equal priority the two
//! lanes take turns.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use crate::asynctask::{run::Run, throughput::MeanDurations};

#[derive(Default)]
pub(super) struct Buffer {
    plain: Lane,
    limited: Lane,
    /// The last run came from the lane of limited methods.
    was_limited: bool,
    /// For how long all runs here would keep one worker busy.
    time: Duration,
}

/// Sorted by priority.
#[derive(Default)]
struct Lane(VecDeque<Held>);

struct Held {
    run: Arc<Run>,
    cost: Duration,
}

impl Lane {
    fn first(&self) -> Option<i32> {
        self.0.front().map(|held| held.run.task.priority)
    }

    fn last(&self) -> Option<i32> {
        self.0.back().map(|held| held.run.task.priority)
    }

    /// Where a run of this priority goes: behind the runs of the same priority, or before them.
    fn place(&self, priority: i32, before: bool) -> usize {
        if !before && self.last().is_none_or(|last| last >= priority) {
            return self.0.len();
        }
        self.0.partition_point(|held| {
            let held = held.run.task.priority;
            held > priority || (!before && held == priority)
        })
    }
}

impl Buffer {
    pub(super) fn len(&self) -> usize {
        self.plain.0.len() + self.limited.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn time(&self) -> Duration {
        self.time
    }

    /// The lowest priority here.
    pub(super) fn lowest(&self) -> Option<i32> {
        [self.plain.last(), self.limited.last()].into_iter().flatten().min()
    }

    pub(super) fn push(&mut self, run: Arc<Run>, costs: &MeanDurations) {
        self.insert(run, false, costs);
    }

    /// Puts a run before all others of its priority, since it has waited already.
    pub(super) fn push_back_in(&mut self, run: Arc<Run>, costs: &MeanDurations) {
        self.insert(run, true, costs);
    }

    fn insert(&mut self, run: Arc<Run>, before: bool, costs: &MeanDurations) {
        let cost = costs.of(&run.task.service, &run.task.method);
        self.time += cost;
        let lane = match run.is_limited() {
            true => &mut self.limited,
            false => &mut self.plain,
        };
        let at = lane.place(run.task.priority, before);
        lane.0.insert(at, Held { run, cost });
    }

    pub(super) fn pop(&mut self) -> Option<Arc<Run>> {
        let held = self.next()?;
        Some(self.taken(held))
    }

    fn next(&mut self) -> Option<Held> {
        let takes_limited = match (self.plain.first(), self.limited.first()) {
            (Some(plain), Some(limited)) if plain == limited => !self.was_limited,
            (plain, limited) => limited > plain,
        };
        self.was_limited = takes_limited;
        match takes_limited {
            true => self.limited.0.pop_front(),
            false => self.plain.0.pop_front(),
        }
    }

    fn taken(&mut self, held: Held) -> Arc<Run> {
        self.time = self.time.saturating_sub(held.cost);
        held.run
    }

    /// Takes out the runs for which `is_meant` is true.
    pub(super) fn take_if(&mut self, is_meant: impl Fn(&Arc<Run>) -> bool) -> Vec<Arc<Run>> {
        let mut taken = Vec::new();
        for lane in [&mut self.plain.0, &mut self.limited.0] {
            while let Some(at) = lane.iter().position(|held| is_meant(&held.run)) {
                if let Some(held) = lane.remove(at) {
                    self.time = self.time.saturating_sub(held.cost);
                    taken.push(held.run);
                }
            }
        }
        taken
    }

    pub(super) fn take_all(&mut self) -> Vec<Arc<Run>> {
        std::iter::from_fn(|| self.pop()).collect()
    }

    /// Takes out the last runs, so that the others (at least one) keep one worker busy for at most `time`, by the present mean durations.
    pub(super) fn take_beyond(&mut self, time: Duration, costs: &MeanDurations) -> Vec<Arc<Run>> {
        let mut beyond = self.take_all();
        self.time = Duration::ZERO;
        let mut kept = 0;
        for run in &beyond {
            let cost = costs.of(&run.task.service, &run.task.method);
            if self.time + cost > time && kept > 0 {
                break;
            }
            self.push(Arc::clone(run), costs);
            kept += 1;
        }
        beyond.split_off(kept)
    }
}
