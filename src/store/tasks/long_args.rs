//! Long arguments: claims leave them in the database, and this process has only so many bytes of them in memory at the same time.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::{Either, select};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    clock::Clock,
    store::{ClaimedTask, TaskStore},
};

/// The memory for arguments that claims have left in the database, in kilobytes. The values that a handler makes of them come on top.
const ROOM: u32 = 64 << 10;

/// How long a run waits for memory before its task goes back to the database, if no other run gives memory back in this time.
const WAIT: Duration = Duration::from_secs(1);

/// How long a run waits at most while other runs give memory back. Longer than [`WAIT`], since its turn will come, and to put a task with
/// long arguments back and claim it again is much work on SQLite, which writes the whole row each time.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A task that was claimed in vain so often, which takes about half a minute, may begin beyond the limit.
const PATIENCE: u32 = 5;

/// The most tasks that are remembered as claimed in vain. If there are more, all are forgotten: other nodes may have run them since.
const MOST_VAIN: usize = 10_000;

/// The least time between two runs that begin beyond the limit. It doubles with each such run that has not ended.
const BEYOND_EVERY: Duration = Duration::from_secs(30);

/// The memory for long arguments. All clones of a store share it.
#[derive(Debug, Clone)]
pub(in crate::store) struct LongArgs {
    room: Arc<Semaphore>,
    used: Arc<Used>,
}

/// The use of the memory so far.
#[derive(Debug, Default)]
struct Used {
    beyond: Mutex<Beyond>,
    /// By task id: how often a task was claimed here without getting memory.
    vain: Mutex<HashMap<i64, u32>>,
    /// How often a run has given its memory back.
    returned: AtomicU64,
}

/// Runs that began beyond the limit. Without them, runs that hold the memory and wait for tasks that need memory would wait for ever.
#[derive(Debug, Default)]
struct Beyond {
    runs: u32,
    /// Reading of the clock when the last such run began.
    last: Option<Duration>,
}

/// Memory for the arguments of one run. It is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct ArgsMemory {
    /// `None`: beyond the limit.
    within: Option<OwnedSemaphorePermit>,
    used: Arc<Used>,
}

impl Drop for ArgsMemory {
    fn drop(&mut self) {
        self.used.returned.fetch_add(1, Ordering::Relaxed);
        if self.within.is_none() {
            let mut beyond = self.used.beyond();
            beyond.runs = beyond.runs.saturating_sub(1);
        }
    }
}

impl Used {
    fn beyond(&self) -> MutexGuard<'_, Beyond> {
        self.beyond.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn vain(&self) -> MutexGuard<'_, HashMap<i64, u32>> {
        self.vain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn returned(&self) -> u64 {
        self.returned.load(Ordering::Relaxed)
    }
}

impl Default for LongArgs {
    fn default() -> Self {
        Self {
            room: Arc::new(Semaphore::new(ROOM as usize)),
            used: Arc::default(),
        }
    }
}

impl LongArgs {
    /// Memory for so many bytes, if there is enough and no run waits for memory.
    fn now(&self, bytes: usize) -> Option<ArgsMemory> {
        let permit = Arc::clone(&self.room).try_acquire_many_owned(kilobytes(bytes)).ok();
        permit.map(|permit| self.of(Some(permit)))
    }

    /// Waits for memory, but not for long. Runs have their turns in the order in which they began to wait.
    async fn soon(&self, bytes: usize, clock: &Clock) -> Option<ArgsMemory> {
        let mut room = pin!(Arc::clone(&self.room).acquire_many_owned(kilobytes(bytes)));
        let (until, mut returned) = (clock.elapsed().saturating_add(LONGEST_WAIT), self.used.returned());
        loop {
            if let Either::Left((permit, _)) = select(room.as_mut(), pin!(clock.sleep(WAIT))).await {
                // The semaphore is never closed.
                return permit.ok().map(|permit| self.of(Some(permit)));
            }
            let before = std::mem::replace(&mut returned, self.used.returned());
            if before == returned || clock.elapsed() >= until {
                return None;
            }
        }
    }

    fn of(&self, within: Option<OwnedSemaphorePermit>) -> ArgsMemory {
        let used = Arc::clone(&self.used);
        ArgsMemory { within, used }
    }

