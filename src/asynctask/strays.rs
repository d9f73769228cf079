//! Claims without an answer.
//!
//! When the connection is lost while a claim commits, nobody here knows whether it did. If it did, its tasks are this node's, and
//! this node does not know them: nobody would run them while it lives. So the marks of such claims are kept, and what carries one
//! is given back.

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

/// The marks of a theme's claims that may have been made.
#[derive(Debug, Default)]
pub(super) struct Strays(Mutex<Vec<(Arc<ClaimMark>, Instant)>>);

impl Strays {
    /// A claim has ended with this error. There are no more marks than connections were lost: while the database is away nothing
    /// is sent to it.
    pub(super) fn note(&self, mark: Arc<ClaimMark>, error: &StoreError) {
        if let StoreError::Disconnected(_) = error {
            self.marks().push((mark, Instant::now()));
        }
    }

    /// Gives back what is found of them.
    pub(super) async fn give_back(&self, theme: &str, store: &Store, policy: RetryPolicy) -> Result<(), StoreError> {
        let marks = self.marks().clone();
        for (mark, noted) in marks {
            // Before the look: what is found until then is the last of it.
            let is_over = noted.elapsed() > LOOK_FOR;
            let tasks = store.strays(&mark).await?;
            if !tasks.is_empty() {
                let count = tasks.len();
                log::warn!("theme {theme}: {count} tasks were claimed, but the answer was lost; they are given back");
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
