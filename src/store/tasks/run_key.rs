//! What names a run.

use std::sync::Arc;

/// What names one run: every write about it must.
#[derive(Debug, Clone)]
pub(crate) struct RunKey {
    pub(crate) task_id: i64,
    /// The node that claimed the task.
    pub(crate) owner: Arc<str>,
    /// The number of the claim.
    pub(crate) token: i64,
    /// Tells two claims with one number apart: a claim that a crash of the database has undone, and the one after it.
    pub(crate) log_id: Arc<str>,
}

/// Number, node and mark of a claim. Only all three together name one: after a crash of the database a number may come again.
pub(in crate::store) type ClaimKey<'a> = (i64, &'a str, &'a str);

impl RunKey {
    /// The run of a task that a claim has unseen.
    pub(in crate::store) fn unseen(task_id: i64, node: &str, token: i64, mark: &str) -> Self {
        Self {
            task_id,
            owner: node.into(),
            token,
            log_id: format!("{mark}-{task_id}").into(),
        }
    }

    /// The claim, if it may have left the rows of its tasks alone: then the log id is made of its mark and the task.
    pub(in crate::store) fn claim(&self) -> Option<ClaimKey<'_>> {
        let (mark, task) = self.log_id.rsplit_once('-')?;
        (task.parse() == Ok(self.task_id)).then_some((self.token, &self.owner, mark))
    }
}
