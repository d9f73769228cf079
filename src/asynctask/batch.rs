//! What the recorder writes in one transaction, and who wants to hear of it.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    recorder::{Begins, Ended},
    run::Run,
};
use crate::{
    domain::{Failure, Next, Outcome, RetryPolicy, TEXT_LIMIT, next, truncated},
    store::{Begin, Finish, Writes},
};

/// Kept until the database has taken it. The lists have the order of those in `writes`.
pub(super) struct Batch {
    pub(super) begins: Vec<oneshot::Sender<bool>>,
    pub(super) ends: Vec<End>,
    pub(super) writes: Arc<Writes>,
    /// It was refused while another batch was taken: something in it may never be taken.
    pub(super) suspect: bool,
}

/// What is needed of an end once it is written.
pub(super) struct End {
    pub(super) run: Arc<Run>,
    pub(super) kind: Kind,
    pub(super) written: Option<oneshot::Sender<()>>,
    _permit: Option<OwnedSemaphorePermit>,
}

/// What kind of end it was, for the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    Snoozed,
    HandedBack,
    NotServed,
    Failed(Failure),
}

impl Batch {
    pub(super) fn new(
        begins: Vec<Begins>,
        ends: impl Iterator<Item = Ended>,
        progress: Vec<Arc<Run>>,
        policy: RetryPolicy,
    ) -> Self {
        let begin = |Begins { run, written }| (written, begin(&run));
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
            suspect: false,
        }
    }

    /// Two halves, if it has more than one begin or end.
    pub(super) fn split(mut self) -> Result<(Self, Self), Self> {
        if self.begins.len() + self.ends.len() < 2 {
            return Err(self);
        }
        let mut writes = Arc::unwrap_or_clone(self.writes);
        let (begins, ends) = (self.begins.len() / 2, self.ends.len().div_ceil(2));
        let rest = Self {
            begins: self.begins.split_off(begins),
            ends: self.ends.split_off(ends),
            writes: Arc::new(Writes {
                begins: writes.begins.split_off(begins),
                finishes: writes.finishes.split_off(ends),
                progress: Vec::new(),
            }),
            suspect: self.suspect,
        };
        self.writes = Arc::new(writes);
        Ok((self, rest))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.begins.is_empty() && self.ends.is_empty() && self.writes.progress.is_empty()
    }
}

fn begin(run: &Run) -> Begin {
    Begin { run: run.task.key() }
}

fn end(ended: Ended, policy: RetryPolicy) -> (End, Finish) {
    let Ended { run, outcome, .. } = ended;
    let kind = match &outcome {
        Outcome::Failed { failure, .. } => Kind::Failed(*failure),
        Outcome::Snoozed(_) => Kind::Snoozed,
        Outcome::HandedBack { .. } => Kind::HandedBack,
        Outcome::NotServed { .. } => Kind::NotServed,
        Outcome::Succeeded(_) | Outcome::Cancelled => Kind::Plain,
    };
    let spread = fastrand::f64() * 2.0 - 1.0;
    let next = next(run.task.attempt(), outcome, policy, ended.ended_at, spread);
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
        kind,
        written: ended.written,
        _permit: ended.permit,
    };
    (end, finish)
}
