//! How much the scanner may claim.
//!
//! A pool holds work for half a second in advance, by the mean duration of each method, so that it keeps no slow tasks which other nodes
//! could run. While it is full, only urgent tasks are claimed: those with a higher priority than the last task of its buffer.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{WorkerPool, reading::MAX_WAITING};
use crate::{
    asynctask::throughput::{AHEAD, fit},
    domain::Outcome,
    registry::MethodName,
    store::Wanted,
};

/// How much may be claimed now.
#[derive(Debug)]
pub(in crate::asynctask) struct Room {
    pub(in crate::asynctask) limit: usize,
    /// How many tasks of each method. `None`: of all methods.
    pub(in crate::asynctask) methods: Option<Arc<[Wanted]>>,
    /// The pool is full: only tasks with a higher priority than this.
    pub(in crate::asynctask) above: Option<i32>,
}

impl WorkerPool {
    /// The room for tasks of these methods. If there is none, or only for urgent tasks, the pool rings the wake when there is some.
    pub(super) fn room(&mut self, methods: Option<Vec<MethodName>>) -> Option<Room> {
        let limit = self.free();
        self.scanner_waits = limit == 0;
        let (limit, above) = match limit {
            0 if self.takes_nothing() => return None,
            0 => (self.target, Some(self.buffer.lowest()?)),
            limit => (limit, None),
        };
        let methods = methods.map(|methods| {
            let wanted = methods.into_iter().map(|name| Wanted {
                most: if above.is_some() { limit } else { self.most_of(&name) },
                at_most: None,
                service: name.service,
                method: name.method,
            });
            wanted.collect()
        });
        Some(Room { limit, methods, above })
    }

    /// How many tasks may be claimed: as many as there are free workers, and as many in advance as the workers finish in half a second. 0
    /// while more than half of that advance is still there, to keep claims large, and while too many runs wait for memory, since further
    /// tasks might only go back again.
    pub(super) fn free(&self) -> usize {
        if self.takes_nothing() {
            return 0;
        }
        let most = self.theme.options.task_id_chan_length;
        let ahead = self.throughput.ahead(Instant::now(), most);
        if self.buffer.len() * 2 > ahead || self.buffer.time() * 2 > self.budget() {
            return 0;
        }
        (self.unused() + ahead).saturating_sub(self.buffer.len())
    }

    fn takes_nothing(&self) -> bool {
        !self.gate.is_open() || self.target == 0 || self.waiting_for_memory.len() >= MAX_WAITING
    }

    fn unused(&self) -> usize {
        self.idle.len().min(self.target).saturating_sub(self.reserved)
    }

    /// How many tasks of one method alone would fill the room: one for each free worker, and those that fit into the time in advance. At
    /// least one, or a slow method would never have its turn while quick methods have due tasks.
    fn most_of(&self, name: &MethodName) -> usize {
        let cost = self.mean_durations.of(&name.service, &name.method);
        let left = self.budget().saturating_sub(self.buffer.time());
        self.unused().saturating_add(fit(left, cost)).max(1)
    }

    /// The working time of all workers together within the time in advance.
    pub(super) fn budget(&self) -> Duration {
        AHEAD.saturating_mul(u32::try_from(self.target).unwrap_or(u32::MAX))
    }

    /// Hands back the tasks beyond the time in advance.
    pub(super) fn hand_back_beyond(&mut self) {
        for run in self.buffer.take_beyond(self.budget(), &self.mean_durations) {
            run.end(Outcome::HandedBack { started: false });
        }
    }
}
