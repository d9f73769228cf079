//! The writes of the recorder of a theme, and the callers and actors that hear of them.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use super::{
    batch::TaskBatch,
    completion::Completions,
    run::{Ended, Entry, NoteRunning, Run},
    wake::Wake,
};
use crate::{
    domain::{Failure, RetryPolicy, TaskStatus, ascii, fitting},
    events::{Component, Event, Events, TaskEnded, TaskOutcome},
    line::line_of,
    run::{Batch, Ledger, RefusedEnd},
    store::{Finished, Rows, RunKey, Store, StoreError, Writes, Written},
};

/// The most ends in one transaction: in larger ones the commit is a small part of the cost anyway, and the ends are only written later.
const BATCH: usize = 1_000;

/// The ends, the notes that runs are running, and the reports of progress of one theme's tasks.
pub(super) struct TaskLedger {
    component: Component,
    theme: Arc<str>,
    store: Store,
    events: Events,
    policy: RetryPolicy,
    wake: Arc<Wake>,
    completions: Completions,
    begins: Vec<NoteRunning>,
    ends: VecDeque<Ended>,
    progress: Vec<Arc<Run>>,
    /// The log ids of runs with a report in a batch that is not written yet. Their next reports wait, so that the order is kept.
    reporting: HashSet<Arc<str>>,
    counts: TaskCounts,
}

/// What the ledger counts, with the meanings of [`SchedulerStatus`](super::SchedulerStatus).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TaskCounts {
    pub(crate) executed: u64,
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    pub(crate) retried: u64,
    pub(crate) panicked: u64,
    pub(crate) timed_out: u64,
    pub(crate) cancelled: u64,
    pub(crate) snoozed: u64,
    pub(crate) handed_back: u64,
    pub(crate) stale: u64,
}

impl TaskLedger {
    pub(super) fn new(
        theme: Arc<str>,
        store: Store,
        events: Events,
        policy: RetryPolicy,
        wake: Arc<Wake>,
        completions: Completions,
    ) -> Self {
        Self {
            component: Component::Theme(Arc::clone(&theme)),
            theme,
            store,
            events,
            policy,
            wake,
            completions,
            begins: Vec::new(),
            ends: VecDeque::new(),
            progress: Vec::new(),
            reporting: HashSet::new(),
            counts: TaskCounts::default(),
        }
    }

    fn tell_begun(batch: &mut TaskBatch, begun: Vec<bool>) {
        for (begin, begun) in batch.begins.drain(..).zip(begun) {
            // The worker that waited may have gone.
            let _ = begin.map(|tx| tx.send(Ok(begun)));
        }
    }

    /// The reports of this batch are done: the runs may report again.
    fn reports_are_done(&mut self, batch: &TaskBatch) {
        for report in &batch.writes.progress {
            self.reporting.remove(&report.run.log_id);
        }
    }

    fn tell_waiting_callers(&self, batch: &TaskBatch, finishes: &[Finished]) {
        let is_end = |finished: &Finished| matches!(finished, Finished::Written(status) if status.is_finished());
        let ended = batch.ends.iter().zip(finishes);
        let ended = ended.filter(|(_, finished)| is_end(finished));
        self.completions.tell(ended.map(|(end, _)| end.run.task.id));
    }
}

impl Ledger for TaskLedger {
    type Entry = Entry;
    type Batch = TaskBatch;
    type Written = Written;
    type Counts = TaskCounts;

    const ROWS: Rows = Rows::Tasks;

    fn component(&self) -> &Component {
        &self.component
    }

