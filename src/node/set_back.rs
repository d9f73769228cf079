//! Tasks whose times were set while the clock was ahead.
//!
//! A retry or a snooze gets its time from the clock. If the clock is years ahead, and is set right again later, the task would wait for
//! years, and keep its unique key.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::said::Said;
use crate::{clock::Clock, events::DatabaseWork, store::Store};

/// If the clock goes back by more than this, it was set back; by less, it is only slow.
const SET_BACK: TimeDelta = TimeDelta::minutes(1);

/// Notices that the clock was set back.
#[derive(Debug, Default)]
pub(super) struct SetBack {
    /// The time of day minus the steady clock, at the last look.
    offset: Option<TimeDelta>,
    /// Themes whose tasks were checked since the clock was last set back.
    looked_at: BTreeSet<String>,
}

impl SetBack {
    /// Reads the clock. The caller calls it often: a change that comes and goes between two calls is not noticed.
    pub(super) fn look(&mut self, clock: &Clock) {
        let passed = TimeDelta::from_std(clock.steady()).unwrap_or(TimeDelta::MAX);
        let offset = (clock.now() - DateTime::<Utc>::UNIX_EPOCH) - passed;
        let before = self.offset.replace(offset);
        if before.is_some_and(|before| offset < before - SET_BACK) {
            self.looked_at.clear();
        }
    }

    /// Those of these themes whose tasks must be checked now: all of them when the clock was set back, and each once when it begins to run
    /// here, since the clock may have been set back before.
    pub(super) fn themes(&mut self, themes: impl Iterator<Item = String>) -> Vec<String> {
        let themes = themes.filter(|theme| !self.looked_at.contains(theme));
        let themes: Vec<String> = themes.collect();
        self.looked_at.extend(themes.iter().cloned());
        themes
    }

    /// The tasks of these themes could not be checked.
    pub(super) fn failed(&mut self, themes: &[String]) {
        self.looked_at.retain(|theme| !themes.contains(theme));
    }
}

/// Corrects the times of those tasks of these themes that a wrong clock has set. Answers with the themes, and whether all were corrected.
pub(super) async fn bring_back(store: Store, themes: Vec<String>, said: Said) -> (Vec<String>, bool) {
    for theme in &themes {
        match store.tasks().bring_back(theme).await {
            Ok(0) => {}
            Ok(tasks) => say!(
                Warn,
                "theme {theme}: the clock was ahead and was set back: {tasks} tasks that it had put off wait as long as they \
                 were meant to, from now on"
            ),
            Err(error) => {
                said.failed(DatabaseWork::BringBack, &format_args!("theme {theme}: {error}"));
                return (themes, false);
            }
        }
    }
    said.succeeded(DatabaseWork::BringBack);
    (themes, true)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_theme_is_looked_at_once_and_anew_when_the_clock_was_set_back() {
        let clock = Clock::manual(DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(20_000));
        let mut set_back = SetBack::default();
        let mut themes = |names: &[&str]| {
            set_back.look(&clock);
            set_back.themes(names.iter().map(|name| (*name).to_owned()))
        };
        assert_eq!(themes(&["a"]), ["a"]);
        clock.advance(Duration::from_secs(3_600));
        assert_eq!(themes(&["a", "b"]), ["b"]);
        clock.jump(TimeDelta::days(1));
        assert!(themes(&["a", "b"]).is_empty());
        clock.jump(TimeDelta::days(-1));
        assert_eq!(themes(&["a", "b"]), ["a", "b"]);
        assert!(themes(&["a", "b"]).is_empty());
        set_back.failed(&["b".to_owned()]);
        assert_eq!(set_back.themes(["a", "b"].map(str::to_owned).into_iter()), ["b"]);
    }
}
