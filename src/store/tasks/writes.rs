//! Writes about runs.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{claimed::ClaimedTask, run_key::RunKey};
use crate::{
    domain::{Form, Next, Outcome, RetryPolicy, TaskStatus, Texts, next},
    store::statement::chunks::ByteSize,
};

/// The end of one run, to be written if the run still holds its task.
#[derive(Debug, Clone)]
pub(crate) struct Finish {
    pub(crate) run: RunKey,
    pub(crate) attempt: i32,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) ended_at: DateTime<Utc>,
    pub(crate) duration: Duration,
    pub(crate) next: Next,
}

/// What the recorder writes in one call of the store. An end has an execution record if its [`Next`] says so.
#[derive(Debug, Clone, Default)]
pub(crate) struct Writes {
    pub(crate) begins: Vec<Begin>,
    pub(crate) finishes: Vec<Finish>,
    pub(crate) progress: Vec<Progress>,
}

#[cfg(any(feature = "sqlite", feature = "mysql"))]
impl Writes {
    #[cfg(feature = "sqlite")]
    pub(in crate::store) fn rows(&self) -> usize {
        self.begins.len() + self.finishes.len() + self.progress.len()
    }

    /// The tasks whose rows say Running after these writes, if their runs hold them.
    #[cfg(feature = "mysql")]
    pub(in crate::store) fn begun(&self) -> impl Iterator<Item = i64> {
        let runs = self.begins.iter().map(|begin| &begin.run);
        runs.chain(self.progress.iter().map(|report| &report.run))
            .map(|run| run.task_id)
    }

    /// The claims of those runs whose tasks may be unseen.
    pub(in crate::store) fn claims(&self) -> std::collections::BTreeSet<super::run_key::ClaimKey<'_>> {
        let runs = self.finishes.iter().map(|finish| &finish.run);
        let runs = runs.chain(self.begins.iter().map(|begin| &begin.run));
        let runs = runs.chain(self.progress.iter().map(|report| &report.run));
        runs.filter_map(RunKey::claim).collect()
    }
}

/// The answer to [`Writes`]: whether each run of `begins` still held its task, and how each end was written.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) begins: Vec<bool>,
    pub(crate) finishes: Vec<Finished>,
}

/// Has the row of a task say Running.
#[derive(Debug, Clone)]
pub(crate) struct Begin {
    pub(crate) run: RunKey,
    /// Also notes that the task's last attempt begins.
    pub(crate) is_last: bool,
}

/// The answer to a [`Finish`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finished {
    /// Written; the task has this status now.
    Written(TaskStatus),
    /// The run no longer holds its task: nothing was written.
    Stale,
}

impl Finish {
    /// The end of a run that was not timed: it lasted from its claim until now.
    pub(crate) fn without_run(task: &ClaimedTask, outcome: Outcome, policy: RetryPolicy, now: DateTime<Utc>) -> Self {
        let spread = fastrand::f64() * 2.0 - 1.0;
        Self {
            run: task.key(),
            attempt: task.retry_time.saturating_add(1),
            next: next(task.retry_state(), outcome, policy, now, spread),
            started_at: task.claimed_at,
            ended_at: now,
            duration: (now - task.claimed_at).to_std().unwrap_or_default(),
        }
    }

    /// Its result and its error text.
    pub(crate) fn texts(&self) -> Texts<'_> {
        Texts {
            result: self.next.result.as_deref(),
            error: self.next.error.as_deref(),
        }
    }

    /// The same end in this form. `reason`: why the database refused the whole end.
    pub(crate) fn in_form(&self, form: Form, reason: &str) -> Self {
        let (result, error) = self.texts().in_form(form, reason);
        Self {
            run: self.run.clone(),
            next: Next {
                result,
                error,
                record: self.next.record && form != Form::Apart,
                ..self.next
            },
            ..*self
        }
    }

    /// Whether the row of the task gets the times and texts of this run. Not if the task is given back as if it had not been claimed.
    #[cfg(feature = "mysql")]
    pub(in crate::store) fn is_history(&self) -> bool {
        self.next.record || !self.next.requeues()
    }

    /// What to write instead if a caller has asked to cancel the task.
    pub(in crate::store) fn cancelled_instead(&self) -> Self {
        Self {
            next: self.next.clone().cancelled_instead(),
            ..self.clone()
        }
    }

    pub(in crate::store) fn duration_ms(&self) -> i64 {
        i64::try_from(self.duration.as_millis()).unwrap_or(i64::MAX)
    }
}

/// The last report of progress of a running task.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    pub(crate) run: RunKey,
    pub(crate) percent: i32,
    pub(crate) note: String,
}

impl Progress {
    /// The same report, its note in this form. The sentence that explains the form is left out.
    pub(crate) fn in_form(&self, form: Form) -> Self {
        let note = Texts {
            result: Some(&self.note),
            error: None,
        };
        Self {
            run: self.run.clone(),
            note: note.in_form(form, "").0.unwrap_or_default(),
            ..*self
        }
    }
}

impl ByteSize for Finish {
    fn bytes(&self) -> usize {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        length(&self.next.result) + length(&self.next.error)
    }
}