    /// Memory beyond the limit, if no run was given such memory for long enough.
    fn beyond(&self, clock: &Clock) -> Option<ArgsMemory> {
        let mut beyond = self.used.beyond();
        let pause = BEYOND_EVERY.saturating_mul(2_u32.saturating_pow(beyond.runs));
        let now = clock.elapsed();
        if beyond.last.is_some_and(|last| now.saturating_sub(last) < pause) {
            return None;
        }
        beyond.last = Some(now);
        beyond.runs += 1;
        drop(beyond);
        Some(self.of(None))
    }
}

/// The kilobytes that so many bytes need. Arguments that are larger than all the memory get all of it.
fn kilobytes(bytes: usize) -> u32 {
    u32::try_from(bytes >> 10)
        .unwrap_or(u32::MAX)
        .saturating_add(1)
        .min(ROOM)
}

impl TaskStore<'_> {
    /// Memory for the arguments that a claim has left in the database, if there is enough now.
    pub(crate) fn args_memory_now(self, task: &ClaimedTask) -> Option<ArgsMemory> {
        self.long_args.now(task.left_out?)
    }

    /// Waits for memory for the arguments that a claim has left in the database: up to a second by the store's clock, and up to ten while other
    /// runs give memory back. A task that was claimed in vain often enough may get memory beyond the limit.
    pub(crate) async fn args_memory_soon(&self, task: &ClaimedTask) -> Option<ArgsMemory> {
        let room = self.long_args.soon(task.left_out?, &self.clock).await;
        let used = &self.long_args.used;
        let is_patient = used.vain().get(&task.id).is_some_and(|vain| *vain >= PATIENCE);
        let room = room.or_else(|| is_patient.then(|| self.long_args.beyond(&self.clock)).flatten());
        if room.is_some() {
            used.vain().remove(&task.id);
        }
        room
    }

    /// Notes that a claimed task got no memory; answers how often that has happened to the task before.
    pub(crate) fn claimed_in_vain(self, task: &ClaimedTask) -> u32 {
        let mut vain = self.long_args.used.vain();
        if vain.len() >= MOST_VAIN {
            vain.clear();
        }
        let count = vain.entry(task.id).or_default();
        let before = *count;
        *count = count.saturating_add(1);
        before
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;

    fn clock() -> Clock {
        Clock::manual(DateTime::<Utc>::UNIX_EPOCH)
    }

    #[tokio::test]
    async fn a_run_waits_for_a_second_at_most_and_one_that_is_larger_than_all_the_room_has_it_alone() {
        let (room, clock) = (LongArgs::default(), clock());
        let all = room.now(usize::MAX).expect("is free");
        assert!(room.now(1).is_none());
        {
            let mut waits = pin!(room.soon(1, &clock));
            assert!(futures_util::poll!(waits.as_mut()).is_pending());
            clock.advance(WAIT);
            assert!(waits.await.is_none());
        }
        drop(all);
        assert!(room.soon(1, &clock).await.is_some());
    }

    #[tokio::test]
    async fn a_run_waits_longer_while_others_give_room_back() {
        let (room, clock) = (LongArgs::default(), clock());
        let large = room.now(usize::MAX / 2).expect("is free");
        let mut waits = pin!(room.soon(1, &clock));
        for _ in 0..LONGEST_WAIT.as_secs() - 1 {
            assert!(futures_util::poll!(waits.as_mut()).is_pending());
            drop(room.of(None));
            clock.advance(WAIT);
        }
        assert!(futures_util::poll!(waits.as_mut()).is_pending());
        drop(room.of(None));
        clock.advance(WAIT);
        assert!(waits.await.is_none());
        drop(large);
    }

    #[test]
    fn runs_begin_beyond_the_room_ever_more_seldom_until_they_end() {
        let (room, clock) = (LongArgs::default(), clock());
        let first = room.beyond(&clock).expect("is the first");
        assert!(room.beyond(&clock).is_none());
        clock.advance(BEYOND_EVERY);
        assert!(room.beyond(&clock).is_none());
        clock.advance(BEYOND_EVERY);
        let second = room.beyond(&clock).expect("a minute has passed");
        clock.advance(2 * BEYOND_EVERY);
        assert!(room.beyond(&clock).is_none());
        drop((first, second));
        assert!(room.beyond(&clock).is_some());
    }
}
