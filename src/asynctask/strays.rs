//! Claims without an answer that is of use.
//!
//! When the connection is lost while a claim commits, nobody here knows whether it did; and an answer that came may have been one
//! that could not be read. If the claim is made, its tasks are this node's, and this node does not know them: nobody would run
//! them while it lives. So the mark of every claim that ended with an error is kept, unless nothing was asked of the database,
//! and what carries the mark is given back.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    domain::{Outcome, RetryPolicy},
    store::{ClaimMark, Store, StoreError},
};

/// For how long a claim is looked for: a server may still be busy with it when its client has given up.
const LOOK_FOR: Duration = Duration::from_secs(60);

/// The marks of a theme's claims that may have been made, each with the time until which it is looked for: at least once.
#[derive(Debug, Default)]
pub(super) struct Strays(Mutex<Vec<(Arc<ClaimMark>, Instant)>>);

impl Strays {
    /// A claim has ended with this error. Where the server has answered, the claim is made by now or never: one look tells.
    pub(super) fn note(&self, mark: Arc<ClaimMark>, error: &StoreError) {
        let now = Instant::now();
        let until = match error {
            StoreError::Disconnected(_) => now + LOOK_FOR,
            error if error.is_unreachable() => return,
            _ => now,
        };
        self.marks().push((mark, until));
    }

    /// Gives back what is found of them.
    pub(super) async fn give_back(&self, theme: &str, store: &Store, policy: RetryPolicy) -> Result<(), StoreError> {
        let marks = self.marks().clone();
        for (mark, until) in marks {
            // Before the look: what is found until then is the last of it.
            let is_over = Instant::now() >= until;
            let tasks = store.strays(&mark).await?;
            if !tasks.is_empty() {
                let count = tasks.len();
                log::warn!(
                    "theme {theme}: {count} tasks were claimed, but the answer was lost or could not be read; they are given back"
                );
                let runs = tasks
                    .into_iter()
                    .map(|task| (task, Outcome::HandedBack { started: false }));
                store.record(runs.collect(), policy).await?;
            }
            if is_over {
                self.marks().retain(|(other, _)| !Arc::ptr_eq(other, &mark));
            }
        }
        Ok(())
    }

    fn marks(&self) -> MutexGuard<'_, Vec<(Arc<ClaimMark>, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
