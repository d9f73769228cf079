//! Workers of the Go framework on the same tables.
//!
//! They take tasks to be abandoned whose heartbeats they do not find, of every theme, and run them again. So a node keeps the heartbeats of
//! its runs where they look. They claim tasks by other rules: a theme on which they work is left to them.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::{asynctask::ThemeRuntime, run::GateChange, store::Neighbours};

/// As often as a worker of Go beats. A heartbeat counts for 30 s.
pub(super) const LOOK_AT_NEIGHBOURS: Duration = Duration::from_secs(5);

/// A theme is left to workers of Go until they have run none of its tasks for so long: they scan every 5 s.
const QUIET: Duration = Duration::from_secs(15);

/// Themes of this node on which workers of Go work, and when these were last seen to run a task.
#[derive(Debug, Default)]
pub(super) struct SharedThemes(HashMap<String, Instant>);

impl SharedThemes {
    /// Opens and closes the gates of these themes.
    pub(super) fn follow(&mut self, themes: &[ThemeRuntime], met: &Neighbours) {
        if met.set_back > 0 {
            say!(
                Warn,
                "tasks that a dead worker of the Go framework had left at Running wait again: {}",
                met.set_back
            );
        }
        let now = Instant::now();
        for runtime in themes {
            let theme = runtime.name();
            let running = met.alive.get(theme);
            if let Some(tasks) = running
                && self.0.insert(theme.to_owned(), now).is_none()
            {
                say!(
                    Warn,
                    "theme {theme}: workers of the Go framework run {tasks} of its tasks, and this node takes none until they have run none \
                     for {QUIET:?}. Both together would run tasks twice: stop the workers of one side"
                );
            }
            let seen = self.0.get(theme);
            let is_shared = seen.is_some_and(|seen| now.saturating_duration_since(*seen) < QUIET);
            runtime.change_gate(GateChange::Shared(is_shared));
            if !is_shared && self.0.remove(theme).is_some() {
                say!(
                    Info,
                    "theme {theme}: workers of the Go framework run none of its tasks any more; this node takes its tasks"
                );
            }
        }
    }
}
