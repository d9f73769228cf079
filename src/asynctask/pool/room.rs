//! How much the scanner may claim.
//!
//! A pool holds little in advance: work for half a second, measured by method, so that it hoards no slow tasks which other nodes could
//! run. While it is full, only tasks that are more urgent than the last one of its buffer are claimed: these go before it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{WorkerPool, reading::MOST_WAITING};
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
    /// `None`: all.
    pub(in crate::asynctask) methods: Option<Arc<[Wanted]>>,
    /// The pool is full: only tasks of a higher priority.
    pub(in crate::asynctask) above: Option<i32>,
}

impl WorkerPool {
    /// The room for tasks of these methods. After an answer of less than all that is due the wake is rung when there is more.
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
                service: name.service,
                method: name.method,
            });
            wanted.collect()
        });
        Some(Room { limit, methods, above })
    }

    /// Free workers, and as many tasks in advance as half a second takes. To keep claims large, nothing is asked for while
    /// more than half of that advance is still there, or while too many tasks wait for room in memory: further ones might only go
    /// back again.
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
        !self.gate.is_open() || self.target == 0 || self.waiting.len() >= MOST_WAITING
    }

    fn unused(&self) -> usize {
        self.idle.len().min(self.target).saturating_sub(self.reserved)
    }

    /// As many tasks of one method as fill the room: one for each free worker, and those that fit into the time in advance. One at
    /// least, or a slow method would never have its turn while quick ones are due.
    fn most_of(&self, name: &MethodName) -> usize {
        let cost = self.costs.of(&name.service, &name.method);
        let left = self.budget().saturating_sub(self.buffer.time());
        self.unused().saturating_add(fit(left, cost)).max(1)
    }

    /// What the workers do together in the time in advance.
    pub(super) fn budget(&self) -> Duration {
        AHEAD.saturating_mul(u32::try_from(self.target).unwrap_or(u32::MAX))
    }

    /// Gives back the tasks beyond the time in advance.
    pub(super) fn hand_back_beyond(&mut self) {
        for run in self.buffer.take_beyond(self.budget(), &self.costs) {
            run.end(Outcome::HandedBack { started: false });
        }
    }
}