    fn events(&self) -> &Events {
        &self.events
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn enter(&mut self, entry: Entry) {
        match entry {
            Entry::NoteRunning(begins) => self.begins.push(begins),
            Entry::Ended(ended) => self.ends.push_back(ended),
            Entry::Progress(run) => self.progress.push(run),
        }
    }

    fn waiting(&self) -> usize {
        self.ends.len()
    }

    /// Reports of progress do not count: alone they are not worth a second flush beside the first.
    fn is_empty(&self) -> bool {
        self.ends.is_empty() && self.begins.is_empty()
    }

    fn next_batch(&mut self) -> Option<TaskBatch> {
        let begins = std::mem::take(&mut self.begins);
        let may_go = |run: &mut Arc<Run>| !self.reporting.contains(&run.task.log_id);
        let progress = self.progress.extract_if(.., may_go).collect();
        let count = fitting(&self.ends, BATCH, |ended| ended.outcome.bytes());
        let batch = TaskBatch::new(begins, self.ends.drain(..count), progress, self.policy);
        let reports = batch.writes.progress.iter();
        self.reporting
            .extend(reports.map(|report| Arc::clone(&report.run.log_id)));
        (!batch.is_empty()).then_some(batch)
    }

    async fn write(store: Store, writes: Arc<Writes>) -> Result<Written, StoreError> {
        store.tasks().write(writes).await
    }

    fn written(&mut self, mut batch: TaskBatch, writes: &Writes, written: Written) {
        self.reports_are_done(&batch);
        Self::tell_begun(&mut batch, written.begins);
        self.tell_waiting_callers(&batch, &written.finishes);
        let (mut requeued, mut handed_back) = (false, 0);
        let finishes = writes.finishes.iter().zip(written.finishes);
        for (end, (finish, finished)) in batch.ends.into_iter().zip(finishes) {
            let event = Event::TaskEnded(end.event(finish, finished));
            self.events.tell(&event);
            let Event::TaskEnded(ended) = event else { continue };
            self.counts.read(&ended);
            let Some(status) = ended.status else { continue };
            // The scanner of this node does not claim tasks that no handler here serves.
            requeued |= !status.is_finished() && end.outcome != TaskOutcome::NotServed;
            handed_back += usize::from(matches!(end.outcome, TaskOutcome::HandedBack | TaskOutcome::NotServed));
            if let Some(tx) = end.written {
                // The worker may be gone.
                let _ = tx.send(ended);
            }
        }
        if requeued {
            self.wake.ring();
        }
        // This node could not run them: other nodes can take those that are due immediately.
        if handed_back > 0 {
            self.store.cluster().announce_tasks(&self.theme, handed_back);
        }
    }

    async fn let_go(store: Store, run: RunKey, why: String) -> Result<bool, StoreError> {
        store.tasks().let_go(&run, &why).await
    }

    async fn take_up(store: Store, run: RunKey) -> Result<bool, StoreError> {
        store.tasks().take_up(&run).await
    }

    fn stale() -> Written {
        Written {
            begins: Vec::new(),
            finishes: vec![Finished::Stale],
        }
    }

    fn give_up(&mut self, batch: TaskBatch, reason: &str) {
        self.reports_are_done(&batch);
        for begin in batch.begins {
            // The worker that waited may have gone.
            let _ = begin.map(|tx| tx.send(Err(reason.to_owned())));
        }
        for report in &batch.writes.progress {
            let (theme, id, log_id) = (&self.theme, report.run.task_id, &report.run.log_id);
            say!(
                Warn,
                "theme {theme} task {id} log_id={log_id}: the database refuses its report of progress: {reason}"
            );
        }
    }

    fn why_let_go(batch: &TaskBatch, reason: &str) -> String {
        let status = batch.writes.finishes.first().map(|finish| finish.next.status);
        let status = status.map_or("", TaskStatus::as_str);
        let reason = ascii(reason);
        format!(
            "this run has ended ({status}), but the database refuses to note that: {}; the task does not run again by itself: \
             mend what refuses it, then retry or cancel the task",
            line_of(&reason)
        )
    }

    fn refusal(&self, batch: &TaskBatch) -> Option<RefusedEnd> {
        let finish = batch.writes.finishes.first()?;
        Some(RefusedEnd {
            id: finish.run.task_id,
            job_id: None,
            log_id: Arc::clone(&finish.run.log_id),
            ended_as: finish.next.status.as_str(),
        })
    }

    fn counts(&self) -> TaskCounts {
        self.counts
    }
}

impl TaskCounts {
    fn read(&mut self, ended: &TaskEnded) {
        let Some(status) = ended.status else {
            self.stale += 1;
            return;
        };
        match ended.outcome {
            TaskOutcome::HandedBack if !status.is_finished() => {
                self.handed_back += 1;
                return;
            }
            TaskOutcome::NotServed if !status.is_finished() => return,
            TaskOutcome::Snoozed => self.snoozed += 1,
            TaskOutcome::Failed(Failure::Panicked) => self.panicked += 1,
            TaskOutcome::Failed(Failure::TimedOut) => self.timed_out += 1,
            _ => {}
        }
        self.executed += 1;
        match status {
            TaskStatus::Success => self.succeeded += 1,
            TaskStatus::Failed => self.failed += 1,
            TaskStatus::Cancelled => self.cancelled += 1,
            TaskStatus::Retry if ended.outcome != TaskOutcome::Snoozed => self.retried += 1,
            _ => {}
        }
    }
}
