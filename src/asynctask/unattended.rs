//! Themes that this process adds tasks to or has handlers for, and does not run: another node should.

use std::{
    collections::{BTreeSet, HashMap},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// A theme is looked at again after this time at the earliest.
const AGAIN: Duration = Duration::from_secs(60);

/// It remembers so many themes at most; when another theme comes, it forgets them all.
const MOST: usize = 10_000;

/// The themes that wait for a look at the nodes that run them. Clones share the list.
#[derive(Debug, Clone, Default)]
pub(super) struct Unattended(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    noted: HashMap<String, Instant>,
    waiting: BTreeSet<String>,
}

impl Unattended {
    /// Notes a theme that this process uses and does not run, unless a look at it was asked for within the last minute.
    pub(super) fn note(&self, theme: &str, now: Instant) {
        let mut state = self.state();
        let noted = state.noted.get(theme);
        let is_known = noted.is_some_and(|noted| now.saturating_duration_since(*noted) < AGAIN);
        if is_known || state.waiting.len() >= MOST {
            return;
        }
        if state.noted.len() >= MOST {
            state.noted.clear();
        }
        state.noted.insert(theme.to_owned(), now);
        state.waiting.insert(theme.to_owned());
    }

    /// Takes the themes for a look.
    pub(super) fn take(&self) -> BTreeSet<String> {
        mem::take(&mut self.state().waiting)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_theme_is_looked_at_once_a_minute_however_often_it_is_used() {
        let (unattended, began) = (Unattended::default(), Instant::now());
        let taken = |theme: &str, after: u64| {
            unattended.note(theme, began + Duration::from_secs(after));
            unattended.take().into_iter().collect::<Vec<_>>()
        };
        assert_eq!(taken("orders", 0), ["orders"]);
        assert_eq!(taken("orders", 59), [""; 0]);
        assert_eq!(taken("mail", 59), ["mail"]);
        assert_eq!(taken("orders", 60), ["orders"]);
        assert_eq!(taken("orders", 61), [""; 0]);
    }

    #[test]
    fn a_look_takes_every_theme_that_was_used() {
        let (unattended, now) = (Unattended::default(), Instant::now());
        (0..100).for_each(|theme| unattended.note(&theme.to_string(), now));
        assert_eq!(unattended.take().len(), 100);
    }

    #[test]
    fn themes_that_wait_for_a_look_do_not_grow_for_ever() {
        let (unattended, now) = (Unattended::default(), Instant::now());
        (0..2 * MOST).for_each(|theme| unattended.note(&theme.to_string(), now));
        assert_eq!(unattended.take().len(), MOST);
    }

    #[test]
    fn it_does_not_grow_for_ever() {
        let (unattended, now) = (Unattended::default(), Instant::now());
        for theme in 0..2 * MOST {
            unattended.note(&theme.to_string(), now);
            unattended.take();
        }
        assert!(unattended.state().noted.len() <= MOST);
    }
}
