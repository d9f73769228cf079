//! Workers of the Go framework on the same tables.
//!
//! They take tasks to be abandoned whose heartbeats they do not find, of every theme, and run them again. So a node keeps the heartbeats of
//! its runs where they look. They claim tasks by other rules: a theme on which they work is left to them.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};

use super::NodeActor;
use crate::{
    asynctask::ThemeRuntime,
    events::DatabaseWork,
    run::{GateChange, SingleFlight},
    store::{Neighbours, StoreError},
};

/// As often as a worker of Go beats. A heartbeat counts for 30 s.
pub(super) const LOOK_AT_NEIGHBOURS: Duration = Duration::from_secs(5);

/// A theme is left to workers of Go until they have run none of its tasks for so long: they scan every 5 s.
const QUIET: Duration = Duration::from_secs(15);

/// What the node knows of workers of Go.
#[derive(Debug, Default)]
pub(super) struct Met {
    looking: SingleFlight,
    /// Themes of this node on which they work, and when they were last seen to run a task.
    shared: HashMap<String, Instant>,
}

impl NodeActor {
    pub(super) fn look_at_neighbours(&mut self, ctx: &mut Context<Self>) {
        // A look that is under way may not have seen the newest theme.
        if !self.store.cluster().may_have_neighbours() || !self.met.looking.begin_or_queue() {
            return;
        }
        let (store, node) = (self.store.clone(), self.row.id.clone());
        let themes = self.themes.all();
        let names = themes.iter().map(|theme| theme.name().to_owned()).collect();
        let meet = async move { store.cluster().meet_neighbours(node, names).await };
        ctx.spawn(meet.into_actor(self).map(move |met, node, ctx| {
            let is_asked_for = node.met.looking.end();
            node.meet(&themes, met);
            if is_asked_for {
                node.look_at_neighbours(ctx);
            }
        }));
    }

    fn meet(&mut self, themes: &[ThemeRuntime], met: Result<Neighbours, StoreError>) {
        let met = match met {
            Ok(met) => met,
            Err(error) => {
                self.said.failed(DatabaseWork::MeetNeighbours, &error);
                return;
            }
        };
        self.said.succeeded(DatabaseWork::MeetNeighbours);
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
                && self.met.shared.insert(theme.to_owned(), now).is_none()
            {
                say!(
                    Warn,
                    "theme {theme}: workers of the Go framework run {tasks} of its tasks, and this node takes none until they have run none \
                     for {QUIET:?}. Both together would run tasks twice: stop the workers of one side"
                );
            }
            let seen = self.met.shared.get(theme);
            let is_shared = seen.is_some_and(|seen| now.saturating_duration_since(*seen) < QUIET);
            runtime.change_gate(GateChange::Shared(is_shared));
            if !is_shared && self.met.shared.remove(theme).is_some() {
                say!(
                    Info,
                    "theme {theme}: workers of the Go framework run none of its tasks any more; this node takes its tasks"
                );
            }
        }
    }
}
