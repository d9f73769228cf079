//! Claimed tasks that wait in memory for a worker: the highest priority first; tasks of one priority in the order in which they came, but
//! first those of limited methods: while one waits, no task has its slot, on this node or on another.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use crate::asynctask::{run::Run, throughput::MeanDurations};

#[derive(Default)]
pub(super) struct Buffer {
    runs: VecDeque<Held>,
    /// For how long all runs here would keep one worker busy.
    time: Duration,
}

struct Held {
    run: Arc<Run>,
    cost: Duration,
}

impl Buffer {
    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub(super) fn time(&self) -> Duration {
        self.time
    }

    /// The lowest priority here: that of the last run.
    pub(super) fn lowest(&self) -> Option<i32> {
        self.runs.back().map(|held| held.run.task.priority)
    }

    pub(super) fn push(&mut self, run: Arc<Run>, costs: &MeanDurations) {
        let priority = run.task.priority;
        let is_last = self.lowest().is_none_or(|lowest| lowest >= priority);
        let at = match run.has_permit() {
            true => self.runs.partition_point(|held| {
                let priority_of_held = held.run.task.priority;
                priority_of_held > priority || (priority_of_held == priority && held.run.has_permit())
            }),
            false if is_last => self.runs.len(),
            false => self.runs.partition_point(|held| held.run.task.priority >= priority),
        };
        self.insert(at, run, costs);
    }

    /// Puts a run before all others of its priority, since it has waited already.
    pub(super) fn push_back_in(&mut self, run: Arc<Run>, costs: &MeanDurations) {
        let at = self
            .runs
            .partition_point(|held| held.run.task.priority > run.task.priority);
        self.insert(at, run, costs);
    }

    fn insert(&mut self, at: usize, run: Arc<Run>, costs: &MeanDurations) {
        let cost = costs.of(&run.task.service, &run.task.method);
        self.time += cost;
        self.runs.insert(at, Held { run, cost });
    }

    pub(super) fn pop(&mut self) -> Option<Arc<Run>> {
        let held = self.runs.pop_front()?;
        Some(self.taken(held))
    }

    fn taken(&mut self, held: Held) -> Arc<Run> {
        self.time = self.time.saturating_sub(held.cost);
        held.run
    }

    /// Takes out the runs for which `is_meant` is true.
    pub(super) fn take_if(&mut self, is_meant: impl Fn(&Arc<Run>) -> bool) -> Vec<Arc<Run>> {
        let mut taken = Vec::new();
        while let Some(at) = self.runs.iter().position(|held| is_meant(&held.run)) {
            let held = self.runs.remove(at);
            taken.extend(held.map(|held| self.taken(held)));
        }
        taken
    }

    pub(super) fn take_all(&mut self) -> Vec<Arc<Run>> {
        std::iter::from_fn(|| self.pop()).collect()
    }

    /// Takes out the last runs, so that the others (at least one) keep one worker busy for at most `time`, by the present mean durations.
    pub(super) fn take_beyond(&mut self, time: Duration, costs: &MeanDurations) -> Vec<Arc<Run>> {
        self.time = Duration::ZERO;
        let mut kept = 0;
        for held in &mut self.runs {
            held.cost = costs.of(&held.run.task.service, &held.run.task.method);
            if self.time + held.cost > time && kept > 0 {
                break;
            }
            self.time += held.cost;
            kept += 1;
        }
        self.runs.drain(kept..).map(|held| held.run).collect()
    }
}
