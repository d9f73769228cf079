//! Inserts that tasks of several concurrent callers share: while inserts are under way, further tasks gather for the next insert.
//!
//! A caller that is alone does not wait for others. If the database refuses one of the tasks, only its caller gets the error: the insert is
//! tried again in halves. On SQLite each task has a separate insert, since waiting transactions share their commit there anyway.

use std::{
    mem,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use tokio::sync::oneshot;

use crate::{
    domain::AddedTask,
    store::{
        Store, StoreError,
        statement::chunks::{self, ByteSize},
        tasks::new_row::NewTaskRow,
    },
};

/// For how long a group that the database refuses is tried again in halves. After that the parts that are left are tried as wholes only:
/// all callers of a refused part get its error, so that none waits for longer.
const HALVE_FOR: Duration = Duration::from_secs(30);

/// How many inserts may be under way at the same time. A limit of one would give the highest throughput, but an insert that hangs would
/// then hold up all callers.
const UNDER_WAY: usize = 2;

/// Cloneable handle on the tasks that wait for an insert.
#[derive(Clone, Default)]
pub(in crate::store) struct InsertBatcher(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    /// In the order in which callers asked.
    tasks: Vec<Asked>,
    under_way: usize,
}

struct Asked {
    row: NewTaskRow,
    tell: Tell,
}

type Tell = oneshot::Sender<Result<AddedTask, StoreError>>;

/// The tasks of one insert: of one theme, all or none with default values only, and with one time of creation.
struct Group {
    rows: Vec<NewTaskRow>,
    /// In the order of `rows`.
    tells: Vec<Tell>,
}

impl Store {
    /// Adds a task that has passed its check.
    pub(crate) async fn add_one(&self, row: NewTaskRow) -> Result<AddedTask, StoreError> {
        // A task with a unique key has a separate insert, since it may have to wait for another task that has the same key.
        if row.unique_key.is_some() || !self.db.is_server() {
            return Ok(self.tasks().add(vec![row]).await?[0]);
        }
        let (tell, told) = oneshot::channel();
        if let Some(group) = self.insert_batcher.ask(Asked { row, tell }) {
            self.runtime.spawn(self.clone().add_groups(group));
        }
        let panicked = "the code that adds tasks panicked; whether the task was added is not known";
        told.await
            .unwrap_or_else(|_| Err(StoreError::Database(panicked.to_owned())))
    }

    /// Adds this group, and then the tasks that have gathered since.
    async fn add_groups(self, group: Group) {
        let mut next = Some(group);
        while let Some(group) = next {
            // A panic drops the group's senders, which tells the callers.
            let added = AssertUnwindSafe(self.add_group(group)).catch_unwind().await;
            if let Ok(Err(unreachable)) = added {
                self.insert_batcher.tell_all(&unreachable);
            }
            next = self.insert_batcher.next();
        }
    }

    /// Returns an error if the database cannot be reached: then the tasks that wait get it, too, without a try for each of them.
    async fn add_group(&self, group: Group) -> Result<(), StoreError> {
        let began = Instant::now();
        // The next part is the last one.
        let mut parts = vec![group];
        while let Some(mut part) = parts.pop() {
            let rows = Arc::new(mem::take(&mut part.rows));
            match self.tasks().add(Arc::clone(&rows)).await {
                Err(error) if error.is_refusal() && rows.len() > 1 && began.elapsed() < HALVE_FOR => {
                    part.rows = Arc::unwrap_or_clone(rows);
                    let behind = part.split_off_half();
                    parts.extend([behind, part]);
                }
                Err(error) if error.is_unreachable() => {
                    parts.push(part);
                    for part in parts {
                        part.tell(Err(error.clone()));
                    }
                    return Err(error);
                }
                added => part.tell(added),
            }
        }
        Ok(())
    }
}

impl InsertBatcher {
    /// Lets a task wait. Returns a group if the caller is to add that group now.
    fn ask(&self, asked: Asked) -> Option<Group> {
        let mut waiting = self.waiting();
        waiting.tasks.push(asked);
        if waiting.under_way == UNDER_WAY {
            return None;
        }
        waiting.under_way += 1;
        waiting.next()
    }

    /// The next group, for a caller that has added its group. `None` ends that caller's work.
    fn next(&self) -> Option<Group> {
        self.waiting().next()
    }

    /// Gives the error to all waiting tasks.
    fn tell_all(&self, error: &StoreError) {
        let tasks = mem::take(&mut self.waiting().tasks);
        for asked in tasks {
            let _ = asked.tell.send(Err(error.clone()));
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// The oldest task, and the tasks that can be added with it. `None` if no task waits: then one insert less is under way.
    fn next(&mut self) -> Option<Group> {
        let Some(oldest) = self.tasks.first() else {
            self.under_way -= 1;
            return None;
        };
        let (theme, has_defaults_only) = (Arc::clone(&oldest.row.system_name), oldest.row.has_defaults_only());
        let (mut count, mut bytes) = (0, 0);
        let joins = |asked: &mut Asked| {
            let row = &asked.row;
            let is_same = row.system_name == theme && row.has_defaults_only() == has_defaults_only;
            let fits = count == 0 || (count < chunks::ROWS && bytes + row.bytes() <= chunks::BYTES);
            if is_same && fits {
                count += 1;
                bytes += row.bytes();
            }
            is_same && fits
        };
        let group = self.tasks.extract_if(.., joins).map(|asked| (asked.row, asked.tell));
        let (mut rows, tells): (Vec<_>, Vec<_>) = group.unzip();
        // All tasks get the time of the latest call: for each task it lies between its own call and the answer.
        if let Some(now) = rows.iter().map(|row: &NewTaskRow| row.create_time).max() {
            for row in &mut rows {
                row.create_time = now;
            }
        }
        Some(Group { rows, tells })
    }
}

impl Group {
    fn split_off_half(&mut self) -> Self {
        let half = self.tells.len() / 2;
        Self {
            rows: self.rows.split_off(half),
            tells: self.tells.split_off(half),
        }
    }

    /// Gives the callers their results. A caller may have given up.
    fn tell(self, added: Result<Vec<AddedTask>, StoreError>) {
        match added {
            Ok(added) => {
                debug_assert_eq!(added.len(), self.tells.len());
                for (tell, task) in self.tells.into_iter().zip(added) {
                    let _ = tell.send(Ok(task));
                }
            }
            Err(error) => {
                for tell in self.tells {
                    let _ = tell.send(Err(error.clone()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::domain::NewTask;

    /// A task that a caller asks to add in this second.
    fn asked(theme: &str, priority: i32, second: i64) -> Asked {
        let now = DateTime::UNIX_EPOCH + TimeDelta::seconds(second);
        let row = NewTaskRow::new(&theme.into(), NewTask::new("Demo", "run").priority(priority), 3, now);
        let (tell, _) = oneshot::channel();
        Asked { row, tell }
    }

    /// Waiting tasks, with one insert under way.
    fn waiting(tasks: impl Iterator<Item = Asked>) -> Waiting {
        let tasks = tasks.collect();
        Waiting { tasks, under_way: 1 }
    }

    /// The seconds in which the tasks of a group are created.
    fn seconds(group: Option<Group>) -> Option<Vec<i64>> {
        let created = |row: NewTaskRow| row.create_time.utc().timestamp();
        group.map(|group| group.rows.into_iter().map(created).collect())
    }

    #[test]
    fn a_caller_waits_only_if_so_many_are_before_it() {
        let gather = InsertBatcher::default();
        let now = |second| seconds(gather.ask(asked("demo", 0, second)));
        assert_eq!([0, 1, 2, 3].map(now), [Some(vec![0]), Some(vec![1]), None, None]);
        // The last two tasks, both with the time of the later one.
        assert_eq!(seconds(gather.next()), Some(vec![3, 3]));
        assert_eq!(seconds(gather.next()), None);
        // One of the two inserts has ended.
        assert_eq!([4, 5].map(now), [Some(vec![4]), None]);
    }

    #[test]
    fn a_group_is_of_one_theme_and_kind_and_the_rest_keeps_its_order() {
        let tasks = [
            ("demo", 0),
            ("other", 0),
            ("demo", 7),
            ("demo", 0),
            ("other", 0),
            ("demo", 9),
        ];
        let tasks = tasks.into_iter().zip(0..);
        let mut waiting = waiting(tasks.map(|((theme, priority), second)| asked(theme, priority, second)));
        let groups: Vec<_> = std::iter::from_fn(|| seconds(waiting.next())).collect();
        assert_eq!(groups, [[3, 3], [4, 4], [5, 5]]);
        assert_eq!(waiting.under_way, 0);
    }

    #[test]
    fn a_group_has_so_many_bytes() {
        let of_size = |bytes| {
            let mut asked = asked("demo", 0, 0);
            asked.row.arg = " ".repeat(bytes);
            asked
        };
        let half = chunks::BYTES / 2;
        let mut waiting = waiting([4 * half, half, half, half, half].into_iter().map(of_size));
        let groups = std::iter::from_fn(|| waiting.next()).map(|group| group.rows.len());
        assert_eq!(groups.collect::<Vec<_>>(), [1, 2, 2]);
    }

    #[test]
    fn a_group_has_so_many_tasks() {
        let mut waiting = waiting((0..1_500).map(|second| asked("demo", 0, second)));
        let groups = std::iter::from_fn(|| waiting.next()).map(|group| (group.rows.len(), group.tells.len()));
        assert_eq!(groups.collect::<Vec<_>>(), [(1_000, 1_000), (500, 500)]);
    }
}
