//! The task runs that this process holds, to be compared with the rows that name its node.
//!
//! A row may be `Running` under this node although no run here holds it: the answer to a claim was lost or could not be read,
//! the caller of an add gave up, the database was set back to an older state. No node would run such a task while this node
//! lives, so the node compares the rows with these held runs from time to time, and immediately when a claim ends without an answer.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// The task runs that this process holds, and its claims that have no answer yet. All themes of a node share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct HeldRuns(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    entries: Mutex<Entries>,
    /// Asks the node to compare the rows with this list.
    comparison_wanted: Notify,
}

#[derive(Debug, Default)]
struct Entries {
    /// The log ids of the runs. No two claims give out the same log id.
    runs: HashSet<Arc<str>>,
    /// The marks of the claims without an answer: the log ids of a claim begin with its mark. There are few at a time.
    unanswered: Vec<Arc<str>>,
    /// How many runs are left of each answered claim, by lease token. (On MySQL all tasks that were claimed by their inserts have the token 1.)
    runs_per_claim: HashMap<i64, usize>,
    /// The lease tokens of claims whose last run has ended. The node collects them with [`HeldRuns::take_finished_claims`].
    finished_claims: HashSet<i64>,
}

/// A claim without an answer yet. While it lives, [`HeldRuns::knows`] is true for each row whose log id begins with its mark. If it is
/// dropped without an answer (an error, a caller that gave up), the node compares its rows with the held runs, to find tasks that the
/// claim took.
#[derive(Debug)]
pub(crate) struct UnansweredClaim {
    runs: HeldRuns,
    mark: Arc<str>,
    is_answered: bool,
}

impl HeldRuns {
    /// Notes that a claim with this mark is about to be made.
    pub(crate) fn begin_claim(&self, mark: Arc<str>) -> UnansweredClaim {
        self.entries().unanswered.push(Arc::clone(&mark));
        UnansweredClaim {
            runs: self.clone(),
            mark,
            is_answered: false,
        }
    }

    /// Adds a run, whose task was claimed with this token.
    pub(crate) fn add_run(&self, log_id: &Arc<str>, token: i64) {
        let mut entries = self.entries();
        entries.runs.insert(Arc::clone(log_id));
        *entries.runs_per_claim.entry(token).or_default() += 1;
    }

    /// Removes a run. The run calls this function when it is dropped, after its last write.
    pub(crate) fn remove_run(&self, log_id: &str, token: i64) {
        let mut entries = self.entries();
        entries.runs.remove(log_id);
        let Some(runs) = entries.runs_per_claim.get_mut(&token) else {
            return;
        };
        *runs -= 1;
        if *runs == 0 {
            entries.runs_per_claim.remove(&token);
            entries.finished_claims.insert(token);
        }
    }

    /// The lease tokens of the claims whose last run has ended since the last call.
    pub(crate) fn take_finished_claims(&self) -> Vec<i64> {
        std::mem::take(&mut self.entries().finished_claims)
            .into_iter()
            .collect()
    }

    /// Whether the claim with this token has runs here, or has ended and was not yet collected by
    /// [`take_finished_claims`](Self::take_finished_claims). A set, since a caller that adds tasks one by one leaves many finished claims.
    pub(crate) fn knows_claim(&self, token: i64) -> bool {
        let entries = self.entries();
        entries.runs_per_claim.contains_key(&token) || entries.finished_claims.contains(&token)
    }

    /// Whether a run here holds the row with this log id, or may hold it once its claim is answered. The caller asks after it has read the
    /// row: a claim's runs are added before the claim counts as answered.
    pub(crate) fn knows(&self, log_id: &str) -> bool {
        let entries = self.entries();
        entries.runs.contains(log_id) || entries.unanswered.iter().any(|mark| log_id.starts_with(&**mark))
    }

    /// Asks the node to compare the rows with the held runs.
    pub(crate) fn request_comparison(&self) {
        self.0.comparison_wanted.notify_one();
    }

    /// Waits until a comparison is requested. A request that came since the last wait ends this wait immediately.
    pub(crate) async fn comparison_requested(&self) {
        self.0.comparison_wanted.notified().await;
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnansweredClaim {
    /// Notes that the claim was answered: its runs are added, or it surely took nothing.
    pub(crate) fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for UnansweredClaim {
    fn drop(&mut self) {
        self.runs
            .entries()
            .unanswered
            .retain(|mark| !Arc::ptr_eq(mark, &self.mark));
        if !self.is_answered {
            self.runs.request_comparison();
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
        let open = held.begin_claim("a".into());
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
        assert_eq!(held.take_finished_claims(), [0; 0]);
        held.remove_run(&runs[1], 7);
        assert!(held.knows_claim(7));
        assert_eq!(held.take_finished_claims(), [7]);
        assert!(!held.knows_claim(7));
        assert_eq!(held.take_finished_claims(), [0; 0]);
    }

    #[test]
    fn a_claim_without_an_answer_is_a_doubt() {
        let held = HeldRuns::default();
        held.begin_claim("a".into()).answered();
        assert_eq!(held.comparison_requested().now_or_never(), None);
        drop(held.begin_claim("b".into()));
        assert_eq!(held.comparison_requested().now_or_never(), Some(()));
        assert!(!held.knows("b-1"));
    }
}
