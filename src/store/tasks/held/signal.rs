//! How the actor that releases held tasks hears of ends.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

/// The most ends that are kept. If there are more, a look finds all of them.
const MOST: usize = 100_000;

/// Ends of tasks in this process, for the actor that releases held tasks. It is a hint: the rows have the truth, and a look finds what the
/// hint has lost. While no task of the database waits for others, no end is noted. Clones share the ends.
#[derive(Debug, Clone, Default)]
pub(in crate::store) struct EndSignal(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Even: no task waits for others. Each addition in this process makes it greater, so that an older look does not hide it.
    expected: AtomicU64,
    wanted: Mutex<Wanted>,
    bell: Notify,
}

/// The work of the actor.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Tasks that may have ended.
    pub(crate) ended: Vec<i64>,
    /// Whether to look for ended tasks for which others wait.
    pub(crate) look: Look,
}

/// How far to look for ended tasks for which others wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Look {
    #[default]
    None,
    /// A part of the way: the next look goes on there.
    Part,
    /// At all links: hints were lost.
    All,
}

impl EndSignal {
    /// This process has added held tasks. If it has not expected any, it has noted no ends since the addition, and looks for them.
    pub(super) fn expect_some(&self) {
        let next = |expected: u64| Some((expected.saturating_add(2)) | 1);
        // The function always answers with a value.
        let before = self.0.expected.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
        if before.is_ok_and(|before| before & 1 == 0) {
            self.request_look(Look::All);
        }
    }

    /// To be read before a look whether any task waits for others.
    pub(in crate::store) fn before_look(&self) -> u64 {
        self.0.expected.load(Ordering::SeqCst)
    }

    /// Notes whether such a look has found tasks that wait. If this process has not expected any, it has noted no ends so far, and looks for
    /// them.
    pub(in crate::store) fn looked(&self, before: u64, any_held: bool) {
        let expected = &self.0.expected;
        if !any_held {
            // This process may have added some in between.
            let _ = expected.compare_exchange(before, before & !1, Ordering::SeqCst, Ordering::SeqCst);
        } else if expected.fetch_or(1, Ordering::SeqCst) & 1 == 0 {
            self.request_look(Look::All);
        }
    }

    /// These tasks have ended.
    pub(in crate::store) fn note(&self, ids: impl IntoIterator<Item = i64>) {
        if self.before_look() & 1 == 0 {
            return;
        }
        let mut wanted = self.wanted();
        wanted.ended.extend(ids);
        if wanted.ended.len() > MOST {
            *wanted = Wanted {
                ended: Vec::new(),
                look: Look::All,
            };
        }
        if *wanted != Wanted::default() {
            self.0.bell.notify_one();
        }
    }

    pub(super) fn request_look(&self, look: Look) {
        let mut wanted = self.wanted();
        wanted.look = wanted.look.max(look);
        drop(wanted);
        self.0.bell.notify_one();
    }

    /// Waits until there is something to do.
    pub(super) async fn take(&self) -> Wanted {
        loop {
            let wanted = self.take_noted();
            if wanted != Wanted::default() {
                return wanted;
            }
            self.0.bell.notified().await;
        }
    }

    /// What there is to do at this moment.
    pub(super) fn take_noted(&self) -> Wanted {
        mem::take(&mut *self.wanted())
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_look_does_not_hide_an_addition() {
        let ends = EndSignal::default();
        let before = ends.before_look();
        ends.expect_some();
        ends.looked(before, false);
        ends.note([17]);
        assert_eq!(ends.wanted().ended, [17]);
    }

    #[test]
    fn the_first_addition_looks_for_ends_that_came_before_they_were_noted() {
        let ends = EndSignal::default();
        ends.note([17]);
        ends.expect_some();
        assert_eq!(ends.take_noted().look, Look::All);
        ends.expect_some();
        assert_eq!(ends.take_noted(), Wanted::default());
    }

    #[test]
    fn an_end_is_noted_while_tasks_wait_and_tasks_of_others_are_looked_for_once() {
        let ends = EndSignal::default();
        ends.note([17]);
        assert_eq!(*ends.wanted(), Wanted::default());
        ends.looked(ends.before_look(), true);
        assert_eq!(ends.take_noted().look, Look::All);
        ends.looked(ends.before_look(), true);
        ends.note([18]);
        let wanted = Wanted {
            ended: vec![18],
            look: Look::None,
        };
        assert_eq!(ends.take_noted(), wanted);
        ends.looked(ends.before_look(), false);
        ends.note([19]);
        assert_eq!(*ends.wanted(), Wanted::default());
    }

    #[test]
    fn too_many_ends_become_a_look() {
        let ends = EndSignal::default();
        ends.expect_some();
        ends.request_look(Look::Part);
        ends.note(0..=i64::try_from(MOST).expect("fits"));
        let wanted = Wanted {
            ended: Vec::new(),
            look: Look::All,
        };
        assert_eq!(*ends.wanted(), wanted);
    }
}
