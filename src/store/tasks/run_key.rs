//! The key of a run of a task: what every write about the run names.

use std::sync::Arc;

/// Names one run of a task. Every write about the run names it with all of these (model: task::Fence).
#[derive(Debug, Clone)]
pub(crate) struct RunKey {
    pub(crate) task_id: i64,
    /// The node that claimed the task.
    pub(crate) owner: Arc<str>,
    /// The lease token.
    pub(crate) token: i64,
    /// Tells two claims with the same id apart: if a crash of the database has undone a claim, a later claim may get its id (model: task::Mark).
    pub(crate) log_id: Arc<str>,
}

/// Id, node and mark of a claim. Only all three together name one claim: after a crash of the database an id may be used again.
pub(in crate::store) type ClaimKey<'a> = (i64, &'a str, &'a str);

impl RunKey {
    /// The run of an unseen task of this claim.
    pub(in crate::store) fn unseen(task_id: i64, node: &str, token: i64, mark: &str) -> Self {
        Self {
            task_id,
            owner: node.into(),
            token,
            log_id: format!("{mark}-{task_id}").into(),
        }
    }

    /// The claim of this run, if the task may be unseen: then the log id is the mark of the claim, `-`, and the id of the task.
    pub(in crate::store) fn claim(&self) -> Option<ClaimKey<'_>> {
        let (mark, task) = self.log_id.rsplit_once('-')?;
        (task.parse() == Ok(self.task_id)).then_some((self.token, &self.owner, mark))
    }
}
