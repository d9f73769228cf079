//! What this process knows of the tasks that are `Running` under its node.
//!
//! A row may say `Running` under this node although no run here holds it: the answer to a claim was lost or could not be read,
//! the caller of an add gave up, the database was set back to an older state. No node would run such a task while this node
//! lives, so the node compares the rows with these held runs from time to time, and at once when a claim ends without an answer.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// The runs that this process holds, and its claims that have no answer yet. Shared by all themes of a node.
#[derive(Debug, Clone, Default)]
pub(crate) struct HeldRuns(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    entries: Mutex<Entries>,
    doubts: Notify,
}

#[derive(Debug, Default)]
struct Entries {
    /// By log id, which no two claims have in common.
    runs: HashSet<Arc<str>>,
    /// By what the log ids of a claim begin with. There are few at a time.
    claims: Vec<Arc<str>>,
    /// How many runs there are of each claim that was answered, by its lease token.
    open: HashMap<i64, usize>,
    /// Claims whose last run has ended, until they are asked for.
    ended: HashSet<i64>,
}

/// A claim without an answer yet: every row that it may have taken counts as known. Dropped without an answer (an error, a
/// caller that gave up), it has the node look for the tasks that it took.
#[derive(Debug)]
pub(crate) struct OpenClaim {
    runs: HeldRuns,
    mark: Arc<str>,
    is_answered: bool,
}

impl HeldRuns {
    /// A claim under this mark is about to be made.
    pub(crate) fn open(&self, mark: Arc<str>) -> OpenClaim {
        self.entries().claims.push(Arc::clone(&mark));
        OpenClaim {
            runs: self.clone(),
            mark,
            is_answered: false,
        }
    }

    /// A run holds its task by the claim with this token.
    pub(crate) fn add_run(&self, log_id: &Arc<str>, token: i64) {
        let mut entries = self.entries();
        entries.runs.insert(Arc::clone(log_id));
        *entries.open.entry(token).or_default() += 1;
    }

    pub(crate) fn remove_run(&self, log_id: &str, token: i64) {
        let mut entries = self.entries();
        entries.runs.remove(log_id);
        let Some(runs) = entries.open.get_mut(&token) else {
            return;
        };
        *runs -= 1;
        if *runs == 0 {
            entries.open.remove(&token);
            entries.ended.insert(token);
        }
    }

    /// The claims whose last run has ended since this was asked for the last time.
    pub(crate) fn take_ended(&self) -> Vec<i64> {
        std::mem::take(&mut self.entries().ended).into_iter().collect()
    }

    /// Whether the claim with this token has runs here, or is among those. There are many of them where tasks are added one by one.
    pub(crate) fn knows_claim(&self, token: i64) -> bool {
        let entries = self.entries();
        entries.open.contains_key(&token) || entries.ended.contains(&token)
    }

    /// Whether a run here holds the row with this log id, or may hold it when its claim is answered. To be asked after the row
    /// was read: a run is entered before its claim is closed.
    pub(crate) fn knows(&self, log_id: &str) -> bool {
        let entries = self.entries();
        entries.runs.contains(log_id) || entries.claims.iter().any(|mark| log_id.starts_with(&**mark))
    }

    /// Has the node compare the rows with the runs that it holds.
    pub(crate) fn doubt(&self) {
        self.0.doubts.notify_one();
    }

    /// Waits for a doubt. A doubt that came since the last wait ends this wait at once.
    pub(crate) async fn doubts(&self) {
        self.0.doubts.notified().await;
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenClaim {
    /// The runs of the claim are entered, or it surely took nothing.
    pub(crate) fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for OpenClaim {
    fn drop(&mut self) {
        self.runs.entries().claims.retain(|mark| !Arc::ptr_eq(mark, &self.mark));
        if !self.is_answered {
            self.runs.doubt();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn rows_of_open_claims_and_of_runs_are_known() {
        let held = HeldRuns::default();
        let open = held.open("a".into());
        assert!(held.knows("a-1") && !held.knows("b-1"));
        let run: Arc<str> = "a-1".into();
        held.add_run(&run, 7);
        open.answered();
        assert!(held.knows("a-1") && !held.knows("a-2"));
        held.remove_run(&run, 7);
        assert!(!held.knows("a-1"));
    }

    #[test]
    fn a_claim_has_ended_with_its_last_run() {
        let held = HeldRuns::default();
        let runs = ["a-1", "a-2"].map(Arc::<str>::from);
        for run in &runs {
            held.add_run(run, 7);
        }
        held.remove_run(&runs[0], 7);
        assert_eq!(held.take_ended(), [0; 0]);
        held.remove_run(&runs[1], 7);
        assert!(held.knows_claim(7));
        assert_eq!(held.take_ended(), [7]);
        assert!(!held.knows_claim(7));
        assert_eq!(held.take_ended(), [0; 0]);
    }

    #[test]
    fn a_claim_without_an_answer_is_a_doubt() {
        let held = HeldRuns::default();
        held.open("a".into()).answered();
        assert_eq!(held.doubts().now_or_never(), None);
        drop(held.open("b".into()));
        assert_eq!(held.doubts().now_or_never(), Some(()));
        assert!(!held.knows("b-1"));
    }
}
