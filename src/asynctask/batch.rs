//! The entries of a theme's runs that one transaction writes, and who waits for them.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::run::{Ended, NoteAnswer, NoteRunning, Run};
use crate::{
    domain::{Form, Next, RetryPolicy, TEXT_LIMIT, Texts, next, truncated},
    events::{TaskEnded, TaskOutcome},
    run::{Batch, Divisible, ended},
    store::{Begin, Finish, Finished, Progress, RunKey, Writes},
};

/// Kept until the database has accepted it. The lists have the order of the lists in `writes`.
pub(super) struct TaskBatch {
    pub(super) begins: Vec<Option<oneshot::Sender<NoteAnswer>>>,
    pub(super) ends: Vec<End>,
    pub(super) writes: Arc<Writes>,
}

/// The part of an end that is needed once the end is written.
pub(super) struct End {
    pub(super) run: Arc<Run>,
    pub(super) outcome: TaskOutcome,
    pub(super) written: Option<oneshot::Sender<TaskEnded>>,
    waited: Option<Duration>,
    permit: Option<OwnedSemaphorePermit>,
}

impl End {
    /// The event for observers, now that the database has given this answer.
    pub(super) fn event(&self, finish: &Finish, finished: Finished) -> TaskEnded {
        ended(Arc::clone(&self.run.info), self.waited, self.outcome, finish, finished)
    }
}

impl TaskBatch {
    pub(super) fn new(
        begins: Vec<NoteRunning>,
        ends: impl Iterator<Item = Ended>,
        progress: Vec<Arc<Run>>,
        policy: RetryPolicy,
    ) -> Self {
        let begin = |NoteRunning { run, written }: NoteRunning| {
            let is_last = written.is_some();
            let run = run.task.key();
            (written, Begin { run, is_last })
        };
        let (begins, begun) = begins.into_iter().map(begin).unzip();
        let (ends, finishes) = ends.map(|ended| end(ended, policy)).unzip();
        Self {
            begins,
            ends,
            writes: Arc::new(Writes {
                begins: begun,
                finishes,
                progress: progress.into_iter().filter_map(|run| run.take_progress()).collect(),
            }),
        }
    }

    fn of(
        begins: Vec<(Begin, Option<oneshot::Sender<NoteAnswer>>)>,
        ends: Vec<(Finish, End)>,
        progress: Vec<Progress>,
    ) -> Self {
        let (begun, begins) = begins.into_iter().unzip();
        let (finishes, ends) = ends.into_iter().unzip();
        Self {
            begins,
            ends,
            writes: Arc::new(Writes {
                begins: begun,
                finishes,
                progress,
            }),
        }
    }

    fn count(&self) -> usize {
        self.begins.len() + self.ends.len() + self.writes.progress.len()
    }
}

impl Batch for TaskBatch {
    type Writes = Writes;
    type Run = RunKey;

    fn in_form(&self, form: Form, reason: &str) -> Arc<Writes> {
        if form == Form::Whole {
            return Arc::clone(&self.writes);
        }
        let Writes {
            begins,
            finishes,
            progress,
        } = &*self.writes;
        Arc::new(Writes {
            begins: begins.clone(),
            finishes: finishes.iter().map(|finish| finish.in_form(form, reason)).collect(),
            progress: progress.iter().map(|report| report.in_form(form)).collect(),
        })
    }

    fn run(&self) -> Option<RunKey> {
        self.writes.finishes.first().map(|finish| finish.run.clone())
    }

    fn ids(&self) -> Vec<i64> {
        let Writes {
            begins,
            finishes,
            progress,
        } = &*self.writes;
        let begins = begins.iter().map(|begin| &begin.run);
        let runs = begins.chain(finishes.iter().map(|finish| &finish.run));
        let runs = runs.chain(progress.iter().map(|report| &report.run));
        runs.map(|run| run.task_id).collect()
    }

    fn divided(self, tasks: &BTreeSet<i64>) -> (Self, Self) {
        let Writes {
            begins,
            finishes,
            progress,
        } = Arc::unwrap_or_clone(self.writes);
        let begins = begins.into_iter().zip(self.begins);
        let begins: (Vec<_>, Vec<_>) = begins.partition(|(begin, _)| tasks.contains(&begin.run.task_id));
        let ends = finishes.into_iter().zip(self.ends);
        let ends: (Vec<_>, Vec<_>) = ends.partition(|(finish, _)| tasks.contains(&finish.run.task_id));
        let reports = progress.into_iter();
        let progress: (Vec<_>, Vec<_>) = reports.partition(|report| tasks.contains(&report.run.task_id));
        (
            Self::of(begins.0, ends.0, progress.0),
            Self::of(begins.1, ends.1, progress.1),
        )
    }

    fn is_empty(&self) -> bool {
        self.count() == 0
    }

    fn let_workers_go(&mut self) {
        for end in &mut self.ends {
            (end.written, end.permit) = (None, None);
        }
    }
}

impl Divisible for TaskBatch {
    fn split(mut self) -> Result<(Self, Self), Self> {
        if self.count() < 2 {
            return Err(self);
        }
        let mut writes = Arc::unwrap_or_clone(self.writes);
        let runs = self.begins.len() + self.ends.len();
        // Reports of progress are split from the other entries first: no worker waits for them.
        let (begins, ends, progress) = match (runs, writes.progress.len()) {
            (0, reports) => (0, 0, reports / 2),
            (_, 0) => (self.begins.len() / 2, self.ends.len().div_ceil(2), 0),
            _ => (self.begins.len(), self.ends.len(), 0),
        };
        let rest = Self {
            begins: self.begins.split_off(begins),
            ends: self.ends.split_off(ends),
            writes: Arc::new(Writes {
                begins: writes.begins.split_off(begins),
                finishes: writes.finishes.split_off(ends),
                progress: writes.progress.split_off(progress),
            }),
        };
        self.writes = Arc::new(writes);
        Ok((self, rest))
    }

    /// A note that a run is running has no text that could be plainer.
    fn plainer(&self, form: Form) -> Option<Form> {
        let end = self.writes.finishes.first().map(|finish| form.plainer(finish.texts()));
        let note = |report: &Progress| {
            let note = Texts {
                result: Some(&report.note),
                error: None,
            };
            form.plainer(note).filter(|form| *form != Form::Apart)
        };
        end.or_else(|| self.writes.progress.first().map(note)).flatten()
    }

    fn outcomes(&self) -> usize {
        self.ends.len()
    }
}

fn end(ended: Ended, policy: RetryPolicy) -> (End, Finish) {
    let Ended { run, outcome, .. } = ended;
    let kind = TaskOutcome::of(&outcome);
    let spread = fastrand::f64() * 2.0 - 1.0;
    let next = next(run.task.retry_state(), outcome, policy, ended.ended_at, spread);
    let cut = |text: Option<String>| text.map(|text| truncated(text, TEXT_LIMIT));
    let finish = Finish {
        run: run.task.key(),
        attempt: run.task.retry_time.saturating_add(1),
        started_at: ended.started_at,
        ended_at: ended.ended_at,
        duration: ended.duration,
        next: Next {
            result: cut(next.result),
            error: cut(next.error),
            ..next
        },
    };
    let end = End {
        run,
        outcome: kind,
        written: ended.written,
        waited: ended.waited,
        permit: ended.permit,
    };
    (end, finish)
}
